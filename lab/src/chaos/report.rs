//! What chaos finds.

use core::fmt;

use serde::Serialize;

/// What was counted over all runs. All but the first seven are to be 0.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ChaosReport {
    /// Runs.
    pub seeds: u64,
    /// Connections that were cut.
    pub cuts: u64,
    /// Reliable messages that arrived.
    pub messages: u64,
    /// Messages that were not taken, and their clients told why: there was no room for them, or there was no session to send them in.
    pub refused: u64,
    /// Welcomes by which a session went on.
    pub resumed: u64,
    /// Those of them that told a client with an older export what it misses.
    pub resynced: u64,
    /// Welcomes by which another one began.
    pub fresh: u64,
    /// Messages and events that were taken and never polled, in a session that goes on, without this being told; questions and transfers
    /// without an end; and those that ended well and of which the other side knows nothing.
    pub messages_lost: u64,
    /// Messages, events, questions, contents and ends of these that were polled twice.
    pub messages_doubled: u64,
    /// Messages that were polled before one that was sent before them, and events before their time or those whom they name.
    pub messages_reordered: u64,
    /// Entities of sessions that are over, at the end.
    pub ghost_entities: u64,
    /// Rows at the end that differ from the server's of the same id.
    pub aliased_ids: u64,
    /// Clients whose state, members, groups or match are not the server's although the links have long been well, or of which a digest differed.
    pub stale_state_after_heal: u64,
    /// Sessions that went on and should not have, or the other way round; tokens that were taken and should not have been; answers to another
    /// question.
    pub wrong_outcome_told: u64,
    /// Connections of honest clients that were closed for a fault, clients that gave up, and contents that are not what was offered.
    pub faults: u64,
}

impl ChaosReport {
    /// Whether everything that was promised holds.
    pub fn is_sound(&self) -> bool {
        let Self { seeds, cuts, messages, refused, resumed, resynced, fresh, .. } = *self;
        *self == Self { seeds, cuts, messages, refused, resumed, resynced, fresh, ..Self::default() }
    }

    /// Adds what other runs have found.
    pub fn merge(&mut self, other: &Self) {
        let Self {
            seeds,
            cuts,
            messages,
            refused,
            resumed,
            resynced,
            fresh,
            messages_lost,
            messages_doubled,
            messages_reordered,
            ghost_entities,
            aliased_ids,
            stale_state_after_heal,
            wrong_outcome_told,
            faults,
        } = other;
        for (count, more) in [
            (&mut self.seeds, seeds),
            (&mut self.cuts, cuts),
            (&mut self.messages, messages),
            (&mut self.refused, refused),
            (&mut self.resumed, resumed),
            (&mut self.resynced, resynced),
            (&mut self.fresh, fresh),
            (&mut self.messages_lost, messages_lost),
            (&mut self.messages_doubled, messages_doubled),
            (&mut self.messages_reordered, messages_reordered),
            (&mut self.ghost_entities, ghost_entities),
            (&mut self.aliased_ids, aliased_ids),
            (&mut self.stale_state_after_heal, stale_state_after_heal),
            (&mut self.wrong_outcome_told, wrong_outcome_told),
            (&mut self.faults, faults),
        ] {
            *count += more;
        }
    }
}

impl fmt::Display for ChaosReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} seeds: {} cuts, {} sessions went on ({} with a gap), {} began, {} messages, {} refused",
            self.seeds, self.cuts, self.resumed, self.resynced, self.fresh, self.messages, self.refused
        )?;
        for (name, count) in [
            ("messages lost", self.messages_lost),
            ("messages doubled", self.messages_doubled),
            ("messages reordered", self.messages_reordered),
            ("ghost entities", self.ghost_entities),
            ("aliased ids", self.aliased_ids),
            ("stale state after heal", self.stale_state_after_heal),
            ("wrong outcome told", self.wrong_outcome_told),
            ("faults", self.faults),
        ] {
            writeln!(f, "  {name:24}{count}")?;
        }
        Ok(())
    }
}
