//! What players say beside their inputs, and what the game says to them.

use core::fmt;

use crate::dismissals::Dismissals;
use crate::match_board::MatchBoard;
use crate::roster::Roster;
use bytes::Bytes;
use glam::Vec3;
use tickwire_protocol::message::{
    Message, MessageId, MessageTypeId, Outcome, Refusal, Request, RequestId, Response, SendError, Standing,
};
use tickwire_protocol::{GroupId, Micros, PlayerId};

use crate::bulk::BulkMail;
use crate::groups::Groups;

/// Who is to get a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Audience<'a> {
    /// Everyone in every room of this server, private ones among them: as [`Room`](Audience::Room) in each. For messages, not for
    /// [events](crate::StepContext::emit_event); those in other rooms get it a moment later, and what becomes of it there is not told.
    All,
    /// Everyone in the room: players, also those whose connection is lost for the moment, and spectators.
    Room,
    /// Everyone but this player.
    Except(PlayerId),
    /// This player alone.
    Player(PlayerId),
    /// This [account](crate::Account) with all its sessions, in whichever rooms of this server. Those in other rooms get messages as of
    /// [`All`](Audience::All); of [events](crate::StepContext::emit_event), which are of one room, only those who are in this one hear.
    Account(&'a str),
    /// The players in this [group](crate::Groups), also those whose connection is lost for the moment.
    Group(GroupId),
    /// Everyone whose focus was at most so far from a place, at the end of the tick before: where a player's entity is, or where the server's
    /// owner says that a peer looks from. Who has none hears nothing.
    Near {
        /// The place, metres.
        position: Vec3,
        /// The distance, metres.
        radius: f32,
    },
}

/// Carries messages between a step and the players: a server's room does; a client's predictions have none.
///
/// A step reaches it through [`StepContext::poll_message`](crate::StepContext::poll_message) and
/// [`StepContext::send`](crate::StepContext::send).
pub trait Mail: fmt::Debug {
    /// The next message that a player has sent and that no step has seen.
    fn poll(&mut self) -> Option<(PlayerId, Message)>;

    /// Gives everyone of an audience a message, whose body they share. An error says why not all of them get it; the others do.
    fn send(
        &mut self,
        to: Audience<'_>,
        ty: MessageTypeId,
        key: u32,
        body: Bytes,
    ) -> Result<MessageId, SendError>;

    /// Tells everyone of an audience a game event, as encoded. An error says why not all of them hear of it; the others do.
    fn emit(&mut self, to: Audience<'_>, ty: MessageTypeId, event: Bytes) -> Result<MessageId, SendError>;

    /// The next thing that is known of what was said: to whom, what, and what became of it.
    fn poll_outcome(&mut self) -> Option<(PlayerId, MessageId, Outcome)>;

    /// Where something is that was said, on its way to a player.
    fn standing(&self, player: PlayerId, id: MessageId) -> Option<Standing>;

    /// The next request of a player's that no step has seen.
    fn poll_request(&mut self) -> Option<(PlayerId, Request)>;

    /// Answers a player's request.
    fn respond(
        &mut self,
        to: PlayerId,
        id: RequestId,
        response: Result<Bytes, Refusal>,
    ) -> Result<(), SendError>;

    /// Asks a player's client for something.
    fn request(
        &mut self,
        of: PlayerId,
        ty: MessageTypeId,
        body: Bytes,
        timeout: Micros,
    ) -> Result<RequestId, SendError>;

    /// Takes a request back.
    fn cancel_request(&mut self, of: PlayerId, id: RequestId);

    /// The next of the game's own requests that came to its end.
    fn poll_response(&mut self) -> Option<(PlayerId, RequestId, Response)>;

    /// Who carries what is too large for a message; nobody, if nobody does.
    fn bulk(&mut self) -> Option<&mut dyn BulkMail> {
        None
    }

    /// The groups that can be spoken to; none, if nobody knows of any.
    fn groups(&mut self) -> Option<&mut Groups> {
        None
    }
}

/// What a step can ask of those around it: each is there or is not.
#[derive(Debug, Default)]
pub struct Outside<'a> {
    /// What players were shown.
    pub eyes: Option<&'a mut dyn crate::Eyes>,
    /// What they say.
    pub mail: Option<&'a mut dyn Mail>,
    /// Who they are.
    pub accounts: Option<&'a dyn crate::Accounts>,
    /// What they say of themselves, and who of them is here.
    pub roster: Option<&'a dyn Roster>,
    /// How their match stands.
    pub match_state: Option<&'a mut MatchBoard>,
    /// What is to become of them, and of their room.
    pub dismissals: Option<&'a mut Dismissals>,
}
