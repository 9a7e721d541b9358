//! Who a client is: its token, and what the server makes of it.
//!
//! ```text
//!  HELLO    extension 2   token: text                           if it did not come with the request for the WebSocket
//!  WELCOME  extension 2   account | expires in | permissions    what the token is worth; not for guests
//!  AUTH     0: token      client     a newer token, on a live connection
//!           1: terms      server     what that is worth
//!           2: refusal    server     it is worth nothing: the one before counts on
//! ```
//!
//! What a token says is between its issuer and the server's authenticator: here it is a text. It is a secret: whoever has it is
//! that account until it expires. It is never printed.

use core::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Extension, check_text, within};
use crate::cold;
use crate::fault::DecodeError;
use crate::frame::{FrameType, write_frame};
use crate::limits::{ACCOUNT_BYTES_MAX, HELLO_TEXT_BYTES_MAX, PERMISSIONS_MAX, TOKEN_BYTES_MAX};
use crate::time::Micros;

/// The extension in HELLO and WELCOME.
const AUTH_EXTENSION: u16 = 2;

/// Proves who a client is: a text of 1 to [`TOKEN_BYTES_MAX`] letters, digits and `-._~+/=` (RFC 6750, section 2.1).
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Token(#[serde(deserialize_with = "cold::text")] String);

impl Token {
    /// A token of this text.
    ///
    /// # Errors
    /// It is empty, too long, or has characters that no token has. The error does not repeat them.
    pub fn new(text: impl Into<String>) -> Result<Self, DecodeError> {
        let token = Self(text.into());
        token.check()?;
        Ok(token)
    }

    /// The text: a secret.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As an extension of a hello. It takes one of up to [`EXTENSION_BYTES_MAX`](crate::limits::EXTENSION_BYTES_MAX) - 3 bytes; a
    /// longer one must come with the request for the WebSocket.
    pub fn extension(&self) -> Extension {
        Extension { id: AUTH_EXTENSION, value: cold::write(self) }
    }

    /// What a hello says, if it says something.
    pub fn find(extensions: &[Extension]) -> Result<Option<Self>, DecodeError> {
        let Some(extension) = find(extensions) else { return Ok(None) };
        let token: Self = cold::read(&extension.value, "token")?;
        token.check()?;
        Ok(Some(token))
    }

    fn check(&self) -> Result<(), DecodeError> {
        within("token", self.0.len() as u64, 1..=TOKEN_BYTES_MAX as u64)?;
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if self.0.bytes().all(is_token) { Ok(()) } else { Err(DecodeError::Damaged("token")) }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What the server makes of a token: who the client is to it, until when, and what it may do.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct AuthTerms {
    /// The account, at most 64 bytes.
    #[serde(deserialize_with = "cold::text")]
    pub account: String,
    /// When the connection is closed unless a newer token came, from when this was written on; never without.
    pub expires_in: Option<Micros>,
    /// What it may do, in ascending order, at most 12 of at most 64 bytes: see the server's documentation for the engine's own.
    #[serde(deserialize_with = "cold::list")]
    pub permissions: Vec<Permission>,
}

/// The name of something that an account may do, `action` or `action@room`; at most 64 bytes.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Permission(#[serde(deserialize_with = "cold::text")] pub String);

/// What the engine itself asks permission for, and a guest may do: to be a player, a spectator, and to have a room opened as one likes.
pub const ENGINE_ACTIONS: [&str; 3] = ["play", "watch", "open"];

impl Permission {
    /// Whether it lets its account do this in the room of this name.
    pub fn allows(&self, action: &str, room: &str) -> bool {
        match self.0.split_once('@') {
            Some((allowed, place)) => allowed == action && place == room,
            None => self.0 == action,
        }
    }
}

impl AuthTerms {
    /// Whether a client may do this in the room of this name. One without terms is a guest, who may do [what the engine asks for](ENGINE_ACTIONS),
    /// and nothing else.
    pub fn may(terms: Option<&Self>, action: &str, room: &str) -> bool {
        match terms {
            Some(terms) => terms.permissions.iter().any(|permission| permission.allows(action, room)),
            None => ENGINE_ACTIONS.contains(&action),
        }
    }

    /// As an extension of a welcome.
    pub fn extension(&self) -> Extension {
        Extension { id: AUTH_EXTENSION, value: cold::write(self) }
    }

    /// What a welcome says, if it says something.
    pub fn find(extensions: &[Extension]) -> Result<Option<Self>, DecodeError> {
        let Some(extension) = find(extensions) else { return Ok(None) };
        let terms: Self = cold::read(&extension.value, "auth terms")?;
        terms.check()?;
        Ok(Some(terms))
    }

    /// What a receiver would refuse it for.
    pub fn check(&self) -> Result<(), DecodeError> {
        check_text("account", &self.account, ACCOUNT_BYTES_MAX)?;
        within("permissions", self.permissions.len() as u64, 0..=PERMISSIONS_MAX as u64)?;
        self.permissions.iter().try_for_each(|Permission(name)| {
            within("permission", name.len() as u64, 1..=HELLO_TEXT_BYTES_MAX as u64)?;
            check_text("permission", name, HELLO_TEXT_BYTES_MAX)
        })?;
        let is_ascending = self.permissions.is_sorted_by(|before, after| before < after);
        if is_ascending { Ok(()) } else { Err(DecodeError::Damaged("permissions")) }
    }
}

/// Why a token is not taken. None of it repeats the token.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Error, PartialEq, Serialize)]
pub enum AuthRefusal {
    /// There is none, and guests are not taken.
    #[error("a token is needed: sign in first")]
    Missing,
    /// It is not in the form of a token.
    #[error("the token is damaged: get a new one")]
    Malformed,
    /// None of the server's keys is the one that it names.
    #[error("no key of the server has signed the token: check who issues it")]
    UnknownKey,
    /// It names another algorithm than that of the key.
    #[error("the token is signed by an algorithm that its key is not for: check who issues it")]
    Algorithm,
    /// Its signature is not of the key.
    #[error("the token's signature is wrong: get a new one")]
    Signature,
    /// It was good once.
    #[error("the token has expired: get a new one")]
    Expired,
    /// It is not good yet.
    #[error("the token is not valid yet: are the clocks right?")]
    NotYet,
    /// Somebody else has issued it.
    #[error("the token is of another issuer")]
    Issuer,
    /// It is meant for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// What it says of the client is missing or breaks a limit.
    #[error("the token's claims are not those that the server needs")]
    Claims,
    /// It is of another account than the session.
    #[error("the token is of another account than the session")]
    OtherAccount,
    /// Nobody could be asked whether it is good.
    #[error("the token could not be checked: try again later")]
    Unavailable,
}

/// The content of an AUTH frame.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Auth {
    /// Client: a newer token.
    Token(Token),
    /// Server: what it is worth, from now on.
    Granted(AuthTerms),
    /// Server: it is worth nothing, and the one before counts on.
    Refused(AuthRefusal),
}

impl Auth {
    /// Appends an AUTH frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_frame(out, FrameType::Auth, &cold::write(self));
    }

    /// Reads the payload of an AUTH frame.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let auth: Self = cold::read(payload, "auth")?;
        match &auth {
            Self::Token(token) => token.check()?,
            Self::Granted(terms) => terms.check()?,
            Self::Refused(_) => {}
        }
        Ok(auth)
    }
}

fn find(extensions: &[Extension]) -> Option<&Extension> {
    extensions.iter().find(|extension| extension.id == AUTH_EXTENSION)
}

#[cfg(test)]
mod tests {
    use super::super::tests::payload;
    use super::*;
    use crate::limits::EXTENSION_BYTES_MAX;

    fn terms() -> AuthTerms {
        AuthTerms {
            account: "alice".to_owned(),
            expires_in: Some(Micros::from_secs(3600)),
            permissions: ["play", "watch@lobby"].map(|name| Permission(name.to_owned())).to_vec(),
        }
    }

    #[test]
    fn what_is_said_of_a_token_arrives() {
        let token = Token::new("a.b-c_d~e+f/g=").unwrap();
        assert_eq!(Token::find(&[token.extension()]), Ok(Some(token.clone())));
        assert_eq!(Token::find(&[]), Ok(None));
        assert_eq!(AuthTerms::find(&[terms().extension()]), Ok(Some(terms())));
        for auth in [Auth::Token(token), Auth::Granted(terms()), Auth::Refused(AuthRefusal::Unavailable)] {
            let bytes = payload(|out| auth.encode(out));
            assert_eq!(Auth::decode(&bytes), Ok(auth));
            for cut in 0..bytes.len() {
                assert!(Auth::decode(&bytes[..cut]).is_err());
            }
        }
    }

    #[test]
    fn a_token_is_of_the_characters_of_one_and_is_not_printed() {
        for text in ["", "a b", "a,b", "a\n", "tschüss", &"x".repeat(TOKEN_BYTES_MAX + 1)] {
            assert!(Token::new(text).is_err(), "{text:?}");
        }
        let longest = Token::new("x".repeat(TOKEN_BYTES_MAX)).unwrap();
        assert_eq!(format!("{longest:?}"), "Token(..)");
        let hostile = Auth::Token(Token("a b".to_owned()));
        assert_eq!(Auth::decode(&payload(|out| hostile.encode(out))), Err(DecodeError::Damaged("token")));
    }

    #[test]
    fn the_largest_terms_fit_an_extension() {
        let permission = |index: usize| Permission(format!("{index:064}"));
        let most = AuthTerms {
            account: "a".repeat(ACCOUNT_BYTES_MAX),
            expires_in: Some(Micros(u64::MAX)),
            permissions: (0..PERMISSIONS_MAX).map(permission).collect(),
        };
        assert!(most.extension().value.len() <= EXTENSION_BYTES_MAX);
        assert_eq!(AuthTerms::find(&[most.extension()]), Ok(Some(most)));
        let hostile = AuthTerms { account: "a\u{7}".to_owned(), ..terms() };
        assert!(AuthTerms::find(&[hostile.extension()]).is_err());
        let twice = AuthTerms { permissions: vec![Permission("play".to_owned()); 2], ..terms() };
        assert!(AuthTerms::find(&[twice.extension()]).is_err());
    }
}
