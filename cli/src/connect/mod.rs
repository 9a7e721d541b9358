//! `tickwire connect`: a client by hand, of any game.
//!
//! | file | what it decides |
//! |---|---|
//! | `command` | what a line asks for |
//! | `wish` | which room is wanted |
//! | `words` | what events, entities and figures are called |

mod command;
mod wish;
mod words;

use std::io::BufRead as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tickwire_client::net::{self, Connection, Options, TokenProvider, Wake};
use tickwire_client::{ClientConfig, DisconnectReason, Event, Reconnect};
use tickwire_protocol::Micros;
use tickwire_protocol::handshake::{Role, Token};
use tickwire_protocol::message::{MessageType, Outcome};
use tokio::sync::mpsc;

use self::command::{Command, HELP};
use self::wish::WishArgs;
use crate::config::DEFAULT_LISTEN;
use crate::hidden::Hidden;
use crate::roots::RootArgs;
use crate::signals::Interrupt;

/// Lines that wait for their turn; who writes more waits as well.
const LINES_WAITING_MAX: usize = 16;

/// How long what was sent may take to be delivered when the client leaves.
const FLUSH: Micros = Micros::from_secs(5);

/// How long a `ping` is waited for.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Join a server by hand: see what it tells, send messages, ping. Works with any game: the server is asked for its schema.
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
    config.reconnect = Some(Reconnect::default());
    config.seed = u64::from(std::process::id());
    config.room = args.wish.resolve()?;
    config.role = if args.spectate { Role::Spectator } else { Role::Player };
    let token = args.token.map(|Hidden(text)| Token::new(text)).transpose().context("--token")?;
    let options = Options { tokens: token.map(TokenProvider::fixed), roots: args.roots.resolve()? };
    let schema = net::discover(&args.url, &config, &options).await?;
    let connection = net::connect_with(&args.url, config, schema, options).await?;
    let mut console = Console {
        connection,
        lines: read_lines(),
        is_quiet: args.quiet,
        is_leaving: false,
        has_failed: false,
    };
    tokio::select! {
        () = console.play() => Ok(if console.has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
        () = interrupt.received() => {
            console.connection.close().await;
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

struct Console {
    connection: Connection,
    lines: mpsc::Receiver<String>,
    is_quiet: bool,
    /// All lines are done; what was sent is still to be delivered.
    is_leaving: bool,
    /// Something that was asked for did not come to pass: it shows in the exit status.
    has_failed: bool,
}

impl Console {
    /// Until the connection is over.
    async fn play(&mut self) {
        loop {
            tokio::select! {
                wake = self.connection.next() => match wake {
                    Some(wake) => self.handle(wake),
                    None => return,
                },
                line = self.lines.recv(), if !self.is_leaving => match line {
                    Some(line) => self.obey(&line).await,
                    None => self.leave(),
                },
            }
        }
    }

    fn handle(&mut self, wake: Wake) {
        match wake {
            // Nobody holds the controls: the player stands.
            Wake::Input(tick) => self.connection.push_input(tick, |_| {}),
            Wake::Snapshot => {}
            Wake::Event(event) => {
                self.has_failed |= is_failure(&event);
                let is_scenery = matches!(event, Event::Entered { .. } | Event::Left { .. } | Event::Cue(_));
                if !(is_scenery && self.is_quiet) {
                    println!("{}", words::event(self.connection.client(), &event));
                }
            }
        }
    }

    async fn obey(&mut self, line: &str) {
        match Command::parse(line) {
            Ok(None) => {}
            Ok(Some(Command::Help)) => println!("{HELP}"),
            Ok(Some(Command::Types)) => print(words::message_types(self.connection.client().schema())),
            Ok(Some(Command::List)) => {
                let now = self.connection.now();
                print(words::entities(&self.connection.client().view(now)));
            }
            Ok(Some(Command::Stats)) => {
                let (now, socket) = (self.connection.now(), self.connection.socket_stats());
                print(words::stats(self.connection.client(), now, socket));
            }
            Ok(Some(Command::Send { ty, key, body })) => self.send(&ty, key, body),
            Ok(Some(Command::Ping)) => self.ping().await,
            Ok(Some(Command::Wait(time))) => self.wait(time).await,
            Ok(Some(Command::Quit)) => self.leave(),
            Err(error) => self.fail(&format!("{error:#}")),
        }
    }

    fn fail(&mut self, error: &str) {
        eprintln!("error: {error}");
        self.has_failed = true;
    }

    fn send(&mut self, name: &str, key: u32, body: Vec<u8>) {
        let now = self.connection.now();
        let client = self.connection.client_mut();
        let is_meant = |ty: &&MessageType| ty.name() == name || ty.id().to_string() == name;
        let Some(ty) = client.schema().messages().iter().find(is_meant).map(MessageType::id) else {
            return self.fail(&format!("the game has no message `{name}`: `types` lists those that it has"));
        };
        match client.send(now, ty, key, body) {
            Ok(id) => println!("sent {}", id.0),
            Err(error) => self.fail(&error.to_string()),
        }
    }

    /// Waits for the answer to a ping that goes out as soon as one is due.
    async fn ping(&mut self) {
        let before = self.pongs();
        let answered = tokio::time::timeout(PING_TIMEOUT, async {
            while self.pongs() == before && !self.connection.client().is_closed() {
                match self.connection.next().await {
                    Some(wake) => self.handle(wake),
                    None => return,
                }
            }
        });
        let has_answer = answered.await.is_ok() && self.pongs() > before;
        match self.connection.client().clock().filter(|_| has_answer) {
            Some(clock) => println!("ping {:.3} ms", clock.newest_rtt().0 as f64 / 1e3),
            None => self.fail("no answer to the ping"),
        }
    }

    fn pongs(&self) -> u64 {
        self.connection.client().stats(self.connection.now()).pongs
    }

    async fn wait(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while let Ok(Some(wake)) = tokio::time::timeout_at(end, self.connection.next()).await {
            self.handle(wake);
        }
    }

    /// Leaves once what was sent is delivered.
    fn leave(&mut self) {
        self.is_leaving = true;
        let now = self.connection.now();
        self.connection.client_mut().close(now, Some(FLUSH));
    }
}

/// Whether it says that a message or the connection came to no good end.
fn is_failure(event: &Event) -> bool {
    match event {
        Event::Sent(_, outcome) => *outcome != Outcome::Delivered,
        Event::Disconnected(reason) => *reason != DisconnectReason::Left,
        Event::Rejected(_) => true,
        _ => false,
    }
}

fn print(lines: Vec<String>) {
    for line in lines {
        println!("{line}");
    }
}
