//! What it costs to bring a snapshot to a client, against what the kernel alone takes for the same bytes.
//!
//! | load | rooms of 64 clients, in matches in the arena |
//! |---|---|
//! | `shared` | of 70 bots, everybody is shown to everybody, in the same bytes but for the own row: 300 a snapshot, within a tenth |
//! | `shared_fast` | the same by the coder `fast`, of 64 bots: more bytes by an eighth |
//! | `private` | of 70 bots, each is shown the 32 that are nearest to it |
//!
//! *Ours* is `Room::poll_transmit` for each peer of a room, and then [`WebSocketWriter::write`] to its socket. *Floor* is
//! `send` of the same bytes to as many blocking sockets of the same kind, and *write* is `WebSocketWriter::write` of them
//! again, with nothing encoded. All in turn on one thread, snapshot after
//! snapshot; what is compared is the CPU time of that thread, user and system, with what the kernel does of loopback's receiving
//! side inside `send`. The far ends are read by another thread, whose time does not count. The ratio is the median of five
//! rounds' ratios. *Steps* is what the three steps before a snapshot take, wall time, in addition.
//!
//! `cargo bench -p tickwire-benches --bench fanout -- shared/1000` runs a part. Every byte has to arrive.

mod sockets;

use std::io::Write as _;
use std::ops::Range;
use std::process::exit;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use tickwire_benches::arena::Match;
use tickwire_protocol::snapshot::Coder;
use tickwire_server::net::WebSocketWriter;
use tokio::runtime::{Builder, Runtime};

use sockets::Connections;

/// Connections to a room.
const ROOM: usize = 64;

/// Bots that play in it: those without a connection are seen by the others. So many make 300 bytes.
const BOTS: u32 = 70;

/// The same by the coder `fast`: no room is smaller.
const BOTS_FAST: u32 = ROOM as u32;

/// Bodies shown to each bot of `private`.
const NEAREST: usize = 32;

const ROUNDS: usize = 5;

/// Snapshots sent in a round, at least.
const SENDS: usize = 20_000;

/// A case of the bench.
struct Case {
    load: &'static str,
    connections: usize,
}

/// Files that are open beside sockets.
const OTHER_FILES: u64 = 64;

/// How much is measured: all of it, or just enough to see that it works.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    sends: usize,
}

/// CPU time and bytes of a round.
#[derive(Default)]
struct Round {
    ours: Duration,
    floor: Duration,
    write: Duration,
    steps: Duration,
    snapshots: usize,
    bytes: usize,
}

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let is_test = args.iter().any(|arg| arg == "--test");
    let filter = args.iter().find(|arg| !arg.starts_with('-')).map_or("", String::as_str);
    let sizes: &[usize] = if is_test { &[80] } else { &[200, 1000, 4000] };
    let effort =
        if is_test { Effort { rounds: 1, sends: 160 } } else { Effort { rounds: ROUNDS, sends: SENDS } };
    for load in ["shared", "shared_fast", "private"] {
        let cases = sizes.iter().map(|&connections| Case { load, connections });
        let cases: Vec<_> = cases.filter(|case| case.name().contains(filter)).collect();
        let Some(most) = cases.iter().map(|case| case.connections).max() else { continue };
        require_files(most as u64 * 4 + OTHER_FILES);
        let make = |_| match load {
            "shared" => Match::new(BOTS, Coder::Dense),
            "shared_fast" => Match::new(BOTS_FAST, Coder::Fast),
            _ => Match::crowd(BOTS, Coder::Dense, NEAREST),
        };
        let mut rooms: Vec<_> = (0..most.div_ceil(ROOM)).map(make).collect();
        for case in cases {
            let rooms = &mut rooms[..case.connections.div_ceil(ROOM)];
            report(&case, &run(rooms, case.connections, effort));
        }
    }
}

impl Case {
    fn name(&self) -> String {
        format!("fanout/{}/{}", self.load, self.connections)
    }
}

/// Four sockets a connection: near and far end, ours and the floor's.
fn require_files(files: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < files) {
        eprintln!("fanout needs {files} open files, and this process may have {:?} at most", limit.maximum);
        exit(1);
    }
    if limit.current.is_some_and(|current| current < files) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(files), ..limit });
        assert!(raised.is_ok(), "the limit of open files cannot be raised: {raised:?}");
    }
}

fn run(rooms: &mut [Match], connections: usize, effort: Effort) -> Vec<Round> {
    let runtime = match Builder::new_current_thread().enable_io().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime: {error}"),
    };
    let mut ours = Connections::open(connections);
    let mut fanout = Fanout {
        writers: ours.take_writers(&runtime),
        ours,
        floor: Connections::open(connections),
        sent: 0,
        outgoing: Outgoing::default(),
        frames: vec![Vec::new(); connections],
        runtime,
    };
    // The first sends to a socket find nothing warm.
    fanout.play(rooms, &mut Round::default());
    let round = |_| {
        let mut round = Round::default();
        while round.snapshots < effort.sends {
            fanout.play(rooms, &mut round);
        }
        round
    };
    (0..effort.rounds).map(round).collect()
}

/// Both sides of the comparison.
struct Fanout {
    ours: Connections,
    writers: Vec<WebSocketWriter>,
    floor: Connections,
    /// Bytes to the floor; ours get everything twice.
    sent: u64,
    outgoing: Outgoing,
    /// What ours has sent to each connection, as it was on the wire.
    frames: Vec<Vec<u8>>,
    runtime: Runtime,
}

impl Fanout {
    /// Brings one snapshot to every connection, on both sides.
    fn play(&mut self, rooms: &mut [Match], round: &mut Round) {
        let steps: Duration = rooms.iter_mut().map(|room| room.play_to_snapshot().advance).sum();
        let _io = self.runtime.enter();
        let rooms_and_writers = rooms.iter_mut().zip(self.writers.chunks_mut(ROOM));
        let ours: Duration = rooms_and_writers.map(|(room, writers)| self.outgoing.send(room, writers)).sum();
        for (room, frames) in rooms.iter_mut().zip(self.frames.chunks_mut(ROOM)) {
            // Who has no socket in this case, but plays.
            room.transmit_to(frames.len()..room.bots());
            frames.iter_mut().enumerate().for_each(|(bot, frame)| write_frame(frame, room.messages(bot)));
            room.take_messages();
        }
        let bytes: usize = self.frames.iter().map(Vec::len).sum();
        self.sent += bytes as u64;
        self.ours.wait_for(2 * self.sent - bytes as u64);
        let floor = cpu_of(|| {
            for (mut socket, frame) in self.floor.near().iter().zip(&self.frames) {
                let sent = socket.write_all(frame);
                assert!(sent.is_ok(), "{sent:?}");
            }
        });
        self.floor.wait_for(self.sent);
        let write = cpu_of(|| {
            for (writer, frame) in self.writers.iter_mut().zip(&self.frames) {
                let sent = writer.write(frame);
                assert!(sent.is_ok() && writer.is_ready(), "{sent:?}");
            }
        });
        self.ours.wait_for(2 * self.sent);
        round.write += write;
        round.ours += ours;
        round.floor += floor;
        round.steps += steps;
        round.snapshots += self.frames.len();
        round.bytes += bytes;
    }
}

/// What a room has encoded.
#[derive(Default)]
struct Outgoing {
    framed: Vec<u8>,
    /// Where each connection's frame is, and how long the message in it.
    frames: Vec<(Range<usize>, usize)>,
}

impl Outgoing {
    /// Brings a snapshot to every connection of a room, as a server does; and then, in time that does not count, to its bots.
    fn send(&mut self, room: &mut Match, writers: &mut [WebSocketWriter]) -> Duration {
        let Self { framed, frames } = self;
        framed.clear();
        frames.clear();
        let spent = cpu_of(|| {
            room.transmit_by(0..writers.len(), |message| {
                let start = framed.len();
                WebSocketWriter::frame(framed, message);
                frames.push((start..framed.len(), message.len()));
            });
            for (writer, (frame, _)) in writers.iter_mut().zip(&*frames) {
                let sent = writer.write(&framed[frame.clone()]);
                assert!(sent.is_ok() && writer.is_ready(), "{sent:?}");
            }
        });
        assert_eq!(frames.len(), writers.len(), "one message each");
        for (bot, (frame, bytes)) in frames.iter().enumerate() {
            room.deliver(bot, &framed[frame.end - bytes..frame.end]);
        }
        spent
    }
}

/// A message as a server frames it (RFC 6455, section 5.2).
fn write_frame(frame: &mut Vec<u8>, message: &[u8]) {
    frame.clear();
    frame.push(0x82);
    if message.len() <= 125 {
        frame.push(message.len() as u8);
    } else {
        frame.push(126);
        frame.extend_from_slice(&(message.len() as u16).to_be_bytes());
    }
    frame.extend_from_slice(message);
}

/// CPU time of this thread.
fn cpu_of(work: impl FnOnce()) -> Duration {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let start = now();
    work();
    now().saturating_sub(start)
}

fn report(case: &Case, rounds: &[Round]) {
    let median = |of: &dyn Fn(&Round) -> f64| {
        let mut sorted: Vec<_> = rounds.iter().map(of).collect();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let micros = |spent: fn(&Round) -> Duration| {
        median(&|round| spent(round).as_secs_f64() * 1e6 / round.snapshots as f64)
    };
    let to_floor = |spent: Duration, round: &Round| spent.as_secs_f64() / round.floor.as_secs_f64();
    let ratios: Vec<_> = rounds.iter().map(|it| format!("{:.2}", to_floor(it.ours, it))).collect();
    println!(
        "{:24} {:4.0} B, floor {:.2} us, write {:.2} us, ratio {:.2}, ours {:.2} us, ratio {:.2} (of {}), steps {:.2} us",
        case.name(),
        median(&|round| round.bytes as f64 / round.snapshots as f64),
        micros(|round| round.floor),
        micros(|round| round.write),
        median(&|round| to_floor(round.write, round)),
        micros(|round| round.ours),
        median(&|round| to_floor(round.ours, round)),
        ratios.join(" "),
        micros(|round| round.steps),
    );
    let expected = match case.load {
        "shared" => 270.0..=330.0,
        "shared_fast" => 300.0..=360.0,
        _ => 50.0..=330.0,
    };
    // Of all rounds: with many connections one of them is a quarter of a second of all matches, which are in step.
    let [bytes, snapshots] = [|round: &Round| round.bytes, |round: &Round| round.snapshots]
        .map(|of| rounds.iter().map(of).sum::<usize>() as f64);
    let bytes = bytes / snapshots;
    assert!(expected.contains(&bytes), "{}: {bytes:.0} B a snapshot", case.name());
}
