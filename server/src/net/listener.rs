//! Accepts connections, knows the rooms, and ends it all in order.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tickwire_protocol::handshake::{Hello, NewRoom, RejectReason, Role};
use tickwire_protocol::room::{ListRooms, RoomList};
use tickwire_protocol::snapshot::Codec;
use tickwire_protocol::{RoomId, SessionId};
use tickwire_sim::Random;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::access::{Gate, LetsIn};
use super::accounts::{Accounts, Claim};
use super::clock::Clock;
use super::config::{Game, ServerConfig};
use super::connection;
use super::courier::{self, LETTERS_WAITING_MAX, Letter};
use super::doors::{Doors, ToRoom, doors};
use super::lock::lock;
use super::meters::Meters;
use super::place::Place;
use super::room_task::RoomTask;
use super::slots::{Slots, Standing};
use super::stagger;
use super::stats::ServerStats;
use super::tls::Tls;
use crate::core::{Applicant, Directory, Placement, Room, RoomConfig, RoomIdentity, schema_welcome};

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
    /// Of all rooms.
    codec: Codec,
    /// The frame that answers who asks for the schema.
    pub(super) schema_welcome: Vec<u8>,
    pub(super) clock: Clock,
    pub(super) directory: Arc<Mutex<Directory>>,
    /// Bytes of hellos: what comes later is counted by the rooms.
    pub(super) hello_bytes: AtomicU64,
    /// Whose certificate is shown, if any.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) gate: Gate,
    pub(super) accounts: Arc<Accounts>,
    pub(super) slots: Slots,
    rooms: Mutex<BTreeMap<RoomId, Doors>>,
    /// To the courier.
    pub(super) letters: mpsc::Sender<Letter>,
    /// What rooms that have closed had measured.
    closed: Mutex<Meters>,
    /// Room tasks that have a recording to end.
    recordings: watch::Sender<usize>,
    shutdown: watch::Sender<bool>,
}

/// A server that is bound to its address; [`Server::run`] serves.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
    /// Rooms that are there from the start.
    rooms: Vec<Placement>,
    /// What the courier is to pass on.
    letters: mpsc::Receiver<Letter>,
}

/// A way to look at a running server and to end it.
#[derive(Clone)]
pub struct ServerHandle {
    pub(super) shared: Arc<Shared>,
}

impl Server {
    /// Binds the address. An address that is taken is an [`io::ErrorKind::AddrInUse`].
    ///
    /// One that others can reach, and that neither has an [authenticator](super::AccessConfig::authenticator) nor takes
    /// [guests](super::AccessConfig::guests), is an [`io::ErrorKind::InvalidInput`] that says what to do; so is a certificate or a key
    /// that cannot be used, and a [room](ServerConfig::rooms) that cannot be opened.
    pub async fn bind(config: ServerConfig, game: Game) -> io::Result<Self> {
        config.access.check(config.listen)?;
        let tls = config.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
        let listener = TcpListener::bind(config.listen).await?;
        let mut directory = Directory::new(config.directory_config());
        let rooms = config.rooms.iter().map(|room| open(&mut directory, room)).collect::<io::Result<_>>()?;
        let clock = Clock::start();
        let gate = Gate::new(&config.access, config.listen.ip(), clock, config.handshake_timeout / 2);
        tracing::info!("{}", config.access.lets_in());
        if tls.is_none() && !config.listen.ip().is_loopback() && config.access.proxies.networks.is_empty() {
            tracing::warn!(
                "no TLS: what is said can be read and changed on its way, tokens too; give a certificate (--tls-cert, --tls-key), or \
                 put a proxy in front that has one (--trusted-proxy)"
            );
        }
        let codec = config.room.codec(game.schema().clone());
        let mut welcome = Vec::new();
        schema_welcome(&config.room, &codec, game.schema()).encode(&mut welcome);
        let (sender, letters) = mpsc::channel(LETTERS_WAITING_MAX);
        let shared = Shared {
            tls,
            gate,
            accounts: Accounts::new(config.access.accounts),
            slots: Slots::new(config.connections_max, config.access.addresses),
            clock,
            directory: Arc::new(Mutex::new(directory)),
            hello_bytes: AtomicU64::new(0),
            rooms: Mutex::new(BTreeMap::new()),
            letters: sender,
            closed: Mutex::new(Meters::default()),
            recordings: watch::channel(0).0,
            shutdown: watch::channel(false).0,
            codec,
            schema_welcome: welcome,
            config,
            game,
        };
        Ok(Self { listener, shared: Arc::new(shared), rooms, letters })
    }

    /// Where it listens: tells the port that the system chose for port 0.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Whom it lets in: it has said so in its log.
    pub fn lets_in(&self) -> LetsIn {
        self.shared.config.access.lets_in()
    }

    /// A way to look at it and to end it while it runs.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { shared: self.shared.clone() }
    }

    /// Serves until [`ServerHandle::shutdown`], then closes every connection with 1001.
    pub async fn run(self) {
        let mut shutdown = self.shared.shutdown.subscribe();
        for placement in self.rooms.clone() {
            self.shared.open_room(&mut lock(&self.shared.rooms), placement);
        }
        let mut connections = JoinSet::new();
        // These end with the server.
        let mut errands = JoinSet::new();
        self.shared.tls.iter().for_each(|tls| drop(errands.spawn(tls.clone().watch())));
        errands.spawn(courier::run(self.letters, self.shared.clone()));
        loop {
            tokio::select! {
                _ = shutdown.wait_for(|is_over| *is_over) => break,
                stream = accept(&self.listener) => {
                    let Some((stream, address)) = stream else { continue };
                    take(&self.shared, stream, address, &mut connections);
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

/// Opens a room of the configuration.
fn open(directory: &mut Directory, room: &NewRoom) -> io::Result<Placement> {
    let words =
        |reason| io::Error::new(io::ErrorKind::InvalidInput, format!("room `{}`: {reason}", room.name));
    directory.open(room, true).map_err(words)
}

/// The next connection; nothing if it failed before it was ours.
async fn accept(listener: &TcpListener) -> Option<(TcpStream, IpAddr)> {
    match listener.accept().await {
        Ok((stream, address)) => Some((stream, address.ip())),
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

/// Serves a connection in a task of its own, if there is a slot for it, or one to say that there is none.
fn take(shared: &Arc<Shared>, socket: TcpStream, peer: IpAddr, connections: &mut JoinSet<()>) {
    let standing = if shared.config.access.proxies.trust(peer) {
        shared.slots.introduce().map(Standing::Unknown)
    } else {
        shared.slots.enter(shared.clock.now(), peer).map(Standing::Known)
    };
    if let Some(standing) = standing {
        connections.spawn(connection::serve(socket, peer, standing, shared.clone()));
    }
}

impl ServerHandle {
    /// Ends the server: no new connections, every open one is closed with 1001.
    pub fn shutdown(&self) {
        self.shared.shutdown.send_replace(true);
    }

    /// Opens a room, also where clients may not; a public one is for anybody. One that is `for_good` stays when nobody is in it. To be called in
    /// the runtime of a server that [runs](Server::run).
    ///
    /// # Errors
    /// What a client would be told: a bad name, one that a room has, too many rooms, a server that ends.
    pub fn open_room(&self, room: &NewRoom, for_good: bool) -> Result<RoomId, RejectReason> {
        let mut directory = lock(&self.shared.directory);
        if *self.shared.shutdown.borrow() {
            return Err(RejectReason::ShuttingDown);
        }
        let placement = directory.open(room, for_good)?;
        let id = placement.room;
        self.shared.open_room(&mut lock(&self.shared.rooms), placement);
        Ok(id)
    }

    /// A page of the public rooms, as clients are told.
    pub fn rooms(&self, question: &ListRooms) -> RoomList {
        lock(&self.shared.directory).list(question)
    }

    /// What it counts, with every room asked.
    pub async fn stats(&self) -> ServerStats {
        let mut asked = Vec::new();
        for (_, inbox) in self.shared.inboxes() {
            let (answer, told) = oneshot::channel();
            // A room that has ended does not answer, but is among the closed ones.
            let _ = inbox.send(ToRoom::Stats(answer)).await;
            asked.push(told);
        }
        let (mut rooms, mut total) = (Vec::new(), Meters::default());
        for told in asked {
            if let Ok(room) = told.await {
                total += &room.meters;
                rooms.push(room);
            }
        }
        total += &lock(&self.shared.closed);
        ServerStats {
            connections: self.shared.slots.taken(),
            players: lock(&self.shared.directory).players(),
            bytes_in: self.shared.hello_bytes.load(Ordering::Relaxed) + total.bytes_in,
            bytes_out: total.bytes_out,
            rooms,
            total,
        }
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

/// A place in a room, and the way there.
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) doors: Doors,
}

impl Shared {
    /// Finds a place in a room for a hello, and opens the room if need be. The places that are free once it is let in are free for it now.
    pub(super) fn find_room(
        self: &Arc<Self>,
        hello: &Hello,
        applicant: Applicant<'_>,
        claim: Claim,
    ) -> Result<Found, RejectReason> {
        // Both locks are held together, so that nobody finds a room in the directory that has no task yet.
        let mut directory = lock(&self.directory);
        if *self.shutdown.borrow() {
            return Err(RejectReason::ShuttingDown);
        }
        let leaving: Vec<_> =
            claim.replaces().iter().map(|(session, role)| (session.room(), *role)).collect();
        let placement = directory.place_instead(&leaving, &hello.room, hello.role, applicant)?;
        let room = placement.room;
        let mut rooms = lock(&self.rooms);
        self.open_room(&mut rooms, placement);
        let Some(doors) = rooms.get(&room).cloned() else {
            directory.leave(room, hello.role);
            return Err(RejectReason::NoSuchRoom);
        };
        Ok(Found { place: Place::taken(self.directory.clone(), room, hello.role, claim), doors })
    }

    /// Finds a place for a session that is to go on, beyond any limit: nobody stays in it before the room has looked at its token.
    /// Nothing if the room is no more.
    pub(super) fn find_session(&self, session: SessionId, role: Role, claim: Claim) -> Option<Found> {
        let room = session.room();
        let mut directory = lock(&self.directory);
        if *self.shutdown.borrow() || !directory.return_to(room, role) {
            return None;
        }
        let Some(doors) = lock(&self.rooms).get(&room).cloned() else {
            directory.leave(room, role);
            return None;
        };
        Some(Found { place: Place::taken(self.directory.clone(), room, role, claim), doors })
    }

    /// Ends a session, in whichever room it is, because its account has begun another.
    pub(super) async fn replace(&self, session: SessionId) {
        if let Some(inbox) = self.inbox(session.room()) {
            // A room that has ended has no sessions.
            let _ = inbox.send(ToRoom::Replace { session }).await;
        }
    }

    /// The way to a room, if it is there.
    pub(super) fn inbox(&self, room: RoomId) -> Option<mpsc::Sender<ToRoom>> {
        lock(&self.rooms).get(&room).map(|doors| doors.inbox.clone())
    }

    /// The ways to the rooms that there are.
    pub(super) fn inboxes(&self) -> Vec<(RoomId, mpsc::Sender<ToRoom>)> {
        lock(&self.rooms).iter().map(|(&room, doors)| (room, doors.inbox.clone())).collect()
    }

    /// Ends when the server does.
    pub(super) async fn is_over(&self) {
        let _ = self.shutdown.subscribe().wait_for(|is_over| *is_over).await;
    }

    /// Opens the room of a placement, if it is to be opened.
    fn open_room(self: &Arc<Self>, rooms: &mut BTreeMap<RoomId, Doors>, placement: Placement) {
        let Placement { room: id, open: Some(room) } = placement else { return };
        tracing::info!(room = %room.name, is_private = room.secret.is_some(), "room opened");
        let config = self.room_config(&room);
        let name = room.name;
        let seed = Random::from_seed(self.config.seed ^ u64::from(id.0)).next_u64();
        let identity = RoomIdentity { id, name, seed };
        let (doors, inlets) = doors();
        let shared = self.clone();
        let record = self.config.record.clone().map(|record| (record, OpenRecording::new(self)));
        tokio::spawn(async move {
            let make = || {
                let simulation = shared.game.simulation(&identity);
                let started = stagger::start(id, config.tick_rate, shared.clock.now());
                Room::with_codec(identity, config, shared.codec.clone(), simulation, started)
            };
            if let Ok(room) = catch_unwind(AssertUnwindSafe(make)) {
                let mut shutdown = shared.shutdown.subscribe();
                // It may have been said before anybody listened here.
                shutdown.mark_changed();
                let mut task = RoomTask::new(room, &shared, inlets, shutdown);
                if let Some((record, _)) = &record {
                    task.start_recording(record);
                }
                let measured = Box::pin(task.run()).await;
                *lock(&shared.closed) += &measured;
            } else {
                tracing::error!(room = %id, "the simulation failed before its first step was done");
                lock(&shared.directory).remove(id);
            }
            lock(&shared.rooms).remove(&id);
        });
        rooms.insert(id, doors);
    }

    /// How a room runs that was opened like this.
    fn room_config(&self, room: &NewRoom) -> RoomConfig {
        let mut config = RoomConfig {
            players_max: room.players_max,
            // Without randomness nobody can join anyway.
            first_session: getrandom::u32().unwrap_or_default(),
            ..self.config.room.clone()
        };
        if !room.mode.is_empty() {
            config.match_info.mode.clone_from(&room.mode);
        }
        if !room.settings.is_empty() {
            config.match_info.settings.clone_from(&room.settings);
        }
        config
    }
}
