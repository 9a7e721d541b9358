//! What a server is told at its start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tickwire_protocol::handshake::NewRoom;
use tickwire_protocol::{RoomId, Schema};
use tickwire_sim::Simulation;

use super::access::AccessConfig;
use super::tls::TlsFiles;
use crate::core::{DirectoryConfig, RoomConfig, RoomIdentity, RoomOpening};

/// Everything that can be set about a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where it listens; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Its certificate and key; without, connections are not encrypted. Files that change are read again, and count for the connections
    /// that come after.
    pub tls: Option<TlsFiles>,
    /// Whom it lets in.
    pub access: AccessConfig,
    /// How its rooms run.
    pub room: RoomConfig,
    /// How many there may be in all; how many players a room takes is [`RoomConfig::players_max`].
    pub directory: DirectoryLimits,
    /// Where the rooms' chance comes from; a room's seed is a function of this and its number.
    pub seed: u64,
    /// Connections at once, players or not: bounds what strangers can make the server hold.
    pub connections_max: usize,
    /// How long a connection may take from its first byte to a whole hello.
    pub handshake_timeout: Duration,
    /// How long whoever finds no place, or nobody who could check its token, is told to stay away at least; in whole milliseconds.
    pub retry_after: Duration,
    /// How long a write may stall before the connection is given up.
    pub write_timeout: Duration,
    /// How long a room lives without anyone in it. Its time stands still meanwhile: once the simulation has heard that the last
    /// player left no more steps are made, and who joins later finds the room at the tick at which it stopped.
    pub room_lifetime: Duration,
    /// Rooms that are there from the start, for good, and for anybody unless they have a secret.
    pub rooms: Vec<NewRoom>,
    /// Where rooms are recorded, if they are.
    pub record: Option<RecordConfig>,
}

/// How rooms are recorded: a file each.
#[derive(Clone, Debug)]
pub struct RecordConfig {
    /// The first room's file. Later rooms have their number before the extension. A file that is there is left alone, and
    /// the room is then not recorded.
    pub path: PathBuf,
    /// Recorded ticks a second; as many as there are snapshots, if nothing is said.
    pub hz: Option<u32>,
}

impl RecordConfig {
    /// The file of a room.
    pub fn path_of(&self, room: RoomId) -> PathBuf {
        if room == RoomId(1) {
            return self.path.clone();
        }
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let name = match self.path.extension() {
            Some(extension) => format!("{stem}-{room}.{}", extension.to_string_lossy()),
            None => format!("{stem}-{room}"),
        };
        self.path.with_file_name(name)
    }
}

/// What the directory of a server's rooms is to bound, beside what the rooms say themselves.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryLimits {
    /// Players in all rooms together.
    pub players_max: u32,
    /// Spectators in one room.
    pub room_spectators_max: u32,
    /// Rooms at once.
    pub rooms_max: u32,
    /// Rooms at once that one account, or the guests of one address, have wished for; 0: any number. Addresses are counted as by
    /// [`AddressLimits`](super::AddressLimits). What is [recorded](ServerConfig::record) has a file each.
    pub rooms_per_opener_max: u32,
    /// Which of them clients may open.
    pub opening: RoomOpening,
}

impl ServerConfig {
    /// A server on this address with these rooms, without TLS; 10,000 players, 1,000 rooms, of which one account opens 8, 10,000 connections, 5 s for a
    /// handshake, 10 s for a stalled write, 30 s for an empty room.
    pub fn new(listen: SocketAddr, room: RoomConfig) -> Self {
        Self {
            listen,
            tls: None,
            access: AccessConfig::default(),
            room,
            directory: DirectoryLimits {
                players_max: 10_000,
                room_spectators_max: 64,
                rooms_max: 1_000,
                rooms_per_opener_max: 8,
                opening: RoomOpening::Wished,
            },
            seed: 0,
            connections_max: 10_000,
            handshake_timeout: Duration::from_secs(5),
            retry_after: Duration::from_secs(1),
            write_timeout: Duration::from_secs(10),
            room_lifetime: Duration::from_secs(30),
            rooms: Vec::new(),
            record: None,
        }
    }

    /// The bounds of the directory: asked for once nothing is set any more, so that directory and rooms agree on how
    /// many players a room takes.
    pub(super) fn directory_config(&self) -> DirectoryConfig {
        let DirectoryLimits { players_max, room_spectators_max, rooms_max, rooms_per_opener_max, opening } =
            self.directory;
        DirectoryConfig {
            players_max,
            room_players_max: self.room.players_max,
            room_spectators_max,
            rooms_max,
            rooms_per_opener_max,
            opening,
        }
    }
}

/// Makes the simulation of a new room.
type MakeSimulation = dyn Fn(&RoomIdentity) -> Box<dyn Simulation> + Send + Sync;

/// The game that a server serves.
#[derive(Clone)]
pub struct Game {
    schema: Arc<Schema>,
    make: Arc<MakeSimulation>,
}

impl Game {
    /// A game whose rooms run what `make` makes, all of this schema.
    pub fn new(
        schema: Arc<Schema>,
        make: impl Fn(&RoomIdentity) -> Box<dyn Simulation> + Send + Sync + 'static,
    ) -> Self {
        Self { schema, make: Arc::new(make) }
    }

    /// The schema that clients must have.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The simulation of a new room.
    pub fn simulation(&self, room: &RoomIdentity) -> Box<dyn Simulation> {
        (self.make)(room)
    }
}

impl core::fmt::Debug for Game {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Game").field("schema", &self.schema.name()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::TickRate;

    #[test]
    fn each_room_has_a_file_of_its_own() {
        let path_of = |path: &str, room| {
            RecordConfig { path: path.into(), hz: None }.path_of(RoomId(room)).display().to_string()
        };
        assert_eq!(path_of("a/match.twr", 1), "a/match.twr");
        assert_eq!(path_of("a/match.twr", 2), "a/match-2.twr");
        assert_eq!(path_of("a.b/match", 30), "a.b/match-30");
    }

    #[test]
    fn a_room_takes_as_many_players_as_was_set_last() {
        let room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
        let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into(), room);
        config.room.players_max = 3;
        config.directory.players_max = 5;
        let directory = config.directory_config();
        assert_eq!((directory.room_players_max, directory.players_max), (3, 5));
    }
}
