//! The reading half of a connection.

use tickwire_protocol::PeerFault;
use tokio::io::AsyncReadExt as _;
use tokio::net::tcp::OwnedReadHalf;

use super::frames::{Frames, Received};

/// Understands a client, one frame after the other.
#[derive(Debug)]
pub(crate) struct WebSocketReader {
    socket: OwnedReadHalf,
    frames: Frames,
}

impl WebSocketReader {
    /// Of a socket whose upgrade is done.
    pub(crate) fn new(socket: OwnedReadHalf) -> Self {
        Self { socket, frames: Frames::default() }
    }

    /// The next thing that the client says; `Err(None)` if the socket just ends. May be dropped while it waits.
    pub(crate) async fn receive(&mut self) -> Result<Received, Option<PeerFault>> {
        loop {
            if let Some(received) = self.frames.next()? {
                return Ok(received);
            }
            // Not try_read: after a read that did not fill the buffer, this one knows that there is no more.
            match self.socket.read_buf(self.frames.space()).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(None),
            }
        }
    }

    /// Reads what still comes, unheard, until the client ends it. A socket closed with unread bytes in it is reset, and what
    /// was written last is lost with it.
    pub(crate) async fn discard(mut self) {
        drop(self.frames);
        let mut bytes = [0; 256];
        while let Ok(1..) = self.socket.read(&mut bytes).await {}
    }
}
