//! The game of the chaos lab: everyone talks, and counts what it hears.

use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use bytes::{Buf, Bytes};
use tickwire_protocol::message::{Direction, Message, MessageClass, MessageType, MessageTypeId};
use tickwire_sim::prelude::*;
use tickwire_sim::{Audience, Random};

use super::asks::ANSWER_BYTES_MAX;
use super::desk::{Client, Desk};
use super::facts::Fact;
use super::tag::{Person, Tag};

/// Each a number, and so much more.
pub(super) const TALK: MessageTypeId = MessageTypeId(0);
/// Only the newest counts.
pub(super) const NEWEST: MessageTypeId = MessageTypeId(1);

/// Said for the moment: it may be missing, and is never late.
pub(super) const MOMENT: MessageTypeId = MessageTypeId(2);
/// Not worth to be said later; only to the server.
pub(super) const BRIEF: MessageTypeId = MessageTypeId(3);

/// A question, either way.
pub(super) const ASK: MessageTypeId = MessageTypeId(4);
/// Something that has happened: told at once, and when the view shows it.
pub(super) const ANNOUNCED: MessageTypeId = MessageTypeId(5);
pub(super) const HAPPENED: MessageTypeId = MessageTypeId(6);
/// What a group is told; only the newest of each counts.
pub(super) const NEWS: MessageTypeId = MessageTypeId(7);

pub(super) const TALKER: KindId = KindId(0);

/// No message of the game is longer, bytes.
pub(super) const TALK_BYTES_MAX: u32 = 200;

/// What a client says, bytes.
const LINE_BYTES: u32 = 12;

/// How long a [`BRIEF`] may wait, milliseconds.
const BRIEF_FOR: u32 = 200;

const COUNT_MAX: i32 = 4_000_000;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident = $place:literal),+ $(,)?) => {
        /// What the server's side counts of one player; its columns, in this order.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub(super) struct Counts {
            $($(#[$doc])* pub(super) $name: i32,)+
        }

        impl Counts {
            fn fields() -> Vec<Field> {
                vec![$(Field::new(FieldId($place), stringify!($name), FieldType::integer(0..=COUNT_MAX))),+]
            }

            pub(super) fn read(row: RowRef<'_>) -> Self {
                Self { $($name: row.integer(FieldId($place))),+ }
            }

            fn write(self, row: &mut RowMut<'_>) {
                $(row.set_integer(FieldId($place), self.$name);)+
            }
        }
    };
}

counts! {
    /// One past the first number heard; 0 before.
    first = 0,
    /// The next number to be heard, if one was.
    next = 1,
    /// Numbers that were heard before.
    doubled = 2,
    /// Numbers that came before those below them.
    gaps = 3,
    /// Messages to the player that were taken.
    said = 4,
    /// The newest number of [`NEWEST`] that was heard.
    newest_heard = 5,
    /// The newest number of [`NEWEST`] that was taken.
    newest_said = 6,
    /// The newest number of [`MOMENT`] that was heard, and how often one came that was not newer.
    moment_heard = 7,
    moment_back = 8,
    /// How many of [`BRIEF`] were heard, the newest of them, and how often one came that was not newer.
    briefs = 9,
    brief_heard = 10,
    brief_back = 11,
    /// The newest number of [`MOMENT`] that was said.
    moment_said = 12,
}

impl Counts {
    /// Whether a message of this number was among those heard.
    pub(super) fn has_heard(&self, number: u32) -> bool {
        self.first > 0 && (self.first - 1..self.next).contains(&(number as i32))
    }
}

pub(super) fn schema() -> Arc<Schema> {
    let reliable = MessageClass::Reliable;
    let happened =
        MessageType::new(HAPPENED, "happened", Direction::ToClient, MessageClass::Event, Tag::BYTES);
    Schema::builder("chaos")
        .kind(Kind::new(TALKER, "talker", Counts::fields()))
        .message(MessageType::new(TALK, "talk", Direction::BothWays, reliable, TALK_BYTES_MAX))
        .message(MessageType::new(NEWEST, "newest", Direction::BothWays, MessageClass::Latest, LINE_BYTES))
        .message(MessageType::new(
            MOMENT,
            "moment",
            Direction::BothWays,
            MessageClass::Unreliable,
            LINE_BYTES,
        ))
        .message(
            MessageType::new(BRIEF, "brief", Direction::ToServer, reliable, LINE_BYTES)
                .expires_after(BRIEF_FOR),
        )
        .message(
            MessageType::new(ASK, "ask", Direction::BothWays, MessageClass::Request, Tag::BYTES)
                .answered_within(ANSWER_BYTES_MAX),
        )
        .message(MessageType::new(
            ANNOUNCED,
            "announced",
            Direction::ToClient,
            MessageClass::Event,
            Tag::BYTES,
        ))
        .message(happened.in_view_time())
        .message(MessageType::new(NEWS, "news", Direction::ToClient, MessageClass::Latest, Tag::BYTES))
        .build()
        .unwrap_or_else(|error| unreachable!("the schema keeps every rule: {error}"))
}

/// What a client says: its number, and the numbers that a program of it has said behind the export with which it began anew. Whether they
/// were heard nobody is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Line {
    pub(super) number: u32,
    pub(super) forgotten: Range<u32>,
}

impl Line {
    pub(super) fn body(&self) -> Vec<u8> {
        let words = [self.number, self.forgotten.start, self.forgotten.end].map(u32::to_le_bytes);
        words.concat()
    }

    fn read(mut body: &[u8]) -> Self {
        Self { number: body.get_u32_le(), forgotten: body.get_u32_le()..body.get_u32_le() }
    }

    /// Whether it may be the next that is heard where `next` is expected.
    fn follows(&self, next: u32) -> bool {
        let Range { start, end } = self.forgotten;
        self.number == next || ((start..end).contains(&next) && self.number == end)
    }
}

/// As many bytes more as chance wants.
pub(super) fn ramble(random: &mut Random, mut body: Vec<u8>) -> Bytes {
    let room = TALK_BYTES_MAX - body.len() as u32;
    let more = if random.chance(0.1) { random.below(room) } else { 0 };
    body.resize(body.len() + more as usize, 0xa5);
    body.into()
}

struct Talker {
    id: EntityId,
    player: Option<PlayerId>,
    counts: Counts,
}

impl Talker {
    fn client(&self, start: u32) -> Option<Client> {
        let player = self.player?;
        Some(Client { player, person: Person::new(start, player), entity: self.id })
    }
}

/// The server's side of the talk.
pub(super) struct Talk {
    schema: Arc<Schema>,
    talkers: Vec<Talker>,
    /// What was counted of those who have left: where who is away has left, it comes back as who it was.
    left: BTreeMap<PlayerId, Counts>,
    /// From this tick on it only listens.
    calm: Tick,
    /// Which start of the server it is.
    start: u32,
    desk: Desk,
}

impl Talk {
    pub(super) fn new(schema: Arc<Schema>, calm: Tick, start: u32, facts: Sender<Fact>) -> Self {
        Self {
            schema,
            talkers: Vec::new(),
            left: BTreeMap::new(),
            calm,
            start,
            desk: Desk::new(start, facts),
        }
    }

    fn hear(&mut self, from: PlayerId, message: &Message) {
        let talker = self.talkers.iter_mut().find(|talker| talker.player == Some(from));
        let Some(Talker { counts, .. }) = talker else { return };
        let line = Line::read(&message.body);
        let number = line.number as i32;
        if message.ty == MOMENT {
            counts.moment_back += i32::from(number <= counts.moment_heard);
            counts.moment_heard = counts.moment_heard.max(number);
        } else if message.ty == BRIEF {
            counts.briefs += 1;
            counts.brief_back += i32::from(number <= counts.brief_heard);
            counts.brief_heard = counts.brief_heard.max(number);
        } else if message.ty == NEWEST {
            if number <= counts.newest_heard {
                self.desk.note_back(Person::new(self.start, from), line.number);
            }
            counts.newest_heard = counts.newest_heard.max(number);
        } else if counts.first == 0 {
            (counts.first, counts.next) = (number + 1, number + 1);
        } else {
            counts.doubled += i32::from(number < counts.next);
            counts.gaps += i32::from(number > counts.next && !line.follows(counts.next as u32));
            counts.next = counts.next.max(number + 1);
        }
    }

    fn say(start: u32, talker: &mut Talker, ctx: &mut StepContext<'_>) {
        let Some(player) = talker.player else { return };
        let person = Person::new(start, player);
        let mut random = ctx.random(talker.id);
        let burst = match random.below(400) {
            0 => 600,
            1..=80 => 1 + random.below(4),
            _ => 0,
        };
        for _ in 0..burst {
            let tag = Tag::new(person, talker.counts.said as u32);
            let body = ramble(&mut random, tag.body());
            talker.counts.said += i32::from(ctx.send(Audience::Player(player), TALK, 0, body).is_ok());
        }
        if random.chance(0.2) {
            talker.counts.moment_said += 1;
            let tag = Tag::new(person, talker.counts.moment_said as u32);
            // One that is refused is one that is missing.
            let _ = ctx.send(Audience::Player(player), MOMENT, 0, tag.body().into());
        }
        if random.chance(0.1) {
            let number = talker.counts.newest_said + 1;
            let body = Tag::new(person, number as u32).body();
            let is_taken = ctx.send(Audience::Player(player), NEWEST, 7, body.into()).is_ok();
            talker.counts.newest_said += i32::from(is_taken);
        }
    }
}

impl Simulation for Talk {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        let has_left = |talker: &mut Talker| talker.player.is_none_or(|player| ctx.left().contains(&player));
        let left = self.talkers.extract_if(.., has_left);
        self.left.extend(left.filter_map(|talker| Some((talker.player?, talker.counts))));
        for &player in ctx.joined() {
            let id = ctx.spawn(TALKER);
            let counts = self.left.remove(&player).unwrap_or_default();
            self.talkers.push(Talker { id, player: Some(player), counts });
        }
        let is_calm = !self.calm.is_newer_than(ctx.tick());
        // Now and then it does not listen for a second.
        let is_listening = is_calm || ctx.tick().0 / 30 % 5 != 3;
        if is_listening {
            while let Some((from, message)) = ctx.poll_message() {
                self.hear(from, &message);
            }
        }
        if !is_calm {
            self.talkers.iter_mut().for_each(|talker| Self::say(self.start, talker, ctx));
        }
        let clients = self.talkers.iter().filter_map(|talker| talker.client(self.start));
        self.desk.step(ctx, &clients.collect::<Vec<_>>(), is_listening, is_calm);
    }

    fn save(&self, out: &mut Tables) {
        for talker in &self.talkers {
            let head = RowHead { owner: talker.player, ..RowHead::new(talker.id) };
            talker.counts.write(&mut out.insert(TALKER, head));
        }
    }

    fn load(&mut self, tables: &Tables) {
        self.talkers.clear();
        self.talkers.extend(tables.rows(TALKER).map(|(head, row)| Talker {
            id: head.id,
            player: head.owner,
            counts: Counts::read(row),
        }));
    }
}
