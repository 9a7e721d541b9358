//! In a large room the snapshots of a part of the peers fall due at each step; in a small one all at once.

use std::collections::BTreeMap;

use tickwire_protocol::handshake::{Role, StreamKind};
use tickwire_protocol::{Micros, PeerId, RoomId, Tick, TickRate};
use tickwire_server::core::{Join, Room, RoomConfig, RoomIdentity};

use crate::receiver::Receiver;
use crate::turmoil::Turmoil;

fn room(snapshot_hz: u32, spectators: u32) -> (Room, Vec<Receiver>) {
    let config = RoomConfig::new(TickRate::new(60).unwrap(), snapshot_hz);
    let identity = RoomIdentity { id: RoomId(1), name: "test".to_owned(), seed: 2 };
    let mut room = Room::new(identity, config.clone(), Turmoil::boxed(Tick(1 << 20)), Micros::ZERO);
    let (stream, role) = (StreamKind::Ordered, Role::Spectator);
    let join = Join::new(role, stream);
    let mut receive = |_| Receiver::new(stream, room.join(Micros::ZERO, join.clone()).unwrap(), &config);
    let mut receivers: Vec<_> = (0..spectators).map(&mut receive).collect();
    // The first is due at once.
    for receiver in &mut receivers {
        receiver.poll(&mut room, Micros::ZERO);
    }
    (room, receivers)
}

/// At which ticks each peer got a snapshot, and how many did at each tick.
fn play(room: &mut Room, receivers: &mut [Receiver], ticks: u32) -> (BTreeMap<PeerId, Vec<u32>>, Vec<usize>) {
    let (mut of_peer, mut at_tick) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
    for _ in 0..ticks {
        let now = room.poll_timeout();
        let report = room.advance(now);
        let mut count = 0;
        for receiver in &mut *receivers {
            let before = receiver.applied;
            receiver.poll(room, now);
            if receiver.applied != before {
                of_peer.entry(receiver.peer).or_default().push(room.tick().0);
                count += 1;
            }
        }
        assert_eq!(report.snapshot_due, count > 0, "tick {}", room.tick());
        at_tick.push(count);
    }
    (of_peer, at_tick)
}

fn intervals(ticks: &[u32]) -> Vec<u32> {
    ticks.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn peers_of_a_large_room_take_turns_and_keep_their_interval() {
    let (mut room, mut receivers) = room(20, 200);
    play(&mut room, &mut receivers, 6);
    let (of_peer, at_tick) = play(&mut room, &mut receivers, 60);
    assert!(at_tick.iter().all(|count| (66..=67).contains(count)), "{at_tick:?}");
    assert!(
        of_peer.len() == 200
            && of_peer.values().all(|ticks| intervals(ticks).iter().all(|ticks| *ticks == 3))
    );
    // It grows small: they come together, each by a shift of two ticks at the most.
    for receiver in receivers.drain(90..) {
        room.leave(receiver.peer);
    }
    let (of_peer, at_tick) = play(&mut room, &mut receivers, 60);
    let shifted = |ticks: &[u32]| intervals(ticks).iter().filter(|ticks| **ticks != 3).count();
    assert!(of_peer.values().all(|ticks| shifted(ticks) <= 1));
    assert!(at_tick[6..].iter().all(|count| *count == 0 || *count == 90), "{at_tick:?}");
}

#[test]
fn rates_that_do_not_divide_are_spread_as_well() {
    let (mut room, mut receivers) = room(25, 130);
    play(&mut room, &mut receivers, 12);
    let (of_peer, at_tick) = play(&mut room, &mut receivers, 120);
    assert!(of_peer.values().all(|ticks| (49..=51).contains(&ticks.len())));
    assert!(of_peer.values().all(|ticks| intervals(ticks).iter().all(|ticks| (2..=3).contains(ticks))));
    assert!(at_tick.iter().filter(|count| **count == 0).count() < 30, "{at_tick:?}");
}

#[test]
fn a_small_room_shares_its_bytes_at_one_tick() {
    let (mut room, mut receivers) = room(20, 128);
    play(&mut room, &mut receivers, 3);
    let (_, at_tick) = play(&mut room, &mut receivers, 30);
    assert!(at_tick.iter().all(|count| *count == 0 || *count == 128), "{at_tick:?}");
}
