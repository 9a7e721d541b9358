//! One who watches: a client in a room of bodies, that draws pictures.

use std::sync::Arc;

use bytes::Bytes;
use glam::{Quat, Vec3};
use tickwire_client::{Client, ClientConfig};
use tickwire_protocol::frame::frames;
use tickwire_protocol::handshake::{Role, StreamKind};
use tickwire_protocol::{Micros, PeerId, RoomId, Schema, Tables};
use tickwire_server::core::{Join, Room, RoomConfig, RoomIdentity, admit};
use tickwire_sim::{Simulation, StepContext};

use crate::scene::{BODY, Load, POSITION, ROTATION, Scene, VELOCITY, schema};
use crate::{SEED, SNAPSHOT_HZ, TICK_RATE};

/// From picture to picture, 120 a second.
pub const PICTURE: Micros = Micros(8_333);

/// Until the client's clock and playout have settled.
const SETTLES: Micros = Micros::from_secs(3);

/// A client without a player, its room, and nothing between them.
pub struct Watcher {
    room: Room,
    peer: PeerId,
    client: Client,
    now: Micros,
}

/// What a picture shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Picture {
    /// Bodies in it.
    pub bodies: usize,
    /// Their positions, added up, metres.
    pub positions: Vec3,
    /// Their rotations, added up.
    pub rotations: Quat,
}

impl Watcher {
    /// Watches this many bodies, all of which move, and has done so for some seconds.
    pub fn new(bodies: u16) -> Self {
        let config = RoomConfig::new(TICK_RATE, SNAPSHOT_HZ);
        let identity = RoomIdentity { id: RoomId(1), name: "watched".to_owned(), seed: SEED };
        let play = Play { scene: Scene::new(bodies, Load::AllMoving), bodies };
        let mut room = Room::new(identity, config, Box::new(play), Micros::ZERO);
        let mut client_config = ClientConfig::new("bench");
        client_config.role = Role::Spectator;
        let mut client = Client::new(client_config, schema().clone(), Micros::ZERO);
        let mut hello = Vec::new();
        client.poll_transmit(Micros::ZERO, &mut hello);
        let stream = StreamKind::Ordered;
        let role = match frames(hello.into()).next() {
            Some(Ok(frame)) => {
                admit(&frame.payload, schema(), stream).map(|hello| hello.map(|hello| hello.role))
            }
            other => panic!("a client begins with a hello, not {other:?}"),
        };
        let Ok(Ok(role)) = role else { panic!("the hello is refused: {role:?}") };
        let join = Join::new(role, stream);
        let Ok(peer) = room.join(Micros::ZERO, join) else { panic!("the room is full") };
        let mut watcher = Self { room, peer, client, now: Micros::ZERO };
        while watcher.now < SETTLES {
            watcher.play_tick();
        }
        watcher
    }

    /// Plays a tick, and what comes of it arrives.
    pub fn play_tick(&mut self) {
        let now = self.room.poll_timeout();
        self.now = now;
        self.room.advance(now);
        let Self { room, client, peer, .. } = self;
        room.poll_transmit(now, *peer, |message| {
            let handled = client.handle_message(now, Bytes::copy_from_slice(message));
            assert!(handled.is_ok(), "{handled:?}");
        });
        while client.poll_event(now).is_some() {}
        let mut message = Vec::new();
        while client.poll_transmit(now, &mut message) {}
        if !message.is_empty() {
            let handled = room.handle_message(now, *peer, message.into());
            assert!(handled.is_ok(), "{handled:?}");
        }
    }

    /// The last instant that was played.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// Draws a picture: where each body is, and how it is turned.
    pub fn draw(&self, now: Micros) -> Picture {
        let mut picture = Picture { bodies: 0, positions: Vec3::ZERO, rotations: Quat::from_array([0.0; 4]) };
        for body in self.client.view(now).entities(BODY) {
            picture.bodies += 1;
            picture.positions += body.vec3(POSITION);
            picture.rotations += body.rotation(ROTATION);
        }
        picture
    }
}

/// A scene as a simulation.
struct Play {
    scene: Scene,
    bodies: u16,
}

impl Simulation for Play {
    fn schema(&self) -> &Arc<Schema> {
        schema()
    }

    fn start(&mut self, ctx: &mut StepContext<'_>) {
        for slot in 0..self.bodies {
            ctx.place(BODY, Scene::id(slot), Bytes::new());
        }
    }

    fn step(&mut self, _: &mut StepContext<'_>) {
        self.scene.step();
    }

    fn save(&self, out: &mut Tables) {
        for (head, row) in self.scene.tables().rows(BODY) {
            out.insert(BODY, head)
                .set_vec3(POSITION, row.vec3(POSITION))
                .set_vec3(VELOCITY, row.vec3(VELOCITY))
                .set_rotation(ROTATION, row.rotation(ROTATION));
        }
    }

    /// The scene goes on from where it was, finer than any table.
    fn load(&mut self, _: &Tables) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_show_everybody_and_move_on() {
        let mut watcher = Watcher::new(20);
        let first = watcher.draw(watcher.now());
        let second = watcher.draw(watcher.now() + PICTURE);
        assert_eq!((first.bodies, second.bodies), (20, 20));
        assert!(first.positions != second.positions);
        watcher.play_tick();
        assert_eq!(watcher.draw(watcher.now()).bodies, 20);
    }
}
