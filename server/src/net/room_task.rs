//! One task per room: it owns the room, ticks it on time, and moves messages between it and its connections.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use tickwire_protocol::handshake::RejectReason;
use tickwire_protocol::{CloseCode, Micros, PeerFault, PeerId};
use tokio::sync::{mpsc, oneshot, watch};

use super::config::RecordConfig;
use super::mailbox::{Closing, Mailbox};
use super::recording::RecordingFile;
use super::stats::{RoomStats, empty_histogram};
use crate::core::{Directory, Join, Room, RoomEvent};

/// Messages that wait in a room's inbox; connections that would add more wait, and TCP holds their peers back.
pub(super) const INBOX_MESSAGES_MAX: usize = 1024;

/// Messages handled in one go before the clock is looked at again.
const BATCH_MESSAGES_MAX: usize = 256;

/// What reaches a room from outside.
#[derive(Debug)]
pub(super) enum ToRoom {
    /// A connection wants in.
    Join { join: Join, mailbox: Mailbox, answer: oneshot::Sender<Result<PeerId, RejectReason>> },
    /// A transport message of a peer, stamped at the socket.
    Message { peer: PeerId, at: Micros, message: Bytes },
    /// A connection has ended.
    Leave { peer: PeerId },
    /// Someone wants to know.
    Stats(oneshot::Sender<RoomStats>),
}

/// The server's time: microseconds since its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(super) fn now(self) -> Micros {
        Micros(self.start.elapsed().as_micros() as u64)
    }

    fn instant(self, at: Micros) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + Duration::from_micros(at.0))
    }
}

/// A room and what its task keeps around it.
pub(super) struct RoomTask {
    pub(super) room: Room,
    pub(super) clock: Clock,
    pub(super) directory: Arc<Mutex<Directory>>,
    pub(super) lifetime: Duration,
    pub(super) meters: Meters,
    pub(super) mailboxes: BTreeMap<PeerId, Mailbox>,
    /// Reused from tick to tick.
    pub(super) peers: Vec<PeerId>,
    /// Where the room is recorded to, if it is.
    pub(super) recording: Option<RecordingFile>,
}

/// What a room's task counts.
pub(super) struct Meters {
    steps: u64,
    skipped_steps: u64,
    step_micros: Histogram<u64>,
    late_micros: Histogram<u64>,
    flush_micros: Histogram<u64>,
    messages_sent: u64,
    snapshots_skipped: u64,
    faults: u64,
    empty_since: Micros,
}

impl Meters {
    pub(super) fn new(now: Micros) -> Self {
        Self {
            steps: 0,
            skipped_steps: 0,
            step_micros: empty_histogram(),
            late_micros: empty_histogram(),
            flush_micros: empty_histogram(),
            messages_sent: 0,
            snapshots_skipped: 0,
            faults: 0,
            empty_since: now,
        }
    }
}

/// How a room's task ends.
enum End {
    Shutdown,
    Empty,
    Panicked,
}

impl RoomTask {
    /// Runs until the server shuts down, the room has been empty for its lifetime, or the simulation panics.
    pub(super) async fn run(mut self, inbox: mpsc::Receiver<ToRoom>, shutdown: watch::Receiver<bool>) {
        let end = self.serve(inbox, shutdown).await;
        let identity = self.room.identity().clone();
        let closing = match end {
            End::Shutdown => Closing::shutdown(),
            End::Empty => {
                tracing::info!(room = %identity.name, "room closed: nobody is in it");
                return self.finish_recording().await;
            }
            End::Panicked => {
                tracing::error!(room = %identity.name, seed = identity.seed, tick = %self.room.tick(), "room failed");
                // Its bytes can be read without an index; nothing more is asked of what has failed.
                self.room.stop_recording();
                Closing { code: CloseCode::INTERNAL, reason: "the room has failed".to_owned() }
            }
        };
        lock(&self.directory).remove(identity.id);
        for mailbox in self.mailboxes.values_mut() {
            mailbox.close(closing.clone());
        }
        self.finish_recording().await;
    }

    async fn serve(&mut self, mut inbox: mpsc::Receiver<ToRoom>, mut shutdown: watch::Receiver<bool>) -> End {
        let mut batch = Vec::with_capacity(BATCH_MESSAGES_MAX);
        loop {
            let due = self.clock.instant(self.room.poll_timeout());
            // The clock comes first, so that no flood of messages can hold up a tick.
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|is_over| *is_over) => return End::Shutdown,
                () = tokio::time::sleep_until(due) => {
                    if catch_unwind(AssertUnwindSafe(|| self.tick())).is_err() {
                        return End::Panicked;
                    }
                    if self.is_over() {
                        return End::Empty;
                    }
                    // A room that is always late would never get to its inbox: each tick is followed by a batch.
                    while batch.len() < BATCH_MESSAGES_MAX
                        && let Ok(message) = inbox.try_recv()
                    {
                        batch.push(message);
                    }
                }
                _ = inbox.recv_many(&mut batch, BATCH_MESSAGES_MAX) => {}
            }
            for message in batch.drain(..) {
                if catch_unwind(AssertUnwindSafe(|| self.handle(message))).is_err() {
                    return End::Panicked;
                }
            }
            // Neither may it keep the thread to itself.
            tokio::task::yield_now().await;
        }
    }

    fn tick(&mut self) {
        let started = Instant::now();
        let now = self.clock.now();
        let late = now.saturating_since(self.room.poll_timeout());
        let report = self.room.advance(now);
        let stepped = Instant::now();
        self.record();
        while let Some(RoomEvent::PeerDropped { peer, fault }) = self.room.poll_event() {
            self.close(peer, fault);
        }
        if report.due.steps > 0 {
            self.meters.steps += report.due.steps;
            self.meters.skipped_steps += report.due.skipped;
            let micros = (stepped - started).as_micros() as u64 / report.due.steps;
            self.meters.step_micros.saturating_record(micros.max(1));
            self.meters.late_micros.saturating_record(late.0.max(1));
        }
        if report.due.skipped > 0 {
            let (room, skipped) = (&self.room.identity().name, report.due.skipped);
            tracing::warn!(%room, skipped, "the room is too slow for its tick rate: steps were given up");
        }
        let mut peers = std::mem::take(&mut self.peers);
        peers.clear();
        peers.extend(self.mailboxes.keys());
        for &peer in &peers {
            self.transmit(peer, report.snapshot_due);
        }
        self.peers = peers;
        if report.snapshot_due {
            self.meters.flush_micros.saturating_record((stepped.elapsed().as_micros() as u64).max(1));
        }
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

    /// Sends what waits for a peer, if its connection has nothing left to write.
    fn transmit(&mut self, peer: PeerId, snapshot_due: bool) {
        let Some(mailbox) = self.mailboxes.get(&peer) else { return };
        if !self.room.has_transmit(peer) {
            return;
        }
        if !mailbox.is_ready() {
            self.meters.snapshots_skipped += u64::from(snapshot_due);
            return;
        }
        self.room.poll_transmit(self.clock.now(), peer, |message| {
            mailbox.send(Bytes::copy_from_slice(message));
            self.meters.messages_sent += 1;
        });
    }

    fn handle(&mut self, message: ToRoom) {
        match message {
            ToRoom::Join { join, mailbox, answer } => {
                let result = self.room.join(self.clock.now(), join);
                if let Ok(peer) = result {
                    self.mailboxes.insert(peer, mailbox);
                    self.transmit(peer, false);
                }
                if answer.send(result.clone()).is_err()
                    && let Ok(peer) = result
                {
                    self.leave(peer);
                }
            }
            ToRoom::Message { peer, at, message } => match self.room.handle_message(at, peer, message) {
                Ok(()) => self.transmit(peer, false),
                Err(fault) => self.close(peer, fault),
            },
            ToRoom::Leave { peer } => self.leave(peer),
            ToRoom::Stats(answer) => {
                let _ = answer.send(self.stats());
            }
        }
    }

    fn close(&mut self, peer: PeerId, fault: PeerFault) {
        self.meters.faults += 1;
        tracing::debug!(room = %self.room.identity().name, %peer, %fault, "peer dropped");
        if let Some(mut mailbox) = self.mailboxes.remove(&peer) {
            mailbox.close(fault.into());
        }
        self.note_if_empty();
    }

    fn leave(&mut self, peer: PeerId) {
        self.room.leave(peer);
        self.mailboxes.remove(&peer);
        self.note_if_empty();
    }

    fn note_if_empty(&mut self) {
        self.meters.empty_since = self.clock.now();
    }

    /// Whether the room has been empty for its lifetime, and nobody is on the way to it.
    fn is_over(&self) -> bool {
        let empty_for = self.clock.now().saturating_since(self.meters.empty_since);
        self.mailboxes.is_empty()
            && Duration::from_micros(empty_for.0) >= self.lifetime
            && lock(&self.directory).close_if_empty(self.room.identity().id)
    }

    fn stats(&self) -> RoomStats {
        RoomStats {
            room: self.room.identity().id,
            name: self.room.identity().name.clone(),
            tick: self.room.tick(),
            players: self.room.player_count(),
            steps: self.meters.steps,
            skipped_steps: self.meters.skipped_steps,
            step_micros: self.meters.step_micros.clone(),
            late_micros: self.meters.late_micros.clone(),
            flush_micros: self.meters.flush_micros.clone(),
            messages_sent: self.meters.messages_sent,
            snapshots_skipped: self.meters.snapshots_skipped,
            faults: self.meters.faults,
        }
    }
}

/// The directory; it stays whole even if a task panicked while holding it.
pub(super) fn lock(directory: &Mutex<Directory>) -> std::sync::MutexGuard<'_, Directory> {
    directory.lock().unwrap_or_else(PoisonError::into_inner)
}
