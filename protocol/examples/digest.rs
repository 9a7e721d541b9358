//! Prints the digests of everything that the codec writes and reads in a long scene: a line a part, and one of all.
//! `.ci/wasm-digest` compares them with what the same program finds on wasm32.

#[path = "../tests/digest/mod.rs"]
mod digest;

fn main() {
    for part in digest::PARTS {
        println!("{:016x} {}", part.digest(), part.name);
    }
}
