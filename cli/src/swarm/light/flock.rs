//! A thread that drives many light bots from one table.
//!
//! ```text
//!  a thousand times a second:   what has come to any socket is read        epoll, edge-triggered, without waiting
//!                               who sits in the wheel's slot sends         one write a bot
//! ```
//!
//! Nothing wakes the thread for a single message: woken for each, it would spend more on waking than on reading, and so would
//! the server that sends them. The price is that arrivals are seen up to a millisecond late.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use mio::{Events, Interest, Poll, Token};
use tickwire_client::{ClientFault, DisconnectReason};
use tickwire_protocol::{DecodeError, Micros};
use tokio::sync::oneshot;

use super::bot::{Closed, LightBot, Scratch};
use super::stream::Stream;
use super::wire::{self, Inlet, Message};
use crate::swarm::cpu;
use crate::swarm::hive::Hive;
use crate::swarm::load::Part;
use crate::swarm::outcome::{Arrivals, BotOutcome, Figures, Phase};
use crate::swarm::schedule::{Turn, Wheel};

/// What is read from a socket at once: some two hundred snapshots.
const READ_BYTES: usize = 64 * 1024;

/// Sockets that one look at epoll tells of.
const EVENTS: usize = 1024;

/// A connection whose upgrade is done, for a flock to take over.
pub(super) struct Recruit {
    pub(super) stream: Stream,
    pub(super) bot: LightBot,
    pub(super) outcome: BotOutcome,
    pub(super) arrivals: Arrivals,
    /// When connecting began, on the swarm's clock.
    pub(super) asked: Micros,
    /// Told once it has state.
    pub(super) joined: oneshot::Sender<()>,
    /// Gets everything back when the connection is over.
    pub(super) ended: oneshot::Sender<(BotOutcome, Arrivals)>,
}

/// What a flock has to tell in the end.
pub(in crate::swarm) struct FlockReport {
    pub(in crate::swarm) figures: Figures,
    /// Of its thread, within the measured time, seconds.
    pub(in crate::swarm) cpu_s: f64,
}

/// A bot at its place in the table.
struct Seat {
    stream: Stream,
    inlet: Inlet,
    bot: LightBot,
    outcome: BotOutcome,
    arrivals: Arrivals,
    asked: Micros,
    joined: Option<oneshot::Sender<()>>,
    ended: oneshot::Sender<(BotOutcome, Arrivals)>,
    /// What the socket did not take at once; mostly empty.
    unsent: Vec<u8>,
    /// It reads nothing any more.
    is_deaf: bool,
}

/// Why a connection ends.
struct End(Closed);

impl From<DecodeError> for End {
    fn from(error: DecodeError) -> Self {
        ClientFault::Malformed(error).into()
    }
}

impl From<ClientFault> for End {
    fn from(fault: ClientFault) -> Self {
        Self(Closed::Ended(DisconnectReason::Fault(fault)))
    }
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self(Closed::Ended(DisconnectReason::Lost))
    }
}

/// The table, and what its bots share.
pub(super) struct Flock {
    hive: Arc<Hive>,
    recruits: std::sync::mpsc::Receiver<Recruit>,
    poll: Poll,
    wheel: Wheel,
    seats: Vec<Option<Seat>>,
    shared: Shared,
    /// The thread's CPU time when measuring began.
    cpu_before: f64,
}

/// What a bot's turn needs beside its seat.
struct Shared {
    phase: Phase,
    figures: Figures,
    scratch: Scratch,
    /// The message that is being made, and its frame.
    message: Vec<u8>,
    framed: Vec<u8>,
    /// The mask of the next frame. Masks protect proxies from what a web page makes a browser send; that does not concern a bot, so
    /// any that changes will do.
    mask: u32,
    /// Not yet added to the gauges: snapshots, bytes down, bytes up.
    told: [u64; 3],
}

impl Flock {
    pub(super) fn new(
        hive: Arc<Hive>,
        recruits: std::sync::mpsc::Receiver<Recruit>,
        number: u32,
    ) -> io::Result<Self> {
        Ok(Self {
            wheel: Wheel::new(hive.config.input_hz, hive.now()),
            hive,
            recruits,
            poll: Poll::new()?,
            seats: Vec::new(),
            shared: Shared {
                phase: Phase::Gathering,
                figures: Figures::new(),
                scratch: Scratch::default(),
                message: Vec::new(),
                framed: Vec::new(),
                mask: 0x9e37_79b9 ^ number,
                told: [0; 3],
            },
            cpu_before: 0.0,
        })
    }

    /// Drives its bots until the swarm is over.
    pub(super) fn run(mut self) -> FlockReport {
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            self.seat_recruits();
            self.follow_phase();
            if self.shared.phase == Phase::Over {
                break;
            }
            self.read_ready(&mut events, &mut buffer);
            while let Some(turn) = self.wheel.turn(self.hive.now()) {
                self.send_slot(turn);
            }
            self.tell_gauges();
            let (now, next) = (self.hive.now(), self.wheel.next_due());
            std::thread::sleep(Duration::from_micros(next.saturating_since(now).0));
        }
        let cpu_s = cpu::thread_seconds() - self.cpu_before;
        for index in 0..self.seats.len() {
            self.end(index, Closed::Ended(DisconnectReason::Left));
        }
        // Who was on the way is sent back by the drop of its channel.
        FlockReport { figures: self.shared.figures, cpu_s }
    }

    /// Looks where the swarm is in its life.
    fn follow_phase(&mut self) {
        let phase = *self.hive.phase.borrow();
        let before = std::mem::replace(&mut self.shared.phase, phase);
        if before == Phase::Gathering && phase != Phase::Gathering {
            self.cpu_before = cpu::thread_seconds();
        }
        if phase == Phase::Over {
            // What was measured ends here, before the goodbyes.
            let now = self.hive.now();
            for seat in self.seats.iter_mut().flatten().filter(|seat| seat.outcome.plan.part == Part::Player)
            {
                seat.arrivals.end(now, self.hive.snapshot_interval(), before, &mut self.shared.figures);
            }
        }
    }

    fn seat_recruits(&mut self) {
        while let Ok(recruit) = self.recruits.try_recv() {
            let index = self.seats.iter().position(Option::is_none).unwrap_or(self.seats.len());
            let Recruit { mut stream, bot, outcome, arrivals, asked, joined, ended } = recruit;
            let registered = self.poll.registry().register(stream.socket(), Token(index), Interest::READABLE);
            let seat = Seat {
                stream,
                inlet: Inlet::default(),
                bot,
                outcome,
                arrivals,
                asked,
                joined: Some(joined),
                ended,
                unsent: Vec::new(),
                is_deaf: false,
            };
            if index == self.seats.len() {
                self.seats.push(None);
            }
            self.seats[index] = Some(seat);
            if registered.is_err() {
                self.end(index, Closed::Ended(DisconnectReason::Lost));
            } else {
                self.with_seat(index, Seat::send);
            }
        }
    }

    fn read_ready(&mut self, events: &mut Events, buffer: &mut [u8]) {
        loop {
            // A look that was interrupted, or failed, is followed by the next.
            if self.poll.poll(events, Some(Duration::ZERO)).is_err() {
                return;
            }
            for event in &*events {
                self.with_seat(event.token().0, |seat, shared, now| seat.read(buffer, shared, now));
            }
            self.settle_joins(events);
            if events.iter().count() < EVENTS {
                return;
            }
        }
    }

    /// Those of the events' bots that are in now: they are told, and the deaf close their ears.
    fn settle_joins(&mut self, events: &Events) {
        for event in events {
            let Some(Some(seat)) = self.seats.get_mut(event.token().0) else { continue };
            if seat.joined.is_none() || !seat.bot.is_playing() {
                continue;
            }
            let first = seat.outcome.join_micros.is_none();
            seat.outcome.join_micros.get_or_insert(self.hive.now().saturating_since(seat.asked).0);
            self.hive.note_joined(seat.bot.welcome(), first && seat.outcome.plan.part.is_first());
            if let Some(joined) = seat.joined.take() {
                let _ = joined.send(());
            }
            if seat.outcome.plan.part == Part::Deaf {
                seat.is_deaf = true;
                let _ = self.poll.registry().deregister(seat.stream.socket());
            }
        }
    }

    /// Everybody in the slot sends.
    fn send_slot(&mut self, turn: Turn) {
        for index in (turn.slot..self.seats.len()).step_by(self.wheel.slots()) {
            let late = self.hive.now().saturating_since(turn.due);
            self.with_seat(index, |seat, shared, now| {
                if shared.phase.stage().is_some() && seat.outcome.plan.part == Part::Player {
                    shared.figures.late_micros.saturating_record(late.0.max(1));
                }
                seat.send(shared, now)
            });
        }
    }

    /// Does something with a seat that may end its connection.
    fn with_seat(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut Seat, &mut Shared, Micros) -> Result<(), End>,
    ) {
        let now = self.hive.now();
        let Some(Some(seat)) = self.seats.get_mut(index) else { return };
        if let Err(End(reason)) = act(seat, &mut self.shared, now) {
            self.end(index, reason);
        }
    }

    /// Frees a seat and sends what it knows back.
    fn end(&mut self, index: usize, closed: Closed) {
        let Some(mut seat) = self.seats.get_mut(index).and_then(Option::take) else { return };
        match closed {
            Closed::Rejected(reason) => seat.outcome.note_error(self.hive.words_of(&reason)),
            Closed::Ended(reason) => {
                if reason != DisconnectReason::Left {
                    seat.outcome.note_error(reason.to_string());
                }
                let is_malformed = matches!(reason, DisconnectReason::Fault(ClientFault::Malformed(_)));
                seat.outcome.decode_errors += u64::from(is_malformed);
                if let Some(code) = reason.close_code() {
                    self.shared.message.clear();
                    self.shared.message.extend_from_slice(&code.0.to_be_bytes());
                    self.shared.frame_message(wire::CLOSE);
                    // Said if the socket takes it; nobody waits for the answer.
                    let _ = seat.stream.write(&self.shared.framed);
                }
            }
        }
        let _ = seat.ended.send((seat.outcome, seat.arrivals));
    }

    fn tell_gauges(&mut self) {
        let [snapshots, down, up] = std::mem::take(&mut self.shared.told);
        let gauges = &self.hive.gauges;
        gauges.snapshots.fetch_add(snapshots, Ordering::Relaxed);
        gauges.down_bytes.fetch_add(down, Ordering::Relaxed);
        gauges.up_bytes.fetch_add(up, Ordering::Relaxed);
    }
}

impl Shared {
    /// Frames the message that was made.
    fn frame_message(&mut self, opcode: u8) {
        // Marsaglia's xorshift.
        self.mask ^= self.mask << 13;
        self.mask ^= self.mask >> 17;
        self.mask ^= self.mask << 5;
        self.framed.clear();
        wire::write_masked(&mut self.framed, opcode, self.mask.to_le_bytes(), &self.message);
    }
}

impl Seat {
    /// Reads what has come.
    fn read(&mut self, buffer: &mut [u8], shared: &mut Shared, now: Micros) -> Result<(), End> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(End(Closed::Ended(DisconnectReason::Lost))),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let mut inlet = std::mem::take(&mut self.inlet);
            let result =
                inlet.read(&buffer[..count], |message, bytes| self.take(message, bytes, shared, now));
            self.inlet = inlet;
            result?;
            if !self.bot.is_playing() {
                self.send(shared, now)?;
            }
            if self.stream.is_drained(count, buffer.len()) {
                return Ok(());
            }
        }
    }

    fn take(
        &mut self,
        message: Message<'_>,
        wire_bytes: usize,
        shared: &mut Shared,
        now: Micros,
    ) -> Result<(), End> {
        let stage = shared.phase.stage();
        shared.told[1] += wire_bytes as u64;
        if stage.is_some() {
            self.outcome.measured.down_bytes += wire_bytes as u64;
        }
        let payload = match message {
            Message::Binary(payload) => payload,
            Message::Control => return Ok(()),
            Message::Close { code, reason } => {
                let reason = String::from_utf8_lossy(reason).into_owned();
                return Err(End(Closed::Ended(DisconnectReason::Closed { code, reason })));
            }
        };
        let heard = self.bot.handle_message(now, Bytes::copy_from_slice(payload))?;
        if let Some(closed) = self.bot.poll_closed(now) {
            return Err(End(closed));
        }
        if self.bot.welcome().is_some() {
            self.outcome.connect_micros.get_or_insert(now.saturating_since(self.asked).0);
        }
        shared.told[0] += u64::from(heard.snapshots);
        if self.outcome.plan.part == Part::Player {
            if heard.snapshots > 0 {
                self.arrivals.arrive(now, shared.phase, &mut shared.figures);
                if let (Some(age), Some(_)) = (self.bot.snapshot_age(now), stage) {
                    shared.figures.age_micros.saturating_record(age.0.max(1));
                }
            }
            if let (true, Some(rtt)) = (heard.pongs > 0 && stage.is_some(), self.bot.rtt()) {
                shared.figures.rtt_micros.saturating_record(rtt.0.max(1));
            }
        }
        if let Some(stage) = stage {
            self.outcome.snapshots[stage] += u64::from(heard.snapshots);
            self.outcome.measured.steps += u64::from(heard.steps);
            self.outcome.measured.steps_without_input += u64::from(heard.steps_without_input);
        }
        Ok(())
    }

    /// Sends what is due.
    fn send(&mut self, shared: &mut Shared, now: Micros) -> Result<(), End> {
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.write(&unsent)?;
            // The inputs of this turn go with those of the next.
            if !self.unsent.is_empty() {
                return Ok(());
            }
        }
        if self.is_deaf {
            self.bot.assume_room_goes_on(now);
        }
        shared.message.clear();
        let has_input = self.bot.poll_transmit(now, &mut shared.scratch, &mut shared.message);
        if let Some(closed) = self.bot.poll_closed(now) {
            return Err(End(closed));
        }
        if shared.message.is_empty() {
            return Ok(());
        }
        shared.frame_message(wire::BINARY);
        shared.told[2] += shared.framed.len() as u64;
        if shared.phase.stage().is_some() {
            self.outcome.measured.up_bytes += shared.framed.len() as u64;
            self.outcome.measured.input_frames += u64::from(has_input);
        }
        self.write(&shared.framed)
    }

    /// Writes what the socket takes and keeps the rest.
    fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        let written = match self.stream.write(bytes) {
            Ok(written) => written,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
            Err(error) => return Err(error.into()),
        };
        self.unsent.extend_from_slice(&bytes[written..]);
        Ok(())
    }
}
