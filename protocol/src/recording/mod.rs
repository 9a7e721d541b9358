//! A room's stream in a file: what a spectator who may see everything would be sent, and what the players wanted.
//!
//! ```text
//!  header | record | record | ...                                 docs/RECORDING.md has the bytes
//!
//!  SYNC EVENTS KEYFRAME  EVENTS SNAPSHOT  EVENTS SNAPSHOT  ...  SYNC EVENTS KEYFRAME  ...  INDEX END
//!  └ everything whole ┘  └ named states are of ticks behind the last SYNC ┘
//! ```
//!
//! * A recorded tick is one record of SNAPSHOT frames by the codec of the wire. From a SYNC on nothing is needed that
//!   stands before it.
//! * Every record has a length with a check of its own and a checksum over all of it: after a crash the file is read up
//!   to the last whole record; damage in the middle is named, and decoding goes on at the next SYNC.
//! * A file that was ended cleanly has an index of its keyframes. Without one it is found by reading through.
//!
//! | | |
//! |---|---|
//! | [`RecordingWriter`] | bytes of records |
//! | [`Recorder`] | from a [`History`](crate::history::History) to records |
//! | [`Recording`] | the records of a file |
//! | [`RecordingPlayer`] | from records to tables, tick by tick |
//!
//! Pure: bytes go to any [`Write`](std::io::Write) and come from any [`Read`](std::io::Read) that can seek.

mod events;
mod planner;
mod player;
mod reader;
pub(crate) mod record;
mod recorder;
mod writer;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use crate::fault::DecodeError;
use crate::handshake;
use crate::limits::{PRIOR_BYTES_MAX, SCHEMA_BYTES_MAX};
use crate::schema::{Kind, Schema, Sight};
use crate::snapshot::{Codec, Coder, Prior};
use crate::time::TickRate;

pub use events::{Event, Events};
pub use player::{FrameReport, NamedState, RecordingPlayer};
pub use reader::{Content, Damage, IndexEntry, Record, Recording};
pub use recorder::{Recorder, RecorderOptions};
pub use writer::RecordingWriter;

/// What a recording begins with. The line ends and the end-of-file character show a transfer that took it for text.
pub const MAGIC: [u8; 8] = *b"TWREC\r\n\x1a";

/// The version of the format that is written and read here.
pub const VERSION: u16 = 1;

/// What is said once, at the start of a recording.
#[derive(Clone, Debug)]
pub struct RecordingHeader {
    /// What the rows are made of.
    pub schema: Arc<Schema>,
    /// Steps a second of the room.
    pub tick_rate: TickRate,
    /// Recorded ticks a second.
    pub snapshot_hz: u32,
    /// The number of the coder of the frames.
    pub coder: u8,
    /// The hash of the coder's prior.
    pub prior_hash: u64,
    /// The prior itself, where a reader could not know it otherwise.
    pub prior: Option<Bytes>,
    /// Where the room's chance came from.
    pub seed: u64,
}

impl RecordingHeader {
    /// Of frames by the default coder with the default prior.
    pub fn new(schema: Arc<Schema>, tick_rate: TickRate, snapshot_hz: u32) -> Self {
        Self::of(&Codec::new(schema, tick_rate), tick_rate, snapshot_hz)
    }

    /// Of frames by this codec, which is one for this tick rate.
    pub fn of(codec: &Codec, tick_rate: TickRate, snapshot_hz: u32) -> Self {
        let prior = codec.prior();
        let is_default = prior.hash() == Prior::default_prior().hash();
        Self {
            schema: codec.schema().clone(),
            tick_rate,
            snapshot_hz,
            coder: codec.coder().wire(),
            prior_hash: prior.hash(),
            prior: (!is_default).then(|| Bytes::copy_from_slice(prior.encoded())),
            seed: 0,
        }
    }

    /// The codec that the frames are read and written with.
    pub fn codec(&self) -> Result<Codec, RecordingError> {
        let unknown = RecordingError::Coder { coder: self.coder, prior: self.prior_hash };
        let prior = match &self.prior {
            Some(bytes) => Prior::decode(bytes)?,
            None => Prior::default_prior(),
        };
        match Coder::from_wire(self.coder).filter(|_| prior.hash() == self.prior_hash) {
            Some(coder) => Ok(Codec::with(self.schema.clone(), self.tick_rate, coder, prior)),
            None => Err(unknown),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        let length_at = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&handshake::VERSION.to_le_bytes());
        out.extend_from_slice(&(self.tick_rate.hz() as u16).to_le_bytes());
        out.extend_from_slice(&(self.snapshot_hz as u16).to_le_bytes());
        out.push(self.coder);
        out.extend_from_slice(&self.seed.to_le_bytes());
        out.extend_from_slice(&self.prior_hash.to_le_bytes());
        for part in [self.schema.encoded(), self.prior.as_deref().unwrap_or_default()] {
            out.extend_from_slice(&(part.len() as u32).to_le_bytes());
            out.extend_from_slice(part);
        }
        let length = (out.len() - length_at - 4) as u32;
        out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
        let checksum = crc32fast::hash(out);
        out.extend_from_slice(&checksum.to_le_bytes());
    }

    /// Reads what stands between the length and the checksum.
    fn decode(body: &[u8]) -> Result<Self, RecordingError> {
        let mut rest = body;
        let protocol = u16::from_le_bytes(take(&mut rest)?);
        if protocol != handshake::VERSION {
            return Err(RecordingError::Protocol { ours: handshake::VERSION, theirs: protocol });
        }
        let hz = u32::from(u16::from_le_bytes(take(&mut rest)?));
        let snapshot_hz = u32::from(u16::from_le_bytes(take(&mut rest)?));
        let [coder] = take(&mut rest)?;
        let seed = u64::from_le_bytes(take(&mut rest)?);
        let prior_hash = u64::from_le_bytes(take(&mut rest)?);
        let schema = Schema::decode(take_part(&mut rest, SCHEMA_BYTES_MAX)?)?;
        let prior = take_part(&mut rest, PRIOR_BYTES_MAX)?;
        let prior = (!prior.is_empty()).then(|| Bytes::copy_from_slice(prior));
        let tick_rate = TickRate::new(hz).filter(|_| rest.is_empty() && (1..=hz).contains(&snapshot_hz));
        let tick_rate = tick_rate.ok_or(DecodeError::Damaged("header of a recording"))?;
        Ok(Self { schema, tick_rate, snapshot_hz, coder, prior_hash, prior, seed })
    }
}

/// The next bytes, as many as the result holds.
fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (taken, behind) = rest.split_first_chunk().ok_or(DecodeError::Truncated("header of a recording"))?;
    *rest = behind;
    Ok(*taken)
}

/// A part that is preceded by its length.
fn take_part<'a>(rest: &mut &'a [u8], limit: usize) -> Result<&'a [u8], DecodeError> {
    let what = "header of a recording";
    let len = u32::from_le_bytes(take(rest)?) as usize;
    if len > limit {
        return Err(DecodeError::TooLarge { what, value: len as u64, limit: limit as u64 });
    }
    let (taken, behind) = rest.split_at_checked(len).ok_or(DecodeError::Truncated(what))?;
    *rest = behind;
    Ok(taken)
}

/// Why a file cannot be read as a recording at all. Damage behind the header is no error: it is a [`Damage`].
#[derive(Debug, Error)]
pub enum RecordingError {
    /// The bytes could not be read.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// It begins otherwise.
    #[error("not a recording: it does not begin as one")]
    NotARecording,
    /// It is of another version of the format.
    #[error("a recording of format {theirs}, this program reads format {ours}")]
    Version {
        /// What is read here.
        ours: u16,
        /// What the file says.
        theirs: u16,
    },
    /// Its frames are of another version of the wire.
    #[error("a recording of protocol {theirs}, this program speaks protocol {ours}")]
    Protocol {
        /// What is spoken here.
        ours: u16,
        /// What the file says.
        theirs: u16,
    },
    /// The header is damaged, and without it nothing can be read.
    #[error("the header is damaged: {0}")]
    Header(#[from] DecodeError),
    /// The frames are by a coder, or with a prior, that is not known here.
    #[error("its coder {coder} with prior {prior:016x} is not known here")]
    Coder {
        /// The coder's number.
        coder: u8,
        /// The prior's hash.
        prior: u64,
    },
}

/// Which section of the frames tells a row of a kind: the one that tells all of it, or both where what everyone is told
/// stays behind what the owner knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Sections {
    view: bool,
    own: bool,
}

impl Sections {
    fn of(kind: &Kind) -> Self {
        let is_more_for_owner = kind.visible(Sight::Own) != kind.visible(Sight::Team);
        Self { view: kind.is_lazy() || !is_more_for_owner, own: kind.is_lazy() || is_more_for_owner }
    }

    /// As what a row of the view is told: as to a viewer of every team.
    fn sight(kind: &Kind) -> Sight {
        if kind.has_team_fields() { Sight::Team } else { Sight::Public }
    }
}
