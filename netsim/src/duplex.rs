//! Both directions of one link, for a client and its server.

use crate::datagram::DatagramLink;
use crate::ordered::OrderedLink;
use crate::profile::{Direction, Profile};

/// A pair of [`DatagramLink`]s or [`OrderedLink`]s with one profile, seed and link number.
#[derive(Clone, Debug)]
pub struct Duplex<L> {
    /// From the server to the client.
    pub down: L,
    /// From the client to the server.
    pub up: L,
}

impl<L> Duplex<L> {
    /// The link of that direction.
    pub fn toward(&mut self, direction: Direction) -> &mut L {
        match direction {
            Direction::Down => &mut self.down,
            Direction::Up => &mut self.up,
        }
    }
}

impl<T> Duplex<DatagramLink<T>> {
    /// Both directions of datagram link number `link`.
    pub fn datagram(profile: &Profile, seed: u64, link: u64) -> Self {
        Self {
            down: DatagramLink::new(profile, seed, link, Direction::Down),
            up: DatagramLink::new(profile, seed, link, Direction::Up),
        }
    }

    /// When the next datagram arrives at either end, microseconds.
    pub fn next_arrival(&self) -> Option<u64> {
        earlier(self.down.next_arrival(), self.up.next_arrival())
    }
}

impl<T> Duplex<OrderedLink<T>> {
    /// Both directions of ordered link number `link`.
    pub fn ordered(profile: &Profile, seed: u64, link: u64) -> Self {
        Self {
            down: OrderedLink::new(profile, seed, link, Direction::Down),
            up: OrderedLink::new(profile, seed, link, Direction::Up),
        }
    }

    /// When the next message arrives at either end if nothing more is sent, microseconds.
    pub fn next_arrival(&self) -> Option<u64> {
        earlier(self.down.next_arrival(), self.up.next_arrival())
    }
}

fn earlier(left: Option<u64>, right: Option<u64>) -> Option<u64> {
    left.into_iter().chain(right).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_lead_to_their_own_end() {
        let mut duplex = Duplex::datagram(&Profile::PERFECT, 1, 0);
        duplex.toward(Direction::Up).send(4, 10, "to the server");
        duplex.toward(Direction::Down).send(3, 10, "to the client");
        assert_eq!(duplex.next_arrival(), Some(3));
        assert_eq!(duplex.down.receive(3), Some((3, "to the client")));
        assert_eq!(duplex.next_arrival(), Some(4));
        assert_eq!(duplex.up.receive(4), Some((4, "to the server")));
        assert_eq!(duplex.next_arrival(), None);
    }

    #[test]
    fn ordered_pairs_too() {
        let mut duplex = Duplex::ordered(&Profile::PERFECT, 1, 0);
        assert_eq!(duplex.up.try_send(2, 10, 'a'), Ok(()));
        assert_eq!(duplex.next_arrival(), Some(2));
        assert_eq!(duplex.toward(Direction::Up).receive(2), Some((2, 'a')));
    }
}
