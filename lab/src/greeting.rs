//! What a connection says first, as the server's shell reads it.

use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::Schema;
use tickwire_protocol::bulk::BulkReceived;
use tickwire_protocol::frame::frames;
use tickwire_protocol::handshake::{Resume, ResumeToken, StreamKind};
use tickwire_protocol::room::Introduction;
use tickwire_server::core::{Join, admit};

/// The join that a message asks for; nothing if it is no hello, or one for another game.
pub(crate) fn read_join(message: Bytes, schema: &Arc<Schema>, token: ResumeToken) -> Option<Join> {
    let frame = frames(message).next()?.ok()?;
    let hello = admit(&frame.payload, schema, StreamKind::Ordered).ok()?.ok()?;
    Some(Join {
        token,
        resume: Resume::find(&hello.extensions).ok()?,
        bulk: BulkReceived::find(&hello.extensions).ok()?,
        introduction: Introduction::find(&hello.extensions).ok()?,
        ..Join::new(hello.role, StreamKind::Ordered)
    })
}
