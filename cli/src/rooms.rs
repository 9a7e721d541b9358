//! `tickwire rooms`: which rooms a server has.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tickwire_client::ClientConfig;
use tickwire_client::net::{self, Options, TokenProvider};
use tickwire_protocol::RoomId;
use tickwire_protocol::handshake::Token;
use tickwire_protocol::room::{ListRooms, MatchStatus, RoomFilter, RoomList, RoomSummary};

use crate::config::DEFAULT_LISTEN;
use crate::hidden::Hidden;
use crate::roots::RootArgs;

/// List the public rooms of a server, as a game's lobby would.
#[derive(Args, Clone, Debug)]
pub(crate) struct RoomsArgs {
    /// The server
    #[arg(default_value_t = format!("ws://{DEFAULT_LISTEN}"), value_name = "URL")]
    url: String,

    /// Only those whose names begin so
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    prefix: String,

    /// Only those in which this is played
    #[arg(long, default_value = "", hide_default_value = true, value_name = "MODE")]
    mode: String,

    /// Only those whose match stands so
    #[arg(long, value_name = "STATUS")]
    status: Option<Status>,

    /// Only those with so many free places
    #[arg(long, default_value_t = 0, value_name = "N")]
    free: u32,

    /// Only those behind the room of this number: a page has at most 50
    #[arg(long, default_value_t = 0, value_name = "ROOM")]
    after: u32,

    /// A token, as `tickwire token` signs them; without, one asks as a guest
    #[arg(long, env = "TICKWIRE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<Hidden>,

    #[command(flatten)]
    roots: RootArgs,

    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// [`MatchStatus`] as a flag.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Status {
    Waiting,
    Countdown,
    Running,
    Paused,
    Ended,
}

impl From<Status> for MatchStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Waiting => Self::Waiting,
            Status::Countdown => Self::Countdown,
            Status::Running => Self::Running,
            Status::Paused => Self::Paused,
            Status::Ended => Self::Ended,
        }
    }
}

pub(crate) async fn run(args: RoomsArgs) -> anyhow::Result<ExitCode> {
    let config = ClientConfig::new(concat!("tickwire-rooms ", env!("CARGO_PKG_VERSION")));
    let token = args.token.map(|Hidden(text)| Token::new(text)).transpose().context("--token")?;
    let options = Options { tokens: token.map(TokenProvider::fixed), roots: args.roots.resolve()? };
    let filter = RoomFilter {
        name_prefix: args.prefix,
        mode: args.mode,
        status: args.status.map(MatchStatus::from),
        free_places: args.free,
    };
    filter.check().context("the server would refuse this filter")?;
    let question = ListRooms { filter, after: RoomId(args.after), ..ListRooms::default() };
    let page = net::list_rooms(&args.url, &config, &question, &options).await?;
    if args.json {
        println!("{}", in_json(&page));
    } else {
        print(&page);
    }
    Ok(ExitCode::SUCCESS)
}

fn in_json(page: &RoomList) -> Value {
    let room = |room: &RoomSummary| {
        json!({
            "room": room.room.0,
            "name": room.name,
            "players": room.players,
            "players_max": room.players_max,
            "spectators": room.spectators,
            "mode": room.mode,
            "status": word(room.status),
        })
    };
    json!({ "rooms": page.rooms.iter().map(room).collect::<Vec<_>>(), "has_more": page.has_more })
}

/// Names come last: they may be of any length and have spaces.
fn print(page: &RoomList) {
    println!("{:>6}  {:>9}  {:>10}  {:<9}  {:<16}  name", "room", "players", "spectators", "status", "mode");
    for room in &page.rooms {
        let players = format!("{}/{}", room.players, room.players_max);
        println!(
            "{:>6}  {players:>9}  {:>10}  {:<9}  {:<16}  {}",
            room.room.0,
            room.spectators,
            word(room.status),
            room.mode,
            room.name
        );
    }
    if let Some(last) = page.rooms.last().filter(|_| page.has_more) {
        println!("there are more: --after {}", last.room.0);
    }
}

fn word(status: MatchStatus) -> String {
    format!("{status:?}").to_lowercase()
}
