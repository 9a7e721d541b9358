//! How a peer is doing, as the server sees it.

use std::ops::AddAssign;

use tickwire_protocol::Micros;

/// What a room knows of how fresh a peer's picture is, and of what holds it back.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PeerStats {
    /// How old the newest state is that its client is known to hold, by its acks: at the client it is younger by the way of the ack.
    /// Nothing before the first ack, and while it is paused.
    pub snapshot_age: Option<Micros>,
    /// Snapshots that were due and gave way to a later one.
    pub skipped: Skipped,
    /// Snapshots that did not tell all that was news: the rest did not fit.
    pub cut: u64,
    /// Snapshot frames that were sent after the newest that was acked.
    pub frames_in_flight: usize,
    /// Their bytes.
    pub bytes_in_flight: u64,
    /// How many bytes may be in flight, by what the link was measured to take.
    pub window_bytes: u64,
    /// How long what is in flight waits on its way, beside the way itself; nothing before the first ack.
    pub queueing: Option<Micros>,
    /// Bytes of snapshots that it may be sent a second; none: as many as its link takes.
    pub budget: Option<u32>,
    /// Whether it is still being told of what it saw first.
    pub is_joining: bool,
}

/// Snapshots that were not sent when they were due, nor before the next was: by why.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Skipped {
    /// The peer's budget was spent.
    pub budget: u64,
    /// Too many bytes were on their way.
    pub in_flight: u64,
    /// Nobody asked for it: the transport did not take it.
    pub transport: u64,
}

impl Skipped {
    /// For whatever reason.
    pub fn total(self) -> u64 {
        self.budget + self.in_flight + self.transport
    }
}

impl AddAssign for Skipped {
    fn add_assign(&mut self, other: Self) {
        self.budget += other.budget;
        self.in_flight += other.in_flight;
        self.transport += other.transport;
    }
}
