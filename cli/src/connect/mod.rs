//! `tickwire connect`: a client by hand, of any game.
//!
//! | file | what it decides |
//! |---|---|
//! | `command` | what a line asks for |
//! | `console` | how it is done, and what is printed |
//! | `files` | what is kept of what the game offers |
//! | `wish` | which room is wanted |
//! | `words` | what events, entities and figures are called |

mod command;
mod console;
mod files;
mod wish;
mod words;

use std::io::BufRead as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use tickwire_client::ClientConfig;
use tickwire_client::net::{self, Options, TokenProvider};
use tickwire_protocol::handshake::{Role, Token};
use tickwire_protocol::room::Profile;
use tokio::sync::mpsc;

use self::console::Console;
use self::wish::WishArgs;
use crate::config::DEFAULT_LISTEN;
use crate::hidden::Hidden;
use crate::roots::RootArgs;
use crate::signals::Interrupt;

/// Lines that wait for their turn; who writes more waits as well.
const LINES_WAITING_MAX: usize = 16;

/// Join a server by hand: see what it tells, send, ask, answer, ping. Works with any game: the server is asked for its schema.
/// Commands are read from stdin; `help` lists them.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConnectArgs {
    /// The server
    #[arg(default_value_t = format!("ws://{DEFAULT_LISTEN}"), value_name = "URL")]
    url: String,

    #[command(flatten)]
    wish: WishArgs,

    /// A token, as `tickwire token` signs them; without, one comes as a guest
    #[arg(long, env = "TICKWIRE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<Hidden>,

    #[command(flatten)]
    roots: RootArgs,

    /// What the player is called, at most 64 bytes
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    name: String,

    /// Watch, without a player
    #[arg(long)]
    spectate: bool,

    /// Tell nothing of entities that enter and leave, nor of cues
    #[arg(long)]
    quiet: bool,
}

pub(crate) async fn run(args: ConnectArgs) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let mut config = ClientConfig::new(concat!("tickwire-connect ", env!("CARGO_PKG_VERSION")));
    config.seed = u64::from(std::process::id());
    config.room = args.wish.resolve()?;
    config.role = if args.spectate { Role::Spectator } else { Role::Player };
    config.profile = Profile::new(args.name, Vec::new()).context("--name")?;
    let token = args.token.map(|Hidden(text)| Token::new(text)).transpose().context("--token")?;
    let options = Options { tokens: token.map(TokenProvider::fixed), roots: args.roots.resolve()? };
    let schema = net::discover(&args.url, &config, &options).await?;
    let connection = net::connect_with(&args.url, config, schema, options).await?;
    let mut console = Console::new(connection, read_lines(), args.quiet);
    tokio::select! {
        () = console.play() => Ok(if console.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
        () = interrupt.received() => {
            console.close().await;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The lines of stdin, from a thread of their own: a read from a terminal cannot be given up.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(LINES_WAITING_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
