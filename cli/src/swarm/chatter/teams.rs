//! What bots say to their teams, which they change now and then.
//!
//! The arena numbers a team's lines, and says with each change where the one ends and the other begins: so a bot knows exactly
//! which lines it is to hear.

use std::collections::BTreeMap;

use tickwire_client::Client;
use tickwire_protocol::{GroupId, Micros, PlayerId};
use tickwire_sim::Random;
use tickwire_sim::arena::{JOIN_TEAM, TEAM_CHAT, TEAMS, TeamChange, TeamLine};

use super::Wrongs;
use super::requests::{Asked, Requests};
use super::talk::line;

/// The time that a bot was in a team, in lines of that team.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::swarm) struct Stay {
    pub(in crate::swarm) team: u32,
    /// The last line before it came.
    pub(in crate::swarm) from: u32,
    /// The last line before it left; none if it is there still.
    pub(in crate::swarm) to: Option<u32>,
}

/// What a bot knows of teams at the end.
#[derive(Clone, Debug, Default)]
pub(in crate::swarm) struct TeamTally {
    pub(in crate::swarm) stays: Vec<Stay>,
    /// The lines of each team that it has heard, ascending.
    pub(in crate::swarm) heard: BTreeMap<u32, Vec<u32>>,
    /// Its groups, as its client was told.
    pub(in crate::swarm) groups: Vec<(GroupId, Vec<PlayerId>)>,
}

impl TeamTally {
    /// The team that it is in; 0 if it is in none.
    pub(in crate::swarm) fn team(&self) -> u32 {
        self.stays.last().filter(|stay| stay.to.is_none()).map_or(0, |stay| stay.team)
    }

    /// Of the lines that it was to hear, those that it has not; and those that it has heard and was not to. `newest` is the newest line
    /// of each team.
    pub(in crate::swarm) fn compare(&self, newest: &BTreeMap<u32, u32>) -> (u64, u64) {
        let mut heard: BTreeMap<_, &[u32]> =
            self.heard.iter().map(|(team, lines)| (*team, &lines[..])).collect();
        let (mut lost, mut strange) = (0, 0);
        for stay in &self.stays {
            let to = stay.to.unwrap_or_else(|| newest.get(&stay.team).copied().unwrap_or_default());
            let left = heard.entry(stay.team).or_default();
            let (before, since) = left.split_at(left.partition_point(|line| *line <= stay.from));
            let (during, after) = since.split_at(since.partition_point(|line| *line <= to));
            strange += before.len() as u64;
            lost += u64::from(to.saturating_sub(stay.from)) - during.len() as u64;
            *left = after;
        }
        strange += heard.values().map(|lines| lines.len() as u64).sum::<u64>();
        (lost, strange)
    }
}

/// One bot's teams.
#[derive(Debug, Default)]
pub(super) struct Teams {
    stays: Vec<Stay>,
    heard: BTreeMap<u32, Vec<u32>>,
    said: u32,
    wrongs: Wrongs,
}

impl Teams {
    pub(super) fn wrongs(&self) -> Wrongs {
        self.wrongs
    }

    pub(super) fn tally(&self, client: &Client) -> TeamTally {
        let groups = client.groups().iter().map(|(group, members)| (group, members.to_vec()));
        TeamTally { stays: self.stays.clone(), heard: self.heard.clone(), groups: groups.collect() }
    }

    fn stay(&mut self) -> Option<&mut Stay> {
        self.stays.last_mut().filter(|stay| stay.to.is_none())
    }

    /// Wishes to be in another team, or in none; whether the client takes it.
    pub(super) fn change(
        &mut self,
        now: Micros,
        client: &mut Client,
        requests: &mut Requests,
        random: &mut Random,
    ) -> bool {
        if requests.is_changing_team() {
            return true;
        }
        let now_in = self.stay().map_or(0, |stay| stay.team);
        let team = (now_in + 1 + random.below(TEAMS)) % (TEAMS + 1);
        requests.request(now, client, JOIN_TEAM, &team.to_le_bytes(), Asked::Team(team))
    }

    /// Says a line to its team, if it is in one; whether the client takes it.
    pub(super) fn say(&mut self, now: Micros, client: &mut Client) -> bool {
        if self.stay().is_none() {
            return true;
        }
        self.said += 1;
        client.send(now, TEAM_CHAT, 0, line(self.said)).is_ok()
    }

    /// The game has put it into this team.
    pub(super) fn handle_change(&mut self, team: u32, body: &[u8]) {
        let Some(change) = TeamChange::decode(body) else {
            self.wrongs.garbled += 1;
            return;
        };
        if let Some(stay) = self.stay() {
            stay.to = Some(change.left_at);
        }
        if team > 0 {
            self.stays.push(Stay { team, from: change.joined_at, to: None });
        }
    }

    pub(super) fn hear(&mut self, body: &[u8]) {
        let Some(TeamLine { team, number, line: said, .. }) = TeamLine::decode(body) else {
            self.wrongs.garbled += 1;
            return;
        };
        let is_whole = said.split_once(' ').and_then(|(number, _)| number.parse().ok()).map(line);
        self.wrongs.garbled += u64::from(is_whole != Some(said));
        let heard = self.heard.entry(team).or_default();
        match heard.last() {
            Some(&newest) if newest == number => self.wrongs.doubled += 1,
            Some(&newest) if newest > number => self.wrongs.reordered += 1,
            _ => heard.push(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn teams(changes: &[(u32, u32, u32)], lines: &[(u32, u32)]) -> Teams {
        let mut teams = Teams::default();
        for (team, left_at, joined_at) in changes {
            teams.handle_change(*team, &[left_at.to_le_bytes(), joined_at.to_le_bytes()].concat());
        }
        for (team, number) in lines {
            let header = [3, *team, *number].map(u32::to_le_bytes).concat();
            teams.hear(&[&header[..], line(*number).as_bytes()].concat());
        }
        teams
    }

    fn compare(changes: &[(u32, u32, u32)], lines: &[(u32, u32)]) -> (u64, u64) {
        let Teams { stays, heard, wrongs, .. } = teams(changes, lines);
        assert_eq!(wrongs, Wrongs::default());
        TeamTally { stays, heard, groups: Vec::new() }.compare(&[(1, 6), (2, 9)].into())
    }

    #[test]
    fn what_is_said_to_a_team_while_a_bot_is_in_it_is_what_it_hears() {
        // In team 1 for lines 3 and 4, in team 2 for line 9, in none, and in team 1 again since line 5.
        let changes = [(1, 0, 2), (2, 4, 8), (0, 9, 0), (1, 0, 5)];
        assert_eq!(compare(&changes, &[(1, 3), (1, 4), (2, 9), (1, 6)]), (0, 0));
        assert_eq!(compare(&changes, &[(1, 3), (2, 9), (1, 6)]), (1, 0), "one is lost");
        assert_eq!(compare(&changes, &[(1, 3), (1, 4), (2, 9)]), (1, 0), "and at the end");
        assert_eq!(compare(&changes, &[(1, 3), (1, 4), (1, 5), (2, 9), (1, 6)]), (0, 1), "it was away");
        assert_eq!(compare(&changes, &[(1, 3), (1, 4), (2, 9), (1, 6), (7, 1)]), (0, 1), "never there");
    }

    #[test]
    fn what_went_wrong_on_the_way_is_found() {
        assert_eq!(teams(&[(1, 0, 0)], &[(1, 1), (1, 1)]).wrongs().doubled, 1);
        assert_eq!(teams(&[(1, 0, 0)], &[(1, 2), (1, 1)]).wrongs().reordered, 1);
        let mut teams = Teams::default();
        teams.hear(b"no line");
        teams.handle_change(1, &[0; 3]);
        assert_eq!(teams.wrongs().garbled, 2);
    }
}
