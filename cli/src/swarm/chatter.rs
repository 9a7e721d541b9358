//! What bots say to each other, and whether everybody has heard it: `--chatter`.
//!
//! Each bot numbers its lines, emotes and marks from 1. The arena passes them on to all, the speaker among them, so whatever
//! either way loses, doubles or moves shows at the listeners.

use std::collections::BTreeMap;

use tickwire_client::Client;
use tickwire_protocol::message::Message;
use tickwire_protocol::{Micros, PlayerId};
use tickwire_sim::Random;
use tickwire_sim::arena::{CHAT, EMOTE, Utterance};

/// From one thing that a bot says to its next, on average.
const LINE_INTERVAL: Micros = Micros::from_secs(1);
const EMOTE_INTERVAL: Micros = Micros::from_secs(2);
const MARK_INTERVAL: Micros = Micros::from_secs(2);

/// Lines that a bot says at once when its connection is lost: they wait for the next.
const LINES_WITHOUT_CONNECTION: u32 = 3;

/// What the longer lines are filled with.
const FILLER: &str =
    "the quick brown fox jumps over the lazy dog and is gone before the dog has noticed anything at all";

/// What a bot has said so far: the newest number of each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Said {
    pub(super) lines: u32,
    pub(super) emotes: u32,
    pub(super) marks: u32,
}

/// What a bot has heard of another, or of itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Heard {
    /// Different lines, and the newest number.
    pub(super) lines: u32,
    pub(super) newest_line: u32,
    pub(super) newest_emote: u32,
    pub(super) marks: u32,
    pub(super) newest_mark: u32,
}

/// What was wrong with what one bot heard.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Wrongs {
    pub(super) doubled: u64,
    pub(super) reordered: u64,
    /// Not what was said.
    pub(super) garbled: u64,
}

/// One bot's talk.
#[derive(Debug)]
pub(super) struct Chatter {
    random: Random,
    said: Said,
    /// When it says something next: a line, an emote, a mark.
    next: [Option<Micros>; 3],
    heard: BTreeMap<PlayerId, Heard>,
    wrongs: Wrongs,
    /// What the client did not take.
    refused: u64,
}

impl Chatter {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::from_seed(seed),
            said: Said::default(),
            next: [None; 3],
            heard: BTreeMap::new(),
            wrongs: Wrongs::default(),
            refused: 0,
        }
    }

    pub(super) fn said(&self) -> Said {
        self.said
    }

    pub(super) fn heard(&self) -> &BTreeMap<PlayerId, Heard> {
        &self.heard
    }

    pub(super) fn wrongs(&self) -> Wrongs {
        self.wrongs
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Says what is due.
    pub(super) fn speak(&mut self, now: Micros, client: &mut Client) {
        let say: [fn(&mut Self, Micros, &mut Client); 3] = [Self::say_line, Self::show_emote, Self::mark];
        for (kind, interval) in [LINE_INTERVAL, EMOTE_INTERVAL, MARK_INTERVAL].into_iter().enumerate() {
            let due = self.next[kind];
            if due.is_some_and(|due| now < due) {
                continue;
            }
            let wait = u64::from(self.random.below(2 * interval.0 as u32));
            self.next[kind] = Some(now + Micros(wait));
            // Bots that begin together do not all speak at once.
            if due.is_some() {
                say[kind](self, now, client);
            }
        }
    }

    /// Says more than it would with a connection.
    pub(super) fn speak_without_connection(&mut self, now: Micros, client: &mut Client) {
        for _ in 0..LINES_WITHOUT_CONNECTION {
            self.say_line(now, client);
        }
        self.show_emote(now, client);
    }

    fn say_line(&mut self, now: Micros, client: &mut Client) {
        let is_taken = self.say(&Utterance::Line(line(self.said.lines + 1)), now, client);
        self.said.lines += u32::from(is_taken);
    }

    fn show_emote(&mut self, now: Micros, client: &mut Client) {
        let is_taken = self.say(&Utterance::Emote(emote(self.said.emotes + 1)), now, client);
        self.said.emotes += u32::from(is_taken);
    }

    fn mark(&mut self, now: Micros, client: &mut Client) {
        let is_taken = self.say(&Utterance::Mark(place(self.said.marks + 1)), now, client);
        self.said.marks += u32::from(is_taken);
    }

    fn say(&mut self, utterance: &Utterance, now: Micros, client: &mut Client) -> bool {
        let (ty, body) = utterance.encode();
        let is_taken = client.send(now, ty, 0, body).is_ok();
        self.refused += u64::from(!is_taken);
        is_taken
    }

    /// Takes in a message of the server.
    pub(super) fn hear(&mut self, message: &Message) {
        let Some((speaker, utterance)) = Utterance::decode(message) else {
            // Other messages are no talk.
            let is_talk = [CHAT, EMOTE].contains(&message.ty);
            self.wrongs.garbled += u64::from(is_talk);
            return;
        };
        let Some(number) = number(&utterance) else {
            self.wrongs.garbled += 1;
            return;
        };
        let heard = self.heard.entry(speaker).or_default();
        match utterance {
            Utterance::Line(_) => {
                self.wrongs.doubled += u64::from(number <= heard.newest_line);
                self.wrongs.reordered += u64::from(number > heard.newest_line + 1);
                heard.lines += u32::from(number > heard.newest_line);
                heard.newest_line = heard.newest_line.max(number);
            }
            // The newest may come twice, but none that is older.
            Utterance::Emote(_) => {
                self.wrongs.reordered += u64::from(number < heard.newest_emote);
                heard.newest_emote = heard.newest_emote.max(number);
            }
            Utterance::Mark(_) => {
                self.wrongs.doubled += u64::from(number <= heard.newest_mark);
                heard.marks += u32::from(number > heard.newest_mark);
                heard.newest_mark = heard.newest_mark.max(number);
            }
        }
    }
}

/// The line of this number; its length is different from that of the one before.
fn line(number: u32) -> String {
    let filler = &FILLER[..number as usize * 7 % FILLER.len()];
    format!("{number} {filler}")
}

fn emote(number: u32) -> String {
    format!("wave {number}")
}

/// So many centimetres to the east.
fn place(number: u32) -> [i32; 3] {
    [number as i32, 0, 0]
}

/// Which one of its speaker's it is; nothing if no bot says this.
fn number(utterance: &Utterance) -> Option<u32> {
    let (number, is_whole) = match utterance {
        Utterance::Line(said) => {
            let number = said.split_once(' ')?.0.parse().ok()?;
            (number, *said == line(number))
        }
        Utterance::Emote(name) => {
            let number = name.strip_prefix("wave ")?.parse().ok()?;
            (number, *name == emote(number))
        }
        Utterance::Mark(said) => {
            let number = u32::try_from(said[0]).ok()?;
            (number, *said == place(number))
        }
    };
    is_whole.then_some(number)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What the arena makes of what player 3 says.
    fn passed_on(utterance: &Utterance) -> Message {
        let (ty, body) = utterance.encode();
        if ty == EMOTE {
            return Message { ty, key: 3, body };
        }
        Message { ty, key: 0, body: [&3_u32.to_le_bytes()[..], &body].concat().into() }
    }

    fn after(utterances: impl IntoIterator<Item = Utterance>) -> Chatter {
        let mut chatter = Chatter::new(1);
        utterances.into_iter().for_each(|utterance| chatter.hear(&passed_on(&utterance)));
        chatter
    }

    fn lines<const N: usize>(numbers: [u32; N]) -> [Utterance; N] {
        numbers.map(|number| Utterance::Line(line(number)))
    }

    #[test]
    fn all_in_order_is_well() {
        let emotes = [2, 5, 5, 9].map(|number| Utterance::Emote(emote(number)));
        let marks = [1, 4, 6].map(|number| Utterance::Mark(place(number)));
        let chatter = after(lines([1, 2, 3, 4, 5]).into_iter().chain(emotes).chain(marks));
        assert_eq!(chatter.wrongs(), Wrongs::default());
        let heard = chatter.heard()[&PlayerId(3)];
        assert_eq!((heard.lines, heard.newest_line, heard.newest_emote, heard.marks), (5, 5, 9, 3));
    }

    #[test]
    fn what_went_wrong_on_the_way_is_found() {
        assert_eq!(after(lines([1, 2, 2])).wrongs().doubled, 1);
        let gap = after(lines([1, 2, 4]));
        assert_eq!((gap.wrongs().reordered, gap.heard()[&PlayerId(3)].lines), (1, 3));
        assert_eq!(after([4, 3].map(|number| Utterance::Emote(emote(number)))).wrongs().reordered, 1);
        assert_eq!(after([4, 4].map(|number| Utterance::Mark(place(number)))).wrongs().doubled, 1);
        assert_eq!(after([Utterance::Line(line(3) + "!")]).wrongs().garbled, 1);
    }

    #[test]
    fn lines_are_as_the_arena_takes_them() {
        use tickwire_sim::arena::{EMOTE_BYTES_MAX, LINE_BYTES_MAX};
        for number in (1..2_000).chain([u32::MAX]) {
            assert!((1..=LINE_BYTES_MAX).contains(&line(number).len()));
            assert!(emote(number).len() <= EMOTE_BYTES_MAX);
            assert_eq!(super::number(&Utterance::Line(line(number))), Some(number));
        }
    }
}
