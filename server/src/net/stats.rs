//! What a running server can tell about itself.

use hdrhistogram::Histogram;
use tickwire_protocol::{RoomId, Tick};

use super::meters::Meters;

/// One room, since it was opened.
#[derive(Clone, Debug)]
pub struct RoomStats {
    /// Which.
    pub room: RoomId,
    /// Its name.
    pub name: String,
    /// Its newest tick.
    pub tick: Tick,
    /// Players in it now.
    pub players: u32,
    /// What it has done, and how long that took.
    pub meters: Meters,
}

/// A whole server.
#[derive(Clone, Debug)]
pub struct ServerStats {
    /// Open connections, in a room or on their way.
    pub connections: usize,
    /// Players in all rooms.
    pub players: u32,
    /// Bytes of WebSocket messages received, header and mask included.
    pub bytes_in: u64,
    /// Bytes of WebSocket messages sent, header included.
    pub bytes_out: u64,
    /// Every room that is open.
    pub rooms: Vec<RoomStats>,
    /// The meters of all rooms together, with those that have closed.
    pub total: Meters,
}

impl ServerStats {
    /// The tick times of all rooms together, microseconds.
    pub fn step_micros(&self) -> Histogram<u64> {
        self.total.tick_micros.clone()
    }

    /// The flush times of all rooms together, microseconds.
    pub fn flush_micros(&self) -> Histogram<u64> {
        self.total.flush_micros.clone()
    }

    /// How late the wake-ups for steps came in all rooms together, microseconds.
    pub fn late_micros(&self) -> Histogram<u64> {
        self.total.late_micros.clone()
    }

    /// Steps given up in all rooms.
    pub fn skipped_steps(&self) -> u64 {
        self.total.skipped_steps
    }
}
