//! The codec's bits are the same in every build, on every target (ARCHITECTURE.md, law 9).
//!
//! `.ci/wasm-digest` compares the same numbers with those of wasm32. They change with the wire and with the default prior:
//! then the test prints what belongs here.

#[path = "digest/mod.rs"]
mod digest;

use digest::PARTS;

const GOLDEN: [u64; 8] = [
    0x5ff0_825a_5eb9_4a13, // fast, untrained, ordered
    0x3dc3_4693_d313_3293, // fast, untrained, lossy
    0x0146_d8af_fb4a_9072, // fast, default prior, ordered
    0x1435_aaf3_e478_fa48, // fast, default prior, lossy
    0xb5e6_e881_df5f_5101, // dense, untrained, ordered
    0x205c_a16e_d086_1f21, // dense, untrained, lossy
    0x1ba7_2f77_9158_de08, // dense, default prior, ordered
    0xb92e_256f_4a3c_e6ae, // dense, default prior, lossy
];

#[test]
fn every_part_has_the_digest_that_it_had() {
    let found = PARTS.map(|part| part.digest());
    let list: Vec<_> =
        PARTS.iter().zip(found).map(|(part, found)| format!("    {found:#018x}, // {}", part.name)).collect();
    assert!(found == GOLDEN, "the digests are now\n{}", list.join("\n"));
}
