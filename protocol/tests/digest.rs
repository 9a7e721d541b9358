//! The codec's bits are the same in every build, on every target (ARCHITECTURE.md, law 9).
//!
//! `.ci/wasm-digest` compares the same numbers with those of wasm32. They change with the wire and with the default prior:
//! then the test prints what belongs here.

#[path = "digest/mod.rs"]
mod digest;

use digest::PARTS;

const GOLDEN: [u64; 8] = [
    0x5304_0414_9e0a_28ee, // fast, untrained, ordered
    0x47ab_ab19_fc4e_f48b, // fast, untrained, lossy
    0x58a2_d6c0_fbe2_7787, // fast, default prior, ordered
    0x3576_d1b0_9e50_aa0d, // fast, default prior, lossy
    0xd136_2d70_1b99_de37, // dense, untrained, ordered
    0xc897_1bef_b315_6fc2, // dense, untrained, lossy
    0x3001_893e_b465_5cf2, // dense, default prior, ordered
    0x451e_4eed_9599_01b3, // dense, default prior, lossy
];

#[test]
fn every_part_has_the_digest_that_it_had() {
    let found = PARTS.map(|part| part.digest());
    let list: Vec<_> =
        PARTS.iter().zip(found).map(|(part, found)| format!("    {found:#018x}, // {}", part.name)).collect();
    assert!(found == GOLDEN, "the digests are now\n{}", list.join("\n"));
}
