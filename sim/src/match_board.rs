//! How the match stands, as the simulation says.

use std::collections::BTreeMap;

use tickwire_protocol::limits::{MATCH_SCORES_GONE_MAX, MEMBERS_MAX};
use tickwire_protocol::room::{ChangeLog, MatchInfo, MatchStatus, Score};
use tickwire_protocol::{DecodeError, PlayerId, Tick};

/// A row of the board.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum MatchRow {
    /// What is true of the match as a whole.
    Info,
    /// How a player stands.
    Score(PlayerId),
}

/// How the match of a room stands: mode, round, status, end, settings, and the players' scores. A step writes it through
/// [`StepContext::match_state`](crate::StepContext::match_state); everybody in the room is told what has changed, and who joins all of it.
///
/// What is set to what it was is no change. Scores stay until the game takes them away, also those of players who have left.
#[derive(Debug)]
pub struct MatchBoard {
    info: MatchInfo,
    scores: BTreeMap<PlayerId, Score>,
    log: ChangeLog<MatchRow>,
}

impl Default for MatchBoard {
    /// Waiting, without a name and without scores.
    fn default() -> Self {
        let log = ChangeLog::new(MATCH_SCORES_GONE_MAX);
        Self { info: MatchInfo::default(), scores: BTreeMap::new(), log }
    }
}

impl MatchBoard {
    /// What is true of the match as a whole.
    pub fn info(&self) -> &MatchInfo {
        &self.info
    }

    /// Says what is true of the match as a whole.
    ///
    /// # Errors
    /// What breaks a bound of [`MatchInfo`]; then it stays as it was.
    pub fn set_info(&mut self, info: MatchInfo) -> Result<(), DecodeError> {
        info.check()?;
        if info != self.info {
            self.info = info;
            self.log.note(MatchRow::Info);
        }
        Ok(())
    }

    /// Where the match is in its life, and when that ends, if it is known.
    pub fn set_status(&mut self, status: MatchStatus, end_tick: Option<Tick>) {
        if (status, end_tick) != (self.info.status, self.info.end_tick) {
            (self.info.status, self.info.end_tick) = (status, end_tick);
            self.log.note(MatchRow::Info);
        }
    }

    /// How a player stands.
    pub fn score(&self, player: PlayerId) -> Option<&Score> {
        self.scores.get(&player)
    }

    /// Everyone who has a score, in ascending id.
    pub fn scores(&self) -> impl Iterator<Item = (PlayerId, &Score)> {
        self.scores.iter().map(|(player, score)| (*player, score))
    }

    /// Says how a player stands.
    ///
    /// # Errors
    /// What breaks a bound of [`Score`], or if there are more than a room may have members; then all stays as it was.
    pub fn set_score(&mut self, player: PlayerId, score: Score) -> Result<(), DecodeError> {
        score.check()?;
        let before = self.scores.get(&player);
        if before.is_none() && self.scores.len() >= MEMBERS_MAX {
            let (value, limit) = (self.scores.len() as u64 + 1, MEMBERS_MAX as u64);
            return Err(DecodeError::TooLarge { what: "scores", value, limit });
        }
        if before != Some(&score) {
            self.scores.insert(player, score);
            self.log.note(MatchRow::Score(player));
        }
        Ok(())
    }

    /// Takes a player's score away.
    pub fn remove_score(&mut self, player: PlayerId) {
        if self.scores.remove(&player).is_some() {
            self.log.note_gone(MatchRow::Score(player));
        }
    }

    /// The order of the changes, for who tells them.
    pub fn log(&self) -> &ChangeLog<MatchRow> {
        &self.log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_a_change() {
        let mut board = MatchBoard::default();
        let player = PlayerId(1);
        let score = Score { points: 1, data: vec![2] };
        board.set_status(MatchStatus::Running, None);
        board.set_score(player, score.clone()).unwrap();
        let version = board.log().version();
        board.set_status(MatchStatus::Running, None);
        board.set_score(player, score).unwrap();
        board.set_info(board.info().clone()).unwrap();
        board.remove_score(PlayerId(2));
        assert_eq!((version, board.log().version()), (2, 2));
        board.remove_score(player);
        assert_eq!((board.log().version(), board.score(player)), (3, None));
    }

    #[test]
    fn what_breaks_a_bound_changes_nothing() {
        let mut board = MatchBoard::default();
        assert!(board.set_info(MatchInfo { mode: "a\tb".to_owned(), ..MatchInfo::default() }).is_err());
        assert!(board.set_score(PlayerId(1), Score { points: 0, data: vec![0; 65] }).is_err());
        for player in 0..MEMBERS_MAX as u32 {
            board.set_score(PlayerId(player), Score::default()).unwrap();
        }
        let version = board.log().version();
        let fault = board.set_score(PlayerId(u32::MAX), Score::default()).unwrap_err();
        assert_eq!(fault.to_string(), "scores: 16385 is above the limit of 16384");
        assert_eq!((board.log().version(), version), (version, MEMBERS_MAX as u64));
    }
}
