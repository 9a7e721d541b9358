//! Where the tokens of a client come from.

use std::fmt;
use std::sync::Arc;

use tickwire_protocol::handshake::Token;

/// Gives the token for the next connection: one that was good an hour ago may not be.
///
/// It is asked whenever a connection begins, in the midst of a call, so it answers at once: a game that must ask a service for a new
/// token does so beside it, before the old one expires, and keeps the newest here. On the connection of now it tells the server with
/// [`Client::renew_token`](crate::Client::renew_token).
#[derive(Clone)]
pub struct TokenProvider(Arc<dyn Fn() -> Option<Token> + Send + Sync>);

impl TokenProvider {
    /// What `provide` gives; with `None` the client comes as a guest.
    pub fn new(provide: impl Fn() -> Option<Token> + Send + Sync + 'static) -> Self {
        Self(Arc::new(provide))
    }

    /// Always the same token: for tools, and for games shorter than it lasts.
    pub fn fixed(token: Token) -> Self {
        Self::new(move || Some(token.clone()))
    }

    pub(crate) fn provide(&self) -> Option<Token> {
        (self.0)()
    }
}

/// Without any token.
impl fmt::Debug for TokenProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenProvider(..)")
    }
}
