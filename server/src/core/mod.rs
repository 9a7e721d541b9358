//! The pure server: rooms, peers, and what each peer is sent. No socket, no clock, no thread.

mod absence;
mod admission;
mod belief;
mod broadcast;
mod budget;
mod bulk;
mod cohort;
mod cue_log;
mod directory;
mod ears;
mod flight;
mod gate;
mod grid;
mod groups;
mod identity;
mod input_queue;
mod input_rate;
mod interest;
mod knowledge;
mod mail;
mod match_state;
mod members;
mod message_window;
mod news;
mod outcomes;
mod packer;
mod peer;
mod peer_stats;
mod priority;
mod recording;
mod replicator;
mod rewind;
mod room;
mod row_set;
mod scene;
mod schedule;
mod session;
mod shared;
mod sightings;
mod spares;
mod tick_ring;
mod tick_set;
mod turn;
mod view;
mod viewer;

pub use absence::Absence;
pub use admission::admit;
pub use belief::ViewCounters;
pub use broadcast::{Broadcast, BroadcastError, Reach};
pub use directory::{Applicant, Directory, DirectoryConfig, Placement, RoomOpening};
pub use identity::{ENGINE_ACTIONS, Identity};
pub use input_queue::InputCounters;
pub use interest::{Interest, InterestRule, Looker};
pub use peer_stats::{PeerStats, Skipped};
pub use priority::{Priority, PriorityRule};
pub use room::{
    BUDGET_BYTES_PER_SECOND, JOIN_BYTES_PER_SECOND, Join, Room, RoomConfig, RoomEvent, RoomIdentity,
    StepReport, schema_welcome,
};
pub use schedule::{CATCH_UP_STEPS_MAX, Due, Schedule};
