//! How a connection is opened: with which token, and whom it believes.

use std::fmt;
use std::sync::Arc;

use tickwire_protocol::handshake::Token;

use super::tls::Roots;

/// How connections are opened. The default has no token, and believes the usual authorities.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Asked for a token at each connect, also when the client comes back: one that was good an hour ago may not be. Without, the client is a
    /// guest.
    pub tokens: Option<TokenProvider>,
    /// Who may vouch for the server of a `wss://` address.
    pub roots: Roots,
}

/// Gives the token for the next connection.
///
/// It is asked on the task of the connection, so it answers at once: a game that must ask a service for a new token does so
/// beside it, before the old one expires, and keeps the newest here. On the connection of now it tells the server with
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

    pub(super) fn provide(&self) -> Option<Token> {
        (self.0)()
    }
}

/// Without any token.
impl fmt::Debug for TokenProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenProvider(..)")
    }
}
