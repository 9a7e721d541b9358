//! Every bound of the wire and of what a peer can make us do, with its unit and its reason.
//!
//! Nothing read from the wire indexes, allocates or loops without a bound from here.

/// Largest frame payload, bytes: a welcome that brings schema and prior. A keyframe of 1000 entities is a sixth.
pub const FRAME_BYTES_MAX: usize = 128 * 1024;

/// Largest transport message, bytes: one largest frame with its header and the small frames that ride along.
pub const MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX + 4 * 1024;

/// Largest message that a client may send, bytes. Inputs are tens of bytes; this leaves room for a long batch.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// Most frames in one message: bounds the work that one message can ask for.
pub const FRAMES_PER_MESSAGE_MAX: usize = 64;

/// Largest datagram, bytes: below the smallest usual path MTU (1,200 of QUIC) with its headers.
pub const DATAGRAM_BYTES_MAX: usize = 1_150;

/// Where a snapshot on an ordered stream is cut, bytes of body before compression. What does not fit is not sent
/// now and comes with the next snapshots, so a join into a huge world takes several snapshots instead of one stall.
pub const BODY_BYTES_MAX: usize = 48 * 1024;

/// Own rows in a snapshot on an ordered stream, bytes: hundreds of rows. What does not fit comes with the next ones.
pub const OWN_BYTES_MAX: usize = 16 * 1024;

/// Bodies smaller than this are never compressed, bytes: LZ4 needs repetition, bit-packed rows have little.
pub const LZ4_BYTES_MIN: usize = 512;

/// Steps a second, at most: reference distances and cue ages are 7 bits of ticks.
pub const TICK_HZ_MAX: u32 = 240;

/// How many ticks of published state a room keeps, and how far back a row may name a reference.
pub const HISTORY_TICKS: u32 = 128;

/// States that one row may name: a baseline and two older ones (law 6).
pub const REFERENCES_PER_ROW_MAX: usize = 3;

/// Ticks that an entity slot rests before it is given out again: longer than any state in the ring can be named.
pub const SLOT_REST_TICKS: u32 = 2 * HISTORY_TICKS;

/// Entities alive in a room, at most. Ids have 16 bits of slot; the rest is for slots at rest.
pub const ENTITIES_MAX: usize = 32 * 1024;

/// Entities, those that have left included, of which a client keeps states to draw: all that can be alive, and as many
/// that a view in the past still shows. Rows of any more are not shown.
pub const VIEW_ENTITIES_MAX: usize = 2 * ENTITIES_MAX;

/// What one kept state counts beside its columns, in 32-bit words: its tick, and what was told with it.
pub const VIEW_ENTRY_WORDS: usize = 10;

/// All that a client keeps to draw a view from, in 32-bit words: 32 MiB. 5,000 entities of 15 columns with 40 states each
/// take 5 million. Above it the oldest states are forgotten, and motion gets coarse.
pub const VIEW_WORDS_MAX: usize = 8 * 1024 * 1024;

/// Rows that a snapshot may carry: the work of decoding it is bounded by this and by its bytes.
pub const ROWS_PER_SNAPSHOT_MAX: usize = 16 * 1024;

/// Opaque bytes that an entity may carry in its enter.
pub const SPAWN_PAYLOAD_BYTES_MAX: usize = 256;

/// Cues in one body.
pub const CUES_PER_SNAPSHOT_MAX: usize = 256;

/// Cues that one step may emit; one byte numbers them.
pub const CUES_PER_TICK_MAX: usize = 256;

/// Kinds, cue kinds: one byte numbers them with room to spare in a body's header.
pub const KINDS_MAX: usize = 64;

/// Fields of one kind.
pub const FIELDS_PER_KIND_MAX: usize = 64;

/// Columns of one kind: masks of columns are one 64-bit word.
pub const COLUMNS_PER_KIND_MAX: usize = 64;

/// Columns of one cue: cues are small facts, kept by value in rings.
pub const COLUMNS_PER_CUE_MAX: usize = 12;

/// An encoded schema, bytes.
pub const SCHEMA_BYTES_MAX: usize = 32 * 1024;

/// A prior, bytes: weights and tables of a game with some dozens of columns; it is sent to clients that lack it.
pub const PRIOR_BYTES_MAX: usize = 64 * 1024;

/// Priors that a client can say it has: its own default, and those of some games.
pub const PRIORS_PER_HELLO_MAX: usize = 8;

/// A name in a schema (of a schema, kind, field or cue), bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Inputs in one input frame: half a second at 60 Hz, and what a tick of stall can pile up.
pub const INPUTS_PER_FRAME_MAX: usize = 32;

/// How far ahead of the room's tick an input may be, ticks. Further is time travel, and refused.
pub const INPUT_AHEAD_TICKS_MAX: u32 = 64;

/// Frames that one peer may send between two ticks before it is a flood. An honest client sends one or two; a
/// stall of its link lets a second's worth arrive at once.
pub const FRAMES_PER_TICK_MAX: u32 = 480;

/// Inputs that one peer may send between two ticks, redundant ones counted each time: a second's worth of frames that
/// each repeat half a second.
pub const INPUTS_PER_TICK_MAX: u32 = 2_048;

/// Snapshot frames in flight to a datagram peer that the server remembers, to know what an ack means.
pub const DATAGRAMS_IN_FLIGHT_MAX: usize = 1024;

/// 32-bit words of the bitmap in an ack: 256 frames, over four seconds of datagrams at 60 a second, so that an ack
/// survives a long burst of lost ones.
pub const ACK_WORDS_MAX: usize = 8;

/// Acks of a peer that are looked at between two steps. Each costs a search per frame that it tells of; half a second of inputs
/// that were held up and come at once brings as many.
pub const ACKS_PER_TICK_MAX: u32 = 32;

/// A cue is resent at most this long, seconds (law: half a second).
pub const CUE_SECONDS_MAX: f32 = 0.5;

/// How often a paused client pings, microseconds.
pub const PAUSED_PING_INTERVAL_MICROS: u64 = 20_000_000;

/// How long nothing may be heard of either side while the client is paused, microseconds: three pings.
pub const PAUSED_SILENCE_TIMEOUT_MICROS: u64 = 60_000_000;

/// The least that a client can ask to be sent of snapshots, bytes a second: 8 kbit/s keep its own row alive.
pub const BUDGET_BYTES_PER_SECOND_MIN: u32 = 1_000;

/// Text in a hello (game build, platform, room name), bytes.
pub const HELLO_TEXT_BYTES_MAX: usize = 64;

/// A hello, bytes: it comes from someone unknown, and must fit one client message with its frame header.
pub const HELLO_BYTES_MAX: usize = CLIENT_MESSAGE_BYTES_MAX - 4;

/// Typed extensions in a hello or welcome.
pub const EXTENSIONS_MAX: usize = 16;

/// One extension's value, bytes: a member's profile and name, with room for what else it says.
pub const EXTENSION_BYTES_MAX: usize = 1536;

/// A token that proves who a client is, bytes: it shares a client's message with an input frame and acks. A JWT with a dozen claims and an
/// RSA signature has some 800.
pub const TOKEN_BYTES_MAX: usize = CLIENT_MESSAGE_BYTES_MAX - 1024;

/// The name of an account, bytes: a UUID, an address, what other systems call their users.
pub const ACCOUNT_BYTES_MAX: usize = 64;

/// Permissions that a client is told of: with their account they fit one extension.
pub const PERMISSIONS_MAX: usize = 12;

/// What a game's own server code is told of an account beside its name, bytes: kept for every session.
pub const CLAIMS_BYTES_MAX: usize = 4 * 1024;

/// A reason in words, in a reject or a close, bytes. RFC 6455 gives a close 123.
pub const REASON_BYTES_MAX: usize = 123;

/// The name of a room's member, bytes.
pub const MEMBER_NAME_BYTES_MAX: usize = 64;

/// What a game adds to the name of a member, bytes.
pub const PROFILE_BYTES_MAX: usize = 1024;

/// Members of a room, those included whose connection is lost: what a client keeps a table of.
pub const MEMBERS_MAX: usize = 16 * 1024;

/// Members that have gone, and that readers hear of who were told of the table before. Who has missed more is told it anew.
pub const MEMBERS_GONE_MAX: usize = 1024;

/// Groups that a player is in at a time.
pub const GROUPS_PER_PLAYER_MAX: usize = 64;

/// Players in a group: whenever one comes or goes, each of them is told them all.
pub const GROUP_MEMBERS_MAX: usize = 256;

/// Groups that a player was in, and that its client hears of; as [`MEMBERS_GONE_MAX`].
pub const GROUPS_GONE_MAX: usize = 64;

/// What is played in a match, bytes of its name.
pub const MATCH_MODE_BYTES_MAX: usize = 64;

/// What a game has to say of a match beside it, bytes.
pub const MATCH_SETTINGS_BYTES_MAX: usize = 1024;

/// What a game adds to a player's points, bytes: a thousand of them are to be told to a thousand.
pub const SCORE_BYTES_MAX: usize = 64;

/// Scores that were taken away, and that readers hear of; as [`MEMBERS_GONE_MAX`].
pub const MATCH_SCORES_GONE_MAX: usize = 1024;

/// What lets a client into a private room, bytes.
pub const ROOM_SECRET_BYTES_MAX: usize = 64;

/// Rooms in one answer: a page of a list, some kilobytes.
pub const ROOMS_PER_PAGE_MAX: usize = 50;

/// Questions for rooms that one connection may ask before its hello: a few pages, or a list that is looked at anew. Each costs a look at
/// every room.
pub const LISTS_PER_CONNECTION_MAX: u32 = 16;

/// Message types of a schema: a game has dozens.
pub const MESSAGE_TYPES_MAX: usize = 1024;

/// The body of a message to a client, bytes. What is larger would hold up the state behind it.
pub const MESSAGE_BODY_BYTES_MAX: usize = 48 * 1024;

/// The body of a message to the server, bytes: it shares a client's message with an input frame and acks.
pub const CLIENT_MESSAGE_BODY_BYTES_MAX: usize = CLIENT_MESSAGE_BYTES_MAX - 1024;

/// Reliable messages of one direction of a session whose fate is not known yet: what a game may say while the other side is away.
pub const MESSAGES_QUEUED_MAX: usize = 1000;

/// Bytes of their bodies; as many for the newest of keys, and for bulk.
pub const MESSAGE_BYTES_QUEUED_MAX: usize = 256 * 1024;

/// Events, requests and what the engine says, each: few, as they are of now.
pub const SHORT_LANE_QUEUED_MAX: usize = 256;

/// Bytes of their bodies.
pub const SHORT_LANE_BYTES_QUEUED_MAX: usize = 64 * 1024;

/// Those of them that were written and not taken on the other side.
pub const SHORT_LANE_IN_FLIGHT_MAX: usize = 128;

/// Requests of one direction of a session that have no answer: with their answers and what is taken back they fit their lane twice.
pub const REQUESTS_OPEN_MAX: usize = 64;

/// Reliable messages of one direction that were written and not polled on the other side: what a receiver keeps for a game
/// that does not poll.
pub const MESSAGES_IN_FLIGHT_MAX: usize = 256;

/// Bytes of what was written and not polled in one lane; a single one may be larger.
pub const MESSAGE_BYTES_IN_FLIGHT_MAX: usize = 64 * 1024;

/// Messages that are written into one transport message: half of its frames, so that there is room for others.
pub const MESSAGES_PER_TRANSMIT_MAX: usize = FRAMES_PER_MESSAGE_MAX / 2;

/// Bytes of messages in one transport message: the largest, and its frame.
pub const MESSAGE_BYTES_PER_TRANSMIT_MAX: usize = MESSAGE_BODY_BYTES_MAX + 1024;

/// MESSAGE and MESSAGE_ACK frames that one peer may send between two ticks: all that may be in flight and every key anew, as after a
/// connection was lost, twice.
pub const MESSAGES_PER_TICK_MAX: u32 = 2_048;

/// Keys of which the newest message counts, in one direction.
pub const LATEST_KEYS_MAX: usize = 256;

/// Latest messages that may be written without an ack: their numbers are 16 bits, half of which is the past.
pub const LATEST_UNACKED_MAX: u64 = 16 * 1024;

/// Outcomes of messages that wait for a game to poll them: more than all lanes hold. Who polls none is told so before it sends more.
pub const OUTCOMES_WAITING_MAX: usize = 4_096;

/// Unreliable messages that wait for a game to poll them: what is older than these is not worth hearing.
pub const UNRELIABLE_MESSAGES_WAITING_MAX: usize = 64;

/// The content of one bulk transfer, bytes; and all that one side of a session holds at once of what it has accepted, or of what it has
/// offered.
pub const BULK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bulk transfers of one direction of a session at a time: a game that wants more has them wait.
pub const BULK_TRANSFERS_MAX: usize = 4;

/// Content in one frame, bytes. Over slow links it is less: what is on the way takes a twentieth of a second.
pub const BULK_CHUNK_BYTES_MAX: usize = 16 * 1024;

/// What a game says of a transfer in its offer, bytes: an offer has no flow control and must be short on any link.
pub const BULK_METADATA_BYTES_MAX: usize = 256;

/// Bytes of a transfer that may be on the way or wait for the receiver's game to poll: a quarter of a second at a megabyte a second.
pub const BULK_WINDOW_BYTES: usize = 256 * 1024;

/// How long an offer waits for its answer, microseconds: a person is asked.
pub const BULK_OFFER_MICROS_MAX: u64 = 60_000_000;

/// How far behind the newest state a server may ask a client to show the others, microseconds. Two seconds of ticks
/// at 60 Hz are about what the ring holds.
pub const INTERPOLATION_DELAY_MICROS_MAX: u64 = 2_000_000;

/// How far back a room may judge shots, microseconds: what its history holds at the highest tick rate.
pub const REWIND_MICROS_MAX: u64 = 400_000;

/// How often a server may ask a client to ping, at most, microseconds: 20 a second measure any link.
pub const PING_INTERVAL_MICROS_MIN: u64 = 50_000;

/// How long a silent connection may be kept, microseconds: five minutes. Longer, and its resources are a leak.
pub const SILENCE_TIMEOUT_MICROS_MAX: u64 = 300_000_000;

/// Digests may be this far apart, microseconds; further apart they find nothing in time.
pub const DIGEST_INTERVAL_MICROS_MAX: u64 = 60_000_000;

/// One record of a recording, bytes: every row of a full world, whole, and room to spare.
pub const RECORDING_RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// SNAPSHOT frames that tell one recorded tick: a full world of the widest rows needs a few hundred.
pub const RECORDING_FRAMES_PER_TICK_MAX: usize = 1024;

/// Events in one record of a recording; what is more goes into the next record.
pub const RECORDING_EVENTS_PER_RECORD_MAX: usize = 4 * 1024;

/// Events between two recorded ticks that a reader keeps: two seconds of inputs of a thousand players at 60 Hz.
pub const RECORDING_EVENTS_PER_TICK_MAX: usize = 128 * 1024;

/// Players whose last input the writer and the reader of a recording remember.
pub const RECORDING_PLAYERS_MAX: usize = 64 * 1024;

/// Cues that wait for the next recorded tick: what is more is lost to the recording, as cues of a step are that are too
/// many.
pub const RECORDING_CUES_WAITING_MAX: usize = 16 * CUES_PER_TICK_MAX;

/// Keyframes in the index of a recording. Beyond it every other one is left out.
pub const RECORDING_INDEX_ENTRIES_MAX: usize = 512 * 1024;

const _: () = assert!(HISTORY_TICKS.is_power_of_two());
// One state of each fits, with room for the next to be added one by one.
const _: () =
    assert!(VIEW_ENTITIES_MAX * (COLUMNS_PER_KIND_MAX + VIEW_ENTRY_WORDS) <= VIEW_WORDS_MAX / 4 * 3);
const _: () = assert!(SLOT_REST_TICKS > HISTORY_TICKS);
const _: () = assert!((TICK_HZ_MAX as f32 * CUE_SECONDS_MAX) < HISTORY_TICKS as f32);
const _: () = assert!(BODY_BYTES_MAX + OWN_BYTES_MAX + 64 < FRAME_BYTES_MAX);
const _: () = assert!(DATAGRAM_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(CUES_PER_TICK_MAX <= 256);
const _: () = assert!(ACK_WORDS_MAX as u32 * 32 >= HISTORY_TICKS);
const _: () = assert!(
    EXTENSIONS_MAX * (EXTENSION_BYTES_MAX + 8) + SCHEMA_BYTES_MAX + PRIOR_BYTES_MAX + 1024 < FRAME_BYTES_MAX
);
const _: () =
    assert!(BODY_BYTES_MAX + OWN_BYTES_MAX + MESSAGE_BYTES_PER_TRANSMIT_MAX + 1024 < MESSAGE_BYTES_MAX);
const _: () =
    assert!(BULK_CHUNK_BYTES_MAX + 64 < FRAME_BYTES_MAX && BULK_CHUNK_BYTES_MAX < BULK_WINDOW_BYTES);
const _: () = assert!(BULK_METADATA_BYTES_MAX + 64 < CLIENT_MESSAGE_BYTES_MAX);
const _: () = assert!(MESSAGES_IN_FLIGHT_MAX < 1 << 15 && LATEST_UNACKED_MAX < 1 << 15);
const _: () =
    assert!(ACCOUNT_BYTES_MAX + 16 + PERMISSIONS_MAX * (HELLO_TEXT_BYTES_MAX + 1) <= EXTENSION_BYTES_MAX);
const _: () = assert!(
    2 * (3 * SHORT_LANE_IN_FLIGHT_MAX + MESSAGES_IN_FLIGHT_MAX + LATEST_KEYS_MAX)
        <= MESSAGES_PER_TICK_MAX as usize
);
const _: () = assert!(INPUTS_PER_FRAME_MAX as u32 <= INPUT_AHEAD_TICKS_MAX);
// The index of a recording is one record, 12 bytes a keyframe.
const _: () = assert!(RECORDING_INDEX_ENTRIES_MAX * 12 <= RECORDING_RECORD_BYTES_MAX);
const _: () =
    assert!(RECORDING_FRAMES_PER_TICK_MAX * BODY_BYTES_MAX > ENTITIES_MAX * COLUMNS_PER_KIND_MAX * 5);
