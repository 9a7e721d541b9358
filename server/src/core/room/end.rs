//! Who leaves a room: connections are lost or let go, sessions wait for their clients and end, and so does the room.

use tickwire_protocol::handshake::Role;
use tickwire_protocol::room::LeaveReason;
use tickwire_protocol::{CloseCode, Micros, PeerFault, PeerId, PlayerId, SessionId};
use tickwire_sim::RemovalReason;

use super::{Room, RoomEvent};

impl Room {
    /// Ends a session because its account has begun another. A connection that it still has is
    /// [dropped](RoomEvent::PeerDropped). One that is not here any more is passed over.
    pub fn replace(&mut self, session: SessionId) {
        if let Some(peer) = self.sessions.get(&session).and_then(|session| session.peer()) {
            self.drop_peer(peer, PeerFault::Replaced);
        }
        if self.sessions.contains_key(&session) {
            self.end_session(session, LeaveReason::Left);
        }
    }

    /// Takes a connection from its session.
    pub(super) fn drop_peer(&mut self, peer: PeerId, fault: PeerFault) {
        self.peers.remove(&peer);
        self.note_peers();
        self.events.push(RoomEvent::PeerDropped { peer, fault });
    }

    /// Lets a player go because the game wants it, as [`StepContext::remove_player`](tickwire_sim::StepContext::remove_player) does. A
    /// connection that it has is [dismissed](RoomEvent::PeerDismissed) with [`CloseCode::REMOVED`]. One that is not here is passed over; whether it was.
    pub fn remove_player(&mut self, player: PlayerId, reason: &str) -> bool {
        let Some(&session) = self.players.get(&player) else { return false };
        self.dismiss(session, CloseCode::REMOVED, &RemovalReason::new(reason));
        true
    }

    /// Ends the room because its game wants it, as [`StepContext::end_room`](tickwire_sim::StepContext::end_room) does: every session is over, every
    /// connection [dismissed](RoomEvent::PeerDismissed) with [`CloseCode::ROOM_ENDED`], and no step is made any more.
    pub fn end(&mut self, reason: &str) {
        self.is_over = true;
        let reason = RemovalReason::new(reason);
        let sessions: Vec<_> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.dismiss(session, CloseCode::ROOM_ENDED, &reason);
        }
    }

    /// Whether the game has ended it: nobody is in it, nobody is let in, and its owner has nothing left to do but to take it away.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Does what the last step has asked for. Before the next one and not at once: what the game has said together with it goes out first.
    pub(super) fn carry_out_dismissals(&mut self) {
        for (player, reason) in self.dismissals.take_players() {
            self.remove_player(player, reason.as_str());
        }
        if let Some(reason) = self.dismissals.take_room() {
            self.end(reason.as_str());
        }
    }

    fn dismiss(&mut self, session: SessionId, code: CloseCode, reason: &RemovalReason) {
        if let Some(peer) = self.sessions.get(&session).and_then(|session| session.peer()) {
            self.peers.remove(&peer);
            self.note_peers();
            self.events.push(RoomEvent::PeerDismissed { peer, code, reason: reason.clone() });
        }
        self.end_session(session, LeaveReason::Removed);
    }

    /// A client has said goodbye: its session is over. Its player's entity is the simulation's to take away.
    pub fn leave(&mut self, peer: PeerId) {
        self.end_of(peer, LeaveReason::Left);
    }

    /// A client is let go, for a fault of its own or because the server wants it: its session is over.
    pub fn remove(&mut self, peer: PeerId) {
        self.end_of(peer, LeaveReason::Removed);
    }

    fn end_of(&mut self, peer: PeerId, reason: LeaveReason) {
        if let Some(peer) = self.peers.remove(&peer) {
            self.note_peers();
            self.end_session(peer.session, reason);
        }
    }

    /// A connection was lost. Its session waits for its client to come back, as long as the room's configuration says.
    pub fn disconnect(&mut self, now: Micros, peer: PeerId) {
        if self.config.session_window == Micros::ZERO {
            return self.end_of(peer, LeaveReason::Lost);
        }
        let Some(peer) = self.peers.remove(&peer) else { return };
        self.note_peers();
        match self.sessions.get_mut(&peer.session) {
            Some(session) if session.is_known() => {
                session.rest(now);
                if let Some(player) = session.player_id() {
                    self.members.set_connected(player, false);
                }
            }
            // A client that never spoke behind its welcome has no token to come back with.
            _ => self.end_session(peer.session, LeaveReason::Lost),
        }
    }

    pub(super) fn end_session(&mut self, session: SessionId, reason: LeaveReason) {
        self.events.push(RoomEvent::SessionEnded { session });
        self.identities.remove(&session);
        let Some(mut session) = self.sessions.remove(&session) else { return };
        let Some(player) = session.player.take() else { return };
        self.outcomes.handle_end(player.id, &mut session);
        self.players.remove(&player.id);
        self.members.remove(player.id, reason);
        self.groups.remove(player.id);
        // Also of one that was told to have left when its client went away: there is an end to everything that the game has begun.
        session.bulk.handle_end();
        let lost = core::iter::from_fn(|| session.bulk.poll_event(self.now));
        self.bulk_turn.lost.extend(lost.map(|event| (player.id, event)));
        if player.is_announced {
            self.left.push(player.id);
        }
    }

    /// Ends the sessions whose clients have not come back in time.
    pub(super) fn give_up_absent(&mut self, now: Micros) {
        let window = self.config.session_window;
        let sessions = self.sessions.values();
        let over: Vec<_> =
            sessions.filter(|session| session.is_given_up(now, window)).map(|session| session.id).collect();
        for session in over {
            self.end_session(session, LeaveReason::Lost);
        }
    }

    /// Who of a role keeps a place that it has to leave to somebody who needs one, for it is away for longer than it was here: of several the one
    /// that has kept it for longest.
    pub fn overdue(&self, now: Micros, role: Role) -> Option<SessionId> {
        let least = self.config.place_kept;
        let sessions = self.sessions.values().filter(|session| session.role() == role);
        let overdue = sessions.filter_map(|session| Some((session.overdue_for(now, least)?, session.id)));
        overdue.max().map(|(_, session)| session)
    }

    /// Somebody needs a place: the session that is [overdue](Room::overdue) is over. Whether there was one.
    pub fn give_way(&mut self, now: Micros, role: Role) -> bool {
        let overdue = self.overdue(now, role);
        if let Some(session) = overdue {
            self.end_session(session, LeaveReason::Lost);
        }
        overdue.is_some()
    }

    /// Lets those go who say nothing, take nothing, play nothing, or whose token has expired.
    pub(super) fn drop_dead_peers(&mut self, now: Micros) {
        let first = self.events.len();
        for (&peer, state) in &self.peers {
            let fault = state.find_dead(now, &self.config);
            self.events.extend(fault.map(|fault| RoomEvent::PeerDropped { peer, fault }));
        }
        for index in first..self.events.len() {
            let RoomEvent::PeerDropped { peer, fault } = self.events[index] else { continue };
            if CloseCode::from(fault).may_pass() {
                self.disconnect(now, peer);
            } else {
                // Its client does not come back to it.
                self.remove(peer);
            }
        }
    }
}
