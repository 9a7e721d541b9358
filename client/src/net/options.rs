//! How a connection is opened: with which token, and whom it believes.

use super::tls::Roots;
use crate::core::{ClientConfig, TokenProvider};

/// How connections are opened. The default has no token, and believes the usual authorities.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Asked for the token of each request for a WebSocket, also when the client comes back. It goes with the `Authorization` header, so a
    /// server refuses it before there is a WebSocket, and it may be longer than a hello takes. Where there is none,
    /// [`ClientConfig::tokens`] are asked for that of the hello, as a proxy wants it that keeps the header for itself; where
    /// there are both, these are taken. Without either the client is a guest.
    pub tokens: Option<TokenProvider>,
    /// Who may vouch for the server of a `wss://` address.
    pub roots: Roots,
}

impl Options {
    /// What the client is told: a server takes one token of it, and refuses two.
    pub(super) fn client_config(&self, config: &ClientConfig) -> ClientConfig {
        let tokens = config.tokens.clone().filter(|_| self.tokens.is_none());
        ClientConfig { tokens, ..config.clone() }
    }
}
