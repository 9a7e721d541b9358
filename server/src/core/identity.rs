//! Who is at the other end, as the shell's authenticator has found; and newer tokens on live connections.
//!
//! Nothing here checks a token. The shell does, and tells the room; the room decides by its own time who has to go.

use core::fmt;
use std::collections::BTreeMap;

pub use tickwire_protocol::handshake::ENGINE_ACTIONS;
use tickwire_protocol::handshake::{Auth, AuthRefusal, AuthTerms, Permission, RejectReason, Role, Token};
use tickwire_protocol::limits::CLAIMS_BYTES_MAX;
use tickwire_protocol::{DecodeError, Micros, Misbehavior, PlayerId, SessionId};
use tickwire_sim::{Account, Accounts};

/// Tokens that a connection may bring within [`TOKENS_WINDOW`]: each costs a signature.
const TOKENS_MAX: u32 = 8;
const TOKENS_WINDOW: Micros = Micros::from_secs(60);

/// Who a client is. The default is a guest: no account, no end, every permission of the engine's own.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Identity {
    account: Option<AccountTerms>,
}

#[derive(Clone, Eq, PartialEq)]
struct AccountTerms {
    name: String,
    expires: Option<Micros>,
    permissions: Vec<Permission>,
    claims: Vec<u8>,
}

impl Identity {
    /// One without an account.
    pub const fn guest() -> Self {
        Self { account: None }
    }

    /// An account.
    ///
    /// * `expires`: when its token does, on the room's clock.
    /// * `permissions`: what it may do, in any order: an action such as `play`, everywhere, or `action@room`; at most 12 of at most 64 bytes.
    /// * `claims`: what the game's server code is told of it, at most 4 KiB.
    ///
    /// # Errors
    /// One of them breaks its limit.
    pub fn account(
        name: String,
        expires: Option<Micros>,
        mut permissions: Vec<Permission>,
        claims: Vec<u8>,
    ) -> Result<Self, DecodeError> {
        permissions.sort();
        permissions.dedup();
        if claims.len() > CLAIMS_BYTES_MAX {
            let (value, limit) = (claims.len() as u64, CLAIMS_BYTES_MAX as u64);
            return Err(DecodeError::TooLarge { what: "claims", value, limit });
        }
        let terms = AuthTerms { account: name, expires_in: None, permissions };
        terms.check()?;
        let AuthTerms { account: name, permissions, .. } = terms;
        Ok(Self { account: Some(AccountTerms { name, expires, permissions, claims }) })
    }

    /// The account's name; none of a guest.
    pub fn name(&self) -> Option<&str> {
        Some(&self.account.as_ref()?.name)
    }

    /// What the game is told of its account.
    pub(crate) fn account_told(&self) -> Option<Account<'_>> {
        let account = self.account.as_ref()?;
        Some(Account { name: &account.name, claims: &account.claims })
    }

    /// When its token expires.
    pub(crate) fn expires(&self) -> Option<Micros> {
        self.account.as_ref()?.expires
    }

    /// Whether it may do this in the room of this name. A guest may do [what the engine asks for](ENGINE_ACTIONS), and nothing else.
    pub fn may(&self, action: &str, room: &str) -> bool {
        let Some(account) = &self.account else { return ENGINE_ACTIONS.contains(&action) };
        account.permissions.iter().any(|permission| permission.allows(action, room))
    }

    /// Whether it may be in the room of this name, in this role.
    ///
    /// # Errors
    /// [`RejectReason::Forbidden`], with what it lacks.
    pub fn check_role(&self, role: Role, room: &str) -> Result<(), RejectReason> {
        let [play, watch, _] = ENGINE_ACTIONS;
        let action = if role == Role::Player { play } else { watch };
        if self.may(action, room) {
            Ok(())
        } else {
            Err(RejectReason::Forbidden { action: action.to_owned() })
        }
    }

    /// What its client is told.
    pub(crate) fn terms(&self, now: Micros) -> Option<AuthTerms> {
        let account = self.account.as_ref()?;
        Some(AuthTerms {
            account: account.name.clone(),
            expires_in: account.expires.map(|expires| expires.saturating_since(now)),
            permissions: account.permissions.clone(),
        })
    }
}

/// Without claims: they are nobody's business but the game's.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.account {
            Some(account) => f
                .debug_struct("Identity")
                .field("name", &account.name)
                .field("expires", &account.expires)
                .field("permissions", &account.permissions)
                .finish_non_exhaustive(),
            None => f.write_str("Guest"),
        }
    }
}

/// The accounts of a room's players while it steps.
#[derive(Debug)]
pub(crate) struct RoomAccounts<'a> {
    pub(crate) room: &'a str,
    pub(crate) players: &'a BTreeMap<PlayerId, SessionId>,
    pub(crate) identities: &'a BTreeMap<SessionId, Identity>,
}

impl RoomAccounts<'_> {
    fn identity(&self, player: PlayerId) -> Option<&Identity> {
        self.identities.get(self.players.get(&player)?)
    }
}

impl Accounts for RoomAccounts<'_> {
    fn account(&self, player: PlayerId) -> Option<Account<'_>> {
        self.identity(player)?.account_told()
    }

    fn may(&self, player: PlayerId, action: &str) -> bool {
        self.identity(player).is_some_and(|identity| identity.may(action, self.room))
    }
}

/// The token of one connection: when it expires, and the newer one that may be on its way.
#[derive(Debug, Default)]
pub(crate) struct Renewal {
    expires: Option<Micros>,
    /// Came, and was not handed out to be checked.
    came: Option<Token>,
    /// Is being checked.
    is_asked: bool,
    answer: Option<Auth>,
    /// Tokens that came since then.
    count: u32,
    since: Micros,
}

impl Renewal {
    pub(crate) fn new(identity: &Identity) -> Self {
        Self { expires: identity.expires(), ..Self::default() }
    }

    /// Takes a newer token in.
    pub(crate) fn handle_frame(
        &mut self,
        now: Micros,
        payload: &[u8],
    ) -> Result<(), tickwire_protocol::PeerFault> {
        let Auth::Token(token) = Auth::decode(payload)? else {
            return Err(Misbehavior::UnexpectedFrame(tickwire_protocol::FrameType::Auth as u8).into());
        };
        if now.saturating_since(self.since) > TOKENS_WINDOW {
            (self.count, self.since) = (0, now);
        }
        self.count += 1;
        if self.count > TOKENS_MAX || self.is_asked || self.came.is_some() || self.answer.is_some() {
            return Err(Misbehavior::TooManyTokens(TOKENS_MAX).into());
        }
        self.came = Some(token);
        Ok(())
    }

    /// Whether one is to be checked.
    pub(crate) fn has_come(&self) -> bool {
        self.came.is_some()
    }

    /// The token that is to be checked, once.
    pub(crate) fn take(&mut self) -> Option<Token> {
        self.is_asked |= self.came.is_some();
        self.came.take()
    }

    /// What was found of it.
    pub(crate) fn handle_checked(&mut self, now: Micros, found: Result<&Identity, AuthRefusal>) {
        self.is_asked = false;
        self.answer = Some(match found {
            Ok(identity) => {
                self.expires = identity.expires();
                Auth::Granted(identity.terms(now).unwrap_or_default())
            }
            Err(refusal) => Auth::Refused(refusal),
        });
    }

    pub(crate) fn is_expired(&self, now: Micros) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }

    pub(crate) fn has_transmit(&self) -> bool {
        self.answer.is_some()
    }

    pub(crate) fn poll_transmit(&mut self, out: &mut Vec<u8>) {
        if let Some(answer) = self.answer.take() {
            answer.encode(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(permissions: &[&str]) -> Result<Identity, DecodeError> {
        let permissions = permissions.iter().map(|name| Permission((*name).to_owned())).collect();
        Identity::account("alice".to_owned(), Some(Micros(70)), permissions, b"{}".to_vec())
    }

    #[test]
    fn permissions_are_for_everywhere_or_for_one_room() {
        let alice = with(&["watch", "play@lobby", "play@lobby"]).unwrap();
        assert!(alice.may("watch", "duel") && alice.may("play", "lobby"));
        assert!(
            !alice.may("play", "duel") && !alice.may("play@lobby", "lobby") && !alice.may("kick", "lobby")
        );
        let guest = Identity::default();
        assert!(guest.may("play", "duel") && guest.may("watch", "duel") && !guest.may("kick", "duel"));
        assert_eq!((alice.name(), guest.name()), (Some("alice"), None));
        let terms = alice.terms(Micros(50)).unwrap();
        assert_eq!((terms.expires_in, terms.permissions.len()), (Some(Micros(20)), 2));
    }

    #[test]
    fn what_breaks_a_limit_is_no_identity_and_claims_are_not_printed() {
        assert!(with(&[""]).is_err());
        assert!(with(&["x".repeat(65).as_str()]).is_err());
        let many: Vec<_> = (0..13).map(|number| number.to_string()).collect();
        assert!(with(&many.iter().map(String::as_str).collect::<Vec<_>>()).is_err());
        assert!(Identity::account("a\n".to_owned(), None, Vec::new(), Vec::new()).is_err());
        let large = vec![0; CLAIMS_BYTES_MAX + 1];
        assert!(Identity::account("a".to_owned(), None, Vec::new(), large).is_err());
        let told = Identity::account("a".to_owned(), None, Vec::new(), b"secret".to_vec()).unwrap();
        assert_eq!(format!("{told:?}"), "Identity { name: \"a\", expires: None, permissions: [], .. }");
    }

    #[test]
    fn one_token_at_a_time_and_eight_a_minute() {
        let mut frame = Vec::new();
        Auth::Token(Token::new("a.b.c").unwrap()).encode(&mut frame);
        let payload = &frame[2..];
        let alice = with(&["play"]).unwrap();
        let mut renewal = Renewal::new(&alice);
        assert!(!renewal.is_expired(Micros(69)) && renewal.is_expired(Micros(70)));
        let second = Micros::from_secs;
        for count in 0..u64::from(TOKENS_MAX) {
            renewal.handle_frame(second(count), payload).unwrap();
            assert!(renewal.take().is_some() && renewal.take().is_none());
            renewal.handle_checked(second(count), Err(AuthRefusal::Expired));
            let mut out = Vec::new();
            assert!(renewal.has_transmit());
            renewal.poll_transmit(&mut out);
            assert_eq!(out, [2, 12, 2, 5]);
        }
        assert!(renewal.is_expired(Micros(70)), "what is refused changes nothing");
        let flood = Err(Misbehavior::TooManyTokens(TOKENS_MAX).into());
        assert_eq!(renewal.handle_frame(second(60), payload), flood);
        renewal.handle_frame(second(70), payload).unwrap();
        assert_eq!(renewal.handle_frame(second(71), payload), flood, "the one before is being checked");
        renewal.handle_checked(second(71), Ok(&Identity::default()));
        assert!(!renewal.is_expired(second(1_000)));
    }
}
