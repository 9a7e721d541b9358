//! Vectors of what a room tells beside its world.

use tickwire_protocol::PlayerId;
use tickwire_protocol::room::{LeaveReason, MemberChange, MembersFrame, Profile, TableHead};

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
