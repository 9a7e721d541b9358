//! REJECT: why a hello is refused, and when another may be said.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{AuthRefusal, Features, StreamKind, check_text};
use crate::cold;
use crate::fault::{CloseCode, DecodeError};
use crate::frame::{FrameType, write_frame_with};
use crate::limits::{HELLO_TEXT_BYTES_MAX, REASON_BYTES_MAX};
use crate::time::Micros;

/// The server's no.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{reason}")]
pub struct Reject {
    /// Why.
    pub reason: RejectReason,
    /// How long the client is to stay away at least, in whole milliseconds; of a reason that may pass, and of no other.
    pub retry_after: Option<Micros>,
}

impl From<RejectReason> for Reject {
    /// With the wait that the close code asks for.
    fn from(reason: RejectReason) -> Self {
        let retry_after = reason.close_code().retry_after();
        Self { reason, retry_after }
    }
}

impl Reject {
    /// A no that names this wait, if its reason is one that may pass.
    pub fn naming(reason: RejectReason, retry_after: Micros) -> Self {
        let retry_after = reason.close_code().may_pass().then_some(retry_after);
        Self { reason, retry_after }
    }

    /// Appends a REJECT frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_frame_with(out, FrameType::Reject, |out| match &self.reason {
            // By hand, so that a client of any version can read it. Its code is its place in the enum.
            RejectReason::Version { ours, yours } => {
                out.push(VERSION_CODE);
                out.extend_from_slice(&ours.to_le_bytes());
                out.extend_from_slice(&yours.to_le_bytes());
            }
            reason => {
                out.extend_from_slice(&cold::write(reason));
                if reason.close_code().may_pass() {
                    let millis = self.retry_after.unwrap_or(Micros::ZERO).0.div_ceil(1_000);
                    out.extend_from_slice(&cold::write(&u32::try_from(millis).unwrap_or(u32::MAX)));
                }
            }
        });
    }

    /// Reads the payload of a REJECT frame.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        if let Some((&VERSION_CODE, versions)) = payload.split_first() {
            return read_versions(versions).map(Self::from);
        }
        let mut rest = payload;
        let reason: RejectReason = cold::take(&mut rest, "reject")?;
        reason.check()?;
        let millis: Option<u32> =
            reason.close_code().may_pass().then(|| cold::take(&mut rest, "reject")).transpose()?;
        if !rest.is_empty() {
            return Err(DecodeError::Trailing("reject"));
        }
        Ok(Self { reason, retry_after: millis.map(|millis| Micros::from_millis(millis.into())) })
    }
}

fn read_versions(bytes: &[u8]) -> Result<RejectReason, DecodeError> {
    match *bytes {
        [a, b, c, d] => {
            Ok(RejectReason::Version { ours: u16::from_le_bytes([a, b]), yours: u16::from_le_bytes([c, d]) })
        }
        [_, _, _, _, ..] => Err(DecodeError::Trailing("reject")),
        _ => Err(DecodeError::Truncated("reject")),
    }
}

/// Why the server says no, with the values of both ends where they differ: "ours" are the server's, "yours" the client's.
#[derive(Clone, Debug, Deserialize, Eq, Error, PartialEq, Serialize)]
pub enum RejectReason {
    /// The hello did not begin like one.
    #[error("the server did not understand the hello: is this a Tickwire client?")]
    Magic,
    /// The versions of the wire differ.
    #[error("the server speaks protocol version {ours}, this client {yours}: update the older one")]
    Version {
        /// The server's version.
        ours: u16,
        /// The client's version.
        yours: u16,
    },
    /// The schemas differ.
    #[error("the server's schema is {ours:016x}, the client's {yours:016x}: build both from the same game")]
    Schema {
        /// The server's [`Schema::hash`](crate::schema::Schema::hash).
        ours: u64,
        /// The client's.
        yours: u64,
    },
    /// The client cannot do what the server insists on.
    #[error("the server needs the features {ours}, this client has {yours}: update the client")]
    Features {
        /// What the server needs.
        ours: Features,
        /// What the client has.
        yours: Features,
    },
    /// The server does not take this build of the game.
    #[error("the server wants game build `{ours}`, this client is `{yours}`: update the game")]
    GameBuild {
        /// What the server takes.
        #[serde(deserialize_with = "cold::text")]
        ours: String,
        /// What the client is.
        #[serde(deserialize_with = "cold::text")]
        yours: String,
    },
    /// The server does not offer this kind of stream.
    #[error(
        "the server offers only a stream that is {ours}, the client asked for {yours}: connect another way"
    )]
    Stream {
        /// What the server offers.
        ours: StreamKind,
        /// What the client asked for.
        yours: StreamKind,
    },
    /// The server has as many players as it takes.
    #[error("the server is full ({players} of {max} players): try again later")]
    ServerFull {
        /// Players that it has.
        players: u32,
        /// Players that it takes.
        max: u32,
    },
    /// The room has as many players as it takes.
    #[error("the room is full ({players} of {max} players): try again later or choose another room")]
    RoomFull {
        /// Players that it has.
        players: u32,
        /// Players that it takes.
        max: u32,
    },
    /// The room's name is none that a room can have.
    #[error("a room cannot be called that: choose a name of 1 to 64 bytes without control characters")]
    BadRoomName,
    /// There is no such room, and the server does not open one.
    #[error("there is no such room, and none is opened: choose another, or any")]
    NoSuchRoom,
    /// The room or server takes no spectators.
    #[error("spectators are not let in: join as a player")]
    NoSpectators,
    /// The server is about to end.
    #[error("the server is shutting down: try again later")]
    ShuttingDown,
    /// The game's own reason, at most 123 bytes.
    #[error("{0}")]
    Game(#[serde(deserialize_with = "cold::text")] String),
    /// There are as many rooms as the server opens, or as it opens for one account or address.
    #[error(
        "{max} rooms are open and no more are opened for you: join one that is there, or try again later"
    )]
    TooManyRooms {
        /// Rooms that it opens, in all or for one.
        max: u32,
    },
    /// The client is not known.
    #[error("not signed in: {0}")]
    Unauthorized(AuthRefusal),
    /// The client may not do what it wants.
    #[error("the account may not `{action}` here: ask whoever runs the server")]
    Forbidden {
        /// What it wants, at most 64 bytes.
        #[serde(deserialize_with = "cold::text")]
        action: String,
    },
    /// The account has as many sessions as it may have.
    #[error("the account is connected already ({sessions} of {max} times): leave there first")]
    AccountBusy {
        /// Sessions that it has, connected or absent.
        sessions: u32,
        /// Sessions that it may have.
        max: u32,
    },
    /// The room is private, and this is not its secret; or it is not, and one was given.
    #[error("this is not the secret of that room: ask whoever opened it")]
    WrongSecret,
    /// A room was to be opened under a name that one has.
    #[error("there is a room of that name: join it, or choose another name")]
    RoomExists,
}

impl RejectReason {
    /// Its texts are no longer than they may be.
    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::GameBuild { ours, yours } => {
                check_text("game build", ours, HELLO_TEXT_BYTES_MAX)?;
                check_text("game build", yours, HELLO_TEXT_BYTES_MAX)
            }
            Self::Forbidden { action } => check_text("action", action, HELLO_TEXT_BYTES_MAX),
            Self::Game(text) => check_text("reason", text, REASON_BYTES_MAX),
            _ => Ok(()),
        }
    }

    /// The code with which the connection is closed behind the reject.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::Unauthorized(AuthRefusal::Unavailable)
            | Self::ServerFull { .. }
            | Self::RoomFull { .. }
            | Self::ShuttingDown
            | Self::TooManyRooms { .. } => CloseCode::TRY_AGAIN_LATER,
            Self::Unauthorized(_) => CloseCode::UNAUTHORIZED,
            Self::Forbidden { .. } => CloseCode::FORBIDDEN,
            Self::AccountBusy { .. } => CloseCode::ACCOUNT_BUSY,
            Self::Magic
            | Self::Version { .. }
            | Self::Schema { .. }
            | Self::Features { .. }
            | Self::GameBuild { .. }
            | Self::Stream { .. }
            | Self::WrongSecret
            | Self::RoomExists
            | Self::BadRoomName
            | Self::NoSuchRoom
            | Self::NoSpectators
            | Self::Game(_) => CloseCode::REJECTED,
        }
    }
}

/// The code of [`RejectReason::Version`].
const VERSION_CODE: u8 = 1;

#[cfg(test)]
mod tests {
    use super::super::tests::payload;
    use super::*;

    fn rejects() -> Vec<RejectReason> {
        let text = |text: &str| text.to_owned();
        vec![
            RejectReason::Magic,
            RejectReason::Version { ours: 300, yours: 7 },
            RejectReason::Schema { ours: 1, yours: u64::MAX },
            RejectReason::Features { ours: Features(3), yours: Features(1) },
            RejectReason::GameBuild { ours: text("1.3"), yours: text("1.2") },
            RejectReason::Stream { ours: StreamKind::Ordered, yours: StreamKind::Datagram },
            RejectReason::ServerFull { players: 500, max: 499 },
            RejectReason::RoomFull { players: 64, max: 63 },
            RejectReason::BadRoomName,
            RejectReason::NoSuchRoom,
            RejectReason::NoSpectators,
            RejectReason::ShuttingDown,
            RejectReason::Game(text("you are banned until Monday")),
            RejectReason::TooManyRooms { max: 1000 },
            RejectReason::Unauthorized(AuthRefusal::Expired),
            RejectReason::Forbidden { action: text("play") },
            RejectReason::AccountBusy { sessions: 1, max: 1 },
            RejectReason::WrongSecret,
            RejectReason::RoomExists,
        ]
    }

    #[test]
    fn a_reject_arrives_as_it_was_sent() {
        for (code, reason) in rejects().into_iter().enumerate() {
            let may_pass = reason.close_code().may_pass();
            let reject = Reject::naming(reason, Micros::from_millis(2_500));
            assert_eq!(reject.retry_after, may_pass.then_some(Micros::from_millis(2_500)), "{reject}");
            let bytes = payload(|out| reject.encode(out));
            assert_eq!(usize::from(bytes[0]), code);
            assert_eq!(Reject::decode(&bytes).as_ref(), Ok(&reject));
            for cut in 0..bytes.len() {
                assert!(Reject::decode(&bytes[..cut]).is_err());
            }
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(Reject::decode(&longer), Err(DecodeError::Trailing("reject")));
        }
        let long = payload(|out| Reject::from(RejectReason::Game("x".repeat(124))).encode(out));
        assert!(matches!(Reject::decode(&long), Err(DecodeError::TooLarge { limit: 123, .. })));
    }

    #[test]
    fn a_wait_is_told_in_whole_milliseconds_and_no_shorter() {
        for (wait, told) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2), (u64::MAX, u64::from(u32::MAX))] {
            let bytes = payload(|out| Reject::naming(RejectReason::ShuttingDown, Micros(wait)).encode(out));
            assert_eq!(
                Reject::decode(&bytes).unwrap().retry_after,
                Some(Micros::from_millis(told)),
                "{wait}"
            );
        }
        assert_eq!(Reject::from(RejectReason::ShuttingDown).retry_after, Some(Micros::from_secs(1)));
    }

    #[test]
    fn a_reject_tells_both_values() {
        for (reject, parts) in rejects().into_iter().zip([
            vec!["hello"],
            vec!["300", "7"],
            vec!["0000000000000001", "ffffffffffffffff"],
            vec!["0x00000003", "0x00000001"],
            vec!["`1.3`", "`1.2`"],
            vec!["ordered", "datagram"],
            vec!["500 of 499", "later"],
            vec!["64 of 63", "another room"],
        ]) {
            let text = reject.to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text:?} should say {parts:?}");
        }
    }
}
