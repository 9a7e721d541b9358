//! Who is shown what: distance, the nearest few, whose entities they are, and what a game's rule says.

use bytes::Bytes;
use tickwire_netsim::Profile;
use tickwire_protocol::handshake::{Role, StreamKind};
use tickwire_protocol::ping::Ping;
use tickwire_protocol::schema::Sight;
use tickwire_protocol::snapshot::Coder;
use tickwire_protocol::snapshot::replica::Track;
use tickwire_protocol::{EntityId, Micros, PlayerId, RoomId, RowHead, RowRef, TickRate};
use tickwire_server::core::{Interest, InterestRule, Join, Looker, Room, RoomConfig, RoomIdentity};

use crate::receiver::Receiver;
use crate::run::{Run, run};
use crate::turmoil::{BODY, MARK, PLACE, Turmoil};

/// An entity of the newest tick.
#[derive(Clone, Copy)]
struct Seen {
    id: EntityId,
    is_mark: bool,
    owner: Option<PlayerId>,
    teams: u32,
    place: f32,
}

fn everyone(room: &Room) -> Vec<Seen> {
    let tables = room.history().newest().unwrap().tables(Sight::Public);
    let of_kind = |kind| {
        tables.rows(kind).map(move |(head, row)| Seen {
            id: head.id,
            is_mark: kind == MARK,
            owner: head.owner,
            teams: head.teams,
            place: row.scalar(PLACE),
        })
    };
    of_kind(BODY).chain(of_kind(MARK)).collect()
}

fn held(receiver: &Receiver) -> Vec<EntityId> {
    receiver.replica.view().map(Track::id).collect()
}

/// Where a player looks from: the first of its entities.
fn focus(all: &[Seen], player: PlayerId) -> Option<f32> {
    all.iter().find(|entity| entity.owner == Some(player)).map(|entity| entity.place)
}

/// What is near is held, what is far is not, and one's own is held wherever it is.
fn check_distance(receiver: &Receiver, room: &Room, enter: f32, leave: f32) {
    let (all, player) = (everyone(room), PlayerId(receiver.peer.0));
    let held = held(receiver);
    let Some(focus) = focus(&all, player) else { return };
    for entity in &all {
        let (is_held, away) = (held.contains(&entity.id), (entity.place - focus).abs());
        if entity.owner == Some(player) || away <= enter {
            assert!(is_held, "{} is {away} m away and not shown", entity.id);
        } else if away > leave {
            assert!(!is_held, "{} is {away} m away and shown", entity.id);
        }
    }
    assert!(held.iter().all(|id| all.iter().any(|entity| entity.id == *id)), "no ghosts");
}

#[test]
fn what_comes_near_is_told_and_what_goes_far_is_taken_away_on_any_link() {
    let (ordered, datagram) = (StreamKind::Ordered, StreamKind::Datagram);
    for (seed, name, stream, coder) in [
        (1, "perfect", ordered, Coder::Dense),
        (2, "4g", ordered, Coder::Fast),
        (3, "lossy", datagram, Coder::Dense),
        (4, "satellite", datagram, Coder::Fast),
    ] {
        let profile = Profile::named(name).unwrap();
        let interest = Interest::within(80.0).until(120.0);
        let stalls = seed % 2 == 0;
        let budget = Some(8_000);
        let played = Run { seed, profile, stream, seconds: 20, stalls, delta: true, coder, interest, budget };
        for receiver in run(&played, |receiver, room| check_distance(receiver, room, 80.0, 120.0)) {
            assert!(receiver.applied > 100, "{name}: {} frames", receiver.applied);
            assert!(stream == datagram || receiver.digests >= 15, "{name}: {} digests", receiver.digests);
            assert_eq!(receiver.unknown_states, 0, "{name}");
            assert!(receiver.cues.len() > 10, "{name}: {} cues of those in view", receiver.cues.len());
        }
    }
}

/// A room, and a receiver that has just come in.
fn open(interest: Interest, role: Role, stream: StreamKind) -> (Room, Receiver) {
    let rate = TickRate::new(60).unwrap();
    let config = RoomConfig { interest, ..RoomConfig::new(rate, 20) };
    let identity = RoomIdentity { id: RoomId(1), name: "test".to_owned(), seed: 3 };
    let calm = config.first_tick + 60 * 60;
    let mut room = Room::new(identity, config.clone(), Turmoil::boxed(calm), Micros::ZERO);
    let join = Join::new(role, stream);
    let peer = room.join(Micros::ZERO, join).unwrap();
    (room, Receiver::new(stream, peer, &config))
}

/// A room that plays for `seconds`, and a receiver that hears all of it at once.
fn watch(interest: Interest, role: Role, seconds: u64, mut look: impl FnMut(&mut Room, &Receiver)) {
    let (mut room, mut receiver) = open(interest, role, StreamKind::Ordered);
    let mut now = Micros::ZERO;
    while now < Micros::from_secs(seconds) {
        now = room.poll_timeout();
        if room.advance(now).snapshot_due {
            receiver.poll(&mut room, now);
            look(&mut room, &receiver);
        }
    }
}

/// What a receiver on datagrams was told of cues.
struct Heard {
    receiver: Receiver,
    /// Cues that came again, in the second half.
    again: usize,
    /// Cues of others more than 60 m away.
    from_afar: usize,
}

/// A room with a receiver on datagrams. `hears` says of each moment whether anything arrives, `answers` whether anything comes back.
fn watch_datagrams(interest: Interest, seconds: u64, hears: impl Fn(Micros) -> bool, answers: bool) -> Heard {
    let (mut room, mut receiver) = open(interest, Role::Player, StreamKind::Datagram);
    let (mut now, mut again_before, mut from_afar) = (Micros::ZERO, 0, 0);
    while now < Micros::from_secs(seconds) {
        now = room.poll_timeout();
        room.advance(now);
        let mut messages = Vec::new();
        room.poll_transmit(now, receiver.peer, |message| messages.push(Bytes::copy_from_slice(message)));
        for message in messages.into_iter().filter(|_| hears(now)) {
            // There is an answer to what is a snapshot.
            let Some(answer) = receiver.receive(message) else { continue };
            let all = everyone(&room);
            let player = PlayerId(receiver.peer.0);
            let focus = focus(&all, player);
            let is_far = |id| {
                let mut strangers = all.iter().filter(|entity| entity.owner != Some(player));
                let source = strangers.find(|entity| Some(entity.id) == id);
                source.zip(focus).is_some_and(|(source, focus)| (source.place - focus).abs() > 60.0)
            };
            from_afar += receiver.decoded.cues.iter().filter(|cue| is_far(cue.source)).count();
            if answers {
                room.handle_message(now, receiver.peer, answer.into()).unwrap();
            }
        }
        if now < Micros::from_secs(seconds / 2) {
            again_before = receiver.duplicate_cues;
        }
        // Who says nothing at all is let go.
        let ping = Ping { client_time: now };
        let mut message = Vec::new();
        ping.encode(&mut message);
        room.handle_message(now, receiver.peer, message.into()).unwrap();
    }
    Heard { again: receiver.duplicate_cues - again_before, receiver, from_afar }
}

#[test]
fn an_outage_does_not_make_cues_come_again_and_again() {
    let is_up = |now: Micros| !(5_000_000..7_000_000).contains(&now.0);
    let heard = watch_datagrams(Interest::everything(), 20, is_up, true);
    let cues = heard.receiver.cues.len();
    assert!(cues > 500 && heard.again == 0, "{} of {cues} came again", heard.again);
}

#[test]
fn whether_it_acks_or_not_nobody_hears_of_those_out_of_view() {
    for answers in [true, false] {
        let heard = watch_datagrams(Interest::within(20.0), 20, |_| true, answers);
        let cues = heard.receiver.cues.len();
        // Who acks nothing is sent little: its link may be full.
        let least = if answers { 50 } else { 10 };
        assert!(cues > least && heard.from_afar == 0, "{} of {cues}, {answers}", heard.from_afar);
    }
}

#[test]
fn of_a_crowd_the_nearest_few_are_shown_and_do_not_flicker() {
    let (mut looks, mut changes, mut last) = (0, 0, Vec::new());
    watch(Interest::within(1000.0).nearest(5), Role::Player, 30, |room, receiver| {
        let (all, player) = (everyone(room), PlayerId(receiver.peer.0));
        let Some(focus) = focus(&all, player) else { return };
        let held = held(receiver);
        let away = |entity: &Seen| (entity.place - focus).abs();
        let strangers = all.iter().filter(|entity| entity.owner != Some(player));
        let (shown, hidden): (Vec<_>, Vec<_>) = strangers.partition(|entity| held.contains(&entity.id));
        assert!(shown.len() <= 5);
        let farthest = shown.into_iter().map(away).fold(0.0, f32::max);
        let nearest_hidden = hidden.into_iter().map(away).fold(f32::INFINITY, f32::min);
        // Whoever is shown may be a ninth further away than one who is not.
        assert!(nearest_hidden >= farthest * 0.899, "{nearest_hidden} m, {farthest} m");
        changes += usize::from(last != held);
        last = held;
        looks += 1;
    });
    assert!(looks > 500 && changes > 5 && changes < looks / 3, "{changes} changes in {looks}");
}

#[test]
fn teammates_and_kinds_may_be_shown_wherever_they_are() {
    let mut far = 0;
    let interest = Interest::within(10.0).always(MARK).teammates();
    watch(interest, Role::Player, 20, |room, receiver| {
        let (all, player) = (everyone(room), PlayerId(receiver.peer.0));
        let held = held(receiver);
        let teams = all.iter().filter(|own| own.owner == Some(player)).fold(0, |mask, own| mask | own.teams);
        for entity in &all {
            if entity.is_mark || entity.teams & teams != 0 {
                assert!(held.contains(&entity.id), "{} is not shown", entity.id);
                let focus = focus(&all, player).unwrap_or_default();
                far += usize::from((entity.place - focus).abs() > 20.0);
            }
        }
    });
    assert!(far > 1000);
}

#[derive(Debug)]
struct Fog;

impl InterestRule for Fog {
    fn hides(&self, _: &Looker, head: &RowHead, _: RowRef<'_>) -> bool {
        head.id.slot % 2 == 1
    }

    fn reveal(&self, looker: &Looker, reveal: &mut dyn FnMut(EntityId)) {
        assert!(looker.player.is_none());
        (0..4).for_each(|slot| reveal(EntityId { slot, generation: 1 }));
    }
}

#[test]
fn a_games_rule_hides_and_reveals_and_a_spectator_looks_from_where_it_is_told() {
    let mut step = 0;
    watch(Interest::within(50.0).rule(Fog), Role::Spectator, 20, |room, receiver| {
        let held = held(receiver);
        let is_revealed = |id: EntityId| id.slot < 4 && id.generation == 1;
        assert!(held.iter().all(|id| id.slot % 2 == 0));
        for entity in everyone(room).iter().filter(|entity| entity.id.slot % 2 == 0) {
            let is_near = step > 0 && (entity.place - 100.0).abs() <= 50.0;
            let is_far = step == 0 || (entity.place - 100.0).abs() > 50.0 / 0.89;
            if is_near || is_revealed(entity.id) {
                assert!(held.contains(&entity.id), "{} at {step}", entity.id);
            } else if is_far {
                assert!(!held.contains(&entity.id), "{} at {step}", entity.id);
            }
        }
        step += 1;
        room.set_focus(receiver.peer, Some(glam::Vec3::new(100.0, 0.0, 0.0)));
    });
    assert!(step > 300);
}
