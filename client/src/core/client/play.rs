//! What the game gives: its simulation, inputs, messages and wishes.

use bytes::Bytes;
use tickwire_protocol::handshake::{Role, StreamKind};
use tickwire_protocol::message::{MessageId, MessageTypeId, SendError, Standing};
use tickwire_protocol::room::Profile;
use tickwire_protocol::{EntityId, Micros, RowMut, Tick};
use tickwire_sim::Simulation;

use super::{Client, State};
use crate::core::prediction::OTHERS_MAX;

/// A message that was [taken](Client::send) to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sending {
    /// Its name: [`Client::standing`] says where it is, and [`Event::Sent`](crate::Event::Sent) what became of it.
    pub id: MessageId,
    /// [`Sent`](Standing::Sent), with what goes out next, or [`Queued`](Standing::Queued). An unreliable message that is queued goes out
    /// with no connection that begins: it is dropped then.
    pub standing: Standing,
}

impl Client {
    /// Predicts the player's own entities with this instance of the game, so that an input shows its effect in the next picture
    /// instead of a round trip later: see [`Client::predicted`]. Before the welcome or after it; nothing happens where there is no
    /// player.
    ///
    /// The simulation steps a [partial world](tickwire_sim::World::partial), and what a server says goes into it within the bounds
    /// of the schema: it must keep the [contract](Simulation), for a panic of its step is a panic of
    /// [`Client::push_input`] and [`Client::handle_message`].
    ///
    /// # Panics
    /// If it is of another schema than the client.
    pub fn predict(&mut self, simulation: Box<dyn Simulation>) {
        assert!(
            simulation.schema().hash() == self.schema.hash(),
            "a client of `{}` cannot predict `{}`",
            self.schema.name(),
            simulation.schema().name()
        );
        match &mut self.state {
            State::Playing(session) => {
                session.predict(simulation);
                session.predict_others(self.others.iter().copied());
            }
            State::Hello { .. } | State::Waiting { .. } | State::Closed { .. } => {
                self.simulation = Some(simulation);
            }
        }
    }

    /// From the next snapshot on these entities of others, at most 64, are part of the world that is predicted: who runs into one of
    /// them sees it at once. They go on as the game moves those without an input, and are set right with each snapshot that says
    /// otherwise, which costs a replay. Replaces those of the last call. Whom the game has chosen stays chosen as long as the
    /// [session](tickwire_protocol::handshake::SessionOutcome) goes on, whatever becomes of the connection.
    ///
    /// Ask for those that the player may touch before the server's answer comes.
    pub fn predict_others(&mut self, ids: impl IntoIterator<Item = EntityId>) {
        self.others.clear();
        self.others.extend(ids.into_iter().take(OTHERS_MAX));
        if let State::Playing(session) = &mut self.state {
            session.predict_others(self.others.iter().copied());
        }
    }

    /// Calls itself otherwise from now on, in this room and those to come. The others are told at most once a second; of what changes
    /// more often they hear the newest. Told with the next [`Client::poll_transmit`]. A spectator is not a member: nothing is told of it.
    pub fn set_profile(&mut self, profile: Profile) {
        let is_player = self.config.role == Role::Player && self.config.stream == StreamKind::Ordered;
        self.is_profile_told &= profile == self.config.profile || !is_player;
        self.config.profile = profile;
    }

    /// Asks the server to send no more than this of snapshots, bytes a second, with what the transport puts around them: for a phone that
    /// saves data, or a picture that nobody looks at. It gives at least 1,000, and no more than the room's own budget; with `None` that.
    /// What is less important then comes less often. Told with the next [`Client::poll_transmit`].
    pub fn set_budget(&mut self, bytes_per_second: Option<u32>) {
        self.budget = bytes_per_second;
        if let State::Playing(session) = &mut self.state {
            session.set_budget(bytes_per_second);
        }
    }

    /// Sends a message of the schema. `key` tells [latest](tickwire_protocol::message::MessageClass::Latest) messages of one type
    /// apart; others pass it over. What is taken goes out next, or is queued until there is a connection and room on it: the answer says
    /// which, and gives it a name. [`Event::Sent`](crate::Event::Sent) tells what became of it.
    ///
    /// # Errors
    /// Why it is refused; nothing of it will arrive.
    ///
    /// ```
    /// # use tickwire_client::{Client, protocol::{Micros, message::{MessageTypeId, SendError, Standing}}};
    /// # const CHAT: MessageTypeId = MessageTypeId(0);
    /// # fn say(client: &mut Client, now: Micros) {
    /// match client.send(now, CHAT, 0, &b"hello"[..]) {
    ///     Ok(sending) if sending.standing == Standing::Queued => println!("{} waits", sending.id.0),
    ///     Ok(sending) => println!("{} is sent", sending.id.0),
    ///     Err(refused) => println!("{refused}"),
    /// }
    /// # }
    /// ```
    pub fn send(
        &mut self,
        now: Micros,
        ty: MessageTypeId,
        key: u32,
        body: impl Into<Bytes>,
    ) -> Result<Sending, SendError> {
        let result = self.check_sending();
        let result = result.and_then(|()| self.continuity.outbox.send(now, ty, key, body.into().into()));
        let id = self.note_refusal(result)?;
        // Of an unreliable one nothing is kept: it goes out next or never.
        let standing = self.standing(id).unwrap_or_else(|| self.on_connection(Standing::Sent));
        Ok(Sending { id, standing })
    }

    /// Where a message is that was [sent](Client::send): it waits to be written, or to be polled by the server's game. Nothing once its
    /// outcome is known; of unreliable ones none is told.
    pub fn standing(&self, id: MessageId) -> Option<Standing> {
        self.continuity.outbox.standing(id).map(|standing| self.on_connection(standing))
    }

    /// Without a connection nothing goes out.
    fn on_connection(&self, standing: Standing) -> Standing {
        let is_held = standing == Standing::Sent && !self.is_playing();
        if is_held { Standing::Queued } else { standing }
    }

    /// How many more messages of this type [`Client::send`] lets through now, as far as rates go; nothing if there is no bound. Time
    /// passes while the server is heard.
    pub fn remaining(&self, now: Micros, ty: MessageTypeId) -> Option<u32> {
        self.continuity.outbox.remaining(now, ty)
    }

    /// The tick for which the player's input is to be given now, if one is due: ask until none is.
    ///
    /// Inputs are given ahead of the server's time, so that they arrive just before their step. After a pause the ticks
    /// that came too late are left out.
    pub fn due_input_tick(&self, now: Micros) -> Option<Tick> {
        match &self.state {
            State::Playing(session) if self.gives_inputs() => session.due_input_tick(now),
            _ => None,
        }
    }

    /// Gives the player's input for a tick, usually the one that [`Client::due_input_tick`] names. `fill` gets a row of
    /// the schema's input with all fields at zero, or the bound nearest to it. What the view shows at `now` is told to the
    /// server, which judges shots by it. If the client [predicts](Client::predict), the tick is stepped.
    ///
    /// Decide first, then write: `fill` cannot look at the client, which is borrowed while it runs.
    ///
    /// ```
    /// # use tickwire_client::{Client, protocol::{FieldId, KindId, Micros}};
    /// # const BODY: KindId = KindId(0);
    /// # const POSITION: FieldId = FieldId(0);
    /// # const MOVE: FieldId = FieldId(0);
    /// # fn frame(client: &mut Client, now: Micros) {
    /// // One decision for all ticks that are due: nothing newer is known between them.
    /// let home = client.own_row(BODY).map_or(glam::Vec2::ZERO, |own| -own.vec2(POSITION));
    /// while let Some(tick) = client.due_input_tick(now) {
    ///     client.push_input(now, tick, |row| {
    ///         row.set_vec2(MOVE, home);
    ///     });
    /// }
    /// # }
    /// ```
    ///
    /// Does nothing where there is no player, or if the tick has its input already.
    pub fn push_input(&mut self, now: Micros, tick: Tick, fill: impl FnOnce(&mut RowMut<'_>)) {
        if let State::Playing(session) = &mut self.state
            && self.closing.is_none()
            && !self.pausing.is_paused
        {
            session.push_input(now, tick, fill, &mut self.stats);
        }
    }

    /// When the inputs for the next frame are complete, if [`Client::due_input_tick`] is asked then; nothing if there is
    /// no player, or if the server must be heard first.
    pub fn input_timeout(&self) -> Option<Micros> {
        match &self.state {
            State::Playing(session) if self.gives_inputs() => session.input_timeout(),
            _ => None,
        }
    }

    /// Whether the game still plays: it has neither left nor paused.
    fn gives_inputs(&self) -> bool {
        self.closing.is_none() && !self.is_paused()
    }
}
