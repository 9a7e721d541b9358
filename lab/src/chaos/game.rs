//! The game of the chaos lab: everyone talks, and counts what it hears.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use tickwire_protocol::message::{Direction, Message, MessageClass, MessageType, MessageTypeId};
use tickwire_sim::prelude::*;
use tickwire_sim::{Audience, Random};

/// Each a number, and so much more.
pub(super) const TALK: MessageTypeId = MessageTypeId(0);
/// Only the newest counts.
pub(super) const NEWEST: MessageTypeId = MessageTypeId(1);

/// Said for the moment: it may be missing, and is never late.
pub(super) const MOMENT: MessageTypeId = MessageTypeId(2);
/// Not worth to be said later; only to the server.
pub(super) const BRIEF: MessageTypeId = MessageTypeId(3);

pub(super) const TALKER: KindId = KindId(0);

/// No message of the game is longer.
pub(super) const TALK_BYTES_MAX: u32 = 200;

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
    /// How often an older one came after it.
    newest_back = 6,
    /// The newest number of [`NEWEST`] that was taken.
    newest_said = 7,
    /// The newest number of [`MOMENT`] that was heard, and how often one came that was not newer.
    moment_heard = 8,
    moment_back = 9,
    /// How many of [`BRIEF`] were heard, the newest of them, and how often one came that was not newer.
    briefs = 10,
    brief_heard = 11,
    brief_back = 12,
    /// The newest number of [`MOMENT`] that was said.
    moment_said = 13,
}

impl Counts {
    /// Whether a message of this number was among those heard.
    pub(super) fn has_heard(&self, number: u32) -> bool {
        self.first > 0 && (self.first - 1..self.next).contains(&(number as i32))
    }
}

pub(super) fn schema() -> Arc<Schema> {
    let reliable = MessageClass::Reliable;
    Schema::builder("chaos")
        .kind(Kind::new(TALKER, "talker", Counts::fields()))
        .message(MessageType::new(TALK, "talk", Direction::BothWays, reliable, TALK_BYTES_MAX))
        .message(MessageType::new(NEWEST, "newest", Direction::BothWays, MessageClass::Latest, 8))
        .message(MessageType::new(MOMENT, "moment", Direction::BothWays, MessageClass::Unreliable, 8))
        .message(MessageType::new(BRIEF, "brief", Direction::ToServer, reliable, 8).expires_after(BRIEF_FOR))
        .build()
        .unwrap_or_else(|error| unreachable!("the schema keeps every rule: {error}"))
}

/// A message with a number, and as many bytes more as chance wants.
pub(super) fn talk(random: &mut Random, to: Person, number: u32) -> Bytes {
    let mut body = [to.0.to_le_bytes(), number.to_le_bytes()].concat();
    let more = if random.chance(0.1) { random.below(TALK_BYTES_MAX - 8) } else { 0 };
    body.resize(body.len() + more as usize, 0xa5);
    body.into()
}

/// Whom a message is for, and its number.
pub(super) fn heard(message: &Message) -> (Person, u32) {
    let mut body = message.body.clone();
    (Person(body.get_u32_le()), body.get_u32_le())
}

struct Talker {
    id: EntityId,
    player: Option<PlayerId>,
    counts: Counts,
}

/// The server's side of the talk.
pub(super) struct Talk {
    schema: Arc<Schema>,
    talkers: Vec<Talker>,
    /// From this tick on it only listens.
    calm: Tick,
    /// Which start of the server it is.
    start: u32,
}

/// A player of a start of the server: each start counts anew.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Person(u32);

impl Person {
    pub(super) fn new(start: u32, player: PlayerId) -> Self {
        Self(start << 20 | player.0)
    }
}

impl Talk {
    pub(super) fn new(schema: Arc<Schema>, calm: Tick, start: u32) -> Self {
        Self { schema, talkers: Vec::new(), calm, start }
    }

    fn hear(&mut self, from: PlayerId, message: &Message) {
        let talker = self.talkers.iter_mut().find(|talker| talker.player == Some(from));
        let Some(Talker { counts, .. }) = talker else { return };
        let number = heard(message).1 as i32;
        if message.ty == MOMENT {
            counts.moment_back += i32::from(number <= counts.moment_heard);
            counts.moment_heard = counts.moment_heard.max(number);
        } else if message.ty == BRIEF {
            counts.briefs += 1;
            counts.brief_back += i32::from(number <= counts.brief_heard);
            counts.brief_heard = counts.brief_heard.max(number);
        } else if message.ty == NEWEST {
            counts.newest_back += i32::from(number <= counts.newest_heard);
            counts.newest_heard = counts.newest_heard.max(number);
        } else if counts.first == 0 {
            (counts.first, counts.next) = (number + 1, number + 1);
        } else {
            counts.doubled += i32::from(number < counts.next);
            counts.gaps += i32::from(number > counts.next);
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
            let body = talk(&mut random, person, talker.counts.said as u32);
            talker.counts.said += i32::from(ctx.send(Audience::Player(player), TALK, 0, body).is_ok());
        }
        if random.chance(0.2) {
            talker.counts.moment_said += 1;
            let number = talker.counts.moment_said as u32;
            let body = [person.0.to_le_bytes(), number.to_le_bytes()].concat();
            // One that is refused is one that is missing.
            let _ = ctx.send(Audience::Player(player), MOMENT, 0, body.into());
        }
        if random.chance(0.1) {
            let number = talker.counts.newest_said + 1;
            let body = [person.0.to_le_bytes(), (number as u32).to_le_bytes()].concat();
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
        self.talkers.retain(|talker| talker.player.is_some_and(|player| !ctx.left().contains(&player)));
        for &player in ctx.joined() {
            let id = ctx.spawn(TALKER);
            self.talkers.push(Talker { id, player: Some(player), counts: Counts::default() });
        }
        let is_calm = !self.calm.is_newer_than(ctx.tick());
        // Now and then it does not listen for a second.
        if is_calm || ctx.tick().0 / 30 % 5 != 3 {
            while let Some((from, message)) = ctx.poll_message() {
                self.hear(from, &message);
            }
        }
        if !is_calm {
            self.talkers.iter_mut().for_each(|talker| Self::say(self.start, talker, ctx));
        }
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
