//! MATCH: how a room's match stands, by change.

use serde::{Deserialize, Serialize};

use super::{TableChange, TableFrame};
use crate::cold;
use crate::fault::DecodeError;
use crate::frame::FrameType;
use crate::handshake::check_text;
use crate::ids::PlayerId;
use crate::limits::{MATCH_MODE_BYTES_MAX, MATCH_SETTINGS_BYTES_MAX, SCORE_BYTES_MAX};
use crate::time::Tick;

/// Where a match is in its life.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum MatchStatus {
    /// It has not begun, as long as too few are there.
    #[default]
    Waiting,
    /// It begins at its end tick.
    Countdown,
    /// It is played.
    Running,
    /// It stands still, and will go on.
    Paused,
    /// It is over; the scores are final.
    Ended,
}

/// What is true of a match as a whole. The engine gives none of it a meaning.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct MatchInfo {
    /// Where it is in its life.
    pub status: MatchStatus,
    /// What is played, as rooms are looked for by; at most 64 bytes.
    #[serde(deserialize_with = "cold::text")]
    pub mode: String,
    /// Which round of it.
    pub round: u32,
    /// When the status of now ends, if that is known.
    pub end_tick: Option<Tick>,
    /// What else the game has to say of it, at most 1,024 bytes.
    #[serde(deserialize_with = "cold::list")]
    pub settings: Vec<u8>,
}

impl MatchInfo {
    /// What breaks a bound.
    pub fn check(&self) -> Result<(), DecodeError> {
        check_text("match mode", &self.mode, MATCH_MODE_BYTES_MAX)?;
        check_size("match settings", self.settings.len(), MATCH_SETTINGS_BYTES_MAX)
    }
}

/// How a player stands.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Score {
    /// What the players are ordered by.
    pub points: i32,
    /// What the game adds, such as kills, deaths and assists; at most 64 bytes.
    #[serde(deserialize_with = "cold::list")]
    pub data: Vec<u8>,
}

impl Score {
    /// What breaks a bound.
    pub fn check(&self) -> Result<(), DecodeError> {
        check_size("score", self.data.len(), SCORE_BYTES_MAX)
    }
}

fn check_size(what: &'static str, bytes: usize, limit: usize) -> Result<(), DecodeError> {
    let (value, limit) = (bytes as u64, limit as u64);
    if value > limit { Err(DecodeError::TooLarge { what, value, limit }) } else { Ok(()) }
}

/// One change of a match.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum MatchChange {
    /// It is this as a whole.
    Info(MatchInfo),
    /// A player stands so.
    Score {
        /// Who.
        player: PlayerId,
        /// How.
        score: Score,
    },
    /// A player has no score any more.
    ScoreGone {
        /// Who.
        player: PlayerId,
    },
}

impl TableChange for MatchChange {
    const FRAME: FrameType = FrameType::Match;
    const TABLE: &str = "match";

    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Info(info) => info.check(),
            Self::Score { score, .. } => score.check(),
            Self::ScoreGone { .. } => Ok(()),
        }
    }
}

/// What has changed in a room's match since the last such frame.
pub type MatchFrame = TableFrame<MatchChange>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::frames;
    use crate::room::TableHead;

    fn payload(changes: Vec<MatchChange>) -> Vec<u8> {
        let head = TableHead { version: 9, is_anew: false, is_whole: true };
        let mut out = Vec::new();
        MatchFrame { head, changes }.encode(&mut out);
        frames(out.into()).next().unwrap().unwrap().payload.to_vec()
    }

    #[test]
    fn what_is_told_keeps_to_its_bounds() {
        let player = PlayerId(1);
        let info = MatchInfo {
            mode: "x".repeat(64),
            settings: vec![0; 1024],
            end_tick: Some(Tick(5)),
            ..MatchInfo::default()
        };
        let score = Score { points: -3, data: vec![0; 64] };
        let changes = vec![
            MatchChange::Info(info.clone()),
            MatchChange::Score { player, score },
            MatchChange::ScoreGone { player },
        ];
        assert_eq!(MatchFrame::decode(&payload(changes.clone())).unwrap().changes, changes);
        for (change, fault) in [
            (
                MatchChange::Info(MatchInfo { mode: "x".repeat(65), ..info.clone() }),
                "match mode: 65 is above the limit of 64",
            ),
            (
                MatchChange::Info(MatchInfo { settings: vec![0; 1025], ..info }),
                "match settings: 1025 is above the limit of 1024",
            ),
            (
                MatchChange::Score { player, score: Score { points: 0, data: vec![0; 65] } },
                "score: 65 is above the limit of 64",
            ),
        ] {
            assert_eq!(MatchFrame::decode(&payload(vec![change])).unwrap_err().to_string(), fault);
        }
    }
}
