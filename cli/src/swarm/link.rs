//! A bot's way to the server: its TCP stream, that stream behind a simulated link, or one that will be cut.
//!
//! ```text
//!  WebSocket <── incoming <── link down (netsim) <── chunks as they come <── TCP
//!            ──> link up (netsim) ──> outgoing, once they have arrived ──> TCP
//! ```
//!
//! What is read and written are chunks, each a message of the simulated stream: stamped with the real time, they come
//! out when it lets them. Where its send buffer is full, nothing is read or taken, so that the server feels it as well.
//! The runtime's timer has steps of a millisecond: that much may come on top.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tickwire_netsim::{Duplex, OrderedLink, Profile};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::churn::Churned;

/// What is read from a stream, or taken to be written, at once.
const CHUNK_BYTES: usize = 8 * 1024;

/// What carries a bot's WebSocket.
#[derive(Debug)]
pub(super) enum Link {
    Plain(TcpStream),
    Conditioned(Box<Conditioned<TcpStream>>),
    Churned(Box<Churned>),
}

/// A stream whose bytes travel over a simulated link as well.
#[derive(Debug)]
pub(super) struct Conditioned<S> {
    stream: S,
    /// The start of the link's time.
    epoch: Instant,
    duplex: Duplex<OrderedLink<Bytes>>,
    /// Has arrived and was not read, or not written, yet.
    incoming: Bytes,
    outgoing: Bytes,
    /// The server has said all.
    is_at_end: bool,
    timer: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conditioned<S> {
    /// Link number `link` of this weather, which began at `epoch`.
    pub(super) fn new(stream: S, profile: &Profile, seed: u64, link: u64, epoch: Instant) -> Self {
        Self {
            stream,
            epoch,
            duplex: Duplex::ordered(profile, seed, link),
            incoming: Bytes::new(),
            outgoing: Bytes::new(),
            is_at_end: false,
            timer: Box::pin(sleep_until(epoch)),
        }
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_micros() as u64
    }

    /// Moves what is ready on both ways, and sees to it that the task wakes for what comes next.
    fn poll_links(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            self.poll_down(cx)?;
            self.poll_up(cx)?;
            // While the stream is what is waited for, it is the one to wake.
            let down = if self.incoming.is_empty() { self.duplex.down.next_arrival() } else { None };
            let up = if self.outgoing.is_empty() { self.duplex.up.next_arrival() } else { None };
            let room = [&self.duplex.down, &self.duplex.up].map(|link| self.when_writable(link));
            let Some(next) = [down, up].into_iter().chain(room).flatten().min() else { return Ok(()) };
            self.timer.as_mut().reset(self.epoch + Duration::from_micros(next));
            if self.timer.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
        }
    }

    /// When a link that is too full for a chunk no longer is.
    fn when_writable(&self, link: &OrderedLink<Bytes>) -> Option<u64> {
        let now = self.now();
        link.writable_at(now, CHUNK_BYTES as u64).filter(|&at| at > now)
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut chunk = [0; CHUNK_BYTES];
        while !self.is_at_end && self.duplex.down.writable_bytes(self.now()) >= CHUNK_BYTES as u64 {
            let mut read = ReadBuf::new(&mut chunk);
            let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(cx, &mut read) else { break };
            result?;
            let bytes = Bytes::copy_from_slice(read.filled());
            self.is_at_end = bytes.is_empty();
            if !self.is_at_end {
                let sent = self.duplex.down.try_send(self.now(), bytes.len() as u64, bytes);
                debug_assert!(sent.is_ok(), "there was room for a chunk");
            }
        }
        if self.incoming.is_empty()
            && let Some((_, bytes)) = self.duplex.down.receive(self.now())
        {
            self.incoming = bytes;
        }
        Ok(())
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            if self.outgoing.is_empty() {
                let Some((_, bytes)) = self.duplex.up.receive(self.now()) else { return Ok(()) };
                self.outgoing = bytes;
            }
            match Pin::new(&mut self.stream).poll_write(cx, &self.outgoing) {
                Poll::Ready(written) => self.outgoing.advance(written?),
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// Whether all that was written has left.
    fn has_left(&self) -> bool {
        self.outgoing.is_empty() && self.duplex.up.next_arrival().is_none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Conditioned<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.poll_links(cx)?;
        if this.incoming.is_empty() {
            let is_over = this.is_at_end && this.duplex.down.next_arrival().is_none();
            return if is_over { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let taken = this.incoming.split_to(this.incoming.len().min(buffer.remaining()));
        buffer.put_slice(&taken);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Conditioned<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let taken = &bytes[..bytes.len().min(CHUNK_BYTES)];
        // Room may come up between the try and the look at when it will: then there is nothing to wait for.
        loop {
            let now = this.now();
            let sent = this.duplex.up.try_send(now, taken.len() as u64, Bytes::copy_from_slice(taken));
            this.poll_links(cx)?;
            if sent.is_ok() {
                return Poll::Ready(Ok(taken.len()));
            }
            if this.when_writable(&this.duplex.up).is_some() {
                return Poll::Pending;
            }
        }
    }

    /// As with a socket, flushed is what the stream has taken, not what has arrived.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.poll_links(cx)?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.poll_links(cx)?;
        if this.has_left() { Pin::new(&mut this.stream).poll_shutdown(cx) } else { Poll::Pending }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Conditioned(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
            Self::Churned(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Conditioned(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
            Self::Churned(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Conditioned(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            Self::Churned(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Conditioned(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Self::Churned(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const ONE_WAY: Duration = Duration::from_millis(100);

    fn far() -> Profile {
        Profile { base_micros: ONE_WAY.as_micros() as u64, ..Profile::PERFECT }
    }

    #[tokio::test(start_paused = true)]
    async fn each_way_takes_as_long_as_the_link_and_nothing_is_lost() {
        let (near, mut server) = duplex(1 << 20);
        let start = Instant::now();
        let mut bot = Conditioned::new(near, &far(), 1, 0, start);
        let sent: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
        let echo = async {
            let mut heard = vec![0; sent.len()];
            server.read_exact(&mut heard).await.unwrap();
            let heard_at = start.elapsed();
            server.write_all(&heard).await.unwrap();
            (heard_at, server)
        };
        let play = async {
            let (mut read, mut write) = tokio::io::split(&mut bot);
            let mut heard = vec![0; sent.len()];
            let (written, heard_all) = tokio::join!(write.write_all(&sent), read.read_exact(&mut heard));
            written.unwrap();
            heard_all.unwrap();
            heard
        };
        let ((heard_at, server), heard) = tokio::join!(echo, play);
        assert_eq!(heard, sent);
        // 64 KiB a round trip: the send buffer is what limits 300 kB each way.
        assert!((5 * ONE_WAY..12 * ONE_WAY).contains(&heard_at), "{heard_at:?}");
        assert!(start.elapsed() >= heard_at + ONE_WAY);
        drop(server);
        assert_eq!(bot.read(&mut [0; 8]).await.unwrap(), 0, "the end comes through as well");
    }

    #[tokio::test(start_paused = true)]
    async fn a_goodbye_is_carried_to_the_other_end_before_the_stream_closes() {
        let (near, mut server) = duplex(1 << 10);
        let mut bot = Conditioned::new(near, &far(), 1, 0, Instant::now());
        bot.write_all(b"bye").await.unwrap();
        bot.shutdown().await.unwrap();
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"bye");
    }
}
