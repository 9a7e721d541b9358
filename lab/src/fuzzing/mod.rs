//! The bodies of the fuzz targets `session` and `forgery`: what is done with connections, as a script, between a room and
//! clients whose sessions go over them.
//!
//! Unlike [chaos](crate::run_chaos), where chance plays a network, the script decides each thing alone: what arrives and when, who
//! writes and polls, which end finds out of a cut and how late, when time passes; and what the games of both sides do with what a
//! session carries. In `forgery` it also damages what is on its way and writes frames of its own; then the promises hold for those
//! clients that it left alone.
//!
//! | file | what is in it |
//! |---|---|
//! | `table` | the room, its clients, what goes between them, and what a script does to that |
//! | `seat` | one client and its connection, and what it says |
//! | `errands`, `order`, `host` | what the games of a client and of the server do beside: steps of a script, too |
//! | `requests`, `transfers` | what either side knows of these, and that each comes to its one end |
//! | `ledger` | what the server's game has done, against what clients have: looked at in the end |

mod errands;
mod host;
mod ledger;
mod order;
mod requests;
mod seat;
mod table;
mod transfers;

use self::table::Table;

/// Nothing, or what must not be, if the client was left alone.
type Finding = Result<(), String>;

/// What the server's game itself says begins with it: no player is called so, in whose name the arena says something.
const MARK: u32 = u32::MAX;

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

fn play(script: &[u8], has_forger: bool) -> Table {
    let mut table = Table::new(has_forger);
    for step in script.chunks_exact(2).take(STEPS_MAX) {
        table.step(step[0], step[1]);
    }
    table.settle();
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::seat::Seat;
    use super::*;

    /// The seeds of both targets, among them what was found once.
    #[test]
    fn seeds_pass() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/");
        for (target, run) in [("session", session as fn(&[u8])), ("forgery", forgery)] {
            let seeds: Vec<_> = std::fs::read_dir(format!("{corpus}{target}")).unwrap().collect();
            assert!(seeds.len() >= 14, "{target}");
            for seed in seeds {
                run(&std::fs::read(seed.unwrap().path()).unwrap());
            }
        }
    }

    /// How much has come to its other end, of all that a client counts.
    fn sum(tables: &[Table], count: fn(&Seat) -> usize) -> usize {
        tables.iter().flat_map(|table| &table.seats).map(count).sum()
    }

    /// A step that does nothing would pass all checks.
    #[test]
    fn seeds_reach_what_they_are_for() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/session/");
        let run = |seed: &str| play(&std::fs::read(format!("{corpus}{seed}")).unwrap(), false);
        let tables = ["requests", "transfers", "events-and-groups", "pauses-and-tables"].map(run);
        let heard = |seat: &Seat| seat.errands.events.values().map(BTreeSet::len).sum();
        assert!(sum(&tables, |seat| seat.errands.seen.len()) >= 8, "requests of the server's");
        assert!(sum(&tables, |seat| seat.errands.seen_above.len()) >= 8, "requests of clients");
        assert!(sum(&tables, |seat| seat.errands.received.len()) >= 3, "contents of the server's");
        assert!(sum(&tables, |seat| seat.errands.sent.len()) >= 2, "contents of clients");
        assert!(sum(&tables, heard) >= 20, "events");
        assert!(sum(&tables, |seat| seat.errands.lines.len()) >= 8, "lines to groups");
        assert!(sum(&tables, |seat| seat.client.groups().iter().count()) >= 2, "groups");
        assert!(sum(&tables, |seat| seat.client.match_state().scores().count()) >= 3, "scores");
        assert!(sum(&tables, |seat| seat.errands.profile.name().len().min(1)) >= 2, "profiles");
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
