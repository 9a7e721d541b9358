//! What clients send: inputs, acks, pings.

use bytes::Bytes;
use tickwire_protocol::ack::{Ack, AckWindow, Sequence};
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::input::InputFrame;
use tickwire_protocol::limits::FRAMES_PER_MESSAGE_MAX;
use tickwire_protocol::ping::Ping;
use tickwire_protocol::{Micros, RowMut, Tick, TickTime};
use tickwire_sim::arena::schema;
use tickwire_sim::bots::{BotView, Brain};

use crate::{SEED, SNAPSHOT_TICKS, TICK_RATE};

/// The tick of the room that the frames of this workload are for.
pub const TICK: Tick = Tick(10_000);

/// The frame that [`ordered_ack_payload`] acks.
pub const ORDERED_ACK: Sequence = Sequence(700);

/// How many frames [`datagram_ack_payload`] acks.
pub const DATAGRAMS_ACKED: usize = 257 - 26;

/// Payloads of INPUT frames, a brain each: [`SNAPSHOT_TICKS`] ticks of wandering and the ack of an ordered stream.
pub fn input_payloads() -> Vec<Bytes> {
    (0..FRAMES_PER_MESSAGE_MAX as u64).map(|player| payload(|out| write_input(player, out))).collect()
}

/// The payload of an ACK frame of an ordered stream.
pub fn ordered_ack_payload() -> Bytes {
    payload(|out| Ack::new(ORDERED_ACK).encode(out))
}

/// The payload of an ACK frame of datagrams: of the last 257 every tenth was lost.
pub fn datagram_ack_payload() -> Bytes {
    let mut window = AckWindow::new();
    for sequence in (0..=256).filter(|sequence| sequence % 10 != 1) {
        window.insert(Sequence(sequence));
    }
    let ack = window.ack().unwrap_or(Ack::new(Sequence(0)));
    payload(|out| ack.encode(out))
}

/// One message of as many small frames as a message may have: of eight frames six are inputs, one is an ack, one a
/// ping.
pub fn small_frames() -> Bytes {
    let mut message = Vec::new();
    for place in 0..FRAMES_PER_MESSAGE_MAX as u64 {
        match place % 8 {
            3 => Ack::new(Sequence(place as u16)).encode(&mut message),
            7 => Ping { client_time: Micros(place) }.encode(&mut message),
            _ => write_input(place, &mut message),
        }
    }
    message.into()
}

fn write_input(player: u64, out: &mut Vec<u8>) {
    let mut brain = Brain::new(SEED << 16 | player);
    let mut frame = InputFrame::new();
    frame.ack = Some(Ack::new(Sequence(player as u16)));
    frame.view = TickTime { tick: TICK - 8, fraction: 0.25 };
    let kind = schema().input();
    let mut values = vec![0; kind.column_count()];
    for tick in 0..SNAPSHOT_TICKS {
        let mut row = RowMut::new(kind, &mut values);
        row.reset();
        brain.think(TICK_RATE.dt(), &BotView { own: None, others: &[], targets: &[], level: None }, &mut row);
        frame.push(kind, TICK + tick, &values);
    }
    frame.encode(kind, out);
}

/// What stands behind the header of the frame that `encode` writes.
fn payload(encode: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut message = Vec::new();
    encode(&mut message);
    match frames(message.into()).next() {
        Some(Ok(frame)) => frame.payload,
        other => panic!("a frame was written, not {other:?}"),
    }
}

/// How many frames of this type [`small_frames`] holds.
pub const fn small_frames_of(ty: FrameType) -> usize {
    match ty {
        FrameType::Input => FRAMES_PER_MESSAGE_MAX / 8 * 6,
        FrameType::Ack | FrameType::Ping => FRAMES_PER_MESSAGE_MAX / 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_holds_what_it_should() {
        let parsed = frames(small_frames()).collect::<Result<Vec<_>, _>>().unwrap();
        for ty in FrameType::ALL {
            let count = parsed.iter().filter(|frame| frame.ty == ty).count();
            assert_eq!(count, small_frames_of(ty), "{ty}");
        }
        assert!(parsed.iter().all(|frame| frame.payload.len() < 40));
    }

    #[test]
    fn acks_tell_of_what_arrived() {
        assert_eq!(Ack::decode(&ordered_ack_payload()).unwrap().acked().count(), 1);
        assert_eq!(Ack::decode(&datagram_ack_payload()).unwrap().acked().count(), DATAGRAMS_ACKED);
    }
}
