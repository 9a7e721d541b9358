//! A connection, the lines that are asked of it, and what is printed of it.

use std::time::Duration;

use bytes::Bytes;
use tickwire_client::net::{Connection, Wake};
use tickwire_client::{DisconnectReason, Event, REQUEST_TIMEOUT, Sending};
use tickwire_protocol::Micros;
use tickwire_protocol::bulk::{BulkEvent, BulkId};
use tickwire_protocol::message::{MessageType, MessageTypeId, Outcome, Refusal, RequestId, Standing};
use tickwire_protocol::room::Profile;
use tokio::sync::mpsc;

use super::command::{Command, HELP};
use super::files::{self, Downloads};
use super::words;

/// How long what was sent may take to be delivered when the client leaves.
const FLUSH: Micros = Micros::from_secs(5);

/// How long a `ping` is waited for.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Console {
    connection: Connection,
    lines: mpsc::Receiver<String>,
    downloads: Downloads,
    is_quiet: bool,
    /// All lines are done; what was sent is still to be delivered.
    is_leaving: bool,
    /// Something that was asked for did not come to pass: it shows in the exit status.
    has_failed: bool,
}

impl Console {
    pub(super) fn new(connection: Connection, lines: mpsc::Receiver<String>, is_quiet: bool) -> Self {
        let downloads = Downloads::default();
        Self { connection, lines, downloads, is_quiet, is_leaving: false, has_failed: false }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    pub(super) async fn close(self) {
        self.connection.close().await;
    }

    /// Until the connection is over.
    pub(super) async fn play(&mut self) {
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
                if !(is_scenery(&event) && self.is_quiet) {
                    println!("{}", words::event(self.connection.client(), &event));
                }
                if let Event::Bulk(event) = event {
                    let kept = self.downloads.handle_event(&event);
                    self.note(kept);
                }
            }
        }
    }

    async fn obey(&mut self, line: &str) {
        match Command::parse(line) {
            Ok(None) => {}
            Ok(Some(Command::Ping)) => self.ping().await,
            Ok(Some(Command::Wait(time))) => self.wait(time).await,
            Ok(Some(Command::Quit)) => self.leave(),
            Ok(Some(command)) => {
                let done = self.act(command);
                self.note(done);
            }
            Err(error) => self.note(Err(error)),
        }
    }

    /// What takes no time: says something, or shows something.
    fn act(&mut self, command: Command) -> anyhow::Result<()> {
        match command {
            Command::Send { ty, key, body } => self.send(&ty, key, body)?,
            Command::Ask { ty, body } => self.ask(&ty, &body)?,
            Command::Respond { id, response } => self.respond(id, response)?,
            Command::Offer { kind, file, metadata } => {
                let (now, content) = (self.connection.now(), files::read(&file)?);
                let id = self.connection.client_mut().offer_bulk(now, kind, metadata, content)?;
                println!("offered {}", id.0);
            }
            Command::Accept { id, file } => self.downloads.accept(self.connection.client_mut(), id, file)?,
            Command::Cancel(BulkId(id)) => self.connection.client_mut().cancel_bulk(BulkId(id))?,
            Command::Name(name) => {
                let profile = Profile::new(name, Vec::new())?;
                self.connection.client_mut().set_profile(profile);
            }
            Command::Pause => {
                let now = self.connection.now();
                self.connection.client_mut().pause(now);
            }
            Command::Resume => {
                let now = self.connection.now();
                self.connection.client_mut().resume(now);
            }
            show => self.show(&show),
        }
        Ok(())
    }

    /// What is known, in lines.
    fn show(&self, what: &Command) {
        let (now, client) = (self.connection.now(), self.connection.client());
        let lines = match what {
            Command::Types => words::message_types(client.schema()),
            Command::List => words::entities(&client.view(now)),
            Command::Members => words::members(client),
            Command::Match => words::match_state(client),
            Command::Stats => words::stats(client, now, self.connection.socket_stats()),
            _ => vec![HELP.to_owned()],
        };
        for line in lines {
            println!("{line}");
        }
    }

    /// What could not be done is said, and shows in the exit status.
    fn note(&mut self, done: anyhow::Result<()>) {
        if let Err(error) = done {
            eprintln!("error: {error:#}");
            self.has_failed = true;
        }
    }

    fn find_type(&self, name: &str) -> anyhow::Result<MessageTypeId> {
        let is_meant = |ty: &&MessageType| ty.name() == name || ty.id().to_string() == name;
        let ty = self.connection.client().schema().messages().iter().find(is_meant);
        ty.map(MessageType::id).ok_or_else(|| {
            anyhow::anyhow!("the game has no message `{name}`: `types` lists those that it has")
        })
    }

    fn send(&mut self, name: &str, key: u32, body: Vec<u8>) -> anyhow::Result<()> {
        let (now, ty) = (self.connection.now(), self.find_type(name)?);
        let Sending { id, standing } = self.connection.client_mut().send(now, ty, key, body)?;
        println!("{} {}", if standing == Standing::Queued { "queued" } else { "sent" }, id.0);
        Ok(())
    }

    fn ask(&mut self, name: &str, body: &[u8]) -> anyhow::Result<()> {
        let (now, ty) = (self.connection.now(), self.find_type(name)?);
        let id = self.connection.client_mut().request(now, ty, body, REQUEST_TIMEOUT)?;
        println!("asked {}", id.0);
        Ok(())
    }

    fn respond(&mut self, id: RequestId, response: Result<Vec<u8>, Vec<u8>>) -> anyhow::Result<()> {
        let now = self.connection.now();
        let response = response.map(Bytes::from).map_err(|why| Refusal::Game(why.into()));
        Ok(self.connection.client_mut().respond(now, id, response)?)
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
            None => self.note(Err(anyhow::anyhow!("no answer to the ping"))),
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

/// Whether it says that something which was asked for, or the connection, came to no good end.
fn is_failure(event: &Event) -> bool {
    match event {
        Event::Sent(_, outcome) => *outcome != Outcome::Delivered,
        Event::Disconnected(reason) => *reason != DisconnectReason::Left,
        Event::Rejected(_) | Event::Response(_, Err(_)) => true,
        Event::Bulk(event) => matches!(event, BulkEvent::NotSent { .. } | BulkEvent::NotReceived { .. }),
        _ => false,
    }
}

/// Whether it is one of many that say little each.
fn is_scenery(event: &Event) -> bool {
    match event {
        Event::Entered { .. } | Event::Left { .. } | Event::Cue(_) | Event::Match(_) => true,
        Event::Bulk(event) => matches!(event, BulkEvent::Sending { .. } | BulkEvent::Receiving { .. }),
        _ => false,
    }
}
