//! What a run is made of.

use core::str::FromStr;

use tickwire_netsim::Profile;
use tickwire_protocol::Micros;
use tickwire_protocol::handshake::StreamKind;

/// Ticks a second of every lab room.
pub const TICK_HZ: u32 = 60;
/// Snapshots a second to each client.
pub const SNAPSHOT_HZ: u32 = 20;
/// Pictures a second that each client draws.
pub const FRAME_HZ: u32 = 120;
/// The longest fixed delay that can be asked for: what a client keeps states for.
pub const FIXED_DELAY_MS_MAX: u64 = 2_000;

/// One run, but for its seed.
#[derive(Clone, Copy, Debug)]
pub struct LabConfig {
    /// The link of every client.
    pub profile: &'static Profile,
    /// What carries the frames.
    pub stream: StreamKind,
    /// Clients, at least 1.
    pub players: u32,
    /// How long the run is, seconds of true time.
    pub seconds: u32,
    /// How far behind others are shown.
    pub policy: Policy,
    /// Each player in a walled cell of its own.
    pub is_peaceful: bool,
}

/// Who decides how far behind the server's time others are shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Policy {
    /// The client's own jitter buffer.
    Adaptive,
    /// A constant delay behind the client's estimate of the server's time.
    Fixed(Micros),
    /// The dynamic adjustment that Mirror publishes.
    Mirror,
    /// The fixed delay on a grid of 5 ms that starves least at no more mean delay than [`Policy::Adaptive`] has: found
    /// after a run of that, which it needs first.
    Hindsight,
}

impl Policy {
    /// Its name, as it is parsed from.
    pub fn name(self) -> String {
        match self {
            Self::Adaptive => "adaptive".to_owned(),
            Self::Fixed(delay) => format!("fixed:{}", delay.0 / 1_000),
            Self::Mirror => "mirror".to_owned(),
            Self::Hindsight => "hindsight".to_owned(),
        }
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fixed = || {
            let millis = text.strip_prefix("fixed:")?.parse().ok()?;
            (millis <= FIXED_DELAY_MS_MAX).then(|| Self::Fixed(Micros::from_millis(millis)))
        };
        match text {
            "adaptive" => Ok(Self::Adaptive),
            "mirror" => Ok(Self::Mirror),
            "hindsight" => Ok(Self::Hindsight),
            _ => fixed().ok_or_else(|| {
                format!("`{text}`: adaptive, fixed:MS (0 to {FIXED_DELAY_MS_MAX}), mirror or hindsight")
            }),
        }
    }
}

/// The name of a stream, as on the command line.
pub fn stream_name(stream: StreamKind) -> &'static str {
    match stream {
        StreamKind::Ordered => "ordered",
        StreamKind::Datagram => "datagram",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_parsed_from_their_names() {
        let fixed = Policy::Fixed(Micros::from_millis(75));
        for policy in [Policy::Adaptive, fixed, Policy::Mirror, Policy::Hindsight] {
            assert_eq!(policy.name().parse(), Ok(policy));
        }
        for text in ["", "fixed", "fixed:", "fixed:2001", "fixed:-1", "Mirror"] {
            assert!(text.parse::<Policy>().is_err(), "{text}");
        }
    }
}
