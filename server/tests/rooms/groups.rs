//! Groups: told to those who are in them, across lost connections, and to nobody else.

use std::collections::BTreeMap;

use tickwire_client::Event;
use tickwire_protocol::handshake::{FreshReason, Role, SessionOutcome};
use tickwire_protocol::limits::GROUPS_PER_PLAYER_MAX;
use tickwire_protocol::{GroupId, Micros, PlayerId, Schema};
use tickwire_sim::{GroupError, Groups};

use crate::hall::{Guest, Hall};
use crate::marshal::{Marshal, Orders};

const SECOND: Micros = Micros::from_secs(1);
const RED: GroupId = GroupId(7);
const BLUE: GroupId = GroupId(8);

/// A room, and what its game is to do.
struct Place {
    hall: Hall,
    orders: Orders,
}

impl Place {
    fn new() -> Self {
        let (marshal, orders) = Marshal::new(Schema::builder("groups"));
        let hall = Hall::new(Box::new(marshal), |config| config.session_window = Micros::from_secs(20));
        Self { hall, orders }
    }

    fn order(&self, order: impl FnOnce(&mut Groups) + Send + 'static) {
        self.orders.give(move |ctx| order(ctx.groups().expect("a room has groups")));
    }

    fn join(&self, group: GroupId, guests: &[&Guest]) {
        let players: Vec<_> = guests.iter().map(|guest| guest.player.unwrap()).collect();
        self.order(move |groups| players.iter().for_each(|player| groups.join(group, *player).unwrap()));
    }
}

fn told(guest: &Guest) -> BTreeMap<u32, Vec<u32>> {
    let ids = |players: &[PlayerId]| players.iter().map(|player| player.0).collect();
    guest.client.groups().iter().map(|(group, players)| (group.0, ids(players))).collect()
}

fn with(group: GroupId, guests: &[&Guest]) -> (u32, Vec<u32>) {
    (group.0, guests.iter().map(|guest| guest.player.unwrap().0).collect())
}

/// How often it was told that its groups are others.
fn news(guest: &mut Guest, now: Micros) -> usize {
    guest.events(now).into_iter().filter(|event| *event == Event::Groups).count()
}

#[test]
fn those_in_a_group_know_each_other_and_others_hear_nothing() {
    let mut place = Place::new();
    let mut guests = ["ada", "bob", "eve"].map(|name| Guest::new(&place.hall, Role::Player, name));
    let [ada, bob, eve] = &mut guests;
    place.hall.pass(SECOND, &mut [ada, bob, eve]);
    place.join(RED, &[ada, bob]);
    place.join(BLUE, &[ada]);
    place.hall.pass(SECOND, &mut [ada, bob, eve]);
    let red = with(RED, &[ada, bob]);
    assert_eq!(told(ada), BTreeMap::from([red.clone(), with(BLUE, &[ada])]));
    assert_eq!((told(bob), told(eve)), (BTreeMap::from([red]), BTreeMap::new()));
    assert_eq!([&mut *ada, bob, eve].map(|guest| news(guest, place.hall.now)), [1, 1, 0]);

    let (first, second) = (ada.player.unwrap(), bob.player.unwrap());
    place.order(move |groups| groups.leave(RED, first));
    place.hall.pass(SECOND, &mut [ada, bob, eve]);
    assert_eq!(
        (told(ada), told(bob)),
        (BTreeMap::from([with(BLUE, &[ada])]), BTreeMap::from([with(RED, &[bob])]))
    );
    place.order(move |groups| {
        groups.dissolve(BLUE);
        groups.join(RED, first).unwrap();
        groups.leave(RED, second);
    });
    place.hall.pass(SECOND, &mut [ada, bob, eve]);
    assert_eq!((told(ada), told(bob)), (BTreeMap::from([with(RED, &[ada])]), BTreeMap::new()));
    let several = "several changes, of which nobody has asked between, are one event";
    assert_eq!([&mut *ada, bob, eve].map(|guest| news(guest, place.hall.now)), [1, 1, 0], "{several}");
}

#[test]
fn a_session_that_goes_on_is_in_its_groups_and_a_fresh_one_in_none() {
    let mut place = Place::new();
    let mut guests = ["ada", "bob"].map(|name| Guest::new(&place.hall, Role::Player, name));
    let [ada, bob] = &mut guests;
    place.hall.pass(SECOND, &mut [ada, bob]);
    place.join(RED, &[ada, bob]);
    place.join(BLUE, &[bob]);
    place.hall.pass(SECOND, &mut [ada, bob]);
    news(bob, place.hall.now);
    place.hall.cut(bob);
    bob.is_held = true;
    let second = bob.player.unwrap();
    place.order(move |groups| groups.leave(BLUE, second));
    place.hall.pass(SECOND, &mut [ada]);
    assert_eq!(told(ada), BTreeMap::from([with(RED, &[ada, bob])]), "who is away is in it");
    bob.is_held = false;
    place.hall.pass(SECOND, &mut [ada, bob]);
    assert_eq!(bob.outcome, Some(SessionOutcome::Resumed));
    assert_eq!((told(bob), news(bob, place.hall.now)), (BTreeMap::from([with(RED, &[ada, bob])]), 1));

    place.hall.cut(bob);
    bob.is_held = true;
    place.hall.pass(Micros::from_secs(21), &mut [ada]);
    assert_eq!(told(ada), BTreeMap::from([with(RED, &[ada])]), "its session is over");
    bob.is_held = false;
    place.hall.pass(SECOND, &mut [ada, bob]);
    assert!(matches!(bob.outcome, Some(SessionOutcome::Fresh(FreshReason::Unknown))), "{:?}", bob.outcome);
    assert_eq!((told(bob), news(bob, place.hall.now)), (BTreeMap::new(), 1));
    place.order(move |groups| assert_eq!(groups.join(RED, second), Err(GroupError::NoSuchPlayer)));
    place.join(BLUE, &[ada]);
    place.hall.pass(SECOND, &mut [ada, bob]);
    assert_eq!(told(ada).len(), 2, "it was asked");
}

/// So often that of what was told in between more is left over than a client takes.
const ROUNDS: u32 = 1_000;

#[test]
fn a_game_that_regroups_faster_than_it_can_be_told_loses_nobody_and_is_told_once_it_rests() {
    let mut place = Place::new();
    let mut ada = Guest::new(&place.hall, Role::Player, "ada");
    place.hall.pass(SECOND, &mut [&mut ada]);
    let player = ada.player.unwrap();
    for round in 0..ROUNDS {
        let numbers = (0..GROUPS_PER_PLAYER_MAX as u32).map(move |number| GroupId(1_000 * round + number));
        place.order(move |groups| {
            let before: Vec<_> = groups.of(player).collect();
            for group in before {
                groups.leave(group, player);
            }
            numbers.for_each(|group| groups.join(group, player).unwrap());
        });
        place.hall.pass(Micros::from_millis(20), &mut [&mut ada]);
    }
    place.hall.pass(SECOND, &mut [&mut ada]);
    let last: Vec<_> =
        (0..GROUPS_PER_PLAYER_MAX as u32).map(|number| 1_000 * (ROUNDS - 1) + number).collect();
    assert_eq!(told(&ada).into_keys().collect::<Vec<_>>(), last);
}
