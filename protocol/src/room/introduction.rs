//! What a client says of itself in its hello.

use serde::{Deserialize, Serialize};

use super::Profile;
use crate::cold;
use crate::fault::DecodeError;
use crate::handshake::Extension;

/// The extension in HELLO.
const INTRODUCTION_EXTENSION: u16 = 3;

/// What a client says of itself. Whoever says it is told of the room's members, its match and its own groups; whoever does not, is not.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Introduction {
    /// What the others are told.
    pub profile: Profile,
    /// The version of the room's members that it was told, if its session goes on; otherwise 0.
    pub members: u64,
    /// The same of the room's match.
    pub match_state: u64,
    /// The same of its groups.
    pub groups: u64,
}

impl Introduction {
    /// As an extension of a hello.
    pub fn extension(&self) -> Extension {
        Extension { id: INTRODUCTION_EXTENSION, value: cold::write(self) }
    }

    /// What a hello says, if it says something.
    pub fn find(extensions: &[Extension]) -> Result<Option<Self>, DecodeError> {
        let Some(extension) = extensions.iter().find(|extension| extension.id == INTRODUCTION_EXTENSION)
        else {
            return Ok(None);
        };
        let introduction: Self = cold::read(&extension.value, "introduction")?;
        introduction.profile.check()?;
        Ok(Some(introduction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{EXTENSION_BYTES_MAX, MEMBER_NAME_BYTES_MAX, PROFILE_BYTES_MAX};

    #[test]
    fn what_is_said_arrives_and_is_checked() {
        let profile = Profile::new("ada", [1, 2]).unwrap();
        let introduction = Introduction { profile, members: 300, match_state: 7, groups: 2 };
        assert_eq!(Introduction::find(&[introduction.extension()]), Ok(Some(introduction)));
        assert_eq!(Introduction::find(&[]), Ok(None));
        let find = |value| Introduction::find(&[Extension { id: INTRODUCTION_EXTENSION, value }]);
        assert_eq!(find(vec![1, b'a']), Err(DecodeError::Damaged("introduction")));
        assert_eq!(
            find(vec![1, 7, 0, 0, 0, 0]),
            Err(DecodeError::Invalid { what: "member name", value: 7 }),
            "a bell rings in nobody's terminal"
        );
    }

    #[test]
    fn the_largest_fits_an_extension() {
        let profile = Profile::new("x".repeat(MEMBER_NAME_BYTES_MAX), vec![0; PROFILE_BYTES_MAX]).unwrap();
        let largest = Introduction { profile, members: u64::MAX, match_state: u64::MAX, groups: u64::MAX };
        let bytes = largest.extension().value.len();
        assert!(bytes <= EXTENSION_BYTES_MAX, "{bytes}");
    }
}
