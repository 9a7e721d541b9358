//! How a match stands, told by change.

use tickwire_protocol::room::{MatchChange, MatchFrame, TableChange, TableHead};
use tickwire_sim::{MatchBoard, MatchRow};

use super::news::{Chunk, Known, Reader};

/// Appends a MATCH frame with what a reader has not been told: as many changes as have room in so many bytes, and one at least.
pub(crate) fn write_match(board: &MatchBoard, reader: &mut Reader, bytes_max: usize, out: &mut Vec<u8>) {
    let Chunk { rows, version, is_anew, is_whole } =
        reader.read(board.log(), bytes_max, |row, known, out| write_change(board, row, known, out));
    MatchFrame::encode_with(TableHead { version, is_anew, is_whole }, &rows, out);
}

fn write_change(board: &MatchBoard, row: MatchRow, known: Known, out: &mut Vec<u8>) {
    let change = match row {
        MatchRow::Info => MatchChange::Info(board.info().clone()),
        MatchRow::Score(player) => match board.score(player) {
            Some(score) => MatchChange::Score { player, score: score.clone() },
            None if known.of_end => MatchChange::ScoreGone { player },
            None => return,
        },
    };
    change.encode(out);
}
