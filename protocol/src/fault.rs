//! What can be wrong with what a peer sent, and how a connection ends because of it.

use thiserror::Error;

use crate::time::Micros;

/// Why bytes are not what the format says. `Copy` and small: it is made on hostile paths.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum DecodeError {
    /// The bytes end inside the named thing.
    #[error("truncated in {0}")]
    Truncated(&'static str),
    /// Bytes are left after the end of the named thing.
    #[error("trailing bytes after {0}")]
    Trailing(&'static str),
    /// A count or length is above its limit.
    #[error("{what}: {value} is above the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The value on the wire.
        value: u64,
        /// The limit from [`limits`](crate::limits).
        limit: u64,
    },
    /// A value is none that the format knows.
    #[error("{what}: {value} has no meaning")]
    Invalid {
        /// What is invalid.
        what: &'static str,
        /// The value on the wire.
        value: u64,
    },
    /// A decoded column left the bounds that the schema gives it.
    #[error("column {column} of kind {kind} is out of its bounds")]
    OutOfBounds {
        /// Which kind of the schema.
        kind: u8,
        /// Which column of the kind.
        column: u8,
    },
    /// A row names a state that the receiver does not hold.
    #[error("entity slot {slot} names a state {distance} ticks back that is not held")]
    UnknownState {
        /// Slot of the entity.
        slot: u16,
        /// Ticks from the frame's tick back to the named state.
        distance: u8,
    },
    /// A frame type below 128 that this version does not know.
    #[error("unknown frame type {0}")]
    UnknownFrame(u8),
    /// LZ4 data is damaged, or is not as long as it claims.
    #[error("compressed data is damaged")]
    Compression,
    /// A cold frame (hello, welcome, reject, schema) is damaged.
    #[error("{0} is damaged")]
    Damaged(&'static str),
}

/// A law of the protocol that a well-formed frame broke.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Misbehavior {
    /// A frame that its sender may not send, or not now.
    #[error("frame type {0} is not allowed here")]
    UnexpectedFrame(u8),
    /// An input for a tick too far ahead.
    #[error("input for a tick {0} steps ahead of the room")]
    FutureInput(i32),
    /// Inputs from a peer that has no player.
    #[error("input from a peer without a player")]
    InputWithoutPlayer,
    /// An ack for a frame that was never sent.
    #[error("ack of frame {0}, which was never sent")]
    FutureAck(u16),
    /// More frames or inputs than an honest client can send.
    #[error("more than {0} frames or inputs between two ticks")]
    Flood(u32),
    /// More input frames than one and a half a tick, for seconds.
    #[error("more than one and a half input frames a tick, for too long")]
    TooManyInputs,
    /// More questions which rooms there are than a connection has.
    #[error("more than {0} questions before a hello")]
    TooManyQuestions(u32),
    /// More newer tokens than anybody needs, or one before the last was answered.
    #[error("more than {0} tokens a minute, or one before the last was answered")]
    TooManyTokens(u32),
}

/// Everything for which a peer's connection is closed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum PeerFault {
    /// The bytes are not the format.
    #[error("malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// The bytes are fine, the law is broken.
    #[error("misbehaved: {0}")]
    Misbehaved(#[from] Misbehavior),
    /// A text message where only binary ones are spoken.
    #[error("text message: this protocol is binary")]
    Text,
    /// A transport message above the limit.
    #[error("message above the size limit")]
    Oversized,
    /// No hello in time.
    #[error("no hello within the handshake timeout")]
    HandshakeTimeout,
    /// Nothing was heard for too long.
    #[error("nothing heard for too long")]
    Silent,
    /// The peer does not take what is written to it.
    #[error("writes stalled for too long")]
    Stalled,
    /// Its player has given the same input, or none, and sent no message for too long: nobody is at the other end.
    #[error("no new input and no message for too long: come back when somebody plays")]
    Idle,
    /// It goes on sending what it may not send, or not so often.
    #[error("messages that may not be sent, or not so often, were sent for too long")]
    TooOften,
    /// Its session goes on over another connection.
    #[error("the session goes on over another connection")]
    TakenOver,
    /// Its token has expired, and no newer one came.
    #[error("the token has expired: come back with a new one")]
    TokenExpired,
    /// Its newer token does not let it do what it does here.
    #[error("the newer token does not allow this any more")]
    Forbidden,
    /// Its account has connected from elsewhere, and may be here once.
    #[error("the account has connected from elsewhere")]
    Replaced,
}

/// Why a connection was or should be closed: the WebSocket close code (RFC 6455 and our own from 4000).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server shuts down, or the page goes away.
    pub const GOING_AWAY: Self = Self(1001);
    /// Malformed frames.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// Text instead of binary.
    pub const UNSUPPORTED: Self = Self(1003);
    /// A law of the protocol was broken.
    pub const POLICY: Self = Self(1008);
    /// A message above the limit.
    pub const TOO_BIG: Self = Self(1009);
    /// The room failed.
    pub const INTERNAL: Self = Self(1011);
    /// The server or room is full: try again later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// No hello in time.
    pub const HANDSHAKE_TIMEOUT: Self = Self(4000);
    /// The handshake was refused; a reject frame told why.
    pub const REJECTED: Self = Self(4001);
    /// Nothing heard for too long.
    pub const SILENT: Self = Self(4002);
    /// Writes stalled for too long.
    pub const STALLED: Self = Self(4003);
    /// The session goes on over another connection.
    pub const TAKEN_OVER: Self = Self(4004);
    /// The same input, or none, and no message for too long.
    pub const IDLE: Self = Self(4005);
    /// The game has let the player go; the reason is the game's.
    pub const REMOVED: Self = Self(4006);
    /// The game has ended the room; the reason is the game's.
    pub const ROOM_ENDED: Self = Self(4007);
    /// No token, or one that is not taken; a reject frame told why.
    pub const UNAUTHORIZED: Self = Self(4010);
    /// The account may not do what it wants; a reject frame told what, unless a newer token took it away.
    pub const FORBIDDEN: Self = Self(4011);
    /// The account is connected as often as it may be.
    pub const ACCOUNT_BUSY: Self = Self(4012);
    /// The token has expired.
    pub const TOKEN_EXPIRED: Self = Self(4013);
    /// The account has connected from elsewhere.
    pub const REPLACED: Self = Self(4014);
    /// Messages that may not be sent, or not so often, were sent for too long.
    pub const TOO_OFTEN: Self = Self(4020);
}

impl CloseCode {
    /// Whether a client may come back after this: the reason lies with a connection, a room or a server, and may pass.
    pub const fn may_pass(self) -> bool {
        const BROKEN: CloseCode = CloseCode(1006);
        const RESTARTING: CloseCode = CloseCode(1012);
        matches!(
            self,
            Self::GOING_AWAY
                | BROKEN
                | Self::INTERNAL
                | RESTARTING
                | Self::TRY_AGAIN_LATER
                | Self::HANDSHAKE_TIMEOUT
                | Self::SILENT
                | Self::STALLED
                // A client that has no newer token is refused for good then.
                | Self::TOKEN_EXPIRED
        )
    }
}

impl CloseCode {
    /// How long a client stays away after this at least, where it may come back.
    pub const fn retry_after(self) -> Option<Micros> {
        if matches!(self, Self::TRY_AGAIN_LATER) { Some(Micros::from_secs(1)) } else { None }
    }
}

impl From<PeerFault> for CloseCode {
    fn from(fault: PeerFault) -> Self {
        match fault {
            PeerFault::Malformed(_) => Self::PROTOCOL_ERROR,
            PeerFault::Misbehaved(_) => Self::POLICY,
            PeerFault::Text => Self::UNSUPPORTED,
            PeerFault::Oversized => Self::TOO_BIG,
            PeerFault::HandshakeTimeout => Self::HANDSHAKE_TIMEOUT,
            PeerFault::Silent => Self::SILENT,
            PeerFault::Stalled => Self::STALLED,
            PeerFault::TakenOver => Self::TAKEN_OVER,
            PeerFault::Idle => Self::IDLE,
            PeerFault::TokenExpired => Self::TOKEN_EXPIRED,
            PeerFault::Forbidden => Self::FORBIDDEN,
            PeerFault::Replaced => Self::REPLACED,
            PeerFault::TooOften => Self::TOO_OFTEN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_stay_small() {
        assert!(size_of::<DecodeError>() <= 40);
        assert!(size_of::<PeerFault>() <= 48);
    }

    #[test]
    fn reasons_fit_a_close_frame() {
        let longest = PeerFault::Malformed(DecodeError::TooLarge {
            what: "uncompressed snapshot body",
            value: u64::MAX,
            limit: u64::MAX,
        });
        assert!(longest.to_string().len() <= crate::limits::REASON_BYTES_MAX);
    }
}
