//! Own rows told beside everyone's rows of the same entities, in the same frame: then they have little left to tell, or nothing.

use tickwire_protocol::history::{History, Published};
use tickwire_protocol::schema::{Kind, Sight};
use tickwire_protocol::snapshot::{PlannedRow, References, SectionPlan};

use super::Source;
use crate::core::knowledge::Knowledge;
use crate::core::scene::{Place, row_at};
use crate::core::shared::Plans;

/// What there is to tell of an own row where everyone's row of the entity is told.
enum Left {
    /// All of it: everyone's row may not say what became of the entity since the state that the own row names.
    All,
    Beside,
    Nothing,
}

/// In a plan of own rows that is all that is news: has those told beside everyone's of which `view` was told with this frame, and
/// those not at all of which nothing is left to tell. `known` is what the peer holds of the rows that it owns, `owned`.
pub(super) fn lean_on_view(
    source: &Source<'_>,
    newest: &Published,
    (view, known): (&Knowledge, &Knowledge),
    owned: impl Iterator<Item = Place>,
    Plans { own, followed, .. }: &mut Plans,
) {
    let history = source.history;
    let mut news = own.rows.iter_mut().peekable();
    for Place { kind, row } in owned {
        let id = row_at(newest, Place { kind, row }).0.id;
        let planned = news.next_if(|news| (news.kind, news.row) == (kind, row));
        if !view.holds(id, eyes(history.schema().kind(kind)), newest.tick()) {
            continue;
        }
        let follows = PlannedRow { kind, row, sight: Sight::Own, references: References::NONE };
        match planned {
            // The client takes what everyone was told for a state of its own row, news or not.
            None if known.knows(id) => followed.push(follows),
            None => {}
            Some(planned) => match left(history, planned) {
                Left::All => {}
                Left::Beside => planned.sight = Sight::Beside,
                Left::Nothing => followed.push(follows),
            },
        }
    }
    let place = |row: &PlannedRow| (row.kind, row.row);
    own.rows.retain(|row| followed.binary_search_by_key(&place(row), place).is_err());
}

/// Has those own rows told beside everyone's that are among `told`, which go into the same frame; the others by themselves.
pub(super) fn lean_on_rows(history: &History, told: &[PlannedRow], own: &mut SectionPlan) {
    let place = |row: &PlannedRow| (row.kind, row.row);
    for row in &mut own.rows {
        let everyones = told.binary_search_by_key(&place(row), place).ok().map(|index| told[index]);
        let is_told = everyones.is_some_and(|told| told.sight == eyes(history.schema().kind(row.kind)));
        row.sight = match left(history, row) {
            Left::Beside | Left::Nothing if is_told => Sight::Beside,
            _ => Sight::Own,
        };
    }
}

/// The eyes with which everyone's row shows all but what is told beside it.
fn eyes(kind: &Kind) -> Sight {
    if kind.has_team_fields() { Sight::Team } else { Sight::Public }
}

fn left(history: &History, row: &PlannedRow) -> Left {
    let track = history.track(row.kind, row.row as usize);
    let Some(held) = row.references.newest().filter(|_| !track.is_at_rest) else { return Left::All };
    // Everyone's row may name another state, and tell what became of the entity since that one.
    let has_jumped = track.teleported.is_some_and(|jump| jump.is_newer_than(held));
    let was_at_rest = track.held_until.is_some_and(|until| !held.is_newer_than(until));
    if has_jumped || was_at_rest {
        Left::All
    } else if track.changed(Sight::Beside).is_newer_than(held) {
        Left::Beside
    } else {
        Left::Nothing
    }
}
