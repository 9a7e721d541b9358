//! Who is in the room, what they call themselves, and who is told of it when.

use tickwire_client::{Event, MemberEvent};
use tickwire_protocol::handshake::{FreshReason, Role, SessionOutcome};
use tickwire_protocol::room::{LeaveReason, ListRooms};
use tickwire_protocol::{Micros, Misbehavior, PeerFault, PlayerId};
use tickwire_sim::arena::{Arena, Level};

use crate::hall::{Guest, Hall, profile};

const SECOND: Micros = Micros::from_secs(1);

/// Sessions wait for eight seconds.
fn hall() -> Hall {
    let arena = Arena::new(Level::for_players(16));
    Hall::new(Box::new(arena), |config| config.session_window = Micros::from_secs(8))
}

fn news(guest: &mut Guest, now: Micros) -> Vec<MemberEvent> {
    let member = |event| if let Event::Member(event) = event { Some(event) } else { None };
    guest.events(now).into_iter().filter_map(member).collect()
}

#[test]
fn who_joins_learns_of_all_and_all_learn_of_who_joins_and_leaves() {
    let mut hall = hall();
    let (mut ada, mut bob) = (Guest::new(&hall, Role::Player, "ada"), Guest::new(&hall, Role::Player, "bob"));
    hall.pass(SECOND, &mut [&mut ada]);
    hall.pass(SECOND, &mut [&mut ada, &mut bob]);
    let [a, b] = [&ada, &bob].map(|guest| guest.player.unwrap());
    assert_eq!(news(&mut ada, hall.now), [MemberEvent::Present(a), MemberEvent::Joined(b)]);
    assert_eq!(news(&mut bob, hall.now), [MemberEvent::Present(a), MemberEvent::Present(b)]);
    assert_eq!([ada.names(), bob.names()], ["ada bob", "ada bob"]);
    assert_eq!(bob.client.members().get(a).unwrap().profile, profile("ada"));

    hall.room.leave(bob.peer.unwrap());
    hall.pass(SECOND, &mut [&mut ada]);
    let told = news(&mut ada, hall.now);
    assert!(
        matches!(&told[..], [MemberEvent::Left { member, reason: Some(LeaveReason::Left) }] if member.player == b)
    );
    assert_eq!(ada.names(), "ada");
}

/// How many messages one is sent in a second at so many snapshots a second, if nothing happens, and if ten others lose their connections
/// one after the other.
fn messages_in_a_second(snapshot_hz: u32) -> (usize, usize) {
    let arena = Arena::new(Level::for_players(16));
    let mut hall = Hall::new(Box::new(arena), |config| config.snapshot_hz = snapshot_hz);
    let mut ada = Guest::new(&hall, Role::Player, "ada");
    let mut others: Vec<_> = (0..10).map(|_| Guest::new(&hall, Role::Player, "bob")).collect();
    hall.pass(SECOND, &mut others.iter_mut().chain([&mut ada]).collect::<Vec<_>>());
    let begun = ada.messages;
    hall.pass(SECOND, &mut [&mut ada]);
    let quiet = ada.messages - begun;
    for (number, other) in others.iter_mut().enumerate() {
        other.is_held = true;
        hall.cut(other);
        hall.pass(Micros::from_millis(100), &mut [&mut ada]);
        let away = ada.names().matches("(bob)").count();
        assert_eq!(away, number + 1, "told within a tenth of a second, at {snapshot_hz} Hz");
    }
    (quiet, ada.messages - begun - quiet)
}

#[test]
fn what_is_told_of_others_goes_with_snapshots_where_these_come_often() {
    let (quiet, busy) = messages_in_a_second(20);
    assert!(busy <= quiet + 1, "{busy} messages, {quiet} without news");
    let (quiet, busy) = messages_in_a_second(5);
    assert!(busy >= quiet + 5, "news do not wait for long: {busy} messages, {quiet} without");
}

#[test]
fn who_breaks_the_protocol_is_removed_and_the_others_hear_so() {
    let mut hall = hall();
    let (mut ada, mut bob) = (Guest::new(&hall, Role::Player, "ada"), Guest::new(&hall, Role::Player, "bob"));
    hall.pass(SECOND, &mut [&mut ada, &mut bob]);
    drop(news(&mut ada, hall.now));
    // Rooms are asked for before a hello, and not in a room.
    let mut list = Vec::new();
    ListRooms::default().encode(&mut list);
    let fault = hall.room.handle_message(hall.now, bob.peer.unwrap(), list.into()).unwrap_err();
    assert_eq!(fault, PeerFault::Misbehaved(Misbehavior::UnexpectedFrame(21)));
    hall.pass(SECOND, &mut [&mut ada]);
    let told = news(&mut ada, hall.now);
    assert!(
        matches!(&told[..], [MemberEvent::Left { member, reason: Some(LeaveReason::Removed) }] if Some(member.player) == bob.player)
    );
}

#[test]
fn a_lost_connection_is_told_and_so_is_who_comes_back_and_who_does_not() {
    let mut hall = hall();
    let mut guests = ["ada", "bob", "eve"].map(|name| Guest::new(&hall, Role::Player, name));
    let [ada, bob, eve] = &mut guests;
    hall.pass(SECOND, &mut [ada, bob, eve]);
    drop(news(ada, hall.now));
    drop(news(bob, hall.now));
    let [b, e] = [&*bob, eve].map(|guest| guest.player.unwrap());

    (bob.is_held, eve.is_held) = (true, true);
    hall.cut(bob);
    hall.cut(eve);
    hall.pass(SECOND, &mut [ada, bob, eve]);
    assert_eq!(news(ada, hall.now), [MemberEvent::ConnectionLost(b), MemberEvent::ConnectionLost(e)]);
    assert_eq!(ada.names(), "ada (bob) (eve)");

    bob.is_held = false;
    hall.pass(SECOND, &mut [ada, bob, eve]);
    assert_eq!(news(ada, hall.now), [MemberEvent::Back(b)]);
    assert_eq!(bob.outcome, Some(SessionOutcome::Resumed));
    // It has seen neither its own loss nor its return: of the others it hears what it has missed, once.
    assert_eq!(news(bob, hall.now), [MemberEvent::ConnectionLost(e)]);
    assert_eq!(bob.names(), "ada bob (eve)");

    hall.pass(Micros::from_secs(10), &mut [ada, bob]);
    let told = news(ada, hall.now);
    assert!(
        matches!(&told[..], [MemberEvent::Left { member, reason: Some(LeaveReason::Lost) }] if member.player == e)
    );
}

#[test]
fn the_table_survives_a_resume_exactly_whatever_happened_meanwhile() {
    let mut hall = hall();
    let mut guests = ["ada", "bob", "eve"].map(|name| Guest::new(&hall, Role::Player, name));
    let [ada, bob, eve] = &mut guests;
    hall.pass(SECOND, &mut [ada, bob, eve]);
    ada.is_held = true;
    hall.cut(ada);
    hall.room.leave(eve.peer.take().unwrap());
    let mut guests = ["fay", "gus", "hal"].map(|name| Guest::new(&hall, Role::Player, name));
    let [fay, gus, hal] = &mut guests;
    hall.pass(SECOND, &mut [bob, fay, gus, hal]);
    hall.room.leave(gus.peer.take().unwrap());
    bob.client.set_profile(profile("rob"));
    hall.pass(SECOND, &mut [bob, fay, hal]);
    drop(news(ada, hall.now));

    ada.is_held = false;
    hall.pass(SECOND, &mut [ada, bob, fay, hal]);
    assert_eq!(ada.outcome, Some(SessionOutcome::Resumed));
    assert_eq!([ada.names(), bob.names()], ["ada rob fay hal"; 2]);
    let told = news(ada, hall.now);
    let is_of = |event: &MemberEvent| match event {
        MemberEvent::Joined(_) => 'j',
        MemberEvent::Changed(_) => 'c',
        MemberEvent::Left { reason: Some(LeaveReason::Left), .. } => 'l',
        _ => '?',
    };
    let mut kinds: Vec<_> = told.iter().map(is_of).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ['c', 'j', 'j', 'l'], "of who came and went meanwhile nothing: {told:?}");
}

#[test]
fn a_fresh_session_begins_with_an_empty_table() {
    let mut hall = hall();
    let (mut ada, mut bob) = (Guest::new(&hall, Role::Player, "ada"), Guest::new(&hall, Role::Player, "bob"));
    hall.pass(SECOND, &mut [&mut ada, &mut bob]);
    drop(news(&mut ada, hall.now));
    ada.is_held = true;
    hall.cut(&mut ada);
    hall.pass(Micros::from_secs(10), &mut [&mut bob]);
    ada.is_held = false;
    hall.pass(SECOND, &mut [&mut ada, &mut bob]);
    assert_eq!(ada.outcome, Some(SessionOutcome::Fresh(FreshReason::Unknown)));
    let present = [&bob, &ada].map(|guest| MemberEvent::Present(guest.player.unwrap()));
    assert_eq!(news(&mut ada, hall.now), present, "nobody has left a table that is no more");
    assert_eq!(ada.names(), "bob ada");
}

#[test]
fn a_profile_changes_at_most_once_a_second_and_the_newest_counts() {
    let mut hall = hall();
    let (mut ada, mut bob) = (Guest::new(&hall, Role::Player, "ada"), Guest::new(&hall, Role::Player, "bob"));
    hall.pass(SECOND, &mut [&mut ada, &mut bob]);
    drop(news(&mut ada, hall.now));
    let mut changes = 0;
    for name in 0..40 {
        bob.client.set_profile(profile(&name.to_string()));
        hall.pass(Micros::from_millis(50), &mut [&mut ada, &mut bob]);
        changes += news(&mut ada, hall.now).len();
    }
    assert_eq!(changes, 2, "in two seconds");
    hall.pass(SECOND, &mut [&mut ada, &mut bob]);
    assert_eq!(ada.names(), "ada 39");
}

#[test]
fn a_name_may_change_while_there_is_no_connection() {
    let mut hall = hall();
    let (mut ada, mut bob) = (Guest::new(&hall, Role::Player, "ada"), Guest::new(&hall, Role::Player, "bob"));
    hall.pass(SECOND, &mut [&mut ada, &mut bob]);
    hall.cut(&mut bob);
    bob.client.set_profile(profile("rob"));
    hall.pass(SECOND, &mut [&mut ada, &mut bob]);
    assert_eq!([ada.names(), bob.names()], ["ada rob"; 2]);
}

#[test]
fn spectators_are_told_and_are_not_members() {
    let mut hall = hall();
    let (mut ada, mut eve) =
        (Guest::new(&hall, Role::Player, "ada"), Guest::new(&hall, Role::Spectator, "eve"));
    hall.pass(SECOND, &mut [&mut ada, &mut eve]);
    eve.client.set_profile(profile("evelyn"));
    hall.pass(SECOND, &mut [&mut ada, &mut eve]);
    assert_eq!([ada.names(), eve.names()], ["ada"; 2]);
}

#[test]
fn a_crowd_is_told_of_at_a_bounded_pace() {
    const CROWD: u32 = 400;
    let mut hall = Hall::new(Box::new(Arena::new(Level::for_players(16))), |config| {
        config.players_max = CROWD + 1;
        config.budget = Some(1_000);
        config.join_rate = Some(1_000);
    });
    let mut watcher = Guest::new(&hall, Role::Spectator, "");
    let long = "x".repeat(60);
    let mut crowd: Vec<_> = (0..CROWD).map(|_| Guest::new(&hall, Role::Player, &long)).collect();
    let mut all: Vec<_> = crowd.iter_mut().collect();
    // Each of them says hello, and then no more: what they are told nobody asks for.
    hall.pass(Micros(5_000), &mut all);
    let (mut known, mut bytes) = (0, 0);
    for second in 1..=20_u64 {
        hall.pass(SECOND, &mut [&mut watcher]);
        // 4 KiB of members a second, and as much at once before; the snapshots of a 1,000 byte budget beside it.
        let told = watcher.bytes - bytes;
        assert!(told < if second == 1 { 11_000 } else { 6_500 }, "{told} bytes in second {second}");
        (known, bytes) = (watcher.client.members().len(), watcher.bytes);
        if watcher.client.members().is_whole() {
            break;
        }
    }
    assert_eq!(known as u32, CROWD);
    assert!(watcher.client.members().get(PlayerId(7)).is_some());
}
