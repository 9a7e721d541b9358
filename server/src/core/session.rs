//! What outlives a connection: who a client is, its player, and the messages whose fate is not known yet.
//!
//! ```text
//!            join                    connection lost              window passed, or in the way
//!   (none) ────────> connected ─────────────────────────> absent ────────────────────> over: the player leaves
//!                     │  ^  ^                                │
//!                     │  └──┼───────── resumed (token) ──────┘
//!                     │     └── taken over by another connection (token)
//!                     └── goodbye, a law of the protocol broken, let go by the game ──> over
//! ```

use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::bulk::{Bulk, Side};
use tickwire_protocol::handshake::{
    FreshReason, Resume, ResumeToken, Role, SessionOutcome, SessionTerms, StreamKind,
};
use tickwire_protocol::limits::MESSAGE_BYTES_PER_TRANSMIT_MAX;
use tickwire_protocol::message::{
    Direction, Inbox, Lane, MessageBody, MessageId, MessageLimits, MessageTypeId, Missed, Outbox, Received,
    Refusal, Requests, SendError,
};
use tickwire_protocol::schema::Kind;
use tickwire_protocol::snapshot::Feedback;
use tickwire_protocol::{Micros, PeerFault, PeerId, PlayerId, Schema, SessionId};

use super::belief::ViewBelief;
use super::gate::Gate;
use super::input_queue::InputQueue;

/// The player that a session gives inputs for.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) id: PlayerId,
    pub(crate) inputs: InputQueue,
    pub(crate) view: ViewBelief,
    /// Whether a step has told the simulation of it.
    pub(crate) is_announced: bool,
}

/// Where a session is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Whereabouts {
    /// At the other end of this connection.
    Connected(PeerId),
    /// Its connection was lost at this moment.
    AbsentSince(Micros),
}

/// Credit, ends and stops of all transfers both ways take less, bytes.
const BULK_CONTROL_BYTES_MAX: usize = 512;

/// One client, whatever connection it comes over.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) whereabouts: Whereabouts,
    begun: Micros,
    /// None for a spectator.
    pub(crate) player: Option<Player>,
    /// What the game says to it.
    pub(crate) outbox: Outbox,
    /// What it says to the game.
    pub(crate) inbox: Inbox,
    /// What each asks the other for.
    pub(crate) requests: Requests,
    /// What is too large for a message, both ways.
    pub(crate) bulk: Bulk,
    /// What is let through of what it says.
    pub(crate) gate: Box<Gate>,
    /// What carries its frames now.
    pub(crate) stream: StreamKind,
    /// Its client has spoken behind a welcome: it knows its token, and can come back.
    is_known: bool,
    /// Its client wants no state for now, and gives no inputs.
    pub(crate) is_paused: bool,
    token: ResumeToken,
    /// The one before, until the client has shown that it has read of the new one.
    former_token: Option<ResumeToken>,
}

impl Session {
    pub(crate) fn new(
        id: SessionId,
        token: ResumeToken,
        peer: PeerId,
        stream: StreamKind,
        player: Option<Player>,
        schema: &Arc<Schema>,
        now: Micros,
    ) -> Self {
        Self {
            id,
            whereabouts: Whereabouts::Connected(peer),
            begun: now,
            player,
            outbox: Outbox::new(schema.clone(), Direction::ToClient).without_outcomes(),
            inbox: Inbox::new(schema.clone(), Direction::ToServer),
            requests: Requests::default(),
            bulk: Bulk::new(Side::Server),
            gate: Box::new(Gate::new(MessageLimits::default())),
            stream,
            is_known: false,
            is_paused: false,
            token,
            former_token: None,
        }
    }

    /// One that may say so much in all.
    pub(crate) fn allowing(self, limits: MessageLimits) -> Self {
        Self { gate: Box::new(Gate::new(limits)), ..self }
    }

    /// The connection of a client that plays: nothing if it is paused.
    pub(crate) fn present_peer(&self) -> Option<PeerId> {
        self.peer().filter(|_| !self.is_paused)
    }

    /// Its client is paused, or no longer: then inputs begin anew.
    pub(crate) fn set_paused(&mut self, is_paused: bool, input_kind: &Kind) {
        if core::mem::replace(&mut self.is_paused, is_paused) && !is_paused {
            self.player.iter_mut().for_each(|player| player.inputs.restart(input_kind));
        }
    }

    /// Its connection was lost, and nobody knows for how long: it keeps what it has to, and no memory beside.
    pub(crate) fn rest(&mut self, now: Micros) {
        self.whereabouts = Whereabouts::AbsentSince(now);
        self.outbox.shrink_to_fit();
        self.inbox.shrink_to_fit();
        self.requests.shrink_to_fit();
        self.bulk.shrink_to_fit();
        if let Some(player) = &mut self.player {
            player.inputs.rest();
            player.view.rest();
        }
    }

    /// The connection that it has, if it has one.
    pub(crate) fn peer(&self) -> Option<PeerId> {
        match self.whereabouts {
            Whereabouts::Connected(peer) => Some(peer),
            Whereabouts::AbsentSince(_) => None,
        }
    }

    /// What it was begun as.
    pub(crate) fn role(&self) -> Role {
        if self.player.is_some() { Role::Player } else { Role::Spectator }
    }

    pub(crate) fn player_id(&self) -> Option<PlayerId> {
        self.player.as_ref().map(|player| player.id)
    }

    /// For how long its connection has been lost, if it is.
    fn away_for(&self, now: Micros) -> Option<Micros> {
        match self.whereabouts {
            Whereabouts::Connected(_) => None,
            Whereabouts::AbsentSince(since) => Some(now.saturating_since(since)),
        }
    }

    /// Whether its connection was lost so long ago that nobody waits for it any more.
    pub(crate) fn is_given_up(&self, now: Micros, window: Micros) -> bool {
        self.away_for(now).is_some_and(|away| away >= window)
    }

    /// For how long its place is somebody else's who needs one: once it has been away for twice as long as it had been here, and for `least`
    /// beside. So who connects and vanishes over and over keeps nobody out for long, and who has played is waited for.
    pub(crate) fn overdue_for(&self, now: Micros, least: Micros) -> Option<Micros> {
        let Whereabouts::AbsentSince(since) = self.whereabouts else { return None };
        let been_here = since.saturating_since(self.begun);
        let patience = least.0.saturating_add(2 * been_here.0);
        self.away_for(now)?.0.checked_sub(patience).map(Micros)
    }

    /// The client has said something on this connection: it has read of the newest token there.
    pub(crate) fn handle_life(&mut self) {
        self.former_token = None;
        self.is_known = true;
    }

    /// Whether its client can come back.
    pub(crate) fn is_known(&self) -> bool {
        self.is_known
    }

    /// Whether this lets it go on.
    pub(crate) fn check(&self, resume: &Resume) -> Result<(), FreshReason> {
        // Both are always compared: how long it takes says nothing.
        let (is_newest, is_former) = (self.token == resume.token, self.former_token == Some(resume.token));
        if !(is_newest | is_former) {
            return Err(FreshReason::WrongToken);
        }
        Ok(())
    }

    /// Whether its client can have received what it says it has.
    pub(crate) fn is_consistent(&self, resume: &Resume) -> bool {
        self.outbox.check_resumed(resume.received).is_ok()
    }

    /// Goes on over another connection, if the token is right. An error leaves it as it was.
    pub(crate) fn resume(
        &mut self,
        peer: PeerId,
        stream: StreamKind,
        resume: &Resume,
        next_token: ResumeToken,
    ) -> Result<SessionOutcome, FreshReason> {
        self.check(resume)?;
        let inconsistent = |_| FreshReason::Inconsistent;
        let missed = self.outbox.handle_resumed(resume.received).map_err(inconsistent)?;
        self.inbox.handle_resumed(Missed::default()).map_err(inconsistent)?;
        self.stream = stream;
        self.former_token = Some(resume.token);
        self.token = next_token;
        self.whereabouts = Whereabouts::Connected(peer);
        Ok(if missed.total() == 0 { SessionOutcome::Resumed } else { SessionOutcome::Resynced { missed } })
    }

    /// Whether there are messages, or acks of them, to be written.
    pub(crate) fn has_transmit(&self) -> bool {
        self.stream == StreamKind::Ordered && self.has_messages()
    }

    fn has_messages(&self) -> bool {
        self.has_ack()
            || self.outbox.has_transmit()
            || self.requests.can_flush(&self.outbox)
            || self.bulk.has_control()
    }

    /// That a message was refused is told before that it was taken, or its sender would take it for delivered.
    fn has_ack(&self) -> bool {
        self.inbox.has_ack() && self.outbox.is_written(Lane::Control)
    }

    /// Takes in a MESSAGE frame of the client's.
    pub(crate) fn handle_message(
        &mut self,
        now: Micros,
        schema: &Schema,
        payload: Bytes,
    ) -> Result<(), PeerFault> {
        let Self { gate, inbox, outbox, requests, .. } = self;
        let refused =
            inbox.handle_message_unless(payload, |ty, bytes| gate.refuses(now, schema, ty, bytes))?;
        while let Some(message) = inbox.poll_lane(Lane::Requests) {
            let refuses = |ty, bytes| gate.admit(now, schema, ty, bytes).err().map(Refusal::from);
            requests.handle(now, schema, outbox, message, refuses)?;
        }
        if let Some((ty, number)) = refused {
            gate.tell(now, schema, outbox, ty, number)?;
        }
        gate.check(now)
    }

    /// Whether messages can be sent at all.
    pub(crate) fn check_stream(&self) -> Result<(), SendError> {
        if self.stream == StreamKind::Datagram { Err(SendError::NotOrdered) } else { Ok(()) }
    }

    /// Takes a message of the game's to the client.
    pub(crate) fn send(
        &mut self,
        now: Micros,
        id: MessageId,
        ty: MessageTypeId,
        key: u32,
        body: MessageBody,
    ) -> Result<(), SendError> {
        self.check_stream()?;
        self.outbox.send_as(now, id, ty, key, body)
    }

    /// Takes a message to the client that was said elsewhere: nobody here hears what becomes of it.
    pub(crate) fn send_untold(
        &mut self,
        now: Micros,
        id: MessageId,
        ty: MessageTypeId,
        key: u32,
        body: MessageBody,
    ) -> Result<(), SendError> {
        self.check_stream()?;
        self.outbox.send_untold(now, id, ty, key, body)
    }

    /// Tells the client a game event, as encoded.
    pub(crate) fn emit(
        &mut self,
        now: Micros,
        id: MessageId,
        ty: MessageTypeId,
        event: MessageBody,
    ) -> Result<(), SendError> {
        self.check_stream()?;
        self.outbox.send_event(now, id, ty, event)
    }

    /// Appends messages, and what was polled of the client's, to what goes over its connection.
    pub(crate) fn write_messages(&mut self, now: Micros, out: &mut Vec<u8>) {
        if self.stream == StreamKind::Datagram {
            return;
        }
        self.bulk.poll_control(BULK_CONTROL_BYTES_MAX, out);
        self.requests.flush(now, &mut self.outbox);
        self.outbox.poll_transmit(now, MESSAGE_BYTES_PER_TRANSMIT_MAX, out);
        if self.has_ack() {
            self.inbox.poll_ack(out);
        }
    }

    /// What to tell the client about its inputs with the snapshot that goes out now.
    pub(crate) fn take_feedback(&mut self) -> Option<Feedback> {
        self.player.as_mut()?.inputs.take_feedback()
    }

    /// What its client is told in the welcome.
    pub(crate) fn terms(&self, outcome: SessionOutcome, window: Micros) -> SessionTerms {
        let received = match outcome {
            SessionOutcome::Fresh(_) => Received::default(),
            SessionOutcome::Resumed | SessionOutcome::Resynced { .. } => self.inbox.received(),
        };
        SessionTerms { outcome, token: self.token, window, received }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u8) -> ResumeToken {
        ResumeToken([number; 16])
    }

    fn resume(number: u8) -> Resume {
        Resume { session: SessionId(1), token: token(number), received: Received::default() }
    }

    #[test]
    fn the_token_before_is_taken_until_the_new_one_was_read() {
        let schema = Schema::builder("s").build().unwrap();
        let mut session =
            Session::new(SessionId(1), token(1), PeerId(1), StreamKind::Ordered, None, &schema, Micros::ZERO);
        assert_eq!(
            session.resume(PeerId(2), StreamKind::Ordered, &resume(9), token(2)),
            Err(FreshReason::WrongToken)
        );
        assert_eq!(session.peer(), Some(PeerId(1)), "a wrong token changes nothing");
        assert_eq!(
            session.resume(PeerId(2), StreamKind::Ordered, &resume(1), token(2)),
            Ok(SessionOutcome::Resumed)
        );
        // The welcome was lost on its way.
        assert_eq!(
            session.resume(PeerId(3), StreamKind::Ordered, &resume(1), token(3)),
            Ok(SessionOutcome::Resumed)
        );
        session.handle_life();
        assert_eq!(
            session.resume(PeerId(4), StreamKind::Ordered, &resume(1), token(4)),
            Err(FreshReason::WrongToken)
        );
        assert_eq!(
            session.resume(PeerId(4), StreamKind::Ordered, &resume(2), token(4)),
            Err(FreshReason::WrongToken)
        );
        assert_eq!(
            session.resume(PeerId(4), StreamKind::Ordered, &resume(3), token(4)),
            Ok(SessionOutcome::Resumed)
        );
    }

    #[test]
    fn a_claim_to_have_what_was_never_sent_is_not_believed() {
        let schema = Schema::builder("s").build().unwrap();
        let mut session =
            Session::new(SessionId(1), token(1), PeerId(1), StreamKind::Ordered, None, &schema, Micros::ZERO);
        let claim = Resume { received: Received::default().with(Lane::Messages, 1), ..resume(1) };
        assert_eq!(
            session.resume(PeerId(2), StreamKind::Ordered, &claim, token(2)),
            Err(FreshReason::Inconsistent)
        );
        assert_eq!(session.peer(), Some(PeerId(1)));
    }

    #[test]
    fn who_was_here_for_long_keeps_its_place_for_long_and_everybody_is_waited_for() {
        let schema = Schema::builder("s").build().unwrap();
        let (window, least, second) = (Micros::from_secs(120), Micros::from_secs(5), Micros::from_secs);
        for (been_here, keeps) in [(0, 5), (10, 25), (57, 119), (600, 1205)] {
            let begun = second(7);
            let stream = StreamKind::Ordered;
            let mut session = Session::new(SessionId(1), token(1), PeerId(1), stream, None, &schema, begun);
            let lost = begun + second(been_here);
            let later = second(10_000);
            assert!(
                !session.is_given_up(later, window) && session.overdue_for(later, least).is_none(),
                "connected"
            );
            session.whereabouts = Whereabouts::AbsentSince(lost);
            assert_eq!(session.overdue_for(lost + Micros(keeps * 1_000_000 - 1), least), None, "{been_here}");
            assert_eq!(session.overdue_for(lost + second(keeps + 3), least), Some(second(3)), "{been_here}");
            assert!(!session.is_given_up(lost + Micros(119_999_999), window), "{been_here}");
            assert!(session.is_given_up(lost + window, window), "{been_here}");
        }
    }
}
