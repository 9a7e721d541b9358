//! What a running server can tell about itself.

use hdrhistogram::Histogram;
use tickwire_protocol::{RoomId, Tick};

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
    /// Steps made.
    pub steps: u64,
    /// Steps given up because the room was too far behind.
    pub skipped_steps: u64,
    /// Wall time of each step with its publishing, microseconds.
    pub step_micros: Histogram<u64>,
    /// How late each wake-up for a step came, microseconds.
    pub late_micros: Histogram<u64>,
    /// Wall time of encoding for all peers after a step, microseconds.
    pub flush_micros: Histogram<u64>,
    /// Transport messages handed to connections.
    pub messages_sent: u64,
    /// Times that a peer skipped a snapshot because its connection was still writing the one before.
    pub snapshots_skipped: u64,
    /// Peers closed for a fault.
    pub faults: u64,
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
    /// Every room.
    pub rooms: Vec<RoomStats>,
}

impl ServerStats {
    /// The step times of all rooms together, microseconds.
    pub fn step_micros(&self) -> Histogram<u64> {
        self.merged(|room| &room.step_micros)
    }

    /// The flush times of all rooms together, microseconds.
    pub fn flush_micros(&self) -> Histogram<u64> {
        self.merged(|room| &room.flush_micros)
    }

    /// How late the wake-ups for steps came in all rooms together, microseconds.
    pub fn late_micros(&self) -> Histogram<u64> {
        self.merged(|room| &room.late_micros)
    }

    fn merged(&self, of: fn(&RoomStats) -> &Histogram<u64>) -> Histogram<u64> {
        let mut all = empty_histogram();
        for room in &self.rooms {
            // Same range and precision everywhere, so this cannot fail.
            let _ = all.add(of(room));
        }
        all
    }

    /// Steps given up in all rooms.
    pub fn skipped_steps(&self) -> u64 {
        self.rooms.iter().map(|room| room.skipped_steps).sum()
    }
}

/// 1 microsecond to 10 seconds, two digits: 20 KB a histogram.
pub(super) fn empty_histogram() -> Histogram<u64> {
    #[expect(clippy::unwrap_used, reason = "the bounds are constants that hdrhistogram takes")]
    Histogram::new_with_bounds(1, 10_000_000, 2).unwrap()
}
