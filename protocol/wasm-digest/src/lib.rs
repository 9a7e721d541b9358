//! The golden scene of `protocol/tests/digest`, played on wasm32.

#[path = "../../tests/digest/mod.rs"]
mod digest;

use digest::PARTS;

/// How many parts there are.
#[unsafe(no_mangle)]
pub extern "C" fn parts() -> u32 {
    PARTS.len() as u32
}

/// The digest of a part; traps if there is no such part, or if something is read that was not published.
#[unsafe(no_mangle)]
pub extern "C" fn digest_of(part: u32) -> u64 {
    PARTS[part as usize].digest()
}
