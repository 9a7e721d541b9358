//! A client's link to the server, of either kind, with what a WebSocket adds.
//!
//! Hello and welcome must arrive. Beside datagrams a transport has a stream for them, as QUIC has; datagrams that overtake the
//! welcome are of no use and thrown away.

use bytes::Bytes;
use tickwire_netsim::{DatagramLink, Direction, Duplex, OrderedLink, Profile};
use tickwire_protocol::handshake::StreamKind;

/// Both directions of a client's link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    duplex: Kind,
    /// Bytes handed over so far, as the report counts them.
    pub(crate) down_bytes: u64,
    pub(crate) up_bytes: u64,
    /// What the stream did not take yet, at most one message a direction.
    unsent: [Option<Bytes>; 2],
    /// Whether the first message has been sent, and received, in each direction.
    has_sent: [bool; 2],
    has_received: [bool; 2],
}

#[derive(Clone, Debug)]
enum Kind {
    Ordered(Duplex<OrderedLink<Bytes>>),
    /// And the stream for the first message each way.
    Datagram(Duplex<DatagramLink<Bytes>>, Box<Duplex<OrderedLink<Bytes>>>),
}

impl Link {
    pub(crate) fn new(stream: StreamKind, profile: &Profile, seed: u64, number: u64) -> Self {
        let duplex = match stream {
            StreamKind::Ordered => Kind::Ordered(Duplex::ordered(profile, seed, number)),
            StreamKind::Datagram => Kind::Datagram(
                Duplex::datagram(profile, seed, number),
                Box::new(Duplex::ordered(profile, seed, number)),
            ),
        };
        let (unsent, has_sent, has_received) = ([None, None], [false; 2], [false; 2]);
        Self { duplex, down_bytes: 0, up_bytes: 0, unsent, has_sent, has_received }
    }

    /// Whether the next message can be handed over: what was before is with the stream.
    pub(crate) fn is_free(&self, direction: Direction) -> bool {
        self.unsent[direction as usize].is_none()
    }

    /// Sends a message. Ask [`Link::is_free`] first.
    pub(crate) fn send(&mut self, now: u64, direction: Direction, message: &[u8]) {
        let size = match self.duplex {
            Kind::Ordered(_) => message.len() as u64 + websocket_bytes(message.len(), direction),
            Kind::Datagram(..) => message.len() as u64,
        };
        match direction {
            Direction::Down => self.down_bytes += size,
            Direction::Up => self.up_bytes += size,
        }
        let message = Bytes::copy_from_slice(message);
        match &mut self.duplex {
            Kind::Ordered(duplex) => {
                self.unsent[direction as usize] = duplex.toward(direction).try_send(now, size, message).err();
            }
            Kind::Datagram(_, stream) if !self.has_sent[direction as usize] => {
                // One small message always fits an empty buffer.
                self.unsent[direction as usize] = stream.toward(direction).try_send(now, size, message).err();
            }
            Kind::Datagram(duplex, _) => duplex.toward(direction).send(now, size, message),
        }
        self.has_sent[direction as usize] = true;
    }

    /// Hands over what the stream did not take before.
    pub(crate) fn flush(&mut self, now: u64, direction: Direction) {
        let Some(message) = self.unsent[direction as usize].take() else { return };
        let Kind::Ordered(duplex) = &mut self.duplex else { return };
        let size = message.len() as u64 + websocket_bytes(message.len(), direction);
        self.unsent[direction as usize] = duplex.toward(direction).try_send(now, size, message).err();
    }

    /// When the next message arrives at that end, or an unsent one may be handed over at the other.
    pub(crate) fn next_event(&self, now: u64, direction: Direction) -> Option<u64> {
        let waiting = self.unsent[direction as usize].as_ref();
        match &self.duplex {
            Kind::Ordered(duplex) => {
                let link = ordered(duplex, direction);
                let writable = waiting.and_then(|message| link.writable_at(now, message.len() as u64 + 14));
                link.next_arrival().into_iter().chain(writable).min()
            }
            Kind::Datagram(duplex, stream) => {
                let datagram = match direction {
                    Direction::Down => duplex.down.next_arrival(),
                    Direction::Up => duplex.up.next_arrival(),
                };
                datagram.into_iter().chain(ordered(stream, direction).next_arrival()).min()
            }
        }
    }

    /// The next message that has arrived, with the instant of its arrival.
    pub(crate) fn receive(&mut self, now: u64, direction: Direction) -> Option<(u64, Bytes)> {
        let has_received = &mut self.has_received[direction as usize];
        match &mut self.duplex {
            Kind::Ordered(duplex) => duplex.toward(direction).receive(now),
            Kind::Datagram(duplex, stream) => {
                let first = stream.toward(direction).receive(now);
                *has_received |= first.is_some();
                first.or_else(|| {
                    let datagrams = duplex.toward(direction);
                    core::iter::from_fn(|| datagrams.receive(now)).find(|_| *has_received)
                })
            }
        }
    }
}

fn ordered(duplex: &Duplex<OrderedLink<Bytes>>, direction: Direction) -> &OrderedLink<Bytes> {
    match direction {
        Direction::Down => &duplex.down,
        Direction::Up => &duplex.up,
    }
}

/// A frame's header (RFC 6455, section 5.2), and the mask that clients add.
fn websocket_bytes(length: usize, direction: Direction) -> u64 {
    let header = match length {
        0..=125 => 2,
        126..=65_535 => 4,
        _ => 10,
    };
    header + if direction == Direction::Up { 4 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_websocket_adds_its_header_and_the_clients_mask() {
        let mut link = Link::new(StreamKind::Ordered, &Profile::PERFECT, 1, 0);
        link.send(0, Direction::Down, &[0; 125]);
        link.send(0, Direction::Up, &[0; 126]);
        assert_eq!((link.down_bytes, link.up_bytes), (127, 134));
        let mut link = Link::new(StreamKind::Datagram, &Profile::PERFECT, 1, 0);
        link.send(0, Direction::Up, &[0; 126]);
        assert_eq!(link.up_bytes, 126);
    }

    #[test]
    fn what_the_stream_does_not_take_waits_and_nothing_is_handed_over_behind_it() {
        let mut link = Link::new(StreamKind::Ordered, &Profile::WIFI, 1, 0);
        link.send(0, Direction::Down, &vec![1; 40_000]);
        assert!(link.is_free(Direction::Down));
        link.send(0, Direction::Down, &vec![2; 40_000]);
        assert!(!link.is_free(Direction::Down));
        let mut now = 0;
        let mut received = Vec::new();
        while received.len() < 2 {
            now = link.next_event(now, Direction::Down).expect("something to wait for");
            link.flush(now, Direction::Down);
            received.extend(link.receive(now, Direction::Down).map(|(_, message)| message[0]));
        }
        assert_eq!(received, [1, 2]);
        assert!(link.is_free(Direction::Down));
    }
}
