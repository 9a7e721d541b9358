//! How a connection is opened: with which token, and whom it believes.

use std::hash::{BuildHasher, RandomState};

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
        let seed = if config.seed == 0 { drawn() } else { config.seed };
        ClientConfig { tokens, seed, ..config.clone() }
    }
}

/// Another number in each process and each time: what spreads clients need not be secret.
fn drawn() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_name_no_seed_do_not_all_have_the_same() {
        let seed =
            |seed| Options::default().client_config(&ClientConfig { seed, ..ClientConfig::new("test") }).seed;
        assert_ne!(seed(0), seed(0));
        assert_eq!(seed(7), 7);
    }
}
