//! Game events come once, at their time, and not before those whom they name.

use std::sync::Arc;

use tickwire_client::{Event, ToldEvent};
use tickwire_protocol::message::{Direction, GameEvent, MessageClass, MessageType, MessageTypeId, SendError};
use tickwire_sim::Audience;
use tickwire_sim::prelude::*;

use super::{HZ, House, Play, schema};

const AT_ONCE: MessageTypeId = MessageTypeId(0);
const IN_TIME: MessageTypeId = MessageTypeId(1);
const TALK: MessageTypeId = MessageTypeId(2);

fn with_events() -> Arc<Schema> {
    let ty = |id, name, class| MessageType::new(id, name, Direction::ToClient, class, 64);
    schema([
        ty(AT_ONCE, "at once", MessageClass::Event),
        ty(IN_TIME, "in time", MessageClass::Event).in_view_time(),
        ty(TALK, "talk", MessageClass::Reliable),
    ])
}

fn told(events: &[Event]) -> impl Iterator<Item = &ToldEvent> {
    events.iter().filter_map(|event| match event {
        Event::Game(told) => Some(told),
        _ => None,
    })
}

/// Every half second somebody comes, and two events say so in that very tick; after another 10 ticks it ends, which is said as well.
fn come_and_go(play: &mut Play, ctx: &mut StepContext<'_>) {
    let nth = ctx.tick().0 % (HZ / 2);
    if nth == 0 {
        let id = ctx.spawn(super::ACTOR);
        play.actors.push(id);
        for ty in [AT_ONCE, IN_TIME] {
            let event = GameEvent::new("+").by(id).at(Vec3::X);
            ctx.emit_event(Audience::Room, ty, &event).unwrap();
        }
    }
    if nth == 10
        && let Some(id) = play.actors.pop()
    {
        ctx.emit_event(Audience::Room, IN_TIME, &GameEvent::new("-").to(id)).unwrap();
    }
}

#[test]
fn an_event_is_told_behind_the_entrance_of_whom_it_names_and_before_its_leave() {
    let mut house = House::new(with_events(), come_and_go, 1);
    house.run(10 * HZ);
    let events = &house.seats[0].events;
    let place = |is_it: &dyn Fn(&Event) -> bool| events.iter().position(is_it).unwrap();
    let mut seen = 0;
    for (at, told) in events.iter().enumerate() {
        let Event::Game(told) = told else { continue };
        let id = told.event.source.or(told.event.target).unwrap();
        let entered = place(&|event| matches!(event, Event::Entered { id: who, .. } if *who == id));
        let left = events.iter().position(|event| matches!(event, Event::Left { id: who, .. } if *who == id));
        assert!(entered < at, "{told:?}");
        assert!(left.is_none_or(|left| at < left), "{told:?}");
        assert_eq!(
            (told.source_in_view, told.target_in_view),
            (told.event.source.is_some(), told.event.target.is_some())
        );
        seen += 1;
    }
    assert!(seen >= 3 * 15, "{seen}");
}

/// A number each 7 ticks.
fn count(_: &mut Play, ctx: &mut StepContext<'_>) {
    let tick = ctx.tick().0;
    if tick.is_multiple_of(7) && tick < 40 * HZ {
        let event = GameEvent::new(tick.to_le_bytes().to_vec());
        ctx.emit_event(Audience::Room, [AT_ONCE, IN_TIME][tick as usize % 2], &event).unwrap();
    }
}

#[test]
fn events_come_once_and_in_order_over_lost_connections() {
    let mut house = House::new(with_events(), count, 1);
    for _ in 0..12 {
        house.run(3 * HZ);
        house.cut(0);
    }
    // The last wait before a connection may be long.
    house.run(70 * HZ);
    for ty in [AT_ONCE, IN_TIME] {
        let of_type = told(&house.seats[0].events).filter(|told| told.ty == ty);
        let told = of_type
            .map(|told| told.event.body[0] as u32 | u32::from(told.event.body[1]) << 8)
            .collect::<Vec<_>>();
        let first = told[0];
        let expected = (first..40 * HZ).step_by(14).collect::<Vec<_>>();
        assert_eq!(told, expected, "{ty}");
    }
}

fn name_nobody_there(_: &mut Play, ctx: &mut StepContext<'_>) {
    if ctx.tick().0 == 3 * HZ {
        let nobody = EntityId { slot: 900, generation: 1 };
        ctx.emit_event(Audience::Room, AT_ONCE, &GameEvent::new("?").by(nobody)).unwrap();
        ctx.emit_event(Audience::Room, AT_ONCE, &GameEvent::new("!")).unwrap();
    }
}

#[test]
fn who_never_comes_is_waited_for_for_a_second() {
    let mut house = House::new(with_events(), name_nobody_there, 1);
    house.run(3 * HZ + HZ / 2);
    assert_eq!(told(&house.seats[0].events).map(|told| &told.event.body[..]).collect::<Vec<_>>(), [b"!"]);
    house.run(HZ);
    let last = told(&house.seats[0].events).last().unwrap();
    assert_eq!((&last.event.body[..], last.source_in_view), (&b"?"[..], false));
}

/// As much talk as there is room for, and then an event.
fn talk_over_it(play: &mut Play, ctx: &mut StepContext<'_>) {
    if ctx.tick().0 == 2 * HZ {
        while ctx.send(Audience::Room, TALK, 0, vec![1; 64].into()).is_ok() {}
        ctx.emit_event(Audience::Room, AT_ONCE, &GameEvent::new("now")).unwrap();
        let wrong = ctx.send(Audience::Room, AT_ONCE, 0, Bytes::new());
        play.note(wrong.unwrap_err().to_string());
        assert!(matches!(
            ctx.emit_event(Audience::Room, TALK, &GameEvent::new("")),
            Err(SendError::OtherCall { call: "send", .. })
        ));
    }
}

#[test]
fn events_overtake_a_window_full_of_messages() {
    let mut house = House::new(with_events(), talk_over_it, 1);
    house.run(3 * HZ);
    let events = &house.seats[0].events;
    assert_eq!(told(events).count(), 1);
    let talk = |events: &[Event]| events.iter().filter(|event| matches!(event, Event::Message(_))).count();
    let place = events.iter().position(|event| matches!(event, Event::Game(_))).unwrap();
    assert!(talk(events) > 500, "{}", talk(events));
    assert!(talk(&events[..place]) < 32, "what came with it, at most: {}", talk(&events[..place]));
    assert_eq!(house.notes(), ["message `at once` is sent by `emit_event`"]);
}
