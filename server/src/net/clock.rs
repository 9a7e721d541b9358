//! The server's time.

use std::time::{Duration, Instant};

use tickwire_protocol::Micros;

/// The server's time: microseconds since its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(super) fn now(self) -> Micros {
        Micros(self.start.elapsed().as_micros() as u64)
    }

    pub(super) fn instant(self, at: Micros) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + Duration::from_micros(at.0))
    }
}
