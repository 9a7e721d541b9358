//! Tickwire's server.
//!
//! [`core`] is pure: a [`core::Room`] owns an authoritative world, its published history and its peers, and is told
//! the time. `net` (feature `net`) serves rooms over WebSocket on tokio.

#[cfg(feature = "net")]
pub mod auth;
pub mod core;
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "net")]
pub mod net;

pub use tickwire_protocol as protocol;

/// The README's example, compiled and run.
#[cfg(all(doctest, feature = "net"))]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The guide's example, likewise.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guides/interest.md")]
struct InterestGuide;

/// Likewise.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guides/bulk.md")]
struct BulkGuide;

/// Likewise.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guides/bandwidth.md")]
struct BandwidthGuide;
