//! How long `serve` waits for clients, and how much they may say.

use clap::{Args, ValueEnum};
use serde::Deserialize;
use tickwire_protocol::Micros;
use tickwire_protocol::limits::{CLIENT_MESSAGE_BYTES_MAX, SILENCE_TIMEOUT_MICROS_MAX};
use tickwire_protocol::message::Rate;
use tickwire_server::core::{Absence, RoomConfig};

use crate::config::check_range;

/// A day: whoever comes later begins anew.
const SESSION_WINDOW_MAX: u32 = 86_400;

/// Beyond it a connection that nobody hears of is a leak, seconds.
const SILENCE_MAX: u32 = (SILENCE_TIMEOUT_MICROS_MAX / 1_000_000) as u32;

/// More a second than any client has to say: what is counted a minute has 32 bits.
const MESSAGES_MAX: u32 = 1_000_000;
const KIBIBYTES_MAX: u32 = 65_536;

/// The largest message must get through at once, KiB.
const BURST_KIBIBYTES_MIN: u32 = CLIENT_MESSAGE_BYTES_MAX.div_ceil(1024) as u32;

/// Flags, environment, and in the file the table `[sessions]`.
#[derive(Args, Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[command(next_help_heading = "Sessions and messages")]
pub(crate) struct SessionArgs {
    /// How long a session waits for its client when its connection is lost, seconds, at most 86400; 0: not at all [default: 120]
    #[arg(long, env = "TICKWIRE_SESSION_WINDOW", value_name = "SECONDS")]
    session_window: Option<u32>,

    /// How long it keeps its place at least where somebody else finds none, seconds; as long as it waits: all the time. Twice as long as it was
    /// there comes on top [default: 5]
    #[arg(long, env = "TICKWIRE_PLACE_KEPT", value_name = "SECONDS")]
    place_kept: Option<u32>,

    /// What a player does while its session waits or its client has paused [default: stand]
    #[arg(long, env = "TICKWIRE_ABSENCE", value_name = "POLICY")]
    absence: Option<AbsencePolicy>,

    /// Gives a connection up that nothing was heard of for so long, seconds, 1 to 300 [default: 5]
    #[arg(long, env = "TICKWIRE_SILENCE_TIMEOUT", value_name = "SECONDS")]
    silence_timeout: Option<u32>,

    /// Gives a connection up whose client has acked nothing of what it was sent for so long, seconds, 1 to 300 [default: 10]
    #[arg(long, env = "TICKWIRE_STALL_TIMEOUT", value_name = "SECONDS")]
    stall_timeout: Option<u32>,

    /// Ends sessions whose player has given no input and sent no message for so long, seconds; 0: never. Who only watches, or has
    /// paused, may stay [default: 300]
    #[arg(long, env = "TICKWIRE_IDLE_TIMEOUT", value_name = "SECONDS")]
    idle_timeout: Option<u32>,

    /// Messages and requests a second of each client, on average [default: 200]
    #[arg(long, env = "TICKWIRE_MESSAGE_RATE", value_name = "HZ")]
    message_rate: Option<u32>,

    /// As many of them at once, after a while without [default: 1500]
    #[arg(long, env = "TICKWIRE_MESSAGE_BURST", value_name = "N")]
    message_burst: Option<u32>,

    /// Their bodies a second, on average, KiB [default: 32]
    #[arg(long, env = "TICKWIRE_MESSAGE_VOLUME", value_name = "KIB")]
    message_volume: Option<u32>,

    /// Their bodies at once, KiB, at least 4 [default: 512]
    #[arg(long, env = "TICKWIRE_MESSAGE_VOLUME_BURST", value_name = "KIB")]
    message_volume_burst: Option<u32>,
}

/// [`Absence`] in words.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum AbsencePolicy {
    /// It stands where it stood
    Stand,
    /// It stays without an input, and the game moves it as it likes
    Bot,
    /// It has left, and joins anew when its client is back
    Remove,
}

impl From<AbsencePolicy> for Absence {
    fn from(policy: AbsencePolicy) -> Self {
        match policy {
            AbsencePolicy::Stand => Self::Stand,
            AbsencePolicy::Bot => Self::Bot,
            AbsencePolicy::Remove => Self::Remove,
        }
    }
}

impl SessionArgs {
    /// What was not given here, as the file has it.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            session_window: self.session_window.or(file.session_window),
            place_kept: self.place_kept.or(file.place_kept),
            absence: self.absence.or(file.absence),
            silence_timeout: self.silence_timeout.or(file.silence_timeout),
            stall_timeout: self.stall_timeout.or(file.stall_timeout),
            idle_timeout: self.idle_timeout.or(file.idle_timeout),
            message_rate: self.message_rate.or(file.message_rate),
            message_burst: self.message_burst.or(file.message_burst),
            message_volume: self.message_volume.or(file.message_volume),
            message_volume_burst: self.message_volume_burst.or(file.message_volume_burst),
        }
    }

    /// Checks what was given, and sets it.
    pub(crate) fn apply(self, room: &mut RoomConfig) -> anyhow::Result<()> {
        self.check()?;
        let seconds = |given: Option<u32>, otherwise: Micros| {
            given.map_or(otherwise, |seconds| Micros::from_secs(seconds.into()))
        };
        room.session_window = seconds(self.session_window, room.session_window);
        room.place_kept = seconds(self.place_kept, room.place_kept);
        room.absence = self.absence.map_or(room.absence, Absence::from);
        room.silence_timeout = seconds(self.silence_timeout, room.silence_timeout);
        room.stall_timeout = seconds(self.stall_timeout, room.stall_timeout);
        if let Some(idle) = self.idle_timeout {
            room.idle_timeout = (idle > 0).then(|| Micros::from_secs(idle.into()));
        }
        let limits = &mut room.message_limits;
        set_rate(&mut limits.messages, self.message_rate, self.message_burst, 1);
        set_rate(&mut limits.bytes, self.message_volume, self.message_volume_burst, 1024);
        Ok(())
    }

    fn check(&self) -> anyhow::Result<()> {
        check_range("--session-window", self.session_window, 0..=SESSION_WINDOW_MAX, "seconds")?;
        check_range("--place-kept", self.place_kept, 0..=SESSION_WINDOW_MAX, "seconds")?;
        check_range("--silence-timeout", self.silence_timeout, 1..=SILENCE_MAX, "seconds")?;
        check_range("--stall-timeout", self.stall_timeout, 1..=SILENCE_MAX, "seconds")?;
        check_range("--message-rate", self.message_rate, 1..=MESSAGES_MAX, "a second")?;
        check_range("--message-burst", self.message_burst, 1..=MESSAGES_MAX, "messages")?;
        check_range("--message-volume", self.message_volume, 1..=KIBIBYTES_MAX, "KiB")?;
        let bursts = BURST_KIBIBYTES_MIN..=KIBIBYTES_MAX;
        check_range("--message-volume-burst", self.message_volume_burst, bursts, "KiB")
    }
}

/// Sets what was given of a rate, in units of so many, a second and at once.
fn set_rate(rate: &mut Rate, per_second: Option<u32>, burst: Option<u32>, unit: u32) {
    rate.per_minute = per_second.map_or(rate.per_minute, |per_second| per_second * unit * 60);
    rate.burst = burst.map_or(rate.burst, |burst| burst * unit);
}

const _: () = assert!(KIBIBYTES_MAX as u64 * 1024 * 60 <= u32::MAX as u64);

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::TickRate;

    fn room() -> RoomConfig {
        RoomConfig::new(TickRate::new(60).unwrap(), 20)
    }

    #[test]
    fn flags_beat_the_file_and_the_file_beats_the_defaults() {
        let file: SessionArgs = toml::from_str(
            "session-window = 30\nplace-kept = 11\nabsence = 'bot'\nsilence-timeout = 20\nidle-timeout = 0\nmessage-rate = 10\n\
             message-volume = 2",
        )
        .unwrap();
        let flags = SessionArgs {
            session_window: Some(60),
            stall_timeout: Some(7),
            message_burst: Some(5),
            message_volume_burst: Some(4),
            ..SessionArgs::default()
        };
        let mut room = room();
        flags.or(file).apply(&mut room).unwrap();
        let seconds = [room.session_window, room.place_kept, room.silence_timeout, room.stall_timeout];
        assert_eq!(seconds, [60, 11, 20, 7].map(Micros::from_secs));
        assert_eq!((room.absence, room.idle_timeout), (Absence::Bot, None));
        assert_eq!(room.message_limits.messages, Rate { per_minute: 600, burst: 5 });
        assert_eq!(room.message_limits.bytes, Rate { per_minute: 122_880, burst: 4_096 });
        assert!(toml::from_str::<SessionArgs>("absence = 'dance'").is_err());
    }

    #[test]
    fn what_was_not_given_stays_as_it_is() {
        let mut room = room();
        SessionArgs::default().apply(&mut room).unwrap();
        assert_eq!(format!("{room:?}"), format!("{:?}", self::room()));
    }

    #[test]
    fn mistakes_are_named() {
        let none = SessionArgs::default;
        for (args, words) in [
            (
                SessionArgs { session_window: Some(86_401), ..none() },
                "--session-window 86401: must be from 0",
            ),
            (
                SessionArgs { silence_timeout: Some(0), ..none() },
                "--silence-timeout 0: must be from 1 to 300",
            ),
            (SessionArgs { stall_timeout: Some(301), ..none() }, "--stall-timeout 301"),
            (SessionArgs { message_rate: Some(0), ..none() }, "--message-rate 0"),
            (SessionArgs { message_burst: Some(0), ..none() }, "--message-burst 0"),
            (SessionArgs { message_volume: Some(u32::MAX), ..none() }, "to 65536 KiB"),
            (SessionArgs { message_volume_burst: Some(3), ..none() }, "must be from 4"),
        ] {
            let error = args.apply(&mut room()).unwrap_err().to_string();
            assert!(error.contains(words), "{error:?} should say {words:?}");
        }
    }
}
