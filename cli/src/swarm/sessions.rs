//! Whether sessions kept what is promised of them: `--churn` and `--chatter`.
//!
//! Each bot leaves an [`Account`] when all has been left in peace for a while; what every side has said and heard is compared.

use std::collections::{BTreeMap, BTreeSet};

use hdrhistogram::Histogram;
use serde::Serialize;
use tickwire_protocol::{EntityId, PlayerId, RoomId};

use super::chatter::{Heard, Said, Wrongs};
use super::report::{Quantiles, of_micros};

/// What a bot knows at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Who it is, and in which room; nobody if it has no connection.
    pub(super) identity: Option<(RoomId, PlayerId)>,
    /// Its own entity, and all that it is shown.
    pub(super) own: Option<EntityId>,
    pub(super) shown: Vec<EntityId>,
    pub(super) said: Said,
    pub(super) heard: BTreeMap<PlayerId, Heard>,
    pub(super) wrongs: Wrongs,
    /// What the client did not take, of what the bot wanted to say.
    pub(super) refused: u64,
    pub(super) cuts: u64,
    pub(super) resumed: u64,
    pub(super) wrong_outcomes: u64,
    /// How often its entity became another although its session went on.
    pub(super) changed_entities: u64,
    /// Its state is old, or was not found to be right since.
    pub(super) is_stale: bool,
}

/// What is told of sessions; the names are those of `lab --chaos`. All from `messages_lost` on are to be 0.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct SessionReport {
    /// Connections that were cut, and how many chance makes of it on average.
    pub(crate) cuts: u64,
    pub(crate) cuts_due: f64,
    /// Welcomes by which a session went on.
    pub(crate) resumed: u64,
    /// From the loss of a connection to the welcome by which its session goes on, milliseconds.
    pub(crate) resume_ms: Quantiles,
    /// Things that bots have said.
    pub(crate) said: u64,
    /// Reliable messages that bots have heard.
    pub(crate) messages: u64,
    /// Share of the unreliable messages that were heard; nothing if bots do not talk.
    pub(crate) unreliable_heard_ratio: Option<f64>,
    pub(crate) messages_refused: u64,
    pub(crate) messages_lost: u64,
    pub(crate) messages_doubled: u64,
    pub(crate) messages_reordered: u64,
    pub(crate) messages_garbled: u64,
    pub(crate) ghost_entities: u64,
    pub(crate) aliased_ids: u64,
    pub(crate) stale_state_after_heal: u64,
    pub(crate) wrong_outcome_told: u64,
}

impl SessionReport {
    /// Compares what the bots say. `speaks`: they were to talk.
    pub(super) fn new(accounts: &[&Account], resume_micros: &Histogram<u64>, speaks: bool) -> Self {
        let sum = |count: fn(&Account) -> u64| accounts.iter().map(|account| count(account)).sum();
        let mut report = Self {
            cuts: sum(|account| account.cuts),
            resumed: sum(|account| account.resumed),
            resume_ms: of_micros(resume_micros),
            said: sum(|account| {
                [account.said.lines, account.said.emotes, account.said.marks].map(u64::from).iter().sum()
            }),
            messages: sum(|account| account.heard.values().map(|heard| u64::from(heard.lines)).sum()),
            messages_refused: sum(|account| account.refused),
            messages_doubled: sum(|account| account.wrongs.doubled),
            messages_reordered: sum(|account| account.wrongs.reordered),
            messages_garbled: sum(|account| account.wrongs.garbled),
            aliased_ids: sum(|account| account.changed_entities),
            stale_state_after_heal: sum(|account| u64::from(account.is_stale)),
            wrong_outcome_told: sum(|account| account.wrong_outcomes),
            ..Self::default()
        };
        let mut rooms: BTreeMap<RoomId, Vec<(PlayerId, &Account)>> = BTreeMap::new();
        for account in accounts {
            if let Some((room, player)) = account.identity {
                rooms.entry(room).or_default().push((player, account));
            }
        }
        let (mut marks_due, mut marks_heard) = (0, 0);
        for bots in rooms.values() {
            report.compare_entities(bots);
            if speaks {
                let (due, heard) = report.compare_talk(bots);
                (marks_due, marks_heard) = (marks_due + due, marks_heard + heard);
            }
        }
        report.unreliable_heard_ratio = speaks.then(|| marks_heard as f64 / (marks_due as f64).max(1.0));
        report
    }

    /// Entities that belong to nobody, and those that two take for their own.
    fn compare_entities(&mut self, bots: &[(PlayerId, &Account)]) {
        let mut own = BTreeSet::new();
        for (_, account) in bots {
            self.aliased_ids += u64::from(account.own.is_some_and(|id| !own.insert(id)));
        }
        let shown: BTreeSet<_> = bots.iter().flat_map(|(_, account)| &account.shown).collect();
        self.ghost_entities += shown.into_iter().filter(|id| !own.contains(id)).count() as u64;
    }

    /// What some have said and others have not heard; the marks that could have been heard, and those that were.
    fn compare_talk(&mut self, bots: &[(PlayerId, &Account)]) -> (u64, u64) {
        let (mut marks_due, mut marks_heard) = (0, 0);
        for (_, listener) in bots {
            for (speaker, Account { said, .. }) in bots {
                let heard = listener.heard.get(speaker).copied().unwrap_or_default();
                self.messages_lost += u64::from(said.lines.saturating_sub(heard.lines));
                self.messages_lost += u64::from(said.emotes > heard.newest_emote);
                marks_due += u64::from(said.marks);
                marks_heard += u64::from(heard.marks);
            }
        }
        (marks_due, marks_heard)
    }

    /// Whether everything that is promised holds.
    pub(super) fn is_sound(&self) -> bool {
        let Self {
            messages_refused,
            messages_lost,
            messages_doubled,
            messages_reordered,
            messages_garbled,
            ghost_entities,
            aliased_ids,
            stale_state_after_heal,
            wrong_outcome_told,
            ..
        } = *self;
        [messages_refused, messages_lost, messages_doubled, messages_reordered, messages_garbled] == [0; 5]
            && [ghost_entities, aliased_ids, stale_state_after_heal, wrong_outcome_told] == [0; 4]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::outcome::histogram;

    /// Two bots in a room who have heard each other.
    fn pair() -> [Account; 2] {
        let id = |slot| EntityId { slot, generation: 1 };
        let said = Said { lines: 4, emotes: 2, marks: 2 };
        let heard = Heard { lines: 4, newest_line: 4, newest_emote: 2, marks: 1, ..Heard::default() };
        [0, 1].map(|number| Account {
            identity: Some((RoomId(1), PlayerId(u32::from(number)))),
            own: Some(id(number)),
            shown: vec![id(0), id(1)],
            said,
            heard: [0, 1].map(|player| (PlayerId(player), heard)).into(),
            ..Account::default()
        })
    }

    fn report(accounts: &[Account; 2]) -> SessionReport {
        SessionReport::new(&accounts.each_ref(), &histogram(), true)
    }

    #[test]
    fn a_sound_pair_is_sound() {
        let report = report(&pair());
        assert!(report.is_sound(), "{report:?}");
        assert_eq!((report.said, report.messages), (16, 16));
        assert_eq!(report.unreliable_heard_ratio, Some(0.5));
    }

    #[test]
    fn whatever_is_wrong_is_counted_under_its_name() {
        let with = |spoil: fn(&mut Account)| {
            let mut pair = pair();
            spoil(&mut pair[1]);
            let report = report(&pair);
            assert!(!report.is_sound(), "{report:?}");
            report
        };
        assert_eq!(with(|bot| bot.heard.clear()).messages_lost, 10);
        assert_eq!(with(|bot| bot.said.lines = 5).messages_lost, 2);
        assert_eq!(with(|bot| bot.said.emotes = 3).messages_lost, 2);
        assert_eq!(with(|bot| bot.shown.push(EntityId { slot: 9, generation: 3 })).ghost_entities, 1);
        let aliased = with(|bot| bot.own = Some(EntityId { slot: 0, generation: 1 }));
        assert_eq!((aliased.aliased_ids, aliased.ghost_entities), (1, 1));
        assert_eq!(with(|bot| bot.is_stale = true).stale_state_after_heal, 1);
        assert_eq!(with(|bot| bot.wrong_outcomes = 2).wrong_outcome_told, 2);
        assert_eq!(with(|bot| bot.wrongs.doubled = 1).messages_doubled, 1);
        assert_eq!(with(|bot| bot.refused = 1).messages_refused, 1);
    }
}
