//! What is shown between two states, and when.

use std::f32::consts::PI;

use glam::{Quat, Vec3};
use tickwire_client::{ClientConfig, Event};
use tickwire_protocol::handshake::StreamKind;
use tickwire_protocol::{EntityId, Micros, TickTime};

use super::support::*;

/// From the first tick on, one snapshot every second tick; the entity moves a metre a tick.
fn walk(first_tick: u32) -> Pair {
    let server = FakeServer::new(StreamKind::Ordered, first_tick);
    let welcome = server.welcome_value();
    // Further back than the server says.
    let config = ClientConfig { interpolation_delay: Some(Micros(200_000)), ..ClientConfig::new("walk") };
    let mut pair = Pair::with(server, config, &welcome);
    for step in 1..=5_u8 {
        pair.server.set_x(id(3), f32::from(2 * step - 1));
        pair.step();
        pair.server.set_x(id(3), f32::from(2 * step));
        pair.send();
    }
    pair
}

#[test]
fn positions_are_on_the_line_between_two_states() {
    for first_tick in [1_000, u32::MAX - 5, u32::MAX - 6] {
        let pair = walk(first_tick);
        for (ticks, x) in [(2.0, 2.0), (2.25, 2.25), (3.5, 3.5), (4.0, 4.0), (9.75, 9.75), (10.0, 10.0)] {
            let shown = pair.x_at(id(3), ticks).unwrap();
            assert!((shown - x).abs() < 1e-4, "{shown} instead of {x} from tick {first_tick}");
        }
        assert_eq!(pair.x_at(id(3), 1.9), None, "not before its first state");
        assert_eq!(pair.x_at(id(3), 30.0), Some(10.0), "held when nothing newer is known");
        let view = pair.client.view(pair.when_shown(3.5));
        assert_eq!(
            view.tick_time(),
            TickTime { tick: tickwire_protocol::Tick(first_tick) + 3, fraction: 0.5 }
        );
        assert_eq!(view.server_time(), Micros(1_070_000) + AHEAD);
        let entity = view.find(id(3)).unwrap();
        assert_eq!(entity.latest().vec3(POSITION), Vec3::X * 10.0);
        assert_eq!(entity.latest_tick(), Some(pair.server.tick));
    }
}

#[test]
fn each_field_goes_its_own_way() {
    let mut pair = Pair::ordered();
    let there = Quat::from_rotation_z(1.0);
    pair.server.set(BODY, id(3), |row| {
        row.set_angle(YAW, 3.0)
            .set_rotation(ROTATION, Quat::IDENTITY)
            .set_integer(HEALTH, 100)
            .set_entity(TARGET, Some(id(9)));
    });
    pair.server.set(DOOR, id(1), |row| {
        row.set_scalar(WIDTH, 1.0);
    });
    pair.send();
    pair.step();
    pair.server.set(BODY, id(3), |row| {
        row.set_angle(YAW, -3.0)
            .set_rotation(ROTATION, there)
            .set_integer(HEALTH, 50)
            .set_entity(TARGET, None);
    });
    pair.server.set(DOOR, id(1), |row| {
        row.set_scalar(WIDTH, 2.0);
    });
    pair.send();
    let view = pair.client.view(pair.when_shown(2.0));
    let body = view.find(id(3)).unwrap();
    assert!((body.angle(YAW).abs() - PI).abs() < 2e-3, "the short way round: {}", body.angle(YAW));
    let forward = body.rotation(ROTATION) * Vec3::X;
    assert!(forward.distance(Quat::from_rotation_z(0.5) * Vec3::X) < 1e-3);
    assert_eq!((body.integer(HEALTH), body.entity(TARGET)), (100, Some(id(9))), "held until their time");
    let door = view.entities(DOOR).next().unwrap();
    assert_eq!((door.scalar(WIDTH), door.payload().unwrap().as_ref()), (1.5, b"one".as_slice()));
    assert_eq!(view.all().map(|entity| entity.kind()).collect::<Vec<_>>(), [BODY, DOOR]);
    let later = pair.client.view(pair.when_shown(3.0)).find(id(3)).unwrap().integer(HEALTH);
    assert_eq!(later, 50);
}

#[test]
fn a_jump_is_never_smeared() {
    let mut pair = Pair::ordered();
    pair.server.set_x(id(3), 0.0);
    pair.send();
    // The jump is in tick 2, told in tick 4.
    pair.server.set_x(id(3), 500.0);
    pair.server.head(id(3)).teleported = true;
    pair.step();
    pair.server.set_x(id(3), 501.0);
    pair.step();
    pair.server.set_x(id(3), 502.0);
    pair.send();
    for ticks in 0..120 {
        let ticks = 1.0 + f64::from(ticks) * 0.025;
        let x = pair.x_at(id(3), ticks).unwrap();
        assert!(x == 0.0 && ticks < 2.0 || x >= 500.0 && ticks >= 2.0, "{x} at {ticks}");
    }
}

#[test]
fn what_rested_starts_when_it_started() {
    let mut pair = Pair::ordered();
    pair.server.set_x(id(3), 7.0);
    for _ in 0..12 {
        pair.send();
    }
    // Still until tick 19; moves in tick 20; told in tick 22.
    for _ in 13..=19 {
        pair.step();
    }
    for step in 1..=3_u8 {
        pair.server.set_x(id(3), 7.0 + f32::from(step));
        pair.step();
    }
    let snapshot = pair.server.snapshot();
    pair.client.handle_message(pair.now, snapshot).unwrap();
    for (ticks, x) in [(12.0, 7.0), (18.5, 7.0), (19.0, 7.0), (20.0, 8.0), (21.5, 9.5), (22.0, 10.0)] {
        let shown = pair.x_at(id(3), ticks).unwrap();
        assert!((shown - x).abs() < 1e-4, "{shown} instead of {x} at {ticks}");
    }
}

#[test]
fn rest_of_long_ago_is_still_shown_while_newer_states_come() {
    let mut pair = Pair::ordered();
    pair.server.set_x(id(3), 7.0);
    for _ in 0..300 {
        pair.send();
    }
    for step in 1..=20_u8 {
        pair.server.set_x(id(3), 7.0 + f32::from(step));
        pair.send();
        let x = 7.0 + f32::from(step.saturating_sub(5));
        assert_eq!(pair.x_at(id(3), 300.0 + f64::from(step) - 5.0), Some(x));
    }
}

#[test]
fn entities_come_and_go_when_the_view_gets_there() {
    let mut pair = Pair::ordered();
    pair.events();
    pair.server.set_x(id(2), 1.0);
    pair.send();
    pair.server.set_x(id(3), 1.0);
    pair.send();
    pair.server.remove(id(2));
    pair.send();
    // A new tenant of the slot.
    let heir = EntityId { slot: 2, generation: 2 };
    pair.server.set_x(heir, 9.0);
    pair.send();
    let mut seen = Vec::new();
    for ticks in 0..60 {
        let ticks = f64::from(ticks) * 0.1;
        pair.now = pair.when_shown(ticks);
        seen.extend(pair.events().into_iter().map(|event| (ticks, event)));
        let view = pair.client.view(pair.now);
        let shown: Vec<_> = view.entities(BODY).map(|entity| entity.id()).collect();
        let expected: &[EntityId] = match ticks {
            t if t < 1.0 => &[],
            t if t < 2.0 => &[id(2)],
            t if t < 3.0 => &[id(2), id(3)],
            t if t < 4.0 => &[id(3)],
            _ => &[heir, id(3)],
        };
        assert_eq!(shown, expected, "at {ticks}");
    }
    let kind = BODY;
    let told = [
        (1.0, Event::Entered { id: id(2), kind }),
        (2.0, Event::Entered { id: id(3), kind }),
        (3.0, Event::Left { id: id(2), kind, despawned: true }),
        (4.0, Event::Entered { id: heir, kind }),
    ];
    assert_eq!(seen, told);
}

#[test]
fn a_cue_comes_once_and_in_time_however_often_it_is_sent() {
    let mut pair = Pair::new(StreamKind::Datagram, u32::MAX - 3);
    pair.events();
    pair.server.is_acked = false;
    pair.server.set_x(id(3), 1.0);
    pair.step();
    pair.server.cue(id(3), 0);
    pair.server.cue(id(3), 1);
    for _ in 0..10 {
        pair.send();
    }
    assert_eq!(pair.client.stats(pair.now).cues, 2);
    pair.now = pair.when_shown(0.99);
    assert_eq!(pair.events(), []);
    pair.now = pair.when_shown(1.0);
    let nths: Vec<_> = pair
        .events()
        .into_iter()
        .map(|event| match event {
            Event::Cue(cue) => {
                assert_eq!(cue.row(schema()).integer(tickwire_protocol::FieldId(0)), 5);
                cue.nth
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(nths, [0, 1]);
    pair.now = pair.when_shown(1.5);
    pair.send();
    assert!(!pair.events().iter().any(|event| matches!(event, Event::Cue(_))), "and never again");
}

#[test]
fn starvation_is_seen_and_added_up() {
    let mut pair = Pair::ordered();
    pair.server.set_x(id(3), 1.0);
    pair.send();
    assert!(!pair.client.view(pair.when_shown(1.0)).is_starved());
    let starved = Micros(pair.when_shown(1.0).0 + 1);
    assert!(pair.client.view(starved).is_starved());
    assert_eq!(pair.client.snapshot_age(starved), Some(DELAY + Micros(1)));
    // The next one comes 10 ticks later, when the view has been beyond for 5.
    for _ in 0..9 {
        pair.step();
    }
    pair.send();
    let stats = pair.client.stats(pair.now);
    assert_eq!((stats.watched, stats.starved), (Micros(200_000), Micros(100_000)));
    assert!((stats.starved_ratio() - 0.5).abs() < 1e-9);
    let stats = pair.client.stats(pair.now + Micros(150_000));
    assert_eq!((stats.watched, stats.starved), (Micros(350_000), Micros(150_000)));
}
