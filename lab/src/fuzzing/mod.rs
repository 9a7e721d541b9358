//! The bodies of the fuzz targets `session` and `forgery`: what is done with connections, as a script, between a room and
//! clients whose sessions go over them.
//!
//! Unlike [chaos](crate::run_chaos), where chance plays a network, the script decides each thing alone: what arrives and when, who
//! writes and polls, which end finds out of a cut and how late, when time passes. In `forgery` it also damages what is on its way
//! and writes frames of its own; then the promises hold for those clients that it left alone.

mod seat;
mod table;

use self::table::Table;

/// Steps of a script.
const STEPS_MAX: usize = 600;

/// Runs a script over honest ends: each step is a byte of what and whom, and one of how much.
pub fn session(script: &[u8]) {
    play(script, false);
}

/// The same with a forger on the way.
pub fn forgery(script: &[u8]) {
    play(script, true);
}

fn play(script: &[u8], has_forger: bool) {
    let mut table = Table::new(has_forger);
    for step in script.chunks_exact(2).take(STEPS_MAX) {
        table.step(step[0], step[1]);
    }
    table.settle();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The seeds of both targets, among them what was found once.
    #[test]
    fn seeds_pass() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/");
        for (target, run) in [("session", session as fn(&[u8])), ("forgery", forgery)] {
            let seeds: Vec<_> = std::fs::read_dir(format!("{corpus}{target}")).unwrap().collect();
            assert!(seeds.len() >= 9, "{target}");
            for seed in seeds {
                run(&std::fs::read(seed.unwrap().path()).unwrap());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn sessions_keep_their_promises_whatever_the_order(script in prop::collection::vec(any::<u8>(), 0..800)) {
            session(&script);
        }

        #[test]
        fn forgeries_hurt_nobody_else(script in prop::collection::vec(any::<u8>(), 0..800)) {
            forgery(&script);
        }
    }
}
