//! A session as bytes, to go on in a program that was started anew, or a page that was loaded anew.
//!
//! ```text
//!  "TWSS" | version: 8 | schema hash: 64 | session: 64 | token: 128 | outbox and inbox | hash of all before: 64
//! ```

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use tickwire_protocol::handshake::ResumeToken;
use tickwire_protocol::hash::bytes_hash;
use tickwire_protocol::message::{Direction, Inbox, Outbox};
use tickwire_protocol::{Micros, Schema, SessionId};

const MAGIC: [u8; 4] = *b"TWSS";
const VERSION: u8 = 1;
const TOKEN_BYTES: usize = 16;

/// Bytes before the messages.
const HEAD_BYTES: usize = MAGIC.len() + 1 + 8 + 8 + TOKEN_BYTES;
const CHECK_BYTES: usize = 8;

/// More than an outbox holds whose lanes are full.
const BYTES_MAX: usize = 4 << 20;

/// A session that was [exported](crate::Client::export_session), for [`ClientConfig::session`](crate::ClientConfig::session).
///
/// It has the token with which anybody can go on with the session: keep it where others cannot read it, and no longer than it is needed.
/// It is of use once: each connection has another token.
#[derive(Clone, Debug)]
pub struct SavedSession {
    schema_hash: u64,
    pub(super) session: SessionId,
    pub(super) token: ResumeToken,
    messages: Bytes,
}

/// Why a session is not saved, or what was saved is none.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SavedSessionError {
    /// There is no session to go on with: the server has not let the client in, or the session is over.
    #[error("there is no session: it has not begun, or is over")]
    NoSession,
    /// The bytes are none that [`Client::export_session`](crate::Client::export_session) has written.
    #[error("these bytes are no saved session")]
    Foreign,
    /// Another version has written them.
    #[error("the session was saved in format {0}, this is format {VERSION}")]
    Version(u8),
    /// It is a session of another game, or of another version of this one.
    #[error("the session is of schema {theirs:016x}, this game has {ours:016x}")]
    OtherSchema {
        /// The hash of this game's schema.
        ours: u64,
        /// That of the saved session's.
        theirs: u64,
    },
    /// Some of the bytes are others than were written, or are missing.
    #[error("the saved session is damaged")]
    Damaged,
}

impl SavedSession {
    /// Reads what [`Client::export_session`](crate::Client::export_session) has written.
    pub fn decode(bytes: &[u8], schema: &Arc<Schema>) -> Result<Self, SavedSessionError> {
        use SavedSessionError::{Damaged, Foreign, OtherSchema, Version};
        let rest = bytes.strip_prefix(&MAGIC).filter(|_| bytes.len() <= BYTES_MAX).ok_or(Foreign)?;
        let version = *rest.first().ok_or(Damaged)?;
        if version != VERSION {
            return Err(Version(version));
        }
        let (covered, check) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(Damaged)?;
        if bytes_hash(covered) != u64::from_le_bytes(*check) {
            return Err(Damaged);
        }
        let (head, messages) = covered.split_at_checked(HEAD_BYTES).ok_or(Damaged)?;
        let word = |at: usize| head[at..].first_chunk().map(|word| u64::from_le_bytes(*word)).ok_or(Damaged);
        let at = MAGIC.len() + 1;
        let (theirs, session) = (word(at)?, SessionId(word(at + 8)?));
        if theirs != schema.hash() {
            return Err(OtherSchema { ours: schema.hash(), theirs });
        }
        let token = ResumeToken(*head[at + 16..].first_chunk().ok_or(Damaged)?);
        let messages = Bytes::copy_from_slice(messages);
        let saved = Self { schema_hash: theirs, session, token, messages };
        saved.restore(schema, Micros::ZERO)?;
        Ok(saved)
    }

    pub(super) fn encode(
        schema: &Schema,
        (session, token): (SessionId, ResumeToken),
        outbox: &mut Outbox,
        inbox: &Inbox,
        now: Micros,
    ) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        out.extend_from_slice(&schema.hash().to_le_bytes());
        out.extend_from_slice(&session.0.to_le_bytes());
        out.extend_from_slice(&token.0);
        outbox.save(now, &mut out);
        inbox.save(&mut out);
        let check = bytes_hash(&out);
        out.extend_from_slice(&check.to_le_bytes());
        out
    }

    /// Its messages, in a program in which it is `now`.
    pub(super) fn restore(
        &self,
        schema: &Arc<Schema>,
        now: Micros,
    ) -> Result<(Outbox, Inbox), SavedSessionError> {
        let (ours, theirs) = (schema.hash(), self.schema_hash);
        if ours != theirs {
            return Err(SavedSessionError::OtherSchema { ours, theirs });
        }
        let mut bytes = &self.messages[..];
        let outbox = Outbox::restore(schema, Direction::ToServer, now, &mut bytes);
        let inbox = Inbox::restore(schema, Direction::ToClient, &mut bytes);
        match (outbox, inbox) {
            (Ok(outbox), Ok(inbox)) if bytes.is_empty() => Ok((outbox, inbox)),
            _ => Err(SavedSessionError::Damaged),
        }
    }
}
