//! The records of a file: whole ones, and what is damaged between them.

use std::io::{self, Read, Seek, SeekFrom};

use super::record::{
    CHECKSUM_BYTES, END, END_BYTES, EVENTS, HEAD_BYTES, INDEX, INDEX_ENTRY_BYTES, KEYFRAME, SNAPSHOT, SYNC,
    SYNC_BYTES, checked_payload, read_head, sync_bytes,
};
use super::{MAGIC, RecordingError, RecordingHeader, VERSION};
use crate::fault::DecodeError;
use crate::limits::{PRIOR_BYTES_MAX, RECORDING_INDEX_ENTRIES_MAX, SCHEMA_BYTES_MAX};
use crate::time::Tick;

/// Bytes of a header before what its length counts.
const HEADER_START_BYTES: usize = MAGIC.len() + 2 + 4;

/// Bytes of a header, at most: schema and prior with their lengths, and the numbers before them.
const HEADER_BYTES_MAX: usize = SCHEMA_BYTES_MAX + PRIOR_BYTES_MAX + 64;

/// Bytes that are looked through at a time for the next SYNC: few at first, so that many near ones cost little.
const SCAN_BYTES: core::ops::RangeInclusive<usize> = 256..=64 * 1024;

const ENDS_INSIDE: &str = "the file ends inside a record";

/// A keyframe in the index.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IndexEntry {
    /// The recorded tick.
    pub tick: Tick,
    /// Where its SYNC record stands.
    pub offset: u64,
}

/// Bytes that are no record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Damage {
    /// Where they begin.
    pub offset: u64,
    /// How many they are.
    pub bytes: u64,
    /// What is wrong with them.
    pub what: &'static str,
}

/// One record of a file, or a damaged stretch of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record<'a> {
    /// Where it begins.
    pub offset: u64,
    /// How many bytes it takes, head and checksum included.
    pub bytes: u64,
    /// What it says.
    pub content: Content<'a>,
}

/// What a record says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Content<'a> {
    /// What follows refers to nothing that stands before.
    Sync,
    /// A recorded tick.
    Snapshot {
        /// Which.
        tick: Tick,
        /// In a keyframe: the sum of the hashes of its rows.
        keyframe: Option<u64>,
        /// SNAPSHOT frames, framed as on a byte stream.
        frames: &'a [u8],
    },
    /// Joins, leaves, inputs and owners; a [`RecordingPlayer`](super::RecordingPlayer) reads them.
    Events(&'a [u8]),
    /// Where the keyframes are.
    Index,
    /// The file was ended cleanly.
    End,
    /// A type that this version does not know: to be skipped.
    Unknown(u8),
    /// No record, for this reason. Until the next [`Content::Sync`] nothing can be relied on.
    Damaged(&'static str),
}

/// The file of a recording, read record by record.
#[derive(Debug)]
pub struct Recording<R> {
    source: R,
    /// Where the source stands.
    source_at: u64,
    len: u64,
    header: RecordingHeader,
    first_record: u64,
    /// Where the next record begins.
    at: u64,
    index: Option<Vec<IndexEntry>>,
    is_complete: bool,
    buffer: Vec<u8>,
}

impl<R: Read + Seek> Recording<R> {
    /// Reads the header, and the index if the file was ended cleanly.
    pub fn open(mut source: R) -> Result<Self, RecordingError> {
        let len = source.seek(SeekFrom::End(0))?;
        source.seek(SeekFrom::Start(0))?;
        let mut buffer = Vec::new();
        let header = read_header(&mut source, len, &mut buffer)?;
        let first_record = buffer.len() as u64;
        let mut recording = Self {
            source,
            source_at: first_record,
            len,
            header,
            first_record,
            at: first_record,
            index: None,
            is_complete: false,
            buffer,
        };
        recording.index = recording.read_index()?;
        recording.is_complete = recording.index.is_some();
        recording.at = first_record;
        Ok(recording)
    }

    /// What the file says of itself.
    pub fn header(&self) -> &RecordingHeader {
        &self.header
    }

    /// Bytes of the file.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.first_record == self.len
    }

    /// Whether it was ended cleanly.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Where the first record begins.
    pub fn first_record(&self) -> u64 {
        self.first_record
    }

    /// The next record, or the next damaged stretch; nothing at the end of the file.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, RecordingError> {
        let offset = self.at;
        let remaining = self.len - offset;
        if remaining == 0 {
            return Ok(None);
        }
        if remaining < (HEAD_BYTES + CHECKSUM_BYTES) as u64 {
            return Ok(Some(self.damage_up_to(self.len, ENDS_INSIDE)));
        }
        self.fill(offset, HEAD_BYTES)?;
        let head = self.buffer.first_chunk().and_then(|head| read_head(*head));
        let Some((payload_bytes, ty)) = head else {
            let end = self.find_sync(offset + 1)?;
            return Ok(Some(self.damage_up_to(end, "the head of a record is damaged")));
        };
        let bytes = HEAD_BYTES + payload_bytes + CHECKSUM_BYTES;
        if bytes as u64 > remaining {
            // The head is whole and the rest is not there; or a damaged head looks whole: then a SYNC may follow.
            let end = self.find_sync(offset + 1)?;
            return Ok(Some(self.damage_up_to(end, ENDS_INSIDE)));
        }
        self.fill(offset, bytes)?;
        self.at = offset + bytes as u64;
        let content = match checked_payload(&self.buffer) {
            Some(payload) => parse(ty, payload),
            None => Content::Damaged("the checksum of a record is wrong"),
        };
        Ok(Some(Record { offset, bytes: bytes as u64, content }))
    }

    /// Goes to the SYNC of the newest keyframe that is not newer than `tick`, or of the first one; which one it is.
    /// Nothing if there is none.
    pub fn seek(&mut self, tick: Tick) -> Result<Option<IndexEntry>, RecordingError> {
        let found = self.find_keyframe(tick)?;
        let Some(entry) = found else { return Ok(None) };
        self.at = entry.offset;
        let is_sync = matches!(self.next_record()?, Some(Record { content: Content::Sync, .. }));
        let entry = if is_sync {
            entry
        } else {
            // The index does not tell the truth.
            self.index = None;
            let Some(entry) = self.find_keyframe(tick)? else { return Ok(None) };
            entry
        };
        self.at = entry.offset;
        Ok(Some(entry))
    }

    /// The tick of the next whole record of one, without going on to it.
    pub(super) fn peek_tick(&mut self) -> Result<Option<Tick>, RecordingError> {
        let back = self.at;
        let mut found = None;
        while found.is_none()
            && let Some(record) = self.next_record()?
        {
            if let Content::Snapshot { tick, .. } = record.content {
                found = Some(tick);
            }
        }
        self.at = back;
        Ok(found)
    }

    /// Goes to the first record.
    pub fn rewind(&mut self) {
        self.at = self.first_record;
    }

    /// The keyframes. If the file has no index it is read through once.
    pub fn index(&mut self) -> Result<&[IndexEntry], RecordingError> {
        if self.index.is_none() {
            self.index = Some(self.scan()?);
        }
        Ok(self.index.as_deref().unwrap_or_default())
    }

    fn find_keyframe(&mut self, tick: Tick) -> Result<Option<IndexEntry>, RecordingError> {
        let index = self.index()?;
        let place = index.partition_point(|entry| !entry.tick.is_newer_than(tick));
        Ok(index.get(place.saturating_sub(1)).copied())
    }

    fn scan(&mut self) -> Result<Vec<IndexEntry>, RecordingError> {
        let back = core::mem::replace(&mut self.at, self.first_record);
        let (mut index, mut sync_at) = (Vec::new(), None);
        while let Some(Record { offset, content, .. }) = self.next_record()? {
            match content {
                Content::Sync => sync_at = Some(offset),
                Content::Damaged(_) => sync_at = None,
                Content::Snapshot { tick, keyframe: Some(_), .. } => {
                    let entry = sync_at.take().map(|offset| IndexEntry { tick, offset });
                    index.extend(entry.filter(|_| index.len() < RECORDING_INDEX_ENTRIES_MAX));
                }
                _ => {}
            }
        }
        self.at = back;
        Ok(index)
    }

    /// The index that the END record points to, if both are whole.
    fn read_index(&mut self) -> Result<Option<Vec<IndexEntry>>, RecordingError> {
        let Some(end_at) = self.len.checked_sub(END_BYTES).filter(|at| *at >= self.first_record) else {
            return Ok(None);
        };
        let Some(index_at) = self.payload_at(end_at, END)?.and_then(|payload| payload.first_chunk().copied())
        else {
            return Ok(None);
        };
        let index_at = u64::from_le_bytes(index_at);
        if !(self.first_record..end_at).contains(&index_at) {
            return Ok(None);
        }
        let first_record = self.first_record;
        let Some(payload) = self.payload_at(index_at, INDEX)? else { return Ok(None) };
        let entries = payload.chunks_exact(INDEX_ENTRY_BYTES).filter_map(|entry| {
            let (tick, offset) = (*entry.first_chunk()?, *entry.last_chunk()?);
            Some(IndexEntry { tick: Tick(u32::from_le_bytes(tick)), offset: u64::from_le_bytes(offset) })
        });
        let entries: Vec<_> = entries.collect();
        let is_ascending = entries.is_sorted_by(|a, b| a.offset < b.offset && b.tick.is_newer_than(a.tick));
        let is_inside = entries.iter().all(|entry| (first_record..index_at).contains(&entry.offset));
        Ok((is_ascending && is_inside).then_some(entries))
    }

    /// The payload of the whole record of this type at this offset, if there is one.
    fn payload_at(&mut self, offset: u64, ty: u8) -> Result<Option<&[u8]>, RecordingError> {
        self.fill(offset, HEAD_BYTES)?;
        let head = self.buffer.first_chunk().and_then(|head| read_head(*head));
        let Some((payload_bytes, _)) = head.filter(|(_, found)| *found == ty) else { return Ok(None) };
        let bytes = HEAD_BYTES + payload_bytes + CHECKSUM_BYTES;
        if bytes as u64 > self.len - offset {
            return Ok(None);
        }
        self.fill(offset, bytes)?;
        Ok(checked_payload(&self.buffer))
    }

    /// Reads so many bytes from this offset on into the buffer. They are known to be there.
    fn fill(&mut self, offset: u64, bytes: usize) -> io::Result<()> {
        if self.source_at != offset {
            self.source.seek(SeekFrom::Start(offset))?;
            self.source_at = offset;
        }
        self.buffer.clear();
        self.buffer.resize(bytes, 0);
        self.source.read_exact(&mut self.buffer)?;
        self.source_at += bytes as u64;
        Ok(())
    }

    /// Where the next SYNC record begins, from this offset on; the end of the file if there is none.
    fn find_sync(&mut self, from: u64) -> Result<u64, RecordingError> {
        let pattern = sync_bytes();
        let (mut at, mut scan_bytes) = (from, *SCAN_BYTES.start());
        while self.len - at >= SYNC_BYTES as u64 {
            let bytes = (self.len - at).min(scan_bytes as u64) as usize;
            scan_bytes = (scan_bytes * 2).min(*SCAN_BYTES.end());
            self.fill(at, bytes)?;
            if let Some(place) = self.buffer.windows(SYNC_BYTES).position(|window| window == pattern) {
                return Ok(at + place as u64);
            }
            at += (bytes - (SYNC_BYTES - 1)) as u64;
        }
        Ok(self.len)
    }

    fn damage_up_to(&mut self, end: u64, what: &'static str) -> Record<'static> {
        let offset = core::mem::replace(&mut self.at, end);
        Record { offset, bytes: end - offset, content: Content::Damaged(what) }
    }
}

/// Reads the header; all its bytes are then in `buffer`.
fn read_header<R: Read>(
    source: &mut R,
    len: u64,
    buffer: &mut Vec<u8>,
) -> Result<RecordingHeader, RecordingError> {
    let mut start = [0; HEADER_START_BYTES];
    if len < start.len() as u64 {
        return Err(RecordingError::NotARecording);
    }
    source.read_exact(&mut start)?;
    let Some(rest) = start.strip_prefix(&MAGIC) else { return Err(RecordingError::NotARecording) };
    let [a, b, lengths @ ..] = rest else { return Err(RecordingError::NotARecording) };
    let version = u16::from_le_bytes([*a, *b]);
    if version != VERSION {
        return Err(RecordingError::Version { ours: VERSION, theirs: version });
    }
    let what = "header of a recording";
    let body_bytes = lengths.first_chunk().map_or(0, |length| u32::from_le_bytes(*length)) as usize;
    if body_bytes > HEADER_BYTES_MAX {
        let (value, limit) = (body_bytes as u64, HEADER_BYTES_MAX as u64);
        return Err(DecodeError::TooLarge { what, value, limit }.into());
    }
    let bytes = HEADER_START_BYTES + body_bytes + CHECKSUM_BYTES;
    if len < bytes as u64 {
        return Err(DecodeError::Truncated(what).into());
    }
    buffer.extend_from_slice(&start);
    buffer.resize(bytes, 0);
    source.read_exact(&mut buffer[HEADER_START_BYTES..])?;
    let (covered, checksum) = buffer.split_last_chunk().ok_or(DecodeError::Truncated(what))?;
    if crc32fast::hash(covered) != u32::from_le_bytes(*checksum) {
        return Err(DecodeError::Damaged(what).into());
    }
    RecordingHeader::decode(&covered[HEADER_START_BYTES..])
}

fn parse(ty: u8, payload: &[u8]) -> Content<'_> {
    match ty {
        SYNC => Content::Sync,
        SNAPSHOT => parse_snapshot(payload).unwrap_or(Content::Damaged("a recorded tick is malformed")),
        EVENTS => Content::Events(payload),
        INDEX => Content::Index,
        END => Content::End,
        unknown => Content::Unknown(unknown),
    }
}

fn parse_snapshot(payload: &[u8]) -> Option<Content<'_>> {
    let (tick, rest) = payload.split_first_chunk()?;
    let tick = Tick(u32::from_le_bytes(*tick));
    match rest.split_first()? {
        (0, frames) => Some(Content::Snapshot { tick, keyframe: None, frames }),
        (&KEYFRAME, rest) => {
            let (digest, frames) = rest.split_first_chunk()?;
            Some(Content::Snapshot { tick, keyframe: Some(u64::from_le_bytes(*digest)), frames })
        }
        _ => None,
    }
}
