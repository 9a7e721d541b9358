//! What a program of a client knows of what was said. Who goes on with an export knows what was known when it was made, and hears the rest again
//! or is told that it is missing.

use std::collections::{BTreeMap, BTreeSet};

use tickwire_client::ToldEvent;
use tickwire_protocol::message::{Lane, Message, MessageId, MessageTypeId, Missed};

use super::game::{MOMENT, NEWEST, NEWS};
use super::report::ChaosReport;
use super::tag::{Person, Tag};

/// A message, by its number.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Said {
    Talk(u32),
    Newest(u32),
    Brief(u32),
}

impl Said {
    /// Of what only the newest counts.
    pub(super) fn newest(self) -> Option<u32> {
        if let Self::Newest(number) = self { Some(number) } else { None }
    }
}

/// What was heard, by who the client was then.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// The messages whose fate is not known.
    pub(super) waiting: BTreeMap<MessageId, Said>,
    /// The next number that it is to hear.
    pub(super) next: BTreeMap<Person, u32>,
    /// The newest of what only that counts of; of groups, by group.
    newest_heard: BTreeMap<(MessageTypeId, Person), u32>,
    moment_heard: BTreeMap<Person, u32>,
    /// Events; of each type those that name nobody come in their order.
    events: BTreeMap<Person, BTreeSet<u32>>,
    nameless: BTreeMap<(MessageTypeId, Person), u32>,
    /// So many are missing, as it was told.
    events_missed: BTreeMap<Person, u64>,
    /// Questions.
    handled: BTreeSet<Tag>,
}

impl Memory {
    /// It was told what it does not hear any more: it hears what comes behind that.
    pub(super) fn miss(&mut self, person: Person, missed: Missed) {
        *self.next.entry(person).or_default() += missed.of(Lane::Messages) as u32;
        *self.events_missed.entry(person).or_default() += missed.of(Lane::Events);
    }

    pub(super) fn hear_message(
        &mut self,
        message: &Message,
        present: Option<Person>,
        report: &mut ChaosReport,
    ) {
        let Tag { who, number } = Tag::read(&message.body);
        match message.ty {
            MOMENT => {
                report.messages_doubled += u64::from(!is_newer(&mut self.moment_heard, who, number));
            }
            NEWEST | NEWS => {
                let is_newer = is_newer(&mut self.newest_heard, (message.ty, who), number);
                report.messages_reordered += u64::from(!is_newer);
            }
            _ => {
                report.messages += 1;
                let next = self.next.entry(who).or_default();
                report.messages_doubled += u64::from(number < *next);
                // Of sessions that are over, what was not polled in time may be missing: fresh was told.
                report.messages_reordered += u64::from(number > *next && present == Some(who));
                *next = (*next).max(number + 1);
            }
        }
    }

    pub(super) fn hear_event(&mut self, told: &ToldEvent, report: &mut ChaosReport) {
        let Tag { who, number } = Tag::read(&told.event.body);
        report.messages += 1;
        report.messages_doubled += u64::from(!self.events.entry(who).or_default().insert(number));
        if told.event.source.or(told.event.target).is_none() {
            let is_next = is_newer(&mut self.nameless, (told.ty, who), number + 1);
            report.messages_reordered += u64::from(!is_next);
        }
    }

    /// A question of the server's game.
    pub(super) fn hear_question(&mut self, tag: Tag, report: &mut ChaosReport) {
        report.messages_doubled += u64::from(!self.handled.insert(tag));
    }

    /// So many of the events that were taken for a player are neither heard nor told to be missing, or the other way round.
    pub(super) fn events_lost(&self, person: Person, told: u32) -> u64 {
        let heard = self.events.get(&person).map_or(0, BTreeSet::len) as u64;
        let missed = self.events_missed.get(&person).copied().unwrap_or_default();
        u64::from(told).abs_diff(heard + missed)
    }
}

/// Whether a number is newer than the newest before.
pub(super) fn is_newer<K: Ord>(newest: &mut BTreeMap<K, u32>, key: K, number: u32) -> bool {
    let newest = newest.entry(key).or_default();
    let is_newer = number > *newest;
    *newest = number.max(*newest);
    is_newer
}
