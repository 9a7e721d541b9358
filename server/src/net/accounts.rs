//! Which accounts have sessions, in all rooms together.
//!
//! A session counts from its first connection on its way to a room until it is over, connected or absent: its claim ends with its
//! [`Place`](super::place::Place). Nobody has to go before somebody newer is in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use tickwire_protocol::SessionId;
use tickwire_protocol::handshake::{RejectReason, Role};

use super::access::AccountPolicy;
use super::lock::lock;

/// The sessions of all accounts.
#[derive(Debug)]
pub(super) struct Accounts {
    policy: AccountPolicy,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    entries: BTreeMap<String, Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    /// What it is, or what it wants to go on.
    session: Option<SessionId>,
    /// What it is in its room, once it is.
    role: Option<Role>,
}

/// A session of an account, or a connection on its way to one, counted until this is dropped.
pub(super) struct Claim {
    accounts: Arc<Accounts>,
    /// Nothing of a guest.
    account: Option<(String, u64)>,
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

    /// Counts another connection of an account. What has to do with the session that it wants to go on is not counted against it: there
    /// is one of them in the end.
    pub(super) fn claim(
        self: &Arc<Self>,
        account: Option<&str>,
        resumed: Option<SessionId>,
    ) -> Result<Claim, RejectReason> {
        let Some(account) = account else { return Ok(Claim { accounts: self.clone(), account: None }) };
        let mut table = lock(&self.table);
        let max = match self.policy {
            AccountPolicy::Replace => u32::MAX,
            AccountPolicy::Refuse => 1,
            AccountPolicy::Allow(max) => max,
        };
        let sessions = table.sessions(account, resumed);
        if sessions >= max {
            return Err(RejectReason::AccountBusy { sessions, max });
        }
        let number = table.next;
        table.next += 1;
        let entry = Entry { number, session: resumed, role: None };
        table.entries.entry(account.to_owned()).or_default().push(entry);
        Ok(Claim { accounts: self.clone(), account: Some((account.to_owned(), number)) })
    }
}

impl Table {
    /// Sessions of an account, and connections that may become some, without one.
    fn sessions(&self, account: &str, without: Option<SessionId>) -> u32 {
        let entries = self.entries.get(account).into_iter().flatten();
        let counted = entries.filter(|entry| without.is_none() || entry.session != without);
        let distinct: BTreeSet<_> = counted
            .map(|entry| entry.session.map_or((None, entry.number), |session| (Some(session), 0)))
            .collect();
        distinct.len() as u32
    }

    /// Sessions of an account that are in a room, but for one.
    fn others(&self, account: &str, number: u64) -> impl Iterator<Item = (SessionId, Role)> {
        let entries = self.entries.get(account).map(Vec::as_slice).unwrap_or_default();
        let own = entries.iter().find(|entry| entry.number == number).and_then(|entry| entry.session);
        entries
            .iter()
            .filter_map(|entry| Some((entry.session?, entry.role?)))
            .filter(move |other| Some(other.0) != own)
    }
}

impl Claim {
    /// Sessions that are over once this one is let in, and what they are.
    pub(super) fn replaces(&self) -> Vec<(SessionId, Role)> {
        match &self.account {
            Some((account, number)) if self.accounts.policy == AccountPolicy::Replace => {
                lock(&self.accounts.table).others(account, *number).collect()
            }
            _ => Vec::new(),
        }
    }

    /// It has become this session. Those of other rooms that are over because of it; the room has ended its own.
    pub(super) fn settle(&self, session: SessionId, role: Role) -> Vec<SessionId> {
        let Some((account, number)) = &self.account else { return Vec::new() };
        // Locked until the others are known: of two that settle at once, one finds the other and is not found by it.
        let mut table = lock(&self.accounts.table);
        let entries = table.entries.get_mut(account).into_iter().flatten();
        for entry in entries.filter(|entry| entry.number == *number) {
            (entry.session, entry.role) = (Some(session), Some(role));
        }
        if self.accounts.policy != AccountPolicy::Replace {
            return Vec::new();
        }
        let others = table.others(account, *number).map(|(other, _)| other);
        others.filter(|other| other.room() != session.room()).collect()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some((account, number)) = self.account.take() else { return };
        let mut table = lock(&self.accounts.table);
        if let Some(entries) = table.entries.get_mut(&account) {
            entries.retain(|entry| entry.number != number);
            if entries.is_empty() {
                table.entries.remove(&account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::RoomId;

    use super::*;

    fn session(room: u32, number: u32) -> SessionId {
        SessionId::new(RoomId(room), number)
    }

    #[test]
    fn an_account_is_here_as_often_as_it_may_be() {
        let accounts = Accounts::new(AccountPolicy::Allow(2));
        let first = accounts.claim(Some("a"), None).unwrap();
        first.settle(session(1, 7), Role::Player);
        let _second = accounts.claim(Some("a"), None).unwrap();
        let busy = RejectReason::AccountBusy { sessions: 2, max: 2 };
        assert_eq!(accounts.claim(Some("a"), None).unwrap_err(), busy);
        assert_eq!(accounts.claim(Some("a"), Some(session(1, 8))).unwrap_err(), busy);
        // As often as it likes: a room lets one of them go on with it.
        let again =
            [(); 3].map(|()| accounts.claim(Some("a"), Some(session(1, 7))).expect("the same session"));
        assert_eq!(accounts.claim(Some("a"), None).unwrap_err(), busy);
        let _other = accounts.claim(Some("b"), None).unwrap();
        let _guests = [accounts.claim(None, None).unwrap(), accounts.claim(None, None).unwrap()];
        drop(first);
        assert_eq!(accounts.claim(Some("a"), None).unwrap_err(), busy, "they may become one yet");
        drop(again);
        assert!(accounts.claim(Some("a"), None).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_who_has_left_or_was_refused() {
        let accounts = Accounts::new(AccountPolicy::Allow(0));
        assert!(accounts.claim(Some("a"), None).is_err());
        assert!(lock(&accounts.table).entries.is_empty());
        let accounts = Accounts::new(AccountPolicy::Refuse);
        drop(accounts.claim(Some("a"), None).unwrap());
        assert!(lock(&accounts.table).entries.is_empty());
    }

    #[test]
    fn the_newer_takes_the_place_of_the_older_once_it_is_in() {
        let accounts = Accounts::new(AccountPolicy::Replace);
        let claim = || accounts.claim(Some("a"), None).unwrap();
        let (first, second, third) = (claim(), claim(), claim());
        assert_eq!(first.settle(session(1, 1), Role::Player), [], "nobody of before is in");
        assert_eq!(second.replaces(), [(session(1, 1), Role::Player)]);
        assert_eq!(second.settle(session(1, 2), Role::Spectator), [], "the room has seen to it");
        drop(first);
        assert_eq!(third.settle(session(2, 1), Role::Player), [session(1, 2)]);
        let back = accounts.claim(Some("a"), Some(session(2, 1))).unwrap();
        drop(second);
        assert_eq!(back.replaces(), [], "it goes on itself");
        let counted = Accounts::new(AccountPolicy::Refuse);
        let here = counted.claim(Some("a"), None).unwrap();
        here.settle(session(1, 1), Role::Player);
        let again = counted.claim(Some("a"), Some(session(1, 1))).unwrap();
        assert_eq!((again.replaces(), again.settle(session(2, 2), Role::Player)), (Vec::new(), Vec::new()));
    }
}
