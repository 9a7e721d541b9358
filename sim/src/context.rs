//! What a step sees of the world around the game, and what it can ask of it.

use bytes::Bytes;
use tickwire_protocol::message::{
    GameEvent, Message, MessageId, MessageTypeId, Outcome, Refusal, Request, RequestId, Response, SendError,
    Standing,
};
use tickwire_protocol::room::Profile;
use tickwire_protocol::{
    CueId, EntityId, KindId, Micros, PlayerId, RowHead, RowMut, RowRef, Schema, Tick, TickRate,
};

use crate::account::Account;
use crate::cues::Cues;
use crate::entities::{Authority, Entities};
use crate::groups::Groups;
use crate::inputs::PlayerInputs;
use crate::mail::{Audience, Outside};
use crate::match_board::MatchBoard;
use crate::random::Random;

/// Names what was said where nobody hears it.
const NOTHING: MessageId = MessageId(0);

/// The one argument of a step: time, inputs and chance to read, entities and cues to make.
#[derive(Debug)]
pub struct StepContext<'a> {
    pub(crate) tick: Tick,
    pub(crate) tick_rate: TickRate,
    pub(crate) seed: u64,
    pub(crate) schema: &'a Schema,
    pub(crate) inputs: &'a PlayerInputs,
    pub(crate) entities: &'a mut Entities,
    pub(crate) cues: &'a mut Cues,
    pub(crate) outside: Outside<'a>,
}

impl<'a> StepContext<'a> {
    /// The number of this step.
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// How often the world steps.
    pub fn tick_rate(&self) -> TickRate {
        self.tick_rate
    }

    /// How much time this step is to advance, seconds.
    pub fn dt(&self) -> f32 {
        self.tick_rate.dt()
    }

    /// Whether this world decides what is so: always on a server, never on a client, whose steps are predictions on
    /// the few entities that it knows.
    ///
    /// For what needs the whole world, as to keep up a number of monsters: a client would count those that it knows.
    /// What this leads to reaches clients as state. A player's own motion must not hang on it, or is predicted wrongly.
    pub fn is_authority(&self) -> bool {
        self.entities.authority() == Authority::Here
    }

    /// The players present in ascending id, with their inputs. On a client, those that it predicts.
    pub fn players(&self) -> impl Iterator<Item = (PlayerId, RowRef<'a>)> + use<'a> {
        self.inputs.iter()
    }

    /// What a player wants in this tick; nothing if it is not present (or, on a client, not predicted).
    pub fn input(&self, player: PlayerId) -> Option<RowRef<'a>> {
        self.inputs.get(player)
    }

    /// Who is present from this tick on, in ascending id. Always empty on a client.
    pub fn joined(&self) -> &'a [PlayerId] {
        self.inputs.joined()
    }

    /// Who is no longer present from this tick on, in ascending id. Comes before [`StepContext::joined`]: a player
    /// who is in both has left and come back. Always empty on a client.
    pub fn left(&self) -> &'a [PlayerId] {
        self.inputs.left()
    }

    /// Who is behind a player; nothing for a guest, and always on a client.
    ///
    /// What follows from it reaches clients as state. It is not recorded: a replay answers nothing.
    pub fn account(&self, player: PlayerId) -> Option<Account<'_>> {
        self.outside.accounts?.account(player)
    }

    /// Whether the token of a player allows this in this room: `action`, or `action@room`. Of what is not the engine's own (`play`, `watch` and `open`) a
    /// guest may nothing, and nobody on a client.
    pub fn may(&self, player: PlayerId, action: &str) -> bool {
        self.outside.accounts.is_some_and(|accounts| accounts.may(player, action))
    }

    /// What a player says of itself: its name, and what the game's client has added. Nobody vouches for it. Nothing on a client.
    pub fn profile(&self, player: PlayerId) -> Option<&Profile> {
        self.outside.roster?.profile(player)
    }

    /// Whether there is a connection to a player now; until it comes back or its session ends, who has none is stepped as the room's policy
    /// for absence says. Never so on a client.
    pub fn is_connected(&self, player: PlayerId) -> bool {
        self.outside.roster.is_some_and(|roster| roster.is_connected(player))
    }

    /// How the match stands, to be read and to be written: everybody in the room is told. Nothing on a client, and in a world that is
    /// stepped [by itself](crate::World::step): what the game itself hinges on belongs into its tables.
    ///
    /// ```
    /// # use tickwire_sim::prelude::*;
    /// # use tickwire_sim::protocol::room::MatchStatus;
    /// # fn step(ctx: &mut StepContext<'_>) {
    /// let (enough, begins) = (ctx.players().count() >= 2, ctx.tick() + 5 * ctx.tick_rate().hz());
    /// if let Some(state) = ctx.match_state()
    ///     && enough
    ///     && state.info().status == MatchStatus::Waiting
    /// {
    ///     state.set_status(MatchStatus::Countdown, Some(begins));
    /// }
    /// # }
    /// ```
    pub fn match_state(&mut self) -> Option<&mut MatchBoard> {
        self.outside.match_state.as_deref_mut()
    }

    /// Which players belong together: to be read, and to be spoken to as [`Audience::Group`]. Each client is told who is in its own
    /// groups. Nothing on a client, and in a world that is stepped [by itself](crate::World::step). It is not recorded: a replay has none.
    ///
    /// Who wishes to be in a group says so as the game likes, say by a request whose type wants a
    /// [permission](tickwire_protocol::message::MessageType::permitted_by):
    ///
    /// ```
    /// # use tickwire_sim::prelude::*;
    /// # use tickwire_sim::Audience;
    /// # use tickwire_sim::protocol::GroupId;
    /// # use tickwire_sim::protocol::message::{MessageTypeId, Refusal};
    /// const JOIN_PARTY: MessageTypeId = MessageTypeId(3);
    /// const PARTY_NEWS: MessageTypeId = MessageTypeId(4);
    /// # fn step(ctx: &mut StepContext<'_>) {
    /// while let Some((from, request)) = ctx.poll_request() {
    ///     let party = match (request.ty, <[u8; 4]>::try_from(&request.body[..])) {
    ///         (JOIN_PARTY, Ok(number)) => GroupId(u32::from_le_bytes(number)),
    ///         _ => continue,
    ///     };
    ///     let Some(groups) = ctx.groups() else { return };
    ///     let joined = groups.join(party, from).map_err(|error| Refusal::Game(error.to_string().into()));
    ///     let _ = ctx.respond(from, request.id, joined.map(|()| Bytes::new()));
    ///     let _ = ctx.send(Audience::Group(party), PARTY_NEWS, 0, Bytes::from_static(b"one more"));
    /// }
    /// # }
    /// ```
    pub fn groups(&mut self) -> Option<&mut Groups> {
        self.outside.mail.as_mut()?.groups()
    }

    /// The rows of a kind as they were shown to a player when it gave its input for this step, in ascending id: what its shot
    /// is to be judged by. Others are shown in the past, so who aims well misses where they are now.
    ///
    /// The rows are what [`Eyes::seen_by`](crate::Eyes::seen_by) says: without the player's own entities, without those that have ended since, and without
    /// those that the player was not shown.
    /// Who was moved away since is where it was seen; a game that wants nobody hurt for that keeps a timer.
    ///
    /// Nothing if nobody can tell, as for a player without a client, or in a world that is stepped
    /// [without eyes](crate::World::step): then take the present.
    ///
    /// # Panics
    /// If the schema has no such kind.
    pub fn seen_by(
        &mut self,
        player: PlayerId,
        kind: KindId,
    ) -> Option<impl Iterator<Item = (RowHead, RowRef<'_>)>> {
        let row_kind = self.schema.kind(kind);
        let table = self.outside.eyes.as_mut()?.seen_by(player, kind)?;
        Some(table.heads().iter().enumerate().map(|(index, head)| (*head, table.row(row_kind, index))))
    }

    /// An id for a new entity. It lives as long as each tick's `save` writes it a row of this kind.
    ///
    /// Spawn because something happens (a shot, a fall), never because something is counted, or do it only where
    /// [`is_authority`](StepContext::is_authority) holds: on a client most of what there is to count is absent.
    ///
    /// On a client the id is a guess ([`is_provisional`](crate::is_provisional)): it lives until the world is
    /// restored from what the server says. So nothing but references may follow from it: draw the newborn's chance by its
    /// maker's id ([`random`](StepContext::random)).
    ///
    /// # Panics
    /// If the world is full: [`ENTITIES_MAX`](tickwire_protocol::limits::ENTITIES_MAX) entities live, or so many
    /// were ended in the last [`SLOT_REST_TICKS`](tickwire_protocol::limits::SLOT_REST_TICKS) that no slot has
    /// rested enough. The room ends then, so a game that spawns without bound needs a bound of its own. Also if the
    /// schema has no such kind.
    pub fn spawn(&mut self, kind: KindId) -> EntityId {
        self.spawn_with(kind, Bytes::new())
    }

    /// As [`StepContext::spawn`], with bytes that every client gets once, when the entity enters its view: a name,
    /// colours, whatever never changes. No bytes are no payload: the wire does not tell them apart.
    ///
    /// # Panics
    /// As [`StepContext::spawn`]; or if `payload` is larger than
    /// [`SPAWN_PAYLOAD_BYTES_MAX`](tickwire_protocol::limits::SPAWN_PAYLOAD_BYTES_MAX).
    pub fn spawn_with(&mut self, kind: KindId, payload: Bytes) -> EntityId {
        let _must_exist = self.schema.kind(kind);
        self.entities.spawn(kind, payload)
    }

    /// Lets an entity live under an id that comes from elsewhere, such as a recording. Whoever had its slot is gone. A
    /// simulation that does this gives all its ids so: [`spawn`](StepContext::spawn) knows nothing of what comes.
    ///
    /// # Panics
    /// If the schema has no such kind; or if `payload` is larger than
    /// [`SPAWN_PAYLOAD_BYTES_MAX`](tickwire_protocol::limits::SPAWN_PAYLOAD_BYTES_MAX).
    pub fn place(&mut self, kind: KindId, entity: EntityId, payload: Bytes) {
        let _must_exist = self.schema.kind(kind);
        self.entities.place(kind, entity, payload);
    }

    /// The kind of an entity that lives.
    pub fn kind(&self, entity: EntityId) -> Option<KindId> {
        self.entities.kind(entity)
    }

    /// The bytes that an entity was spawned with; nothing if it was with none, or if it does not live.
    pub fn payload(&self, entity: EntityId) -> Option<&Bytes> {
        self.entities.payload(entity)
    }

    /// Chance for this entity in this tick: a function of the room's seed, the tick and the entity. Asked for twice
    /// in a tick it starts again with the same numbers, so keep it for as many draws as are needed.
    ///
    /// Of an entity that a client has spawned ahead of the server the id is a guess, and so is chance drawn by it: ask by the id
    /// of whoever spawns it, or its owner's entity.
    pub fn random(&self, entity: EntityId) -> Random {
        Random::of(self.seed, self.tick.0, entity.pack())
    }

    /// Chance for what belongs to no entity; as [`StepContext::random`].
    pub fn random_for_room(&self) -> Random {
        Random::of(self.seed, self.tick.0, 0)
    }

    /// Emits a cue: something that happens in this tick and that clients show at its time, once. It is told to those
    /// who see `source`, or to all if there is none. Gives its values to write.
    ///
    /// A cue about an end carries its own place, as a field: a source that ends in this very tick is in no view any
    /// more when the cue is shown, so nothing there says where it was.
    ///
    /// At most [`CUES_PER_TICK_MAX`](tickwire_protocol::limits::CUES_PER_TICK_MAX) a tick: what is beyond is
    /// dropped and counted ([`World::cues_dropped`](crate::World::cues_dropped)).
    ///
    /// # Panics
    /// If the schema has no such cue.
    pub fn cue(&mut self, cue: CueId, source: Option<EntityId>) -> RowMut<'_> {
        self.cues.emit(self.schema, self.tick, cue, source)
    }

    /// The next message that a player has sent since the last step; ask until there is none. What is not asked for waits, and holds
    /// its sender back. Always none on a client.
    ///
    /// ```
    /// # use tickwire_sim::prelude::*;
    /// # use tickwire_sim::Audience;
    /// # use tickwire_sim::protocol::message::MessageTypeId;
    /// const CHAT: MessageTypeId = MessageTypeId(0);
    /// # fn step(ctx: &mut StepContext<'_>) {
    /// while let Some((from, message)) = ctx.poll_message() {
    ///     if message.ty == CHAT {
    ///         // Somebody's inbox may be full: the others get it all the same.
    ///         let _ = ctx.send(Audience::Except(from), CHAT, 0, message.body);
    ///     }
    /// }
    /// # }
    /// ```
    pub fn poll_message(&mut self) -> Option<(PlayerId, Message)> {
        self.outside.mail.as_mut()?.poll()
    }

    /// Sends a message of the schema. `key` tells [latest](tickwire_protocol::message::MessageClass::Latest) messages of one
    /// type apart; others pass it over. Gives it a name, the same for all who get it, by which
    /// [`StepContext::poll_outcome`] tells what became of it. On a client nothing is sent, and 0 names nothing.
    ///
    /// What is for [others than this room](Audience::All) waits to be passed on, 64 messages or 256 KiB at most; then nobody gets it.
    ///
    /// # Errors
    /// Why nobody of the audience gets it: the type or the size is not what the schema says, too much waits to be passed on, or who is spoken
    /// to does not take what is sent. If some get it and others do not, [`SendError::NotAll`].
    pub fn send(
        &mut self,
        to: Audience<'_>,
        ty: MessageTypeId,
        key: u32,
        body: Bytes,
    ) -> Result<MessageId, SendError> {
        self.outside.mail.as_mut().map_or(Ok(NOTHING), |mail| mail.send(to, ty, key, body))
    }

    /// The next message or event whose fate is known, and of whom: each that was sent is told once for each player that was to get it, unreliable
    /// ones not. Ask until there is none. Always none on a client.
    ///
    /// | outcome | |
    /// |---|---|
    /// | [`Delivered`](Outcome::Delivered) | its client's game has polled it |
    /// | [`Expired`](Outcome::Expired) | it waited longer than its type allows, and was never written |
    /// | [`Replaced`](Outcome::Replaced) | a newer one of its key took its place |
    /// | [`Lost`](Outcome::Lost) | the player's session is over; it may have arrived. To be asked for in the next step, behind which nobody keeps it |
    ///
    /// Whoever does not take it at all is told by [`send`](StepContext::send). Of those in [other rooms](Audience::All) nothing is told. **Outcomes are kept from the first time on that this is
    /// asked**, so that a game that never asks pays nothing: ask in the first step, and in each. Where 4,096 of a player wait, `send`
    /// refuses more to it ([`SendError::NotPolled`]).
    ///
    /// ```
    /// # use tickwire_sim::prelude::*;
    /// # use tickwire_sim::Audience;
    /// # use tickwire_sim::protocol::message::{MessageId, MessageTypeId, Outcome};
    /// # use std::collections::BTreeMap;
    /// const GIFT: MessageTypeId = MessageTypeId(6);
    /// struct Gifts {
    ///     under_way: BTreeMap<MessageId, PlayerId>,
    /// }
    /// # impl Gifts {
    /// fn step(&mut self, ctx: &mut StepContext<'_>) {
    ///     while let Some((player, message, outcome)) = ctx.poll_outcome() {
    ///         if self.under_way.remove(&message).is_some() && outcome != Outcome::Delivered {
    ///             // Not for this player any more.
    ///         }
    ///     }
    ///     for &player in ctx.joined() {
    ///         if let Ok(message) = ctx.send(Audience::Player(player), GIFT, 0, Bytes::from_static(b"hat")) {
    ///             self.under_way.insert(message, player);
    ///         }
    ///     }
    /// }
    /// # }
    /// ```
    pub fn poll_outcome(&mut self) -> Option<(PlayerId, MessageId, Outcome)> {
        self.outside.mail.as_mut()?.poll_outcome()
    }

    /// Where a message or event that was sent is on its way to a player: it waits, goes out next, or was written and not polled by the
    /// client's game. Nothing once its outcome is known, for whom it was not sent to, and on a client; of unreliable ones nothing is known.
    pub fn standing(&self, player: PlayerId, id: MessageId) -> Option<Standing> {
        self.outside.mail.as_ref()?.standing(player, id)
    }

    /// Tells that something happened in this tick: a message of class [`Event`](tickwire_protocol::message::MessageClass::Event), which
    /// arrives reliably and ahead of other messages. A client is told at once or when its view shows the tick, as the type is declared, and not
    /// before the entities that it names are in its view, but at most a second later. On a client nothing is told.
    ///
    /// For what is gone if it is missed, as a goal or a death. What only decorates the moment is a [`cue`](StepContext::cue): cheaper,
    /// predicted for oneself, and dropped where it comes too late.
    ///
    /// ```
    /// # use tickwire_sim::prelude::*;
    /// # use tickwire_sim::Audience;
    /// # use tickwire_sim::protocol::message::{GameEvent, MessageTypeId};
    /// const KNOCKED_OUT: MessageTypeId = MessageTypeId(1);
    /// # fn knock_out(ctx: &mut StepContext<'_>, by: EntityId, whom: EntityId, position: Vec3) {
    /// let event = GameEvent::new("round 3").by(by).to(whom).at(position);
    /// // Somebody's queue may be full: the others hear of it all the same.
    /// let _ = ctx.emit_event(Audience::Room, KNOCKED_OUT, &event);
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`StepContext::send`]; [`SendError::OtherCall`] for [`Audience::All`], for it is of a tick and of entities of this room.
    pub fn emit_event(
        &mut self,
        to: Audience<'_>,
        ty: MessageTypeId,
        event: &GameEvent,
    ) -> Result<MessageId, SendError> {
        let tick = self.tick;
        self.outside.mail.as_mut().map_or(Ok(NOTHING), |mail| mail.emit(to, ty, event.encode(tick)))
    }

    /// The next request that a player has sent since the last step; ask until there is none, and [respond](StepContext::respond) to each,
    /// now or in a later step. Its asker waits for as long as it said. Always none on a client.
    ///
    /// ```
    /// # use tickwire_sim::prelude::*;
    /// # use tickwire_sim::protocol::message::{MessageTypeId, Refusal, SendError};
    /// const BUY: MessageTypeId = MessageTypeId(2);
    /// # fn step(ctx: &mut StepContext<'_>, buy: impl Fn(PlayerId, &[u8]) -> Option<Bytes>) {
    /// while let Some((from, request)) = ctx.poll_request() {
    ///     let response = match request.ty {
    ///         BUY => buy(from, &request.body).ok_or(Refusal::Game("too expensive".into())),
    ///         _ => Err(Refusal::UnknownMethod),
    ///     };
    ///     if let Err(SendError::TooLarge { .. }) = ctx.respond(from, request.id, response) {
    ///         // It has to be told something: only who took it back meanwhile needs no answer.
    ///         let _ = ctx.respond(from, request.id, Err(Refusal::Game("too large".into())));
    ///     }
    /// }
    /// # }
    /// ```
    pub fn poll_request(&mut self) -> Option<(PlayerId, Request)> {
        self.outside.mail.as_mut()?.poll_request()
    }

    /// Answers a player's request, once. What is not more than its type declares finds room, however much else is answered.
    ///
    /// # Errors
    /// [`SendError::NotAsked`] if its player has left, has taken it back or was answered before; or why the answer is not taken: then
    /// another may be tried.
    pub fn respond(
        &mut self,
        to: PlayerId,
        id: RequestId,
        response: Result<Bytes, Refusal>,
    ) -> Result<(), SendError> {
        self.outside.mail.as_mut().map_or(Err(SendError::NotAsked), |mail| mail.respond(to, id, response))
    }

    /// Asks a player's client for something of a type of class [`Request`](tickwire_protocol::message::MessageClass::Request). Its answer,
    /// or why there is none, is told by [`StepContext::poll_response`] after `timeout` at the latest; if the player leaves, nothing is.
    ///
    /// # Errors
    /// Why it is not asked: the type or the size is not what the schema says, too many wait for an answer, nobody is there.
    pub fn request(
        &mut self,
        of: PlayerId,
        ty: MessageTypeId,
        body: Bytes,
        timeout: Micros,
    ) -> Result<RequestId, SendError> {
        let mail = self.outside.mail.as_mut().ok_or(SendError::Closed)?;
        mail.request(of, ty, body, timeout)
    }

    /// Takes a request back: it ends as cancelled, unless its answer is here already.
    pub fn cancel_request(&mut self, of: PlayerId, id: RequestId) {
        if let Some(mail) = &mut self.outside.mail {
            mail.cancel_request(of, id);
        }
    }

    /// The next of the game's own requests that came to its end, and with what; ask until there is none.
    pub fn poll_response(&mut self) -> Option<(PlayerId, RequestId, Response)> {
        self.outside.mail.as_mut()?.poll_response()
    }
}
