//! What has its instructions counted, and how a counter tells it from the work that prepares it.

use std::hint::black_box;

use bytes::Bytes;
use tickwire_protocol::Micros;
use tickwire_protocol::snapshot::{Coder, DecodedSnapshot, Prior};

use crate::SNAPSHOT_TICKS;
use crate::arena::{Match, Part};
use crate::predicted::{Mispredicted, REPLAYED_TICKS};
use crate::recorded::{Recorded, Writer};
use crate::scene::Load;
use crate::talk::{MESSAGES, Talk};
use crate::watcher::{PICTURE, Watcher};

/// How a profiler names [`instructions_counted`], to collect while it runs and at no other time.
pub const COUNTED: &str = "*instructions_counted";

/// Does what is counted: nothing else of a workload is.
#[inline(never)]
pub fn instructions_counted(work: &mut dyn FnMut()) {
    work();
}

/// Work whose instructions are counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// As the budget knows it.
    pub name: &'static str,
    /// What is done once for each [unit](Counted::run), in words.
    pub unit: &'static str,
    run: fn() -> u64,
}

/// All of them.
pub const ALL: &[Counted] = &[
    Counted {
        name: "tick/16",
        unit: "step and publish of a room of 16",
        run: || room(loose(16), Part::Advance),
    },
    Counted {
        name: "tick/64",
        unit: "step and publish of a room of 64",
        run: || room(loose(64), Part::Advance),
    },
    Counted { name: "snapshot/16", unit: "snapshot to one of 16", run: || room(loose(16), Part::Transmit) },
    Counted { name: "snapshot/64", unit: "snapshot to one of 64", run: || room(loose(64), Part::Transmit) },
    Counted {
        name: "snapshot/private64",
        unit: "snapshot to one of 64, each of whom sees the nearest 32",
        run: || room(Match::crowd(64, Coder::Dense, 32), Part::Transmit),
    },
    Counted {
        name: "snapshot/tight64",
        unit: "snapshot to one of 64, of half of what is news",
        run: || room(Match::tight(64, Coder::Dense, TIGHT_BUDGET), Part::Transmit),
    },
    Counted { name: "input/64", unit: "input message taken in", run: || room(loose(64), Part::Inbox) },
    Counted {
        name: "crowd/1000",
        unit: "tick of a room of 1000 with the nearest 64: step, publish, a third of the snapshots",
        run: crowd,
    },
    Counted { name: "encode/dense", unit: "row", run: || encode(Coder::Dense) },
    Counted { name: "encode/fast", unit: "row", run: || encode(Coder::Fast) },
    Counted { name: "decode/dense", unit: "row", run: || decode(Coder::Dense) },
    Counted { name: "decode/fast", unit: "row", run: || decode(Coder::Fast) },
    Counted { name: "picture/100", unit: "body in a picture of 100", run: picture },
    Counted { name: "message/once", unit: "small message, from send to its ack", run: || message(1) },
    Counted { name: "message/twice", unit: "the same, carried again and passed over", run: || message(2) },
    Counted { name: "correction", unit: "snapshot that has 30 ticks stepped again", run: correction },
];

impl Counted {
    /// The one of this name.
    pub fn find(name: &str) -> Option<Self> {
        ALL.iter().find(|counted| counted.name == name).copied()
    }

    /// Does it; how many units that were.
    ///
    /// # Panics
    /// If the work that the name promises was not done.
    pub fn run(&self) -> u64 {
        (self.run)()
    }
}

/// Intervals of a match that are counted.
const INTERVALS: u32 = 20;

/// What a peer may be sent where that is half of what a match of 64 has to tell, bytes a second.
const TIGHT_BUDGET: u32 = 2_800;

/// A match of bots who are all told all.
fn loose(bots: u32) -> Match {
    Match::new(bots, Coder::Dense)
}

/// Ticks, snapshots or messages of a match of bots.
fn room(mut game: Match, wanted: Part) -> u64 {
    let bots = game.bots() as u32;
    for _ in 0..INTERVALS {
        game.play_interval_by(&mut |part, work| {
            if part == wanted { instructions_counted(work) } else { work() }
        });
    }
    let units = if wanted == Part::Advance { SNAPSHOT_TICKS } else { bots };
    u64::from(INTERVALS * units)
}

/// Intervals of a crowd that are counted.
const CROWD_INTERVALS: u32 = 2;

/// All that a room does in the ticks of a large crowd but taking messages in.
fn crowd() -> u64 {
    let mut game = Match::crowd_unheard(1_000, Coder::Dense, 64);
    for _ in 0..CROWD_INTERVALS {
        game.play_interval_by(&mut |part, work| {
            if part == Part::Inbox { work() } else { instructions_counted(work) }
        });
    }
    u64::from(CROWD_INTERVALS * SNAPSHOT_TICKS)
}

/// Moments that are coded, and how many lie between two.
const MOMENTS: usize = 8;
const STRIDE: usize = 10;

/// What is coded: players of the arena, which the default prior was taught by from other seeds, and bodies that it knows nothing of.
fn recorded() -> [Recorded; 2] {
    [Recorded::arena(32, MOMENTS * STRIDE), Recorded::scene(40, Load::HalfMoving, MOMENTS * STRIDE)]
}

fn encode(coder: Coder) -> u64 {
    let mut rows = 0;
    for recorded in recorded() {
        let mut writer = Writer::new(recorded.codec(coder, Prior::default_prior()));
        let mut payload = Vec::new();
        for moment in recorded.moments().step_by(STRIDE) {
            payload.clear();
            instructions_counted(&mut || writer.write(black_box(&moment), &moment.plan, &mut payload));
            rows += moment.rows();
        }
    }
    rows as u64
}

fn decode(coder: Coder) -> u64 {
    let mut rows = 0;
    for recorded in recorded() {
        let codec = recorded.codec(coder, Prior::default_prior());
        let (mut writer, mut decoded) = (Writer::new(codec.clone()), DecodedSnapshot::default());
        for moment in recorded.moments().step_by(STRIDE) {
            let mut payload = Vec::new();
            writer.write(&moment, &moment.plan, &mut payload);
            let payload = Bytes::from(payload);
            instructions_counted(&mut || moment.read(&codec, black_box(&payload), &mut decoded));
            moment.check(&decoded);
            rows += moment.rows();
        }
    }
    rows as u64
}

/// Pictures that are counted, at different moments between two ticks.
const PICTURES: u64 = 8;

fn picture() -> u64 {
    let bodies = 100;
    let watcher = Watcher::new(bodies);
    for picture in 0..PICTURES {
        let now = watcher.now() + Micros(PICTURE.0 * picture / PICTURES);
        instructions_counted(&mut || {
            assert_eq!(black_box(watcher.draw(now)).bodies, usize::from(bodies));
        });
    }
    PICTURES * u64::from(bodies)
}

/// Turns of a talk that are counted.
const TURNS: u64 = 20;

/// Messages that are carried over so many times each.
fn message(times: usize) -> u64 {
    let mut talk = Talk::new();
    // What it needs of memory is there from then on.
    talk.turn(times);
    for _ in 0..TURNS {
        instructions_counted(&mut || {
            assert_eq!(talk.turn(black_box(times)), MESSAGES, "messages polled");
        });
    }
    TURNS * MESSAGES as u64
}

/// Snapshots that are counted.
const CORRECTIONS: u64 = 10;

fn correction() -> u64 {
    let mut game = Mispredicted::new();
    for _ in 0..CORRECTIONS {
        let (now, snapshot) = game.next_snapshot();
        instructions_counted(&mut || {
            assert_eq!(game.take(now, black_box(snapshot.clone())), REPLAYED_TICKS, "ticks stepped again");
        });
    }
    CORRECTIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_does_its_work_and_is_found_by_name() {
        for counted in ALL {
            let found = Counted::find(counted.name).map(|found| found.unit);
            assert_eq!(found, Some(counted.unit));
            assert!(counted.run() >= 6, "{}", counted.name);
        }
        assert!(Counted::find("").is_none());
    }
}
