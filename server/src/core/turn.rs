//! Whom a step hears next: one after another, and nobody for nothing twice.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use tickwire_protocol::{PlayerId, SessionId};

/// The order in which a step hears players: one thing of each in a round. Who has nothing more is not asked again in this step, so that a
/// step asks as often as there are players and things to be heard, and no more. The next step begins behind who was heard last.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Who is to be asked in this step, once it has asked at all.
    waiting: VecDeque<PlayerId>,
    has_begun: bool,
    /// Who was heard last, if somebody was.
    last: Option<PlayerId>,
}

/// The turns of all that a step hears.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    pub(crate) messages: Turn,
    pub(crate) requests: Turn,
    pub(crate) responses: Turn,
}

impl Turns {
    /// A step was made: the next asks everybody anew.
    pub(crate) fn handle_step(&mut self) {
        for turn in [&mut self.messages, &mut self.requests, &mut self.responses] {
            turn.handle_step();
        }
    }
}

impl Turn {
    /// The next thing that `poll` has of a player.
    pub(crate) fn hear<T>(
        &mut self,
        players: &BTreeMap<PlayerId, SessionId>,
        mut poll: impl FnMut(SessionId) -> Option<T>,
    ) -> Option<(PlayerId, T)> {
        if !core::mem::replace(&mut self.has_begun, true) {
            let behind = self.last.map_or(Bound::Unbounded, Bound::Excluded);
            let rest = self.last.map_or(Bound::Excluded(PlayerId(0)), Bound::Included);
            self.waiting.extend(players.range((behind, Bound::Unbounded)).map(|(player, _)| *player));
            self.waiting.extend(players.range((Bound::Unbounded, rest)).map(|(player, _)| *player));
        }
        while let Some(player) = self.waiting.pop_front() {
            if let Some(heard) = players.get(&player).and_then(|session| poll(*session)) {
                self.waiting.push_back(player);
                self.last = Some(player);
                return Some((player, heard));
            }
        }
        None
    }

    /// A player has something to be heard that the step itself has made.
    pub(crate) fn add(&mut self, player: PlayerId) {
        if self.has_begun && !self.waiting.contains(&player) {
            self.waiting.push_back(player);
        }
    }

    fn handle_step(&mut self) {
        self.waiting.clear();
        self.has_begun = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Players by number, each with so many things to say; its session has the same number.
    struct Crowd(BTreeMap<PlayerId, SessionId>, Vec<u32>);

    impl Crowd {
        fn new(things: &[u32]) -> Self {
            let players = (0..things.len() as u32).map(|it| (PlayerId(it), SessionId(u64::from(it))));
            Self(players.collect(), things.to_vec())
        }

        fn hear(&mut self, turn: &mut Turn, asked: &mut usize) -> Option<u32> {
            let Self(players, things) = self;
            let heard = turn.hear(players, |session| {
                *asked += 1;
                let left = &mut things[session.0 as usize];
                left.checked_sub(1).map(|less| *left = less)
            });
            heard.map(|(player, ())| player.0)
        }

        fn hear_so_many(&mut self, turn: &mut Turn, count: usize) -> Vec<u32> {
            core::iter::from_fn(|| self.hear(turn, &mut 0)).take(count).collect()
        }
    }

    #[test]
    fn one_thing_of_each_in_a_round_and_the_next_step_goes_on_behind() {
        let mut crowd = Crowd::new(&[3, 0, 2, 2]);
        let mut turn = Turn::default();
        assert_eq!(crowd.hear_so_many(&mut turn, 4), [0, 2, 3, 0]);
        turn.handle_step();
        assert_eq!(crowd.hear_so_many(&mut turn, 1), [2]);
        turn.handle_step();
        assert_eq!(crowd.hear_so_many(&mut turn, 9), [3, 0]);
        crowd.1[1] = 1;
        assert!(crowd.hear_so_many(&mut turn, 1).is_empty(), "not in this step");
        turn.add(PlayerId(1));
        assert_eq!(crowd.hear_so_many(&mut turn, 1), [1]);
    }

    #[test]
    fn many_messages_of_one_player_do_not_cost_a_look_at_everybody_each() {
        let mut things = vec![0; 1_000];
        things[500] = 2_000;
        let mut crowd = Crowd::new(&things);
        let (mut turn, mut asked, mut heard) = (Turn::default(), 0, 0);
        while crowd.hear(&mut turn, &mut asked).is_some() {
            heard += 1;
        }
        assert_eq!((heard, asked), (2_000, 3_000));
        assert_eq!(crowd.hear(&mut turn, &mut asked), None);
        assert_eq!(asked, 3_000, "nor does the end");
    }
}
