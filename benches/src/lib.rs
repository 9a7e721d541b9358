//! The workloads that Tickwire is measured on: named, seeded, the same in every run and on every machine.
//!
//! | workload | what it is | benches |
//! |---|---|---|
//! | `idle` | N bodies at rest; every snapshot says that nothing is news | `encode`, `decode` |
//! | `half_moving` | every other one of N bodies moves, the rest stand | `encode`, `decode` |
//! | `all_moving` | N bodies run, jump and tumble; every row is a difference to the state 3 ticks before | `encode`, `decode` |
//! | `keyframe` | the same bodies, every row whole: what a client is sent when it joins | `encode`, `decode` |
//! | `small_frames` | one message full of what clients send: inputs, acks, pings | `frames` |
//! | `input` | frames of 3 ticks of input each, from brains that wander, with an ack | `frames` |
//! | `arena_16`, `arena_64` | a match of N bots, 60 steps and 20 snapshots a second, inputs 20 times a second | `room` |
//! | `shared`, `private` | matches of 64 to many sockets: everybody shown to all, or the nearest 32 of each | `fanout` |
//! | `messages` | one transport message full of small reliable messages, from `send` to the ack | `messages` |
//! | `view/16`, `view/100`, `view/1000` | bodies that all move, drawn by a client 120 times a second | `view` |
//! | `mispredicted` | a client of an arena for one, whose every snapshot makes it step 30 ticks again | `prediction` |
//! | `arena_64`, `half_moving_100`, `all_moving_1000` | recorded states, told against the last three snapshots | `coders` |
//! | those of [`counted`] | parts of the above, short enough to be counted instruction by instruction | `instructions` |
//!
//! A body is the engine's standard state: a position by 1 cm, a velocity by 1 cm/s, a rotation of 11 bits a component.
//! It moves by the numbers of the arena.
//!
//! | file | what it decides |
//! |---|---|
//! | [`scene`] | how bodies move |
//! | [`stream`] | from a scene to snapshot frames and back, every value compared |
//! | [`recorded`] | recorded states, and the moments at which a snapshot of them is due |
//! | [`client`] | what clients send |
//! | [`predicted`] | a client that is always wrong |
//! | [`talk`] | two ends of a session that send messages |
//! | [`arena`] | a match in a room: who thinks, who is timed |
//! | [`watcher`] | a client that draws bodies |
//! | [`counted`] | what has its instructions counted, for the budget |
//!
//! `cargo bench` runs everything, `cargo bench -p tickwire-benches -- encode/all_moving` a part.
//!
//! Whoever runs a workload checks that it did the work that it names: rows written, rows read, frames delivered.

pub mod arena;
pub mod client;
pub mod counted;
pub mod predicted;
pub mod recorded;
pub mod scene;
pub mod stream;
pub mod talk;
pub mod watcher;

use tickwire_protocol::TickRate;

/// Where all chance in the workloads comes from.
pub const SEED: u64 = 0x7469_636b;

/// Steps a second of every workload's room.
pub const TICK_RATE: TickRate = match TickRate::new(60) {
    Some(rate) => rate,
    None => unreachable!(),
};

/// Snapshots a second of every workload's room.
pub const SNAPSHOT_HZ: u32 = 20;

/// From snapshot to snapshot, and from a row to the state that it names.
pub const SNAPSHOT_TICKS: u32 = TICK_RATE.hz() / SNAPSHOT_HZ;
