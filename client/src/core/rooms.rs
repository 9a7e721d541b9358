//! What a server answers to who asks which rooms it has.

use bytes::Bytes;
use tickwire_protocol::DecodeError;
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::Reject;
use tickwire_protocol::room::RoomList;

use super::event::{ClientFault, DisconnectReason};

/// Reads the answer to a [question](tickwire_protocol::room::ListRooms) which rooms there are: one message, as the question was one before
/// any hello. For transports of one's own; over a WebSocket `net::list_rooms` asks and reads.
///
/// # Errors
/// [`Rejected`](DisconnectReason::Rejected) with `Unauthorized` where the server wants a token, or
/// [`Fault`](DisconnectReason::Fault) if it answers anything else than rooms.
pub fn read_rooms(answer: Bytes) -> Result<RoomList, DisconnectReason> {
    let faulty = |fault: DecodeError| DisconnectReason::Fault(fault.into());
    let mut frames = frames(answer);
    let first = frames.next().unwrap_or(Err(DecodeError::Truncated("rooms"))).map_err(faulty)?;
    if frames.next().is_some() {
        return Err(faulty(DecodeError::Trailing("rooms")));
    }
    match first.ty {
        FrameType::Rooms => RoomList::decode(&first.payload).map_err(faulty),
        FrameType::Reject => Err(DisconnectReason::Rejected(Reject::decode(&first.payload).map_err(faulty)?)),
        ty => Err(DisconnectReason::Fault(ClientFault::Unexpected(ty))),
    }
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::handshake::{AuthRefusal, RejectReason};
    use tickwire_protocol::room::ListRooms;

    use super::*;

    fn read(encode: impl FnOnce(&mut Vec<u8>)) -> Result<RoomList, DisconnectReason> {
        let mut message = Vec::new();
        encode(&mut message);
        read_rooms(message.into())
    }

    #[test]
    fn rooms_are_read_and_whatever_else_is_said_has_a_reason() {
        let rooms = RoomList { rooms: Vec::new(), has_more: true };
        assert_eq!(read(|out| rooms.encode(out)), Ok(rooms.clone()));
        let missing = Reject::from(RejectReason::Unauthorized(AuthRefusal::Missing));
        assert_eq!(read(|out| missing.encode(out)), Err(DisconnectReason::Rejected(missing.clone())));
        let unexpected = DisconnectReason::Fault(ClientFault::Unexpected(FrameType::List));
        assert_eq!(read(|out| ListRooms::default().encode(out)), Err(unexpected));
        let twice = read(|out| [(); 2].into_iter().for_each(|()| rooms.encode(out)));
        for damaged in [read(|_| {}), read(|out| out.push(1)), twice] {
            assert!(matches!(damaged, Err(DisconnectReason::Fault(_))), "{damaged:?}");
        }
    }
}
