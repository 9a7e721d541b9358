//! The codec's bits are the same in every build, on every target (ARCHITECTURE.md, law 9).
//!
//! `.ci/wasm-digest` compares the same numbers with those of wasm32. They change with the wire and with the default prior:
//! then the test prints what belongs here.

#[path = "digest/mod.rs"]
mod digest;

use digest::PARTS;

const GOLDEN: [u64; 8] = [
    0x44ca_b417_1dff_39c0, // fast, untrained, ordered
    0x391b_e8c2_2ab5_3f4f, // fast, untrained, lossy
    0x1ad6_8ef8_5f07_6ff5, // fast, default prior, ordered
    0x72a2_cc9b_d0fb_4ae1, // fast, default prior, lossy
    0x1dc7_0da5_4125_723d, // dense, untrained, ordered
    0x543e_6651_eb9b_6689, // dense, untrained, lossy
    0xe503_e5ca_ae97_af96, // dense, default prior, ordered
    0xa381_6e31_5b58_4962, // dense, default prior, lossy
];

#[test]
fn every_part_has_the_digest_that_it_had() {
    let found = PARTS.map(|part| part.digest());
    let list: Vec<_> =
        PARTS.iter().zip(found).map(|(part, found)| format!("    {found:#018x}, // {}", part.name)).collect();
    assert!(found == GOLDEN, "the digests are now\n{}", list.join("\n"));
}
