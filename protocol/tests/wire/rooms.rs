//! Vectors of what a room tells beside its world.

use tickwire_protocol::room::{
    LeaveReason, MatchChange, MatchFrame, MatchInfo, MatchStatus, MemberChange, MembersFrame, Profile, Score,
    TableHead,
};
use tickwire_protocol::{PlayerId, Tick};

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
            status: match word() {
                "waiting" => MatchStatus::Waiting,
                "countdown" => MatchStatus::Countdown,
                "running" => MatchStatus::Running,
                "paused" => MatchStatus::Paused,
                _ => MatchStatus::Ended,
            },
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
