//! The codec's bits are the same in every build, on every target (ARCHITECTURE.md, law 9).
//!
//! `.ci/wasm-digest` compares the same numbers with those of wasm32. They change with the wire and with the default prior:
//! then the test prints what belongs here.

#[path = "digest/mod.rs"]
mod digest;

use digest::PARTS;

const GOLDEN: [u64; 8] = [
    0x0afb_dcdc_9439_b955, // fast, untrained, ordered
    0x39db_87b3_8b61_494a, // fast, untrained, lossy
    0xe2c8_281d_18b6_c106, // fast, default prior, ordered
    0xdebf_4e63_d893_f5df, // fast, default prior, lossy
    0xbff7_1b8e_2ed9_8cee, // dense, untrained, ordered
    0x5c8a_1ed9_7264_3178, // dense, untrained, lossy
    0xda7b_f147_08df_db1f, // dense, default prior, ordered
    0x2f30_eca6_39fc_70f0, // dense, default prior, lossy
];

#[test]
fn every_part_has_the_digest_that_it_had() {
    let found = PARTS.map(|part| part.digest());
    let list: Vec<_> =
        PARTS.iter().zip(found).map(|(part, found)| format!("    {found:#018x}, // {}", part.name)).collect();
    assert!(found == GOLDEN, "the digests are now\n{}", list.join("\n"));
}
