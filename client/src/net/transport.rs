//! What carries a WebSocket: a stream of bytes as it is, or with TLS over it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConnection;

/// A stream to a server, with TLS over it if the address said `wss://`.
#[derive(Debug)]
pub struct Transport<S> {
    carrier: Carrier<S>,
    /// Something was read since it was last asked.
    has_read: bool,
}

#[derive(Debug)]
enum Carrier<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
}

impl<S> Transport<S> {
    pub(super) fn plain(stream: S) -> Self {
        Self::new(Carrier::Plain(stream))
    }

    pub(super) fn tls(stream: TlsStream<S>) -> Self {
        Self::new(Carrier::Tls(Box::new(stream)))
    }

    fn new(carrier: Carrier<S>) -> Self {
        Self { carrier, has_read: false }
    }

    /// Whether any byte has come since the last call.
    pub(super) fn take_has_read(&mut self) -> bool {
        core::mem::take(&mut self.has_read)
    }

    /// The stream below, and the keys if there are any: for those who move the bytes themselves. What the server has said already may be
    /// in the latter.
    pub fn into_parts(self) -> (S, Option<ClientConnection>) {
        match self.carrier {
            Carrier::Plain(stream) => (stream, None),
            Carrier::Tls(stream) => {
                let (stream, connection) = stream.into_inner();
                (stream, Some(connection))
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (this, before) = (self.get_mut(), buffer.filled().len());
        let read = match &mut this.carrier {
            Carrier::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Carrier::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        this.has_read |= buffer.filled().len() > before;
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().carrier {
            Carrier::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Carrier::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().carrier {
            Carrier::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Carrier::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().carrier {
            Carrier::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Carrier::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
