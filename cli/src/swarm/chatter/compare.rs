//! What some bots of a room have said, and others have not heard.

use std::collections::BTreeMap;

use serde::Serialize;
use tickwire_protocol::{GroupId, PlayerId};

use super::Tally;

/// What is told of all that bots said. All from `messages_refused` on are to be 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct ChatterReport {
    /// Lines, emotes, marks and cheers that bots have said to everyone.
    pub(crate) said: u64,
    /// Reliable messages that bots have heard: lines, and those of their teams.
    pub(crate) messages: u64,
    /// Share of the unreliable messages that were heard; nothing if bots do not talk.
    pub(crate) unreliable_heard_ratio: Option<f64>,
    /// Game events that bots were told.
    pub(crate) events: u64,
    /// Requests that were answered.
    pub(crate) requests: u64,
    /// Bulk transfers from bot to bot, by way of the server.
    pub(crate) bulks: u64,
    pub(crate) pauses: u64,
    pub(crate) messages_refused: u64,
    pub(crate) messages_lost: u64,
    pub(crate) messages_doubled: u64,
    pub(crate) messages_reordered: u64,
    pub(crate) messages_garbled: u64,
    pub(crate) events_lost: u64,
    pub(crate) events_early: u64,
    pub(crate) requests_lost: u64,
    /// Of these, those that were not answered in time.
    pub(crate) requests_timed_out: u64,
    pub(crate) bulks_lost: u64,
    /// Bots whose groups are not what the others make of them.
    pub(crate) groups_wrong: u64,
    /// Rows of members and scores that are missing, or are not the newest.
    pub(crate) tables_wrong: u64,
}

/// The bots of a room.
type Bots<'a> = [(PlayerId, &'a Tally)];

impl ChatterReport {
    /// Compares what bots say, room by room.
    pub(in crate::swarm) fn new<'a>(rooms: impl IntoIterator<Item = Vec<(PlayerId, &'a Tally)>>) -> Self {
        let mut report = Self::default();
        let (mut marks_due, mut marks_heard) = (0, 0);
        let mut has_bots = false;
        for bots in rooms {
            has_bots |= !bots.is_empty();
            for (_, tally) in &bots {
                report.add(tally);
            }
            let (due, heard) = report.compare_talk(&bots);
            (marks_due, marks_heard) = (marks_due + due, marks_heard + heard);
            report.compare_teams(&bots);
            report.compare_pictures(&bots);
            report.compare_tables(&bots);
        }
        report.unreliable_heard_ratio = has_bots.then(|| marks_heard as f64 / (marks_due as f64).max(1.0));
        report
    }

    /// What a bot says for itself.
    fn add(&mut self, tally: &Tally) {
        let said = tally.said;
        self.said += [said.lines, said.emotes, said.marks, said.cheers].map(u64::from).iter().sum::<u64>();
        for heard in tally.heard.values() {
            self.messages += u64::from(heard.lines);
            self.events += u64::from(heard.cheers);
        }
        self.messages += tally.teams.heard.values().map(|lines| lines.len() as u64).sum::<u64>();
        self.requests += tally.answered;
        self.pauses += tally.pauses;
        self.messages_refused += tally.refused;
        self.messages_doubled += tally.wrongs.doubled;
        self.messages_reordered += tally.wrongs.reordered;
        self.messages_garbled += tally.wrongs.garbled;
        self.events_early += tally.early;
        self.requests_lost += tally.requests_lost;
        self.requests_timed_out += tally.requests_timed_out;
        self.bulks_lost += tally.pictures.failed;
    }

    /// What was said to everyone; the marks that could have been heard, and those that were.
    fn compare_talk(&mut self, bots: &Bots<'_>) -> (u64, u64) {
        let (mut marks_due, mut marks_heard) = (0, 0);
        for (_, listener) in bots {
            for (speaker, Tally { said, .. }) in bots {
                let heard = listener.heard.get(speaker).copied().unwrap_or_default();
                self.messages_lost += u64::from(said.lines.saturating_sub(heard.lines));
                self.messages_lost += u64::from(said.emotes > heard.newest_emote);
                self.events_lost += u64::from(said.cheers.saturating_sub(heard.cheers));
                marks_due += u64::from(said.marks);
                marks_heard += u64::from(heard.marks);
            }
        }
        (marks_due, marks_heard)
    }

    /// What was said to teams, and whether everyone knows who is in its own.
    fn compare_teams(&mut self, bots: &Bots<'_>) {
        let mut newest = BTreeMap::<u32, u32>::new();
        let mut members = BTreeMap::<u32, Vec<PlayerId>>::new();
        for (player, Tally { teams, .. }) in bots {
            for (team, line) in teams.heard.iter().filter_map(|(team, lines)| Some((*team, *lines.last()?))) {
                let newest = newest.entry(team).or_default();
                *newest = line.max(*newest);
            }
            members.entry(teams.team()).or_default().push(*player);
        }
        for players in members.values_mut() {
            players.sort_unstable();
        }
        for (_, Tally { teams, .. }) in bots {
            let (lost, strange) = teams.compare(&newest);
            self.messages_lost += lost;
            self.messages_garbled += strange;
            let own = members.get_key_value(&teams.team()).filter(|(team, _)| **team > 0);
            let own = own.map(|(team, players)| (GroupId(*team), players.clone()));
            self.groups_wrong += u64::from(teams.groups != own.into_iter().collect::<Vec<_>>());
        }
    }

    /// Pictures that were taken of one and have not reached the other.
    fn compare_pictures(&mut self, bots: &Bots<'_>) {
        let received: BTreeMap<_, _> =
            bots.iter().map(|(player, tally)| (*player, &tally.pictures.received)).collect();
        for (from, tally) in bots {
            for (to, number) in &tally.pictures.sent {
                let is_there = received.get(to).is_some_and(|received| received.contains(&(*from, *number)));
                self.bulks += u64::from(is_there);
                self.bulks_lost += u64::from(!is_there);
            }
        }
    }

    /// What each was told of the others: their names, and that they have scores.
    fn compare_tables(&mut self, bots: &Bots<'_>) {
        for (_, listener) in bots {
            for (player, other) in bots {
                self.tables_wrong += u64::from(listener.names.get(player) != Some(&other.name));
                self.tables_wrong += u64::from(!listener.scored.contains(player));
            }
        }
    }

    /// Whether everything that is promised holds.
    pub(in crate::swarm) fn is_sound(&self) -> bool {
        let Self {
            messages_refused,
            messages_lost,
            messages_doubled,
            messages_reordered,
            messages_garbled,
            events_lost,
            events_early,
            requests_lost,
            bulks_lost,
            groups_wrong,
            tables_wrong,
            ..
        } = *self;
        [messages_refused, messages_lost, messages_doubled, messages_reordered, messages_garbled] == [0; 5]
            && [events_lost, events_early, requests_lost, bulks_lost, groups_wrong, tables_wrong] == [0; 6]
    }
}

#[cfg(test)]
mod tests {
    use super::super::talk::{Heard, Said};
    use super::super::teams::{Stay, TeamTally};
    use super::*;

    /// Two bots in a room who have heard each other, are in team 1 together since its second line, and have sent each other a
    /// picture.
    fn pair() -> [Tally; 2] {
        let said = Said { lines: 4, emotes: 2, marks: 2, cheers: 3 };
        let heard = Heard {
            lines: 4,
            newest_line: 4,
            newest_emote: 2,
            marks: 1,
            cheers: 3,
            newest_cheer: 3,
            ..Heard::default()
        };
        let both = [0, 1].map(PlayerId);
        both.map(|player| {
            let other = PlayerId(1 - player.0);
            let mut tally = Tally {
                said,
                heard: both.map(|player| (player, heard)).into(),
                teams: TeamTally {
                    stays: vec![Stay { team: 1, from: 1, to: None }],
                    heard: [(1, vec![2, 3])].into(),
                    groups: vec![(GroupId(1), both.to_vec())],
                },
                answered: 5,
                pauses: 1,
                name: 2,
                names: both.map(|player| (player, 2)).into(),
                scored: both.into(),
                ..Tally::default()
            };
            tally.pictures.sent = vec![(other, 1)];
            tally.pictures.received = [(other, 1)].into();
            tally
        })
    }

    fn report(tallies: &[Tally; 2]) -> ChatterReport {
        let room = tallies.iter().enumerate().map(|(player, tally)| (PlayerId(player as u32), tally));
        ChatterReport::new([room.collect()])
    }

    #[test]
    fn a_sound_pair_is_sound() {
        let report = report(&pair());
        assert!(report.is_sound(), "{report:?}");
        assert_eq!((report.said, report.messages, report.events), (22, 20, 12));
        assert_eq!((report.requests, report.bulks, report.pauses), (10, 2, 2));
        assert_eq!(report.unreliable_heard_ratio, Some(0.5));
        assert_eq!(ChatterReport::new([]), ChatterReport::default());
    }

    #[test]
    fn whatever_is_wrong_is_counted_under_its_name() {
        let with = |spoil: fn(&mut Tally)| {
            let mut pair = pair();
            spoil(&mut pair[1]);
            let report = report(&pair);
            assert!(!report.is_sound(), "{report:?}");
            report
        };
        assert_eq!(with(|bot| bot.said.lines = 5).messages_lost, 2);
        assert_eq!(with(|bot| bot.said.emotes = 3).messages_lost, 2);
        let deaf = with(|bot| bot.heard.clear());
        assert_eq!((deaf.messages_lost, deaf.events_lost), (10, 6));
        assert_eq!(with(|bot| bot.said.cheers = 4).events_lost, 2);
        assert_eq!(with(|bot| bot.early = 1).events_early, 1);
        assert_eq!(with(|bot| bot.wrongs.doubled = 1).messages_doubled, 1);
        assert_eq!(with(|bot| bot.wrongs.reordered = 1).messages_reordered, 1);
        assert_eq!(with(|bot| bot.wrongs.garbled = 1).messages_garbled, 1);
        assert_eq!(with(|bot| bot.refused = 1).messages_refused, 1);
        assert_eq!(with(|bot| bot.requests_lost = 1).requests_lost, 1);
        assert_eq!(with(|bot| bot.teams.heard = [(1, vec![3])].into()).messages_lost, 1);
        assert_eq!(with(|bot| bot.teams.heard = [(1, vec![1, 2, 3])].into()).messages_garbled, 1);
        assert_eq!(with(|bot| bot.teams.groups.clear()).groups_wrong, 1);
        assert_eq!(with(|bot| bot.pictures.sent.push((PlayerId(0), 2))).bulks_lost, 1);
        assert_eq!(with(|bot| bot.pictures.failed = 1).bulks_lost, 1);
        assert_eq!(with(|bot| bot.name = 3).tables_wrong, 2);
        assert_eq!(with(|bot| bot.names.retain(|player, _| player.0 == 1)).tables_wrong, 1);
        assert_eq!(with(|bot| bot.scored.clear()).tables_wrong, 2);
    }
}
