//! Who hears what the game says.

use core::fmt;
use std::collections::BTreeMap;

use glam::Vec3;
use tickwire_protocol::history::History;
use tickwire_protocol::{PeerId, SessionId};
use tickwire_sim::Audience;

use super::identity::Identity;
use super::interest::Interest;
use super::peer::Peer;
use super::replicator::Replicator;
use super::scene::{Scene, position_of, row_at};
use super::session::Session;

/// What tells the sessions of a room apart, while it steps.
pub(crate) struct Ears<'a> {
    pub(crate) identities: &'a BTreeMap<SessionId, Identity>,
    pub(crate) peers: &'a BTreeMap<PeerId, Box<Peer>>,
    pub(crate) history: &'a History,
    pub(crate) interest: &'a Interest,
    /// Of the newest tick that was published, once somebody asks where players are.
    pub(crate) scene: &'a mut Scene,
}

impl Ears<'_> {
    /// Before [`Ears::hears`]: where everybody is, if it matters.
    pub(crate) fn listen(&mut self, to: Audience<'_>) {
        if matches!(to, Audience::Near { .. }) {
            self.scene.refresh(self.history, self.interest);
        }
    }

    /// Whether a session is in an audience whose players are not named.
    pub(crate) fn hears(&self, to: Audience<'_>, session: &Session) -> bool {
        match to {
            Audience::All | Audience::Room => true,
            Audience::Except(player) => session.player_id() != Some(player),
            Audience::Account(name) => {
                self.identities.get(&session.id).and_then(Identity::name) == Some(name)
            }
            // Their names are known: none of the others is asked.
            Audience::Player(_) | Audience::Group(_) => false,
            Audience::Near { position, radius } => {
                self.place_of(session).is_some_and(|place| place.distance(position) <= radius)
            }
        }
    }

    /// Its focus, as [`Interest`] says; while its connection is lost, the place of its entity.
    fn place_of(&self, session: &Session) -> Option<Vec3> {
        let peer = session.peer().and_then(|peer| self.peers.get(&peer)).map(|peer| &peer.replicator);
        let own = || {
            let newest = self.history.newest()?;
            let mut owned = self.scene.owned_by(session.player_id());
            owned.find_map(|place| position_of(row_at(newest, place).1))
        };
        let said = peer.and_then(Replicator::focus_set);
        said.or_else(own).or_else(|| peer.and_then(Replicator::focus))
    }
}

impl fmt::Debug for Ears<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ears").finish_non_exhaustive()
    }
}
