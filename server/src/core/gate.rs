//! What is let through of what a client says.
//!
//! An honest client refuses what is too much itself: what is refused here comes from a modified one. It is told, a few are forgiven,
//! and whoever goes on is closed.

use tickwire_protocol::message::engine::NOTICE;
use tickwire_protocol::message::{
    Denial, Governor, MessageLimits, MessageType, MessageTypeId, Notice, Outbox,
};
use tickwire_protocol::{Micros, PeerFault, Schema};

/// How many refused messages are forgiven at once.
const OFFENCES_MAX: u64 = 30;

/// After how long one more is.
const FORGIVEN_AFTER: Micros = Micros::from_secs(1);

/// Holds one session to what it may say.
#[derive(Debug)]
pub(crate) struct Gate {
    governor: Governor,
    /// When all that was refused will be forgiven.
    forgiven_at: Micros,
    /// Why the last message was refused.
    denial: Option<Denial>,
}

impl Gate {
    pub(crate) fn new(limits: MessageLimits) -> Self {
        Self { governor: Governor::of_receiver(limits), forgiven_at: Micros::ZERO, denial: None }
    }

    /// What its account may do, of what types ask permission for.
    pub(crate) fn set_permissions(&mut self, schema: &Schema, may: impl Fn(&str) -> bool) {
        self.governor.set_permissions(schema, may);
    }

    /// Whether a message of so many bytes is let through; it counts then.
    pub(crate) fn admit(
        &mut self,
        now: Micros,
        schema: &Schema,
        ty: MessageTypeId,
        bytes: usize,
    ) -> Result<(), Denial> {
        // The inbox knows it: it is one of the schema's, or says that one has expired, which is no message for the game.
        let Some(ty) = schema.message(ty) else { return Ok(()) };
        let admitted = self.governor.check(now, ty, bytes);
        match admitted {
            Ok(()) => self.governor.take(now, ty, bytes),
            Err(_) => self.forgiven_at = self.forgiven_at.max(now) + FORGIVEN_AFTER,
        }
        admitted
    }

    /// Whether a message is to be refused; [`Gate::tell`] tells why.
    pub(crate) fn refuses(&mut self, now: Micros, schema: &Schema, ty: MessageTypeId, bytes: usize) -> bool {
        self.denial = self.admit(now, schema, ty, bytes).err();
        self.denial.is_some()
    }

    /// Tells the sender that the last message was refused; of one of which nothing is promised nothing is told.
    pub(crate) fn tell(
        &mut self,
        now: Micros,
        schema: &Schema,
        outbox: &mut Outbox,
        ty: MessageTypeId,
        number: u16,
    ) -> Result<(), PeerFault> {
        let is_numbered = schema.message(ty).is_some_and(|ty: &MessageType| ty.class().lane().is_some());
        let Some(denial) = self.denial.take().filter(|_| is_numbered) else { return Ok(()) };
        let notice = Notice { ty, number, denial }.encode();
        // Who takes no notices and goes on is no honest client.
        outbox.send_engine(now, NOTICE, 0, notice.into()).map_err(|_| PeerFault::TooOften)
    }

    /// Whether too much was refused.
    pub(crate) fn check(&self, now: Micros) -> Result<(), PeerFault> {
        let is_too_much = self.forgiven_at.saturating_since(now) > Micros(FORGIVEN_AFTER.0 * OFFENCES_MAX);
        if is_too_much { Err(PeerFault::TooOften) } else { Ok(()) }
    }
}
