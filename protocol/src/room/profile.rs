//! What a member says of itself.

use serde::{Deserialize, Serialize};

use crate::cold;
use crate::fault::DecodeError;
use crate::frame::{FrameType, write_frame_with};
use crate::handshake::check_text;
use crate::limits::{MEMBER_NAME_BYTES_MAX, PROFILE_BYTES_MAX};

/// What a member of a room says of itself: a name, and what the game likes to add.
///
/// Everyone in the room is told it, as it was said: a server vouches for neither.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Profile {
    #[serde(deserialize_with = "cold::text")]
    name: String,
    #[serde(deserialize_with = "cold::list")]
    data: Vec<u8>,
}

impl Profile {
    /// A name of at most 64 bytes without control characters, which may be empty and need not be the only one of its kind; and at most 1,024
    /// bytes that mean something to the game.
    ///
    /// # Errors
    /// What breaks a bound.
    pub fn new(name: impl Into<String>, data: impl Into<Vec<u8>>) -> Result<Self, DecodeError> {
        let profile = Self { name: name.into(), data: data.into() };
        profile.check()?;
        Ok(profile)
    }

    /// What it is called; empty if it has not said.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the game has added.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Appends a PROFILE frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_frame_with(out, FrameType::Profile, |out| out.extend_from_slice(&cold::write(self)));
    }

    /// Reads the payload of a PROFILE frame.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let profile: Self = cold::read(payload, "profile")?;
        profile.check()?;
        Ok(profile)
    }

    pub(super) fn check(&self) -> Result<(), DecodeError> {
        check_text("member name", &self.name, MEMBER_NAME_BYTES_MAX)?;
        let (value, limit) = (self.data.len() as u64, PROFILE_BYTES_MAX as u64);
        if value > limit {
            return Err(DecodeError::TooLarge { what: "profile", value, limit });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_keeps_to_its_bounds() {
        assert!(Profile::new("ä".repeat(32), vec![7; 1024]).is_ok());
        for (name, data, fault) in [
            ("ä".repeat(33), 0, "member name: 66 is above the limit of 64"),
            ("a\nb".to_owned(), 0, "member name: 10 has no meaning"),
            ("ada".to_owned(), 1025, "profile: 1025 is above the limit of 1024"),
        ] {
            let unchecked = Profile { name, data: vec![0; data] };
            assert_eq!(Profile::new(unchecked.name(), unchecked.data()).unwrap_err().to_string(), fault);
            assert_eq!(Profile::decode(&cold::write(&unchecked)).unwrap_err().to_string(), fault);
        }
        assert_eq!(Profile::decode(&[1, 0xff, 0]), Err(DecodeError::Damaged("profile")), "not UTF-8");
    }
}
