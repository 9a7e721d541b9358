//! Players whose clients are away: paused, asleep or lost.

use std::sync::Arc;

use tickwire_client::{Backoff, Client, ClientConfig, DisconnectReason, Event, Reconnect};
use tickwire_protocol::handshake::{Resume, ResumeToken, Role, SessionOutcome, StreamKind};
use tickwire_protocol::{EntityId, Micros, PeerId, PlayerId, RoomId, TickRate};
use tickwire_server::core::{Absence, Join, Room, RoomConfig, RoomEvent, RoomIdentity};
use tickwire_sim::prelude::*;

const BODY: KindId = KindId(0);
/// Ticks in which the player had an input other than zero, an input of zero, and none.
const WALKED: FieldId = FieldId(0);
const STOOD: FieldId = FieldId(1);
const ALONE: FieldId = FieldId(2);
const MOVE: FieldId = FieldId(0);

fn schema() -> Arc<Schema> {
    let count = |id, name| Field::new(id, name, FieldType::integer(0..=1_000_000));
    Schema::builder("absence")
        .kind(Kind::new(
            BODY,
            "body",
            [count(WALKED, "walked"), count(STOOD, "stood"), count(ALONE, "alone")],
        ))
        .input([Field::new(MOVE, "move", FieldType::integer(0..=9))])
        .build()
        .unwrap()
}

/// Counts what it is told of each player.
struct Counting {
    schema: Arc<Schema>,
    bodies: Vec<(EntityId, PlayerId, [i32; 3])>,
}

impl Simulation for Counting {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        self.bodies.retain(|(_, player, _)| !ctx.left().contains(player));
        for &player in ctx.joined() {
            let id = ctx.spawn(BODY);
            self.bodies.push((id, player, [0; 3]));
        }
        for (_, player, counts) in &mut self.bodies {
            let place = ctx.input(*player).map_or(2, |input| usize::from(input.integer(MOVE) == 0));
            counts[place] += 1;
        }
    }

    fn save(&self, out: &mut Tables) {
        for &(id, player, counts) in &self.bodies {
            out.insert(BODY, RowHead { owner: Some(player), ..RowHead::new(id) }).copy_from(&counts);
        }
    }

    fn load(&mut self, _: &Tables) {}
}

/// A room and one client, with a way between them that takes no time.
struct Table {
    room: Room,
    client: Client,
    /// Nothing while the connection is cut.
    peer: Option<PeerId>,
    now: Micros,
    tokens: u8,
    snapshots: u64,
    dropped: u32,
    /// What the player wants.
    wish: i32,
}

impl Table {
    fn new(absence: Absence) -> Self {
        Self::with(|config| config.absence = absence)
    }

    fn with(configure: impl FnOnce(&mut RoomConfig)) -> Self {
        let mut config = RoomConfig::new(TickRate::new(50).unwrap(), 25);
        configure(&mut config);
        let simulation = Counting { schema: schema(), bodies: Vec::new() };
        let identity = RoomIdentity { id: RoomId(1), name: "absence".into(), seed: 1 };
        let backoff = Backoff::Listed([Micros::ZERO].into());
        let reconnect = Some(Reconnect { backoff, attempts: 3 });
        let client =
            Client::new(ClientConfig { reconnect, ..ClientConfig::new("test") }, schema(), Micros::ZERO);
        let room = Room::new(identity, config, Box::new(simulation), Micros::ZERO);
        let mut table = Self {
            room,
            client,
            peer: None,
            now: Micros::ZERO,
            tokens: 0,
            snapshots: 0,
            dropped: 0,
            wish: 5,
        };
        table.connect(None);
        table.run(Micros::from_secs(10));
        table
    }

    fn connect(&mut self, resume: Option<Resume>) {
        assert!(self.client.poll_transmit(self.now, &mut Vec::new()), "hello");
        self.tokens += 1;
        let token = ResumeToken([self.tokens; 16]);
        let join = Join { token, resume, ..Join::new(Role::Player, StreamKind::Ordered) };
        self.peer = Some(self.room.join(self.now, join).unwrap());
    }

    /// What passes in a time, in looks of 10 ms.
    fn run(&mut self, time: Micros) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + Micros::from_millis(10);
            self.serve();
            while let Some(tick) = self.client.due_input_tick(self.now) {
                let wish = self.wish;
                self.client.push_input(self.now, tick, |row| {
                    row.set_integer(MOVE, wish);
                });
            }
            let mut out = Vec::new();
            while let Some(peer) = self.peer
                && self.client.poll_transmit(self.now, &mut out)
            {
                self.room.handle_message(self.now, peer, out.split_off(0).into()).unwrap();
            }
        }
    }

    /// The server's side of a look, and what comes of it.
    fn serve(&mut self) {
        self.room.advance(self.now);
        while let Some(event) = self.room.poll_event() {
            if matches!(event, RoomEvent::PeerDropped { .. }) {
                (self.peer, self.dropped) = (None, self.dropped + 1);
            }
        }
        let Some(peer) = self.peer else { return };
        let Self { room, client, now, snapshots, .. } = self;
        let before = client.stats(*now).snapshots;
        room.poll_transmit(*now, peer, |message| {
            client.handle_message(*now, message.to_vec().into()).unwrap();
        });
        *snapshots += client.stats(*now).snapshots - before;
    }

    /// The client sleeps: the server goes on alone.
    fn sleep(&mut self, time: Micros) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + Micros::from_millis(10);
            self.room.advance(self.now);
            while let Some(event) = self.room.poll_event() {
                self.dropped += u32::from(matches!(event, RoomEvent::PeerDropped { .. }));
            }
        }
    }

    fn counts(&self) -> Vec<[i32; 3]> {
        let rows = self.room.tables().rows(BODY);
        rows.map(|(_, row)| [WALKED, STOOD, ALONE].map(|field| row.integer(field))).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.client.poll_event(self.now)).collect()
    }
}

const SECOND: Micros = Micros::from_secs(1);

#[test]
fn who_is_paused_is_sent_no_state_and_stands_or_is_a_bot_or_is_gone() {
    for (absence, place) in [(Absence::Stand, Some(1)), (Absence::Bot, Some(2)), (Absence::Remove, None)] {
        let mut table = Table::new(absence);
        table.client.pause(table.now);
        table.run(SECOND);
        let (before, snapshots) = (table.counts(), table.snapshots);
        table.run(Micros::from_secs(30));
        assert_eq!(table.snapshots, snapshots, "no state");
        let passed = |[row]: [[i32; 3]; 1], [old]: [[i32; 3]; 1]| {
            core::array::from_fn::<_, 3, _>(|place| row[place] - old[place])
        };
        match place {
            None => assert_eq!((before.len(), table.counts().len()), (0, 0)),
            Some(place) => {
                let after = passed(table.counts().try_into().unwrap(), before.clone().try_into().unwrap());
                let mut told = [0; 3];
                told[place] = 1_500;
                assert_eq!(after, told, "{absence:?}");
            }
        }
        let walked = before.first().map_or(0, |counts| counts[0]);
        table.client.resume(table.now);
        table.run(SECOND);
        assert!(table.snapshots > snapshots + 20, "state again");
        assert!(table.counts()[0][0] > walked + 30, "{absence:?}: its player walks again");
        let shown = table.client.view(table.now).entities(BODY).map(|entity| entity.latest().integer(WALKED));
        assert!(shown.sum::<i32>() + 10 > table.counts()[0][0], "what is shown is new");
        assert!(table.client.stats(table.now).starved < SECOND, "a pause is no want");
        assert_eq!(table.dropped, 0);
    }
}

#[test]
fn a_paused_client_says_little_and_may_be_silent_for_a_minute() {
    let mut table = Table::new(Absence::Stand);
    table.client.pause(table.now);
    table.run(SECOND);
    let pings = table.client.stats(table.now).pings;
    table.run(Micros::from_secs(100));
    assert_eq!(table.client.stats(table.now).pings - pings, 5);
    // A page whose timers are stopped.
    table.sleep(Micros::from_secs(39));
    assert_eq!(table.dropped, 0);
    table.run(SECOND);
    assert!(table.client.is_playing(), "it is not given up for what it did not hear while it slept");
    table.sleep(Micros::from_secs(62));
    assert_eq!(table.dropped, 1, "for ever is too long");
}

#[test]
fn a_client_that_wakes_up_waits_for_a_word_before_it_gives_up() {
    let mut table = Table::new(Absence::Stand);
    table.sleep(Micros::from_secs(4));
    table.run(SECOND);
    assert!(table.client.is_playing() && table.dropped == 0);
    // Longer than the server waits: the connection is gone, the session is not.
    table.sleep(Micros::from_secs(8));
    assert_eq!(table.dropped, 1);
    table.peer = None;
    assert!(table.events().iter().all(|event| !matches!(event, Event::Reconnecting { .. })), "not at once");
    table.run(Micros::from_millis(1_900));
    assert_eq!(table.events(), []);
    assert!(table.client.is_playing(), "a word may be on its way");
    table.run(Micros::from_millis(200));
    assert!(matches!(table.events()[..], [Event::Reconnecting { .. }]));
    let given_up = Some(&DisconnectReason::Silent);
    assert_eq!(table.client.disconnect_reason(), given_up, "soon all the same");
    come_back(&mut table);
    assert!(
        table
            .events()
            .iter()
            .any(|event| matches!(event, Event::Connected { outcome: SessionOutcome::Resumed, .. }))
    );
}

/// Over another connection, as the same session.
fn come_back(table: &mut Table) {
    let welcome = table.client.welcome().unwrap();
    let session = welcome.session;
    let token = ResumeToken([table.tokens; 16]);
    assert!(table.client.poll_connect(table.now));
    table.connect(Some(Resume { session, token, received: tickwire_protocol::message::Received::default() }));
    table.run(SECOND);
}

#[test]
fn a_pause_outlasts_its_connection() {
    let mut table = Table::new(Absence::Bot);
    table.client.pause(table.now);
    table.run(SECOND);
    let lose = |table: &mut Table| {
        let peer = table.peer.take().unwrap();
        table.room.disconnect(table.now, peer);
        table.client.handle_disconnect(table.now, DisconnectReason::Lost);
    };
    lose(&mut table);
    let (before, snapshots) = (table.counts()[0], table.snapshots);
    come_back(&mut table);
    assert_eq!((table.counts()[0][0], table.snapshots), (before[0], snapshots), "still paused");
    // The game goes on while there is no connection: the server does not know.
    lose(&mut table);
    table.client.resume(table.now);
    come_back(&mut table);
    assert!(table.counts()[0][0] > before[0] + 30 && table.snapshots > snapshots + 20);
}

#[test]
fn who_was_removed_is_the_same_player_again() {
    let mut table = Table::new(Absence::Remove);
    let player = table.client.welcome().unwrap().player;
    let peer = table.peer.take().unwrap();
    table.room.disconnect(table.now, peer);
    table.client.handle_disconnect(table.now, DisconnectReason::Lost);
    table.sleep(SECOND);
    assert_eq!(table.counts(), Vec::<[i32; 3]>::new());
    assert_eq!(table.room.player_count(), 1, "its place is kept");
    come_back(&mut table);
    assert_eq!(table.client.welcome().unwrap().player, player);
    assert!(table.counts()[0][0] > 30);
}

#[test]
fn the_inputs_that_come_with_the_end_of_a_pause_count() {
    let mut table = Table::new(Absence::Bot);
    let substituted = |table: &Table| table.room.input_counters(table.peer.unwrap()).unwrap().substituted;
    for _ in 0..10 {
        table.client.pause(table.now);
        table.run(SECOND);
        let before = substituted(&table);
        table.client.resume(table.now);
        table.run(SECOND);
        assert_eq!(substituted(&table), before);
    }
}

#[test]
fn a_player_whose_input_never_changes_is_let_go_and_one_who_plays_now_and_then_is_not() {
    let mut table = Table::with(|config| config.idle_timeout = Some(Micros::from_secs(11)));
    for wish in [6, 5, 0, 9] {
        table.wish = wish;
        table.run(Micros::from_secs(10));
        assert_eq!(table.dropped, 0);
    }
    table.run(Micros::from_secs(2));
    assert_eq!((table.dropped, table.room.session_count()), (1, 0), "and its session is over");
}
