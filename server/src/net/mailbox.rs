//! The way from a room to one connection: at most one message that is not flushed yet, and a word when to close.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tickwire_protocol::{CloseCode, PeerFault};
use tokio::sync::{mpsc, oneshot};

/// Why and how a connection is to be closed.
#[derive(Clone, Debug)]
pub(super) struct Closing {
    pub(super) code: CloseCode,
    pub(super) reason: String,
}

/// What a connection is told whose room has gone without another word.
pub(super) const ROOM_ENDED: &str = "the room has ended";

impl Closing {
    /// The server ends.
    pub(super) fn shutdown() -> Self {
        Self { code: CloseCode::GOING_AWAY, reason: "the server is shutting down".to_owned() }
    }
}

impl From<PeerFault> for Closing {
    fn from(fault: PeerFault) -> Self {
        Self { code: fault.into(), reason: fault.to_string() }
    }
}

/// The room's end.
#[derive(Debug)]
pub(super) struct Mailbox {
    is_writing: Arc<AtomicBool>,
    messages: mpsc::Sender<Bytes>,
    /// Its own path: a connection whose writes stall can still be told.
    close: Option<oneshot::Sender<Closing>>,
}

/// The connection's end.
#[derive(Debug)]
pub(super) struct Letters {
    is_writing: Arc<AtomicBool>,
    messages: mpsc::Receiver<Bytes>,
    close: oneshot::Receiver<Closing>,
}

/// Both ends.
pub(super) fn mailbox() -> (Mailbox, Letters) {
    let is_writing = Arc::new(AtomicBool::new(false));
    let (message_sender, message_receiver) = mpsc::channel(1);
    let (close_sender, close_receiver) = oneshot::channel();
    (
        Mailbox { is_writing: is_writing.clone(), messages: message_sender, close: Some(close_sender) },
        Letters { is_writing, messages: message_receiver, close: close_receiver },
    )
}

impl Mailbox {
    /// Whether everything given before has reached the kernel: only then is it worth encoding anew.
    pub(super) fn is_ready(&self) -> bool {
        !self.is_writing.load(Ordering::Acquire)
    }

    /// Gives a message; only while [`Mailbox::is_ready`].
    pub(super) fn send(&self, message: Bytes) {
        self.is_writing.store(true, Ordering::Release);
        // A closed channel means that the connection ends anyway.
        let _ = self.messages.try_send(message);
    }

    /// Asks for the connection to be closed, after what was given before.
    pub(super) fn close(&mut self, closing: Closing) {
        if let Some(close) = self.close.take() {
            let _ = close.send(closing);
        }
    }
}

impl Letters {
    /// The next message, or why to close. Messages come first.
    pub(super) async fn next(&mut self) -> Result<Bytes, Closing> {
        tokio::select! {
            biased;
            Some(message) = self.messages.recv() => Ok(message),
            closing = told(&mut self.close) => Err(closing),
        }
    }

    /// Waits for the word to close, also while a message is being written.
    pub(super) async fn closing(&mut self) -> Closing {
        told(&mut self.close).await
    }

    /// The message has reached the kernel.
    pub(super) fn flushed(&self) {
        self.is_writing.store(false, Ordering::Release);
    }
}

/// Why to close. A room that has gone without a word has failed.
async fn told(close: &mut oneshot::Receiver<Closing>) -> Closing {
    close.await.unwrap_or_else(|_| Closing { code: CloseCode::INTERNAL, reason: ROOM_ENDED.to_owned() })
}
