//! The clock of a client's machine: it drifts, and once in a run it jumps.

use tickwire_sim::Random;

/// Greatest drift, parts per million either way.
const DRIFT_PPM_MAX: f32 = 200.0;
/// How far a clock jumps, seconds.
const JUMP_SECONDS: core::ops::Range<f32> = 0.2..1.5;
/// In which part of the run.
const JUMP_PART: core::ops::Range<f32> = 0.3..0.7;
/// Where a clock may be when the run begins, seconds.
const START_SECONDS: core::ops::Range<f32> = 1.0..5_000.0;

/// What happens to a clock once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Jump {
    /// It is suddenly ahead.
    Ahead {
        /// By this, microseconds.
        by: u64,
    },
    /// The machine sleeps, and its clock with it.
    Asleep {
        /// For so long, microseconds.
        lasting: u64,
    },
}

/// Local time as a function of true time. Does not go back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalClock {
    start: u64,
    drift_ppm: i64,
    pub(crate) jump: Jump,
    /// True time of the jump, microseconds.
    pub(crate) jump_at: u64,
}

impl LocalClock {
    /// A clock for a run of `seconds`.
    pub(crate) fn new(random: &mut Random, seconds: u32) -> Self {
        let micros = |seconds: f32| (f64::from(seconds) * 1e6) as u64;
        let by = micros(random.range_f32(JUMP_SECONDS));
        Self {
            start: micros(random.range_f32(START_SECONDS)),
            drift_ppm: random.range_f32(-DRIFT_PPM_MAX..DRIFT_PPM_MAX) as i64,
            jump: if random.chance(0.5) { Jump::Ahead { by } } else { Jump::Asleep { lasting: by } },
            jump_at: micros(seconds as f32 * random.range_f32(JUMP_PART)),
        }
    }

    /// When all is over that the jump is: the machine is awake.
    pub(crate) fn jump_over(&self) -> u64 {
        match self.jump {
            Jump::Ahead { .. } => self.jump_at,
            Jump::Asleep { lasting } => self.jump_at + lasting,
        }
    }

    /// Whether the machine sleeps.
    pub(crate) fn is_asleep(&self, now: u64) -> bool {
        (self.jump_at..self.jump_over()).contains(&now)
    }

    /// Local time at a true time, both in microseconds.
    pub(crate) fn local(&self, now: u64) -> u64 {
        let since_jump = now.saturating_sub(self.jump_at);
        let (ahead, stood) = match self.jump {
            Jump::Ahead { by } => (if now < self.jump_at { 0 } else { by }, 0),
            Jump::Asleep { lasting } => (0, lasting.min(since_jump)),
        };
        let ran = now - stood;
        (self.start + ran + ahead).saturating_add_signed(ran as i64 * self.drift_ppm / 1_000_000)
    }

    /// The first true time from `now` on at which the local time is `local` or later.
    pub(crate) fn when(&self, local: u64, now: u64) -> u64 {
        let (mut before, mut span) = (now, 1);
        if self.local(now) >= local {
            return now;
        }
        while self.local(before + span) < local {
            before += span;
            span *= 2;
        }
        // Between `before` and `before + span`.
        let mut after = before + span;
        while after - before > 1 {
            let middle = before.midpoint(after);
            if self.local(middle) < local { before = middle } else { after = middle }
        }
        after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_drift_and_jump_once_and_do_not_go_back() {
        let mut kinds = [0, 0];
        for seed in 0..40 {
            let clock = LocalClock::new(&mut Random::from_seed(seed), 60);
            let local: Vec<_> = (0..60_000).map(|millis| clock.local(millis * 1_000)).collect();
            assert!(local.is_sorted());
            let advance = (local[59_999] - local[0]) as i64 - 59_999_000;
            match clock.jump {
                Jump::Ahead { by } => {
                    kinds[0] += 1;
                    assert!((advance - by as i64).abs() <= 12_001, "{advance}");
                }
                Jump::Asleep { lasting } => {
                    kinds[1] += 1;
                    assert!((advance + lasting as i64).abs() <= 12_001, "{advance}");
                    let still = local.windows(2).filter(|pair| pair[1] == pair[0]).count() as u64;
                    assert!(still.abs_diff(lasting / 1_000) <= 1, "{still} ms");
                }
            }
            assert!((18_000_000..42_000_001).contains(&clock.jump_at));
        }
        assert!(kinds[0] > 5 && kinds[1] > 5, "{kinds:?}");
    }

    #[test]
    fn the_first_moment_of_a_local_time_is_found() {
        let clock = LocalClock::new(&mut Random::from_seed(3), 60);
        for now in (0..60_000_000).step_by(999_983) {
            for ahead in [0, 1, 7, 1_000, 3_000_000] {
                let local = clock.local(now) + ahead;
                let when = clock.when(local, now);
                assert!(clock.local(when) >= local && (when == now || clock.local(when - 1) < local));
            }
        }
    }
}
