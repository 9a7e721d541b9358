//! HELLO: who a client is and what it wants.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    Extension, Features, MAGIC, RejectReason, RoomWish, StreamKind, VERSION, check_extensions, check_text,
    within,
};
use crate::cold;
use crate::fault::DecodeError;
use crate::frame::{FrameType, write_frame_with};
use crate::limits::{HELLO_BYTES_MAX, HELLO_TEXT_BYTES_MAX, PRIORS_PER_HELLO_MAX};

/// What a client says first: who it is and what it wants.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hello {
    /// [`Schema::hash`](crate::schema::Schema::hash) of the schema that the client was built with; 0 asks for the server's schema to be sent.
    pub schema_hash: u64,
    /// Hashes of the priors that the client has, the one that its engine ships among them; at most 8. If the room's is
    /// another, the server sends it.
    #[serde(deserialize_with = "cold::list")]
    pub priors: Vec<u64>,
    /// What the client can do beside the rest of this version.
    pub features: Features,
    /// The game's own version, for the server's policy and its log; at most 64 bytes.
    #[serde(deserialize_with = "cold::text")]
    pub game_build: String,
    /// Where the client runs, say `x86_64-linux`; at most 64 bytes.
    #[serde(deserialize_with = "cold::text")]
    pub platform: String,
    /// Where it wants to be.
    pub room: RoomWish,
    /// As what.
    pub role: Role,
    /// What carries the frames.
    pub stream: StreamKind,
    /// What else it says, in ascending id; at most 16.
    #[serde(deserialize_with = "cold::list")]
    pub extensions: Vec<Extension>,
}

/// What a client wants to be.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Role {
    /// One who gives inputs.
    Player,
    /// One who watches (also a recorder).
    Spectator,
}

/// Why a hello cannot be answered with a welcome.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum HelloFault {
    /// It does not begin like one.
    #[error("not a Tickwire client")]
    Magic,
    /// It is of another version of the wire; nothing behind the version was read.
    #[error("the client speaks version {yours} of the protocol, this server {ours}")]
    Version {
        /// The version of this end.
        ours: u16,
        /// The version of the hello.
        yours: u16,
    },
    /// It is damaged.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

impl HelloFault {
    /// What to answer; nothing to what is merely damaged: that is a [`PeerFault`](crate::fault::PeerFault).
    pub fn reject(self) -> Option<RejectReason> {
        match self {
            Self::Magic => Some(RejectReason::Magic),
            Self::Version { ours, yours } => Some(RejectReason::Version { ours, yours }),
            Self::Malformed(_) => None,
        }
    }
}

impl Hello {
    /// Appends a HELLO frame. What breaks a limit is refused by the receiver: see [`Hello::check`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_frame_with(out, FrameType::Hello, |out| {
            out.extend_from_slice(&MAGIC);
            out.extend_from_slice(&VERSION.to_le_bytes());
            out.extend_from_slice(&cold::write(self));
        });
    }

    /// Reads the payload of a HELLO frame.
    pub fn decode(payload: &[u8]) -> Result<Self, HelloFault> {
        let truncated = DecodeError::Truncated("hello");
        let (magic, rest) = payload.split_first_chunk().ok_or(truncated)?;
        if *magic != MAGIC {
            return Err(HelloFault::Magic);
        }
        let (version, body) = rest.split_first_chunk().ok_or(truncated)?;
        let yours = u16::from_le_bytes(*version);
        if yours != VERSION {
            return Err(HelloFault::Version { ours: VERSION, yours });
        }
        within("hello", payload.len() as u64, 0..=HELLO_BYTES_MAX as u64)?;
        let hello: Self = cold::read(body, "hello")?;
        hello.check()?;
        Ok(hello)
    }

    /// What a receiver would refuse it for: to be asked where its texts or extensions come from outside.
    pub fn check(&self) -> Result<(), DecodeError> {
        within("priors", self.priors.len() as u64, 0..=PRIORS_PER_HELLO_MAX as u64)?;
        check_text("game build", &self.game_build, HELLO_TEXT_BYTES_MAX)?;
        check_text("platform", &self.platform, HELLO_TEXT_BYTES_MAX)?;
        self.room.check()?;
        check_extensions(&self.extensions)?;
        let bytes = MAGIC.len() + size_of_val(&VERSION) + cold::write(self).len();
        within("hello", bytes as u64, 0..=HELLO_BYTES_MAX as u64)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::payload;
    use super::*;
    use crate::frame::HEADER_BYTES_MAX;
    use crate::limits::{CLIENT_MESSAGE_BYTES_MAX, EXTENSION_BYTES_MAX};

    pub(in super::super) fn hello() -> Hello {
        Hello {
            schema_hash: 0x0123_4567_89ab_cdef,
            priors: vec![7, 0xfedc_ba98_7654_3210],
            features: Features(5),
            game_build: "arena 1.2".to_owned(),
            platform: "x86_64-linux".to_owned(),
            room: RoomWish::Named("lobby".to_owned()),
            role: Role::Player,
            stream: StreamKind::Ordered,
            extensions: vec![Extension { id: 3, value: vec![1, 2] }, Extension { id: 4, value: vec![] }],
        }
    }

    fn check_hello(hello: &Hello) {
        let bytes = payload(|out| hello.encode(out));
        assert_eq!(Hello::decode(&bytes).as_ref(), Ok(hello));
        for cut in 0..bytes.len() {
            assert!(matches!(Hello::decode(&bytes[..cut]), Err(HelloFault::Malformed(_))), "{cut}");
        }
    }

    #[test]
    fn a_hello_arrives_as_it_was_sent() {
        check_hello(&hello());
        check_hello(&Hello {
            priors: Vec::new(),
            room: RoomWish::Any,
            role: Role::Spectator,
            stream: StreamKind::Datagram,
            extensions: Vec::new(),
            ..hello()
        });
    }

    #[test]
    fn hellos_are_refused_for_what_is_wrong_with_them() {
        let good = payload(|out| hello().encode(out));
        let with = |place: usize, byte| {
            let mut bytes = good.clone();
            bytes[place] = byte;
            Hello::decode(&bytes)
        };
        assert_eq!(with(0, b'X'), Err(HelloFault::Magic));
        assert_eq!(with(4, 9), Err(HelloFault::Version { ours: 1, yours: 9 }));
        assert_eq!(Hello::decode(b"TKWR\x02\x00"), Err(HelloFault::Version { ours: 1, yours: 2 }));
        assert_eq!(Hello::decode(b"TKW"), Err(HelloFault::Malformed(DecodeError::Truncated("hello"))));
        let trailing = [&good[..], &[0]].concat();
        assert_eq!(Hello::decode(&trailing), Err(HelloFault::Malformed(DecodeError::Trailing("hello"))));
        assert_eq!(HelloFault::Magic.reject(), Some(RejectReason::Magic));
        assert_eq!(HelloFault::Malformed(DecodeError::Damaged("hello")).reject(), None);
    }

    #[test]
    fn texts_and_extensions_keep_to_their_limits() {
        let large = |id| Extension { id, value: vec![0; EXTENSION_BYTES_MAX] };
        let empty = |id| Extension { id, value: vec![] };
        for (hello, fault) in [
            (Hello { priors: vec![1; 9], ..hello() }, "priors: 9 is above the limit of 8"),
            (Hello { game_build: "x".repeat(65), ..hello() }, "game build: 65 is above the limit of 64"),
            (Hello { platform: "x".repeat(65), ..hello() }, "platform: 65 is above the limit of 64"),
            (Hello { platform: "a\u{1b}[2J".to_owned(), ..hello() }, "platform: 27 has no meaning"),
            (
                Hello { room: RoomWish::Named("ä".repeat(33)), ..hello() },
                "room name: 66 is above the limit of 64",
            ),
            (
                Hello { extensions: (0..17).map(empty).collect(), ..hello() },
                "extensions: 17 is above the limit of 16",
            ),
            (
                Hello { extensions: vec![Extension { id: 1, value: vec![0; 1537] }], ..hello() },
                "extension: 1537 is above the limit of 1536",
            ),
            (
                Hello { extensions: vec![empty(2), empty(2)], ..hello() },
                "extension out of order: 2 has no meaning",
            ),
            (
                Hello { extensions: (0..3).map(large).collect(), ..hello() },
                "hello: 4680 is above the limit of 4092",
            ),
        ] {
            assert_eq!(hello.check().unwrap_err().to_string(), fault);
            let bytes = payload(|out| hello.encode(out));
            assert_eq!(Hello::decode(&bytes).unwrap_err().to_string(), fault);
        }
    }

    #[test]
    fn the_largest_hello_fits_a_client_message() {
        let mut largest = hello();
        largest.extensions = (0..4).map(|id| Extension { id, value: vec![0; 900] }).collect();
        let spare = HELLO_BYTES_MAX - payload(|out| largest.encode(out)).len();
        largest.extensions.push(Extension { id: 9, value: vec![0; spare - 4] });
        check_hello(&largest);
        let mut out = Vec::new();
        largest.encode(&mut out);
        assert!(
            out.len() <= CLIENT_MESSAGE_BYTES_MAX && out.len() >= CLIENT_MESSAGE_BYTES_MAX - HEADER_BYTES_MAX
        );
    }

    #[test]
    fn a_longer_form_of_a_number_is_no_second_encoding() {
        // The version's last byte, then the schema's hash: 5 as one byte, and as three.
        let mut plain = payload(|out| Hello { schema_hash: 5, ..hello() }.encode(out));
        assert!(Hello::decode(&plain).is_ok() && plain[6] == 5);
        plain.splice(6..7, [251, 5, 0]);
        assert_eq!(Hello::decode(&plain), Err(HelloFault::Malformed(DecodeError::Damaged("hello"))));
    }

    #[test]
    fn a_declared_length_is_not_believed() {
        let mut bytes = payload(|out| Hello { extensions: Vec::new(), ..hello() }.encode(out));
        bytes.pop();
        for count in [&[253, 0, 0, 0, 0, 0, 0, 0, 128][..], &[252, 255, 255, 255, 255]] {
            let bomb = [&bytes[..], count].concat();
            assert_eq!(Hello::decode(&bomb), Err(HelloFault::Malformed(DecodeError::Damaged("hello"))));
        }
    }
}
