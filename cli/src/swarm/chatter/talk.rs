//! What bots say to everyone: lines, emotes, marks and cheers.
//!
//! Each bot numbers its own of each kind from 1. The arena passes them on to all, the speaker among them, so whatever either way
//! loses, doubles or moves shows at the listeners.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tickwire_client::{Client, Event, ToldEvent};
use tickwire_protocol::message::{Message, MessageTypeId};
use tickwire_protocol::{EntityId, Micros, PlayerId, Tick};
use tickwire_sim::arena::{CHAT, CHEER, EMOTE, Utterance, read_cheer};

use super::Wrongs;

/// What the longer lines are filled with.
const FILLER: &str =
    "the quick brown fox jumps over the lazy dog and is gone before the dog has noticed anything at all";

/// What a bot has said so far: the newest number of each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::swarm) struct Said {
    pub(in crate::swarm) lines: u32,
    pub(in crate::swarm) emotes: u32,
    pub(in crate::swarm) marks: u32,
    pub(in crate::swarm) cheers: u32,
}

/// What a bot has heard of another, or of itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::swarm) struct Heard {
    /// Different lines, and the newest number.
    pub(in crate::swarm) lines: u32,
    pub(in crate::swarm) newest_line: u32,
    pub(in crate::swarm) newest_emote: u32,
    pub(in crate::swarm) marks: u32,
    pub(in crate::swarm) newest_mark: u32,
    pub(in crate::swarm) cheers: u32,
    pub(in crate::swarm) newest_cheer: u32,
    /// When it cheered that time.
    pub(in crate::swarm) cheered_at: Option<Tick>,
}

/// One bot's talk to everyone.
#[derive(Debug, Default)]
pub(super) struct Talk {
    said: Said,
    heard: BTreeMap<PlayerId, Heard>,
    /// The entities that it was told to be in its view.
    present: BTreeSet<EntityId>,
    wrongs: Wrongs,
    /// Events that came before their moment, or before those whom they name.
    early: u64,
}

impl Talk {
    pub(super) fn said(&self) -> Said {
        self.said
    }

    pub(super) fn heard(&self) -> &BTreeMap<PlayerId, Heard> {
        &self.heard
    }

    pub(super) fn wrongs(&self) -> Wrongs {
        self.wrongs
    }

    pub(super) fn early(&self) -> u64 {
        self.early
    }

    /// Says a line; whether the client takes it. So do those below.
    pub(super) fn say_line(&mut self, now: Micros, client: &mut Client) -> bool {
        say(&mut self.said.lines, |number| Utterance::Line(line(number)).encode(), now, client)
    }

    pub(super) fn show_emote(&mut self, now: Micros, client: &mut Client) -> bool {
        say(&mut self.said.emotes, |number| Utterance::Emote(emote(number)).encode(), now, client)
    }

    pub(super) fn mark(&mut self, now: Micros, client: &mut Client) -> bool {
        say(&mut self.said.marks, |number| Utterance::Mark(place(number)).encode(), now, client)
    }

    pub(super) fn cheer(&mut self, now: Micros, client: &mut Client) -> bool {
        say(&mut self.said.cheers, |number| (CHEER, cheer(number).into()), now, client)
    }

    /// Takes in an event; those that are no talk say who is there.
    pub(super) fn handle_event(&mut self, now: Micros, event: &Event, client: &Client) {
        match event {
            Event::Connected { .. } => self.present.clear(),
            Event::Entered { id, .. } => drop(self.present.insert(*id)),
            Event::Left { id, .. } => drop(self.present.remove(id)),
            Event::Message(message) => self.hear(message),
            Event::Game(told) => {
                let rate = client.welcome().map_or(0, |welcome| welcome.timing.tick_rate.hz());
                self.watch(told, client.view(now).tick_time().tick, rate);
            }
            _ => {}
        }
    }

    /// Takes in a message of the server.
    fn hear(&mut self, message: &Message) {
        let is_talk = [CHAT, EMOTE].contains(&message.ty);
        let Some((speaker, utterance)) = Utterance::decode(message) else {
            // Other messages are no talk.
            self.wrongs.garbled += u64::from(is_talk);
            return;
        };
        let Some(number) = number(&utterance) else {
            self.wrongs.garbled += 1;
            return;
        };
        self.note(speaker, &utterance, number);
    }

    /// Takes in an event of the game when the view is at this tick, of so many a second.
    fn watch(&mut self, told: &ToldEvent, view: Tick, tick_hz: u32) {
        let cheered = read_cheer(told.ty, &told.event);
        let Some((speaker, number)) =
            cheered.and_then(|(speaker, said)| Some((speaker, number_of_cheer(&said)?)))
        else {
            self.wrongs.garbled += 1;
            return;
        };
        let is_there = told.event.source.is_some_and(|source| self.present.contains(&source));
        // An entity is waited for no longer than a second.
        let is_late = view.since(told.tick) >= tick_hz as i32;
        self.early += u64::from(told.tick.is_newer_than(view) || !(is_there || is_late));
        let (heard, wrongs) = (self.heard.entry(speaker).or_default(), &mut self.wrongs);
        let before = heard.cheered_at.replace(told.tick);
        wrongs.reordered += u64::from(before.is_some_and(|before| before.is_newer_than(told.tick)));
        wrongs.note_next(number, &mut heard.newest_cheer, &mut heard.cheers);
    }

    /// Whether this is the next of its kind that the speaker has said.
    fn note(&mut self, speaker: PlayerId, utterance: &Utterance, number: u32) {
        let (heard, wrongs) = (self.heard.entry(speaker).or_default(), &mut self.wrongs);
        match utterance {
            Utterance::Line(_) => wrongs.note_next(number, &mut heard.newest_line, &mut heard.lines),
            // The newest may come twice, but none that is older.
            Utterance::Emote(_) => {
                wrongs.reordered += u64::from(number < heard.newest_emote);
                heard.newest_emote = heard.newest_emote.max(number);
            }
            Utterance::Mark(_) => {
                wrongs.doubled += u64::from(number <= heard.newest_mark);
                heard.marks += u32::from(number > heard.newest_mark);
                heard.newest_mark = heard.newest_mark.max(number);
            }
        }
    }
}

/// Says the next of a kind of which so many were said.
fn say(said: &mut u32, next: fn(u32) -> (MessageTypeId, Bytes), now: Micros, client: &mut Client) -> bool {
    let (ty, body) = next(*said + 1);
    let is_taken = client.send(now, ty, 0, body).is_ok();
    *said += u32::from(is_taken);
    is_taken
}

/// The line of this number; its length is different from that of the one before.
pub(super) fn line(number: u32) -> String {
    let filler = &FILLER[..number as usize * 7 % FILLER.len()];
    format!("{number} {filler}")
}

fn emote(number: u32) -> String {
    format!("wave {number}")
}

fn cheer(number: u32) -> String {
    format!("hooray {number}")
}

fn number_of_cheer(said: &str) -> Option<u32> {
    let number = said.strip_prefix("hooray ")?.parse().ok()?;
    (said == cheer(number)).then_some(number)
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
mod tests {
    use super::*;
    use tickwire_protocol::message::GameEvent;
    use tickwire_sim::arena::CHEERED;

    const WHO: EntityId = EntityId { slot: 3, generation: 1 };

    /// What the arena makes of what player 3 says.
    fn passed_on(utterance: &Utterance) -> Message {
        let (ty, body) = utterance.encode();
        if ty == EMOTE {
            return Message { ty, key: 3, body };
        }
        Message { ty, key: 0, body: [&3_u32.to_le_bytes()[..], &body].concat().into() }
    }

    fn after(utterances: impl IntoIterator<Item = Utterance>) -> Talk {
        let mut talk = Talk::default();
        utterances.into_iter().for_each(|utterance| talk.hear(&passed_on(&utterance)));
        talk
    }

    fn lines<const N: usize>(numbers: [u32; N]) -> [Utterance; N] {
        numbers.map(|number| Utterance::Line(line(number)))
    }

    /// The cheer of this number at a tick, told when the view is at another.
    fn watch(talk: &mut Talk, number: u32, tick: u32, view: u32) {
        let body = [&3_u32.to_le_bytes()[..], cheer(number).as_bytes()].concat();
        let event = GameEvent::new(body).by(WHO);
        let told =
            ToldEvent { ty: CHEERED, tick: Tick(tick), event, source_in_view: true, target_in_view: false };
        talk.watch(&told, Tick(view), 60);
    }

    #[test]
    fn all_in_order_is_well() {
        let emotes = [2, 5, 5, 9].map(|number| Utterance::Emote(emote(number)));
        let marks = [1, 4, 6].map(|number| Utterance::Mark(place(number)));
        let talk = after(lines([1, 2, 3, 4, 5]).into_iter().chain(emotes).chain(marks));
        assert_eq!(talk.wrongs(), Wrongs::default());
        let heard = talk.heard()[&PlayerId(3)];
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
    fn events_come_in_order_at_their_moment_and_behind_whom_they_name() {
        let mut talk = Talk { present: [WHO].into(), ..Talk::default() };
        watch(&mut talk, 1, 100, 100);
        watch(&mut talk, 2, 130, 140);
        assert_eq!((talk.early(), talk.wrongs()), (0, Wrongs::default()));
        watch(&mut talk, 3, 150, 149);
        assert_eq!(talk.early(), 1, "ahead of the view");
        watch(&mut talk, 4, 140, 170);
        assert_eq!(talk.wrongs().reordered, 1, "behind one that happened later");
        watch(&mut talk, 4, 160, 170);
        assert_eq!(talk.wrongs().doubled, 1);
        talk.present.clear();
        watch(&mut talk, 5, 170, 171);
        assert_eq!(talk.early(), 2, "nobody of that name is there");
        watch(&mut talk, 6, 180, 240);
        assert_eq!(talk.early(), 2, "and after a second nobody is waited for");
        assert_eq!(talk.heard()[&PlayerId(3)].cheers, 6);
    }

    #[test]
    fn lines_are_as_the_arena_takes_them() {
        use tickwire_sim::arena::{EMOTE_BYTES_MAX, LINE_BYTES_MAX};
        for number in (1..2_000).chain([u32::MAX]) {
            assert!((1..=LINE_BYTES_MAX).contains(&line(number).len()));
            assert!(emote(number).len().max(cheer(number).len()) <= EMOTE_BYTES_MAX);
            assert_eq!(super::number(&Utterance::Line(line(number))), Some(number));
        }
    }
}
