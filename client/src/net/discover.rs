//! The schema of a server whose game is not known here.

use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::{Reject, Welcome};
use tickwire_protocol::{DecodeError, Schema};

use super::error::ConnectError;
use super::options::Options;
use super::question::ask_once;
use crate::core::{ClientConfig, ClientFault, DisconnectReason};

/// Asks a server for the schema of its game: for tools that work with any. It takes a connection of its own, in no room, that is
/// over when this returns; [`connect`](super::connect) with the schema is the next.
pub async fn discover(
    url: &str,
    config: &ClientConfig,
    options: &Options,
) -> Result<Arc<Schema>, ConnectError> {
    let mut hello = Vec::new();
    options.client_config(config).schema_hello().encode(&mut hello);
    read(ask_once(url, config, options, hello).await?)
}

/// The schema in the answer to a hello.
fn read(answer: Bytes) -> Result<Arc<Schema>, ConnectError> {
    let faulty = |fault: DecodeError| ConnectError::Ended(DisconnectReason::Fault(fault.into()));
    let first = frames(answer).next().unwrap_or(Err(DecodeError::Truncated("welcome"))).map_err(faulty)?;
    match first.ty {
        FrameType::Welcome => {
            let welcome = Welcome::decode(&first.payload).map_err(faulty)?;
            let packed = welcome.schema.ok_or_else(|| faulty(DecodeError::Truncated("schema")))?;
            packed.unpack().map_err(faulty)
        }
        FrameType::Reject => Err(ConnectError::Rejected(Reject::decode(&first.payload).map_err(faulty)?)),
        ty => Err(ConnectError::Ended(DisconnectReason::Fault(ClientFault::Unexpected(ty)))),
    }
}
