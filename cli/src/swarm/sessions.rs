//! Whether sessions kept what is promised of them: `--churn` and `--chatter`.
//!
//! Each bot leaves an [`Account`] when all has been left in peace for a while; what every side knows is compared.

use std::collections::{BTreeMap, BTreeSet};

use hdrhistogram::Histogram;
use serde::Serialize;
use tickwire_protocol::{EntityId, PlayerId, RoomId};

use super::chatter::{ChatterReport, Tally};
use super::report::{Quantiles, of_micros};

/// What a bot knows at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Who it is, and in which room; nobody if it has no connection.
    pub(super) identity: Option<(RoomId, PlayerId)>,
    /// Its own entity, and all that it is shown.
    pub(super) own: Option<EntityId>,
    pub(super) shown: Vec<EntityId>,
    /// What it said and was told, if it talks.
    pub(super) chatter: Option<Tally>,
    pub(super) cuts: u64,
    pub(super) resumed: u64,
    pub(super) wrong_outcomes: u64,
    /// How often its entity became another although its session went on.
    pub(super) changed_entities: u64,
    /// Its state is old, or was not found to be right since.
    pub(super) is_stale: bool,
}

/// What is told of sessions; the names are those of `lab --chaos`. All from `ghost_entities` on are to be 0.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct SessionReport {
    /// As in the report of chaos, which has as many runs: the swarm's one.
    pub(crate) seeds: u64,
    /// Connections that were cut, and how many chance makes of it on average.
    pub(crate) cuts: u64,
    pub(crate) cuts_due: f64,
    /// Welcomes by which a session went on.
    pub(crate) resumed: u64,
    /// From the loss of a connection to the welcome by which its session goes on, milliseconds.
    pub(crate) resume_ms: Quantiles,
    /// What was said; its keys stand among the others.
    #[serde(flatten)]
    pub(crate) chatter: ChatterReport,
    pub(crate) ghost_entities: u64,
    pub(crate) aliased_ids: u64,
    pub(crate) stale_state_after_heal: u64,
    pub(crate) wrong_outcome_told: u64,
}

/// The bots of a room.
type Bots<'a> = Vec<(PlayerId, &'a Account)>;

impl SessionReport {
    /// Compares what the bots say.
    pub(super) fn new(accounts: &[&Account], resume_micros: &Histogram<u64>) -> Self {
        let sum = |count: fn(&Account) -> u64| accounts.iter().map(|account| count(account)).sum();
        let mut report = Self {
            seeds: 1,
            cuts: sum(|account| account.cuts),
            resumed: sum(|account| account.resumed),
            resume_ms: of_micros(resume_micros),
            aliased_ids: sum(|account| account.changed_entities),
            stale_state_after_heal: sum(|account| u64::from(account.is_stale)),
            wrong_outcome_told: sum(|account| account.wrong_outcomes),
            ..Self::default()
        };
        let mut rooms: BTreeMap<RoomId, Bots<'_>> = BTreeMap::new();
        for account in accounts {
            if let Some((room, player)) = account.identity {
                rooms.entry(room).or_default().push((player, account));
            }
        }
        for bots in rooms.values() {
            report.compare_entities(bots);
        }
        report.chatter = ChatterReport::new(rooms.values().map(|bots| {
            bots.iter().filter_map(|(player, account)| Some((*player, account.chatter.as_ref()?))).collect()
        }));
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

    /// Whether everything that is promised holds.
    pub(super) fn is_sound(&self) -> bool {
        let Self { chatter, ghost_entities, aliased_ids, stale_state_after_heal, wrong_outcome_told, .. } =
            *self;
        chatter.is_sound()
            && [ghost_entities, aliased_ids, stale_state_after_heal, wrong_outcome_told] == [0; 4]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::outcome::histogram;

    /// Two bots in a room who see each other.
    fn pair() -> [Account; 2] {
        let id = |slot| EntityId { slot, generation: 1 };
        [0, 1].map(|number| Account {
            identity: Some((RoomId(1), PlayerId(u32::from(number)))),
            own: Some(id(number)),
            shown: vec![id(0), id(1)],
            ..Account::default()
        })
    }

    fn report(accounts: &[Account; 2]) -> SessionReport {
        SessionReport::new(&accounts.each_ref(), &histogram())
    }

    #[test]
    fn a_sound_pair_is_sound() {
        let report = report(&pair());
        assert!(report.is_sound(), "{report:?}");
        assert_eq!(report.chatter, ChatterReport::default(), "nothing is said of who does not talk");
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
        assert_eq!(with(|bot| bot.shown.push(EntityId { slot: 9, generation: 3 })).ghost_entities, 1);
        let aliased = with(|bot| bot.own = Some(EntityId { slot: 0, generation: 1 }));
        assert_eq!((aliased.aliased_ids, aliased.ghost_entities), (1, 1));
        assert_eq!(with(|bot| bot.is_stale = true).stale_state_after_heal, 1);
        assert_eq!(with(|bot| bot.wrong_outcomes = 2).wrong_outcome_told, 2);
        // Two who talk are to be told of each other.
        let mut pair = pair();
        for bot in &mut pair {
            bot.chatter = Some(Tally::default());
        }
        assert!(report(&pair).chatter.tables_wrong == 8 && !report(&pair).is_sound());
    }
}
