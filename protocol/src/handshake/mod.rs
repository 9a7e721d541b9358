//! The handshake: a client says [`Hello`], the server answers [`Welcome`] or [`Reject`].
//!
//! ```text
//!  HELLO    magic: 4 bytes | version: u16 | cold body        the first 6 bytes are the same in every version
//!  WELCOME  cold body
//!  REJECT   code: u8 | details                               codes 0 and 1 are the same in every version
//! ```
//!
//! So any version can refuse any other and tell both numbers. The bodies are cold: serde types in the encoding of
//! one module (docs/decisions/0003), read with every text, list and number checked against
//! [`limits`](crate::limits), and refused if written in any but the one canonical way. Credentials, resume and what
//! else comes later are typed [extensions](Extension): the format stays.
//!
//! All rates, limits and settings of a session come with the welcome: a client has no constants of its own.

mod auth;
mod hello;
mod reject;
mod resume;
mod welcome;
mod wish;

use core::fmt;
use core::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::cold;
use crate::fault::DecodeError;
use crate::limits::{EXTENSION_BYTES_MAX, EXTENSIONS_MAX};

pub use auth::{Auth, AuthRefusal, AuthTerms, ENGINE_ACTIONS, Permission, Token};
pub use hello::{Hello, HelloFault, Role};
pub use reject::{Reject, RejectReason};
pub use resume::{FreshReason, Resume, ResumeToken, SessionOutcome, SessionTerms};
pub use welcome::{ClientLimits, PackedSchema, Timing, Welcome};
pub use wish::{NewRoom, RoomSecret, RoomWish};

/// The first bytes of every connection's first payload.
pub const MAGIC: [u8; 4] = *b"TKWR";

/// The version of the wire that this crate speaks. Two ends must have the same.
pub const VERSION: u16 = 1;
/// What the connection promises about the frames that it carries.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum StreamKind {
    /// Every frame arrives, in order (WebSocket, TCP).
    Ordered,
    /// Frames may be lost, doubled or overtake each other (QUIC datagrams).
    Datagram,
}

impl fmt::Display for StreamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ordered => "ordered",
            Self::Datagram => "datagram",
        })
    }
}

/// What an end can do beside the rest of the version, a bit each. No bit has a meaning in version 1; bits that a
/// receiver does not know are ignored, and the welcome tells those that both ends have.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Features(pub u32);

impl Features {
    /// None at all.
    pub const NONE: Self = Self(0);

    /// Whether all of `others` are there.
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// What both have.
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// A typed addition to a hello or welcome. One whose id the receiver does not know is ignored.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Extension {
    /// What it is. 0 to 32,767 belong to the engine, the rest to the game.
    pub id: u16,
    /// Its content, at most 1,536 bytes.
    #[serde(deserialize_with = "cold::list")]
    pub value: Vec<u8>,
}

/// Without the value, which may be a secret.
impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extension {{ id: {}, {} bytes }}", self.id, self.value.len())
    }
}

/// Texts come from strangers and end up in logs and terminals: short, and without control characters.
pub(crate) fn check_text(what: &'static str, text: &str, bytes_max: usize) -> Result<(), DecodeError> {
    within(what, text.len() as u64, 0..=bytes_max as u64)?;
    match text.chars().find(|char| char.is_control()) {
        Some(char) => Err(DecodeError::Invalid { what, value: u32::from(char).into() }),
        None => Ok(()),
    }
}

fn check_extensions(extensions: &[Extension]) -> Result<(), DecodeError> {
    within("extensions", extensions.len() as u64, 0..=EXTENSIONS_MAX as u64)?;
    for extension in extensions {
        within("extension", extension.value.len() as u64, 0..=EXTENSION_BYTES_MAX as u64)?;
    }
    match extensions.windows(2).find_map(|pair| match pair {
        [first, second] if first.id >= second.id => Some(second.id),
        _ => None,
    }) {
        Some(id) => Err(DecodeError::Invalid { what: "extension out of order", value: id.into() }),
        None => Ok(()),
    }
}

fn within(what: &'static str, value: u64, range: RangeInclusive<u64>) -> Result<(), DecodeError> {
    if value > *range.end() {
        Err(DecodeError::TooLarge { what, value, limit: *range.end() })
    } else if value < *range.start() {
        Err(DecodeError::Invalid { what, value })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::hello::tests::hello;
    use super::welcome::tests::{schema, welcome};
    use super::*;
    use proptest::prelude::*;

    /// The payload of the one frame that `encode` appends.
    pub(super) fn payload(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out);
        let header = 2 + out.iter().take_while(|&&byte| byte & 0x80 != 0).count();
        out.split_off(header)
    }

    #[test]
    fn what_any_version_can_read_never_changes() {
        assert_eq!(payload(|out| Reject::from(RejectReason::Magic).encode(out)), [0]);
        assert_eq!(
            payload(|out| Reject::from(RejectReason::Version { ours: 2, yours: 0x0102 }).encode(out)),
            [1, 2, 0, 2, 1]
        );
        assert_eq!(payload(|out| hello().encode(out))[..6], *b"TKWR\x01\x00");
        assert_eq!(Reject::decode(&[251, 1, 0, 2, 1]), Err(DecodeError::Damaged("reject")));
    }

    proptest! {
        #[test]
        fn damage_is_refused_or_has_one_encoding(
            place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(), which in 0..3_u8
        ) {
            let packed = Welcome { schema: Some(PackedSchema::new(&schema(3))), ..welcome() };
            let mut bytes = match which {
                0 => payload(|out| hello().encode(out)),
                1 => payload(|out| packed.encode(out)),
                _ => payload(|out| Reject::from(RejectReason::Game("words".to_owned())).encode(out)),
            };
            let place = place.index(bytes.len());
            bytes[place] = byte;
            if byte & 1 == 0 {
                bytes.truncate(cut.index(bytes.len()) + 1);
            }
            check_all_decoders(&bytes)?;
        }

        #[test]
        fn any_bytes_are_refused_or_have_one_encoding(
            bytes in prop::collection::vec(any::<u8>(), 0..100), is_hello in any::<bool>()
        ) {
            let bytes = if is_hello { [b"TKWR\x01\x00", &bytes[..]].concat() } else { bytes };
            check_all_decoders(&bytes)?;
        }
    }

    fn check_all_decoders(bytes: &[u8]) -> Result<(), TestCaseError> {
        if let Ok(hello) = Hello::decode(bytes) {
            prop_assert_eq!(payload(|out| hello.encode(out)), bytes);
        }
        if let Ok(welcome) = Welcome::decode(bytes) {
            prop_assert_eq!(payload(|out| welcome.encode(out)), bytes);
            let _ = welcome.schema.map(|schema| schema.unpack());
        }
        if let Ok(reject) = Reject::decode(bytes) {
            prop_assert_eq!(payload(|out| reject.encode(out)), bytes);
        }
        Ok(())
    }
}
