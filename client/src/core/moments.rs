//! When a game event is told: at once or in view time, and not before those whom it names are in view.
//!
//! Events wait in the inbox until they are told, so that what nobody was told of is not acked. One that waits for an entity holds up no
//! other. Nobody is waited for who has left, and for a second at most: interest or a budget may keep an entity from ever coming.

use tickwire_protocol::message::{GameEvent, Inbox, Message, MessageType, MessageTypeId};
use tickwire_protocol::{EntityId, Schema, Tick};

/// A game event as it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct ToldEvent {
    /// What it is.
    pub ty: MessageTypeId,
    /// The tick in which it happened.
    pub tick: Tick,
    /// What happened, to whom and where.
    pub event: GameEvent,
    /// Whether the source is in the view of now. If one is named and is not, it has left, or did not come within a second.
    pub source_in_view: bool,
    /// The same of the target.
    pub target_in_view: bool,
}

/// Where an entity is, as far as the game was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Presence {
    /// It has entered the view.
    InView,
    /// It may come yet.
    Unknown,
    /// It has been in the view and has left.
    Gone,
}

/// What an event waits for.
pub(crate) struct Waits<'a> {
    pub(crate) schema: &'a Schema,
    /// The tick that the view shows.
    pub(crate) view: Tick,
    /// For how long an entity is waited for behind the tick of its event, ticks.
    pub(crate) patience: u32,
    /// Where an entity is.
    pub(crate) presence: &'a dyn Fn(EntityId) -> Presence,
    /// Whether something of this tick comes before all else that the view is to tell.
    pub(crate) is_turn: &'a dyn Fn(Tick) -> bool,
}

impl Waits<'_> {
    /// The first event whose moment has come.
    pub(crate) fn take(&self, inbox: &mut Inbox) -> Option<ToldEvent> {
        let find = |(place, message): (usize, &Message)| Some((place, self.told(message)?));
        let (place, told) = inbox.events().find_map(find)?;
        inbox.take_event(place);
        Some(told)
    }

    fn told(&self, message: &Message) -> Option<ToldEvent> {
        let mut told = ToldEvent::unseen(message)?;
        let is_early = told.tick.is_newer_than(self.view);
        let in_view_time = self.schema.message(told.ty).is_some_and(MessageType::is_in_view_time);
        if (is_early && in_view_time) || !(self.is_turn)(told.tick) {
            return None;
        }
        let is_late = self.view.since(told.tick) >= self.patience as i32;
        for (named, in_view) in
            [(told.event.source, &mut told.source_in_view), (told.event.target, &mut told.target_in_view)]
        {
            match named.map(self.presence) {
                Some(Presence::Unknown) if !is_late => return None,
                presence => *in_view = presence == Some(Presence::InView),
            }
        }
        Some(told)
    }
}

impl ToldEvent {
    /// As it is told where there is no view; nothing if it is no event.
    pub(crate) fn unseen(message: &Message) -> Option<Self> {
        let (tick, event) = GameEvent::decode(message.body.clone()).ok()?;
        Some(Self { ty: message.ty, tick, event, source_in_view: false, target_in_view: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::cell::Cell;
    use std::sync::Arc;
    use tickwire_protocol::Micros;
    use tickwire_protocol::frame::frames;
    use tickwire_protocol::message::{Direction, MessageClass, MessageId, Outbox};

    const AT_ONCE: MessageTypeId = MessageTypeId(0);
    const IN_TIME: MessageTypeId = MessageTypeId(1);
    const WHO: EntityId = EntityId { slot: 3, generation: 1 };

    fn schema() -> Arc<Schema> {
        let event = |id, name| MessageType::new(id, name, Direction::ToClient, MessageClass::Event, 8);
        Schema::builder("events")
            .message(event(AT_ONCE, "at once"))
            .message(event(IN_TIME, "in time").in_view_time())
            .build()
            .unwrap()
    }

    fn inbox(events: &[(MessageTypeId, u32, GameEvent)]) -> Inbox {
        let mut outbox = Outbox::new(schema(), Direction::ToClient);
        for (number, (ty, tick, event)) in (0..).zip(events) {
            outbox.send_event(Micros(1), MessageId(number), *ty, event.encode(Tick(*tick)).into()).unwrap();
        }
        let mut out = Vec::new();
        outbox.poll_transmit(Micros(1), 10_000, &mut out);
        let mut inbox = Inbox::new(schema(), Direction::ToClient);
        for frame in frames(Bytes::from(out)) {
            inbox.handle_message(frame.unwrap().payload).unwrap();
        }
        inbox
    }

    /// What is told when the view is at a tick, by the bodies.
    fn told_at(inbox: &mut Inbox, view: u32, presence: Presence) -> Vec<ToldEvent> {
        let schema = schema();
        let waits = Waits {
            schema: &schema,
            view: Tick(view),
            patience: 60,
            presence: &|_| presence,
            is_turn: &|_| true,
        };
        std::iter::from_fn(|| waits.take(inbox)).collect()
    }

    fn bodies(told: &[ToldEvent]) -> Vec<u8> {
        told.iter().map(|told| told.event.body[0]).collect()
    }

    #[test]
    fn each_comes_at_its_time() {
        let events = [(IN_TIME, 10, GameEvent::new(vec![1])), (AT_ONCE, 10, GameEvent::new(vec![2]))];
        let mut inbox = inbox(&events);
        assert_eq!(bodies(&told_at(&mut inbox, 9, Presence::Unknown)), [2], "one holds up no other");
        assert_eq!(bodies(&told_at(&mut inbox, 10, Presence::Unknown)), [1]);
        let mut ack = Vec::new();
        inbox.poll_ack(&mut ack);
        assert_eq!(ack, [3, 11, 2, 2, 0], "both are acked now that the first is told");
    }

    #[test]
    fn what_is_not_told_is_not_acked() {
        let events = [(IN_TIME, 10, GameEvent::new(vec![1])), (AT_ONCE, 10, GameEvent::new(vec![2]))];
        let mut inbox = inbox(&events);
        told_at(&mut inbox, 9, Presence::Unknown);
        assert!(!inbox.has_ack());
    }

    #[test]
    fn whom_it_names_is_waited_for_for_a_while() {
        for ty in [AT_ONCE, IN_TIME] {
            let mut inbox =
                inbox(&[(ty, 10, GameEvent::new(vec![1]).by(WHO)), (ty, 10, GameEvent::new(vec![2]))]);
            assert_eq!(bodies(&told_at(&mut inbox, 30, Presence::Unknown)), [2]);
            let told = told_at(&mut inbox, 31, Presence::InView);
            assert_eq!(
                (bodies(&told), told[0].source_in_view, told[0].target_in_view),
                (vec![1], true, false)
            );
        }
        let mut inbox = inbox(&[(AT_ONCE, 10, GameEvent::new(vec![1]).to(WHO))]);
        assert_eq!(told_at(&mut inbox, 69, Presence::Unknown), []);
        let told = told_at(&mut inbox, 70, Presence::Unknown);
        assert_eq!((bodies(&told), told[0].target_in_view), (vec![1], false), "and no longer");
    }

    #[test]
    fn nobody_is_waited_for_who_has_left() {
        let mut inbox = inbox(&[(IN_TIME, 10, GameEvent::new(vec![1]).by(WHO).to(WHO))]);
        let told = told_at(&mut inbox, 10, Presence::Gone);
        assert_eq!((bodies(&told), told[0].source_in_view), (vec![1], false));
    }

    #[test]
    fn what_the_view_tells_of_a_tick_before_comes_first() {
        let (schema, turn) = (schema(), Cell::new(false));
        let mut inbox = inbox(&[(AT_ONCE, 10, GameEvent::new(vec![1]))]);
        let waits = Waits {
            schema: &schema,
            view: Tick(20),
            patience: 60,
            presence: &|_| Presence::InView,
            is_turn: &|tick| tick == Tick(10) && turn.get(),
        };
        assert_eq!(waits.take(&mut inbox), None);
        turn.set(true);
        assert!(waits.take(&mut inbox).is_some());
    }
}
