//! Which frames a frame may name, by what the sender knows to have arrived.

use tickwire_protocol::limits::REFERENCES_PER_ROW_MAX;
use tickwire_sim::Random;

/// How the sender learns what the receiver holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Baseline {
    /// At once, as on an ordered stream: the three frames before may be named.
    Previous,
    /// By acks that are this many frames on their way: frames N and 2N before may be named.
    Ack(usize),
}

/// A link that loses frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lossy {
    /// Of each frame by itself, 0 to 1.
    pub(crate) probability: f64,
    pub(crate) seed: u64,
}

impl Baseline {
    /// The frames that frame `index` may name, newest first: the nearest that arrived.
    pub(crate) fn named(self, index: usize, arrived: &[bool]) -> Vec<usize> {
        let arrived_before = |end: usize| arrived[..end].iter().rposition(|&arrived| arrived);
        match self {
            Self::Previous => {
                (0..index).rev().filter(|&frame| arrived[frame]).take(REFERENCES_PER_ROW_MAX).collect()
            }
            Self::Ack(delay) => {
                let newest = (index + 1).checked_sub(delay).and_then(arrived_before);
                let older = newest.and_then(|newest| {
                    let end = (index + 1).checked_sub(2 * delay)?;
                    arrived_before(end.min(newest))
                });
                newest.into_iter().chain(older).collect()
            }
        }
    }
}

impl Lossy {
    /// Which of so many frames arrive.
    pub(crate) fn arrivals(self, frames: usize) -> Vec<bool> {
        let mut random = Random::from_seed(self.seed);
        (0..frames).map(|_| !random.chance(self.probability as f32)).collect()
    }
}

impl std::str::FromStr for Baseline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let delay = || text.strip_prefix("ack:")?.parse().ok().filter(|delay| (1..=127).contains(delay));
        match text {
            "previous" => Ok(Self::Previous),
            _ => delay()
                .map(Self::Ack)
                .ok_or_else(|| "take previous, or ack:N with N from 1 to 127".to_owned()),
        }
    }
}

impl std::fmt::Display for Baseline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Previous => f.write_str("previous"),
            Self::Ack(delay) => write!(f, "ack:{delay}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_frames_that_arrived_are_named() {
        let mut arrived = vec![true; 20];
        assert!(Baseline::Previous.named(0, &arrived).is_empty());
        assert_eq!(Baseline::Previous.named(2, &arrived), [1, 0]);
        assert_eq!(Baseline::Previous.named(9, &arrived), [8, 7, 6]);
        assert!(Baseline::Ack(3).named(2, &arrived).is_empty());
        assert_eq!(Baseline::Ack(3).named(3, &arrived), [0]);
        assert_eq!(Baseline::Ack(3).named(5, &arrived), [2]);
        assert_eq!(Baseline::Ack(3).named(6, &arrived), [3, 0]);
        for lost in [3, 6, 7, 8] {
            arrived[lost] = false;
        }
        assert_eq!(Baseline::Previous.named(9, &arrived), [5, 4, 2]);
        assert_eq!(Baseline::Ack(3).named(6, &arrived), [2, 0]);
        assert_eq!(
            Baseline::Ack(3).named(11, &arrived),
            [5, 4],
            "8, 7 and 6 are lost; 5 cannot be named twice"
        );
    }

    #[test]
    fn baselines_are_told_in_words() {
        for text in ["previous", "ack:1", "ack:127"] {
            assert_eq!(text.parse::<Baseline>().unwrap().to_string(), text);
        }
        for text in ["", "ack", "ack:", "ack:0", "ack:128", "ack:-1", "next"] {
            assert!(text.parse::<Baseline>().unwrap_err().contains("ack:N"), "{text}");
        }
    }

    #[test]
    fn a_link_loses_about_as_many_as_told() {
        let lost = |probability, seed| {
            let arrived = Lossy { probability, seed }.arrivals(10_000);
            arrived.iter().filter(|arrived| !**arrived).count()
        };
        assert_eq!(lost(0.0, 1), 0);
        assert!((2_800..3_200).contains(&lost(0.3, 1)), "{}", lost(0.3, 1));
        assert_ne!(lost(0.3, 1), lost(0.3, 2));
    }
}
