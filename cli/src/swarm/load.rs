//! The named loads: what bots do, who comes later, and how the time is divided.

use std::time::Duration;

use clap::ValueEnum;

/// What a swarm does to a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Load {
    /// Everybody stands still
    Idle,
    /// Everybody runs, jumps, aims and shoots
    Brawl,
    /// Everybody gathers in the middle and walks about there
    Crowd,
    /// A brawl; half-way many more join within one second
    #[value(name = "join_storm")]
    JoinStorm,
    /// A brawl; half-way some others join who stop reading after their welcome
    #[value(name = "slow_readers")]
    SlowReaders,
}

/// How long a crowd takes to gather: from the corner of the largest arena to its middle at a run, 30 s.
const GATHERING: Duration = Duration::from_secs(30);

/// Within which time those who come half-way connect.
pub(super) const DISTURBANCE: Duration = Duration::from_secs(1);

impl Load {
    /// As it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Brawl => "brawl",
            Self::Crowd => "crowd",
            Self::JoinStorm => "join_storm",
            Self::SlowReaders => "slow_readers",
        }
    }

    /// Whether somebody comes half-way, so that the time before and the time from then on are told apart.
    pub(super) fn is_disturbed(self) -> bool {
        matches!(self, Self::JoinStorm | Self::SlowReaders)
    }

    /// For how long bots play before anything counts.
    pub(super) fn settling(self) -> Duration {
        if self == Self::Crowd { GATHERING } else { Duration::ZERO }
    }

    /// Who comes half-way, and how many of them.
    pub(super) fn latecomers(self, storm: usize, slow: usize) -> (Part, usize) {
        match self {
            Self::JoinStorm => (Part::Latecomer, storm),
            Self::SlowReaders => (Part::Deaf, slow),
            Self::Idle | Self::Brawl | Self::Crowd => (Part::Latecomer, 0),
        }
    }
}

/// What part a bot has in a load.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// Plays from the beginning; what it sees are the swarm's figures.
    Player,
    /// The same behind a link of 64 kbit/s: its figures stand apart.
    Narrow,
    /// Joins half-way; only its join counts.
    Latecomer,
    /// Joins half-way, and reads nothing after its welcome.
    Deaf,
}

impl Part {
    /// Whether it is there from the beginning.
    pub(super) fn is_first(self) -> bool {
        matches!(self, Self::Player | Self::Narrow)
    }
}

/// Who one bot is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) index: usize,
    pub(super) part: Part,
    /// Whether it decodes all that it is sent.
    pub(super) is_full: bool,
}

/// The bots that are there from the beginning: `full` of `bots` decode, the first `narrow` of those behind a narrow link.
pub(super) fn plans(bots: usize, full: usize, narrow: usize) -> impl Iterator<Item = Plan> {
    (0..bots).map(move |index| Plan {
        index,
        part: if index < narrow { Part::Narrow } else { Part::Player },
        is_full: index < full.max(narrow),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sits_behind_a_narrow_link_decodes() {
        let parts: Vec<_> = plans(5, 1, 2).map(|plan| (plan.part, plan.is_full)).collect();
        let (narrow, light) = ((Part::Narrow, true), (Part::Player, false));
        assert_eq!(parts, [narrow, narrow, light, light, light]);
        assert_eq!(plans(5, 3, 0).filter(|plan| plan.is_full).count(), 3);
        assert_eq!(plans(2, 64, 0).filter(|plan| plan.is_full).count(), 2);
    }

    #[test]
    fn names_are_those_of_the_command_line() {
        for load in Load::value_variants() {
            assert_eq!(Load::from_str(load.name(), false), Ok(*load));
            assert_eq!(load.is_disturbed(), load.latecomers(500, 100).1 > 0);
        }
    }
}
