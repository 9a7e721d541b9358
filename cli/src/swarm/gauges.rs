//! What a running swarm shows of itself: written by every bot, read by whoever draws a status.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Live numbers. Bots only ever add to them or overwrite their own.
#[derive(Debug)]
pub(crate) struct Gauges {
    pub(crate) joined: AtomicUsize,
    pub(crate) failed: AtomicUsize,
    pub(crate) snapshots: AtomicU64,
    pub(crate) down_bytes: AtomicU64,
    pub(crate) up_bytes: AtomicU64,
    bots: Vec<BotGauges>,
}

#[derive(Debug, Default)]
struct BotGauges {
    rtt_micros: AtomicU32,
    age_micros: AtomicU32,
}

/// What has happened between two looks at the gauges.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) bots: usize,
    pub(crate) joined: usize,
    pub(crate) failed: usize,
    pub(crate) snapshots: u64,
    pub(crate) down_bytes: u64,
    pub(crate) up_bytes: u64,
    pub(crate) rtt_ms_p50: f64,
    pub(crate) age_ms_p50: f64,
}

impl Gauges {
    pub(crate) fn new(bots: usize) -> Self {
        Self {
            joined: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            snapshots: AtomicU64::new(0),
            down_bytes: AtomicU64::new(0),
            up_bytes: AtomicU64::new(0),
            bots: (0..bots).map(|_| BotGauges::default()).collect(),
        }
    }

    /// A bot tells its newest round trip and the age of its newest snapshot, microseconds.
    pub(crate) fn tell(&self, bot: usize, rtt_micros: u64, age_micros: u64) {
        let Some(own) = self.bots.get(bot) else { return };
        own.rtt_micros.store(rtt_micros.min(u64::from(u32::MAX)) as u32, Ordering::Relaxed);
        own.age_micros.store(age_micros.min(u64::from(u32::MAX)) as u32, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Reading {
        let median = |of: fn(&BotGauges) -> &AtomicU32| {
            let told =
                self.bots.iter().map(|bot| of(bot).load(Ordering::Relaxed)).filter(|micros| *micros > 0);
            let mut sorted: Vec<_> = told.collect();
            sorted.sort_unstable();
            sorted.get(sorted.len() / 2).map_or(0.0, |micros| f64::from(*micros) / 1e3)
        };
        Reading {
            bots: self.bots.len(),
            joined: self.joined.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            snapshots: self.snapshots.load(Ordering::Relaxed),
            down_bytes: self.down_bytes.load(Ordering::Relaxed),
            up_bytes: self.up_bytes.load(Ordering::Relaxed),
            rtt_ms_p50: median(|bot| &bot.rtt_micros),
            age_ms_p50: median(|bot| &bot.age_micros),
        }
    }
}

/// What gauges show from look to look, as a line of status.
#[derive(Debug)]
pub(crate) struct Meter {
    gauges: Arc<Gauges>,
    /// What rates are counted from, and when that was.
    earlier: Reading,
    since: Instant,
}

impl Meter {
    pub(crate) fn new(gauges: Arc<Gauges>) -> Self {
        Self { gauges, earlier: Reading::default(), since: Instant::now() }
    }

    /// The gauges now, and what a bot is sent and sends, in words.
    pub(crate) fn look(&mut self) -> (Reading, String) {
        let now = self.gauges.read();
        let seconds = self.since.elapsed().as_secs_f64();
        let (snapshots, down, up) = now.rates_since(&self.earlier, seconds);
        let words = format!(
            "{snapshots:.1} snapshots/s  {down:.0} B/s down  {up:.0} B/s up  RTT {:.2} ms  age {:.1} ms",
            now.rtt_ms_p50, now.age_ms_p50
        );
        // Rates over at least a second are steady enough to be read.
        if seconds >= 1.0 {
            (self.earlier, self.since) = (now, Instant::now());
        }
        (now, words)
    }
}

impl Reading {
    /// Per joined bot and second since an earlier reading: snapshots, bytes down, bytes up.
    fn rates_since(&self, earlier: &Self, seconds: f64) -> (f64, f64, f64) {
        let rate =
            |now: u64, then: u64| (now - then) as f64 / (self.joined.max(1) as f64 * seconds.max(1e-3));
        (
            rate(self.snapshots, earlier.snapshots),
            rate(self.down_bytes, earlier.down_bytes),
            rate(self.up_bytes, earlier.up_bytes),
        )
    }
}
