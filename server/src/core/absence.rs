//! What a player does whose client is away.

use tickwire_sim::PlayerInputs;

use super::session::Player;

/// What the simulation is told of a player whose connection was lost, or whose client is paused, until it is back or its session is over.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Absence {
    /// It stays, with an input that is all zero, or the bounds nearest to it: it stands where it stood.
    #[default]
    Stand,
    /// It stays without an input: [`StepContext::input`](tickwire_sim::StepContext::input) has none, and the game moves it as it likes.
    Bot,
    /// It has left. When its client is back it joins anew, as the same player.
    Remove,
}

impl Absence {
    /// A tick without the client; whether the player has no input in it.
    pub(crate) fn step(self, player: &mut Player, inputs: &mut PlayerInputs) -> bool {
        if self == Self::Remove && core::mem::replace(&mut player.is_announced, false) {
            inputs.leave(player.id);
        }
        // Who was not told of yet is not told of while it is away; one that stands is.
        self != Self::Stand
    }
}
