//! Game events: what happened at a tick, to whom and where, told reliably.
//!
//! ```text
//!  body of an event   tick: 32 | names: 8 | source: 32 | target: 32 | position: 3 x f32 | body, to its end
//!                     names: 1 a source, 2 a target, 4 a position: what is not named is not there
//! ```
//!
//! A cue is a small fact of the moment, dropped when it is late. An event is a message: it arrives, once and in order, however late.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use glam::Vec3;

use crate::fault::DecodeError;
use crate::ids::EntityId;
use crate::time::Tick;

/// Something that happened in a tick of the game.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GameEvent {
    /// Whose doing it was.
    pub source: Option<EntityId>,
    /// To whom it happened.
    pub target: Option<EntityId>,
    /// Where, in the game's unit of length.
    pub position: Option<Vec3>,
    /// What the game says beside.
    pub body: Bytes,
}

/// Most bytes that stand before an event's body.
pub const EVENT_HEADER_BYTES_MAX: usize = 4 + 1 + 4 + 4 + 12;

const HAS_SOURCE: u8 = 1;
const HAS_TARGET: u8 = 2;
const HAS_POSITION: u8 = 4;

impl GameEvent {
    /// An event that says this, and names nobody.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// Names whose doing it was.
    #[must_use]
    pub fn by(self, source: EntityId) -> Self {
        Self { source: Some(source), ..self }
    }

    /// Names to whom it happened.
    #[must_use]
    pub fn to(self, target: EntityId) -> Self {
        Self { target: Some(target), ..self }
    }

    /// Says where.
    #[must_use]
    pub fn at(self, position: Vec3) -> Self {
        Self { position: Some(position), ..self }
    }

    /// The body of its message, of so many receivers as there are.
    pub fn encode(&self, tick: Tick) -> Bytes {
        let mut out = BytesMut::with_capacity(EVENT_HEADER_BYTES_MAX + self.body.len());
        let position = self.position.filter(|position| position.is_finite());
        out.put_u32_le(tick.0);
        let has = |what: u8, is_there: bool| if is_there { what } else { 0 };
        out.put_u8(
            has(HAS_SOURCE, self.source.is_some())
                + has(HAS_TARGET, self.target.is_some())
                + has(HAS_POSITION, position.is_some()),
        );
        self.source.iter().chain(&self.target).for_each(|id| out.put_u32_le(id.pack()));
        position.iter().flat_map(Vec3::to_array).for_each(|axis| out.put_f32_le(axis));
        out.put_slice(&self.body);
        out.freeze()
    }

    /// Reads what [`GameEvent::encode`] wrote, and when it happened.
    pub fn decode(mut bytes: Bytes) -> Result<(Tick, Self), DecodeError> {
        let truncated = |_| DecodeError::Truncated("event");
        let tick = Tick(bytes.try_get_u32_le().map_err(truncated)?);
        let names = bytes.try_get_u8().map_err(truncated)?;
        if names & !(HAS_SOURCE | HAS_TARGET | HAS_POSITION) != 0 {
            return Err(DecodeError::Invalid { what: "names of an event", value: u64::from(names) });
        }
        let mut event = Self::default();
        for (name, entity) in [(HAS_SOURCE, &mut event.source), (HAS_TARGET, &mut event.target)] {
            if names & name != 0 {
                *entity = Some(read_entity(bytes.try_get_u32_le().map_err(truncated)?)?);
            }
        }
        if names & HAS_POSITION != 0 {
            let mut axis = || bytes.try_get_f32_le().map_err(truncated);
            let position = Vec3::new(axis()?, axis()?, axis()?);
            if !position.is_finite() {
                return Err(DecodeError::Invalid { what: "position of an event", value: 0 });
            }
            event.position = Some(position);
        }
        event.body = bytes;
        Ok((tick, event))
    }
}

fn read_entity(word: u32) -> Result<EntityId, DecodeError> {
    let id = EntityId::unpack(word).and_then(|id| EntityId::from_wire(id.slot, id.generation));
    id.ok_or(DecodeError::Invalid { what: "entity of an event", value: u64::from(word) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entity() -> impl Strategy<Value = Option<EntityId>> {
        prop::option::of(
            (any::<u16>(), 1..u16::MAX).prop_map(|(slot, generation)| EntityId { slot, generation }),
        )
    }

    proptest! {
        #[test]
        fn events_arrive_as_they_were_told(
            tick in any::<u32>(), source in entity(), target in entity(),
            position in prop::option::of([-1e6..1e6_f32, -1e6..1e6, -1e6..1e6]),
            body in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let position = position.map(Vec3::from_array);
            let event = GameEvent { source, target, position, body: body.into() };
            prop_assert_eq!(GameEvent::decode(event.encode(Tick(tick))), Ok((Tick(tick), event)));
        }

        #[test]
        fn any_bytes_are_refused_or_have_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..40), names in 0..9_u8) {
            let mut bytes = bytes;
            if let Some(at) = bytes.get_mut(4) {
                *at = names;
            }
            if let Ok((tick, event)) = GameEvent::decode(bytes.clone().into()) {
                prop_assert_eq!(&event.encode(tick)[..], &bytes);
            }
        }
    }

    #[test]
    fn what_is_nowhere_has_no_position() {
        let nowhere = GameEvent::new("x").at(Vec3::NAN);
        assert_eq!(GameEvent::decode(nowhere.encode(Tick(1))), Ok((Tick(1), GameEvent::new("x"))));
    }
}
