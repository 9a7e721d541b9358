//! The bodies of the fuzz targets, as plain functions: ordinary tests run them too.
//!
//! Each takes any bytes and does the same with the same ones. It returns, whatever they are, unless a promise of this
//! crate is broken: then it panics. Work and memory are bounded in proportion to the bytes.

mod prior;
mod recording;
mod scene;

use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};

use crate::ack::Ack;
use crate::budget::Budget;
use crate::bulk::BulkFrame;
use crate::fault::DecodeError;
use crate::frame::{FrameType, frames, split_frame, write_frame};
use crate::handshake::{Auth, Hello, PackedSchema, Reject, Welcome};
use crate::input::InputFrame;
use crate::message::{Direction, MessageAck, MessageClass, MessageFrame, MessageType, MessageTypeId};
use crate::pause::Pause;
use crate::ping::{Ping, Pong};
use crate::room::{GroupsFrame, ListRooms, MatchFrame, MembersFrame, Profile, RoomList};
use crate::schema::{CueId, Field, FieldId, FieldType, Kind, KindId, Schema};
use crate::snapshot::{Codec, Coder, DecodedSnapshot, Prior, Replica};
use crate::time::{Tick, TickRate};

/// The bytes as a transport message, as a byte stream, and as the payload of every type of frame.
///
/// Promised: message and stream hold the same frames; what is decoded has one encoding, where WIRE.md says so.
pub fn decode(data: &[u8]) {
    check_framing(data);
    for frame in frames(Bytes::copy_from_slice(data)).map_while(Result::ok) {
        check_payload(frame.ty, &frame.payload);
    }
    for ty in FrameType::ALL {
        check_payload(ty, data);
    }
    if let Ok(schema) = Schema::decode(data) {
        assert_eq!(schema.encoded(), data, "a schema has one encoding");
        let unpacked = PackedSchema::new(&schema).unpack().expect("a packed schema can be unpacked");
        assert_eq!(unpacked.hash(), schema.hash());
        check_input(data, &schema);
    }
}

/// The bytes as a script: a room publishes and tells a receiver, damaged frames and forged ones come in between. What
/// is left of the bytes is the payload of a last snapshot.
///
/// Promised: what is encoded decodes to what was published, also by a receiver that took in forged states; whatever
/// a receiver holds is within the schema's bounds; who came and went agrees with who is there.
pub fn snapshot(data: &[u8]) {
    scene::play(&mut Script(data), None);
}

/// By the first byte: the bytes as the file of a recording, as damage to a sound one, or as records with checksums that
/// are right.
///
/// Promised: a file is read to its end, whatever it holds; what comes out of it keeps the schema's bounds; seeking finds
/// what playing finds.
pub fn recording(data: &[u8]) {
    recording::play(data);
}

/// By the first byte: the rest as the file of a prior, or damage to a sound one; then a script as [`snapshot`] plays it, in a
/// room with that prior.
///
/// Promised: a prior is read or refused; whoever decodes with one that was read stays within the schema's bounds.
pub fn prior(data: &[u8]) {
    prior::play(&mut Script(data));
}

/// A message and a stream of the same bytes hold the same frames, and the same fault.
fn check_framing(data: &[u8]) {
    let mut stream = BytesMut::from(data);
    let mut next_of_stream = || split_frame(&mut stream);
    for item in frames(Bytes::copy_from_slice(data)) {
        match item {
            Ok(frame) => assert_eq!(next_of_stream(), Ok(Some(frame))),
            // A stream may go on where a message must not end, and has no limit of frames.
            Err(DecodeError::Truncated(_)) => assert_eq!(next_of_stream(), Ok(None)),
            Err(DecodeError::TooLarge { what: "frames in a message", .. }) => return,
            Err(fault) => return assert_eq!(next_of_stream(), Err(fault)),
        }
    }
    assert_eq!(next_of_stream(), Ok(None));
}

fn check_payload(ty: FrameType, payload: &[u8]) {
    let check = |encode: &dyn Fn(&mut Vec<u8>)| check_encoding(ty, payload, encode);
    match ty {
        FrameType::Hello => {
            if let Ok(hello) = Hello::decode(payload) {
                check(&|out| hello.encode(out));
                assert_eq!(hello.check(), Ok(()));
            }
        }
        FrameType::Welcome => check_welcome(payload),
        FrameType::Reject => {
            if let Ok(reject) = Reject::decode(payload) {
                check(&|out| reject.encode(out));
                let _ = (reject.to_string(), reject.reason.close_code());
            }
        }
        FrameType::Ping | FrameType::Pong => check_time(ty, payload),
        FrameType::Input => check_input(payload, &GAME),
        FrameType::Ack => {
            if let Ok(ack) = Ack::decode(payload) {
                check(&|out| ack.encode(out));
                assert!(ack.acked().all(|sequence| ack.contains(sequence)));
            }
        }
        FrameType::Snapshot => check_snapshot(payload),
        FrameType::Message => {
            if let Ok((ty, message)) = MessageFrame::decode(Bytes::copy_from_slice(payload), &GAME) {
                check(&|out| message.encode(ty.class, out));
            }
        }
        FrameType::MessageAck => {
            if let Ok(ack) = MessageAck::decode(payload) {
                check(&|out| ack.encode(out));
            }
        }
        FrameType::BulkOffer
        | FrameType::BulkChunk
        | FrameType::BulkCredit
        | FrameType::BulkEnd
        | FrameType::BulkStop => check_bulk(ty, payload),
        FrameType::Auth => {
            if let Ok(auth) = Auth::decode(payload) {
                check(&|out| auth.encode(out));
            }
        }
        FrameType::Members | FrameType::Match | FrameType::Groups => check_table(ty, payload),
        FrameType::Profile | FrameType::Pause | FrameType::Budget => check_wish(ty, payload),
        FrameType::List | FrameType::Rooms => check_listing(ty, payload),
    }
}

fn check_time(ty: FrameType, payload: &[u8]) {
    let check = |encode: &dyn Fn(&mut Vec<u8>)| check_encoding(ty, payload, encode);
    if ty == FrameType::Ping {
        if let Ok(ping) = Ping::decode(payload) {
            check(&|out| ping.encode(out));
        }
    } else if let Ok(pong) = Pong::decode(payload) {
        check(&|out| pong.encode(out));
    }
}

/// What a client wants of the server for its own sake.
fn check_wish(ty: FrameType, payload: &[u8]) {
    let check = |encode: &dyn Fn(&mut Vec<u8>)| check_encoding(ty, payload, encode);
    if ty == FrameType::Profile {
        if let Ok(profile) = Profile::decode(payload) {
            check(&|out| profile.encode(out));
        }
    } else if ty == FrameType::Pause {
        if let Ok(pause) = Pause::decode(payload) {
            check(&|out| pause.encode(out));
        }
    } else if let Ok(budget) = Budget::decode(payload) {
        check(&|out| budget.encode(out));
    }
}

fn check_listing(ty: FrameType, payload: &[u8]) {
    if ty == FrameType::List {
        if let Ok(question) = ListRooms::decode(payload) {
            check_encoding(ty, payload, |out: &mut Vec<u8>| question.encode(out));
        }
    } else if let Ok(rooms) = RoomList::decode(payload) {
        check_encoding(ty, payload, |out: &mut Vec<u8>| rooms.encode(out));
    }
}

fn check_welcome(payload: &[u8]) {
    if let Ok(welcome) = Welcome::decode(payload) {
        check_encoding(FrameType::Welcome, payload, |out: &mut Vec<u8>| welcome.encode(out));
        assert_eq!(welcome.check(), Ok(()));
        let _ = welcome.schema.map(|schema| schema.unpack());
        let _ = welcome.prior.map(|prior| Prior::decode(&prior));
    }
}

fn check_bulk(ty: FrameType, payload: &[u8]) {
    if let Ok(frame) = BulkFrame::decode(ty, Bytes::copy_from_slice(payload)) {
        check_encoding(ty, payload, |out| frame.encode(out));
    }
}

/// What a room tells beside its world.
fn check_table(ty: FrameType, payload: &[u8]) {
    let check = |encode: &dyn Fn(&mut Vec<u8>)| check_encoding(ty, payload, encode);
    if ty == FrameType::Match {
        if let Ok(stands) = MatchFrame::decode(payload) {
            check(&|out| stands.encode(out));
        }
    } else if ty == FrameType::Groups {
        if let Ok(groups) = GroupsFrame::decode(payload) {
            check(&|out| groups.encode(out));
        }
    } else if let Ok(members) = MembersFrame::decode(payload) {
        check(&|out| members.encode(out));
    }
}

fn check_input(payload: &[u8], schema: &Schema) {
    let mut input = InputFrame::new();
    if input.decode(payload, schema.input(), Tick(70_000)).is_ok() {
        let columns = schema.input().columns();
        assert!(input.rows().all(|(_, row)| are_within(columns, row)));
        check_encoding(FrameType::Input, payload, |out| input.encode(schema.input(), out));
    } else {
        assert!(input.is_empty(), "after an error there is no row");
    }
}

/// The payload told to a receiver that holds nothing.
fn check_snapshot(payload: &[u8]) {
    // Made once: a codec keeps nothing from frame to frame, and takes longer to make than a frame to read.
    static CODECS: LazyLock<[Codec; 2]> = LazyLock::new(|| {
        let rate = TickRate::new(60).expect("60 Hz is a rate");
        [Coder::Dense, Coder::Fast]
            .map(|coder| Codec::with(GAME.clone(), rate, coder, Prior::default_prior()))
    });
    for codec in &*CODECS {
        let (mut replica, mut decoded) = (Replica::new(GAME.clone(), 128), DecodedSnapshot::default());
        let is_whole = codec.read_snapshot(payload, Tick(70_000), &replica, &mut decoded).is_ok();
        assert_eq!(is_whole, decoded.header.is_some(), "nothing of a bad frame can be applied");
        replica.apply(&decoded);
        assert_eq!(replica.digest().1, replica.view().chain(replica.own()).count());
    }
}

fn check_encoding(ty: FrameType, payload: &[u8], encode: impl FnOnce(&mut Vec<u8>)) {
    let (mut encoded, mut expected) = (Vec::new(), Vec::new());
    encode(&mut encoded);
    write_frame(&mut expected, ty, payload);
    assert_eq!(encoded, expected, "{ty} has one encoding");
}

fn are_within(columns: &[crate::schema::Column], row: &[i32]) -> bool {
    columns.len() == row.len()
        && columns.iter().zip(row).all(|(column, value)| (column.min..=column.max).contains(value))
}

/// A game with something of everything.
static GAME: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let field = |id, name, ty| Field::new(FieldId(id), name, ty);
    let thing = [
        field(0, "position", FieldType::position([-8.0..=8.0, -4.0..=4.0], 0.01)),
        field(1, "velocity", FieldType::velocity(FieldId(0), 20.0, 0.1)),
        field(2, "rotation", FieldType::rotation(9)),
        field(3, "angle", FieldType::angle(12)),
        field(4, "target", FieldType::entity()),
        field(5, "plan", FieldType::integer(0..=9)).team_only(),
        field(6, "secret", FieldType::integer(i32::MIN..=i32::MAX)).owner_only(),
    ];
    let message =
        |id, class| MessageType::new(MessageTypeId(id), "message", Direction::BothWays, class, 1_000);
    let input = [
        field(0, "move", FieldType::position([-1.0..=1.0, -1.0..=1.0], 0.01)),
        field(1, "nothing", FieldType::integer(3..=3)),
        field(2, "fire", FieldType::boolean()),
    ];
    let schema = Schema::builder("fuzz")
        .kind(Kind::new(KindId(0), "thing", thing))
        .kind(Kind::new(KindId(1), "mark", [field(0, "place", FieldType::position([0.0..=9.0], 0.01))]))
        .cue(Kind::cue(CueId(0), "hit", [field(0, "power", FieldType::scalar(0.0..=1.0, 0.1))]))
        .input(input)
        .message(message(0, MessageClass::Reliable))
        .message(message(1, MessageClass::Latest))
        .message(message(2, MessageClass::Unreliable))
        .build();
    schema.expect("the schema keeps every rule")
});

/// Bytes that decide what happens; zeros behind their end.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes(core::array::from_fn(|_| self.byte()))
    }

    /// A number below `count`.
    fn pick(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    /// The next bytes, as many as there are.
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scripts_reach_sections_against_ticks() {
        for seed in [
            &include_bytes!("../../fuzz/corpus/snapshot/against-ticks-dense")[..],
            include_bytes!("../../fuzz/corpus/snapshot/against-ticks-fast"),
        ] {
            assert!(scene::play(&mut Script(seed), None) > 2);
        }
    }

    #[test]
    fn the_seeds_of_priors_keep_their_promises() {
        prior(include_bytes!("../../fuzz/corpus/prior/a-sound-file"));
        prior(include_bytes!("../../fuzz/corpus/prior/a-file-cut-off"));
        prior(include_bytes!("../../fuzz/corpus/prior/a-bit-turned"));
        prior(include_bytes!("../../fuzz/corpus/prior/weights-changed"));
        prior(include_bytes!("../../fuzz/corpus/prior/weights-changed-fast"));
    }

    proptest! {
        #[test]
        fn decoding_keeps_its_promises(mut data in prop::collection::vec(any::<u8>(), 0..200), ty in 0..=9_u8, has_header: bool) {
            if has_header && data.len() < 128 {
                data.splice(..0, [data.len() as u8, ty]);
            }
            decode(&data);
        }

        #[test]
        fn recordings_keep_their_promises(data in prop::collection::vec(any::<u8>(), 0..100), mode in 0..3_u8) {
            let mut script = vec![mode];
            script.extend(data);
            recording(&script);
        }

        #[test]
        fn priors_keep_their_promises(data in prop::collection::vec(any::<u8>(), 0..1500), mode in 0..3_u8) {
            let mut script = vec![mode];
            script.extend(data);
            prior(&script);
        }

        #[test]
        fn snapshots_keep_their_promises(data in prop::collection::vec(any::<u8>(), 0..1500)) {
            snapshot(&data);
        }
    }
}
