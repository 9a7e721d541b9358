//! The same seed gives the same scene, on every target; and what the scenes do is like what games do.

use tickwire_protocol::{FieldId, KindId, Tables};
use tickwire_scenes::stats::Stats;
use tickwire_scenes::{Scene, all};
use tickwire_sim::world::digest;

/// Digests of [`TICKS`] each, folded. They change with every change to a scene or to the arithmetic below it.
const GOLDEN: &[(&str, u64)] = &[
    ("cubes", 0x1a28_7663_ac68_3742),
    ("bodies", 0x0aa3_e3eb_0465_7d8e),
    ("bodies_fine", 0x8b18_a51a_717d_8135),
    ("bodies_spinless", 0x78bd_169e_32f1_c48e),
    ("fps", 0x76fb_a10c_c31c_a47a),
    ("fps_metres", 0x12aa_01b0_59d2_c610),
    ("arena", 0xb8ed_6a7c_50d0_d09d),
];
const TICKS: u32 = 600;

const POSITION: FieldId = FieldId(0);

fn play(scene: &Scene, ticks: u32, seed: u64) -> u64 {
    let mut folded = 0_u64;
    scene.run(ticks, seed, &mut |_, tables| folded = folded.rotate_left(5) ^ digest(tables));
    folded
}

fn scene(name: &str) -> Scene {
    all().into_iter().find(|scene| scene.name == name).unwrap()
}

#[test]
fn a_seed_gives_the_same_bits_for_ever() {
    let digests: Vec<_> = all().iter().map(|scene| (scene.name, play(scene, TICKS, 7))).collect();
    assert_eq!(digests, GOLDEN, "the bits of a scene changed: {digests:#x?}");
    for (scene, (_, digest)) in all().iter().zip(&digests) {
        assert_ne!(play(scene, TICKS, 8), *digest, "{}: another seed is another scene", scene.name);
    }
}

#[test]
fn as_much_moves_as_in_a_game_and_nothing_is_clamped() {
    for (name, ticks, moving, least_teleports) in [
        ("cubes", 900, 0.04..0.2, 0),
        ("bodies", 6000, 0.8..0.99, 9),
        ("fps", 2400, 0.7..0.95, 5),
        ("fps_metres", 2400, 0.7..0.95, 5),
    ] {
        let stats = Stats::of(&scene(name), ticks, 2);
        assert!(moving.contains(&stats.moving()), "{name}: {stats:?}");
        assert!(stats.teleported >= least_teleports, "{name}: {stats:?}");
        assert_eq!(stats.at_bounds, 0, "{name}");
    }
}

#[test]
fn cubes_that_lie_still_do_not_stir() {
    let mut last: Option<Tables> = None;
    let (mut still, mut longest_rest) = (vec![0_u32; 901], 0);
    scene("cubes").run(600, 3, &mut |_, tables| {
        if let Some(last) = &last {
            for (row, rest) in still.iter_mut().enumerate() {
                let table = tables.table(KindId(0));
                let moved = table.values(row)[..8] != last.table(KindId(0)).values(row)[..8];
                *rest = if moved { 0 } else { *rest + 1 };
                longest_rest = longest_rest.max(*rest);
            }
        }
        last = Some(tables.clone());
    });
    // From the half second in which they settle at the start to the end.
    assert!(longest_rest > 540, "{longest_rest}");
    let resting = still.iter().filter(|&&rest| rest > 60).count();
    assert!(resting > 700, "{resting} of 901 lie still");
}

#[test]
fn what_jumps_says_so() {
    for (name, ticks, units_per_second) in
        [("cubes", 600, 60.0), ("bodies", 6000, 90.0), ("fps", 2400, 1600.0), ("fps_metres", 2400, 40.0)]
    {
        let scene = scene(name);
        let most = units_per_second / scene.rate.hz() as f32;
        let mut last = Vec::new();
        scene.run(ticks, 4, &mut |tick, tables| {
            let rows: Vec<_> = tables.rows(KindId(0)).map(|(head, row)| (head, row.vec3(POSITION))).collect();
            for ((head, place), before) in rows.iter().zip(&last) {
                let way = place.distance(*before);
                assert!(head.teleported || way <= most, "{name}, tick {tick}: {} went {way}", head.id);
            }
            last = rows.into_iter().map(|(_, place)| place).collect();
        });
    }
}

#[test]
fn variants_tell_of_the_same_game() {
    let places = |name| {
        let mut places = Vec::new();
        scene(name).run(600, 5, &mut |_, tables| {
            places.extend(tables.rows(KindId(0)).map(|(_, row)| row.vec3(POSITION)));
        });
        places
    };
    let [metres, fine, spinless] = ["bodies", "bodies_fine", "bodies_spinless"].map(places);
    assert_eq!(metres, spinless);
    let worst = metres.iter().zip(&fine).map(|(a, b)| a.distance(*b / 100.0)).fold(0.0, f32::max);
    assert!(worst < 0.01, "{worst} m apart");
    assert_eq!(metres.len(), 600 * 9);
}
