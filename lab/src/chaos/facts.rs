//! What the game of the server's side tells the lab, which is no part of its state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};

use tickwire_protocol::{GroupId, PlayerId};

use super::report::ChaosReport;
use super::tag::{Person, Tag};

/// Who is in which group.
pub(super) type Company = BTreeMap<GroupId, BTreeSet<PlayerId>>;

#[derive(Debug)]
pub(super) enum Fact {
    /// A message of which only the newest counts was heard behind one that is not older.
    Back(Tag),
    /// The game has seen this question of a client's.
    Handled(Tag),
    /// By the answer a client has seen this question; or it has not.
    Done(Tag),
    NotDone(Tag),
    /// An event to a player was taken.
    Told(Person),
    /// Something was said to a group with this player in it. If it was not taken, somebody in it does not hear it.
    News {
        to: Person,
        tag: Tag,
        is_taken: bool,
    },
    /// A client has this content; or the game has.
    Sent(Tag),
    Received(Tag),
    /// After a step: what the game has found wrong, how much of its own has not ended, and the groups.
    Stepped {
        found: ChaosReport,
        open: usize,
        groups: Company,
    },
}

/// What was told by all starts of the server.
#[derive(Debug)]
pub(super) struct Ledger {
    facts: (Sender<Fact>, Receiver<Fact>),
    pub(super) back: Vec<Tag>,
    /// How often each question of a client's was seen.
    pub(super) handled: BTreeMap<Tag, u32>,
    pub(super) done: BTreeSet<Tag>,
    pub(super) not_done: BTreeSet<Tag>,
    /// Events to each player.
    pub(super) told: BTreeMap<Person, u32>,
    /// The newest that was said to each player in each group: as taken, and at most.
    pub(super) news: BTreeMap<(Person, Person), (u32, u32)>,
    pub(super) sent: BTreeSet<Tag>,
    pub(super) received: BTreeSet<Tag>,
    pub(super) open: usize,
    pub(super) groups: Company,
    pub(super) found: ChaosReport,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            facts: channel(),
            back: Vec::new(),
            handled: BTreeMap::new(),
            done: BTreeSet::new(),
            not_done: BTreeSet::new(),
            told: BTreeMap::new(),
            news: BTreeMap::new(),
            sent: BTreeSet::new(),
            received: BTreeSet::new(),
            open: 0,
            groups: Company::new(),
            found: ChaosReport::default(),
        }
    }

    /// For a game that is to tell.
    pub(super) fn teller(&self) -> Sender<Fact> {
        self.facts.0.clone()
    }

    /// Takes in what was told since.
    pub(super) fn read(&mut self) {
        while let Ok(fact) = self.facts.1.try_recv() {
            self.take(fact);
        }
    }

    fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Back(tag) => self.back.push(tag),
            Fact::Handled(tag) => *self.handled.entry(tag).or_default() += 1,
            Fact::Done(tag) => drop(self.done.insert(tag)),
            Fact::NotDone(tag) => drop(self.not_done.insert(tag)),
            Fact::Told(person) => *self.told.entry(person).or_default() += 1,
            Fact::News { to, tag: Tag { who, number }, is_taken } => {
                let (sure, most) = self.news.entry((to, who)).or_default();
                *most = number;
                if is_taken {
                    *sure = number;
                }
            }
            Fact::Sent(tag) => drop(self.sent.insert(tag)),
            Fact::Received(tag) => {
                self.found.messages_doubled += u64::from(!self.received.insert(tag));
            }
            Fact::Stepped { found, open, groups } => {
                self.found.merge(&found);
                (self.open, self.groups) = (open, groups);
            }
        }
    }
}
