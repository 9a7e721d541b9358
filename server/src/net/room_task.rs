//! One task per room: it owns the room, ticks it on time, and writes to the sockets of all who are in it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use tickwire_protocol::handshake::Role;
use tickwire_protocol::room::MatchStatus;
use tickwire_protocol::{Micros, PeerFault, PeerId, SessionId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::access::{Checked, Gate};
use super::clock::Clock;
use super::config::RecordConfig;
use super::courier::Letter;
use super::doors::{Answer, Delivery, INBOX_MESSAGES_MAX, Inlets, Joining, ToRoom};
use super::listener::Shared;
use super::lock::lock;
use super::meters::{Meters, Spent, Stopwatch, record};
use super::place::Place;
use super::recording::RecordingFile;
use super::seat::{Closing, Ending, Seat, Transmission};
use super::stagger;
use super::stats::RoomStats;
use super::websocket::framed_bytes;
use crate::core::{Directory, Room, RoomEvent, StepReport};

/// Joins between two ticks. One costs up to 0.1 ms, for its welcome and its first snapshot, whose rows are all whole: sixteen
/// leave a tick of 16 ms most of its time, and let in 960 a second.
const JOINS_PER_TICK_MAX: usize = 16;

/// A room looks into its inbox and at its sockets at least this often, however rarely it ticks.
const ROUND_MAX: Duration = Duration::from_millis(50);

/// Bytes that are encoded before any of them are written: for some sixty peers, and no more than a processor's nearer caches hold.
const FRAMED_BYTES: usize = 24 * 1024;

/// 2^32 divided by the golden ratio.
const GOLDEN: u32 = 0x9e37_79b9;

/// Some of the room's seats: a range in the order of their peers.
type Seats = (Bound<PeerId>, Bound<PeerId>);

/// How soon an empty room that could not be closed is looked at again.
const LOOKS_AGAIN_AFTER: Micros = Micros::from_secs(1);

/// A room and what its task keeps around it.
pub(super) struct RoomTask {
    room: Room,
    clock: Clock,
    directory: Arc<Mutex<Directory>>,
    gate: Gate,
    /// Newer tokens that are being checked, one a peer.
    checks: JoinSet<Checked>,
    lifetime: Duration,
    write_timeout: Micros,
    inlets: Inlets,
    /// To the courier.
    letters: mpsc::Sender<Letter>,
    shutdown: watch::Receiver<bool>,
    seats: BTreeMap<PeerId, Seat>,
    /// Of each session, connected or not.
    places: BTreeMap<SessionId, Place>,
    /// What the directory was told of its match.
    listed: Option<(String, MatchStatus)>,
    meters: Meters,
    /// Which share of the way through the seats the age was noted last, of 2^32.
    sample: u32,
    /// Joins since the last step.
    joined: usize,
    /// Whoever woke the room from its sleep.
    first: Option<Joining>,
    /// Nobody is in the room: it makes no steps until somebody joins.
    is_asleep: bool,
    /// Where the room is recorded to, if it is.
    recording: Option<RecordingFile>,
    /// Who wants to know how it is doing: told when the tick is flushed, as that copies tens of KB of histograms.
    asked: Vec<oneshot::Sender<RoomStats>>,
    /// Who has ended the room, and waits until it is off the list.
    enders: Vec<oneshot::Sender<()>>,
    /// Reused from tick to tick.
    batch: Vec<ToRoom>,
    framed: Vec<u8>,
    ended: Vec<(PeerId, Ending)>,
}

/// How a room's task ends.
enum End {
    Shutdown,
    Empty,
    /// The game or the server's owner has ended it.
    Over,
    Panicked,
}

impl RoomTask {
    pub(super) fn new(room: Room, shared: &Shared, inlets: Inlets, shutdown: watch::Receiver<bool>) -> Self {
        let config = &shared.config;
        Self {
            room,
            clock: shared.clock,
            directory: shared.directory.clone(),
            gate: shared.gate.clone(),
            checks: JoinSet::new(),
            lifetime: config.room_lifetime,
            write_timeout: Micros(config.write_timeout.as_micros() as u64),
            inlets,
            letters: shared.letters.clone(),
            shutdown,
            seats: BTreeMap::new(),
            places: BTreeMap::new(),
            listed: None,
            meters: Meters::default(),
            sample: 0,
            joined: 0,
            first: None,
            is_asleep: false,
            recording: None,
            asked: Vec::new(),
            enders: Vec::new(),
            batch: Vec::new(),
            framed: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// Runs until the server shuts down, the game or the server's owner ends the room, it has been empty for its lifetime, or the simulation panics. What it
    /// measured in its life.
    pub(super) async fn run(mut self) -> Meters {
        let end = self.serve().await;
        let identity = self.room.identity();
        let closing = match end {
            End::Shutdown => Closing::shutdown(),
            End::Empty => {
                tracing::info!(room = %identity.name, "room closed: nobody is in it");
                Closing::too_late()
            }
            End::Over => {
                tracing::info!(room = %identity.name, "room closed: its game or the owner has ended it");
                Closing::too_late()
            }
            End::Panicked => {
                tracing::error!(room = %identity.name, seed = identity.seed, tick = %self.room.tick(), "room failed");
                // Its bytes can be read without an index; nothing more is asked of what has failed.
                self.room.stop_recording();
                Closing::failed()
            }
        };
        lock(&self.directory).remove(self.room.identity().id);
        for ender in self.enders.drain(..) {
            let _ = ender.send(());
        }
        self.dismiss(&closing);
        self.send_last_letters().await;
        self.finish_recording().await;
        std::mem::take(&mut self.meters)
    }

    async fn serve(&mut self) -> End {
        loop {
            if let Some(end) = self.wait().await {
                return end;
            }
            if catch_unwind(AssertUnwindSafe(|| self.round())).is_err() {
                return End::Panicked;
            }
            if self.room.is_over() {
                return End::Over;
            }
            // A room that is always late must not keep the thread to itself.
            tokio::task::yield_now().await;
        }
    }

    /// Waits until there is something to do. Messages do not wake the room: nothing is simulated between ticks, and each
    /// of them would cost as much again as handling it.
    async fn wait(&mut self) -> Option<End> {
        if self.is_asleep {
            return self.sleep().await;
        }
        let round = self.clock.now() + Micros(ROUND_MAX.as_micros() as u64);
        tokio::time::sleep_until(self.clock.instant(self.room.poll_timeout().min(round))).await;
        // An atomic load, until it is true.
        let is_over = self.shutdown.has_changed().unwrap_or(true) && *self.shutdown.borrow_and_update();
        is_over.then_some(End::Shutdown)
    }

    /// Waits in an empty room: for somebody to join, or for its end. Its time stands still.
    async fn sleep(&mut self) -> Option<End> {
        let lifetime = Micros(self.lifetime.as_micros() as u64);
        let looks_again = lifetime.max(LOOKS_AGAIN_AFTER);
        let mut closes = self.clock.now() + lifetime;
        loop {
            tokio::select! {
                biased;
                () = is_over(&mut self.shutdown) => return Some(End::Shutdown),
                Some(first) = self.inlets.joins.recv() => {
                    self.wake(first);
                    return None;
                }
                // Only the server's owner and other rooms say anything to an empty one.
                _ = self.inlets.inbox.recv_many(&mut self.batch, INBOX_MESSAGES_MAX) => {}
                () = tokio::time::sleep_until(self.clock.instant(closes)) => {
                    if lock(&self.directory).close_if_empty(self.room.identity().id) {
                        return Some(End::Empty);
                    }
                    // Somebody is on the way, or it is there for good.
                    closes = self.clock.now() + looks_again;
                }
            }
            self.handle_batch();
            if self.room.is_over() {
                return Some(End::Over);
            }
            self.tell_stats();
        }
    }

    fn wake(&mut self, first: Joining) {
        self.first = Some(first);
        self.is_asleep = false;
        let (room, rate) = (self.room.identity().id, self.room.config().tick_rate);
        self.room.resume(stagger::start(room, rate, self.clock.now()));
    }

    /// One wake-up: the tick, then the flush.
    fn round(&mut self) {
        let mut watch = Stopwatch::start();
        let now = self.clock.now();
        let late = now.saturating_since(self.room.poll_timeout());
        let was_empty = self.seats.is_empty() && self.room.session_count() == 0;
        self.admit(now);
        self.drain_inbox();
        self.take_checked();
        let report = self.room.advance(now);
        self.record();
        self.give_way(now);
        self.handle_events();
        self.send_letters();
        self.list();
        let ticked = watch.lap();
        let sent = self.meters.messages_sent;
        self.flush();
        let flushed = watch.lap();
        if report.due.steps > 0 {
            self.joined = 0;
            self.measure(report, late, ticked);
            self.sample_age();
        }
        if self.meters.messages_sent > sent {
            flushed.record(&mut self.meters.flush_micros, &mut self.meters.flush_cpu_micros);
        }
        self.tell_stats();
        // Whoever left has been told to the simulation by a step that was made without it.
        let is_empty = self.seats.is_empty() && self.room.session_count() == 0;
        self.is_asleep = was_empty && is_empty && report.due.steps > 0;
    }

    /// Gives the courier what is for other rooms, as much as it takes: the rest waits in the room.
    fn send_letters(&mut self) {
        while self.room.has_broadcast()
            && let Ok(place) = self.letters.try_reserve()
            && let Some(broadcast) = self.room.poll_broadcast()
        {
            place.send(Letter { from: self.room.identity().id, broadcast });
        }
    }

    /// What it had said before it ended reaches the others as well. It fails when the server ends.
    async fn send_last_letters(&mut self) {
        let from = self.room.identity().id;
        while let Some(broadcast) = self.room.poll_broadcast() {
            let _ = self.letters.send(Letter { from, broadcast }).await;
        }
    }

    /// Tells the directory how the match stands, for those who look for one.
    fn list(&mut self) {
        let info = self.room.match_state().info();
        if self.listed.as_ref().is_none_or(|(mode, status)| (mode, *status) != (&info.mode, info.status)) {
            self.listed = Some((info.mode.clone(), info.status));
            lock(&self.directory).note_match(self.room.identity().id, info);
        }
    }

    fn measure(&mut self, report: StepReport, late: Micros, ticked: Spent) {
        let meters = &mut self.meters;
        ticked.record(&mut meters.tick_micros, &mut meters.tick_cpu_micros);
        record(&mut meters.late_micros, Duration::from_micros(late.0));
        meters.steps += report.due.steps;
        meters.skipped_steps += report.due.skipped;
        meters.late_ticks += u64::from(self.clock.now() > self.room.poll_timeout());
        meters.snapshots_skipped = self.room.skipped();
        if report.due.skipped > 0 {
            let (room, skipped) = (&self.room.identity().name, report.due.skipped);
            tracing::warn!(%room, skipped, "the room is too slow for its tick rate: steps were given up");
        }
    }

    /// Notes how old what one peer holds is, just behind a flush. Which one goes up and down as the multiples of the golden ratio do: in
    /// turn, some would always be asked just after their snapshot.
    fn sample_age(&mut self) {
        let ends = (self.seats.first_key_value(), self.seats.last_key_value());
        let (Some((first, _)), Some((last, _))) = ends else { return };
        self.sample = self.sample.wrapping_add(GOLDEN);
        let span = u64::from(last.0 - first.0) + 1;
        let place = PeerId(first.0 + ((u64::from(self.sample) * span) >> u32::BITS) as u32);
        let Some((&peer, _)) = self.seats.range(place..).next() else { return };
        let stats = self.room.peer_stats(self.clock.now(), peer);
        if let Some(age) = stats.and_then(|stats| stats.snapshot_age) {
            record(&mut self.meters.snapshot_age_micros, Duration::from_micros(age.0));
        }
    }

    /// Lets in who waits, as many as fit into a tick.
    fn admit(&mut self, now: Micros) {
        while self.joined < JOINS_PER_TICK_MAX
            && let Some(Joining { mut join, seat, place, answer }) =
                self.first.take().or_else(|| self.inlets.joins.try_recv().ok())
        {
            self.joined += 1;
            if let Err(reason) = self.room.check_resume(&join) {
                // The place of a session that is over because of this is free before its client looks for one.
                self.handle_events();
                drop(place);
                let _ = answer.send(Answer::NotResumed { reason, seat });
                continue;
            }
            join.replaces = place.replaces();
            match self.room.join(now, join) {
                Ok(peer) => {
                    // A session that goes on keeps the place that it has.
                    let Some(session) = self.room.session(peer) else { continue };
                    let replaced = place.settle(session);
                    self.places.entry(session).or_insert(place);
                    if answer.send(Answer::Joined { peer, replaced }).is_ok() {
                        self.seats.insert(peer, seat);
                    } else {
                        self.room.disconnect(now, peer);
                    }
                }
                Err(reason) => seat.end(Ending::Rejected(reason)),
            }
        }
    }

    /// Who keeps a place for longer than it was here gives way while others may find none.
    fn give_way(&mut self, now: Micros) {
        for role in [Role::Player, Role::Spectator] {
            if self.room.overdue(now, role).is_some() && self.is_needed(role) {
                self.room.give_way(now, role);
            }
        }
    }

    /// Whether somebody may be turned away because of who is in this room in this role, or because there is this room.
    fn is_needed(&self, role: Role) -> bool {
        let (directory, room) = (lock(&self.directory), self.room.identity().id);
        directory.is_crowded(room, role) || (self.seats.is_empty() && directory.is_in_the_way(room))
    }

    fn handle_events(&mut self) {
        while let Some(event) = self.room.poll_event() {
            match event {
                RoomEvent::PeerDropped { peer, fault } => self.close(peer, fault),
                RoomEvent::PeerDismissed { peer, code, reason } => {
                    self.end(peer, Ending::Closed(Closing { code, reason: reason.to_string() }));
                }
                RoomEvent::TokenCame { peer } => self.check_token(peer),
                RoomEvent::SessionEnded { session } => drop(self.places.remove(&session)),
            }
        }
    }

    /// Has a newer token checked, beside the room. A peer has one under way at most.
    fn check_token(&mut self, peer: PeerId) {
        let (Some(token), Some(seat)) = (self.room.take_token(peer), self.seats.get(&peer)) else { return };
        let (gate, address) = (self.gate.clone(), seat.address());
        self.checks.spawn(async move { (peer, gate.identify(&token, address).await) });
    }

    /// Tells the room what was found of tokens.
    fn take_checked(&mut self) {
        while let Some(checked) = self.checks.try_join_next() {
            // It does not panic: an authenticator that does is caught where it is asked.
            let Ok((peer, found)) = checked else { continue };
            self.room.handle_checked(self.clock.now(), peer, found);
        }
    }

    /// Takes everything in that has come since the last tick.
    fn drain_inbox(&mut self) {
        // Asked once, without a waker: see `wait`. It gives up the places in the queue all at once.
        let mut context = Context::from_waker(Waker::noop());
        let _ = self.inlets.inbox.poll_recv_many(&mut context, &mut self.batch, INBOX_MESSAGES_MAX);
        self.handle_batch();
    }

    fn handle_batch(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        batch.drain(..).for_each(|message| self.handle(message));
        self.batch = batch;
    }

    fn handle(&mut self, message: ToRoom) {
        match message {
            ToRoom::Message { peer, at, message } => self.handle_message(peer, at, message),
            ToRoom::Part { peer, at } => self.room.handle_part(at, peer),
            ToRoom::Ping { peer, payload } => {
                let told = self.seats.get_mut(&peer).map_or(Ok(()), |seat| seat.handle_ping(payload));
                if let Err(fault) = told {
                    self.room.remove(peer);
                    self.close(peer, fault);
                }
            }
            ToRoom::Leave { peer, is_goodbye } => {
                if is_goodbye {
                    self.room.leave(peer);
                } else {
                    self.room.disconnect(self.clock.now(), peer);
                }
                self.end(peer, Ending::Gone);
            }
            ToRoom::Replace { session } => self.room.replace(session),
            ToRoom::Deliver(delivery) => {
                let Delivery { broadcast, answer } = *delivery;
                let reach = self.room.deliver(self.clock.now(), &broadcast);
                self.meters.broadcasts_missed += reach.missed as u64;
                let _ = answer.map(|answer| answer.send(reach));
            }
            ToRoom::Remove { player, reason, answer } => {
                let was_here = self.room.remove_player(player, &reason);
                // Its place is free when the owner hears of it.
                self.handle_events();
                let _ = answer.send(was_here);
            }
            ToRoom::End { reason, answer } => {
                self.room.end(&reason);
                self.enders.push(answer);
            }
            ToRoom::Stats(answer) => self.asked.push(answer),
        }
    }

    fn handle_message(&mut self, peer: PeerId, at: Micros, message: Bytes) {
        if !self.seats.contains_key(&peer) {
            return;
        }
        self.meters.messages_received += 1;
        self.meters.bytes_in += framed_bytes(message.len(), true);
        if let Err(fault) = self.room.handle_message(at, peer, message) {
            self.close(peer, fault);
        }
    }

    /// Encodes for some to whom something is due, then writes it to their sockets, if these have taken what came before; then the next.
    fn flush(&mut self) {
        let mut ended = std::mem::take(&mut self.ended);
        let mut from = Bound::Unbounded;
        while let Some(last) = self.encode((from, Bound::Unbounded), &mut ended) {
            self.write((from, Bound::Included(last)), &mut ended);
            from = Bound::Excluded(last);
        }
        for (peer, ending) in ended.drain(..) {
            self.meters.faults += u64::from(matches!(ending, Ending::Closed(_)));
            self.room.disconnect(self.clock.now(), peer);
            self.end(peer, ending);
        }
        self.ended = ended;
    }

    /// Encodes for the first of these seats, as much as goes out at once; for whom last, if for anybody.
    fn encode(&mut self, seats: Seats, ended: &mut Vec<(PeerId, Ending)>) -> Option<PeerId> {
        let Self { room, framed, meters, write_timeout, clock, .. } = self;
        framed.clear();
        let mut last = None;
        for (&peer, seat) in self.seats.range_mut(seats) {
            let with = Transmission { room, framed, meters, write_timeout: *write_timeout };
            if let Err(ending) = seat.encode(clock.now(), peer, with) {
                ended.push((peer, ending));
            }
            last = Some(peer);
            if framed.len() >= FRAMED_BYTES {
                break;
            }
        }
        last
    }

    /// Writes to all of these seats what was encoded for them.
    fn write(&mut self, seats: Seats, ended: &mut Vec<(PeerId, Ending)>) {
        let Self { room, framed, meters, write_timeout, clock, .. } = self;
        for (&peer, seat) in self.seats.range_mut(seats) {
            let with = Transmission { room, framed, meters, write_timeout: *write_timeout };
            if let Err(ending) = seat.write(clock.now(), peer, with) {
                ended.push((peer, ending));
            }
        }
    }

    /// The room has let a peer go.
    fn close(&mut self, peer: PeerId, fault: PeerFault) {
        self.meters.faults += 1;
        tracing::debug!(room = %self.room.identity().name, %peer, %fault, "peer dropped");
        self.end(peer, fault.into());
    }

    fn end(&mut self, peer: PeerId, ending: Ending) {
        if let Some(seat) = self.seats.remove(&peer) {
            seat.end(ending);
        }
    }

    /// Gives everybody their writers back, who is in the room or on the way to it.
    fn dismiss(&mut self, closing: &Closing) {
        self.inlets.refuse(closing);
        let first = self.first.take().map(|joining| joining.seat);
        let seats = std::mem::take(&mut self.seats).into_values().chain(first);
        seats.for_each(|seat| seat.end(Ending::Closed(closing.clone())));
    }

    /// Records the room from its next step on. It runs on if that fails.
    pub(super) fn start_recording(&mut self, record: &RecordConfig) {
        let path = record.path_of(self.room.identity().id);
        match self.room.start_recording(record.hz) {
            Ok(()) => {
                tracing::info!(room = %self.room.identity().name, path = %path.display(), "recording");
                self.recording = Some(RecordingFile::create(&path));
            }
            Err(error) => self.tell_recording_ended(&error),
        }
    }

    /// Hands what was recorded to the disk, which is not waited for.
    fn record(&mut self) {
        let Some(file) = &mut self.recording else { return };
        let recorded = self.room.take_recorded(file.spare());
        if let Err(error) = recorded.and_then(|bytes| bytes.map_or(Ok(()), |bytes| file.write(bytes))) {
            self.recording = None;
            self.room.stop_recording();
            self.tell_recording_ended(&error);
        }
    }

    /// Ends the recording with its index, and waits until it is on the disk.
    async fn finish_recording(&mut self) {
        let (Some(file), Ok(Some(last))) = (self.recording.take(), self.room.finish_recording()) else {
            return;
        };
        let written = tokio::task::spawn_blocking(move || file.finish(last)).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(error.into())) {
            self.tell_recording_ended(&error);
        }
    }

    fn tell_recording_ended(&self, error: &std::io::Error) {
        tracing::error!(room = %self.room.identity().name, %error, "the recording has ended, the room goes on");
    }

    fn tell_stats(&mut self) {
        while let Some(answer) = self.asked.pop() {
            let _ = answer.send(self.stats());
        }
    }

    fn stats(&self) -> RoomStats {
        RoomStats {
            room: self.room.identity().id,
            name: self.room.identity().name.clone(),
            tick: self.room.tick(),
            players: self.room.player_count(),
            meters: self.meters.clone(),
        }
    }
}

impl Drop for RoomTask {
    /// However the task ends, nobody is left with a socket that nobody writes to.
    fn drop(&mut self) {
        self.dismiss(&Closing::failed());
    }
}

/// Waits until the server ends.
async fn is_over(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|is_over| *is_over).await;
}
