//! Who the players of a room are.

use core::fmt;

use tickwire_protocol::PlayerId;
use tickwire_protocol::room::Profile;

/// Knows the players of a room: a server's room does; a client's predictions have none.
///
/// A step reaches it through [`StepContext::profile`](crate::StepContext::profile) and
/// [`StepContext::is_connected`](crate::StepContext::is_connected).
pub trait Roster: fmt::Debug {
    /// What a player says of itself.
    fn profile(&self, player: PlayerId) -> Option<&Profile>;

    /// Whether there is a connection to a player now.
    fn is_connected(&self, player: PlayerId) -> bool;
}
