//! A room, a client, and the simulated link between them.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tickwire_client::{Backoff, Client, ClientConfig, DisconnectReason, Event, Reconnect};
use tickwire_netsim::{Direction, Duplex, OrderedLink, Profile};
use tickwire_protocol::bulk::{BulkEvent, BulkReceived};
use tickwire_protocol::frame::frames;
use tickwire_protocol::handshake::{Resume, ResumeToken, StreamKind};
use tickwire_protocol::{Micros, PeerId, RoomId, TickRate};
use tickwire_server::core::{Absence, Join, Room, RoomConfig, RoomEvent, RoomIdentity, admit};

use crate::depot::{Depot, Desk, schema};

pub(crate) struct Ends {
    pub(crate) room: Room,
    pub(crate) client: Client,
    pub(crate) desk: Arc<Mutex<Desk>>,
    pub(crate) now: Micros,
    link: Duplex<OrderedLink<Bytes>>,
    profile: Profile,
    pub(crate) peer: Option<PeerId>,
    connections: u64,
    /// There is no way to the server: nobody tries to connect.
    pub(crate) is_down: bool,
    /// Messages that arrived, both ways.
    pub(crate) arrived: u64,
    /// What the client was told, but progress; and of that the newest.
    pub(crate) told: Vec<Event>,
    pub(crate) progress: u32,
    /// Bytes of the messages that the client was told.
    pub(crate) said: usize,
    /// What the transport has not taken yet, each way: nothing follows it.
    unsent: [Option<Bytes>; 2],
    /// The largest message each way.
    pub(crate) largest: [usize; 2],
}

/// Waits for a connection to come back.
const BACK_SOON: Micros = Micros::from_millis(20);

impl Ends {
    pub(crate) fn new(profile: &Profile, movers: usize) -> Self {
        let config = RoomConfig::new(TickRate::new(60).unwrap(), 20);
        Self::with(profile, movers, config.budget)
    }

    /// With so many bytes of state a second.
    pub(crate) fn with(profile: &Profile, movers: usize, budget: Option<u32>) -> Self {
        Self::configured(profile, movers, |config| config.budget = budget)
    }

    /// Where a player whose client is away has left.
    pub(crate) fn removing(profile: &Profile, movers: usize) -> Self {
        Self::configured(profile, movers, |config| config.absence = Absence::Remove)
    }

    fn configured(profile: &Profile, movers: usize, configure: impl FnOnce(&mut RoomConfig)) -> Self {
        let desk = Arc::new(Mutex::new(Desk { accepts: true, ..Desk::default() }));
        let mut config = RoomConfig::new(TickRate::new(60).unwrap(), 20);
        configure(&mut config);
        config.session_window = Micros::from_secs(5);
        let identity = RoomIdentity { id: RoomId(1), name: "depot".to_owned(), seed: 1 };
        let game = Depot::new(movers, desk.clone());
        let mut client = ClientConfig::new("test");
        client.reconnect =
            Some(Reconnect { backoff: Backoff::Listed([BACK_SOON].into()), attempts: u32::MAX });
        Self {
            room: Room::new(identity, config, Box::new(game), Micros::ZERO),
            client: Client::new(client, schema(), Micros::ZERO),
            desk,
            now: Micros::ZERO,
            link: Duplex::ordered(profile, 1, 0),
            profile: *profile,
            peer: None,
            connections: 0,
            is_down: false,
            arrived: 0,
            told: Vec::new(),
            progress: 0,
            said: 0,
            unsent: [None, None],
            largest: [0; 2],
        }
    }

    /// A millisecond of everything.
    pub(crate) fn step(&mut self) {
        self.now = self.now + Micros::from_millis(1);
        let now = self.now;
        while let Some((at, message)) = self.link.up.receive(now.0) {
            self.arrived += 1;
            self.take(Micros(at), message);
        }
        if now >= self.room.poll_timeout() {
            self.room.advance(now);
            while let Some(event) = self.room.poll_event() {
                assert!(!matches!(event, RoomEvent::PeerDropped { .. }), "{event:?}");
            }
            self.transmit_down();
        }
        while let Some((at, message)) = self.link.down.receive(now.0) {
            self.arrived += 1;
            self.client.handle_message(Micros(at), message).unwrap();
        }
        while let Some(event) = self.client.poll_event(now) {
            self.hear(event);
        }
        while let Some(tick) = self.client.due_input_tick(now) {
            self.client.push_input(now, tick, |_| {});
        }
        if !self.is_down {
            self.client.poll_connect(now);
        }
        self.transmit_up();
    }

    pub(crate) fn run(&mut self, time: Micros) {
        let until = self.now + time;
        while self.now < until {
            self.step();
        }
    }

    fn take(&mut self, at: Micros, message: Bytes) {
        if let Some(peer) = self.peer {
            return self.room.handle_message(at, peer, message).unwrap();
        }
        let frame = frames(message).next().unwrap().unwrap();
        let hello = admit(&frame.payload, &schema(), StreamKind::Ordered).unwrap().unwrap();
        let join = Join {
            token: ResumeToken([(self.connections % 200) as u8; 16]),
            resume: Resume::find(&hello.extensions).unwrap(),
            bulk: BulkReceived::find(&hello.extensions).unwrap(),
            ..Join::new(hello.role, hello.stream)
        };
        self.peer = Some(self.room.join(self.now, join).unwrap());
    }

    /// As the room's task does it: what may wait comes when all that may not was taken.
    fn transmit_down(&mut self) {
        let (now, Some(peer)) = (self.now, self.peer) else { return };
        for is_filler in [false, true] {
            self.flush(Direction::Down);
            if self.unsent[Direction::Down as usize].is_some() {
                return;
            }
            let mut written = None;
            let mut send = |message: &[u8]| written = Some(Bytes::copy_from_slice(message));
            if is_filler {
                self.room.poll_filler(now, peer, &mut send);
            } else {
                self.room.poll_transmit(now, peer, &mut send);
            }
            self.send(Direction::Down, written);
        }
    }

    fn transmit_up(&mut self) {
        self.flush(Direction::Up);
        let mut message = Vec::new();
        while self.unsent[Direction::Up as usize].is_none()
            && self.client.poll_transmit(self.now, &mut message)
        {
            self.send(Direction::Up, Some(core::mem::take(&mut message).into()));
        }
    }

    fn send(&mut self, direction: Direction, message: Option<Bytes>) {
        let largest = &mut self.largest[direction as usize];
        if let (Some(message), Some(_)) = (&message, self.peer) {
            *largest = message.len().max(*largest);
        }
        self.unsent[direction as usize] = message;
        self.flush(direction);
    }

    fn flush(&mut self, direction: Direction) {
        let Some(message) = self.unsent[direction as usize].take() else { return };
        let size = message.len() as u64 + if direction == Direction::Up { 8 } else { 4 };
        self.unsent[direction as usize] =
            self.link.toward(direction).try_send(self.now.0, size, message).err();
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Bulk(BulkEvent::Receiving { bytes, .. } | BulkEvent::Sending { bytes, .. }) => {
                self.progress = bytes;
            }
            Event::Bulk(_) | Event::Connected { .. } | Event::Disconnected(_) => self.told.push(event),
            Event::Message(message) => self.said += message.body.len(),
            _ => {}
        }
    }

    /// The connection ends for both, with all that is on it.
    pub(crate) fn cut(&mut self) {
        if let Some(peer) = self.peer.take() {
            self.room.disconnect(self.now, peer);
        }
        self.client.handle_disconnect(self.now, DisconnectReason::Lost);
        self.unsent = [None, None];
        self.connections += 1;
        self.link = Duplex::ordered(&self.profile, 1, self.connections);
    }

    /// What the client was told of transfers since the last time.
    pub(crate) fn take_told(&mut self) -> Vec<BulkEvent> {
        let bulk = |event| if let Event::Bulk(event) = event { Some(event) } else { None };
        self.told.drain(..).filter_map(bulk).collect()
    }

    /// What the game was told.
    pub(crate) fn take_game_told(&self) -> Vec<BulkEvent> {
        self.desk.lock().unwrap().told.drain(..).map(|(_, event)| event).collect()
    }
}
