//! How the match stands, as far as the server has told.

use tickwire_protocol::limits::MEMBERS_MAX;
use tickwire_protocol::room::{MatchChange, MatchFrame, MatchInfo, Score};
use tickwire_protocol::{DecodeError, PlayerId};

use super::rows::Rows;

/// How the match of the room stands.
#[derive(Debug, Default)]
pub struct MatchState {
    info: MatchInfo,
    scores: Rows<PlayerId, Score>,
    news: MatchNews,
}

/// What of a match has changed since it was last asked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MatchNews {
    /// Mode, round, status, end or settings.
    pub info: bool,
    /// Somebody's score.
    pub scores: bool,
}

impl MatchState {
    /// What is true of the match as a whole.
    pub fn info(&self) -> &MatchInfo {
        &self.info
    }

    /// How a player stands; it may have left.
    pub fn score(&self, player: PlayerId) -> Option<&Score> {
        self.scores.get(player)
    }

    /// Everyone who has a score, in ascending id.
    pub fn scores(&self) -> impl Iterator<Item = (PlayerId, &Score)> {
        self.scores.iter()
    }

    /// Whether all was told, as of the newest news.
    pub fn is_whole(&self) -> bool {
        self.scores.is_whole()
    }

    /// What to name in the next hello.
    pub(crate) fn version(&self) -> u64 {
        self.scores.version()
    }

    /// Another session begins, which has been told nothing.
    pub(crate) fn clear(&mut self) {
        let info = self.news.info || self.info != MatchInfo::default();
        let scores = self.news.scores || !self.scores.is_empty();
        *self = Self { news: MatchNews { info, scores }, ..Self::default() };
    }

    /// What has changed since the last call.
    pub(crate) fn poll_news(&mut self) -> Option<MatchNews> {
        Some(core::mem::take(&mut self.news)).filter(|news| *news != MatchNews::default())
    }

    /// Takes in the payload of a MATCH frame. After an error the table is of no use.
    pub(crate) fn handle_frame(&mut self, payload: &[u8]) -> Result<(), DecodeError> {
        let MatchFrame { head, changes } = MatchFrame::decode(payload)?;
        self.scores.begin(head);
        for change in changes {
            self.handle_change(change)?;
        }
        self.news.scores |= !self.scores.end(head).is_empty();
        Ok(())
    }

    fn handle_change(&mut self, change: MatchChange) -> Result<(), DecodeError> {
        match change {
            MatchChange::Info(info) => {
                self.news.info |= info != self.info;
                self.info = info;
            }
            MatchChange::Score { player, score } => {
                self.news.scores |= self.scores.get(player) != Some(&score);
                self.scores.put(player, score, ("scores", MEMBERS_MAX))?;
            }
            MatchChange::ScoreGone { player } => self.news.scores |= self.scores.remove(player).is_some(),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::room::TableHead;

    fn handle(state: &mut MatchState, is_anew: bool, changes: Vec<MatchChange>) -> Option<MatchNews> {
        let mut out = Vec::new();
        MatchFrame { head: TableHead { version: 1, is_anew, is_whole: true }, changes }.encode(&mut out);
        state.handle_frame(&out[2..]).unwrap();
        state.poll_news()
    }

    fn score(player: u32, points: i32) -> MatchChange {
        MatchChange::Score { player: PlayerId(player), score: Score { points, data: Vec::new() } }
    }

    #[test]
    fn only_what_is_new_is_news() {
        let mut state = MatchState::default();
        let (info, scores) = (true, true);
        let round = MatchChange::Info(MatchInfo { round: 2, ..MatchInfo::default() });
        let told = [score(1, 5), score(2, 6), round.clone()];
        assert_eq!(handle(&mut state, true, told.to_vec()), Some(MatchNews { info, scores }));
        assert_eq!(handle(&mut state, true, told.to_vec()), None, "it was so before");
        assert_eq!(
            handle(&mut state, true, vec![score(2, 6), round]),
            Some(MatchNews { info: false, scores })
        );
        assert_eq!(state.scores().count(), 1, "who is not in a table told anew is gone");
        assert_eq!(state.info().round, 2);
        let gone = MatchChange::ScoreGone { player: PlayerId(2) };
        assert_eq!(handle(&mut state, false, vec![gone.clone()]), Some(MatchNews { info: false, scores }));
        assert_eq!(handle(&mut state, false, vec![gone]), None);
    }

    #[test]
    fn a_match_that_is_no_more_is_news() {
        let mut state = MatchState::default();
        state.clear();
        assert_eq!(state.poll_news(), None, "there was none");
        let (info, scores) = (false, true);
        handle(&mut state, true, vec![score(1, 5)]);
        state.clear();
        assert_eq!(state.poll_news(), Some(MatchNews { info, scores }));
        assert_eq!(state.scores().count(), 0);
    }
}
