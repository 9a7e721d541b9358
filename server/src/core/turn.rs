//! Whom a step hears next: one after another, and nobody for nothing twice.

use core::ops::Bound;
use std::collections::{BTreeMap, VecDeque};

use tickwire_protocol::SessionId;

/// The order in which a step hears sessions: one thing of each in a round. Which has nothing more is not asked again in this step, so that
/// a step asks as often as there are sessions and things to be heard, and no more. The next step begins behind who was heard last.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Those not asked yet in this step, once it has asked at all: behind who was heard last, then from the first on.
    unasked: Option<[(Bound<SessionId>, Bound<SessionId>); 2]>,
    /// Who had something and may have more.
    heard: VecDeque<SessionId>,
    /// Who was heard last, if somebody was.
    last: Option<SessionId>,
}

/// A range in which no session is.
const NOBODY: (Bound<SessionId>, Bound<SessionId>) =
    (Bound::Included(SessionId(0)), Bound::Excluded(SessionId(0)));

/// The turns of all that a step hears.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    pub(crate) messages: Turn,
    pub(crate) requests: Turn,
    pub(crate) responses: Turn,
    pub(crate) outcomes: Turn,
}

impl Turns {
    /// A step was made: the next asks everybody anew.
    pub(crate) fn handle_step(&mut self) {
        let Self { messages, requests, responses, outcomes } = self;
        [messages, requests, responses, outcomes].into_iter().for_each(Turn::handle_step);
    }
}

impl Turn {
    /// The next thing that `poll` has of a session.
    pub(crate) fn hear<S, T>(
        &mut self,
        sessions: &mut BTreeMap<SessionId, S>,
        mut poll: impl FnMut(&mut S) -> Option<T>,
    ) -> Option<T> {
        let last = self.last.unwrap_or(SessionId(0));
        let all = [(Bound::Excluded(last), Bound::Unbounded), (Bound::Unbounded, Bound::Included(last))];
        for unasked in self.unasked.get_or_insert(all) {
            let mut ask = |(&id, session): (&SessionId, &mut S)| poll(session).map(|heard| (id, heard));
            let found = sessions.range_mut(*unasked).find_map(&mut ask);
            let Some((id, heard)) = found else {
                *unasked = NOBODY;
                continue;
            };
            unasked.0 = Bound::Excluded(id);
            self.heard.push_back(id);
            self.last = Some(id);
            return Some(heard);
        }
        while let Some(id) = self.heard.pop_front() {
            if let Some(heard) = sessions.get_mut(&id).and_then(&mut poll) {
                self.heard.push_back(id);
                self.last = Some(id);
                return Some(heard);
            }
        }
        None
    }

    /// A session has something to be heard that the step itself has made.
    pub(crate) fn add(&mut self, session: SessionId) {
        if !self.heard.contains(&session) {
            self.heard.push_back(session);
        }
    }

    fn handle_step(&mut self) {
        self.heard.clear();
        self.unasked = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sessions by number, each with so many things to say.
    struct Crowd(BTreeMap<SessionId, u32>);

    impl Crowd {
        fn new(things: &[u32]) -> Self {
            Self((1..).map(SessionId).zip(things.iter().copied()).collect())
        }

        /// Which has something to say, counted from zero.
        fn hear(&mut self, turn: &mut Turn, asked: &mut usize) -> Option<u64> {
            let before = self.0.clone();
            turn.hear(&mut self.0, |left| {
                *asked += 1;
                left.checked_sub(1).map(|less| *left = less)
            })?;
            before.iter().zip(&self.0).find(|(before, after)| before != after).map(|((id, _), _)| id.0 - 1)
        }

        fn hear_so_many(&mut self, turn: &mut Turn, count: usize) -> Vec<u64> {
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
        crowd.0.insert(SessionId(2), 1);
        assert!(crowd.hear_so_many(&mut turn, 1).is_empty(), "not in this step");
        turn.add(SessionId(2));
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
