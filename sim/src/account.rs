//! Who is behind a player.

use core::fmt;

use tickwire_protocol::PlayerId;

/// What the server's authenticator says of the one behind a player.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Account<'a> {
    /// The account's name, at most 64 bytes: the same for every session of it.
    pub name: &'a str,
    /// What else the token claims, as the authenticator gives it, at most 4 KiB: of a JWT its claims as JSON.
    pub claims: &'a [u8],
}

/// Without the claims, which nobody expects in a log.
impl fmt::Debug for Account<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Knows the accounts of players: a server's room does; a client's predictions do not.
///
/// A step asks through [`StepContext::account`](crate::StepContext::account) and [`StepContext::may`](crate::StepContext::may).
pub trait Accounts: fmt::Debug {
    /// Who is behind a player; nothing for a guest, or if nobody knows.
    fn account(&self, player: PlayerId) -> Option<Account<'_>>;

    /// Whether the account of a player may do this here.
    fn may(&self, player: PlayerId, action: &str) -> bool;
}
