//! The lab: a whole server and whole clients over simulated links, in virtual time.
//!
//! ```text
//!  bot ──input──> client core ──> netsim up ──> room ──> netsim down ──> client core ──view──> figures
//!                 its own clock                  true time                120 pictures a second    ^
//!                                                  └── every tick's positions: the truth ──────────┘
//! ```
//!
//! **It decides** nothing about motion: it runs the cores that real servers and clients run, and compares what was shown with
//! what was so. The room's clock is the true one; each client has a clock of its own that drifts and jumps once.
//!
//! **Invariants.** No socket, no waiting, no clock but the virtual one; the same configuration and seed give the same bytes
//! and the same figures. *Held by* `tests/lab.rs`. The bots look at the newest state that they were told, not at what is
//! shown, and the links' weather does not depend on traffic: so with every interpolation policy the same snapshots arrive at
//! the same instants, and policies can be compared run by run.
//!
//! ```
//! use tickwire_lab::{LabConfig, Policy, run};
//! use tickwire_netsim::Profile;
//! use tickwire_protocol::StreamKind;
//!
//! let config = LabConfig {
//!     profile: &Profile::WIFI,
//!     stream: StreamKind::Datagram,
//!     players: 2,
//!     seconds: 8,
//!     policy: Policy::Adaptive,
//!     is_peaceful: false,
//! };
//! let report = run(&config, 1).report();
//! assert!(report.view_delay_ms.p50 > 10.0, "light is faster than wifi");
//! ```

mod chaos;
mod config;
mod distribution;
mod figures;
#[doc(hidden)]
pub mod fuzzing;
mod greeting;
mod liar;
mod link;
mod local_clock;
mod mirror;
mod motion;
mod own;
mod player;
mod report;
mod run;
mod shots;
mod truth;

pub use chaos::{ChaosReport, run_chaos};
pub use config::{FIXED_DELAY_MS_MAX, FRAME_HZ, LabConfig, Policy, SNAPSHOT_HZ, TICK_HZ, stream_name};
pub use distribution::{Distribution, Summary};
pub use figures::{BytesReport, Classes, FigureReport, Figures, RateSummary};
pub use liar::{Duel, Hits, Lie};
pub use report::{Hindsight, Report, Worst};
pub use run::{run, run_with_liar};
pub use tickwire_netsim::Profile;
