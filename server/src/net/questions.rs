//! Which rooms there are, for those who ask before they say hello.

use tickwire_protocol::handshake::{AuthRefusal, RejectReason};
use tickwire_protocol::limits::LISTS_PER_CONNECTION_MAX;
use tickwire_protocol::room::ListRooms;
use tickwire_protocol::{Misbehavior, PeerFault};

use super::listener::Shared;
use super::lock::lock;
use super::seat::Ending;
use super::upgrade::Visitor;
use super::websocket::WebSocketWriter;

/// The questions of a connection. Each costs a look at every room, so there are few; connections come at the
/// [rate](super::AddressLimits::handshakes_per_second) of their address.
#[derive(Debug, Default)]
pub(super) struct Questions {
    answered: u32,
}

impl Questions {
    /// Answers a LIST, and waits until the socket has taken it: who does not read asks no more.
    pub(super) async fn answer(
        &mut self,
        payload: &[u8],
        visitor: &Visitor,
        writer: &mut WebSocketWriter,
        shared: &Shared,
    ) -> Result<(), Ending> {
        let question = ListRooms::decode(payload).map_err(PeerFault::from)?;
        may_ask(visitor, shared).map_err(|refusal| Ending::Rejected(RejectReason::Unauthorized(refusal)))?;
        self.answered += 1;
        if self.answered > LISTS_PER_CONNECTION_MAX {
            return Err(PeerFault::from(Misbehavior::TooManyQuestions(LISTS_PER_CONNECTION_MAX)).into());
        }
        let mut answer = Vec::new();
        lock(&shared.directory).list(&question).encode(&mut answer);
        writer.send(&answer).map_err(|_| Ending::Gone)?;
        writer.drain().await.map_err(|_| Ending::Gone)
    }
}

/// Who may ask is who would be let in; of a token that comes in a hello nothing is known yet.
fn may_ask(visitor: &Visitor, shared: &Shared) -> Result<(), AuthRefusal> {
    match &visitor.known {
        Some(Ok(_)) => Ok(()),
        Some(Err(refusal)) => Err(*refusal),
        None => shared.gate.guest().map(drop),
    }
}
