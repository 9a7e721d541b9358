//! Which room is wanted.

use anyhow::Context as _;
use clap::Args;
use tickwire_protocol::handshake::{NewRoom, RoomSecret, RoomWish};

use crate::hidden::Hidden;

/// By name, by secret, or a new one.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct WishArgs {
    /// The room, by its name: opened if there is none, unless it takes a secret. Without, wherever there is a place
    #[arg(long, value_name = "NAME")]
    room: Option<String>,

    /// What lets into the room, if it is private, 1 to 64 bytes
    #[arg(long, env = "TICKWIRE_ROOM_SECRET", hide_env_values = true, value_name = "TEXT")]
    secret: Option<Hidden>,

    /// Have a new room opened; with --secret it is private, without --room the server finds a name
    #[arg(long)]
    open: bool,

    /// What is to be played in a new room
    #[arg(long, value_name = "MODE", requires = "open")]
    mode: Option<String>,
}

impl WishArgs {
    pub(super) fn resolve(self) -> anyhow::Result<RoomWish> {
        let secret = self.secret.map(|Hidden(text)| RoomSecret::new(text)).transpose().context("--secret")?;
        if self.open {
            let (name, mode) = (self.room.unwrap_or_default(), self.mode.unwrap_or_default());
            return Ok(RoomWish::New(NewRoom { name, secret, mode, ..NewRoom::default() }));
        }
        match (self.room, secret) {
            (Some(name), None) => Ok(RoomWish::Named(name)),
            (Some(name), secret) => Ok(RoomWish::Existing { name, secret }),
            (None, None) => Ok(RoomWish::Any),
            (None, Some(_)) => {
                anyhow::bail!("--secret: of which room? Name it with --room, or open one with --open")
            }
        }
    }
}
