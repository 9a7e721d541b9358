//! WELCOME: who a client now is, where, and by which rules.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Extension, Features, check_extensions, check_text, within};
use crate::fault::DecodeError;
use crate::frame::{FrameType, write_frame};
use crate::ids::{PeerId, PlayerId, RoomId, SessionId};
use crate::input::MissingInput;
use crate::limits::{
    DIGEST_INTERVAL_MICROS_MAX, HELLO_TEXT_BYTES_MAX, INPUT_AHEAD_TICKS_MAX, INPUTS_PER_FRAME_MAX,
    INTERPOLATION_DELAY_MICROS_MAX, MESSAGE_BYTES_MAX, PING_INTERVAL_MICROS_MIN, PRIOR_BYTES_MAX,
    SCHEMA_BYTES_MAX, SILENCE_TIMEOUT_MICROS_MAX,
};
use crate::schema::Schema;
use crate::time::{Micros, Tick, TickRate};
use crate::{cold, lz4};

/// The server's yes: who the client now is, where, and by which rules.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Welcome {
    /// The session: outlives this connection.
    pub session: SessionId,
    /// This connection's number in the room.
    pub peer: PeerId,
    /// The player that the client gives inputs for; none for a spectator.
    pub player: Option<PlayerId>,
    /// The room.
    pub room: RoomId,
    /// The room's name, at most 64 bytes.
    #[serde(deserialize_with = "cold::text")]
    pub room_name: String,
    /// What the room's randomness is a function of, with tick and entity: prediction draws the same numbers.
    pub room_seed: u64,
    /// The newest tick that was due when the welcome was written.
    pub tick: Tick,
    /// When that tick was due, on the server's clock. Tick `n` steps later is due [`TickRate::due`]`(n)` later, give
    /// or take a microsecond, as long as the room drops no tick.
    pub tick_time: Micros,
    /// Rates and intervals.
    pub timing: Timing,
    /// What the client must keep to.
    pub limits: ClientLimits,
    /// What the room puts in the place of inputs that have not come: prediction does the same.
    pub missing_input: MissingInput,
    /// The coder of snapshot rows in this room: [`Coder::wire`](crate::snapshot::Coder::wire).
    pub coder: u8,
    /// Names the prior that the coder uses: [`Prior::hash`](crate::snapshot::Prior::hash).
    pub prior_hash: u64,
    /// The prior's bytes, if the hello did not say that the client has it. They are compressed in themselves.
    #[serde(deserialize_with = "bytes_if_there")]
    pub prior: Option<Vec<u8>>,
    /// What both ends can do.
    pub features: Features,
    /// The server's own version, at most 64 bytes.
    #[serde(deserialize_with = "cold::text")]
    pub server_build: String,
    /// The schema, if the hello asked for it.
    pub schema: Option<PackedSchema>,
    /// What else the server says, in ascending id; at most 16.
    #[serde(deserialize_with = "cold::list")]
    pub extensions: Vec<Extension>,
}

/// The rates and intervals of a session.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Timing {
    /// Steps of the simulation.
    #[serde(with = "hertz")]
    pub tick_rate: TickRate,
    /// Snapshots a second that the room means to send: 1 to the tick rate.
    pub snapshot_hz: u32,
    /// How far behind the newest state the others are shown to begin with: 0 to 2 s.
    pub interpolation_delay: Micros,
    /// How often the client pings: every 50 ms to every 5 minutes.
    pub ping_interval: Micros,
    /// How long either end hears nothing before it takes the other for gone: the ping interval to 5 minutes.
    pub silence_timeout: Micros,
    /// How far apart the digests of the client's state are; 0 if none are sent, at most one minute.
    pub digest_interval: Micros,
}

/// What a client must keep to: beyond these, the server closes the connection.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ClientLimits {
    /// Largest transport message that the client may send, bytes.
    pub message_bytes_max: u32,
    /// Inputs in one frame: 1 to [`INPUTS_PER_FRAME_MAX`].
    pub inputs_per_frame_max: u32,
    /// How far ahead of the room's tick an input may be, ticks: 1 to [`INPUT_AHEAD_TICKS_MAX`].
    pub input_ahead_ticks_max: u32,
}

impl Welcome {
    /// Appends a WELCOME frame. What breaks a limit is refused by the receiver: see [`Welcome::check`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_frame(out, FrameType::Welcome, &cold::write(self));
    }

    /// Reads the payload of a WELCOME frame.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let welcome: Self = cold::read(payload, "welcome")?;
        welcome.check()?;
        Ok(welcome)
    }

    /// What a receiver would refuse it for: to be asked where its content comes from a configuration.
    pub fn check(&self) -> Result<(), DecodeError> {
        check_text("room name", &self.room_name, HELLO_TEXT_BYTES_MAX)?;
        check_text("server build", &self.server_build, HELLO_TEXT_BYTES_MAX)?;
        check_extensions(&self.extensions)?;
        let prior_bytes = self.prior.as_ref().map_or(0, Vec::len);
        within("prior", prior_bytes as u64, 0..=PRIOR_BYTES_MAX as u64)?;
        self.timing.check()?;
        self.limits.check()?;
        self.schema.as_ref().map_or(Ok(()), PackedSchema::check)
    }
}

impl Timing {
    fn check(&self) -> Result<(), DecodeError> {
        let longest = SILENCE_TIMEOUT_MICROS_MAX;
        within("snapshot rate", self.snapshot_hz.into(), 1..=self.tick_rate.hz().into())?;
        within("interpolation delay", self.interpolation_delay.0, 0..=INTERPOLATION_DELAY_MICROS_MAX)?;
        within("ping interval", self.ping_interval.0, PING_INTERVAL_MICROS_MIN..=longest)?;
        within("silence timeout", self.silence_timeout.0, self.ping_interval.0..=longest)?;
        within("digest interval", self.digest_interval.0, 0..=DIGEST_INTERVAL_MICROS_MAX)
    }
}

impl ClientLimits {
    fn check(&self) -> Result<(), DecodeError> {
        let ahead = u64::from(INPUT_AHEAD_TICKS_MAX);
        within("message limit", self.message_bytes_max.into(), 1..=MESSAGE_BYTES_MAX as u64)?;
        within("input limit", self.inputs_per_frame_max.into(), 1..=INPUTS_PER_FRAME_MAX as u64)?;
        within("input ahead limit", self.input_ahead_ticks_max.into(), 1..=ahead)
    }
}

/// A schema on its way to a client: as it is, or as LZ4 where that is smaller. A server packs it once.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PackedSchema(Packed);

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Packed {
    Plain(#[serde(deserialize_with = "cold::list")] Vec<u8>),
    Lz4 {
        decoded_bytes: u32,
        #[serde(deserialize_with = "cold::list")]
        block: Vec<u8>,
    },
}

impl PackedSchema {
    /// Packs a schema.
    pub fn new(schema: &Schema) -> Self {
        let plain = schema.encoded();
        Self(match lz4::compress_if_smaller(plain, DECODED_SIZE_BYTES_MAX) {
            Some(block) => Packed::Lz4 { decoded_bytes: plain.len() as u32, block },
            None => Packed::Plain(plain.to_vec()),
        })
    }

    /// The schema, checked like one declared in code.
    pub fn unpack(&self) -> Result<Arc<Schema>, DecodeError> {
        match &self.0 {
            Packed::Plain(plain) => Schema::decode(plain),
            Packed::Lz4 { decoded_bytes, block } => {
                Schema::decode(&lz4::decompress(block, *decoded_bytes, SCHEMA_BYTES_MAX, "schema")?)
            }
        }
    }

    /// Whether it is small enough, and packed only where that made it smaller.
    fn check(&self) -> Result<(), DecodeError> {
        match &self.0 {
            Packed::Plain(plain) => within("schema", plain.len() as u64, 0..=SCHEMA_BYTES_MAX as u64),
            Packed::Lz4 { decoded_bytes, block } => {
                lz4::check_size(block, *decoded_bytes, SCHEMA_BYTES_MAX, "schema")
            }
        }
    }
}

/// Most bytes of a decoded size in the cold encoding.
const DECODED_SIZE_BYTES_MAX: usize = 5;

/// Reads bytes that may be there, without believing their length.
fn bytes_if_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    #[derive(Deserialize)]
    struct List(#[serde(deserialize_with = "cold::list")] Vec<u8>);
    Ok(Option::<List>::deserialize(deserializer)?.map(|list| list.0))
}

/// A [`TickRate`] as its number of hertz.
mod hertz {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::time::TickRate;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(rate: &TickRate, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(rate.hz())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TickRate, D::Error> {
        TickRate::new(u32::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("tick rate"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::payload;
    use super::*;
    use crate::limits::{EXTENSION_BYTES_MAX, FRAME_BYTES_MAX};
    use crate::schema::{Field, FieldId, FieldType, Kind, KindId};

    pub(in super::super) fn welcome() -> Welcome {
        Welcome {
            session: SessionId(77),
            peer: PeerId(3),
            player: Some(PlayerId(2)),
            room: RoomId(1),
            room_name: "lobby".to_owned(),
            room_seed: 99,
            tick: Tick(1234),
            tick_time: Micros(20_566_666),
            timing: Timing {
                tick_rate: TickRate::new(60).unwrap(),
                snapshot_hz: 20,
                interpolation_delay: Micros::from_millis(100),
                ping_interval: Micros::from_millis(500),
                silence_timeout: Micros::from_secs(10),
                digest_interval: Micros::from_secs(1),
            },
            limits: ClientLimits {
                message_bytes_max: 4096,
                inputs_per_frame_max: 32,
                input_ahead_ticks_max: 64,
            },
            missing_input: MissingInput::Hold,
            coder: 0,
            prior_hash: 0,
            prior: None,
            features: Features::NONE,
            server_build: "tickwire 0.1.0".to_owned(),
            schema: None,
            extensions: Vec::new(),
        }
    }

    /// A schema of this many kinds.
    pub(in super::super) fn schema(kinds: u8) -> Arc<Schema> {
        let kind = |id| {
            let fields = [
                Field::new(FieldId(0), "position", FieldType::position([-64.0..=64.0], 0.01)),
                Field::new(FieldId(1), "health", FieldType::integer(0..=100)),
            ];
            Kind::new(KindId(id), "thing", fields)
        };
        (0..kinds).fold(Schema::builder("s"), |builder, id| builder.kind(kind(id))).build().unwrap()
    }

    fn check_welcome(welcome: &Welcome) {
        let bytes = payload(|out| welcome.encode(out));
        assert_eq!(Welcome::decode(&bytes).as_ref(), Ok(welcome));
        for cut in (0..bytes.len()).step_by(1 + bytes.len() / 500) {
            assert!(Welcome::decode(&bytes[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_welcome_arrives_as_it_was_sent() {
        check_welcome(&welcome());
        for kinds in [1, 40] {
            let schema = schema(kinds);
            let packed = PackedSchema::new(&schema);
            assert_eq!(matches!(packed.0, Packed::Lz4 { .. }), kinds == 40);
            assert_eq!(packed.unpack().unwrap().hash(), schema.hash());
            check_welcome(&Welcome { schema: Some(packed), player: None, ..welcome() });
        }
        check_welcome(&Welcome { prior: Some(vec![1, 2, 3]), ..welcome() });
    }

    #[test]
    fn a_prior_is_not_larger_than_any() {
        let large = Welcome { prior: Some(vec![0; PRIOR_BYTES_MAX + 1]), ..welcome() };
        let bytes = payload(|out| large.encode(out));
        let limit = PRIOR_BYTES_MAX as u64;
        assert_eq!(
            Welcome::decode(&bytes),
            Err(DecodeError::TooLarge { what: "prior", value: limit + 1, limit })
        );
    }

    #[test]
    fn the_largest_welcome_fits_a_frame() {
        let welcome = Welcome {
            prior: Some(vec![9; PRIOR_BYTES_MAX]),
            schema: Some(PackedSchema(Packed::Plain(vec![7; SCHEMA_BYTES_MAX]))),
            extensions: (0..16).map(|id| Extension { id, value: vec![255; EXTENSION_BYTES_MAX] }).collect(),
            room_name: "n".repeat(64),
            server_build: "b".repeat(64),
            ..welcome()
        };
        assert!(payload(|out| welcome.encode(out)).len() <= FRAME_BYTES_MAX);
        check_welcome(&welcome);
    }

    #[test]
    fn a_server_cannot_set_what_makes_no_sense() {
        let timing = welcome().timing;
        let limits = welcome().limits;
        let delay = |millis| Micros::from_millis(millis);
        for (timing, limits, fault) in [
            (Timing { snapshot_hz: 0, ..timing }, limits, "snapshot rate: 0"),
            (Timing { snapshot_hz: 61, ..timing }, limits, "snapshot rate: 61 is above the limit of 60"),
            (Timing { interpolation_delay: delay(2001), ..timing }, limits, "interpolation delay: 2001000"),
            (Timing { ping_interval: Micros(0), ..timing }, limits, "ping interval: 0"),
            (Timing { silence_timeout: delay(499), ..timing }, limits, "silence timeout: 499000"),
            (Timing { silence_timeout: Micros(u64::MAX), ..timing }, limits, "silence timeout"),
            (Timing { digest_interval: delay(60_001), ..timing }, limits, "digest interval"),
            (timing, ClientLimits { message_bytes_max: 0, ..limits }, "message limit: 0"),
            (timing, ClientLimits { inputs_per_frame_max: 33, ..limits }, "input limit: 33"),
            (timing, ClientLimits { input_ahead_ticks_max: 65, ..limits }, "input ahead limit: 65"),
        ] {
            let bytes = payload(|out| Welcome { timing, limits, ..welcome() }.encode(out));
            let text = Welcome::decode(&bytes).unwrap_err().to_string();
            assert!(text.starts_with(fault), "{text:?} should say {fault:?}");
        }
        let mut bytes = payload(|out| welcome().encode(out));
        let hz = bytes.windows(2).position(|pair| pair == [60, 20]).unwrap();
        for rate in [0, 241] {
            bytes[hz] = rate;
            assert_eq!(Welcome::decode(&bytes), Err(DecodeError::Damaged("welcome")));
        }
    }

    #[test]
    fn packed_schemas_are_not_trusted() {
        let schema = schema(40);
        let Packed::Lz4 { decoded_bytes, block } = PackedSchema::new(&schema).0 else { panic!("not packed") };
        let unpacked = |decoded_bytes, block: &[u8]| {
            PackedSchema(Packed::Lz4 { decoded_bytes, block: block.to_vec() })
                .unpack()
                .map(|schema| schema.hash())
        };
        assert_eq!(unpacked(decoded_bytes, &block), Ok(schema.hash()));
        assert_eq!(unpacked(decoded_bytes + 1, &block), Err(DecodeError::Compression));
        assert_eq!(unpacked(decoded_bytes - 1, &block), Err(DecodeError::Compression));
        assert_eq!(unpacked(decoded_bytes, &block[1..]), Err(DecodeError::Compression));
        assert!(matches!(unpacked(u32::MAX, &block), Err(DecodeError::TooLarge { .. })), "a bomb");
        assert!(matches!(unpacked(block.len() as u32, &block), Err(DecodeError::Invalid { .. })), "no gain");
        let junk = PackedSchema(Packed::Plain(vec![1; 40]));
        assert_eq!(junk.unpack().unwrap_err(), DecodeError::Damaged("schema"));
    }
}
