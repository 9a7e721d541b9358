//! What the server's owner says to those in its rooms.

use bytes::Bytes;
use tickwire_protocol::message::MessageTypeId;
use tickwire_sim::Audience;
use tokio::sync::oneshot;

use super::doors::ToRoom;
use super::listener::ServerHandle;
use crate::core::{Broadcast, BroadcastError, Reach};

impl ServerHandle {
    /// Says something to [all](Audience::All) who are in a room, or to an [account](Audience::Account) wherever it is: as the game does with
    /// [`StepContext::send`](tickwire_sim::StepContext::send), and of the types that this may send. Waits until each room has given it to its
    /// own; how many have it then, connected or not.
    ///
    /// # Errors
    /// The schema does not let it be sent, or the audience is in one room: then nobody gets it.
    pub async fn broadcast(
        &self,
        to: Audience<'_>,
        ty: MessageTypeId,
        key: u32,
        body: Bytes,
    ) -> Result<Reach, BroadcastError> {
        let broadcast = Broadcast::new(self.shared.game.schema(), to, ty, key, body)?;
        let mut answers = Vec::new();
        for (_, inbox) in self.shared.inboxes() {
            let (answer, told) = oneshot::channel();
            // A room that has ended has nobody in it, and does not answer.
            let _ = inbox.send(ToRoom::Deliver { broadcast: broadcast.clone(), answer: Some(answer) }).await;
            answers.push(told);
        }
        let mut reach = Reach::default();
        for told in answers {
            reach += told.await.unwrap_or_default();
        }
        Ok(reach)
    }
}
