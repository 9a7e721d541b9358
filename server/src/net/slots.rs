//! Who takes up room at the door. **A connection's slot is for those only who are counted for their address**, so that nobody fills a
//! server from one: whoever says nothing does so in slots that his address has.
//!
//! | | slots | for so long |
//! |---|---|---|
//! | counted for its address | [`connections_max`](super::ServerConfig::connections_max) | until the connection ends; before the hello the handshake timeout |
//! | of a trusted proxy, its client not known yet | [`INTRODUCTIONS_MAX`] | [`INTRODUCTION_TIME`] |
//! | refused, for its address or because the server is full | [`FAREWELLS_MAX`] each | [`FAREWELL_TIME`] |
//!
//! For whom none of it is left the socket is closed without a word.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tickwire_protocol::Micros;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Duration;

use super::access::AddressLimits;
use super::addresses::{Addresses, Counted};
use super::http::HttpRefusal;

/// Connections of trusted proxies that have not said yet for whom they are: a storm of joins, of which each takes milliseconds.
const INTRODUCTIONS_MAX: usize = 1024;

/// How long a trusted proxy may take to say for whom it comes. It knows that when it connects; what is lost on the way comes again
/// after a second, or after three.
pub(super) const INTRODUCTION_TIME: Duration = Duration::from_millis(3_500);

/// Connections that are told at once why there is no slot for them.
const FAREWELLS_MAX: usize = 64;

/// How long telling it may take: a handshake and a request over a slow link.
pub(super) const FAREWELL_TIME: Duration = Duration::from_secs(2);

/// The slots of a server.
#[derive(Debug)]
pub(super) struct Slots {
    addresses: Arc<Addresses>,
    max: usize,
    connections: Arc<Semaphore>,
    /// The last who came found no slot.
    is_full: AtomicBool,
    introductions: Arc<Semaphore>,
    /// For those who are too many of their address, and for those whom the server is too full for: a flood from one address
    /// leaves the others their answer.
    farewells: [Arc<Semaphore>; 2],
}

/// What somebody who has connected may do.
#[derive(Debug)]
pub(super) enum Standing {
    Known(Result<Slot, Farewell>),
    /// A trusted proxy, whose client is not known yet.
    Unknown(Introduction),
}

/// A connection, counted in all and for its address, until this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) address: IpAddr,
    counted: Counted,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    /// A message has come: how long it has to wait until its address may say so much.
    pub(super) fn hold_message(&self, now: Micros) -> Micros {
        self.counted.hold_message(now)
    }
}

/// The right to say for whom a connection is.
#[derive(Debug)]
pub(super) struct Introduction {
    _permit: OwnedSemaphorePermit,
}

/// The right to be told why not.
#[derive(Debug)]
pub(super) struct Farewell {
    pub(super) refusal: HttpRefusal,
    /// Whoever hears that the server is full counts for his address meanwhile.
    _counted: Option<Counted>,
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    /// As many as this for connections, and of them what an address may have.
    pub(super) fn new(connections_max: usize, limits: AddressLimits) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits));
        let max = connections_max.min(Semaphore::MAX_PERMITS);
        Self {
            addresses: Addresses::new(limits, max),
            max,
            connections: semaphore(max),
            is_full: AtomicBool::new(false),
            introductions: semaphore(INTRODUCTIONS_MAX),
            farewells: [(); 2].map(|()| semaphore(FAREWELLS_MAX)),
        }
    }

    /// Connections that have a slot.
    pub(super) fn taken(&self) -> usize {
        self.max - self.connections.available_permits()
    }

    /// What an address is counted as; nothing if it is not.
    pub(super) fn counted_as(&self, address: IpAddr) -> Option<IpAddr> {
        self.addresses.counted_as(address)
    }

    /// For a proxy that will say where its client is. Nothing if there are too many of them.
    pub(super) fn introduce(&self) -> Option<Introduction> {
        Some(Introduction { _permit: self.introductions.clone().try_acquire_owned().ok()? })
    }

    /// For somebody from this address. Nothing if there are too many already who are told that there is no slot.
    pub(super) fn enter(&self, now: Micros, address: IpAddr) -> Option<Result<Slot, Farewell>> {
        let [of_address, of_server] = &self.farewells;
        let counted = match self.addresses.enter(now, address) {
            Ok(counted) => counted,
            Err(refusal) => return Farewell::new(of_address, refusal, None).map(Err),
        };
        let permit = self.connections.clone().try_acquire_owned();
        if !self.is_full.swap(permit.is_err(), Ordering::Relaxed) && permit.is_err() {
            tracing::warn!(self.max, "too many connections: others are refused until one ends");
        }
        match permit {
            Ok(permit) => Some(Ok(Slot { address, counted, _permit: permit })),
            Err(_) => {
                Farewell::new(of_server, HttpRefusal::ServerFull { max: self.max }, Some(counted)).map(Err)
            }
        }
    }
}

impl Farewell {
    fn new(from: &Arc<Semaphore>, refusal: HttpRefusal, counted: Option<Counted>) -> Option<Self> {
        let permit = from.clone().try_acquire_owned().ok()?;
        Some(Self { refusal, _counted: counted, _permit: permit })
    }
}
