//! Whom a server lets in, and how many.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use tickwire_protocol::handshake::{AuthRefusal, Token};
use tickwire_protocol::{Micros, PeerId};
use tokio::time::{Duration, timeout};

use super::clock::Clock;
use super::proxy::TrustedProxies;
use crate::auth::{Authenticator, Credentials, Verified};
use crate::core::Identity;

/// Whom a server lets in.
#[derive(Clone)]
pub struct AccessConfig {
    /// Finds out whose tokens are. Without, nobody has an account.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// Whether clients without a token are let in where there is an authenticator, or where others than this machine can connect. On
    /// a loopback address without an authenticator, and without trusted proxies, they always are.
    pub guests: bool,
    /// What happens when an account connects that has a session.
    pub accounts: AccountPolicy,
    /// The pages that may connect, as browsers name them in `Origin`, such as `https://play.example.org`; none in the list: all.
    /// A client that is no browser says none, and is let in.
    pub origins: Vec<String>,
    /// What one address may do.
    pub addresses: AddressLimits,
    /// Who is believed when it says that a connection is for another address: that one is then counted, and told to the authenticator.
    pub proxies: TrustedProxies,
}

impl Default for AccessConfig {
    /// Guests on loopback, one connection an account, every page, 64 connections and 10 handshakes a second an address, no
    /// proxies.
    fn default() -> Self {
        Self {
            authenticator: None,
            guests: false,
            accounts: AccountPolicy::Replace,
            origins: Vec::new(),
            addresses: AddressLimits::default(),
            proxies: TrustedProxies::default(),
        }
    }
}

impl fmt::Debug for AccessConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessConfig")
            .field("authenticates", &self.authenticator.is_some())
            .field("guests", &self.guests)
            .field("accounts", &self.accounts)
            .field("origins", &self.origins)
            .field("addresses", &self.addresses)
            .field("proxies", &self.proxies)
            .finish()
    }
}

/// What happens when an account connects that has a session, connected or absent. A session that goes on over another connection is none of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AccountPolicy {
    /// The newer one is refused, until the session of the older is over: a client that has lost its connection may come back to it.
    Refuse,
    /// The older session is over once the newer is let in; its connection is closed, with 4014.
    Replace,
    /// It may have so many sessions; the next is refused.
    Allow(u32),
}

/// What one address may do; of IPv6, one network of 64 bits, which is what a customer has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AddressLimits {
    /// Connections at once; 0: any number.
    pub connections_max: u32,
    /// Handshakes a second, and as many at once; 0: any number.
    pub handshakes_per_second: u32,
    /// Messages a second to rooms, and as many at once; 0: any number. What is more waits in the sockets, those of all its connections in
    /// turn: a client plays on with a delay, and is closed for nothing.
    pub messages_per_second: u32,
    /// Whether this machine's own addresses are bound by it as well. A swarm, or a proxy that is not a trusted one, would run into it.
    pub counts_loopback: bool,
}

impl Default for AddressLimits {
    /// 64 connections (a school behind one address), 10 handshakes a second, 8,000 messages a second (125 for each of these
    /// connections, who give inputs 60 times), loopback without a limit.
    fn default() -> Self {
        Self {
            connections_max: 64,
            handshakes_per_second: 10,
            messages_per_second: 8_000,
            counts_loopback: false,
        }
    }
}

/// Whom a server lets in, as it says in its log when it starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LetsIn {
    /// There is no authenticator, and nobody else can connect: guests of this machine.
    GuestsOfThisMachine,
    /// There is no authenticator, and that is meant: guests, wherever they are.
    Guests,
    /// Who has a good token.
    Accounts,
    /// Who has a good token, or none.
    AccountsAndGuests,
}

impl fmt::Display for LetsIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GuestsOfThisMachine => {
                "no keys: clients are guests without accounts, and only those of this machine are let in"
            }
            Self::Guests => "no keys: clients are guests without accounts, and all are let in",
            Self::Accounts => "only clients with a token are let in",
            Self::AccountsAndGuests => "clients with a token are let in, and guests without one",
        })
    }
}

impl AccessConfig {
    /// Whom this lets in, once it has been [checked](AccessConfig::check).
    pub(super) fn lets_in(&self) -> LetsIn {
        match (self.authenticator.is_some(), self.guests) {
            (false, false) => LetsIn::GuestsOfThisMachine,
            (false, true) => LetsIn::Guests,
            (true, false) => LetsIn::Accounts,
            (true, true) => LetsIn::AccountsAndGuests,
        }
    }

    /// Whether clients without a token are let in on this address.
    fn takes_guests(&self, listen: IpAddr) -> bool {
        let is_private = listen.is_loopback() && self.proxies.networks.is_empty();
        self.guests || self.authenticator.is_none() && is_private
    }

    /// Says now what nobody means: a server for everybody that knows nobody.
    pub(super) fn check(&self, listen: SocketAddr) -> io::Result<()> {
        if self.authenticator.is_some() || self.takes_guests(listen.ip()) {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "{listen} can be reached by others, and there is no key to know them by: give one with --auth-key, let anybody in \
                 with --guests, or listen on 127.0.0.1 and trust no proxy"
            ),
        ))
    }
}

/// Finds out who clients are.
#[derive(Clone)]
pub(super) struct Gate {
    authenticator: Option<Arc<dyn Authenticator>>,
    takes_guests: bool,
    clock: Clock,
    /// How long an authenticator may take.
    patience: Duration,
}

impl Gate {
    pub(super) fn new(config: &AccessConfig, listen: IpAddr, clock: Clock, patience: Duration) -> Self {
        let takes_guests = config.takes_guests(listen);
        Self { authenticator: config.authenticator.clone(), takes_guests, clock, patience }
    }

    /// Who somebody without a token is.
    pub(super) fn guest(&self) -> Result<Identity, AuthRefusal> {
        if self.takes_guests { Ok(Identity::default()) } else { Err(AuthRefusal::Missing) }
    }

    /// Whose a token is.
    pub(super) async fn identify(&self, token: &Token, address: IpAddr) -> Result<Identity, AuthRefusal> {
        // Whoever shows a token wants to be known: it is not passed over.
        let authenticator = self.authenticator.as_ref().ok_or(AuthRefusal::UnknownKey)?;
        let asking = ask(authenticator.as_ref(), Credentials { token, address });
        let verified = timeout(self.patience, asking).await.map_err(|_| AuthRefusal::Unavailable)??;
        let from_now = |left: Duration| Micros(u64::try_from(left.as_micros()).unwrap_or(u64::MAX));
        let now = self.clock.now();
        let expires = verified.valid_for.map(|left| Micros(now.0.saturating_add(from_now(left).0)));
        Identity::account(verified.account, expires, verified.permissions, verified.claims)
            .ok()
            .filter(|identity| identity.name().is_some_and(|name| !name.is_empty()))
            .ok_or(AuthRefusal::Claims)
    }
}

/// Asks an authenticator. One that panics could not be asked: nobody else is the worse for it.
async fn ask(
    authenticator: &dyn Authenticator,
    credentials: Credentials<'_>,
) -> Result<Verified, AuthRefusal> {
    let mut asked = None;
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            asked.get_or_insert_with(|| authenticator.authenticate(credentials)).as_mut().poll(cx)
        }));
        polled.unwrap_or(Poll::Ready(Err(AuthRefusal::Unavailable)))
    })
    .await
}

/// A newer token of a peer, checked.
pub(super) type Checked = (PeerId, Result<Identity, AuthRefusal>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knows_nobody_serves_nobody_but_this_machine() {
        let check = |listen: &str, guests| {
            AccessConfig { guests, ..AccessConfig::default() }.check(listen.parse().unwrap())
        };
        assert!(check("127.0.0.1:1", false).is_ok() && check("[::1]:1", false).is_ok());
        assert!(check("0.0.0.0:1", true).is_ok());
        // Whoever has a proxy means others.
        let networks = vec!["127.0.0.1".parse().unwrap()];
        let proxies = TrustedProxies { networks, ..TrustedProxies::default() };
        let behind = |guests| {
            let config = AccessConfig { proxies: proxies.clone(), guests, ..AccessConfig::default() };
            config.check("127.0.0.1:1".parse().unwrap())
        };
        assert!(behind(true).is_ok() && behind(false).is_err());
        for listen in ["0.0.0.0:1", "[::]:1", "192.0.2.7:1"] {
            let words = check(listen, false).unwrap_err().to_string();
            assert!(
                ["--auth-key", "--guests", "127.0.0.1"].iter().all(|word| words.contains(word)),
                "{words}"
            );
        }
    }
}
