//! Vectors: from the fields of a block to a frame, and back.

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::ack::{Ack, AckWindow, Sequence};
use tickwire_protocol::budget::Budget;
use tickwire_protocol::bulk::{BulkEnd, BulkFrame, BulkId, BulkOffer, BulkStop};
use tickwire_protocol::frame::{Frame, FrameType, frames};
use tickwire_protocol::handshake::{
    Auth, AuthRefusal, AuthTerms, ClientLimits, Extension, Features, Hello, PackedSchema, Permission, Reject,
    RejectReason, Role, StreamKind, Timing, Token, Welcome,
};
use tickwire_protocol::input::{InputFrame, MissingInput};
use tickwire_protocol::message::{
    Direction, Lane, MessageAck, MessageClass, MessageFrame, MessageTerms, MessageType, MessageTypeId,
};
use tickwire_protocol::pause::Pause;
use tickwire_protocol::ping::{Ping, Pong};
use tickwire_protocol::room::{GroupsFrame, ListRooms, MatchFrame, MembersFrame, Profile, RoomList};
use tickwire_protocol::schema::{CueId, Field, FieldId, FieldType, Kind, KindId};
use tickwire_protocol::{Micros, PeerId, PlayerId, RoomId, Schema, SessionId, Tick, TickRate, TickTime};

use super::page::{Fields, bytes, parse};
use super::rooms;
use super::snapshot;

/// What the fields of a block stand for.
pub(crate) struct Vector {
    /// The whole message.
    pub(crate) encoded: Vec<u8>,
    /// Whether a payload decodes to the same value. Nothing for a message of several frames.
    pub(crate) decode: Option<Decode>,
    /// Whether the page may have other bytes than we write: LZ4 blocks are the compressor's choice.
    pub(crate) is_compressed: bool,
    /// Whether what is missing at the end of the payload reads as zeros: another value, not an error.
    pub(crate) is_cut_by_zeros: bool,
}

pub(crate) type Decode = Box<dyn Fn(&[u8]) -> Result<bool, String>>;

impl Vector {
    pub(crate) fn new<T: 'static + PartialEq, E: Display>(
        value: T,
        encode: impl Fn(&T, &mut Vec<u8>),
        decode: impl 'static + Fn(&[u8]) -> Result<T, E>,
    ) -> Self {
        let mut encoded = Vec::new();
        encode(&value, &mut encoded);
        let decode = move |payload: &[u8]| match decode(payload) {
            Ok(decoded) => Ok(decoded == value),
            Err(fault) => Err(fault.to_string()),
        };
        Self { encoded, decode: Some(Box::new(decode)), is_compressed: false, is_cut_by_zeros: false }
    }
}

pub(crate) fn vector(fields: &mut Fields) -> Vector {
    match fields.take("frame").as_str() {
        "HELLO" => Vector::new(hello(fields), Hello::encode, Hello::decode),
        "WELCOME" => Vector::new(welcome(fields), Welcome::encode, Welcome::decode),
        "REJECT" => Vector::new(reject(&fields.take("reason")), Reject::encode, Reject::decode),
        "PING" => Vector::new(Ping { client_time: fields.micros("client time") }, Ping::encode, Ping::decode),
        "PONG" => Vector::new(pong(fields), Pong::encode, Pong::decode),
        "INPUT" => input(fields),
        "SNAPSHOT" => snapshot::vector(fields),
        "ACK" => Vector::new(ack(&fields.take("ack")), Ack::encode, Ack::decode),
        "BUDGET" => Vector::new(budget(&fields.take("bytes a second")), Budget::encode, Budget::decode),
        "PAUSE" => Vector::new(pause(&fields.take("paused")), Pause::encode, Pause::decode),
        "MESSAGE" => message(fields),
        "MEMBERS" => rooms::members(fields),
        "GROUPS" => rooms::groups(fields),
        "MATCH" => rooms::match_state(fields),
        "PROFILE" => Vector::new(rooms::profile(&fields.take("profile")), Profile::encode, Profile::decode),
        "LIST" => Vector::new(rooms::list(fields), ListRooms::encode, ListRooms::decode),
        "ROOMS" => Vector::new(rooms::rooms(fields), RoomList::encode, RoomList::decode),
        "MESSAGE_ACK" => message_ack(fields),
        "AUTH" => Vector::new(auth(fields), Auth::encode, Auth::decode),
        ty if ty.starts_with("BULK_") => bulk(ty, fields),
        "several" => several(fields),
        other => panic!("{}: no frame is called {other}", fields.name),
    }
}

fn hello(fields: &mut Fields) -> Hello {
    Hello {
        schema_hash: hash(&fields.take("schema hash")),
        priors: fields.take_all("prior").iter().map(|prior| hash(prior)).collect(),
        features: Features(fields.number("features")),
        game_build: fields.take("game build"),
        platform: fields.take("platform"),
        room: rooms::wish(fields),
        role: match fields.take("role").as_str() {
            "player" => Role::Player,
            _ => Role::Spectator,
        },
        stream: stream_kind(&fields.take("stream")),
        extensions: extensions(fields),
    }
}

fn hash(digits: &str) -> u64 {
    u64::from_str_radix(digits, 16).unwrap()
}

fn stream_kind(name: &str) -> StreamKind {
    [StreamKind::Ordered, StreamKind::Datagram].into_iter().find(|kind| kind.to_string() == name).unwrap()
}

fn extensions(fields: &mut Fields) -> Vec<Extension> {
    let all = fields.take_all("extension").into_iter().map(|line| {
        let (id, value) = line.split_once('=').unwrap();
        Extension { id: id.trim().parse().unwrap(), value: bytes(value) }
    });
    all.collect()
}

fn welcome(fields: &mut Fields) -> Welcome {
    Welcome {
        session: SessionId(fields.number("session")),
        peer: PeerId(fields.number("peer")),
        player: fields.take("player").parse().ok().map(PlayerId),
        room: RoomId(fields.number("room")),
        room_name: fields.take("room name"),
        room_seed: fields.number("room seed"),
        tick: Tick(fields.number("tick")),
        tick_time: fields.micros("tick time"),
        timing: Timing {
            tick_rate: TickRate::new(fields.number("tick rate")).unwrap(),
            snapshot_hz: fields.number("snapshot rate"),
            interpolation_delay: fields.micros("interpolation delay"),
            ping_interval: fields.micros("ping interval"),
            silence_timeout: fields.micros("silence timeout"),
            digest_interval: fields.micros("digest interval"),
        },
        limits: ClientLimits {
            message_bytes_max: fields.number("message limit"),
            inputs_per_frame_max: fields.number("input limit"),
            input_ahead_ticks_max: fields.number("input ahead limit"),
        },
        missing_input: match fields.take("missing input").as_str() {
            "repeat" => MissingInput::Repeat,
            "hold" => MissingInput::Hold,
            "neutral" => MissingInput::Neutral,
            other => panic!("nothing is called {other}"),
        },
        coder: fields.number("coder"),
        prior_hash: hash(&fields.take("prior")),
        prior: fields.take_if_there("prior bytes").map(|digits| bytes(&digits)),
        features: Features(fields.number("features")),
        server_build: fields.take("server build"),
        schema: (fields.take("schema") == "example").then(|| PackedSchema::new(&example())),
        extensions: extensions(fields),
    }
}

/// A reject from its name and its details, in order.
/// A reason; where it may pass and something follows, that is the wait that is named, milliseconds.
pub(crate) fn reject(words: &str) -> Reject {
    let mut words = words.split(' ');
    let reason = reject_reason(&mut words);
    match words.next() {
        Some(millis) => Reject::naming(reason, Micros::from_millis(parse(millis))),
        None => reason.into(),
    }
}

fn reject_reason(words: &mut core::str::Split<'_, char>) -> RejectReason {
    let name = words.next().unwrap();
    let mut word = || words.next().unwrap();
    match name {
        "Magic" => RejectReason::Magic,
        "Version" => RejectReason::Version { ours: parse(word()), yours: parse(word()) },
        "Schema" => RejectReason::Schema { ours: parse(word()), yours: parse(word()) },
        "Features" => {
            RejectReason::Features { ours: Features(parse(word())), yours: Features(parse(word())) }
        }
        "GameBuild" => RejectReason::GameBuild { ours: word().to_owned(), yours: word().to_owned() },
        "Stream" => RejectReason::Stream { ours: stream_kind(word()), yours: stream_kind(word()) },
        "ServerFull" => RejectReason::ServerFull { players: parse(word()), max: parse(word()) },
        "RoomFull" => RejectReason::RoomFull { players: parse(word()), max: parse(word()) },
        "BadRoomName" => RejectReason::BadRoomName,
        "NoSuchRoom" => RejectReason::NoSuchRoom,
        "NoSpectators" => RejectReason::NoSpectators,
        "ShuttingDown" => RejectReason::ShuttingDown,
        "Game" => RejectReason::Game(word().to_owned()),
        "TooManyRooms" => RejectReason::TooManyRooms { max: parse(word()) },
        "Unauthorized" => RejectReason::Unauthorized(refusal(word())),
        "Forbidden" => RejectReason::Forbidden { action: word().to_owned() },
        "AccountBusy" => RejectReason::AccountBusy { sessions: parse(word()), max: parse(word()) },
        "WrongSecret" => RejectReason::WrongSecret,
        "RoomExists" => RejectReason::RoomExists,
        other => panic!("no reject is called {other}"),
    }
}

/// Why a token is refused, by its code.
fn refusal(code: &str) -> AuthRefusal {
    match Auth::decode(&[2, parse(code)]).unwrap() {
        Auth::Refused(refusal) => refusal,
        other => panic!("{other:?} is no refusal"),
    }
}

fn auth(fields: &mut Fields) -> Auth {
    match fields.take("says").split_once(' ').unwrap() {
        ("token", text) => Auth::Token(Token::new(text).unwrap()),
        ("refused", code) => Auth::Refused(refusal(code)),
        (_, account) => Auth::Granted(AuthTerms {
            account: account.to_owned(),
            expires_in: Some(fields.micros("expires in")),
            permissions: fields.take_all("permission").into_iter().map(Permission).collect(),
        }),
    }
}

/// Some details for a reject of this name.
pub(crate) fn example_details(name: &str) -> &'static str {
    if name == "Stream" { "ordered datagram" } else { "1 2" }
}

fn pong(fields: &mut Fields) -> Pong {
    Pong {
        client_time: fields.micros("client time"),
        server_received: fields.micros("server received"),
        server_sent: fields.micros("server sent"),
        tick: Tick(fields.number("tick")),
        tick_time: fields.micros("tick time"),
    }
}

/// An ack as `newest` or `newest: older older ...`.
fn ack(text: &str) -> Ack {
    let (newest, older) = text.split_once(':').unwrap_or((text, ""));
    let mut window = AckWindow::new();
    window.insert(Sequence(parse(newest)));
    for sequence in older.split_whitespace() {
        assert!(!window.insert(Sequence(parse(sequence))), "{sequence} is too old or stands twice");
    }
    window.ack().unwrap()
}

fn pause(text: &str) -> Pause {
    Pause { is_paused: parse(text) }
}

fn budget(text: &str) -> Budget {
    Budget { bytes_per_second: (text != "all").then(|| parse(text)) }
}

fn input(fields: &mut Fields) -> Vector {
    let schema = example();
    let near = Tick(fields.number("near"));
    let mut frame = InputFrame::new();
    let ack_text = fields.take("ack");
    frame.ack = (ack_text != "none").then(|| ack(&ack_text));
    let view = fields.take("view");
    let (tick, fraction) = view.split_once(" + ").unwrap();
    let parts: f32 = parse(fraction.strip_suffix("/256").unwrap());
    frame.view = TickTime { tick: Tick(parse(tick)), fraction: parts / 256.0 };
    for row in fields.take_all("row") {
        let (tick, values) = row.split_once('=').unwrap();
        let values: Vec<i32> = values.split_whitespace().map(parse).collect();
        frame.push(schema.input(), Tick(parse(tick.trim())), &values);
    }
    let decoder = schema.clone();
    let decode = move |payload: &[u8]| {
        let mut frame = InputFrame::new();
        frame.decode(payload, decoder.input(), near).map(|()| frame)
    };
    Vector::new(frame, |frame, out| frame.encode(schema.input(), out), decode)
}

/// Several frames; an extension behind the first one shows that it is skipped.
fn message(fields: &mut Fields) -> Vector {
    let schema = example();
    let ty = MessageTerms::find(&schema, MessageTypeId(fields.number("type"))).unwrap();
    let is_latest = ty.class == MessageClass::Latest;
    let number: u64 = if ty.class == MessageClass::Unreliable { 0 } else { fields.number("number") };
    let frame = MessageFrame {
        ty: ty.id,
        number: number as u16,
        key: if is_latest { fields.number("key") } else { 0 },
        body: {
            let times = fields.take_if_there("times").map_or(1, |times| parse(&times));
            bytes(&fields.take("body")).repeat(times).into()
        },
    };
    let decode = |payload: &[u8]| {
        let schema = example();
        MessageFrame::decode(Bytes::copy_from_slice(payload), &schema).map(|(_, frame)| frame)
    };
    // Less at the end of the body is another body.
    Vector { is_cut_by_zeros: true, ..Vector::new(frame, |frame, out| frame.encode(ty.class, out), decode) }
}

fn message_ack(fields: &mut Fields) -> Vector {
    let told = fields.take_all("polled").into_iter().map(|line| {
        let (lane, next) = line.split_once(' ').unwrap();
        (lane_named(lane), parse::<u64>(next))
    });
    let ack = told.fold(MessageAck::default(), |ack, (lane, next)| ack.with(lane, next));
    Vector::new(ack, MessageAck::encode, MessageAck::decode)
}

fn bulk(name: &str, fields: &mut Fields) -> Vector {
    let id = BulkId(fields.number("transfer"));
    let ty = FrameType::ALL.into_iter().find(|ty| ty.name() == name).unwrap();
    let frame = match ty {
        FrameType::BulkOffer => {
            let (bytes_of, kind) = (fields.number("bytes"), fields.number("kind"));
            let metadata = bytes(&fields.take("metadata")).into();
            BulkFrame::Offer { id, offer: BulkOffer { kind, bytes: bytes_of, metadata } }
        }
        FrameType::BulkChunk => {
            let offset = fields.number("offset");
            BulkFrame::Chunk { id, offset, content: bytes(&fields.take("content")).into() }
        }
        FrameType::BulkCredit => {
            BulkFrame::Credit { id, received: fields.number("received"), limit: fields.number("limit") }
        }
        FrameType::BulkEnd => BulkFrame::End { id, end: bulk_end(&fields.take("end")) },
        _ => BulkFrame::Stop { id, stop: bulk_stop(&fields.take("stop")) },
    };
    let decode = move |payload: &[u8]| BulkFrame::decode(ty, Bytes::copy_from_slice(payload));
    // Less metadata, or less content, is another offer or chunk.
    let is_cut_by_zeros = matches!(ty, FrameType::BulkOffer | FrameType::BulkChunk);
    Vector { is_cut_by_zeros, ..Vector::new(frame, BulkFrame::encode, decode) }
}

fn bulk_end(name: &str) -> BulkEnd {
    use BulkEnd::{Cancelled, Damaged, Expired, Received, Refused};
    let all = [Received, Refused, Cancelled, Expired, Damaged];
    all.into_iter().find(|end| format!("{end:?}").to_lowercase() == name).unwrap()
}

fn bulk_stop(text: &str) -> BulkStop {
    match text.split_once(' ') {
        Some(("complete", checksum)) => {
            BulkStop::Complete { checksum: u32::from_str_radix(checksum, 16).unwrap() }
        }
        _ if text == "cancelled" => BulkStop::Cancelled,
        _ if text == "expired" => BulkStop::Expired,
        _ => BulkStop::Released,
    }
}

fn lane_named(name: &str) -> Lane {
    let is_it = |lane: &Lane| format!("{lane:?}").to_lowercase() == name;
    Lane::SENDING_ORDER.into_iter().find(is_it).unwrap()
}

fn several(fields: &mut Fields) -> Vector {
    let held = fields.take_all("holds");
    let mut encoded = Vec::new();
    for (place, frame) in held.iter().enumerate() {
        match frame.split_once(' ').unwrap() {
            ("ACK", text) => ack(text).encode(&mut encoded),
            ("PING", time) => Ping { client_time: Micros(parse(time)) }.encode(&mut encoded),
            (other, _) => panic!("{other} is not expected in a message"),
        }
        if place == 0 {
            encoded.extend_from_slice(&[2, 200, 0xaa, 0xbb]);
        }
    }
    let got = all_frames(&encoded).unwrap();
    assert_eq!(got.len(), held.len());
    assert!(got.iter().all(|frame| decode_any(frame).is_ok()));
    Vector { encoded, decode: None, is_compressed: false, is_cut_by_zeros: false }
}

pub(crate) fn all_frames(message: &[u8]) -> Result<Vec<Frame>, String> {
    frames(Bytes::copy_from_slice(message)).collect::<Result<_, _>>().map_err(|fault| fault.to_string())
}

pub(crate) fn decode_any(frame: &Frame) -> Result<(), String> {
    fn done<T, E: Display>(result: Result<T, E>) -> Result<(), String> {
        result.map(|_| ()).map_err(|fault| fault.to_string())
    }
    let payload = &frame.payload;
    match frame.ty {
        FrameType::Hello => done(Hello::decode(payload)),
        FrameType::Welcome => done(Welcome::decode(payload)),
        FrameType::Reject => done(Reject::decode(payload)),
        FrameType::Ping => done(Ping::decode(payload)),
        FrameType::Pong => done(Pong::decode(payload)),
        FrameType::Input => done(InputFrame::new().decode(payload, example().input(), Tick(0))),
        FrameType::Ack => done(Ack::decode(payload)),
        FrameType::Snapshot => done(snapshot::decode_with_nothing_held(payload)),
        FrameType::Pause => done(Pause::decode(payload)),
        FrameType::Budget => done(Budget::decode(payload)),
        FrameType::Message => done(MessageFrame::decode(payload.clone(), &example())),
        FrameType::MessageAck => done(MessageAck::decode(payload)),
        FrameType::Auth => done(Auth::decode(payload)),
        FrameType::Members => done(MembersFrame::decode(payload)),
        FrameType::Groups => done(GroupsFrame::decode(payload)),
        FrameType::Match => done(MatchFrame::decode(payload)),
        FrameType::Profile => done(Profile::decode(payload)),
        FrameType::List => done(ListRooms::decode(payload)),
        FrameType::Rooms => done(RoomList::decode(payload)),
        FrameType::BulkOffer
        | FrameType::BulkChunk
        | FrameType::BulkCredit
        | FrameType::BulkEnd
        | FrameType::BulkStop => done(BulkFrame::decode(frame.ty, payload.clone())),
    }
}

/// The example schema of the page.
pub(crate) fn example() -> Arc<Schema> {
    let field = |id, name, ty| Field::new(FieldId(id), name, ty);
    let message = |id, name, way, class, bytes| MessageType::new(MessageTypeId(id), name, way, class, bytes);
    let ball = [
        field(0, "place", FieldType::position([-8.0..=8.0, -4.5..=4.5], 0.25)),
        field(1, "motion", FieldType::velocity(FieldId(0), 20.0, 0.5)).threshold(1.0),
        field(2, "turn", FieldType::rotation(9)).rate_hz(10),
        field(3, "holder", FieldType::entity()).owner_only(),
    ];
    Schema::builder("example")
        .kind(Kind::new(KindId(0), "ball", ball))
        .cue(Kind::cue(CueId(0), "hit", [field(0, "power", FieldType::scalar(0.0..=1.0, 0.1)).hold()]))
        .input([
            field(0, "move", FieldType::position([-1.0..=1.0, 0.0..=0.0, -1.0..=1.0], 0.25)),
            field(1, "aim", FieldType::angle(10)),
            field(2, "weapon", FieldType::integer(3..=9)),
            field(3, "spare", FieldType::integer(7..=7)),
            field(4, "fire", FieldType::boolean()).momentary(),
        ])
        .message(
            message(0, "chat", Direction::BothWays, MessageClass::Reliable, 256)
                .expires_after(10_000)
                .rate_per_minute(300, 10),
        )
        .message(message(1, "ready", Direction::ToServer, MessageClass::Latest, 1).permitted_by("play"))
        .message(message(2, "shake", Direction::ToClient, MessageClass::Unreliable, 4))
        .message(message(3, "goal", Direction::ToClient, MessageClass::Event, 16).in_view_time())
        .message(message(4, "buy", Direction::ToServer, MessageClass::Request, 4).answered_within(2))
        .build()
        .unwrap()
}

/// The schema of the snapshot vectors, which has everything that decides about a row's bits.
pub(crate) fn yard() -> Arc<Schema> {
    let field = |id, name, ty| Field::new(FieldId(id), name, ty);
    let walker = [
        field(0, "place", FieldType::position([-100.0..=100.0, -100.0..=100.0], 0.0625)),
        field(1, "motion", FieldType::velocity(FieldId(0), 12.0, 0.125)),
        field(2, "heading", FieldType::angle(8)),
        field(3, "spin", FieldType::velocity(FieldId(2), 10.0, 0.125)),
        field(4, "tilt", FieldType::rotation(9)),
        field(5, "health", FieldType::integer(0..=100)),
        field(6, "carries", FieldType::entity()),
        field(7, "plan", FieldType::integer(0..=15)).team_only(),
        field(8, "secret", FieldType::scalar(0.0..=1.0, 0.25)).owner_only(),
    ];
    Schema::builder("yard")
        .kind(Kind::new(KindId(0), "walker", walker))
        .kind(Kind::new(KindId(1), "ball", [field(0, "place", FieldType::position([0.0..=256.0], 0.0625))]))
        .cue(Kind::cue(CueId(0), "step", []))
        .cue(Kind::cue(CueId(1), "hit", [field(0, "power", FieldType::scalar(0.0..=1.0, 0.1))]))
        .cue(Kind::cue(CueId(2), "score", [field(0, "points", FieldType::integer(-1000..=1000))]))
        .build()
        .unwrap()
}
