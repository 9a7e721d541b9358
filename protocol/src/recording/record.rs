//! What all records have in common: `length: u32 | type: u8 | check of the two: 24 bits | payload | checksum: u32`.

use crate::limits::RECORDING_RECORD_BYTES_MAX;

/// Bytes before a payload.
pub(super) const HEAD_BYTES: usize = 8;

/// Bytes behind a payload.
pub(super) const CHECKSUM_BYTES: usize = 4;

/// Everything behind this record stands alone. Its bytes are always the same: who is lost looks for them.
pub(super) const SYNC: u8 = 1;
/// A recorded tick.
pub(super) const SNAPSHOT: u8 = 2;
/// Who came, went, and wanted what; whose entities are whose.
pub(super) const EVENTS: u8 = 3;
/// Where the keyframes are.
pub(super) const INDEX: u8 = 4;
/// Where the index is; always the last bytes of the file.
pub(super) const END: u8 = 5;

/// Bytes of an END record.
pub(super) const END_BYTES: u64 = (HEAD_BYTES + 8 + CHECKSUM_BYTES) as u64;

/// Bytes of a SYNC record.
pub(super) const SYNC_BYTES: usize = HEAD_BYTES + CHECKSUM_BYTES;

/// Bytes of a keyframe in an index.
pub(super) const INDEX_ENTRY_BYTES: usize = 12;

/// In the flags of a recorded tick: it is told whole.
pub(super) const KEYFRAME: u8 = 1;

/// Appends a record whose payload `write` appends.
pub(crate) fn write_record(out: &mut Vec<u8>, ty: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    write(out);
    let payload_bytes = (out.len() - start - HEAD_BYTES) as u32;
    let head = head(payload_bytes, ty);
    out[start..start + HEAD_BYTES].copy_from_slice(&head);
    let checksum = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// The bytes before a payload.
fn head(payload_bytes: u32, ty: u8) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&payload_bytes.to_le_bytes());
    head[4] = ty;
    let check = crc32fast::hash(&head[..5]).to_le_bytes();
    head[5..].copy_from_slice(&check[..3]);
    head
}

/// Length of the payload and type, if the head is whole and within limits.
pub(super) fn read_head(bytes: [u8; HEAD_BYTES]) -> Option<(usize, u8)> {
    let [a, b, c, d, ty, ..] = bytes;
    let payload_bytes = u32::from_le_bytes([a, b, c, d]);
    let is_whole = head(payload_bytes, ty) == bytes && payload_bytes as usize <= RECORDING_RECORD_BYTES_MAX;
    is_whole.then_some((payload_bytes as usize, ty))
}

/// The payload, if the checksum behind it is right. `record` is all of it, from the head on.
pub(super) fn checked_payload(record: &[u8]) -> Option<&[u8]> {
    let (covered, checksum) = record.split_last_chunk()?;
    (crc32fast::hash(covered) == u32::from_le_bytes(*checksum)).then_some(&covered[HEAD_BYTES..])
}

/// The bytes of a SYNC record.
pub(super) fn sync_bytes() -> [u8; SYNC_BYTES] {
    let mut out = Vec::with_capacity(SYNC_BYTES);
    write_record(&mut out, SYNC, |_| ());
    core::array::from_fn(|place| out[place])
}
