//! The codec's bits are the same in every build, on every target (ARCHITECTURE.md, law 9).
//!
//! `.ci/wasm-digest` compares the same numbers with those of wasm32. They change with the wire and with the default prior:
//! then the test prints what belongs here.

#[path = "digest/mod.rs"]
mod digest;

use digest::PARTS;

const GOLDEN: [u64; 8] = [
    0xefb0_8345_84ae_d50e, // fast, untrained, ordered
    0x7c52_75ce_698c_315e, // fast, untrained, lossy
    0x4af0_636a_6a79_1e31, // fast, default prior, ordered
    0x0d92_a3f2_f87b_2c38, // fast, default prior, lossy
    0x4df7_667f_a037_0f53, // dense, untrained, ordered
    0x8338_8f58_e708_3406, // dense, untrained, lossy
    0x228b_f761_d346_7bd8, // dense, default prior, ordered
    0xd6d3_dc1e_b3a4_6a47, // dense, default prior, lossy
];

#[test]
fn every_part_has_the_digest_that_it_had() {
    let found = PARTS.map(|part| part.digest());
    let list: Vec<_> =
        PARTS.iter().zip(found).map(|(part, found)| format!("    {found:#018x}, // {}", part.name)).collect();
    assert!(found == GOLDEN, "the digests are now\n{}", list.join("\n"));
}
