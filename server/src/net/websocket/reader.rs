//! The reading half of a connection.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tickwire_protocol::PeerFault;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use super::frames::{Frames, Received};
use crate::net::tls::Session;

/// Records that are read at once: dozens of inputs.
const RECORD_BYTES: usize = 4 * 1024;

/// Understands a client, one frame after the other.
#[derive(Debug)]
pub(crate) struct WebSocketReader {
    socket: OwnedReadHalf,
    tls: Option<Arc<Session>>,
    frames: Frames,
    /// Nothing more comes behind what is in `frames`.
    is_over: bool,
}

impl WebSocketReader {
    /// Of a socket whose upgrade is done.
    pub(in crate::net) fn new(socket: OwnedReadHalf, tls: Option<Arc<Session>>) -> Self {
        let mut frames = Frames::default();
        // What came in the same read as the end of the request is in the session already.
        let is_over = tls.as_ref().is_some_and(|tls| !tls.open(&[], frames.space()).unwrap_or(false));
        Self { socket, tls, frames, is_over }
    }

    /// The next thing that the client says, or that it is about to; `Err(None)` if the socket just ends. May be dropped while it waits.
    pub(crate) async fn receive(&mut self) -> Result<Received, Option<PeerFault>> {
        loop {
            if let Some(received) = self.frames.next()? {
                return Ok(received);
            }
            if self.is_over {
                return Err(None);
            }
            // A record that was bent says as little of the peer as a socket that breaks: somebody is in between.
            self.is_over = !self.read().await.unwrap_or(false);
            if !self.is_over {
                return Ok(self.frames.next()?.unwrap_or(Received::Part));
            }
        }
    }

    /// Reads once; whether more may come.
    async fn read(&mut self) -> io::Result<bool> {
        let Some(tls) = &self.tls else {
            // Not try_read: after a read that did not fill the buffer, this one knows that there is no more.
            return Ok(self.socket.read_buf(self.frames.space()).await? > 0);
        };
        poll_fn(|cx| poll_open(&mut self.socket, tls, &mut self.frames, cx)).await
    }

    /// Reads what still comes, unheard, until the client ends it. A socket closed with unread bytes in it is reset, and what
    /// was written last is lost with it.
    pub(crate) async fn discard(mut self) {
        drop(self.frames);
        let mut bytes = [0; 256];
        while let Ok(1..) = self.socket.read(&mut bytes).await {}
    }
}

/// Reads records once, by way of the stack: a connection keeps no buffer for them.
fn poll_open(
    socket: &mut OwnedReadHalf,
    tls: &Session,
    frames: &mut Frames,
    cx: &mut Context<'_>,
) -> Poll<io::Result<bool>> {
    let mut bytes = [0; RECORD_BYTES];
    let mut records = ReadBuf::new(&mut bytes);
    ready!(Pin::new(socket).poll_read(cx, &mut records))?;
    let records = records.filled();
    Poll::Ready(if records.is_empty() { Ok(false) } else { tls.open(records, frames.space()) })
}
