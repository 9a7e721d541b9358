//! Which accounts are connected, in all rooms together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use tickwire_protocol::handshake::RejectReason;
use tickwire_protocol::{PeerFault, SessionId};
use tokio::sync::oneshot;

use super::access::AccountPolicy;
use super::room_task::lock;

/// The connections of all accounts.
#[derive(Debug)]
pub(super) struct Accounts {
    policy: AccountPolicy,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    connections: BTreeMap<String, Vec<Connected>>,
}

#[derive(Debug)]
struct Connected {
    number: u64,
    /// What it is in a room, once it is.
    session: Option<SessionId>,
    /// Falls when it has to go.
    _stay: oneshot::Sender<()>,
}

/// A connection of an account, counted until this is dropped.
pub(super) struct Claim {
    accounts: Arc<Accounts>,
    /// None for a guest.
    account: Option<(String, u64, oneshot::Receiver<()>)>,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}

impl Accounts {
    pub(super) fn new(policy: AccountPolicy) -> Arc<Self> {
        Arc::new(Self { policy, table: Mutex::default() })
    }

    /// Counts another connection of an account. That of the session that is to go on is not counted against it: if the room agrees,
    /// it is dropped.
    pub(super) fn claim(
        self: &Arc<Self>,
        account: Option<&str>,
        resumed: Option<SessionId>,
    ) -> Result<Claim, RejectReason> {
        let Some(account) = account else { return Ok(Claim { accounts: self.clone(), account: None }) };
        let mut table = lock(&self.table);
        let others = table.connections.entry(account.to_owned()).or_default();
        let counted = |other: &Connected| resumed.is_none() || other.session != resumed;
        let sessions = others.iter().filter(|other| counted(other)).count() as u32;
        let max = match self.policy {
            AccountPolicy::Replace => {
                others.retain(|other| !counted(other));
                u32::MAX
            }
            AccountPolicy::Refuse => 1,
            AccountPolicy::Allow(max) => max,
        };
        if sessions >= max {
            // Without the entry that the look at it may have made.
            table.connections.retain(|_, others| !others.is_empty());
            return Err(RejectReason::AccountBusy { sessions, max });
        }
        let number = table.next;
        table.next += 1;
        let (stay, gone) = oneshot::channel();
        let connected = Connected { number, session: None, _stay: stay };
        table.connections.entry(account.to_owned()).or_default().push(connected);
        Ok(Claim { accounts: self.clone(), account: Some((account.to_owned(), number, gone)) })
    }
}

impl Claim {
    /// It has become this session.
    pub(super) fn set_session(&self, session: SessionId) {
        let Some((account, number, _)) = &self.account else { return };
        let mut table = lock(&self.accounts.table);
        let others = table.connections.get_mut(account).into_iter().flatten();
        others.filter(|other| other.number == *number).for_each(|other| other.session = Some(session));
    }

    /// Ends when a newer connection of the account has taken its place.
    pub(super) async fn replaced(&mut self) -> PeerFault {
        match &mut self.account {
            Some((_, _, gone)) => {
                let _ = gone.await;
                PeerFault::Replaced
            }
            None => std::future::pending().await,
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some((account, number, _)) = self.account.take() else { return };
        let mut table = lock(&self.accounts.table);
        if let Some(others) = table.connections.get_mut(&account) {
            others.retain(|other| other.number != number);
            if others.is_empty() {
                table.connections.remove(&account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_here_as_often_as_it_may_be() {
        let accounts = Accounts::new(AccountPolicy::Allow(2));
        let first = accounts.claim(Some("a"), None).unwrap();
        first.set_session(SessionId(7));
        let _second = accounts.claim(Some("a"), None).unwrap();
        let busy = RejectReason::AccountBusy { sessions: 2, max: 2 };
        assert_eq!(accounts.claim(Some("a"), None).unwrap_err(), busy);
        assert_eq!(accounts.claim(Some("a"), Some(SessionId(8))).unwrap_err(), busy);
        let _again = accounts.claim(Some("a"), Some(SessionId(7))).expect("the session goes on elsewhere");
        let _other = accounts.claim(Some("b"), None).unwrap();
        let _guests = [accounts.claim(None, None).unwrap(), accounts.claim(None, None).unwrap()];
        drop(first);
        assert_eq!(accounts.claim(Some("a"), None).unwrap_err(), busy);
    }

    #[test]
    fn nothing_is_kept_of_who_has_left_or_was_refused() {
        let accounts = Accounts::new(AccountPolicy::Allow(0));
        assert!(accounts.claim(Some("a"), None).is_err());
        assert!(lock(&accounts.table).connections.is_empty());
        let accounts = Accounts::new(AccountPolicy::Refuse);
        drop(accounts.claim(Some("a"), None).unwrap());
        assert!(lock(&accounts.table).connections.is_empty());
    }

    #[tokio::test]
    async fn the_newer_takes_the_place_of_the_older() {
        let accounts = Accounts::new(AccountPolicy::Replace);
        let mut first = accounts.claim(Some("a"), None).unwrap();
        let second = accounts.claim(Some("a"), None).unwrap();
        assert_eq!(first.replaced().await, PeerFault::Replaced);
        drop(first);
        second.set_session(SessionId(1));
        assert_eq!(lock(&accounts.table).connections["a"].len(), 1, "the older leaves nothing behind");
        let mut third = accounts.claim(Some("a"), Some(SessionId(1))).unwrap();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::pin::pin!(third.replaced()).poll(&mut context).is_pending());
        assert_eq!(lock(&accounts.table).connections["a"].len(), 2, "the room decides which of them stays");
    }
}
