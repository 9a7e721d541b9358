//! How a room runs.

use std::sync::Arc;

use tickwire_protocol::handshake::Extension;
use tickwire_protocol::input::MissingInput;
use tickwire_protocol::limits::{
    DIGEST_INTERVAL_MICROS_MAX, INTERPOLATION_DELAY_MICROS_MAX, MEMBERS_MAX, PING_INTERVAL_MICROS_MIN,
    REWIND_MICROS_MAX, SILENCE_TIMEOUT_MICROS_MAX,
};
use tickwire_protocol::message::{MessageLimits, QueueLimits};
use tickwire_protocol::room::MatchInfo;
use tickwire_protocol::snapshot::{Codec, Coder, Prior};
use tickwire_protocol::{Micros, Schema, Tick, TickRate};

use crate::core::absence::Absence;
use crate::core::interest::Interest;
use crate::core::priority::Priority;

/// The usual budget of a peer, bytes a second: 64 kbit/s. A player in a room of 64 needs about three quarters of it.
pub const BUDGET_BYTES_PER_SECOND: u32 = 8_000;

/// At which rate a peer that joins is usually told of the world, bytes a second: 512 kbit/s. 1,000 rows take about a third of a second.
pub const JOIN_BYTES_PER_SECOND: u32 = 64_000;

/// How a room runs. Every client is told what concerns it in its welcome.
#[derive(Clone, Debug)]
pub struct RoomConfig {
    /// Steps of the simulation.
    pub tick_rate: TickRate,
    /// Snapshots a second to each peer, 1 to the tick rate.
    pub snapshot_hz: u32,
    /// Players that the room takes, at most 16,384; spectators are not counted.
    pub players_max: u32,
    /// Whether rows are sent as differences. Without, every row travels whole in every snapshot: for debugging.
    pub delta: bool,
    /// How rows become bits.
    pub coder: Coder,
    /// What the coder guesses with. Clients that lack it are sent it.
    pub prior: Arc<Prior>,
    /// Which entities each peer is shown.
    pub interest: Interest,
    /// Which of them are told first where not all fit.
    pub priority: Priority,
    /// What each peer is sent of snapshots over any second, bytes: engine frames, and the header of a WebSocket message. A snapshot
    /// takes at most the share of two, or 640 bytes, and that is by how much any one second may exceed it. None: as much as its link
    /// takes. At least [`BUDGET_BYTES_PER_SECOND_MIN`](tickwire_protocol::limits::BUDGET_BYTES_PER_SECOND_MIN).
    pub budget: Option<u32>,
    /// Whether messages go no faster than a link takes them, so that state does not wait behind them. Without, as many are on their way as
    /// a client keeps: where all links are known to be fast.
    pub are_messages_paced: bool,
    /// What a peer is sent instead of its budget until it was told once of all that it saw at first, bytes a second. None: as much as its link
    /// takes.
    pub join_rate: Option<u32>,
    /// What each player may say in all, beside the rates of message types.
    pub message_limits: MessageLimits,
    /// What may wait for each client to be sent, and on its way.
    pub queue: QueueLimits,
    /// Whether fields with a send rate or a threshold are held back. Not in a room that replays: there they were.
    pub hold_back: bool,
    /// What a player is stepped with whose input has not come.
    pub missing_input: MissingInput,
    /// How far back from the step of an input its player's view is rewound at most, up to
    /// [`REWIND_MICROS_MAX`]. Who sees the others later than that has to lead its aim; who is shot at is
    /// hit behind cover for so long.
    pub rewind_max: Micros,
    /// How far behind the newest state clients show others to begin with.
    pub interpolation_delay: Micros,
    /// How often clients ping.
    pub ping_interval: Micros,
    /// How long nothing may be heard of a peer, not even [part of a message](crate::core::Room::handle_part).
    pub silence_timeout: Micros,
    /// How long a player's client may give the same input over and over, or none, and send no message, though it answers: nobody is there. Activity
    /// is an input that differs from the one before, a message, a request, a transfer, a change of the profile, a pause or its end. Who only watches, and who is
    /// [paused](tickwire_protocol::pause), may be silent. None: as long as it likes.
    pub idle_timeout: Option<Micros>,
    /// How long a session waits for its client after a connection was lost; 0 to give it up at once. It [gives way](crate::core::Room::give_way) before if somebody
    /// finds no place, and it was away for more than twice as long as it had been there, and [`place_kept`](Self::place_kept).
    pub session_window: Micros,
    /// How long a session that waits keeps its place at least where somebody else needs one. As long as the window: all of it, whoever has to
    /// stay outside.
    pub place_kept: Micros,
    /// What a player does in the world while its session waits, or is paused.
    pub absence: Absence,
    /// How long a peer on an ordered stream may ack nothing of what it was sent, before it is let go. Behind messages it has longer: as long as
    /// a link of 16 kbit/s takes for them, up to 30 seconds.
    pub stall_timeout: Micros,
    /// How far apart the digests of a peer's state are; 0 for none.
    pub digest_interval: Micros,
    /// The number of the first step.
    pub first_tick: Tick,
    /// How its [match](crate::core::Room::match_state) stands before the first step: what the room was opened for. What breaks a bound is left out whole.
    pub match_info: MatchInfo,
    /// What the game tells every client in its welcome, as the level that it plays on; ids from 32,768 on, ascending.
    pub extensions: Vec<Extension>,
    /// The numbers of sessions begin behind this. A server draws it anew when it starts: then whoever comes back to a room of the same
    /// number is not taken for somebody of now, and is told that its session is not known.
    pub first_session: u32,
}

impl RoomConfig {
    /// The defaults at these rates: two snapshots and a half of interpolation delay, a ping and a digest a second,
    /// a peer gone after five seconds of silence or ten without an ack, a player's after five minutes of the same input.
    pub fn new(tick_rate: TickRate, snapshot_hz: u32) -> Self {
        let snapshot_hz = snapshot_hz.clamp(1, tick_rate.hz());
        Self {
            tick_rate,
            snapshot_hz,
            players_max: 64,
            delta: true,
            coder: Coder::default(),
            prior: Prior::default_prior(),
            interest: Interest::everything(),
            priority: Priority::default(),
            budget: Some(BUDGET_BYTES_PER_SECOND),
            are_messages_paced: true,
            join_rate: Some(JOIN_BYTES_PER_SECOND),
            message_limits: MessageLimits::default(),
            queue: QueueLimits::default(),
            hold_back: true,
            missing_input: MissingInput::Hold,
            rewind_max: Micros::from_millis(250),
            interpolation_delay: Micros(2_500_000 / u64::from(snapshot_hz)),
            ping_interval: Micros::from_secs(1),
            silence_timeout: Micros::from_secs(5),
            idle_timeout: Some(Micros::from_secs(300)),
            session_window: Micros::from_secs(120),
            place_kept: Micros::from_secs(5),
            absence: Absence::Stand,
            stall_timeout: Micros::from_secs(10),
            digest_interval: Micros::from_secs(1),
            first_tick: Tick(1),
            match_info: MatchInfo::default(),
            extensions: Vec::new(),
            first_session: 0,
        }
        .within_limits()
    }

    /// How rooms that run so write and read snapshots of a schema.
    pub fn codec(&self, schema: Arc<Schema>) -> Codec {
        Codec::with(schema, self.tick_rate, self.coder, self.prior.clone())
    }

    /// What every client will take.
    pub(super) fn within_limits(mut self) -> Self {
        let longest = Micros(SILENCE_TIMEOUT_MICROS_MAX);
        self.players_max = self.players_max.min(MEMBERS_MAX as u32);
        self.snapshot_hz = self.snapshot_hz.clamp(1, self.tick_rate.hz());
        self.rewind_max = self.rewind_max.min(Micros(REWIND_MICROS_MAX));
        self.interpolation_delay = self.interpolation_delay.min(Micros(INTERPOLATION_DELAY_MICROS_MAX));
        self.ping_interval = self.ping_interval.clamp(Micros(PING_INTERVAL_MICROS_MIN), longest);
        self.silence_timeout = self.silence_timeout.clamp(self.ping_interval, longest);
        self.digest_interval = self.digest_interval.min(Micros(DIGEST_INTERVAL_MICROS_MAX));
        self.message_limits = self.message_limits.within_limits();
        self
    }
}
