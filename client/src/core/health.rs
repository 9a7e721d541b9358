//! How good a connection is, in a number from 0 to 100: for a bar in the corner of the picture.
//!
//! ```text
//! health = (100 - 40 rtt - 30 jitter - 30 loss) * (1 - silence)     each a share from 0 to 1
//! ```
//!
//! A round trip is felt in shooters from some 100 ms on (Claypool and Claypool, "Latency and Player Actions in Online Games", CACM
//! 49/11, 2006), and 150 ms one way is the most that ITU-T G.114 recommends where people act on each other: between half of the one
//! and all of the other the share grows from 0 to 1. Jitter is paid in delay of the view, a few times as much of it, and so counts
//! from 5 to 50 ms. A tenth of datagrams lost is a view that jumps. Silence is what ends a connection.

use tickwire_protocol::Micros;

/// Round trips that are not felt, and from which on more makes it no worse.
const RTT: [f32; 2] = [50_000.0, 300_000.0];
/// The same of jitter, microseconds.
const JITTER: [f32; 2] = [5_000.0, 50_000.0];
/// The same of the share of datagrams that are lost.
const LOSS: [f32; 2] = [0.0, 0.1];
/// The same of the time in which nothing was heard, as a share of the time after which the connection is given up. Pings alone keep
/// it below the first.
const SILENCE: [f32; 2] = [1.0 / 3.0, 1.0];

/// What health is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Condition {
    pub(crate) rtt: Micros,
    pub(crate) jitter: Micros,
    /// 0 to 1.
    pub(crate) loss: f32,
    /// For how long nothing was heard.
    pub(crate) silent_for: Micros,
    /// After how long the connection is given up.
    pub(crate) silence_timeout: Micros,
}

impl Condition {
    /// 0 to 100.
    pub(crate) fn health(&self) -> u8 {
        let (rtt, jitter) = (share(self.rtt.0 as f32, RTT), share(self.jitter.0 as f32, JITTER));
        let felt = 40.0 * rtt + 30.0 * jitter + 30.0 * share(self.loss, LOSS);
        let silence = share(self.silent_for.0 as f32 / self.silence_timeout.0.max(1) as f32, SILENCE);
        ((100.0 - felt) * (1.0 - silence)).round() as u8
    }
}

/// How far a value is from the one bound to the other, 0 to 1.
fn share(value: f32, [from, to]: [f32; 2]) -> f32 {
    ((value - from) / (to - from)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Condition = Condition {
        rtt: Micros(50_000),
        jitter: Micros(5_000),
        loss: 0.0,
        silent_for: Micros(1_000_000),
        silence_timeout: Micros(5_000_000),
    };

    #[test]
    fn the_formula_holds_at_its_edges() {
        let rtt = |rtt| Condition { rtt: Micros(rtt), ..GOOD }.health();
        assert_eq!([0, 50_000, 175_000, 300_000, u64::MAX].map(rtt), [100, 100, 80, 60, 60]);
        let jitter = |jitter| Condition { jitter: Micros(jitter), ..GOOD }.health();
        assert_eq!([0, 5_000, 27_500, 50_000, u64::MAX].map(jitter), [100, 100, 85, 70, 70]);
        let loss = |loss| Condition { loss, ..GOOD }.health();
        assert_eq!([0.0, 0.05, 0.1, 1.0].map(loss), [100, 85, 70, 70]);
        let silent_for = |silent_for| Condition { silent_for: Micros(silent_for), ..GOOD }.health();
        assert_eq!([0, 1_666_666, 2_500_000, 5_000_000, u64::MAX].map(silent_for), [100, 100, 75, 0, 0]);
    }

    #[test]
    fn all_that_is_bad_adds_up_to_nothing() {
        let bad = Condition { rtt: Micros(300_000), jitter: Micros(50_000), loss: 0.1, ..GOOD };
        assert_eq!(bad.health(), 0);
        let silent = Condition { rtt: Micros(300_000), silent_for: Micros(3_333_333), ..GOOD };
        assert_eq!(silent.health(), 30, "half of 60");
        let odd = Condition { silence_timeout: Micros::ZERO, ..GOOD };
        assert_eq!(odd.health(), 0);
    }
}
