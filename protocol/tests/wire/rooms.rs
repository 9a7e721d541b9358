//! Vectors of what a room tells beside its world.

use tickwire_protocol::handshake::{NewRoom, RoomSecret, RoomWish};
use tickwire_protocol::room::{
    GroupChange, GroupsFrame, LeaveReason, ListRooms, MatchChange, MatchFrame, MatchInfo, MatchStatus,
    MemberChange, MembersFrame, Profile, RoomFilter, RoomList, RoomSummary, Score, TableHead,
};
use tickwire_protocol::{GroupId, PlayerId, RoomId, Tick};

use super::frames::Vector;
use super::page::{Fields, bytes, parse};

/// `name` or `name: bytes`.
pub(crate) fn profile(text: &str) -> Profile {
    let (name, data) = text.split_once(':').unwrap_or((text, ""));
    Profile::new(name, bytes(data)).unwrap()
}

fn head(fields: &mut Fields) -> TableHead {
    let flags = fields.take("flags");
    TableHead {
        version: fields.number("version"),
        is_anew: flags.contains("anew"),
        is_whole: flags.contains("whole"),
    }
}

/// Several changes; less of them at the end is another frame.
pub(crate) fn members(fields: &mut Fields) -> Vector {
    let head = head(fields);
    let changes = fields.take_all("change").iter().map(|text| change(text)).collect();
    let vector = Vector::new(MembersFrame { head, changes }, MembersFrame::encode, MembersFrame::decode);
    Vector { is_cut_by_zeros: true, ..vector }
}

/// `with group: player ...` or `gone group`.
pub(crate) fn groups(fields: &mut Fields) -> Vector {
    let head = head(fields);
    let change = |text: &String| {
        let (word, rest) = text.split_once(' ').unwrap();
        let (group, players) = rest.split_once(':').unwrap_or((rest, ""));
        let group = GroupId(parse(group));
        match word {
            "with" => {
                let players = players.split_whitespace().map(|player| PlayerId(parse(player))).collect();
                GroupChange::With { group, players }
            }
            _ => GroupChange::Gone { group },
        }
    };
    let changes = fields.take_all("change").iter().map(change).collect();
    let vector = Vector::new(GroupsFrame { head, changes }, GroupsFrame::encode, GroupsFrame::decode);
    Vector { is_cut_by_zeros: true, ..vector }
}

pub(crate) fn match_state(fields: &mut Fields) -> Vector {
    let head = head(fields);
    let changes = fields.take_all("change").iter().map(|text| match_change(text)).collect();
    let vector = Vector::new(MatchFrame { head, changes }, MatchFrame::encode, MatchFrame::decode);
    Vector { is_cut_by_zeros: true, ..vector }
}

/// `info status mode round end settings`, `score player points data`, `gone player`.
fn match_change(text: &str) -> MatchChange {
    let (text, data) = text.split_once(':').unwrap_or((text, ""));
    let mut words = text.split_whitespace();
    let mut word = || words.next().unwrap();
    match word() {
        "info" => MatchChange::Info(MatchInfo {
            status: status(word()),
            mode: word().to_owned(),
            round: parse(word()),
            end_tick: Some(word()).filter(|tick| *tick != "never").map(|tick| Tick(parse(tick))),
            settings: bytes(data),
        }),
        "score" => MatchChange::Score {
            player: PlayerId(parse(word())),
            score: Score { points: parse(word()), data: bytes(data) },
        },
        _ => MatchChange::ScoreGone { player: PlayerId(parse(word())) },
    }
}

fn status(word: &str) -> MatchStatus {
    match word {
        "waiting" => MatchStatus::Waiting,
        "countdown" => MatchStatus::Countdown,
        "running" => MatchStatus::Running,
        "paused" => MatchStatus::Paused,
        _ => MatchStatus::Ended,
    }
}

/// What a word says; `-` stands for what is empty.
fn open(word: &str) -> &str {
    if word == "-" { "" } else { word }
}

fn secret(digits: &str) -> Option<RoomSecret> {
    Some(bytes(digits)).filter(|digits| !digits.is_empty()).map(|digits| RoomSecret::new(digits).unwrap())
}

/// `prefix mode status places`.
fn filter(text: &str) -> RoomFilter {
    let words: Vec<_> = text.split_whitespace().map(open).collect();
    RoomFilter {
        name_prefix: words[0].to_owned(),
        mode: words[1].to_owned(),
        status: Some(words[2]).filter(|word| !word.is_empty()).map(status),
        free_places: parse(words[3]),
    }
}

/// `any`, `named name`, `existing name: secret`, `matching filter`, or `new name places mode`. What is opened has more fields.
pub(crate) fn wish(fields: &mut Fields) -> RoomWish {
    match fields.take("room").split_once(' ') {
        None => RoomWish::Any,
        Some(("named", name)) => RoomWish::Named(name.to_owned()),
        Some(("existing", rest)) => {
            let (name, digits) = rest.split_once(':').unwrap_or((rest, ""));
            RoomWish::Existing { name: name.to_owned(), secret: secret(digits) }
        }
        Some(("matching", rest)) => {
            let otherwise = fields.take_if_there("otherwise").map(|text| new_room(&text, fields));
            RoomWish::Matching { filter: filter(rest), otherwise }
        }
        Some(("new", rest)) => RoomWish::New(new_room(rest, fields)),
        Some((other, _)) => panic!("no wish is called {other}"),
    }
}

fn new_room(text: &str, fields: &mut Fields) -> NewRoom {
    let words: Vec<_> = text.split_whitespace().map(open).collect();
    NewRoom {
        name: words[0].to_owned(),
        secret: secret(&fields.take("secret")),
        players_max: parse(words[1]),
        mode: words[2].to_owned(),
        settings: bytes(&fields.take("settings")),
        or_join: fields.number("or join"),
    }
}

pub(crate) fn list(fields: &mut Fields) -> ListRooms {
    ListRooms {
        filter: filter(&fields.take("filter")),
        after: RoomId(fields.number("after")),
        rooms_max: fields.number("at most"),
    }
}

pub(crate) fn rooms(fields: &mut Fields) -> RoomList {
    let room = |text: &String| {
        let words: Vec<_> = text.split_whitespace().map(open).collect();
        RoomSummary {
            room: RoomId(parse(words[0])),
            name: words[1].to_owned(),
            players: parse(words[2]),
            players_max: parse(words[3]),
            spectators: parse(words[4]),
            mode: words[5].to_owned(),
            status: status(words[6]),
        }
    };
    RoomList {
        rooms: fields.take_all("room").iter().map(room).collect(),
        has_more: fields.number("has more"),
    }
}

fn change(text: &str) -> MemberChange {
    let (word, rest) = text.split_once(' ').unwrap();
    let (player, rest) = rest.split_once(' ').unwrap();
    let (player, is_connected) = (PlayerId(parse(player)), word != "away");
    match word {
        "here" | "away" => MemberChange::Here { player, is_connected, profile: profile(rest) },
        "connection" => MemberChange::Connection { player, is_connected: rest == "back" },
        "gone" => {
            let reasons = [LeaveReason::Left, LeaveReason::Lost, LeaveReason::Removed];
            let is_it = |reason: &LeaveReason| format!("{reason:?}").to_lowercase() == rest;
            MemberChange::Gone { player, reason: reasons.into_iter().find(is_it).unwrap() }
        }
        other => panic!("no change is called {other}"),
    }
}
