//! One question to a server and its answer, over a connection of their own.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Duration, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::connection::{close_reason, failure};
use super::error::ConnectError;
use super::open::{ask, dial, within};
use super::options::Options;
use crate::core::{ClientConfig, ClientFault, DisconnectReason};

/// How long the server may take to end a connection that has served its purpose.
const FAREWELL: Duration = Duration::from_secs(1);

/// Asks, and hears one message. The connection is over when this returns: an address that may have one connection has none when the
/// next one comes.
pub(super) async fn ask_once(
    url: &str,
    config: &ClientConfig,
    options: &Options,
    question: Vec<u8>,
) -> Result<Bytes, ConnectError> {
    let asking = async {
        let mut socket = ask(dial(url, config).await?, url, options).await?;
        exchange(&mut socket, question.into()).await.map_err(ConnectError::Ended)
    };
    within(url, config, asking).await
}

/// The first message that answers; or why there is none, as the server says it if it says something.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    question: Bytes,
) -> Result<Bytes, DisconnectReason> {
    // A server that has said no already takes no question. What it said is still there to be heard.
    let _ = socket.send(Message::Binary(question)).await;
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(answer))) => {
                take_leave(socket).await;
                return Ok(answer);
            }
            Some(Ok(Message::Text(_))) => return Err(DisconnectReason::Fault(ClientFault::Text)),
            Some(Ok(Message::Close(close))) => return Err(close_reason(close)),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Err(error)) => return Err(failure(&error)),
            None => return Err(DisconnectReason::Lost),
        }
    }
}

/// Says goodbye, and waits for that of the server.
async fn take_leave<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) {
    let leaving = async {
        let _ = socket.close(None).await;
        while let Some(Ok(_)) = socket.next().await {}
    };
    let _ = timeout(FAREWELL, leaving).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::CloseCode;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
    use tokio_tungstenite::tungstenite::protocol::Role;

    /// What is heard of a server that writes these bytes and hangs up.
    async fn heard(bytes: &[u8]) -> Result<Bytes, DisconnectReason> {
        let (near, mut far): (DuplexStream, DuplexStream) = duplex(1024);
        far.write_all(bytes).await.unwrap();
        drop(far);
        let mut socket = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        exchange(&mut socket, Bytes::from_static(b"?")).await
    }

    #[tokio::test]
    async fn a_server_that_hung_up_before_it_was_asked_is_heard_out() {
        assert_eq!(heard(b"\x82\x02no").await, Ok(Bytes::from_static(b"no")));
        let closed = |code, reason: &str| Err(DisconnectReason::Closed { code, reason: reason.to_owned() });
        assert_eq!(
            heard(b"\x88\x06\x03\xf5full").await,
            closed(CloseCode::TRY_AGAIN_LATER, "full"),
            "1013, in a close alone"
        );
        assert_eq!(heard(b"\x88\x00").await, closed(CloseCode(1005), ""));
        assert_eq!(heard(b"\x81\x02no").await, Err(DisconnectReason::Fault(ClientFault::Text)));
        assert_eq!(heard(b"").await, Err(DisconnectReason::Lost));
        assert_eq!(heard(b"\x82\x05no").await, Err(DisconnectReason::Lost), "in the midst of a message");
    }
}
