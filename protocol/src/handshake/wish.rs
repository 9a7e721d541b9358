//! The room that a client wants: one that is there, or one that is opened for it.

use core::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::{check_text, within};
use crate::cold;
use crate::fault::DecodeError;
use crate::limits::{
    HELLO_TEXT_BYTES_MAX, MATCH_MODE_BYTES_MAX, MATCH_SETTINGS_BYTES_MAX, ROOM_SECRET_BYTES_MAX,
};
use crate::room::RoomFilter;

/// The room that a client wants. Names are those of one server, and each room has another.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum RoomWish {
    /// Any that is for anybody and has a place; one is opened if none has.
    Any,
    /// The public one of this name, at most 64 bytes; it is opened if there is none.
    Named(#[serde(deserialize_with = "cold::text")] String),
    /// The one of this name, only if it is there.
    Existing {
        /// What it is called; at most 64 bytes.
        #[serde(deserialize_with = "cold::text")]
        name: String,
        /// What lets into it, if it is private.
        secret: Option<RoomSecret>,
    },
    /// The fullest public one that has a place and that the filter lets through.
    Matching {
        /// What it has to be.
        filter: RoomFilter,
        /// What is opened if there is none.
        otherwise: Option<NewRoom>,
    },
    /// A new one.
    New(NewRoom),
}

impl RoomWish {
    pub(super) fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Any => Ok(()),
            Self::Named(name) => check_text("room name", name, HELLO_TEXT_BYTES_MAX),
            Self::Existing { name, secret } => {
                check_text("room name", name, HELLO_TEXT_BYTES_MAX)?;
                secret.iter().try_for_each(RoomSecret::check)
            }
            Self::Matching { filter, otherwise } => {
                filter.check()?;
                otherwise.iter().try_for_each(NewRoom::check)
            }
            Self::New(room) => room.check(),
        }
    }
}

/// A room that is to be opened. The default is public, as large as the server's are, and named by the server.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct NewRoom {
    /// What it is called, at most 64 bytes; if it is empty the server finds a name.
    #[serde(deserialize_with = "cold::text")]
    pub name: String,
    /// What lets into it. With a secret it is private: it is in no list, and nobody strays into it.
    pub secret: Option<RoomSecret>,
    /// Players that it takes; 0 for as many as the server's rooms take, which is the most in any case.
    pub players_max: u32,
    /// What is to be played, at most 64 bytes: what its [match state](crate::room::MatchInfo) says to begin with.
    #[serde(deserialize_with = "cold::text")]
    pub mode: String,
    /// What its match state's settings are to begin with, at most 1,024 bytes: the game's own.
    #[serde(deserialize_with = "cold::list")]
    pub settings: Vec<u8>,
    /// Whether a room of this name that is there, with this secret, is as good. Without, it is an error.
    pub or_join: bool,
}

impl NewRoom {
    /// What breaks a bound.
    pub fn check(&self) -> Result<(), DecodeError> {
        check_text("room name", &self.name, HELLO_TEXT_BYTES_MAX)?;
        check_text("match mode", &self.mode, MATCH_MODE_BYTES_MAX)?;
        within("match settings", self.settings.len() as u64, 0..=MATCH_SETTINGS_BYTES_MAX as u64)?;
        self.secret.iter().try_for_each(RoomSecret::check)
    }
}

/// What lets a client into a private room, 1 to 64 bytes. Whoever opens it chooses it: 16 bytes of chance cannot be guessed, a word can.
///
/// Compared in a time that depends on its length alone, and never printed or told.
#[derive(Clone, Deserialize, Serialize)]
pub struct RoomSecret(#[serde(deserialize_with = "cold::list")] Vec<u8>);

impl RoomSecret {
    /// These bytes.
    ///
    /// # Errors
    /// If there are none, or more than 64.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, DecodeError> {
        let secret = Self(bytes.into());
        secret.check()?;
        Ok(secret)
    }

    fn check(&self) -> Result<(), DecodeError> {
        within("room secret", self.0.len() as u64, 1..=ROOM_SECRET_BYTES_MAX as u64)
    }
}

impl PartialEq for RoomSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for RoomSecret {}

impl fmt::Debug for RoomSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = RoomSecret::new(*b"open sesame").unwrap();
        let room = NewRoom { name: "den".to_owned(), secret: Some(secret.clone()), ..NewRoom::default() };
        assert!(format!("{:?}", RoomWish::New(room)).contains("secret: Some(RoomSecret(..))"));
        assert!(
            secret == RoomSecret::new(*b"open sesame").unwrap()
                && secret != RoomSecret::new(*b"open sesamf").unwrap()
                && secret != RoomSecret::new(*b"open").unwrap()
        );
    }

    #[test]
    fn wishes_keep_to_their_bounds() {
        let room = NewRoom {
            name: "ä".repeat(32),
            secret: RoomSecret::new([0; 64]).ok(),
            players_max: u32::MAX,
            mode: "m".repeat(64),
            settings: vec![0; 1024],
            or_join: true,
        };
        assert!(room.check().is_ok());
        let unnamed = |name: &str| RoomWish::Existing { name: name.to_owned(), secret: None };
        let secret = |bytes| Some(RoomSecret(vec![0; bytes]));
        for (wish, fault) in [
            (unnamed("a\u{1b}"), "room name: 27 has no meaning"),
            (
                RoomWish::Existing { name: String::new(), secret: secret(65) },
                "room secret: 65 is above the limit of 64",
            ),
            (
                RoomWish::New(NewRoom { name: "x".repeat(65), ..room.clone() }),
                "room name: 65 is above the limit of 64",
            ),
            (
                RoomWish::New(NewRoom { mode: "x".repeat(65), ..room.clone() }),
                "match mode: 65 is above the limit of 64",
            ),
            (
                RoomWish::New(NewRoom { settings: vec![0; 1025], ..room.clone() }),
                "match settings: 1025 is above the limit of 1024",
            ),
            (RoomWish::New(NewRoom { secret: secret(0), ..room }), "room secret: 0 has no meaning"),
        ] {
            assert_eq!(wish.check().unwrap_err().to_string(), fault);
            let RoomWish::New(room) = wish else { continue };
            let wish = RoomWish::Matching { filter: RoomFilter::default(), otherwise: Some(room) };
            assert_eq!(wish.check().unwrap_err().to_string(), fault);
        }
    }
}
