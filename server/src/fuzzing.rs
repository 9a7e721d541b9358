//! The body of the fuzz target `server`: a hostile client's frames, as a script, against a room in which an honest
//! one plays on. The room's game asks, tells, groups and offers things to all of them, and is asked and offered things by them.

mod clerk;
mod witness;

use bytes::Bytes;
use tickwire_protocol::bulk::BulkReceived;
use tickwire_protocol::frame::{FrameType, write_frame};
use tickwire_protocol::handshake::{Extension, Resume, ResumeToken, Role, StreamKind};
use tickwire_protocol::limits::CLIENT_MESSAGE_BYTES_MAX;
use tickwire_protocol::message::{Lane, Received};
use tickwire_protocol::room::{Introduction, Profile};
use tickwire_protocol::{Micros, PeerId, PlayerId, RoomId, SessionId, Tick, TickRate};

use self::clerk::Clerk;
use self::witness::Witness;
use crate::core::{Join, Room, RoomConfig, RoomIdentity};

/// Hostile peers at once.
const PEERS_MAX: usize = 4;

/// Who comes into a room first is called so.
const WITNESS: PeerId = PeerId(1);

/// What somebody claims who wants to go on with a session: messages of each lane, and an extension of so many bytes about transfers.
const LANES: [Lane; 5] = [Lane::Control, Lane::Events, Lane::Requests, Lane::Messages, Lane::Latest];
const BULK_CLAIM_BYTES: usize = 5;
const CLAIM_BYTES: usize = LANES.len() + BULK_CLAIM_BYTES;
const BULK_EXTENSION: u16 = 6;

/// Virtual time that a script may take.
const SECONDS_MAX: u64 = 20;

/// A room under attack.
struct Scene {
    room: Room,
    now: Micros,
    witness: Witness,
    peers: Vec<PeerId>,
    /// The session of the connection that was lost last.
    lost: Option<SessionId>,
}

/// Runs a script: each step is one byte of what, then what it needs.
pub fn server(script: &[u8]) {
    run(script);
}

/// Runs a script; what the honest peer has in the end.
fn run(mut script: &[u8]) -> Option<Witness> {
    let rate = TickRate::new(60)?;
    let mut config = RoomConfig::new(rate, 20);
    config.players_max = PEERS_MAX as u32 + 1;
    config.first_tick = Tick(u32::MAX - 30);
    config.silence_timeout = Micros::from_secs(2 * SECONDS_MAX);
    let identity = RoomIdentity { id: RoomId(1), name: "fuzz".to_owned(), seed: 1 };
    let clerk = Clerk::new(PlayerId(WITNESS.0));
    let mut room = Room::new(identity, config, Box::new(clerk), Micros::ZERO);
    let schema = room.history().schema().clone();
    let peer = room.join(Micros::ZERO, introduced(join(Role::Player, StreamKind::Ordered))).ok()?;
    assert_eq!(peer, WITNESS);
    let witness = Witness::new(peer, &schema, rate);
    let mut scene = Scene { room, now: Micros::ZERO, witness, peers: Vec::new(), lost: None };
    while let Some((&op, rest)) = script.split_first() {
        script = scene.run(op, rest);
        if scene.now > Micros::from_secs(SECONDS_MAX) {
            break;
        }
    }
    scene.advance(500);
    assert!(scene.witness.is_told(), "the honest peer hears nothing");
    let newest = scene.witness.replica.newest_tick();
    let age = newest.map(|newest| scene.room.tick().since(newest));
    assert!(age.is_some_and(|age| age <= 3), "the honest peer is {age:?} ticks behind");
    Some(scene.witness)
}

fn join(role: Role, stream: StreamKind) -> Join {
    Join::new(role, stream)
}

/// One that wants to be told of the others.
fn introduced(join: Join) -> Join {
    let profile = Profile::new("fuzz", vec![7; 9]).unwrap_or_default();
    Join { introduction: Some(Introduction { profile, ..Introduction::default() }), ..join }
}

impl Scene {
    /// One step of the script; what is left of it.
    fn run<'a>(&mut self, op: u8, rest: &'a [u8]) -> &'a [u8] {
        match op % 8 {
            0 => {
                let role = if op & 8 == 0 { Role::Player } else { Role::Spectator };
                let stream = if op & 16 == 0 { StreamKind::Ordered } else { StreamKind::Datagram };
                if self.peers.len() < PEERS_MAX
                    && let Ok(peer) = self.room.join(self.now, join(role, stream))
                {
                    self.peers.push(peer);
                }
                rest
            }
            1 => {
                if let Some(peer) = self.peers.pop() {
                    self.room.leave(peer);
                }
                rest
            }
            2 => {
                self.advance(u64::from(op >> 3) * 5);
                rest
            }
            // A whole message of arbitrary bytes.
            3 => self.send(op, rest, None),
            // Frames that are well formed on the outside.
            4 => self.send(op, rest, Some(FrameType::Input)),
            5 => self.send(op, rest, Some(FrameType::Ack)),
            6 => self.send(op, rest, Some(FrameType::Ping)),
            _ => self.session_step(op >> 3, rest),
        }
    }

    /// One step of what a session carries: a frame of any type, or its connection.
    fn session_step<'a>(&mut self, what: u8, rest: &'a [u8]) -> &'a [u8] {
        if let Some(&ty) = FrameType::ALL.get(usize::from(what).wrapping_sub(1)) {
            let Some((&whose, rest)) = rest.split_first() else { return rest };
            return self.send(whose << 3, rest, Some(ty));
        }
        match what {
            25 => {
                let is_here = self.peers.len() < PEERS_MAX;
                let join = introduced(join(Role::Player, StreamKind::Ordered));
                self.peers.extend(is_here.then(|| self.room.join(self.now, join).ok()).flatten());
            }
            26 | 27 => {
                if let Some(peer) = self.peers.pop() {
                    self.lost = self.room.session(peer);
                    self.room.disconnect(self.now, peer);
                }
            }
            28 | 29 => return self.resume(rest),
            30 => self.advance(500),
            _ => {
                for &peer in &self.peers {
                    self.room.poll_transmit(self.now, peer, |message| assert!(!message.is_empty()));
                    self.room.poll_filler(self.now, peer, |message| assert!(!message.is_empty()));
                }
            }
        }
        rest
    }

    /// Somebody wants to go on with the session that was lost last, and claims to have received this much of it. The token is right.
    fn resume<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let (claim, rest) = rest.split_at(CLAIM_BYTES.min(rest.len()));
        let (Ok(claim), Some(session)) = (<[u8; CLAIM_BYTES]>::try_from(claim), self.lost.take()) else {
            return rest;
        };
        let (lanes, bulk) = claim.split_at(LANES.len());
        let received = LANES.iter().zip(lanes);
        let received =
            received.fold(Received::default(), |all, (lane, next)| all.with(*lane, u64::from(*next)));
        let bulk = [Extension { id: BULK_EXTENSION, value: bulk.to_vec() }];
        let join = Join {
            resume: Some(Resume { session, token: ResumeToken([0; 16]), received }),
            bulk: BulkReceived::find(&bulk).ok().flatten(),
            ..introduced(join(Role::Player, StreamKind::Ordered))
        };
        self.peers.extend(self.room.join(self.now, join));
        rest
    }

    fn send<'a>(&mut self, op: u8, rest: &'a [u8], ty: Option<FrameType>) -> &'a [u8] {
        let Some((&len, rest)) = rest.split_first() else { return rest };
        let (body, rest) = rest.split_at(usize::from(len % 80).min(rest.len()));
        let Some(&peer) = self.peers.get(usize::from(op >> 3) % PEERS_MAX) else { return rest };
        let message = match ty {
            Some(ty) => {
                let mut message = Vec::new();
                write_frame(&mut message, ty, body);
                message
            }
            None => body.to_vec(),
        };
        assert!(message.len() <= CLIENT_MESSAGE_BYTES_MAX);
        if self.room.handle_message(self.now, peer, Bytes::from(message)).is_err() {
            self.peers.retain(|other| *other != peer);
        }
        rest
    }

    fn advance(&mut self, millis: u64) {
        let end = self.now + Micros::from_millis(millis);
        while self.room.poll_timeout() <= end {
            self.now = self.room.poll_timeout();
            self.room.advance(self.now);
            self.witness.watch(&mut self.room, self.now);
        }
        self.now = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_honest_peer_hears_all_that_there_is() {
        // Alone, and beside others who say nothing.
        for others in [vec![], vec![25 << 3 | 7, 0, 8]] {
            let script = [others, vec![30 << 3 | 7; 8]].concat();
            let told = run(&script).unwrap().told;
            assert!(told.heard.iter().all(|heard| *heard >= 10), "{told:?}");
            assert!(told.contents >= 1 && told.contents_sent == 1, "{told:?}");
            assert!(told.tables >= 12, "{told:?}");
        }
    }

    /// What was found once, too.
    #[test]
    fn seeds_pass() {
        let seeds = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/server")).unwrap();
        seeds.for_each(|seed| server(&std::fs::read(seed.unwrap().path()).unwrap()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn no_script_disturbs_the_honest_peer(script in prop::collection::vec(any::<u8>(), 0..600)) {
            server(&script);
        }
    }
}
