//! How many connections, handshakes and messages come from where.
//!
//! Buckets of tokens for each address, and a count of its connections. What is at rest (no connection, a full bucket) is forgotten, so the table
//! is as large as what goes on: at most as many as a full server has connections, and [`KNOCKING_MAX`] more.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tickwire_protocol::Micros;

use super::access::AddressLimits;
use super::http::HttpRefusal;
use super::lock::lock;

/// Addresses without a connection that are counted at once. Some 5 MB.
const KNOCKING_MAX: usize = 64 * 1024;

const SECOND: u64 = 1_000_000;

/// What addresses do.
#[derive(Debug)]
pub(super) struct Addresses {
    limits: AddressLimits,
    entries_max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    entries: BTreeMap<IpAddr, Entry>,
    swept: Micros,
}

#[derive(Debug)]
struct Entry {
    connections: u32,
    /// When the bucket is full again: each handshake moves it on by its share of a second.
    full_at: Micros,
    messages: Arc<MessageBucket>,
}

/// The messages of an address. All of its connections take from it, each in a task of its own, and none waits for a lock.
#[derive(Debug, Default)]
struct MessageBucket {
    /// When it is full again, in microseconds. Further away than a second: it is in debt.
    full_at: AtomicU64,
}

/// A connection, counted for its address until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    addresses: Arc<Addresses>,
    /// None if it is not counted.
    entry: Option<(IpAddr, Arc<MessageBucket>)>,
}

impl MessageBucket {
    /// One comes, of so many a second: how long it has to wait.
    fn take(&self, now: Micros, rate: u32) -> Micros {
        let Some(share) = SECOND.checked_div(u64::from(rate)) else { return Micros::ZERO };
        let moved = |full_at: u64| Some(full_at.max(now.0) + share);
        let (Ok(before) | Err(before)) =
            self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
        Micros((before.max(now.0) + share - now.0).saturating_sub(SECOND))
    }
}

impl Counted {
    /// A message has come: how long it has to wait until its address may say so much.
    pub(super) fn hold_message(&self, now: Micros) -> Micros {
        let rate = self.addresses.limits.messages_per_second;
        self.entry.as_ref().map_or(Micros::ZERO, |(_, messages)| messages.take(now, rate))
    }
}

impl Addresses {
    /// Of a server that takes so many connections.
    pub(super) fn new(limits: AddressLimits, connections_max: usize) -> Arc<Self> {
        let entries_max = connections_max.saturating_add(KNOCKING_MAX);
        Arc::new(Self { limits, entries_max, table: Mutex::default() })
    }

    /// What an address is counted as; nothing if it is not.
    pub(super) fn counted_as(&self, address: IpAddr) -> Option<IpAddr> {
        let address = address.to_canonical();
        (!address.is_loopback() || self.limits.counts_loopback).then(|| network(address))
    }

    /// Counts another connection and its handshake.
    pub(super) fn enter(self: &Arc<Self>, now: Micros, address: IpAddr) -> Result<Counted, HttpRefusal> {
        let AddressLimits { connections_max, handshakes_per_second: rate, .. } = self.limits;
        let Some(key) = self.counted_as(address) else {
            return Ok(Counted { addresses: self.clone(), entry: None });
        };
        let mut table = lock(&self.table);
        table.make_room(now, key, self.entries_max)?;
        let entry = table.entries.entry(key).or_insert_with(|| Entry {
            connections: 0,
            full_at: now,
            messages: Arc::default(),
        });
        if let Some(share) = SECOND.checked_div(u64::from(rate)) {
            // A second's worth of tokens: the bucket is empty when it takes a second to be full.
            let full_at = Micros(entry.full_at.max(now).0 + share);
            if full_at.0 - now.0 > SECOND {
                return Err(HttpRefusal::TooFast);
            }
            entry.full_at = full_at;
        }
        // After the rate, which so bounds also how often this is told.
        if connections_max > 0 && entry.connections >= connections_max {
            return Err(HttpRefusal::TooManyOfAddress { max: connections_max });
        }
        entry.connections += 1;
        let entry = Some((key, entry.messages.clone()));
        Ok(Counted { addresses: self.clone(), entry })
    }
}

impl Table {
    fn make_room(&mut self, now: Micros, key: IpAddr, max: usize) -> Result<(), HttpRefusal> {
        if self.entries.len() < max || self.entries.contains_key(&key) {
            return Ok(());
        }
        // Who is at rest now was not a second ago: to look more often finds little.
        if now.saturating_since(self.swept).0 >= SECOND {
            self.swept = now;
            self.entries.retain(|_, entry| entry.connections > 0 || entry.full_at > now);
        }
        if self.entries.len() < max { Ok(()) } else { Err(HttpRefusal::ServerBusy) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some((key, _)) = &self.entry else { return };
        let mut table = lock(&self.addresses.table);
        if let Some(entry) = table.entries.get_mut(key) {
            entry.connections = entry.connections.saturating_sub(1);
            // An address without a limit on handshakes is at rest at once.
            if entry.connections == 0 && self.addresses.limits.handshakes_per_second == 0 {
                table.entries.remove(key);
            }
        }
    }
}

/// What is counted as one: a customer has a /64 of IPv6, and as many addresses in it as he likes.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections of the server.
    const FULL: usize = 1_000;

    const HERE: &str = "192.0.2.1";

    fn addresses(connections_max: u32, handshakes_per_second: u32) -> Arc<Addresses> {
        let limits = AddressLimits {
            connections_max,
            handshakes_per_second,
            counts_loopback: true,
            ..AddressLimits::default()
        };
        Addresses::new(limits, FULL)
    }

    fn enter(addresses: &Arc<Addresses>, millis: u64, address: &str) -> Result<Counted, HttpRefusal> {
        addresses.enter(Micros::from_millis(millis), address.parse().unwrap())
    }

    #[test]
    fn an_address_has_so_many_connections() {
        let addresses = addresses(2, 0);
        let first = enter(&addresses, 0, HERE).unwrap();
        let _second = enter(&addresses, 0, "::ffff:192.0.2.1").expect("the same, by another name");
        let refused = enter(&addresses, 0, HERE).unwrap_err();
        assert_eq!(refused, HttpRefusal::TooManyOfAddress { max: 2 });
        let _other = enter(&addresses, 0, "192.0.2.2").unwrap();
        drop(first);
        let _third = enter(&addresses, 0, HERE).unwrap();
    }

    #[test]
    fn handshakes_come_at_a_rate() {
        let addresses = addresses(0, 10);
        let count = |millis| (0..30).filter(|_| enter(&addresses, millis, HERE).is_ok()).count();
        assert_eq!([count(0), count(99), count(100), count(150), count(10_000)], [10, 0, 1, 0, 10]);
        assert_eq!(enter(&addresses, 10_000, HERE).unwrap_err(), HttpRefusal::TooFast);
    }

    #[test]
    fn who_has_too_many_is_told_so_at_the_rate_of_handshakes_too() {
        let addresses = addresses(1, 2);
        let _first = enter(&addresses, 0, HERE).unwrap();
        let refusals = [(); 3].map(|()| enter(&addresses, 0, HERE).unwrap_err());
        let too_many = HttpRefusal::TooManyOfAddress { max: 1 };
        assert_eq!(refusals, [too_many, HttpRefusal::TooFast, HttpRefusal::TooFast]);
    }

    #[test]
    fn a_network_counts_as_one_and_loopback_only_where_it_is_to() {
        let addresses = addresses(1, 0);
        let _first = enter(&addresses, 0, "2001:db8::1").unwrap();
        assert!(enter(&addresses, 0, "2001:db8::2:3").is_err());
        assert!(enter(&addresses, 0, "2001:db8:0:1::1").is_ok());
        let limits = AddressLimits { connections_max: 1, ..AddressLimits::default() };
        let addresses = Addresses::new(limits, FULL);
        assert_eq!(addresses.counted_as("::ffff:127.0.0.1".parse().unwrap()), None);
        let _all = [(); 100].map(|()| enter(&addresses, 0, "127.0.0.1").unwrap());
    }

    #[test]
    fn messages_of_an_address_come_at_a_rate_and_wait_in_turn() {
        let limits =
            AddressLimits { messages_per_second: 10, counts_loopback: true, ..AddressLimits::default() };
        let addresses = Addresses::new(limits, FULL);
        let both = [(); 2].map(|()| enter(&addresses, 0, HERE).unwrap());
        let other = enter(&addresses, 0, "192.0.2.2").unwrap();
        let hold = |counted: &Counted, millis| counted.hold_message(Micros::from_millis(millis)).0 / 1_000;
        let waits: Vec<_> = (0..13).map(|count| hold(&both[count % 2], 5_000)).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 200, 300]);
        assert_eq!((hold(&other, 5_000), hold(&both[0], 5_250), hold(&both[1], 7_000)), (0, 150, 0));
        let uncounted = Addresses::new(AddressLimits { messages_per_second: 0, ..limits }, FULL);
        let one = enter(&uncounted, 0, HERE).unwrap();
        assert_eq!([(); 100].map(|()| hold(&one, 0)), [0; 100]);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_who_is_at_rest() {
        let addresses = addresses(0, 1);
        let address = |number: usize| IpAddr::V4((number as u32 + 0x0a00_0000).into());
        for number in 0..FULL + KNOCKING_MAX {
            addresses.enter(Micros(SECOND), address(number)).unwrap();
        }
        let next = |now| addresses.enter(Micros(now), address(FULL + KNOCKING_MAX)).map(drop);
        assert_eq!(next(SECOND + 5), Err(HttpRefusal::ServerBusy));
        assert_eq!(next(2 * SECOND + 10), Ok(()));
        assert_eq!(lock(&addresses.table).entries.len(), 1);
    }
}
