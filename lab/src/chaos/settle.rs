//! The end of a run: what every side has said is compared with what the others have heard.

use std::collections::{BTreeMap, BTreeSet};

use tickwire_protocol::message::MessageTypeId;

use super::game::{Counts, NEWEST, NEWS, TALKER};
use super::memory::Said;
use super::run::{Chaos, OLD, PLAYERS};
use super::seat::Seat;
use super::tag::{Person, Tag};

impl Chaos {
    pub(super) fn settle(&mut self) {
        let entities = self.room.tables().rows(TALKER).count() as u64;
        self.report.ghost_entities += entities.abs_diff(u64::from(PLAYERS));
        for index in 0..self.seats.len() {
            self.settle_state(index);
            self.settle_room(index);
            if self.seats[index].is_player() {
                self.settle_heard(index);
                self.settle_said(index);
            }
        }
        self.settle_asked();
        self.settle_hauled();
        self.report.merge(&self.ledger.found);
        for counts in self.counted.values() {
            self.report.messages_doubled += counts.doubled as u64;
            self.report.messages_doubled += (counts.moment_back + counts.brief_back) as u64;
            self.report.messages_reordered += counts.gaps as u64;
            self.report.messages += (counts.next - (counts.first - 1).max(0)) as u64;
        }
    }

    // ---- the room ----------------------------------------------------------------------------------------------

    fn settle_state(&mut self, index: usize) {
        let (seat, report) = (&self.seats[index], &mut self.report);
        let stats = seat.client.stats(self.now);
        let age = seat.client.snapshot_age(self.now);
        // A link that stalls may have ended a connection just now.
        let is_stale = age.is_none_or(|age| age > OLD) || stats.digest_mismatches > 0;
        report.stale_state_after_heal += u64::from(is_stale);
        let truth = self.room.tables().rows(TALKER).map(|(head, row)| (head.id, Counts::read(row)));
        let truth: BTreeMap<_, _> = truth.collect();
        let view = seat.client.view(self.now);
        let shown = view.entities(TALKER).map(|entity| (entity.id(), Counts::read(entity.latest())));
        let shown: BTreeMap<_, _> = shown.collect();
        report.ghost_entities += shown.keys().filter(|id| !truth.contains_key(id)).count() as u64;
        report.aliased_ids +=
            truth.iter().filter(|(id, counts)| shown.get(id) != Some(counts)).count() as u64;
    }

    /// Who is there, who belongs together, and how the match stands.
    fn settle_room(&mut self, index: usize) {
        let client = &self.seats[index].client;
        let there = self
            .seats
            .iter()
            .filter_map(|seat| Some((seat.client.welcome()?.player?, seat.config.profile.clone())));
        let members = client.members().iter().map(|member| (member.player, member.profile.clone()));
        let is_right = members.collect::<BTreeMap<_, _>>() == there.collect();
        let me = client.welcome().and_then(|welcome| welcome.player);
        let mine =
            self.ledger.groups.iter().filter(|(_, players)| me.is_some_and(|me| players.contains(&me)));
        let told = client.groups().iter().map(|(group, players)| (group, players.iter().copied().collect()));
        let are_groups_right = told.eq(mine.map(|(group, players)| (*group, players.clone())));
        let (truth, shown) = (self.room.match_state(), client.match_state());
        let is_match_right = truth.info() == shown.info() && truth.scores().eq(shown.scores());
        let wrong = [is_right, are_groups_right, is_match_right].into_iter().filter(|is_right| !is_right);
        self.report.stale_state_after_heal += wrong.count() as u64;
    }

    // ---- messages and events -----------------------------------------------------------------------------------

    /// What the server has said to who the client is now.
    fn settle_heard(&mut self, index: usize) {
        let (seat, report, ledger) = (&self.seats[index], &mut self.report, &self.ledger);
        let Some(person) = seat.persons.last() else {
            report.faults += 1;
            return;
        };
        let counts = self.counted.get(person).copied().unwrap_or_default();
        let heard = seat.memory.next.get(person).copied().unwrap_or(0);
        report.messages_lost += u64::from((counts.said as u32).abs_diff(heard));
        let newest = newest_of(seat, NEWEST, *person);
        report.messages_lost += u64::from((counts.newest_said as u32).abs_diff(newest));
        let told = ledger.told.get(person).copied().unwrap_or_default();
        report.messages_lost += seat.memory.events_lost(*person, told);
        let news = ledger.news.iter().filter(|((to, _), _)| to == person);
        let is_known = |group: Person, sure: u32, most: u32| {
            (sure..=most).contains(&newest_of(seat, NEWS, group)) || sure == 0
        };
        report.messages_lost +=
            news.filter(|((_, group), (sure, most))| !is_known(*group, *sure, *most)).count() as u64;
    }

    /// What the client has said: somebody whom it was has heard it, or it was told that it is lost.
    fn settle_said(&mut self, index: usize) {
        let (seat, report, ledger) = (&self.seats[index], &mut self.report, &self.ledger);
        let counted: Vec<_> = seat.persons.iter().filter_map(|person| self.counted.get(person)).collect();
        let is_heard = |number: u32| counted.iter().any(|counts| counts.has_heard(number));
        let is_excused = |said: Said| seat.lost.contains(&said) || seat.forgotten.contains(&said);
        let unheard = (0..seat.said).filter(|number| !is_heard(*number));
        report.messages_lost += unheard.filter(|number| !is_excused(Said::Talk(*number))).count() as u64;
        let is_newest = counted.iter().any(|counts| counts.newest_heard as u32 == seat.newest_said);
        report.messages_lost += u64::from(!is_newest && !is_excused(Said::Newest(seat.newest_said)));
        let back = ledger.back.iter().filter(|tag| seat.persons.contains(&tag.who));
        report.messages_reordered += back.filter(|tag| !seat.rewritten.contains(&tag.number)).count() as u64;
        // What expires is heard if it was told that it is delivered, and not if it was told that it has expired.
        let briefs = counted.iter().map(|counts| counts.briefs as usize).sum::<usize>();
        report.messages_lost += seat.briefs_delivered.len().saturating_sub(briefs) as u64;
        let most = seat.briefs_delivered.union(&seat.briefs_uncertain).count();
        report.messages_doubled += briefs.saturating_sub(most) as u64;
    }

    // ---- questions and large contents --------------------------------------------------------------------------

    /// What was answered was done, once; what was not to be done was not; and everything has come to an end.
    fn settle_asked(&mut self) {
        let (report, ledger) = (&mut self.report, &self.ledger);
        report.messages_lost += ledger.open as u64;
        report.messages_doubled += ledger.handled.values().map(|times| u64::from(times - 1)).sum::<u64>();
        for seat in &self.seats {
            report.messages_lost += seat.open_ends();
            let is_handled = |tag: &&Tag| ledger.handled.contains_key(tag);
            report.messages_lost += seat.done.iter().filter(|tag| !is_handled(tag)).count() as u64;
            report.wrong_outcome_told += seat.not_done.iter().filter(is_handled).count() as u64;
        }
        let is_handled = |tag: &&Tag| self.seats.iter().any(|seat| seat.handled.contains(tag));
        report.messages_lost += ledger.done.iter().filter(|tag| !is_handled(tag)).count() as u64;
        report.wrong_outcome_told += ledger.not_done.iter().filter(is_handled).count() as u64;
    }

    /// Who is told that the other side has it is told what is so.
    fn settle_hauled(&mut self) {
        let ledger = &self.ledger;
        let up: BTreeSet<_> = self.seats.iter().flat_map(|seat| seat.sent.iter()).collect();
        let down: BTreeSet<_> = self.seats.iter().flat_map(|seat| seat.received.iter()).collect();
        let missing_above = up.iter().filter(|tag| !ledger.received.contains(tag)).count();
        let missing_below = ledger.sent.iter().filter(|tag| !down.contains(tag)).count();
        self.report.messages_lost += (missing_above + missing_below) as u64;
        self.report.messages += (ledger.received.len() + down.len() + ledger.handled.len()) as u64;
    }
}

fn newest_of(seat: &Seat, ty: MessageTypeId, who: Person) -> u32 {
    seat.newest_heard.get(&(ty, who)).copied().unwrap_or_default()
}
