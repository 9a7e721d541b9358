//! Who may come in: from a token to an account.
//!
//! ```text
//!  request or hello ── Token ──> Authenticator ── Verified ──> Identity, on the room's clock ──> room, game, welcome
//!                                     └────────── AuthRefusal ──> HTTP 401 or REJECT
//! ```
//!
//! The engine comes with one for JSON Web Tokens ([`JwtAuthenticator`]); another is a type with one method. Cryptography and the
//! wall clock end here: the pure core is told an account and until when.

mod jwt;
mod key_file;
mod keys;
mod mint;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use tickwire_protocol::handshake::{AuthRefusal, Permission, Token};

pub use jwt::{JwtAuthenticator, JwtPolicy};
pub use key_file::KeyError;
pub use keys::JwtKeys;
pub use mint::{Grant, MintError, generate_key, mint};

/// What somebody shows who wants in.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The token: characters of one, and nothing else is known of it.
    pub token: &'a Token,
    /// Where the client is, or the proxy that it comes through.
    pub address: IpAddr,
}

/// What a token is worth.
#[derive(Clone, Eq, PartialEq)]
pub struct Verified {
    /// The account, 1 to 64 bytes without control characters.
    pub account: String,
    /// For how much longer; none for ever.
    pub valid_for: Option<Duration>,
    /// What it may do, in any order: `action` or `action@room`, at most 12 of at most 64 bytes. Nobody plays without `play`, or
    /// watches without `watch`.
    pub permissions: Vec<Permission>,
    /// What the game's server code is told of it, at most 4 KiB.
    pub claims: Vec<u8>,
}

/// Without the claims.
impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("account", &self.account)
            .field("valid_for", &self.valid_for)
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

/// The answer of an [`Authenticator`], when it is there.
pub type Verdict<'a> = Pin<Box<dyn Future<Output = Result<Verified, AuthRefusal>> + Send + 'a>>;

/// Finds out whose a token is.
///
/// Asked once for each connection, before it gets to any room, and again for each newer token on it. It is waited for half as long as the
/// handshake timeout, to which it counts; after that, and if it panics, the answer is [`AuthRefusal::Unavailable`]. Whoever must ask a
/// database or another service does so here.
pub trait Authenticator: Send + Sync {
    /// What a token is worth, or why nothing.
    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> Verdict<'a>;
}
