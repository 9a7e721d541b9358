//! Accepts connections, knows the rooms, and ends it all in order.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tickwire_protocol::RoomId;
use tickwire_protocol::handshake::{Hello, RejectReason};
use tickwire_sim::Random;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::config::{Game, ServerConfig};
use super::connection;
use super::room_task::{Clock, INBOX_MESSAGES_MAX, Meters, RoomTask, ToRoom, lock};
use super::stats::ServerStats;
use crate::core::{Directory, Placement, Room, RoomIdentity};

/// How long after a failed accept the next one is tried. Out of file descriptors it would fail at once again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections may take to hear that the server ends.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(3);

/// How long recordings may take to reach the disk when the server ends.
const RECORDING_PATIENCE: Duration = Duration::from_secs(10);

/// What all tasks of a server share.
pub(super) struct Shared {
    pub(super) config: ServerConfig,
    pub(super) game: Game,
    pub(super) clock: Clock,
    pub(super) directory: Arc<Mutex<Directory>>,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    rooms: Mutex<BTreeMap<RoomId, mpsc::Sender<ToRoom>>>,
    /// Room tasks that have a recording to end.
    recordings: watch::Sender<usize>,
    connections: Arc<Semaphore>,
    shutdown: watch::Sender<bool>,
}

/// A server that is bound to its address; [`Server::run`] serves.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// A way to look at a running server and to end it.
#[derive(Clone)]
pub struct ServerHandle {
    shared: Arc<Shared>,
}

impl Server {
    /// Binds the address. An address that is taken is an [`io::ErrorKind::AddrInUse`].
    pub async fn bind(config: ServerConfig, game: Game) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let shared = Shared {
            clock: Clock::start(),
            directory: Arc::new(Mutex::new(Directory::new(config.directory_config()))),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            rooms: Mutex::new(BTreeMap::new()),
            recordings: watch::channel(0).0,
            connections: Arc::new(Semaphore::new(config.connections_max)),
            shutdown: watch::channel(false).0,
            config,
            game,
        };
        Ok(Self { listener, shared: Arc::new(shared) })
    }

    /// Where it listens: tells the port that the system chose for port 0.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// A way to look at it and to end it while it runs.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { shared: self.shared.clone() }
    }

    /// Serves until [`ServerHandle::shutdown`], then closes every connection with 1001.
    pub async fn run(self) {
        let mut shutdown = self.shared.shutdown.subscribe();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                _ = shutdown.wait_for(|is_over| *is_over) => break,
                stream = accept(&self.listener) => {
                    let Some(stream) = stream else { continue };
                    // Beyond the limit a connection is dropped at once: waiting, it would look like a server that hangs.
                    let Ok(permit) = self.shared.connections.clone().try_acquire_owned() else {
                        tracing::warn!(max = self.shared.config.connections_max, "too many connections: one was refused");
                        continue;
                    };
                    let shared = self.shared.clone();
                    connections.spawn(async move {
                        connection::serve(stream, shared).await;
                        drop(permit);
                    });
                }
                // Ended tasks are taken out as they end, so the set does not grow.
                Some(_) = connections.join_next() => {}
            }
        }
        drop(self.listener);
        let all_closed = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(SHUTDOWN_PATIENCE, all_closed).await;
        let mut recordings = self.shared.recordings.subscribe();
        let all_written = recordings.wait_for(|open| *open == 0);
        if tokio::time::timeout(RECORDING_PATIENCE, all_written).await.is_err() {
            tracing::error!("the disk is too slow: recordings end before their index");
        }
    }
}

/// The next connection; nothing if it failed before it was ours.
async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept().await {
        Ok((stream, _)) => Some(stream),
        Err(error) => {
            let advice = match error.raw_os_error() {
                // EMFILE and ENFILE.
                Some(23 | 24) => "too many open files: raise the limit with `ulimit -n`",
                _ => "trying again",
            };
            tracing::warn!(%error, advice, "could not accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

impl ServerHandle {
    /// Ends the server: no new connections, every open one is closed with 1001.
    pub fn shutdown(&self) {
        self.shared.shutdown.send_replace(true);
    }

    /// What it counts, with every room asked.
    pub async fn stats(&self) -> ServerStats {
        let rooms: Vec<_> = self.shared.rooms().values().cloned().collect();
        let mut stats = ServerStats {
            connections: self.shared.config.connections_max - self.shared.connections.available_permits(),
            players: lock(&self.shared.directory).players(),
            bytes_in: self.shared.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.shared.bytes_out.load(Ordering::Relaxed),
            rooms: Vec::new(),
        };
        for room in rooms {
            let (answer, told) = oneshot::channel();
            if room.send(ToRoom::Stats(answer)).await.is_ok()
                && let Ok(room) = told.await
            {
                stats.rooms.push(room);
            }
        }
        stats
    }
}

/// Counts a room that is recorded, as long as it is there: the server does not end before its file is written.
struct OpenRecording(Arc<Shared>);

impl OpenRecording {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.recordings.send_modify(|open| *open += 1);
        Self(shared.clone())
    }
}

impl Drop for OpenRecording {
    fn drop(&mut self) {
        self.0.recordings.send_modify(|open| *open -= 1);
    }
}

impl Shared {
    /// Finds a place in a room for a hello, and opens the room if need be. The place must be given back.
    pub(super) fn find_room(
        self: &Arc<Self>,
        hello: &Hello,
    ) -> Result<(RoomId, mpsc::Sender<ToRoom>), RejectReason> {
        // Both locks are held together, so that nobody finds a room in the directory that has no task yet.
        let mut directory = lock(&self.directory);
        if *self.shutdown.borrow() {
            return Err(RejectReason::ShuttingDown);
        }
        let Placement { room, open } = directory.place(&hello.room, hello.role)?;
        let mut rooms = self.rooms();
        if let Some(name) = open {
            rooms.insert(room, self.open_room(room, name));
        }
        rooms.get(&room).map(|inbox| (room, inbox.clone())).ok_or_else(|| {
            directory.leave(room, hello.role);
            RejectReason::NoSuchRoom
        })
    }

    /// Ends when the server does.
    pub(super) async fn is_over(&self) {
        let _ = self.shutdown.subscribe().wait_for(|is_over| *is_over).await;
    }

    fn open_room(self: &Arc<Self>, id: RoomId, name: String) -> mpsc::Sender<ToRoom> {
        tracing::info!(room = %name, "room opened");
        let seed = Random::from_seed(self.config.seed ^ u64::from(id.0)).next_u64();
        let identity = RoomIdentity { id, name, seed };
        let (sender, inbox) = mpsc::channel(INBOX_MESSAGES_MAX);
        let shared = self.clone();
        let record = self.config.record.clone().map(|record| (record, OpenRecording::new(self)));
        tokio::spawn(async move {
            let make = || {
                let simulation = shared.game.simulation(&identity);
                Room::new(identity, shared.config.room.clone(), simulation, shared.clock.now())
            };
            if let Ok(room) = catch_unwind(AssertUnwindSafe(make)) {
                let mut task = RoomTask {
                    room,
                    clock: shared.clock,
                    directory: shared.directory.clone(),
                    lifetime: shared.config.room_lifetime,
                    meters: Meters::new(shared.clock.now()),
                    mailboxes: BTreeMap::new(),
                    peers: Vec::new(),
                    recording: None,
                };
                if let Some((record, _)) = &record {
                    task.start_recording(record);
                }
                task.run(inbox, shared.shutdown.subscribe()).await;
            } else {
                tracing::error!(room = %id, "the simulation failed before its first step was done");
                lock(&shared.directory).remove(id);
            }
            shared.rooms().remove(&id);
        });
        sender
    }

    fn rooms(&self) -> std::sync::MutexGuard<'_, BTreeMap<RoomId, mpsc::Sender<ToRoom>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
