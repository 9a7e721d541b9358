//! How a session goes on over another connection: two typed extensions.
//!
//! ```text
//!  HELLO    extension 1    session: varint | token: 16 bytes | received: 6 varints           the client wants it to go on
//!  WELCOME  extension 1    token: 16 bytes | window: varint | outcome | received: 6 varints  whether it does, and how the next time
//! ```
//!
//! The token is a secret of this session: whoever has it takes the session over. The server makes a new one for each connection and
//! takes the one before until the first frame that proves that the client has read the new one: an answer that was lost on its way
//! loses nothing, and a token that was overheard once is soon of no use.

use core::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::Extension;
use crate::cold;
use crate::fault::DecodeError;
use crate::ids::SessionId;
use crate::message::{Missed, Received};
use crate::time::Micros;

/// The extension in HELLO and WELCOME.
const RESUME_EXTENSION: u16 = 1;

/// The secret that lets a session go on over another connection: 128 bits of chance.
///
/// Compared in constant time, and never printed.
#[derive(Clone, Copy, Deserialize, Serialize)]
pub struct ResumeToken(pub [u8; 16]);

impl PartialEq for ResumeToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for ResumeToken {}

impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeToken(..)")
    }
}

/// What a client says in its hello to have its session go on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Resume {
    /// Which.
    pub session: SessionId,
    /// Its token.
    pub token: ResumeToken,
    /// What the client has received of the server's messages.
    pub received: Received,
}

/// Whether a session goes on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum SessionOutcome {
    /// It is a new one: nothing was asked for, or it cannot go on.
    Fresh(FreshReason),
    /// It goes on, and no message is lost or doubled.
    Resumed,
    /// It goes on, but the server no longer has some of the messages that the client has not received.
    Resynced {
        /// How many of each lane.
        missed: Missed,
    },
}

/// Why a session is a new one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum FreshReason {
    /// The client asked for no other.
    First,
    /// The server knows no such session: it has ended, its window has passed, or the server has started anew.
    Unknown,
    /// The token is not that of the session, or is no longer.
    WrongToken,
    /// The client says that it has received what was never sent, or comes in another role. The session of before is over.
    Inconsistent,
    /// The session is of another account than the client.
    OtherAccount,
}

/// What a server says in its welcome about the session.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SessionTerms {
    /// Whether it is the one that was asked for.
    pub outcome: SessionOutcome,
    /// What lets it go on over the next connection.
    pub token: ResumeToken,
    /// For how long after a connection is lost.
    pub window: Micros,
    /// What the server has received of the client's messages.
    pub received: Received,
}

impl Resume {
    /// As an extension of a hello.
    pub fn extension(&self) -> Extension {
        Extension { id: RESUME_EXTENSION, value: cold::write(self) }
    }

    /// What a hello says, if it says something.
    pub fn find(extensions: &[Extension]) -> Result<Option<Self>, DecodeError> {
        find(extensions, "resume")
    }
}

impl SessionTerms {
    /// As an extension of a welcome.
    pub fn extension(&self) -> Extension {
        Extension { id: RESUME_EXTENSION, value: cold::write(self) }
    }

    /// What a welcome says, if it says something.
    pub fn find(extensions: &[Extension]) -> Result<Option<Self>, DecodeError> {
        find(extensions, "session terms")
    }
}

fn find<T: serde::de::DeserializeOwned + Serialize>(
    extensions: &[Extension],
    what: &'static str,
) -> Result<Option<T>, DecodeError> {
    let extension = extensions.iter().find(|extension| extension.id == RESUME_EXTENSION);
    extension.map(|extension| cold::read(&extension.value, what)).transpose()
}

impl fmt::Display for SessionOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh(FreshReason::First) => f.write_str("fresh"),
            Self::Fresh(FreshReason::Unknown) => f.write_str("fresh: the session is no more"),
            Self::Fresh(FreshReason::WrongToken) => f.write_str("fresh: the token is not the session's"),
            Self::Fresh(FreshReason::Inconsistent) => {
                f.write_str("fresh: more was received than ever was sent")
            }
            Self::Fresh(FreshReason::OtherAccount) => f.write_str("fresh: the session is of another account"),
            Self::Resumed => f.write_str("resumed"),
            Self::Resynced { missed } => write!(f, "resynced: {} messages are lost", missed.total()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Lane;

    #[test]
    fn what_is_said_of_a_session_arrives() {
        let received = Received::default().with(Lane::Messages, 70_000).with(Lane::Latest, 3);
        let token = ResumeToken([7; 16]);
        let resume = Resume { session: SessionId(9), token, received };
        assert_eq!(Resume::find(&[resume.extension()]), Ok(Some(resume)));
        assert_eq!(Resume::find(&[]), Ok(None));
        for outcome in [
            SessionOutcome::Fresh(FreshReason::WrongToken),
            SessionOutcome::Resumed,
            SessionOutcome::Resynced { missed: Missed::default().with(Lane::Events, 5) },
        ] {
            let terms = SessionTerms { outcome, token, window: Micros::from_secs(120), received };
            assert_eq!(SessionTerms::find(&[terms.extension()]), Ok(Some(terms)));
        }
        let damaged = Extension { id: RESUME_EXTENSION, value: vec![9] };
        assert_eq!(Resume::find(&[damaged]), Err(DecodeError::Damaged("resume")));
    }

    #[test]
    fn a_token_is_not_printed() {
        assert_eq!(format!("{:?}", ResumeToken([7; 16])), "ResumeToken(..)");
        assert_ne!(ResumeToken([7; 16]), ResumeToken([8; 16]));
        let received = Received::default();
        let resume = Resume { session: SessionId(9), token: ResumeToken([0xab; 16]), received };
        assert_eq!(format!("{:?}", resume.extension()), "Extension { id: 1, 22 bytes }");
    }
}
