//! Sessions and messages come through whatever connections do. `tickwire lab --chaos --seeds 1..1000` runs more of this.

use tickwire_lab::{ChaosReport, run_chaos};

/// What a run holds at most at any moment, the lab's own memory of all that was said included.
const BYTES_MAX: u64 = 6 << 20;

#[test]
fn what_is_promised_of_sessions_holds_in_chaos() {
    let mut report = ChaosReport::default();
    for seed in 1..=24 {
        let found = run_chaos(seed);
        assert!(found.is_sound(), "tickwire lab --chaos --seed {seed}: {found}");
        report.merge(&found);
    }
    assert!(report.cuts > 200 && report.resumed > 100 && report.fresh > 40, "{report}");
    assert!(report.messages > 10_000 && report.resynced > 0, "{report}");
}

/// Ends of connections that the server hears of late, and links that stall at the very end: chaos must leave time for both. Older exports, whose
/// program is not known by what came since; and answers to a session that is over.
#[test]
fn what_once_was_found_is_found_no_more() {
    for seed in [1_192, 2_128, 5_754, 16, 250, 583, 2_310] {
        let found = run_chaos(seed);
        assert!(found.is_sound(), "tickwire lab --chaos --seed {seed}: {found}");
    }
}

/// Every fourth run has hardly room for messages, on either side; and no run holds much, however its links are cut. What the lab itself writes
/// down is a part of it.
#[test]
fn limits_are_kept_and_nothing_grows_without_one() {
    for seed in [3, 7, 11, 4, 6, 8] {
        let mut found = ChaosReport::default();
        let held = allocation_counter::measure(|| found = run_chaos(seed)).bytes_max;
        assert!(found.is_sound(), "tickwire lab --chaos --seed {seed}: {found}");
        let is_tiny = seed % 4 == 3;
        assert!(found.refused > 1_000 || !is_tiny, "{seed}: {found}");
        assert!(held <= BYTES_MAX, "{seed}: {held} bytes");
    }
}

#[test]
fn the_same_seed_finds_the_same() {
    assert_eq!(run_chaos(7), run_chaos(7));
}
