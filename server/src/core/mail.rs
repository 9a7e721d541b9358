//! Messages between a room's step and its sessions.

use std::collections::BTreeMap;

use bytes::Bytes;
use tickwire_protocol::message::{
    Message, MessageBody, MessageId, MessageTypeId, Outcome, Refusal, Request, RequestId, Response,
    SendError, Standing,
};
use tickwire_protocol::{GroupId, Micros, PlayerId, Schema, SessionId};
use tickwire_sim::{Audience, BulkMail, Groups, Mail};

use super::broadcast::{Broadcast, BroadcastError, Broadcasts};
use super::bulk::BulkTurn;
use super::ears::Ears;
use super::outcomes::{Outcomes, Taken};
use super::session::Session;
use super::turn::{Turn, Turns};

/// The sessions of a room while it steps.
#[derive(Debug)]
pub(crate) struct RoomMail<'a> {
    pub(crate) now: Micros,
    pub(crate) schema: &'a Schema,
    pub(crate) players: &'a BTreeMap<PlayerId, SessionId>,
    pub(crate) sessions: &'a mut BTreeMap<SessionId, Box<Session>>,
    pub(crate) turns: &'a mut Turns,
    pub(crate) outcomes: &'a mut Outcomes,
    pub(crate) broadcasts: &'a mut Broadcasts,
    pub(crate) bulk: &'a mut BulkTurn,
    pub(crate) groups: &'a mut Groups,
    pub(crate) ears: Ears<'a>,
}

impl Mail for RoomMail<'_> {
    fn poll(&mut self) -> Option<(PlayerId, Message)> {
        self.hear(|turns| &mut turns.messages, |session| session.inbox.poll())
    }

    fn send(
        &mut self,
        to: Audience<'_>,
        ty: MessageTypeId,
        key: u32,
        body: Bytes,
    ) -> Result<MessageId, SendError> {
        let mut taken = Taken::default();
        let body = match Broadcast::new(self.schema, to, ty, key, body.clone()) {
            Ok(broadcast) => {
                let body = broadcast.body.clone();
                // First: where it finds no place nobody gets it, and whoever tries again tells nobody twice.
                self.broadcasts.push(broadcast)?;
                taken.note(Ok(()));
                body
            }
            Err(BroadcastError::OneRoom) => MessageBody::from(body),
            Err(BroadcastError::Message(error)) => return Err(error),
        };
        let (now, id) = (self.now, self.outcomes.name());
        self.for_each(to, &mut taken, |session| session.send(now, id, ty, key, body.clone()));
        taken.result(id)
    }

    fn emit(&mut self, to: Audience<'_>, ty: MessageTypeId, event: Bytes) -> Result<MessageId, SendError> {
        if to == Audience::All {
            // Its tick and its entities are others elsewhere.
            let name = self.schema.message(ty).ok_or(SendError::UnknownType(ty))?.name().to_owned();
            return Err(SendError::OtherCall { name, call: "emit_event, to an audience of its room" });
        }
        let (now, id) = (self.now, self.outcomes.name());
        let event = MessageBody::from(event);
        let mut taken = Taken::default();
        self.for_each(to, &mut taken, |session| session.emit(now, id, ty, event.clone()));
        taken.result(id)
    }

    fn poll_outcome(&mut self) -> Option<(PlayerId, MessageId, Outcome)> {
        if self.outcomes.ask() {
            self.sessions.values_mut().for_each(|session| self.outcomes.follow(session));
        }
        let now = self.now;
        self.outcomes.poll_lost().or_else(|| {
            let poll = |session: &mut Session| session.outbox.poll_outcome(now);
            let (player, (id, outcome)) = self.hear(|turns| &mut turns.outcomes, poll)?;
            Some((player, id, outcome))
        })
    }

    fn standing(&self, player: PlayerId, id: MessageId) -> Option<Standing> {
        let session = self.sessions.get(self.players.get(&player)?)?;
        let standing = session.outbox.standing(id)?;
        let is_held = standing == Standing::Sent && session.peer().is_none();
        Some(if is_held { Standing::Queued } else { standing })
    }

    fn poll_request(&mut self) -> Option<(PlayerId, Request)> {
        self.hear(|turns| &mut turns.requests, |session| session.requests.poll_request())
    }

    fn respond(
        &mut self,
        to: PlayerId,
        id: RequestId,
        response: Result<Bytes, Refusal>,
    ) -> Result<(), SendError> {
        let (now, schema) = (self.now, self.schema);
        let session = self.session_of(to).ok_or(SendError::NotAsked)?;
        session.requests.respond(now, schema, &mut session.outbox, id, response)
    }

    fn request(
        &mut self,
        of: PlayerId,
        ty: MessageTypeId,
        body: Bytes,
        timeout: Micros,
    ) -> Result<RequestId, SendError> {
        let now = self.now;
        let session = self.session_of(of).ok_or(SendError::Closed)?;
        session.check_stream()?;
        session.requests.ask(now, &mut session.outbox, ty, &body, timeout)
    }

    fn cancel_request(&mut self, of: PlayerId, id: RequestId) {
        let now = self.now;
        if let Some(session) = self.session_of(of) {
            session.requests.cancel(now, &mut session.outbox, id);
            let asked = session.id;
            self.turns.responses.add(asked);
        }
    }

    fn poll_response(&mut self) -> Option<(PlayerId, RequestId, Response)> {
        let now = self.now;
        let (player, (id, response)) = self.hear(
            |turns| &mut turns.responses,
            |session| session.requests.poll_response(now, &mut session.outbox),
        )?;
        Some((player, id, response))
    }

    fn bulk(&mut self) -> Option<&mut dyn BulkMail> {
        Some(self)
    }

    fn groups(&mut self) -> Option<&mut Groups> {
        Some(self.groups)
    }
}

impl RoomMail<'_> {
    pub(super) fn session_of(&mut self, player: PlayerId) -> Option<&mut Session> {
        self.sessions.get_mut(self.players.get(&player)?).map(Box::as_mut)
    }

    /// What the next player has whose turn it is.
    fn hear<T>(
        &mut self,
        turn: impl FnOnce(&mut Turns) -> &mut Turn,
        mut poll: impl FnMut(&mut Session) -> Option<T>,
    ) -> Option<(PlayerId, T)> {
        turn(self.turns).hear(self.sessions, |session| {
            // What a player says of whom the game does not know waits until it does.
            let player = session.player.as_ref().filter(|player| player.is_announced)?.id;
            Some((player, poll(session)?))
        })
    }

    /// Gives each session of an audience that is in this room what there is for it; bodies are shared.
    fn for_each(
        &mut self,
        to: Audience<'_>,
        taken: &mut Taken,
        mut give: impl FnMut(&mut Session) -> Result<(), SendError>,
    ) {
        match to {
            Audience::Player(player) => {
                if let Some(session) = self.session_of(player) {
                    taken.note(give(session));
                }
            }
            Audience::Group(group) => self.for_group(group, |session| taken.note(give(session))),
            Audience::All
            | Audience::Room
            | Audience::Except(_)
            | Audience::Account(_)
            | Audience::Near { .. } => {
                self.ears.listen(to);
                for session in self.sessions.values_mut().filter(|session| self.ears.hears(to, session)) {
                    taken.note(give(session));
                }
            }
        }
    }

    fn for_group(&mut self, group: GroupId, mut give: impl FnMut(&mut Session)) {
        for player in self.groups.members(group) {
            let session = self.players.get(&player);
            if let Some(session) = session.and_then(|session| self.sessions.get_mut(session)) {
                give(session);
            }
        }
    }
}
