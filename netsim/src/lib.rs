//! A deterministic network in virtual time, for tests and for the lab.
//!
//! ```text
//!  send ──> bottleneck ──> weather of that millisecond ──> in flight ──> receive
//!           rate, drop-tail   loss, hold, base, jitter,      by arrival    at `now_micros`
//!           queue             reorder, duplicate             time
//! ```
//!
//! **It decides** when, and whether, what is sent over a link arrives: as separate datagrams
//! ([`DatagramLink`]) or as an ordered stream of whole messages with TCP's stalls ([`OrderedLink`]). A link
//! is a [`Profile`] plus a seed, a link number and a [`Direction`].
//!
//! **Invariants.** Time is an argument, in microseconds, and never goes back. The [`Weather`] is a function
//! of seed, link, direction and 1 ms slot, never of what was sent or asked: a policy that sends more meets
//! the same weather. No count or order of polls changes what arrives or when. Results are bit-identical on
//! every target. A datagram meets the weather of the slot in which it leaves the bottleneck, so two that
//! leave in one slot share their fate. *Held by* `tests/determinism.rs`.
//!
//! **It does not** read a clock, start a thread or open a socket. It models no congestion window, handshake,
//! acknowledgement loss or competing traffic, and counts no IP, UDP or TCP headers: sizes are what the caller
//! says. In-flight payloads wait until they are received; only the ordered link refuses (its send buffer is
//! 64 KiB).
//!
//! ```
//! use tickwire_netsim::{Duplex, Profile};
//!
//! let profile = Profile::named("cable").expect("a built-in profile");
//! let mut duplex = Duplex::datagram(profile, 7, 0);
//! duplex.up.send(0, 100, "input");
//! let arrival_micros = duplex.up.next_arrival().expect("not lost with this seed");
//! assert_eq!(duplex.up.receive(arrival_micros), Some((arrival_micros, "input")));
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod bottleneck;
mod datagram;
mod duplex;
mod ordered;
mod profile;
mod rng;
mod spells;
mod weather;

pub use datagram::{DatagramCounters, DatagramLink};
pub use duplex::Duplex;
pub use ordered::{OrderedCounters, OrderedLink, SEGMENT_BYTES, SEND_BUFFER_BYTES};
pub use profile::{Direction, Profile};
pub use weather::{Conditions, SLOT_MICROS, Weather};
