//! With which eyes a peer looks: what of a row it is told.

use tickwire_protocol::history::Published;
use tickwire_protocol::schema::{Kind, Sight};
use tickwire_protocol::{PlayerId, RowHead};

use super::scene::{Place, row_at};

/// Who the peer is, as far as it decides what it sees.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Viewer {
    pub(crate) player: Option<PlayerId>,
    /// The teams of the player's entities at the newest snapshot; none without an entity.
    pub(crate) teams: u32,
    /// Whether rows may name states at all.
    pub(crate) delta: bool,
}

impl Viewer {
    pub(crate) fn owns(self, head: &RowHead) -> bool {
        self.player.is_some() && head.owner == self.player
    }

    /// What the peer sees of a row in everyone's view. The owner counts as of its entity's team.
    pub(crate) fn sight(self, kind: &Kind, head: &RowHead) -> Sight {
        if kind.has_team_fields() && (self.owns(head) || head.teams & self.teams != 0) {
            Sight::Team
        } else {
            Sight::Public
        }
    }

    /// The same without what makes no difference to everyone's view: two who are then equal see the same of every row. `owned` are
    /// the rows of the player's entities.
    pub(crate) fn of_everyones_view(self, newest: &Published, owned: impl Iterator<Item = Place>) -> Self {
        let schema = newest.tables(Sight::Public).schema();
        if !schema.kinds().iter().any(Kind::has_team_fields) {
            return Self { player: None, teams: 0, ..self };
        }
        // Of its own entities that are in a team it sees as much as the others of that team.
        let is_alone = |place: Place| {
            let (head, _) = row_at(newest, place);
            schema.kind(place.kind).has_team_fields() && head.teams == 0
        };
        let player = if owned.into_iter().any(is_alone) { self.player } else { None };
        Self { player, ..self }
    }
}
