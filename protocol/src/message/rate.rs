//! Which messages a client may send, and how often: those of a type, all of a session, and how many bytes they have.
//!
//! The sender keeps to it, and its game is told when it may send again; the receiver holds it to that, and allows for what a link bunches
//! together. For a sender time passes as it hears the other side, so that what it says into a link that stands still, or without a
//! connection, is no more than one burst.
//!
//! ```text
//!  game ──> Outbox: admitted, or an error with the time of the next try
//!              └── MESSAGE ──> Inbox: admitted with twice the burst and 10 s of patience, or a NOTICE
//! ```
//!
//! A bucket is that of ATM's generic cell rate algorithm (ITU-T I.371, annex A): one moment, at which it would be empty.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::request::Refusal;
use super::types::{MessageType, MessageTypeId};
use crate::cold;
use crate::fault::DecodeError;
use crate::handshake::Extension;
use crate::limits::REQUESTS_OPEN_MAX;
use crate::schema::Schema;
use crate::time::Micros;

/// The extension in a WELCOME.
const LIMITS_EXTENSION: u16 = 5;

/// How much may be sent: messages, or bytes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Rate {
    /// In a minute, on average; at least 1.
    pub per_minute: u32,
    /// At once, after a while without; at least 1.
    pub burst: u32,
}

/// How often requests of a type that declares no rate may be asked: 20 a second, and as many at once as may be open.
pub const REQUEST_RATE: Rate = Rate { per_minute: 1_200, burst: REQUESTS_OPEN_MAX as u32 };

impl Rate {
    /// Whether it lets anything through.
    pub(crate) fn is_sound(self) -> bool {
        self.per_minute > 0 && self.burst > 0
    }

    /// With nothing below 1.
    fn within_limits(self) -> Self {
        Self { per_minute: self.per_minute.max(1), burst: self.burst.max(1) }
    }

    /// In what time so much may be sent.
    fn time_for(self, amount: u32) -> u64 {
        u64::from(amount) * 60_000_000 / u64::from(self.per_minute.max(1))
    }
}

/// What one session may send in all, beside what the [rates](MessageType::rate) of single types say: told in the welcome.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MessageLimits {
    /// Messages and requests.
    pub messages: Rate,
    /// Bytes of their bodies.
    pub bytes: Rate,
}

/// 200 messages and 32 KiB a second, and at once what an outbox holds.
impl Default for MessageLimits {
    fn default() -> Self {
        Self {
            messages: Rate { per_minute: 200 * 60, burst: 1_500 },
            bytes: Rate { per_minute: 32 * 1_024 * 60, burst: 512 * 1_024 },
        }
    }
}

impl MessageLimits {
    /// What every receiver will take: no rate of nothing.
    #[must_use]
    pub fn within_limits(self) -> Self {
        Self { messages: self.messages.within_limits(), bytes: self.bytes.within_limits() }
    }

    /// As an extension of a welcome.
    pub fn extension(&self) -> Extension {
        Extension { id: LIMITS_EXTENSION, value: cold::write(self) }
    }

    /// What a welcome says, if it says something.
    pub fn find(extensions: &[Extension]) -> Result<Option<Self>, DecodeError> {
        let Some(extension) = extensions.iter().find(|extension| extension.id == LIMITS_EXTENSION) else {
            return Ok(None);
        };
        let limits: Self = cold::read(&extension.value, "message limits")?;
        let is_sound = limits.messages.is_sound() && limits.bytes.is_sound();
        if is_sound { Ok(Some(limits)) } else { Err(DecodeError::Damaged("message limits")) }
    }
}

/// Why a message is not let through. Its game does not see it.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Denial {
    /// Its type asks for a permission that the client's account lacks.
    #[error("not permitted")]
    Forbidden,
    /// There were more of its type than the type's rate allows.
    #[error("more of its type than allowed: again in {} ms", retry_after.0.div_ceil(1_000))]
    TooOften {
        /// In how much time one would be let through.
        retry_after: Micros,
    },
    /// There were more messages in all than the server allows.
    #[error("more messages than allowed: again in {} ms", retry_after.0.div_ceil(1_000))]
    TooMany {
        /// In how much time one would be let through.
        retry_after: Micros,
    },
    /// They had more bytes in all than the server allows.
    #[error("more bytes of messages than allowed: again in {} ms", retry_after.0.div_ceil(1_000))]
    TooMuch {
        /// In how much time it would be let through.
        retry_after: Micros,
    },
}

impl Denial {
    /// In how much time it is worth to try again; nothing if never with this account.
    pub fn retry_after(self) -> Option<Micros> {
        match self {
            Self::Forbidden => None,
            Self::TooOften { retry_after }
            | Self::TooMany { retry_after }
            | Self::TooMuch { retry_after } => Some(retry_after),
        }
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Forbidden => Self::Forbidden,
            Denial::TooOften { retry_after }
            | Denial::TooMany { retry_after }
            | Denial::TooMuch { retry_after } => Self::TooOften { retry_after },
        }
    }
}

/// For how long a link may hold back what it then brings at once: twice the usual time in which silence ends a connection.
const BUNCHED: Micros = Micros::from_secs(10);

/// What was sent lately of one thing: when it will be as if nothing had been.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    empty_at: Micros,
}

impl Bucket {
    fn ahead(self, now: Micros) -> u64 {
        self.empty_at.saturating_since(now).0
    }

    /// In how much time so much fits, if it does not now. What is larger than the bucket fits an empty one.
    fn wait(self, now: Micros, rate: Rate, amount: u32, capacity: u64) -> Option<Micros> {
        let ahead = self.ahead(now) + rate.time_for(amount).min(capacity);
        (ahead > capacity).then(|| Micros(ahead - capacity))
    }

    fn take(&mut self, now: Micros, rate: Rate, amount: u32) {
        self.empty_at = self.empty_at.max(now) + Micros(rate.time_for(amount));
    }
}

/// Holds one session to permissions and rates: at the sender, or at the receiver.
#[derive(Debug)]
pub struct Governor {
    /// None until a sender is told.
    limits: Option<MessageLimits>,
    /// Types that may not be sent.
    forbidden: BTreeSet<MessageTypeId>,
    /// Of types with a rate that were sent.
    types: BTreeMap<MessageTypeId, Bucket>,
    messages: Bucket,
    bytes: Bucket,
    /// Of a sender: when it last heard the other side. None for a receiver.
    heard: Option<Micros>,
}

impl Governor {
    /// That of a sender, which knows the rates of types alone until it is [told](Governor::set_limits) more.
    pub fn of_sender() -> Self {
        Self { heard: Some(Micros::ZERO), limits: None, ..Self::of_receiver(MessageLimits::default()) }
    }

    /// That of a receiver.
    pub fn of_receiver(limits: MessageLimits) -> Self {
        let (messages, bytes) = Default::default();
        Self {
            limits: Some(limits),
            forbidden: BTreeSet::new(),
            types: BTreeMap::new(),
            messages,
            bytes,
            heard: None,
        }
    }

    /// What the receiver allows in all; nothing is no bound.
    pub fn set_limits(&mut self, limits: Option<MessageLimits>) {
        self.limits = limits;
    }

    /// Whose permission is asked for types that need one; before this all is permitted.
    pub fn set_permissions(&mut self, schema: &Schema, may: impl Fn(&str) -> bool) {
        let lacks = |ty: &&MessageType| ty.permission().is_some_and(|action| !may(action));
        self.forbidden = schema.messages().iter().filter(lacks).map(MessageType::id).collect();
    }

    /// The other side was heard: time has passed.
    pub fn handle_heard(&mut self, now: Micros) {
        self.heard = self.heard.map(|heard| heard.max(now));
    }

    /// What fits a bucket, as the time in which it is let through.
    fn capacity(&self, rate: Rate) -> u64 {
        let burst = rate.time_for(rate.burst);
        if self.heard.is_some() { burst } else { 2 * burst + BUNCHED.0 }
    }

    /// Whether a message of so many bytes may pass now.
    pub fn check(&self, now: Micros, ty: &MessageType, bytes: usize) -> Result<(), Denial> {
        if self.forbidden.contains(&ty.id()) {
            return Err(Denial::Forbidden);
        }
        let now = self.heard.unwrap_or(now);
        let wait = |bucket: Bucket, rate: Rate, amount| bucket.wait(now, rate, amount, self.capacity(rate));
        let of_type = self.types.get(&ty.id()).copied().unwrap_or_default();
        if let Some(retry_after) = ty.rate().and_then(|rate| wait(of_type, rate, 1)) {
            return Err(Denial::TooOften { retry_after });
        }
        let Some(limits) = self.limits else { return Ok(()) };
        if let Some(retry_after) = wait(self.messages, limits.messages, 1) {
            return Err(Denial::TooMany { retry_after });
        }
        match wait(self.bytes, limits.bytes, amount(bytes)) {
            Some(retry_after) => Err(Denial::TooMuch { retry_after }),
            None => Ok(()),
        }
    }

    /// One has passed.
    pub fn take(&mut self, now: Micros, ty: &MessageType, bytes: usize) {
        let now = self.heard.unwrap_or(now);
        if let Some(rate) = ty.rate() {
            self.types.entry(ty.id()).or_default().take(now, rate, 1);
        }
        if let Some(limits) = self.limits {
            self.messages.take(now, limits.messages, 1);
            self.bytes.take(now, limits.bytes, amount(bytes));
        }
    }

    /// How many more messages of this type, without a byte, may pass now; nothing if there is no bound.
    pub fn remaining(&self, now: Micros, ty: &MessageType) -> Option<u32> {
        if self.forbidden.contains(&ty.id()) {
            return Some(0);
        }
        let now = self.heard.unwrap_or(now);
        let left = |bucket: Bucket, rate: Rate| {
            let time = self.capacity(rate).saturating_sub(bucket.ahead(now));
            u32::try_from(time.saturating_mul(u64::from(rate.per_minute)) / 60_000_000).unwrap_or(u32::MAX)
        };
        let of_type = self.types.get(&ty.id()).copied().unwrap_or_default();
        let of_type = ty.rate().map(|rate| left(of_type, rate));
        let in_all = self.limits.map(|limits| left(self.messages, limits.messages));
        of_type.into_iter().chain(in_all).min()
    }
}

fn amount(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Direction, MessageClass};

    /// Five a second, ten at once.
    fn chat() -> MessageType {
        MessageType::new(MessageTypeId(0), "chat", Direction::BothWays, MessageClass::Reliable, 9)
            .rate_per_minute(300, 10)
    }

    fn free() -> MessageType {
        MessageType::new(MessageTypeId(1), "free", Direction::BothWays, MessageClass::Reliable, 9)
    }

    fn sender(heard: Micros) -> Governor {
        let mut governor = Governor::of_sender();
        governor.handle_heard(heard);
        governor
    }

    /// How many are taken at this moment, and why no more are.
    fn takes(governor: &mut Governor, now: Micros, ty: &MessageType, bytes: usize) -> (usize, Denial) {
        for taken in 0..1_000_000 {
            if let Err(denial) = governor.check(now, ty, bytes) {
                return (taken, denial);
            }
            governor.take(now, ty, bytes);
        }
        panic!("no bound");
    }

    #[test]
    fn a_burst_and_then_as_many_as_the_rate_says() {
        let mut governor = sender(Micros::from_secs(5));
        assert_eq!(governor.remaining(Micros::ZERO, &chat()), Some(10));
        let retry_after = Micros::from_millis(200);
        let denial = Denial::TooOften { retry_after };
        assert_eq!(takes(&mut governor, Micros::ZERO, &chat(), 1), (10, denial));
        assert_eq!(governor.remaining(Micros::ZERO, &chat()), Some(0));
        governor.handle_heard(Micros::from_secs(5) + retry_after);
        assert_eq!(takes(&mut governor, Micros::ZERO, &chat(), 1), (1, denial));
        governor.handle_heard(Micros::from_secs(60));
        assert_eq!(takes(&mut governor, Micros::ZERO, &chat(), 1), (10, denial));
    }

    #[test]
    fn no_time_passes_while_nothing_is_heard() {
        let mut governor = sender(Micros::ZERO);
        assert_eq!(takes(&mut governor, Micros::from_secs(1), &chat(), 1).0, 10, "a burst before the first");
        assert_eq!(takes(&mut governor, Micros::from_secs(100), &chat(), 1).0, 0);
        governor.handle_heard(Micros::from_secs(100));
        assert_eq!(takes(&mut governor, Micros::from_secs(101), &chat(), 1).0, 10);
    }

    #[test]
    fn whoever_keeps_to_it_is_never_refused_however_the_link_bunches() {
        for stall in [0, 1, 5, 9] {
            let (mut sender, mut receiver) =
                (Governor::of_sender(), Governor::of_receiver(MessageLimits::default()));
            let (mut waiting, mut sent) = (0, 0);
            for tenth in 0..3_000_u64 {
                let now = Micros::from_millis(100 * tenth);
                // Only the way up stands still.
                sender.handle_heard(now);
                let (taken, _) = takes(&mut sender, now, &chat(), 1);
                (waiting, sent) = (waiting + taken, sent + taken);
                if stall == 0 || tenth % (10 * stall) == 0 {
                    for _ in 0..core::mem::take(&mut waiting) {
                        assert_eq!(receiver.check(now, &chat(), 1), Ok(()), "{stall} s");
                        receiver.take(now, &chat(), 1);
                    }
                }
            }
            assert!(sent >= 1_500, "{sent}");
            // Who does not is.
            assert!(takes(&mut receiver, Micros::from_secs(300), &chat(), 1).0 < 80);
        }
    }

    #[test]
    fn all_types_together_are_bounded_in_count_and_bytes() {
        let limits = MessageLimits {
            messages: Rate { per_minute: 60, burst: 30 },
            bytes: Rate { per_minute: 6_000, burst: 1_000 },
        };
        let mut governor = sender(Micros::ZERO);
        governor.set_limits(Some(limits));
        assert_eq!(takes(&mut governor, Micros::ZERO, &chat(), 1).0, 10);
        let (taken, denial) = takes(&mut governor, Micros::ZERO, &free(), 1);
        assert_eq!((taken, denial), (20, Denial::TooMany { retry_after: Micros::from_secs(1) }));
        governor.handle_heard(Micros::from_secs(100));
        let (taken, denial) = takes(&mut governor, Micros::ZERO, &free(), 300);
        assert_eq!((taken, denial), (3, Denial::TooMuch { retry_after: Micros::from_secs(2) }));
        governor.handle_heard(Micros::from_secs(200));
        assert_eq!(
            takes(&mut governor, Micros::ZERO, &free(), 5_000).0,
            1,
            "more than a bucket fits an empty one"
        );
    }

    #[test]
    fn what_has_no_rate_passes_until_a_sender_is_told_more() {
        let mut governor = Governor::of_sender();
        for _ in 0..10_000 {
            assert_eq!(governor.check(Micros::ZERO, &free(), 9), Ok(()));
            governor.take(Micros::ZERO, &free(), 9);
        }
        assert_eq!(governor.remaining(Micros::ZERO, &free()), None);
        assert!(governor.types.is_empty());
    }

    #[test]
    fn what_asks_for_a_permission_passes_with_it_alone() {
        let mute = free().permitted_by("moderate");
        let schema = Schema::builder("s").message(chat()).message(mute.clone()).build().unwrap();
        let mut governor = Governor::of_receiver(MessageLimits::default());
        governor.set_permissions(&schema, |action| action == "play");
        assert_eq!(governor.check(Micros::ZERO, &mute, 1), Err(Denial::Forbidden));
        assert_eq!(governor.check(Micros::ZERO, &chat(), 1), Ok(()));
        governor.set_permissions(&schema, |action| action == "moderate");
        assert_eq!(governor.check(Micros::ZERO, &mute, 1), Ok(()));
        for impossible in ["", "a@b", &"x".repeat(65)] {
            let ty = chat().permitted_by(impossible);
            assert!(Schema::builder("s").message(ty).build().is_err(), "{impossible:?}");
        }
    }

    #[test]
    fn limits_that_let_nothing_through_are_refused() {
        let limits = MessageLimits::default();
        assert_eq!(MessageLimits::find(&[limits.extension()]), Ok(Some(limits)));
        assert_eq!(MessageLimits::find(&[]), Ok(None));
        let never = MessageLimits { bytes: Rate { per_minute: 0, burst: 1 }, ..limits };
        assert!(MessageLimits::find(&[never.extension()]).is_err());
    }
}
