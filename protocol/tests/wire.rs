//! Executes docs/WIRE.md: every `vector`, `refused`, `table`, `schema` and `prior` block, and the tables of limits and codes.
//! (Its `coder` blocks are executed by the snapshot coder's own tests.)
//!
//! When the format changes on purpose, the failing assertion prints the bytes that belong into the page. Those of vectors
//! are written into it, say after the default prior was trained anew, by
//!
//! ```text
//! TICKWIRE_WRITE_PAGE=1 cargo test -p tickwire-protocol --test wire -- --test-threads=1
//! ```

#[path = "wire/frames.rs"]
mod frames;
#[path = "wire/page.rs"]
mod page;
#[path = "wire/rooms.rs"]
mod rooms;
#[path = "wire/snapshot.rs"]
mod snapshot;
#[path = "wire/tables.rs"]
mod tables;

use bytes::BytesMut;
use tickwire_protocol::frame::{FrameType, split_frame};
use tickwire_protocol::schema::{CueId, Kind, KindId};
use tickwire_protocol::snapshot::Prior;
use tickwire_protocol::{CloseCode, Schema, limits};

use frames::{all_frames, decode_any, example, example_details, reject, vector, yard};
use page::{Fields, blocks, bytes, hex, is_to_be_written, markdown_rows, vectors, write_hash, write_hex};
use tables::table_row;

#[test]
fn vectors_encode_and_decode_as_written() {
    let mut outdated = Vec::new();
    for mut fields in vectors("vector") {
        let vector = vector(&mut fields);
        let (encoded, page) = (hex(&vector.encoded), fields.end());
        let mut is_right = encoded == page || vector.is_compressed;
        for message in [&encoded, &page].map(|hex| bytes(hex)) {
            let Some(decode) = &vector.decode else { continue };
            let decoded = all_frames(&message).and_then(|frames| decode(&frames[0].payload));
            is_right &= decoded == Ok(true);
        }
        if !is_right {
            outdated.push(format!("vector {}\nhex: {encoded}", fields.name));
            if is_to_be_written() {
                write_hex("vector", fields.name, &encoded);
            }
        }
    }
    assert!(outdated.is_empty(), "these fields encode or decode to others:\n{}", outdated.join("\n"));
}

#[test]
fn truncated_vectors_are_refused() {
    for mut fields in vectors("vector") {
        let vector = vector(&mut fields);
        let Some(decode) = vector.decode else { continue };
        for cut in 0..vector.encoded.len() {
            let part = &vector.encoded[..cut];
            assert!(all_frames(part).is_err(), "{}: message of {cut} bytes", fields.name);
            let left = split_frame(&mut BytesMut::from(part));
            assert!(!matches!(left, Ok(Some(_))), "{}: stream of {cut} bytes", fields.name);
        }
        let payload = &all_frames(&vector.encoded).unwrap()[0].payload;
        for cut in 0..payload.len() {
            let decoded = decode(&payload[..cut]);
            let is_noticed = decoded.is_err() || vector.is_cut_by_zeros && decoded == Ok(false);
            assert!(is_noticed, "{}: payload of {cut} bytes", fields.name);
        }
    }
}

#[test]
fn every_frame_type_has_a_vector() {
    let names: Vec<_> = vectors("vector").iter_mut().map(|fields| fields.take("frame")).collect();
    for ty in FrameType::ALL {
        assert!(names.iter().any(|name| name == ty.name()), "{ty} has no vector");
    }
}

#[test]
fn what_is_to_be_refused_is_refused_for_the_reason_given() {
    let refused = vectors("refused");
    assert!(refused.len() > 10);
    for mut fields in refused {
        let wanted = fields.take("error");
        let message = bytes(&fields.end());
        let fault = all_frames(&message).and_then(|frames| frames.iter().try_for_each(decode_any));
        assert_eq!(fault, Err(wanted), "{}", fields.name);
    }
}

#[test]
fn tables_hold() {
    let (mut rows, mut wrong) = (0, Vec::new());
    for block in blocks("table") {
        for line in block.lines {
            let (input, output) = line.split_once("-> ").unwrap_or_else(|| panic!("no arrow in {line:?}"));
            let computed = table_row(block.name, input.trim());
            if computed != output {
                wrong.push(format!("table {}\n{input}-> {computed}", block.name));
            }
            rows += 1;
        }
    }
    assert!(wrong.is_empty(), "these rows have another right side:\n{}", wrong.join("\n"));
    assert!(rows > 50, "only {rows} rows were found");
}

#[test]
fn schemas_are_those_described() {
    let schemas = blocks("schema");
    assert_eq!(schemas.len(), 2);
    for block in schemas {
        let schema = if block.name == "example" { example() } else { yard() };
        assert_eq!(schema.name(), block.name);
        let mut fields = Fields::parse(&block);
        let (hash, encoded) = (format!("{:016x}", schema.hash()), hex(schema.encoded()));
        let page = (fields.take("hash"), fields.end());
        if is_to_be_written() && page != (hash.clone(), encoded.clone()) {
            write_hash("schema", block.name, &hash);
            write_hex("schema", block.name, &encoded);
        }
        assert!(
            page == (hash.clone(), encoded.clone()),
            "schema {}\nhash: {hash}\nhex: {encoded}",
            block.name
        );
        assert_eq!(Schema::decode(schema.encoded()).unwrap().hash(), schema.hash());
    }
}

#[test]
fn the_untrained_prior_is_the_one_described() {
    let blocks = blocks("prior");
    let (prior, mut fields) = (Prior::untrained(), Fields::parse(&blocks[0]));
    let (hash, encoded) = (format!("{:016x}", prior.hash()), hex(prior.encoded()));
    let page = (fields.take("hash"), fields.end());
    if is_to_be_written() && page != (hash.clone(), encoded.clone()) {
        write_hash("prior", blocks[0].name, &hash);
        write_hex("prior", blocks[0].name, &encoded);
    }
    assert!(page == (hash.clone(), encoded.clone()), "prior\nhash: {hash}\nhex: {encoded}");
    assert_eq!(Prior::decode(&bytes(&page.1)).unwrap().hash(), prior.hash());
}

#[test]
fn columns_are_those_described() {
    let columns = |kind: &Kind| kind.columns().iter().map(|c| (c.min, c.max, c.bits)).collect::<Vec<_>>();
    let entity = (i32::MIN, i32::MAX, 32);
    let component = (-255, 255, 9);
    let schema = example();
    let ball = [
        (-32, 32, 7),
        (-18, 18, 6),
        (-40, 40, 7),
        (-40, 40, 7),
        (0, 3, 2),
        component,
        component,
        component,
        entity,
    ];
    assert_eq!(columns(schema.kind(KindId(0))), ball);
    assert_eq!(columns(schema.cue(CueId(0))), [(0, 10, 4)]);
    let input = [(-4, 4, 4), (0, 0, 0), (-4, 4, 4), (0, 1023, 10), (3, 9, 3), (7, 7, 0), (0, 1, 1)];
    assert_eq!(columns(schema.input()), input);

    let schema = yard();
    let walker = columns(schema.kind(KindId(0)));
    let motion =
        [(-1600, 1600, 12), (-1600, 1600, 12), (-96, 96, 8), (-96, 96, 8), (0, 255, 8), (-80, 80, 8)];
    assert_eq!(walker[..6], motion);
    let rest = [(0, 3, 2), component, component, component, (0, 100, 7), entity, (0, 15, 4), (0, 4, 3)];
    assert_eq!(walker[6..], rest);
    assert_eq!(columns(schema.kind(KindId(1))), [(0, 4096, 13)]);
    let cues: Vec<_> = schema.cues().iter().map(columns).collect();
    assert_eq!(cues, [vec![], vec![(0, 10, 4)], vec![(-1000, 1000, 11)]]);
}

#[test]
fn limits_are_those_of_the_code() {
    let code = [
        ("FRAME_BYTES_MAX", limits::FRAME_BYTES_MAX as u64),
        ("MESSAGE_BYTES_MAX", limits::MESSAGE_BYTES_MAX as u64),
        ("CLIENT_MESSAGE_BYTES_MAX", limits::CLIENT_MESSAGE_BYTES_MAX as u64),
        ("FRAMES_PER_MESSAGE_MAX", limits::FRAMES_PER_MESSAGE_MAX as u64),
        ("DATAGRAM_BYTES_MAX", limits::DATAGRAM_BYTES_MAX as u64),
        ("HELLO_BYTES_MAX", limits::HELLO_BYTES_MAX as u64),
        ("HELLO_TEXT_BYTES_MAX", limits::HELLO_TEXT_BYTES_MAX as u64),
        ("TOKEN_BYTES_MAX", limits::TOKEN_BYTES_MAX as u64),
        ("ACCOUNT_BYTES_MAX", limits::ACCOUNT_BYTES_MAX as u64),
        ("PERMISSIONS_MAX", limits::PERMISSIONS_MAX as u64),
        ("REASON_BYTES_MAX", limits::REASON_BYTES_MAX as u64),
        ("EXTENSIONS_MAX", limits::EXTENSIONS_MAX as u64),
        ("EXTENSION_BYTES_MAX", limits::EXTENSION_BYTES_MAX as u64),
        ("SCHEMA_BYTES_MAX", limits::SCHEMA_BYTES_MAX as u64),
        ("PRIOR_BYTES_MAX", limits::PRIOR_BYTES_MAX as u64),
        ("PRIORS_PER_HELLO_MAX", limits::PRIORS_PER_HELLO_MAX as u64),
        ("NAME_BYTES_MAX", limits::NAME_BYTES_MAX as u64),
        ("KINDS_MAX", limits::KINDS_MAX as u64),
        ("FIELDS_PER_KIND_MAX", limits::FIELDS_PER_KIND_MAX as u64),
        ("COLUMNS_PER_KIND_MAX", limits::COLUMNS_PER_KIND_MAX as u64),
        ("COLUMNS_PER_CUE_MAX", limits::COLUMNS_PER_CUE_MAX as u64),
        ("BODY_BYTES_MAX", limits::BODY_BYTES_MAX as u64),
        ("ROWS_PER_SNAPSHOT_MAX", limits::ROWS_PER_SNAPSHOT_MAX as u64),
        ("CUES_PER_SNAPSHOT_MAX", limits::CUES_PER_SNAPSHOT_MAX as u64),
        ("REFERENCES_PER_ROW_MAX", limits::REFERENCES_PER_ROW_MAX as u64),
        ("SPAWN_PAYLOAD_BYTES_MAX", limits::SPAWN_PAYLOAD_BYTES_MAX as u64),
        ("HISTORY_TICKS", limits::HISTORY_TICKS.into()),
        ("SLOT_REST_TICKS", limits::SLOT_REST_TICKS.into()),
        ("INPUTS_PER_FRAME_MAX", limits::INPUTS_PER_FRAME_MAX as u64),
        ("INPUT_AHEAD_TICKS_MAX", limits::INPUT_AHEAD_TICKS_MAX.into()),
        ("ACK_WORDS_MAX", limits::ACK_WORDS_MAX as u64),
        ("TICK_HZ_MAX", limits::TICK_HZ_MAX.into()),
        ("INTERPOLATION_DELAY_MICROS_MAX", limits::INTERPOLATION_DELAY_MICROS_MAX),
        ("PING_INTERVAL_MICROS_MIN", limits::PING_INTERVAL_MICROS_MIN),
        ("PAUSED_PING_INTERVAL_MICROS", limits::PAUSED_PING_INTERVAL_MICROS),
        ("PAUSED_SILENCE_TIMEOUT_MICROS", limits::PAUSED_SILENCE_TIMEOUT_MICROS),
        ("BUDGET_BYTES_PER_SECOND_MIN", limits::BUDGET_BYTES_PER_SECOND_MIN.into()),
        ("MEMBER_NAME_BYTES_MAX", limits::MEMBER_NAME_BYTES_MAX as u64),
        ("PROFILE_BYTES_MAX", limits::PROFILE_BYTES_MAX as u64),
        ("MEMBERS_MAX", limits::MEMBERS_MAX as u64),
        ("GROUPS_PER_PLAYER_MAX", limits::GROUPS_PER_PLAYER_MAX as u64),
        ("GROUP_MEMBERS_MAX", limits::GROUP_MEMBERS_MAX as u64),
        ("MATCH_MODE_BYTES_MAX", limits::MATCH_MODE_BYTES_MAX as u64),
        ("MATCH_SETTINGS_BYTES_MAX", limits::MATCH_SETTINGS_BYTES_MAX as u64),
        ("SCORE_BYTES_MAX", limits::SCORE_BYTES_MAX as u64),
        ("ROOM_SECRET_BYTES_MAX", limits::ROOM_SECRET_BYTES_MAX as u64),
        ("ROOMS_PER_PAGE_MAX", limits::ROOMS_PER_PAGE_MAX as u64),
        ("LISTS_PER_CONNECTION_MAX", limits::LISTS_PER_CONNECTION_MAX.into()),
        ("MESSAGE_TYPES_MAX", limits::MESSAGE_TYPES_MAX as u64),
        ("MESSAGE_BODY_BYTES_MAX", limits::MESSAGE_BODY_BYTES_MAX as u64),
        ("CLIENT_MESSAGE_BODY_BYTES_MAX", limits::CLIENT_MESSAGE_BODY_BYTES_MAX as u64),
        ("MESSAGES_IN_FLIGHT_MAX", limits::MESSAGES_IN_FLIGHT_MAX as u64),
        ("SHORT_LANE_IN_FLIGHT_MAX", limits::SHORT_LANE_IN_FLIGHT_MAX as u64),
        ("REQUESTS_OPEN_MAX", limits::REQUESTS_OPEN_MAX as u64),
        ("MESSAGE_BYTES_IN_FLIGHT_MAX", limits::MESSAGE_BYTES_IN_FLIGHT_MAX as u64),
        ("BULK_BYTES_MAX", limits::BULK_BYTES_MAX as u64),
        ("BULK_TRANSFERS_MAX", limits::BULK_TRANSFERS_MAX as u64),
        ("BULK_CHUNK_BYTES_MAX", limits::BULK_CHUNK_BYTES_MAX as u64),
        ("BULK_METADATA_BYTES_MAX", limits::BULK_METADATA_BYTES_MAX as u64),
        ("BULK_OFFER_MICROS_MAX", limits::BULK_OFFER_MICROS_MAX),
        ("LATEST_KEYS_MAX", limits::LATEST_KEYS_MAX as u64),
        ("SILENCE_TIMEOUT_MICROS_MAX", limits::SILENCE_TIMEOUT_MICROS_MAX),
        ("DIGEST_INTERVAL_MICROS_MAX", limits::DIGEST_INTERVAL_MICROS_MAX),
    ];
    let page: Vec<_> = markdown_rows()
        .filter_map(|row| Some((row[0].strip_prefix('`')?.strip_suffix('`')?, row[1].parse().ok()?)))
        .filter(|(name, _): &(&str, u64)| !name.contains(' '))
        .collect();
    assert_eq!(page, code);
}

#[test]
fn codes_are_those_of_the_code() {
    // 1006 is what a receiver makes of a connection that ended without a close; that, 1007 and 1012 are never sent.
    let code = [
        CloseCode::NORMAL,
        CloseCode::GOING_AWAY,
        CloseCode::PROTOCOL_ERROR,
        CloseCode::UNSUPPORTED,
        CloseCode(1006),
        CloseCode(1007),
        CloseCode::POLICY,
        CloseCode::TOO_BIG,
        CloseCode::INTERNAL,
        CloseCode(1012),
        CloseCode::TRY_AGAIN_LATER,
        CloseCode::HANDSHAKE_TIMEOUT,
        CloseCode::REJECTED,
        CloseCode::SILENT,
        CloseCode::STALLED,
        CloseCode::TAKEN_OVER,
        CloseCode::IDLE,
        CloseCode::REMOVED,
        CloseCode::ROOM_ENDED,
        CloseCode::UNAUTHORIZED,
        CloseCode::FORBIDDEN,
        CloseCode::ACCOUNT_BUSY,
        CloseCode::TOKEN_EXPIRED,
        CloseCode::REPLACED,
        CloseCode::TOO_OFTEN,
    ];
    let numbered = || markdown_rows().filter_map(|row| Some((row[0].parse::<u16>().ok()?, row)));
    let page: Vec<_> =
        numbered().filter(|(number, _)| *number >= 1000).map(|(number, _)| CloseCode(number)).collect();
    assert_eq!(page, code);
    for (number, row) in numbered().filter(|(number, _)| *number >= 1000) {
        assert_eq!(CloseCode(number).may_pass(), row[2].starts_with("reconnects"), "{number}");
    }

    let is_listed = |number: u16| code.contains(&CloseCode(number));
    assert!(
        (0..=u16::MAX).all(|number| is_listed(number) || !CloseCode(number).may_pass()),
        "any other stops"
    );

    let types: Vec<_> = numbered().filter(|(_, row)| row.len() == 5 && row[1].starts_with('[')).collect();
    assert_eq!(types.len(), FrameType::ALL.len());
    for ((number, row), ty) in types.iter().zip(FrameType::ALL) {
        assert_eq!((*number, row[1].starts_with(&format!("[{ty}]"))), (ty as u16, true));
    }

    let rejects: Vec<_> = numbered().filter(|(_, row)| row.len() == 4 && !row[1].starts_with('[')).collect();
    assert_eq!(rejects.len(), 19);
    for (number, row) in rejects {
        let reject = reject(&format!("{} {}", row[1], example_details(row[1])));
        let mut out = Vec::new();
        reject.encode(&mut out);
        assert_eq!(
            (out[2], reject.reason.close_code().0.to_string().as_str()),
            (number as u8, row[3]),
            "{}",
            row[1]
        );
    }
}
