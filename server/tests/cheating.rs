//! Modified clients: they send more, sooner, faster, later or larger inputs than they may, and come no further than an honest one
//! that wants the same.

use bytes::Bytes;
use tickwire_protocol::handshake::{Role, StreamKind};
use tickwire_protocol::input::InputFrame;
use tickwire_protocol::{Micros, Misbehavior, PeerFault, PeerId, RoomId, Tick, TickTime};
use tickwire_server::core::{Join, Room, RoomConfig, RoomIdentity};
use tickwire_sim::arena::{self, Arena, Level, PLAYER, input, player};
use tickwire_sim::prelude::*;

const HZ: u32 = 60;
const TICKS: u32 = 600;

/// A room in which two run in circles, each in a cell of its own.
struct Race {
    room: Room,
    now: Micros,
    honest: PeerId,
    cheat: PeerId,
    /// How far each has come, metres.
    way: [f32; 2],
    last: [Option<Vec3>; 2],
}

/// Ahead along a circle. `eagerness` is how much more than allowed the wish is.
fn wish(tick: Tick, eagerness: f32) -> Vec<i32> {
    let kind = arena::schema().input();
    let mut values = vec![0; kind.column_count()];
    let mut row = RowMut::new(kind, &mut values);
    row.reset();
    row.set_vec2(input::MOVE, Vec2::new(eagerness - 1.0, 1.0)).set_angle(input::YAW, tick.0 as f32 * 0.05);
    values
}

/// One message with the inputs of some ticks, which follow each other.
fn message(ticks: impl Iterator<Item = Tick>, eagerness: f32) -> Bytes {
    let kind = arena::schema().input();
    let mut frame = InputFrame::new();
    ticks.for_each(|tick| frame.push(kind, tick, &wish(tick, eagerness)));
    frame.view = TickTime { tick: Tick(0), fraction: 0.0 };
    let mut out = Vec::new();
    frame.encode(kind, &mut out);
    out.into()
}

impl Race {
    fn new() -> Self {
        let now = Micros::from_secs(1);
        let identity = RoomIdentity { id: RoomId(1), name: "race".into(), seed: 3 };
        let config = RoomConfig::new(TickRate::new(HZ).unwrap(), 20);
        let mut room = Room::new(identity, config, Box::new(Arena::new(Level::cells(2))), now);
        let [honest, cheat] = [(); 2].map(|()| {
            let stream = StreamKind::Datagram;
            let join = Join::new(Role::Player, stream);
            room.join(now, join).unwrap()
        });
        Self { room, now, honest, cheat, way: [0.0; 2], last: [None; 2] }
    }

    /// The tick that is stepped next.
    fn next(&self) -> Tick {
        self.room.tick() + 1
    }

    fn step(&mut self) {
        self.now = self.now + Micros(1_000_000 / u64::from(HZ) + 1);
        self.room.advance(self.now);
        for (place, peer) in [self.honest, self.cheat].into_iter().enumerate() {
            let rows = self.room.tables().rows(PLAYER);
            let own = rows.filter(|(head, _)| head.owner == Some(PlayerId(peer.0))).last();
            let position = own.map(|(_, row)| row.vec3(player::POSITION));
            if let (Some(before), Some(position)) = (self.last[place], position) {
                self.way[place] += before.distance(position);
            }
            self.last[place] = position;
        }
    }

    /// Lets both run; `send` sends what the cheat sends before each step. How far each has come, and what the room found wrong with
    /// the cheat.
    fn run(mut self, send: impl Fn(&mut Self) -> Result<(), PeerFault>) -> ([f32; 2], Option<PeerFault>) {
        let mut fault = None;
        for _ in 0..TICKS {
            let next = self.next();
            self.room.handle_message(self.now, self.honest, message([next].into_iter(), 1.0)).unwrap();
            if fault.is_none() {
                fault = send(&mut self).err();
            }
            self.step();
        }
        assert!(self.way[0] > 50.0, "{:?}", self.way);
        (self.way, fault)
    }

    fn cheat(&mut self, message: Bytes) -> Result<(), PeerFault> {
        self.room.handle_message(self.now, self.cheat, message)
    }
}

/// What rounding makes of the ways of two that run alike, and the polygon of one whose wish is held for some ticks of the other's
/// circle: a share of the way.
const LIKE: f32 = 0.01;

fn no_further([honest, cheat]: [f32; 2]) {
    assert!(cheat <= honest * (1.0 + LIKE), "{cheat} m instead of {honest} m");
}

#[test]
fn who_wants_the_same_comes_as_far() {
    let (way, fault) = Race::new().run(|race| race.cheat(message([race.next()].into_iter(), 1.0)));
    assert!(fault.is_none() && (way[0] - way[1]).abs() < way[0] * LIKE, "{way:?}");
}

#[test]
fn a_wish_beyond_measure_is_cut_down() {
    let (way, _) = Race::new().run(|race| race.cheat(message([race.next()].into_iter(), 2.0)));
    no_further(way);
    assert!(way[1] > way[0] * (1.0 - LIKE), "it is cut down, not refused: {way:?}");
}

#[test]
fn sending_more_or_again_counts_once() {
    let (way, fault) = Race::new().run(|race| {
        // No oftener than a client may that hurries.
        let next = race.next();
        let times = if next.0.is_multiple_of(10) { 5 } else { 1 };
        for eagerness in [1.0, 2.0, 2.0, 2.0, 2.0].into_iter().take(times) {
            race.cheat(message((0..8).map(|ago| next - 7 + ago), eagerness))?;
        }
        Ok(())
    });
    assert!(fault.is_none());
    no_further(way);
}

#[test]
fn inputs_far_ahead_wait_for_their_tick() {
    let (way, fault) = Race::new().run(|race| {
        let next = race.next();
        race.cheat(message((0..32).map(|ahead| next + 33 + ahead - 1), 1.0))
    });
    assert!(fault.is_none());
    no_further(way);
}

#[test]
fn a_clock_that_runs_twice_as_fast_is_refused() {
    let (way, fault) = Race::new().run(|race| {
        let passed = race.room.tick().0;
        race.cheat(message([Tick(2 * passed), Tick(2 * passed + 1)].into_iter(), 1.0))
    });
    assert!(matches!(fault, Some(PeerFault::Misbehaved(Misbehavior::FutureInput(_)))), "{fault:?}");
    no_further(way);
}

#[test]
fn late_inputs_move_nobody_twice() {
    let race = Race::new();
    let peer = race.cheat;
    let (way, fault) = race.run(|race| {
        let next = race.next();
        // Every third tick in time, and all that were missed once more, too late.
        if next.0.is_multiple_of(3) {
            race.cheat(message((0..4).map(|ago| next - 3 + ago), 1.0))?;
        }
        counted_late(race, peer);
        Ok(())
    });
    assert!(fault.is_none());
    no_further(way);
}

/// What comes too late is counted, and of no use.
fn counted_late(race: &Race, peer: PeerId) {
    let counters = race.room.input_counters(peer).unwrap();
    if race.room.tick().0 == TICKS - 1 {
        assert!(counters.late > 300 && counters.substituted > 300, "{counters:?}");
    }
}

/// Within what may come between two ticks, but all the time.
#[test]
fn frames_for_nothing_are_refused_in_the_end() {
    let (way, fault) = Race::new().run(|race| {
        let next = race.next();
        (0..3).try_for_each(|_| race.cheat(message((0..1).map(|ahead| next + ahead), 1.0)))
    });
    assert!(matches!(fault, Some(PeerFault::Misbehaved(Misbehavior::TooManyInputs))), "{fault:?}");
    no_further(way);
}

#[test]
fn a_flood_is_refused() {
    let (way, fault) = Race::new().run(|race| {
        let next = race.next();
        (0..100).try_for_each(|_| race.cheat(message((0..32).map(|ahead| next + ahead), 1.0)))
    });
    assert!(matches!(fault, Some(PeerFault::Misbehaved(Misbehavior::Flood(_)))), "{fault:?}");
    no_further(way);
}
