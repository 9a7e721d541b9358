//! A bot's session from connection to connection: who it is, and what it is told of it.

use tickwire_client::{Client, Event};
use tickwire_protocol::handshake::{SessionOutcome, Welcome};
use tickwire_protocol::{EntityId, Micros, PlayerId, RoomId, SessionId};
use tickwire_sim::arena::PLAYER;

use super::sessions::Account;

/// State that is older than this at the end is stale, although nobody cuts connections any more.
const STALE: Micros = Micros::from_secs(1);

/// Who a bot is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Identity {
    session: SessionId,
    room: RoomId,
    player: Option<PlayerId>,
}

/// What became of a bot's session.
#[derive(Debug, Default)]
pub(super) struct Course {
    identity: Option<Identity>,
    /// Its entity; how often that became another although the session went on.
    own: Option<EntityId>,
    changed_entities: u64,
    /// Since when it has no connection, on the swarm's clock.
    lost_at: Option<Micros>,
    /// Cuts that the client has found out of.
    cuts: u64,
    resumed: u64,
    wrong_outcomes: u64,
    /// Digests that were checked when peace began.
    digests_in_peace: Option<u64>,
}

/// What a connection's end or beginning was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    /// The connection was lost, and nobody has cut it.
    Lost,
    /// The session goes on, after so long without a connection.
    Resumed(Micros),
    /// As it should be.
    Expected,
}

impl Course {
    /// The first connection of a client.
    pub(super) fn begin(&mut self, welcome: &Welcome) {
        let Welcome { session, room, player, .. } = *welcome;
        self.identity = Some(Identity { session, room, player });
        self.own = None;
    }

    /// What an event says of the session; `cuts` is how often its connections have been cut.
    pub(super) fn turn(&mut self, at: Micros, event: &Event, cuts: u64) -> Turn {
        match *event {
            Event::Reconnecting { .. } => {
                self.lost_at.get_or_insert(at);
                let is_cut = std::mem::replace(&mut self.cuts, cuts) < cuts;
                if is_cut { Turn::Expected } else { Turn::Lost }
            }
            Event::Connected { session, player, room, outcome } => {
                let Some(lost_at) = self.lost_at.take() else { return Turn::Expected };
                let identity = Some(Identity { session, room, player });
                let goes_on = outcome == SessionOutcome::Resumed;
                // Nobody stays away for as long as a session waits.
                if !goes_on || identity != self.identity {
                    self.wrong_outcomes += 1;
                    (self.identity, self.own) = (identity, None);
                    return Turn::Expected;
                }
                self.resumed += 1;
                Turn::Resumed(at.saturating_since(lost_at))
            }
            _ => Turn::Expected,
        }
    }

    /// There is a newer state.
    pub(super) fn note_state(&mut self, client: &Client) {
        let Some(now_own) = own(client) else { return };
        let is_another = self.own.replace(now_own).is_some_and(|before| before != now_own);
        self.changed_entities += u64::from(is_another);
    }

    /// Connections are cut no more.
    pub(super) fn begin_peace(&mut self, now: Micros, client: &Client) {
        self.digests_in_peace = Some(client.stats(now).digests_checked);
    }

    /// What there is to say at the end, `now` on the client's clock.
    pub(super) fn settle(&self, now: Micros, client: &Client, cuts: u64) -> Account {
        let stats = client.stats(now);
        let is_checked = self.digests_in_peace.is_some_and(|before| stats.digests_checked > before);
        let is_fresh = client.is_playing() && client.snapshot_age(now).is_some_and(|age| age <= STALE);
        let is_right = is_checked && stats.digest_mismatches == 0;
        Account {
            identity: self.identity.and_then(|identity| Some((identity.room, identity.player?))),
            own: own(client),
            shown: client.view(now).entities(PLAYER).map(|entity| entity.id()).collect(),
            cuts,
            resumed: self.resumed,
            wrong_outcomes: self.wrong_outcomes,
            changed_entities: self.changed_entities,
            is_stale: !(is_fresh && is_right),
            ..Account::default()
        }
    }
}

/// The own player's entity.
fn own(client: &Client) -> Option<EntityId> {
    client.own().find(|entity| entity.kind == PLAYER).map(|entity| entity.id)
}
