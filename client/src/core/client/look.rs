//! What there is to see.

use std::sync::Arc;

use tickwire_protocol::handshake::Welcome;
use tickwire_protocol::snapshot::Prior;
use tickwire_protocol::{KindId, Micros, RowRef, Schema, Tick};

use super::{Client, State};
use crate::core::clock::Clock;
use crate::core::groups::Groups;
use crate::core::match_state::MatchState;
use crate::core::members::Members;
use crate::core::session::{OwnEntity, Session};
use crate::core::view::{Moment, View, Whose};

impl Client {
    /// The world to draw at `now`: a little in the past, where there are states before and after. Empty before the
    /// welcome.
    pub fn view(&self, now: Micros) -> View<'_> {
        let session = self.session();
        View::new(session, Whose::All, session.map_or_else(Moment::default, |session| session.moment(now)))
    }

    /// The player's own entities as they are predicted, to be drawn at `now` beside the others of [`Client::view`]: between the
    /// last two ticks that were given inputs, with all their fields. An input that was given just now is seen in this very
    /// picture. [`latest`](crate::EntityView::latest) has the newest predicted row, exact.
    ///
    /// Where the server finds otherwise, the state is set right at once, and what is seen within a tenth of a second or so.
    /// What the game spawns for the player is here before the server has spawned it, under an id that is
    /// [provisional](tickwire_sim::is_provisional) until [`Event::Confirmed`](crate::Event::Confirmed).
    ///
    /// Empty where nothing is predicted: without [`Client::predict`], before the first own entity is told of, for a player with more than
    /// 256 entities. Then there is [`Client::own`].
    pub fn predicted(&self, now: Micros) -> View<'_> {
        let session = self.session().filter(|_| self.is_playing());
        let moment = session.and_then(|session| session.predicted_moment(now));
        View::new(session.filter(|_| moment.is_some()), Whose::Predicted, moment.unwrap_or_default())
    }

    /// The newest tick that is predicted; nothing if none is.
    pub fn predicted_tick(&self) -> Option<Tick> {
        self.session()?.prediction()?.newest()
    }

    /// The world at a moment that the caller chooses, on the server's clock: for a replay of the last second, or a
    /// playout of one's own. States are kept for as long as [`Client::view`] needs them, so what is much older is held
    /// as it was first known. Events keep to the time of [`Client::view`].
    pub fn view_at(&self, server_time: Micros) -> View<'_> {
        let session = self.session();
        let moment = session.map_or_else(Moment::default, |session| session.moment_at(server_time));
        View::new(session, Whose::All, moment)
    }

    /// The entities of this client's player as the server last told them: newer than any view, with all their fields,
    /// exact.
    pub fn own(&self) -> impl Iterator<Item = OwnEntity<'_>> {
        self.session().into_iter().flat_map(Session::own)
    }

    /// The first of them that is of this kind: for games where a player has one body.
    pub fn own_row(&self, kind: KindId) -> Option<RowRef<'_>> {
        self.own().find(|entity| entity.kind == kind).map(|entity| entity.row)
    }

    /// Who is in the room: its players, this client's own among them, and those whose connection is lost for the moment. Survives a
    /// lost connection; begins anew with another session. Empty on a connection of datagrams, which is not told.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// How the match of the room stands, as its game says: who plays for how long, and the scores. Survives a lost connection, as
    /// [`Client::members`] does.
    pub fn match_state(&self) -> &MatchState {
        &self.match_state
    }

    /// The groups that the player is in, as the server's game says. Survives a lost connection, as [`Client::members`] does.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// What the server said when it let the client in: ids, rates, limits.
    pub fn welcome(&self) -> Option<&Welcome> {
        self.session().map(Session::welcome)
    }

    /// What the room's coder has learned. If the welcome brought it, the game may keep its
    /// [bytes](Prior::encoded) and name it in [`ClientConfig::priors`](crate::ClientConfig::priors) the next time.
    pub fn prior(&self) -> Option<&Arc<Prior>> {
        self.session().map(Session::prior)
    }

    /// The server's time, and how far it is away.
    pub fn clock(&self) -> Option<&Clock> {
        self.session().map(Session::clock)
    }

    /// The share of the newest few hundred snapshot datagrams that did not come, 0 to 1; 0 on an ordered stream, where nothing is lost
    /// but time. Round trip and jitter are with the [`clock`](Client::clock).
    pub fn loss(&self) -> f32 {
        self.session().map_or(0.0, Session::loss)
    }

    /// How old the newest state is: the server's time minus the time of its tick.
    pub fn snapshot_age(&self, now: Micros) -> Option<Micros> {
        let (clock, newest) = (self.clock()?, self.stats.newest_tick?);
        Some(clock.server_time(now).saturating_since(clock.time_of(newest)))
    }

    /// What the rows are made of.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    pub(super) fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Playing(session) => Some(session),
            State::Hello { before: session, .. }
            | State::Waiting { before: session, .. }
            | State::Closed { session, .. } => session.as_deref(),
        }
    }
}
