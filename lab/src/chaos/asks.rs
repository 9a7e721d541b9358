//! Questions and answers, the same on both sides: what was asked comes to one end, and the answer is that of the question.

use std::collections::BTreeMap;

use bytes::Bytes;
use tickwire_protocol::message::{Refusal, RequestError, Response};
use tickwire_sim::Random;

use super::report::ChaosReport;
use super::tag::Tag;

/// No answer is longer, bytes.
pub(super) const ANSWER_BYTES_MAX: u32 = 300;

/// How often a question is never answered, refused, or answered later.
const SILENCE: f32 = 0.1;
const REFUSAL: f32 = 0.1;
const DELAY: f32 = 0.3;

/// The only answer to a question.
pub(super) fn answer(tag: Tag) -> Result<Bytes, Refusal> {
    let mut random = tag.random();
    let is_refused = random.chance(REFUSAL);
    let mut body = tag.body();
    body.resize((Tag::BYTES + random.below(ANSWER_BYTES_MAX - Tag::BYTES)) as usize, 0x5a);
    if is_refused { Err(Refusal::Game(body.into())) } else { Ok(body.into()) }
}

/// What an answer says of what was done at the other side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Its game has seen the question, once.
    Done(Tag),
    /// Its game has never seen it.
    NotDone(Tag),
    Unknown,
}

#[derive(Debug)]
struct Question {
    tag: Tag,
    is_taken_back: bool,
}

/// What one side has asked and does not know the end of, by the names that it has there.
#[derive(Debug)]
pub(super) struct Asked<K>(BTreeMap<K, Question>);

impl<K: Copy + Ord> Asked<K> {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn note(&mut self, key: K, tag: Tag) {
        self.0.insert(key, Question { tag, is_taken_back: false });
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Nothing is told any more of these.
    pub(super) fn forget(&mut self, is_it: impl Fn(K) -> bool) {
        self.0.retain(|key, _| !is_it(*key));
    }

    /// One that is to be taken back.
    pub(super) fn take_back(&mut self, random: &mut Random) -> Option<K> {
        let place = random.below(self.0.len().max(1) as u32) as usize;
        let (key, question) = self.0.iter_mut().nth(place)?;
        question.is_taken_back = true;
        Some(*key)
    }

    /// One has come to its end.
    pub(super) fn hear(&mut self, key: K, response: Response, report: &mut ChaosReport) -> Verdict {
        let Some(Question { tag, is_taken_back }) = self.0.remove(&key) else {
            report.messages_doubled += 1;
            return Verdict::Unknown;
        };
        let told = match response {
            Err(RequestError::Timeout | RequestError::Lost) => return Verdict::Unknown,
            Err(RequestError::Cancelled) => {
                report.wrong_outcome_told += u64::from(!is_taken_back);
                return Verdict::Unknown;
            }
            Err(RequestError::Refused(Refusal::Game(why))) => Err(Refusal::Game(why)),
            Err(RequestError::Refused(_)) => return Verdict::NotDone(tag),
            Ok(body) => Ok(body),
        };
        report.wrong_outcome_told += u64::from(told != answer(tag));
        Verdict::Done(tag)
    }
}

/// What one side is to answer, and when.
#[derive(Debug)]
pub(super) struct Owed<K>(Vec<(u64, K, Tag)>);

impl<K: Copy> Owed<K> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Takes a question, to be answered now, within `longest`, or never.
    pub(super) fn take(&mut self, now: u64, longest: u32, random: &mut Random, key: K, tag: Tag) {
        if !random.chance(SILENCE) {
            let delay = if random.chance(DELAY) { random.below(longest) } else { 0 };
            self.0.push((now + u64::from(delay), key, tag));
        }
    }

    /// One whose time has come.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<(K, Tag)> {
        let place = self.0.iter().position(|(due, ..)| *due <= now)?;
        let (_, key, tag) = self.0.remove(place);
        Some((key, tag))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::tag::Person;

    #[test]
    fn another_answer_and_a_second_one_are_seen() {
        let (mine, other) = (Tag::new(Person::of_seat(1), 7), Tag::new(Person::of_seat(1), 8));
        let told = |tag| answer(tag).map_err(RequestError::Refused);
        let (mut asked, mut report) = (Asked::new(), ChaosReport::default());
        asked.note(1, mine);
        asked.note(2, mine);
        assert_eq!(asked.hear(1, told(mine), &mut report), Verdict::Done(mine));
        assert!(report.is_sound());
        asked.hear(1, told(mine), &mut report);
        assert_eq!(report.messages_doubled, 1);
        asked.hear(2, told(other), &mut report);
        assert_eq!(report.wrong_outcome_told, 1);
        asked.note(3, mine);
        asked.hear(3, Err(RequestError::Cancelled), &mut report);
        assert_eq!(report.wrong_outcome_told, 2, "nobody has taken it back");
    }
}
