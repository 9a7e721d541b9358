use tickwire_protocol::limits::ROOMS_PER_PAGE_MAX;
use tickwire_protocol::room::RoomFilter;

use super::*;

fn directory() -> Directory {
    Directory::new(DirectoryConfig {
        players_max: 5,
        room_players_max: 2,
        room_spectators_max: 1,
        rooms_max: 3,
        opening: RoomOpening::Wished,
    })
}

fn anything(_: &str) -> bool {
    true
}

fn any(directory: &mut Directory) -> Result<u32, RejectReason> {
    directory.place(&RoomWish::Any, Role::Player, anything).map(|placement| placement.room.0)
}

#[test]
fn rooms_fill_up_before_new_ones_open() {
    let mut directory = directory();
    let places: Vec<_> = (0..5).map(|_| any(&mut directory).unwrap()).collect();
    assert_eq!(places, [1, 1, 2, 2, 3]);
    assert_eq!(any(&mut directory), Err(RejectReason::ServerFull { players: 5, max: 5 }));
    directory.leave(RoomId(2), Role::Player);
    assert_eq!(any(&mut directory), Ok(2));
}

#[test]
fn a_named_room_is_shared_by_those_who_name_it_and_by_nobody_else() {
    let mut directory = directory();
    let wish = RoomWish::Named("duel".to_owned());
    let first = directory.place(&wish, Role::Player, anything).unwrap();
    let opened = NewRoom { name: "duel".to_owned(), players_max: 2, ..NewRoom::default() };
    assert_eq!(first, Placement { room: RoomId(1), open: Some(opened) });
    assert_eq!(any(&mut directory), Ok(2));
    assert_eq!(
        directory.place(&wish, Role::Player, anything).unwrap(),
        Placement { room: RoomId(1), open: None }
    );
    let full = RejectReason::RoomFull { players: 2, max: 2 };
    assert_eq!(directory.place(&wish, Role::Player, anything), Err(full));
    assert_eq!(directory.players(), 3, "a refused one takes no place");
}

#[test]
fn naming_rooms_opens_only_so_many() {
    let mut directory = directory();
    let watch = |directory: &mut Directory, name: &str| {
        directory
            .place(&RoomWish::Named(name.to_owned()), Role::Spectator, anything)
            .map(|placement| placement.room.0)
    };
    assert_eq!(["a", "b", "c"].map(|name| watch(&mut directory, name)), [Ok(1), Ok(2), Ok(3)]);
    assert_eq!(watch(&mut directory, "d"), Err(RejectReason::TooManyRooms { max: 3 }));
    assert_eq!(
        any(&mut directory),
        Err(RejectReason::TooManyRooms { max: 3 }),
        "named rooms are not for anyone"
    );
    directory.leave(RoomId(2), Role::Spectator);
    assert!(directory.close_if_empty(RoomId(2)));
    assert_eq!(any(&mut directory), Ok(4));
}

#[test]
fn only_an_empty_room_closes() {
    let mut directory = directory();
    any(&mut directory).unwrap();
    assert!(!directory.close_if_empty(RoomId(1)));
    directory.leave(RoomId(1), Role::Player);
    assert!(directory.close_if_empty(RoomId(1)));
    assert_eq!((directory.rooms(), directory.players()), (0, 0));
    assert_eq!(any(&mut directory), Ok(2), "numbers are not given twice");
}

#[test]
fn a_failed_room_gives_its_places_back() {
    let mut directory = directory();
    (0..4).for_each(|_| drop(any(&mut directory)));
    directory.remove(RoomId(1));
    assert_eq!(directory.players(), 2);
    assert_eq!(any(&mut directory), Ok(3));
}

/// What a wish of a player leads to: the room's number, and whether it was opened.
fn wish(directory: &mut Directory, wish: &RoomWish) -> Result<(u32, bool), RejectReason> {
    let placement = directory.place(wish, Role::Player, anything)?;
    Ok((placement.room.0, placement.open.is_some()))
}

fn secret(text: &str) -> Option<RoomSecret> {
    RoomSecret::new(text).ok()
}

fn existing(name: &str, secret: Option<RoomSecret>) -> RoomWish {
    RoomWish::Existing { name: name.to_owned(), secret }
}

fn den() -> NewRoom {
    NewRoom {
        name: "den".to_owned(),
        secret: secret("sesame"),
        mode: "duel".to_owned(),
        ..NewRoom::default()
    }
}

/// Room for many rooms of ten.
fn large() -> Directory {
    let config = directory().config;
    Directory::new(DirectoryConfig { players_max: 1000, room_players_max: 10, rooms_max: 200, ..config })
}

#[test]
fn a_private_room_is_for_those_who_know_its_secret() {
    let mut directory = large();
    assert_eq!(wish(&mut directory, &existing("den", secret("sesame"))), Err(RejectReason::NoSuchRoom));
    assert_eq!(wish(&mut directory, &RoomWish::New(den())), Ok((1, true)));
    let wrong = Err(RejectReason::WrongSecret);
    for stranger in [
        existing("den", None),
        existing("den", secret("sesamf")),
        existing("den", secret("sesam")),
        RoomWish::Named("den".to_owned()),
        RoomWish::New(NewRoom { or_join: true, secret: None, ..den() }),
    ] {
        assert_eq!(wish(&mut directory, &stranger), wrong, "{stranger:?}");
    }
    assert_eq!(directory.players(), 1, "who is refused takes no place");
    assert_eq!(wish(&mut directory, &existing("den", secret("sesame"))), Ok((1, false)));
    assert_eq!(directory.list(&ListRooms::default()).rooms, []);
    let matching = RoomWish::Matching { filter: RoomFilter::default(), otherwise: None };
    assert_eq!(wish(&mut directory, &matching), Err(RejectReason::NoSuchRoom));
    assert_eq!(wish(&mut directory, &RoomWish::Any), Ok((2, true)), "nobody strays into it");
    assert_eq!(wish(&mut directory, &existing("room-2", secret("sesame"))), wrong, "a public room has none");
}

#[test]
fn a_full_private_room_says_so_to_those_alone_who_may_come_in() {
    let mut directory = large();
    let room = NewRoom { players_max: 1, ..den() };
    assert_eq!(wish(&mut directory, &RoomWish::New(room)), Ok((1, true)));
    let full = RejectReason::RoomFull { players: 1, max: 1 };
    assert_eq!(wish(&mut directory, &existing("den", secret("sesame"))), Err(full));
    assert_eq!(wish(&mut directory, &existing("den", secret("guess"))), Err(RejectReason::WrongSecret));
}

#[test]
fn a_new_room_has_a_name_of_its_own_or_takes_what_is_there() {
    let mut directory = large();
    let taken = NewRoom { name: "room-2".to_owned(), ..NewRoom::default() };
    assert_eq!(wish(&mut directory, &RoomWish::New(taken.clone())), Ok((1, true)));
    assert_eq!(wish(&mut directory, &RoomWish::New(taken.clone())), Err(RejectReason::RoomExists));
    let or_join = NewRoom { or_join: true, ..taken };
    assert_eq!(wish(&mut directory, &RoomWish::New(or_join.clone())), Ok((1, false)));
    let unnamed = RoomWish::New(NewRoom::default());
    let names: Vec<_> = [(); 2]
        .map(|()| directory.place(&unnamed, Role::Player, anything).unwrap().open.unwrap().name)
        .into();
    assert_eq!(names, ["room-3", "room-4"], "the second room would be called as the first is");
    directory.leave(RoomId(1), Role::Player);
    directory.leave(RoomId(1), Role::Player);
    assert!(directory.close_if_empty(RoomId(1)));
    assert_eq!(wish(&mut directory, &RoomWish::New(or_join)), Ok((4, true)), "a name is free again");
}

#[test]
fn a_new_room_is_no_larger_than_the_servers_are() {
    let mut directory = large();
    for (wanted, given) in [(0, 10), (3, 3), (10, 10), (u32::MAX, 10)] {
        let room = RoomWish::New(NewRoom { players_max: wanted, ..NewRoom::default() });
        let placement = directory.place(&room, Role::Player, anything).unwrap();
        assert_eq!(placement.open.unwrap().players_max, given);
    }
    let small = existing("room-2", None);
    let joined: Vec<_> = [(); 3].map(|()| wish(&mut directory, &small)).into();
    assert_eq!(joined[1..], [Ok((2, false)), Err(RejectReason::RoomFull { players: 3, max: 3 })]);
}

#[test]
fn who_looks_for_a_match_gets_the_fullest_that_fits_or_a_new_one() {
    let mut directory = large();
    let of_mode = |mode: &str| NewRoom { mode: mode.to_owned(), players_max: 3, ..NewRoom::default() };
    for mode in ["duel", "race", "duel"] {
        assert!(wish(&mut directory, &RoomWish::New(of_mode(mode))).unwrap().1);
    }
    wish(&mut directory, &existing("room-3", None)).unwrap();
    let filter = RoomFilter { mode: "duel".to_owned(), free_places: 1, ..RoomFilter::default() };
    let look = RoomWish::Matching { filter: filter.clone(), otherwise: Some(of_mode("duel")) };
    assert_eq!(wish(&mut directory, &look), Ok((3, false)), "the fullest");
    assert_eq!([(); 2].map(|()| wish(&mut directory, &look).unwrap()), [(1, false); 2]);
    let info = MatchInfo { mode: "duel".to_owned(), status: MatchStatus::Running, ..MatchInfo::default() };
    directory.note_match(RoomId(2), &info);
    let running = RoomFilter { status: Some(MatchStatus::Running), ..filter };
    let late = RoomWish::Matching { filter: running, otherwise: None };
    assert_eq!(wish(&mut directory, &late), Ok((2, false)), "what is played is what the room says");
    assert_eq!([(); 2].map(|()| wish(&mut directory, &look).unwrap()), [(2, false), (4, true)]);
    assert_eq!(wish(&mut directory, &late), Err(RejectReason::NoSuchRoom));
}

#[test]
fn rooms_are_listed_in_pages_without_a_gap() {
    let mut directory = large();
    for number in 0..130 {
        let name = format!("{}-{number}", ["duel", "race"][number % 2]);
        let secret = secret("x").filter(|_| number % 10 == 0);
        wish(&mut directory, &RoomWish::New(NewRoom { name, secret, ..NewRoom::default() })).unwrap();
    }
    let mut question = ListRooms::default();
    let mut pages: Vec<usize> = Vec::new();
    let mut seen: Vec<RoomId> = Vec::new();
    loop {
        let page = directory.list(&question);
        pages.push(page.rooms.len());
        seen.extend(page.rooms.iter().map(|room| room.room));
        let Some(last) = page.rooms.last().filter(|_| page.has_more) else { break };
        question.after = last.room;
    }
    assert_eq!((pages, seen.len()), (vec![50, 50, 17], 117));
    assert!(seen.is_sorted_by(|a, b| a < b));
    let filter = RoomFilter { name_prefix: "race-12".to_owned(), free_places: 10, ..RoomFilter::default() };
    let races = ListRooms { filter, rooms_max: u16::MAX, ..ListRooms::default() };
    assert_eq!(directory.list(&races).rooms, [], "each has a player");
    let filter = RoomFilter { free_places: 9, ..races.filter.clone() };
    let names: Vec<_> =
        directory.list(&ListRooms { filter, ..races }).rooms.into_iter().map(|room| room.name).collect();
    assert_eq!(names, ["race-121", "race-123", "race-125", "race-127", "race-129"]);
    let none = directory.list(&ListRooms { rooms_max: 0, ..ListRooms::default() });
    assert_eq!((none.rooms.len(), none.has_more), (0, true));
    assert!(pages_are_bounded(&directory));
}

fn pages_are_bounded(directory: &Directory) -> bool {
    let greedy = ListRooms { rooms_max: u16::MAX, ..ListRooms::default() };
    directory.list(&greedy).rooms.len() == ROOMS_PER_PAGE_MAX
}

#[test]
fn clients_open_what_they_may() {
    let config = large().config;
    let with = |opening| Directory::new(DirectoryConfig { opening, ..config });
    let named = RoomWish::Named("duel".to_owned());
    let forbidden = || Err(RejectReason::Forbidden { action: "open".to_owned() });
    let otherwise = RoomWish::Matching { filter: RoomFilter::default(), otherwise: Some(den()) };

    let mut nobody = with(RoomOpening::Never);
    assert_eq!(wish(&mut nobody, &named), Err(RejectReason::NoSuchRoom));
    assert_eq!(wish(&mut nobody, &RoomWish::Any), Err(RejectReason::NoSuchRoom));
    assert_eq!(
        [RoomWish::New(den()), otherwise].map(|new| wish(&mut nobody, &new)),
        [forbidden(), forbidden()]
    );

    let mut anybody = with(RoomOpening::ForAnybody);
    assert_eq!(wish(&mut anybody, &named), Err(RejectReason::NoSuchRoom));
    assert_eq!(wish(&mut anybody, &RoomWish::New(NewRoom::default())), forbidden());
    assert_eq!(wish(&mut anybody, &RoomWish::Any), Ok((1, true)));

    let mut some = with(RoomOpening::Wished);
    let mut place = |wish| some.place(&wish, Role::Player, |name| name == "duel").map(|placed| placed.room.0);
    assert_eq!(place(RoomWish::New(den())).map(|room| (room, true)), forbidden());
    assert_eq!(place(RoomWish::Named("race".to_owned())), Err(RejectReason::NoSuchRoom));
    assert_eq!(place(named), Ok(1));
    assert_eq!(place(RoomWish::Named(String::new())), Err(RejectReason::BadRoomName));
}

#[test]
fn rooms_of_the_owner_are_for_anybody_and_may_stay() {
    let config = DirectoryConfig { opening: RoomOpening::Never, room_players_max: 1, ..directory().config };
    let mut directory = Directory::new(config);
    let lobby = NewRoom { name: "lobby".to_owned(), ..NewRoom::default() };
    assert_eq!(directory.open(&lobby, true).unwrap().room, RoomId(1));
    assert_eq!(directory.open(&lobby, true), Err(RejectReason::RoomExists));
    let bad = NewRoom { name: "a\nb".to_owned(), ..NewRoom::default() };
    assert_eq!(directory.open(&bad, false), Err(RejectReason::BadRoomName));
    directory.open(&den(), false).unwrap();
    assert_eq!(any(&mut directory), Ok(1));
    assert_eq!(any(&mut directory), Err(RejectReason::ServerFull { players: 1, max: 1 }), "not into the den");
    assert_eq!(wish(&mut directory, &existing("den", secret("sesame"))), Ok((2, false)));
    for room in [1, 2].map(RoomId) {
        directory.leave(room, Role::Player);
    }
    assert_eq!([1, 2].map(|room| directory.close_if_empty(RoomId(room))), [false, true]);
}

#[test]
fn who_comes_back_has_a_place_beyond_any_limit() {
    let mut directory = directory();
    any(&mut directory).unwrap();
    any(&mut directory).unwrap();
    assert!(directory.return_to(RoomId(1), Role::Player) && !directory.return_to(RoomId(9), Role::Player));
    let page = directory.list(&ListRooms::default());
    assert_eq!((page.rooms[0].players, page.rooms[0].players_max, directory.players()), (3, 2, 3));
}

#[test]
fn who_leaves_a_place_for_another_finds_it_free() {
    let mut directory = directory();
    (0..5).for_each(|_| drop(any(&mut directory)));
    let (full, leaving) = (RejectReason::ServerFull { players: 5, max: 5 }, [(RoomId(1), Role::Player)]);
    assert_eq!(any(&mut directory), Err(full));
    let placed = directory.place_instead(&leaving, &RoomWish::Any, Role::Player, anything).unwrap();
    assert_eq!((placed.room, directory.players()), (RoomId(1), 6));
    directory.leave(RoomId(1), Role::Player);
    assert_eq!(directory.players(), 5);
}

#[test]
fn a_room_is_crowded_when_it_or_the_server_is_full_and_in_the_way_when_no_other_can_be_opened() {
    let config = DirectoryConfig { rooms_max: 2, players_max: 3, ..directory().config };
    let mut directory = Directory::new(config);
    let lobby = NewRoom { name: "lobby".to_owned(), ..NewRoom::default() };
    directory.open(&lobby, true).unwrap();
    let (lobby, second) = (RoomId(1), RoomId(2));
    let of = |directory: &Directory, room| {
        let crowded = [Role::Player, Role::Spectator].map(|role| directory.is_crowded(room, role));
        (crowded, directory.is_in_the_way(room))
    };
    any(&mut directory).unwrap();
    assert_eq!(of(&directory, lobby), ([false, false], false));
    any(&mut directory).unwrap();
    assert_eq!(of(&directory, lobby), ([true, false], false), "both its places are taken");
    directory.leave(lobby, Role::Player);
    any(&mut directory).unwrap();
    any(&mut directory).unwrap();
    assert_eq!(of(&directory, second), ([true, false], true), "it has a place, and the server none");
    assert_eq!(of(&directory, lobby), ([true, false], false), "the lobby stays");
    directory.leave(second, Role::Player);
    assert_eq!(of(&directory, second), ([false, false], true));
}
