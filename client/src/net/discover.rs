//! The schema of a server whose game is not known here.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::{RejectReason, Welcome};
use tickwire_protocol::{DecodeError, Schema};
use tokio::time::{Duration, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::connection::close_reason;
use super::error::ConnectError;
use super::open::{ask, dial, within};
use super::options::Options;
use crate::core::{ClientConfig, ClientFault, DisconnectReason};

/// How long the server may take to end a connection that has served its purpose.
const FAREWELL: Duration = Duration::from_secs(1);

/// Asks a server for the schema of its game: for tools that work with any. It takes a connection of its own, in no room, that is
/// over when this returns; [`connect`](super::connect) with the schema is the next.
pub async fn discover(
    url: &str,
    config: &ClientConfig,
    options: &Options,
) -> Result<Arc<Schema>, ConnectError> {
    let asking = async {
        let mut socket = ask(dial(url, config).await?, url, options).await?;
        let mut hello = Vec::new();
        config.schema_hello().encode(&mut hello);
        let lost = |_| ConnectError::Ended(DisconnectReason::Lost);
        socket.send(Message::Binary(hello.into())).await.map_err(lost)?;
        while let Some(message) = socket.next().await {
            let answer = match message.map_err(lost)? {
                Message::Binary(answer) => answer,
                Message::Close(close) => return Err(ConnectError::Ended(close_reason(close))),
                _ => continue,
            };
            let schema = read(answer);
            // The server closes: an address that may have one connection has none when the next one comes.
            let closed = async { while let Some(Ok(_)) = socket.next().await {} };
            let _ = timeout(FAREWELL, closed).await;
            return schema;
        }
        Err(ConnectError::Ended(DisconnectReason::Lost))
    };
    within(url, config, asking).await
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
        FrameType::Reject => {
            Err(ConnectError::Rejected(RejectReason::decode(&first.payload).map_err(faulty)?))
        }
        ty => Err(ConnectError::Ended(DisconnectReason::Fault(ClientFault::Unexpected(ty)))),
    }
}
