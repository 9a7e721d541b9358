//! Takes what the game of one room says to those in others there: the rooms' tasks wait for nobody.
//!
//! ```text
//!  room ── at most 64 ──> its task ── bounded, never waited for ──> courier ── waits for a place ──> inbox of each other room
//! ```
//!
//! Where a queue is full the one before it fills up, and in the end the game is told so (`SendError::Full`).

use std::sync::Arc;
use std::time::Duration;

use tickwire_protocol::RoomId;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::doors::{Delivery, ToRoom};
use super::listener::Shared;
use crate::core::Broadcast;

/// Messages of all rooms that wait for the courier.
pub(super) const LETTERS_WAITING_MAX: usize = 256;

/// How long a room may keep all others waiting whose inbox is full. It looks into it 20 times a second at least: one that does not is stuck, and
/// those in it are as good as gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// A message, and the room that has it already.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) from: RoomId,
    pub(super) broadcast: Broadcast,
}

/// Passes letters on, in the order in which they come, as long as the server runs.
pub(super) async fn run(mut letters: mpsc::Receiver<Letter>, shared: Arc<Shared>) {
    while let Some(Letter { from, broadcast }) = letters.recv().await {
        for (room, inbox) in shared.inboxes() {
            if room == from {
                continue;
            }
            let letter = ToRoom::Deliver(Box::new(Delivery { broadcast: broadcast.clone(), answer: None }));
            // A room that has ended meanwhile has nobody in it.
            if timeout(PATIENCE, inbox.send(letter)).await.is_err() {
                tracing::warn!(%room, "the room takes nothing in: a message from another room has not reached it");
            }
        }
    }
}
