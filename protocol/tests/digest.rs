//! The codec's bits are the same in every build, on every target (ARCHITECTURE.md, law 9).
//!
//! `.ci/wasm-digest` compares the same numbers with those of wasm32. They change with the wire and with the default prior:
//! then the test prints what belongs here.

#[path = "digest/mod.rs"]
mod digest;

use digest::PARTS;

const GOLDEN: [u64; 8] = [
    0xe38e_27fd_af84_37f8, // fast, untrained, ordered
    0xbb1c_85ab_302b_b208, // fast, untrained, lossy
    0xadf0_d92d_79ce_d558, // fast, default prior, ordered
    0xb0bb_5f5f_97ba_6118, // fast, default prior, lossy
    0xd136_2d70_1b99_de37, // dense, untrained, ordered
    0xc897_1bef_b315_6fc2, // dense, untrained, lossy
    0xf1be_704a_619e_0a5a, // dense, default prior, ordered
    0x7a7d_b0d4_7640_ac03, // dense, default prior, lossy
];

#[test]
fn every_part_has_the_digest_that_it_had() {
    let found = PARTS.map(|part| part.digest());
    let list: Vec<_> =
        PARTS.iter().zip(found).map(|(part, found)| format!("    {found:#018x}, // {}", part.name)).collect();
    assert!(found == GOLDEN, "the digests are now\n{}", list.join("\n"));
}
