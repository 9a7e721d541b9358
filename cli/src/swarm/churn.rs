//! Connections that end when chance wants, in every way in which connections end.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tickwire_sim::Random;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};

use super::outcome::Phase;

/// A WebSocket close with 1001, "going away", masked with zeros: RFC 6455, sections 5.5.1 and 7.4.1.
const GOING_AWAY: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

/// Sockets that nobody reads and nobody closes; the oldest go.
pub(super) const ABANDONED_MAX: usize = 512;

/// A cut never comes later than so many times the mean.
const LONGEST: f64 = 10.0;

/// How a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cut {
    /// By a reset: what is on its way is lost.
    Reset,
    /// In the middle of what is written next, and then by a reset.
    Torn,
    /// The stream is closed, and nothing is said.
    Finished,
    /// It is said to be closed for now.
    GoingAway,
    /// Nobody tells the server.
    Abandoned,
}

const CUTS: [Cut; 5] = [Cut::Reset, Cut::Torn, Cut::Finished, Cut::GoingAway, Cut::Abandoned];

/// What cuts the connections of one bot.
#[derive(Clone, Debug)]
pub(super) struct Shears {
    /// How long a connection lasts on average.
    mean: Duration,
    /// Only measured time is cut.
    phase: watch::Receiver<Phase>,
    random: Random,
    cuts: Arc<AtomicU64>,
    abandoned: Graveyard,
}

/// Sockets that were left open.
pub(super) type Graveyard = Arc<Mutex<VecDeque<TcpStream>>>;

impl Shears {
    pub(super) fn new(
        mean: Duration,
        phase: watch::Receiver<Phase>,
        seed: u64,
        abandoned: Graveyard,
    ) -> Self {
        Self { mean, phase, random: Random::from_seed(seed), cuts: Arc::default(), abandoned }
    }

    /// Cuts since the beginning.
    pub(super) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }

    /// Those for the next connection: each has chance of its own, and all count together.
    pub(super) fn for_next(&mut self) -> Self {
        Self { random: Random::from_seed(self.random.next_u64()), ..self.clone() }
    }

    /// A connection that these will cut.
    pub(super) fn hold(mut self, stream: TcpStream) -> Churned {
        let (first, cut) = (self.interval(), self.kind());
        Churned {
            stream: Some(stream),
            cut,
            timer: Box::pin(sleep(first)),
            shears: self,
            is_torn_next: false,
            is_between_frames: true,
        }
    }

    /// From now to the cut: the exponential distribution, which knows no past.
    fn interval(&mut self) -> Duration {
        // Of 2^53 numbers as far apart as a double tells them, none of which is 0.
        let uniform = ((self.random.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        self.mean.mul_f64((-uniform.ln()).min(LONGEST))
    }

    fn kind(&mut self) -> Cut {
        CUTS[self.random.below(CUTS.len() as u32) as usize]
    }
}

/// A TCP stream until it is cut.
#[derive(Debug)]
pub(super) struct Churned {
    stream: Option<TcpStream>,
    cut: Cut,
    timer: Pin<Box<Sleep>>,
    shears: Shears,
    is_torn_next: bool,
    /// All that was to be written is: a WebSocket frame may begin.
    is_between_frames: bool,
}

impl Churned {
    /// The stream, unless its time has come.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> io::Result<&mut TcpStream> {
        while !self.is_torn_next && self.timer.as_mut().poll(cx).is_ready() {
            if *self.shears.phase.borrow() != Phase::Measuring {
                let next = Instant::now() + self.shears.interval();
                self.timer.as_mut().reset(next);
            } else if self.cut == Cut::Torn {
                self.is_torn_next = true;
            } else {
                self.cut();
                break;
            }
        }
        self.stream.as_mut().ok_or_else(is_cut)
    }

    fn cut(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        self.shears.cuts.fetch_add(1, Ordering::Relaxed);
        match self.cut {
            Cut::Reset | Cut::Torn => drop(stream.set_zero_linger()),
            Cut::Finished => {}
            Cut::GoingAway => {
                // Within a frame it could not be read; then it is one that says nothing.
                if self.is_between_frames {
                    let _ = stream.try_write(&GOING_AWAY);
                }
            }
            Cut::Abandoned => {
                let mut abandoned = self.shears.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
                if abandoned.len() >= ABANDONED_MAX {
                    abandoned.pop_front();
                }
                abandoned.push_back(stream);
            }
        }
    }
}

fn is_cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "cut by the swarm")
}

impl AsyncRead for Churned {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().poll_stream(cx)?).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Churned {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let is_torn = this.is_torn_next;
        let stream = this.poll_stream(cx)?;
        if is_torn {
            let _ = stream.try_write(&bytes[..bytes.len() / 2]);
            this.cut();
            return Poll::Ready(Err(is_cut()));
        }
        let result = Pin::new(stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = result {
            this.is_between_frames = written == bytes.len();
        }
        result
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().poll_stream(cx)?).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Some(stream) => Pin::new(stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// What the other end of a connection reads that is cut in this way, after eight bytes.
    async fn ends(cut: Cut) -> (io::Result<usize>, Vec<u8>, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let (phase, phases) = watch::channel(Phase::Gathering);
        let graveyard = Graveyard::default();
        let shears = Shears::new(Duration::from_millis(5), phases, 7, graveyard.clone());
        let mut held = shears.clone().hold(stream);
        held.cut = cut;
        tokio::time::sleep(Duration::from_millis(60)).await;
        held.write_all(b"01234567").await.unwrap();
        assert_eq!(shears.cuts(), 0, "nothing is cut before it is measured");
        phase.send_replace(Phase::Measuring);
        while held.write_all(b"89").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(shears.cuts(), 1);
        assert!(held.read(&mut [0; 8]).await.is_err() && held.stream.is_none());
        let mut heard = Vec::new();
        let left = graveyard.lock().unwrap().len();
        graveyard.lock().unwrap().clear();
        (server.read_to_end(&mut heard).await, heard, left)
    }

    #[tokio::test]
    async fn connections_end_in_all_ways() {
        for cut in CUTS {
            let (result, heard, left) = ends(cut).await;
            let is_reset = matches!(cut, Cut::Reset | Cut::Torn);
            assert_eq!(result.is_err(), is_reset, "{cut:?}: {result:?}");
            assert_eq!(left, usize::from(cut == Cut::Abandoned), "{cut:?}");
            assert_eq!(heard.ends_with(&GOING_AWAY), cut == Cut::GoingAway, "{cut:?}");
            if !is_reset {
                assert!(heard.starts_with(b"01234567"), "{cut:?}");
            }
        }
    }

    #[test]
    fn cuts_are_about_as_far_apart_as_was_asked_for() {
        let (_, phases) = watch::channel(Phase::Measuring);
        let mut shears = Shears::new(Duration::from_secs(2), phases, 3, Graveyard::default());
        let all: Duration = (0..10_000).map(|_| shears.interval()).sum();
        let mean = all.as_secs_f64() / 1e4;
        assert!((1.95..2.05).contains(&mean), "{mean}");
    }
}
