//! Which rooms `serve` has.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use tickwire_protocol::handshake::NewRoom;
use tickwire_server::core::RoomOpening;
use tickwire_server::net::ServerConfig;

/// Flags, environment, and in the file the table `[directory]`.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[command(next_help_heading = "Which rooms there are")]
pub(crate) struct DirectoryArgs {
    /// A room that is there from the start, for good and for anybody. Several may be given
    #[arg(long, env = "TICKWIRE_ROOM", value_name = "NAME", value_delimiter = ',')]
    room: Vec<String>,

    /// Which rooms clients may have opened: none, those for anybody when all others are full, or also those that they wish for [default:
    /// wished]
    #[arg(long, env = "TICKWIRE_ROOM_OPENING", value_name = "WHICH")]
    room_opening: Option<Opening>,

    /// Rooms at once [default: 1000]
    #[arg(long, env = "TICKWIRE_MAX_ROOMS", value_name = "N")]
    max_rooms: Option<u32>,

    /// Rooms at once that one account, or the guests of one address, have wished for; 0: any number [default: 8]
    #[arg(long, env = "TICKWIRE_MAX_ROOMS_EACH", value_name = "N")]
    max_rooms_each: Option<u32>,

    /// Spectators in one room [default: 64]
    #[arg(long, env = "TICKWIRE_ROOM_SPECTATORS", value_name = "N")]
    room_spectators: Option<u32>,

    /// How long a room that clients have opened stays when nobody is in it, seconds [default: 30]
    #[arg(long, env = "TICKWIRE_ROOM_LIFETIME", value_name = "SECONDS")]
    room_lifetime: Option<u64>,
}

/// [`RoomOpening`] in words.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Opening {
    /// None: there are those of --room
    Never,
    /// Those for anybody, when all others are full
    Anybody,
    /// Also those that they wish for: by name, with a secret, of a mode
    Wished,
}

impl DirectoryArgs {
    /// What was not given here, as the file has it.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            room: if self.room.is_empty() { file.room } else { self.room },
            room_opening: self.room_opening.or(file.room_opening),
            max_rooms: self.max_rooms.or(file.max_rooms),
            max_rooms_each: self.max_rooms_each.or(file.max_rooms_each),
            room_spectators: self.room_spectators.or(file.room_spectators),
            room_lifetime: self.room_lifetime.or(file.room_lifetime),
        }
    }

    /// Sets what was given. What a room cannot be called the server says when it is bound.
    pub(crate) fn apply(self, config: &mut ServerConfig) {
        config.rooms = self.room.into_iter().map(|name| NewRoom { name, ..NewRoom::default() }).collect();
        config.directory.opening = match self.room_opening {
            Some(Opening::Never) => RoomOpening::Never,
            Some(Opening::Anybody) => RoomOpening::ForAnybody,
            Some(Opening::Wished) => RoomOpening::Wished,
            None => config.directory.opening,
        };
        config.directory.rooms_max = self.max_rooms.unwrap_or(config.directory.rooms_max);
        let each = &mut config.directory.rooms_per_opener_max;
        *each = self.max_rooms_each.unwrap_or(*each);
        let spectators = self.room_spectators.unwrap_or(config.directory.room_spectators_max);
        config.directory.room_spectators_max = spectators;
        config.room_lifetime = self.room_lifetime.map_or(config.room_lifetime, Duration::from_secs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::TickRate;
    use tickwire_server::core::RoomConfig;

    #[test]
    fn flags_beat_the_file_and_the_file_beats_the_defaults() {
        let file: DirectoryArgs = toml::from_str(
            "room = ['lobby', 'arena']\nroom-opening = 'never'\nmax-rooms = 5\nroom-spectators = 2",
        )
        .unwrap();
        let flags = DirectoryArgs { max_rooms: Some(7), ..DirectoryArgs::default() };
        let room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
        let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into(), room);
        flags.or(file).apply(&mut config);
        let names: Vec<_> = config.rooms.iter().map(|room| room.name.as_str()).collect();
        assert_eq!(names, ["lobby", "arena"]);
        assert_eq!((config.directory.opening, config.directory.rooms_max), (RoomOpening::Never, 7));
        assert_eq!(config.directory.rooms_per_opener_max, 8);
        assert_eq!(config.directory.room_spectators_max, 2);
        assert_eq!(config.room_lifetime, Duration::from_secs(30));
        assert!(toml::from_str::<DirectoryArgs>("rooms = 3").is_err());
    }
}
