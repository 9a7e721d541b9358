//! What a client tells the game, and why a connection ends.

use thiserror::Error;
use tickwire_protocol::bulk::BulkEvent;
use tickwire_protocol::frame::FrameType;
use tickwire_protocol::handshake::{AuthRefusal, AuthTerms, FreshReason, Reject, SessionOutcome};
use tickwire_protocol::message::{Message, MessageId, Outcome, Request, RequestId, Response};
use tickwire_protocol::{CloseCode, Cue, DecodeError, EntityId, KindId, Micros, PlayerId, RoomId, SessionId};

use super::match_state::MatchNews;
use super::members::MemberEvent;
use super::moments::ToldEvent;

/// What [`Client::poll_event`](crate::Client::poll_event) tells the game.
///
/// `Connected` is the first, `Rejected` or `Disconnected` the last; a client that comes back after its connection was lost tells
/// `Reconnecting` and `Connected` in between. The others come in the order of the time that the
/// game shows: an entity has entered exactly if the view of that moment has it, a cue comes with the picture of its
/// tick. Messages come as soon as they are there; those of a session before its end.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The server has let the client in; see [`Client::welcome`](crate::Client::welcome) for all that it said.
    Connected {
        /// The session.
        session: SessionId,
        /// The player that the client gives inputs for; none for a spectator.
        player: Option<PlayerId>,
        /// Where it is.
        room: RoomId,
        /// Whether it is the session that there was before the connection was lost. The view begins anew in any case: what
        /// entered before this is no more, and enters again.
        outcome: SessionOutcome,
    },
    /// The connection was lost, and will be tried anew.
    Reconnecting {
        /// Which attempt comes, from 1.
        attempt: u32,
        /// After how many it is given up.
        of: u32,
        /// In how much time; nothing while the network is [down](crate::Network::Down).
        next_in: Option<Micros>,
        /// Why the last connection or attempt ended.
        last_error: DisconnectReason,
    },
    /// The server has not let the client in.
    Rejected(Reject),
    /// From now on the view has this entity: [`View::find`](crate::View::find) gives it, and its
    /// [`payload`](crate::EntityView::payload), in the view of the same `now` as the poll. The time to load its model,
    /// and to keep what is to be known of it at its end.
    Entered {
        /// Which.
        id: EntityId,
        /// Of which kind.
        kind: KindId,
    },
    /// From now on the view has this entity no more; neither its name nor its place can be asked for. A game that
    /// needs them now keeps a map of its own by [`EntityId`], filled at each `Entered`, emptied here.
    Left {
        /// Which.
        id: EntityId,
        /// Of which kind.
        kind: KindId,
        /// Whether it is gone from the world, not just from what this client is told.
        despawned: bool,
    },
    /// Something happened at the moment that the view now shows; or, where the client predicts, something of the player's own
    /// entities in the tick that was just predicted. Each cue comes once, but for an own one that a correction moves by more
    /// than 8 ticks: it is told again, and one that turns out not to have happened is not taken back. Its source need not be
    /// in view: it may have ended with this very cue.
    Cue(Cue),
    /// An own entity that was spawned ahead of the server ([`is_provisional`](tickwire_sim::is_provisional)) is the server's
    /// entity `id`: from now on [`Client::predicted`](crate::Client::predicted) has it under this name. Where it is shown does not
    /// change.
    Confirmed {
        /// What it was called before.
        guess: EntityId,
        /// What it is called.
        id: EntityId,
    },
    /// Something has happened to a member of the room. Comes before messages that were sent behind it.
    Member(MemberEvent),
    /// The server's game tells that something [happened](tickwire_protocol::message::GameEvent): once, in view time or at once as its
    /// type is declared, and behind the `Entered` of those whom it names if they come within a second.
    Game(ToldEvent),
    /// The match stands otherwise: [`Client::match_state`](crate::Client::match_state) says how. Several changes may be one such event.
    Match(MatchNews),
    /// The player is in other groups, or with others: [`Client::groups`](crate::Client::groups) says so. Several changes may be one such event.
    Groups,
    /// The server's game says something.
    Message(Message),
    /// The server's game asks for something: [answer](crate::Client::respond) it, now or later.
    Request(Request),
    /// What came of a [request](crate::Client::request): its answer, or why there is none. Once for each.
    Response(RequestId, Response),
    /// What became of a message that was [sent](crate::Client::send).
    Sent(MessageId, Outcome),
    /// Something has become of a transfer: of what the server's game offers, or of what was [offered](crate::Client::offer_bulk)
    /// to it.
    Bulk(BulkEvent),
    /// What the server says of the token that it was [sent](crate::Client::renew_token): what that is worth, or why nothing. What is refused
    /// changes nothing: the one before counts until it expires.
    TokenChecked(Result<AuthTerms, AuthRefusal>),
    /// The connection is over, and does not come back.
    Disconnected(DisconnectReason),
}

/// Why a connection is over.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum DisconnectReason {
    /// The server closed it.
    #[error("the server closed the connection: {} {reason}", code.0)]
    Closed {
        /// The kind of reason.
        code: CloseCode,
        /// The reason in words, as the server gave them; may be empty.
        reason: String,
    },
    /// It broke without a word.
    #[error("the connection broke: the server or the network is gone")]
    Lost,
    /// The server sent what it must not.
    #[error("the server broke the protocol: {0}")]
    Fault(ClientFault),
    /// Nothing was heard of the server for as long as the welcome allows.
    #[error("nothing was heard of the server for too long")]
    Silent,
    /// The hello was not answered in time.
    #[error("the server did not answer the hello in time")]
    NoWelcome,
    /// The server answered the request for a WebSocket with another HTTP status.
    #[error("the server refused the connection ({status}): {reason}")]
    Refused {
        /// Such as 401 for a token that is not taken, 403 for a page that may not connect, 429 and 503 for too many.
        status: u16,
        /// What it says, at most 1 KiB.
        reason: String,
        /// How long it wants to be left alone.
        retry_after: Option<Micros>,
    },
    /// No way to the server was found.
    #[error("{0}")]
    Unreachable(String),
    /// The server has not let the client in.
    #[error("the server does not let us in: {0}")]
    Rejected(Reject),
    /// What the client would say first breaks a limit of the protocol, so nothing was said.
    #[error(
        "the server would refuse this hello ({0}): shorten its token, or the texts of the client's configuration"
    )]
    InvalidHello(DecodeError),
    /// The session could not go on, and the client is [not to begin another](crate::ClientConfig::rejoin).
    #[error("the session could not go on: {0:?}")]
    SessionOver(FreshReason),
    /// The game has left.
    #[error("left")]
    Left,
}

/// Longer is believed of no server: a player who waits an hour has left.
pub(crate) const RETRY_AFTER_MAX: Micros = Micros::from_secs(3600);

impl DisconnectReason {
    /// Whether it may be another time: docs/WIRE.md has the table of close codes.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Closed { code, .. } => code.may_pass(),
            Self::Rejected(reject) => reject.reason.close_code().may_pass(),
            Self::Lost | Self::Silent | Self::NoWelcome | Self::Unreachable(_) => true,
            Self::Refused { status, .. } => matches!(status, 429 | 500..),
            Self::Fault(_) | Self::InvalidHello(_) | Self::SessionOver(_) | Self::Left => false,
        }
    }

    /// Whether one of the two ends has left as it should: nothing went wrong.
    pub(crate) fn is_goodbye(&self) -> bool {
        matches!(self, Self::Left | Self::Closed { code: CloseCode::NORMAL, .. })
    }

    /// How long the server wants to be left alone: what a refusal said, an hour at most, or what is in the table of
    /// close codes.
    pub fn retry_after(&self) -> Option<Micros> {
        match self {
            Self::Refused { retry_after, .. } => retry_after.map(|after| after.min(RETRY_AFTER_MAX)),
            Self::Closed { code, .. } => code.retry_after(),
            Self::Rejected(reject) => reject.retry_after.map(|after| after.min(RETRY_AFTER_MAX)),
            _ => None,
        }
    }

    /// The code with which our end is to close the connection; nothing if the other end did, or if it is broken.
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Closed { .. }
            | Self::Rejected(_)
            | Self::Lost
            | Self::Refused { .. }
            | Self::Unreachable(_) => None,
            Self::Fault(fault) => Some((*fault).into()),
            Self::Silent => Some(CloseCode::SILENT),
            Self::NoWelcome => Some(CloseCode::HANDSHAKE_TIMEOUT),
            Self::InvalidHello(_) | Self::SessionOver(_) | Self::Left => Some(CloseCode::NORMAL),
        }
    }
}

/// What was wrong with what the server sent. The connection ends with it.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ClientFault {
    /// The bytes are not the format.
    #[error("malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// A frame that a server may not send, or not now.
    #[error("{0} is not allowed here")]
    Unexpected(FrameType),
    /// The room codes its snapshots in a way that this client does not know.
    #[error("snapshots come in coder {0}, unknown here: update the client")]
    UnknownCoder(u8),
    /// The room has a prior that this client lacks, and did not send it.
    #[error("the room has the prior {0:016x}, which is not known here, and did not send it")]
    UnknownPrior(u64),
    /// The room sent another prior than it named.
    #[error("the room named the prior {named:016x} and sent {sent:016x}")]
    OtherPrior {
        /// Its hash in the welcome.
        named: u64,
        /// That of what came.
        sent: u64,
    },
    /// A text message where only binary ones are spoken.
    #[error("text message: this protocol is binary")]
    Text,
    /// A transport message above the limit.
    #[error("message above the size limit")]
    Oversized,
}

impl From<ClientFault> for CloseCode {
    fn from(fault: ClientFault) -> Self {
        match fault {
            ClientFault::Malformed(_) | ClientFault::OtherPrior { .. } => Self::PROTOCOL_ERROR,
            ClientFault::Unexpected(_) | ClientFault::UnknownCoder(_) | ClientFault::UnknownPrior(_) => {
                Self::POLICY
            }
            ClientFault::Text => Self::UNSUPPORTED,
            ClientFault::Oversized => Self::TOO_BIG,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::limits::REASON_BYTES_MAX;

    #[test]
    fn faults_stay_small_and_their_words_fit_a_close_frame() {
        assert!(size_of::<ClientFault>() <= 48);
        let longest = [
            ClientFault::UnknownCoder(255),
            ClientFault::UnknownPrior(u64::MAX),
            ClientFault::OtherPrior { named: u64::MAX, sent: u64::MAX },
            ClientFault::Malformed(DecodeError::TooLarge {
                what: "uncompressed snapshot body",
                value: u64::MAX,
                limit: u64::MAX,
            }),
        ];
        for fault in longest {
            assert!(fault.to_string().len() <= REASON_BYTES_MAX, "{fault}");
        }
    }

    #[test]
    fn only_our_own_endings_are_told_to_the_server() {
        let closed = DisconnectReason::Closed { code: CloseCode::GOING_AWAY, reason: String::new() };
        assert_eq!(closed.close_code(), None);
        assert_eq!(DisconnectReason::Lost.close_code(), None);
        assert_eq!(DisconnectReason::Fault(ClientFault::Text).close_code(), Some(CloseCode::UNSUPPORTED));
        assert_eq!(DisconnectReason::Left.close_code(), Some(CloseCode::NORMAL));
    }
}
