//! Requests, the same on both sides: each comes to one end, and an answer is that of its question.

use core::fmt::Debug;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tickwire_protocol::Micros;
use tickwire_protocol::message::{Refusal, RequestError, Response};

use super::Finding;

const QUESTION_BYTES: usize = 9;

/// What who is asked does about it: the last byte of a question.
const REFUSE: u8 = 1;
const HOLD: u8 = 2;
const IGNORE: u8 = 3;
const MANNERS: u8 = 4;

/// How long an answer is waited for: shorter than what a script takes to bring it, as long, and longer. All of it is over before what was
/// promised is looked at.
const TIMEOUTS: [Micros; 3] = [Micros::from_millis(60), Micros::from_millis(400), Micros::from_secs(2)];

/// Whose question it is, which of its questions, and what is to be done about it: no two are the same.
pub(super) fn question(asker: u32, number: u32, manner: u8) -> Bytes {
    let mut body = [asker.to_le_bytes(), number.to_le_bytes()].concat();
    body.push(manner % MANNERS);
    body.into()
}

pub(super) fn timeout(much: u8) -> Micros {
    TIMEOUTS[usize::from(much / MANNERS) % TIMEOUTS.len()]
}

/// The only answer to a question, whoever has asked it.
pub(super) fn answer(question: &[u8]) -> Result<Bytes, Refusal> {
    let body = question.iter().take(QUESTION_BYTES).rev().copied().collect();
    if manner(question) == REFUSE { Err(Refusal::Game(body)) } else { Ok(body) }
}

fn manner(question: &[u8]) -> u8 {
    question.last().copied().unwrap_or(IGNORE)
}

#[derive(Debug)]
struct Open {
    question: Bytes,
    deadline: Micros,
    is_cancelled: bool,
}

/// What one side has asked and does not know the end of, by the names that it has there.
#[derive(Debug)]
pub(super) struct Asked<K>(BTreeMap<K, Open>);

impl<K: Copy + Debug + Ord> Asked<K> {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn note(&mut self, key: K, question: Bytes, deadline: Micros) -> Finding {
        let open = Open { question, deadline, is_cancelled: false };
        self.0.insert(key, open).map_or(Ok(()), |before| Err(format!("{key:?} is also {before:?}")))
    }

    /// Of some nothing is told any more.
    pub(super) fn forget(&mut self, is_it: impl Fn(K) -> bool) {
        self.0.retain(|key, _| !is_it(*key));
    }

    /// One that is to be taken back.
    pub(super) fn cancel(&mut self, which: u8) -> Option<K> {
        let place = usize::from(which) % self.0.len().max(1);
        let (key, open) = self.0.iter_mut().nth(place)?;
        open.is_cancelled = true;
        Some(*key)
    }

    /// One has come to its end.
    pub(super) fn hear(&mut self, now: Micros, key: K, response: Response) -> Finding {
        let Some(open) = self.0.remove(&key) else {
            return Err(format!("{key:?} has ended before, now with {response:?}"));
        };
        let told = match response {
            Err(RequestError::Lost) => return Ok(()),
            Err(RequestError::Timeout) if now >= open.deadline => return Ok(()),
            Err(RequestError::Cancelled) if open.is_cancelled => return Ok(()),
            Err(RequestError::Refused(refusal)) => Err(refusal),
            Err(error) => return Err(format!("{open:?} ends with {error} at {now:?}")),
            Ok(body) => Ok(body),
        };
        let is_right = manner(&open.question) != IGNORE && told == answer(&open.question);
        if is_right { Ok(()) } else { Err(format!("{open:?} is answered with {told:?}")) }
    }
}

/// What one side is to answer later.
#[derive(Debug)]
pub(super) struct Held<K>(VecDeque<(K, Bytes)>);

impl<K> Held<K> {
    pub(super) const fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Takes a question; its answer, if it is to be answered at once.
    pub(super) fn take(&mut self, key: K, question: Bytes) -> Option<(K, Result<Bytes, Refusal>)> {
        match manner(&question) {
            IGNORE => None,
            HOLD => {
                self.0.push_back((key, question));
                None
            }
            _ => Some((key, answer(&question))),
        }
    }

    /// The answer to one that was held, the newest or the oldest.
    pub(super) fn release(&mut self, is_newest: bool) -> Option<(K, Result<Bytes, Refusal>)> {
        let held = if is_newest { self.0.pop_back() } else { self.0.pop_front() };
        held.map(|(key, question)| (key, answer(&question)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_answer_and_a_second_one_are_found() {
        let (mine, other) = (question(1, 7, 0), question(1, 8, 0));
        let (now, end) = (Micros::ZERO, Micros::from_secs(1));
        let told = |question: &Bytes| answer(question).map_err(RequestError::Refused);
        let mut asked = Asked::new();
        assert_eq!(asked.note(1, mine.clone(), end), Ok(()));
        assert_eq!(asked.hear(now, 1, told(&mine)), Ok(()));
        assert!(asked.hear(now, 1, told(&mine)).is_err(), "it was answered before");
        for response in [told(&other), Err(RequestError::Timeout), Err(RequestError::Cancelled)] {
            assert_eq!(asked.note(1, mine.clone(), end), Ok(()));
            assert!(asked.hear(now, 1, response.clone()).is_err(), "{response:?}");
        }
    }
}
