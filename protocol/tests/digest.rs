//! The codec's bits are the same in every build, on every target (ARCHITECTURE.md, law 9).
//!
//! `.ci/wasm-digest` compares the same numbers with those of wasm32. They change with the wire and with the default prior:
//! then the test prints what belongs here.

#[path = "digest/mod.rs"]
mod digest;

use digest::PARTS;

const GOLDEN: [u64; 8] = [
    0x5abd_d5d6_3b38_07af, // fast, untrained, ordered
    0xd10a_f074_4f1d_f72c, // fast, untrained, lossy
    0x6580_cd61_8987_fd3e, // fast, default prior, ordered
    0x6aaa_e6d0_a97a_3f33, // fast, default prior, lossy
    0xbff7_1b8e_2ed9_8cee, // dense, untrained, ordered
    0x5c8a_1ed9_7264_3178, // dense, untrained, lossy
    0xb97a_f039_3f8f_b7bb, // dense, default prior, ordered
    0xe880_4a0c_07b6_527c, // dense, default prior, lossy
];

#[test]
fn every_part_has_the_digest_that_it_had() {
    let found = PARTS.map(|part| part.digest());
    let list: Vec<_> =
        PARTS.iter().zip(found).map(|(part, found)| format!("    {found:#018x}, // {}", part.name)).collect();
    assert!(found == GOLDEN, "the digests are now\n{}", list.join("\n"));
}
