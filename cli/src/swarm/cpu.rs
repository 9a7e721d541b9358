//! CPU time, user and system.

use rustix::time::{ClockId, clock_gettime};

/// Of this process, seconds.
pub(super) fn process_seconds() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

/// Of this thread, seconds.
pub(super) fn thread_seconds() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
