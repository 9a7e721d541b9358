//! Light bots: thousands of connections for what the system calls cost.
//!
//! A task connects a bot and does the upgrade; then its socket goes to a [`flock`], a thread that drives many, and comes back
//! when the connection is over.

mod bot;
mod flock;
mod stream;
mod wire;

use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tickwire_client::{Client, net};
use tickwire_protocol::Micros;
use tickwire_sim::arena;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use self::bot::LightBot;
use self::flock::{Flock, Recruit};
use self::stream::Stream;
use super::hive::{Hive, RECONNECT_PAUSE};
use super::load::{Part, Plan};
use super::outcome::{Arrivals, BotOutcome, Phase};

pub(super) use flock::FlockReport;

/// The threads of a swarm.
pub(super) struct Flocks {
    entrances: Vec<mpsc::Sender<Recruit>>,
    threads: Vec<JoinHandle<FlockReport>>,
}

impl Flocks {
    /// Starts a thread for each core, but no more than `bots` need.
    pub(super) fn start(hive: &Arc<Hive>, bots: usize) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (mut entrances, mut threads) = (Vec::new(), Vec::new());
        for number in 0..cores.min(bots.div_ceil(BOTS_PER_THREAD)) {
            let (entrance, recruits) = mpsc::channel();
            let flock = Flock::new(hive.clone(), recruits, number as u32)?;
            let name = format!("flock-{number}");
            threads.push(std::thread::Builder::new().name(name).spawn(move || flock.run())?);
            entrances.push(entrance);
        }
        Ok(Self { entrances, threads })
    }

    /// The flock of a bot.
    pub(super) fn entrance(&self, plan: Plan) -> Entrance {
        Entrance(self.entrances[plan.index % self.entrances.len()].clone())
    }

    /// Waits for all of them; the swarm must be over.
    pub(super) fn join(self) -> Vec<FlockReport> {
        drop(self.entrances);
        self.threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    }
}

/// The way into a flock.
pub(super) struct Entrance(mpsc::Sender<Recruit>);

/// Plays until the swarm is over; what it saw.
pub(super) async fn run(plan: Plan, hive: Arc<Hive>, entrance: Entrance) -> BotOutcome {
    let mut phase = hive.phase.clone();
    let (mut outcome, mut arrivals) = (BotOutcome::new(plan), Arrivals::default());
    let start = hive.start_of(plan);
    tokio::select! {
        () = tokio::time::sleep(start) => {}
        () = over(&mut phase) => return outcome,
    }
    loop {
        // Whoever is still connecting when all is over stays out.
        let connected = tokio::select! {
            connected = connect(plan, &hive, &mut outcome) => connected,
            () = over(&mut phase) => return outcome,
        };
        if let Some((bot, stream, asked, gate)) = connected {
            let (joined, has_joined) = oneshot::channel();
            let (ended, end) = oneshot::channel();
            let recruit = Recruit { stream, bot, outcome, arrivals, asked, joined, ended };
            // A flock that has ended lets the channels fall, which is seen below.
            let _ = entrance.0.send(recruit);
            let _ = has_joined.await;
            drop(gate);
            let Ok(back) = end.await else {
                let mut lost = BotOutcome::new(plan);
                lost.note_error("the swarm ended while the bot was on its way");
                return lost;
            };
            (outcome, arrivals) = back;
        }
        if *phase.borrow() == Phase::Over || plan.part == Part::Deaf {
            return outcome;
        }
        if !outcome.is_joined() {
            // A bot that never came in stays out: its failure is the finding.
            hive.note_failed(plan);
            return outcome;
        }
        outcome.reconnects += 1;
        tokio::select! {
            () = tokio::time::sleep(RECONNECT_PAUSE) => {}
            () = over(&mut phase) => {
                hive.end_arrivals(&mut arrivals, plan);
                return outcome;
            }
        }
    }
}

/// Waits until the swarm is over.
async fn over(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Over).await;
}

/// Bots that a thread drives before there is another: to wake a thousand times a second costs it as much as hundreds of bots.
const BOTS_PER_THREAD: usize = 2_048;

/// A bot about to say hello, its stream, when connecting began, and the gate that it came through.
type Connected = (LightBot, Stream, Micros, Option<OwnedSemaphorePermit>);

/// Opens the connection up to the upgrade.
async fn connect(plan: Plan, hive: &Hive, outcome: &mut BotOutcome) -> Option<Connected> {
    let gate = hive.gate(plan).await;
    let asked = hive.now();
    let config = hive.client_config(plan);
    let opening = async {
        let stream = net::dial(&hive.config.url, &config).await?;
        net::upgrade(stream, &hive.config.url, &config, &hive.options(plan)).await
    };
    let opened = opening.await.map(|transport| {
        let (socket, tls) = transport.into_parts();
        Ok::<_, io::Error>(Stream::new(socket.into_std()?, tls))
    });
    match opened {
        Ok(Ok(stream)) => {
            let client = Client::new(config, arena::schema().clone(), hive.now());
            Some((LightBot::new(client, hive.pilot(plan), hive.config.input_hz), stream, asked, gate))
        }
        Ok(Err(error)) => {
            outcome.note_error(error.to_string());
            None
        }
        Err(error) => {
            outcome.note_error(error.to_string());
            None
        }
    }
}
