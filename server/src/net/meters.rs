//! What a room's task measures of itself.

use std::ops::AddAssign;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::core::Skipped;

/// What was counted and timed of one room since it was opened, or of many.
///
/// A *tick* is what one wake-up does, from taking messages out of the inbox until what was stepped is published; usually
/// that is one step. Its *flush* is what follows, until the last peer's bytes are in the kernel: encoding is in there.
#[derive(Clone, Debug)]
pub struct Meters {
    /// Steps made.
    pub steps: u64,
    /// Steps given up because the room was too far behind.
    pub skipped_steps: u64,
    /// Ticks whose flush was not done when the next tick was due.
    pub late_ticks: u64,
    /// Wall time of ticks, microseconds.
    pub tick_micros: Histogram<u64>,
    /// CPU time of ticks, of the thread that ran them, microseconds. Empty where the system does not tell it.
    pub tick_cpu_micros: Histogram<u64>,
    /// Wall time of the flushes in which anything was written, microseconds.
    pub flush_micros: Histogram<u64>,
    /// CPU time of the same, microseconds.
    pub flush_cpu_micros: Histogram<u64>,
    /// How late each wake-up for a step came, microseconds.
    pub late_micros: Histogram<u64>,
    /// Transport messages taken in.
    pub messages_received: u64,
    /// Transport messages written.
    pub messages_sent: u64,
    /// Their bytes taken in, WebSocket header and mask included.
    pub bytes_in: u64,
    /// Their bytes written, WebSocket header included.
    pub bytes_out: u64,
    /// How old the newest state was that a client was known to hold, microseconds: of one peer of the room just behind each tick's flush.
    pub snapshot_age_micros: Histogram<u64>,
    /// Snapshots that were due and gave way to later ones.
    pub snapshots_skipped: Skipped,
    /// Messages said in other rooms or by the server's owner that a session here was to get and did not take: too much waited for it.
    pub broadcasts_missed: u64,
    /// Peers closed for a fault.
    pub faults: u64,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            steps: 0,
            skipped_steps: 0,
            late_ticks: 0,
            tick_micros: empty_histogram(),
            tick_cpu_micros: empty_histogram(),
            flush_micros: empty_histogram(),
            flush_cpu_micros: empty_histogram(),
            late_micros: empty_histogram(),
            messages_received: 0,
            messages_sent: 0,
            bytes_in: 0,
            bytes_out: 0,
            snapshot_age_micros: empty_histogram(),
            snapshots_skipped: Skipped::default(),
            broadcasts_missed: 0,
            faults: 0,
        }
    }
}

impl AddAssign<&Meters> for Meters {
    fn add_assign(&mut self, other: &Self) {
        let histograms = [
            (&mut self.tick_micros, &other.tick_micros),
            (&mut self.tick_cpu_micros, &other.tick_cpu_micros),
            (&mut self.flush_micros, &other.flush_micros),
            (&mut self.flush_cpu_micros, &other.flush_cpu_micros),
            (&mut self.late_micros, &other.late_micros),
            (&mut self.snapshot_age_micros, &other.snapshot_age_micros),
        ];
        for (sum, part) in histograms {
            // The sum grows to the range of its part, so this cannot fail.
            let _ = sum.add(part);
        }
        self.steps += other.steps;
        self.skipped_steps += other.skipped_steps;
        self.late_ticks += other.late_ticks;
        self.messages_received += other.messages_received;
        self.messages_sent += other.messages_sent;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.snapshots_skipped += other.snapshots_skipped;
        self.broadcasts_missed += other.broadcasts_missed;
        self.faults += other.faults;
    }
}

/// Wall and CPU time of a piece of work that stays on its thread.
pub(super) struct Stopwatch {
    wall: Instant,
    cpu: Option<Duration>,
}

/// How long something took.
#[derive(Clone, Copy)]
pub(super) struct Spent {
    wall: Duration,
    cpu: Option<Duration>,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { wall: Instant::now(), cpu: thread_cpu() }
    }

    /// The time since the start or the last lap.
    pub(super) fn lap(&mut self) -> Spent {
        let now = Self::start();
        let cpu = now.cpu.zip(self.cpu).map(|(now, then)| now.saturating_sub(then));
        let spent = Spent { wall: now.wall - self.wall, cpu };
        *self = now;
        spent
    }
}

impl Spent {
    pub(super) fn record(self, wall: &mut Histogram<u64>, cpu: &mut Histogram<u64>) {
        record(wall, self.wall);
        self.cpu.into_iter().for_each(|spent| record(cpu, spent));
    }
}

/// What takes longer counts as this, microseconds.
const MICROS_MAX: u64 = 10_000_000;

pub(super) fn record(histogram: &mut Histogram<u64>, spent: Duration) {
    // It grows for any of these.
    let _ = histogram.record((spent.as_micros() as u64).clamp(1, MICROS_MAX));
}

/// Two digits. It takes 2 KB, and grows to the largest value: 4 KB for a millisecond, 20 KB for 10 s.
fn empty_histogram() -> Histogram<u64> {
    #[expect(clippy::unwrap_used, reason = "hdrhistogram takes two digits")]
    Histogram::new(2).unwrap()
}

/// CPU time of this thread, user and system.
#[cfg(unix)]
fn thread_cpu() -> Option<Duration> {
    rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).try_into().ok()
}

/// Unknown here.
#[cfg(not(unix))]
fn thread_cpu() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meters_of_rooms_add_up() {
        let snapshots_skipped = Skipped { budget: 1, in_flight: 2, transport: 3 };
        let mut one = Meters { steps: 2, bytes_out: 10, snapshots_skipped, ..Meters::default() };
        record(&mut one.tick_micros, Duration::from_micros(70));
        record(&mut one.snapshot_age_micros, Duration::from_micros(90));
        let mut sum = Meters { steps: 3, faults: 1, ..Meters::default() };
        sum += &one;
        sum += &one;
        assert_eq!((sum.steps, sum.bytes_out, sum.faults, sum.tick_micros.len()), (7, 20, 1, 2));
        assert_eq!((sum.tick_micros.max(), sum.snapshot_age_micros.max()), (70, 90));
        assert_eq!(sum.snapshots_skipped, Skipped { budget: 2, in_flight: 4, transport: 6 });
    }

    #[cfg(unix)]
    #[test]
    fn sleep_takes_time_but_no_cpu() {
        let mut watch = Stopwatch::start();
        std::thread::sleep(Duration::from_millis(20));
        let slept = watch.lap();
        assert!(slept.wall >= Duration::from_millis(20) && slept.cpu.unwrap() < slept.wall);
    }
}
