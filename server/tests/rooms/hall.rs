//! A room and its clients, joined by connections that take no time and can be cut.

use std::sync::Arc;

use bytes::Bytes;
use tickwire_client::{Backoff, Client, ClientConfig, DisconnectReason, Event, Reconnect};
use tickwire_protocol::frame::frames;
use tickwire_protocol::handshake::{RejectReason, Resume, ResumeToken, Role, SessionOutcome, StreamKind};
use tickwire_protocol::room::{Introduction, Profile};
use tickwire_protocol::{Micros, PeerId, PlayerId, RoomId, Schema, TickRate};
use tickwire_server::core::{Join, Room, RoomConfig, RoomEvent, RoomIdentity, admit};
use tickwire_sim::Simulation;

/// How far time goes at once.
const STRIDE: Micros = Micros(5_000);

pub(crate) struct Hall {
    pub(crate) room: Room,
    pub(crate) now: Micros,
    schema: Arc<Schema>,
    tokens: u128,
}

pub(crate) struct Guest {
    pub(crate) client: Client,
    pub(crate) peer: Option<PeerId>,
    pub(crate) player: Option<PlayerId>,
    /// Of the last welcome.
    pub(crate) outcome: Option<SessionOutcome>,
    /// How many messages it was sent, the largest, bytes, and bytes in all.
    pub(crate) messages: usize,
    pub(crate) largest: usize,
    pub(crate) bytes: usize,
    /// A connection that it wants is not opened.
    pub(crate) is_held: bool,
}

pub(crate) fn profile(name: &str) -> Profile {
    Profile::new(name, name.as_bytes()).unwrap()
}

impl Guest {
    pub(crate) fn new(hall: &Hall, role: Role, name: &str) -> Self {
        let reconnect = Some(Reconnect { backoff: Backoff::Listed([Micros(1)].into()), attempts: 10 });
        let config = ClientConfig { role, reconnect, profile: profile(name), ..ClientConfig::new("test") };
        Self {
            client: Client::new(config, hall.schema.clone(), hall.now),
            peer: None,
            player: None,
            outcome: None,
            messages: 0,
            largest: 0,
            bytes: 0,
            is_held: false,
        }
    }

    /// What it is told by now.
    pub(crate) fn events(&mut self, now: Micros) -> Vec<Event> {
        core::iter::from_fn(|| self.client.poll_event(now)).collect()
    }

    /// The names of the members that it knows; of those without a connection in brackets.
    pub(crate) fn names(&self) -> String {
        let name = |member: &tickwire_client::Member| {
            let name = member.profile.name();
            if member.is_connected { name.to_owned() } else { format!("({name})") }
        };
        self.client.members().iter().map(name).collect::<Vec<_>>().join(" ")
    }
}

impl Hall {
    pub(crate) fn new(simulation: Box<dyn Simulation>, configure: impl FnOnce(&mut RoomConfig)) -> Self {
        let schema = simulation.schema().clone();
        let mut config = RoomConfig::new(TickRate::new(60).unwrap(), 20);
        // Whoever is there is there until it leaves or its window is over.
        (config.silence_timeout, config.stall_timeout) = (Micros::from_secs(300), Micros::from_secs(300));
        configure(&mut config);
        let identity = RoomIdentity { id: RoomId(1), name: "hall".to_owned(), seed: 1 };
        let room = Room::new(identity, config, simulation, Micros::ZERO);
        Self { room, now: Micros::ZERO, schema, tokens: 0 }
    }

    /// Lets so much time pass, with all that is said meanwhile.
    pub(crate) fn pass(&mut self, time: Micros, guests: &mut [&mut Guest]) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + STRIDE;
            for guest in guests.iter_mut() {
                self.hear(guest);
            }
            self.room.advance(self.now);
            while let Some(event) = self.room.poll_event() {
                match event {
                    RoomEvent::PeerDropped { peer, fault } => panic!("{peer} was dropped: {fault}"),
                    RoomEvent::PeerDismissed { peer, code, reason } => {
                        let guest = guests.iter_mut().find(|guest| guest.peer == Some(peer)).unwrap();
                        guest.peer = None;
                        let reason = DisconnectReason::Closed { code, reason: reason.to_string() };
                        guest.client.handle_disconnect(self.now, reason);
                    }
                    RoomEvent::TokenCame { .. } | RoomEvent::SessionEnded { .. } => {}
                }
            }
            for guest in guests.iter_mut() {
                self.tell(guest);
            }
        }
    }

    /// A connection is lost without a word; the server notices at once.
    pub(crate) fn cut(&mut self, guest: &mut Guest) {
        if let Some(peer) = guest.peer.take() {
            self.room.disconnect(self.now, peer);
            guest.client.handle_disconnect(self.now, DisconnectReason::Lost);
        }
    }

    fn hear(&mut self, guest: &mut Guest) {
        if !guest.is_held {
            guest.client.poll_connect(self.now);
        }
        while let Some(tick) = guest.client.due_input_tick(self.now) {
            guest.client.push_input(self.now, tick, |_| {});
        }
        let mut message = Vec::new();
        if !guest.client.poll_transmit(self.now, &mut message) {
            return;
        }
        match guest.peer {
            Some(peer) => self.room.handle_message(self.now, peer, message.into()).unwrap(),
            None => guest.peer = Some(self.admit(message.into()).unwrap()),
        }
    }

    fn admit(&mut self, message: Bytes) -> Result<PeerId, RejectReason> {
        let hello = frames(message).next().unwrap().unwrap();
        let hello = admit(&hello.payload, &self.schema, StreamKind::Ordered).unwrap()?;
        self.tokens += 1;
        let join = Join {
            token: ResumeToken(self.tokens.to_le_bytes()),
            resume: Resume::find(&hello.extensions).unwrap(),
            introduction: Introduction::find(&hello.extensions).unwrap(),
            ..Join::new(hello.role, StreamKind::Ordered)
        };
        self.room.join(self.now, join)
    }

    fn tell(&mut self, guest: &mut Guest) {
        let Some(peer) = guest.peer else { return };
        let mut messages = Vec::new();
        self.room.poll_transmit(self.now, peer, |message| messages.push(Bytes::copy_from_slice(message)));
        for message in messages {
            guest.messages += 1;
            guest.largest = guest.largest.max(message.len());
            guest.bytes += message.len();
            guest.client.handle_message(self.now, message).unwrap();
        }
        guest.player = guest.client.welcome().and_then(|welcome| welcome.player);
        let terms = guest.client.welcome().map(|welcome| {
            tickwire_protocol::handshake::SessionTerms::find(&welcome.extensions).unwrap().unwrap()
        });
        guest.outcome = terms.map(|terms| terms.outcome);
    }
}
