//! Who is let in: the answer to a hello.

use tickwire_protocol::Schema;
use tickwire_protocol::handshake::{Hello, HelloFault, RejectReason, StreamKind};

/// Reads a hello and checks it against this server: what it must be told if it is not let in.
///
/// `Ok(Err(..))` is refused in words; an error is a peer that does not speak the protocol at all.
pub fn admit(
    payload: &[u8],
    schema: &Schema,
    stream: StreamKind,
) -> Result<Result<Hello, RejectReason>, tickwire_protocol::PeerFault> {
    let hello = match Hello::decode(payload) {
        Ok(hello) => hello,
        Err(HelloFault::Malformed(error)) => return Err(error.into()),
        Err(fault) => return Ok(Err(fault.reject().unwrap_or(RejectReason::Magic))),
    };
    Ok(check(hello, schema, stream))
}

fn check(hello: Hello, schema: &Schema, stream: StreamKind) -> Result<Hello, RejectReason> {
    // A client without a schema asks for ours: a tool or a viewer.
    if hello.schema_hash != 0 && hello.schema_hash != schema.hash() {
        return Err(RejectReason::Schema { ours: schema.hash(), yours: hello.schema_hash });
    }
    if hello.stream != stream {
        return Err(RejectReason::Stream { ours: stream, yours: hello.stream });
    }
    Ok(hello)
}
