//! What a script has the server's game do.

use tickwire_protocol::PlayerId;

/// What a script has the game do in its next step.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Ask(PlayerId, u8),
    CancelRequest(u8),
    Answer(u8),
    Emit(PlayerId, u8),
    Offer(PlayerId, u8),
    Decide(u8),
    Stop(u8),
    Regroup(PlayerId, u8),
    Speak(u8),
    Referee(PlayerId, u8),
}

impl Order {
    /// One step of a script: which, for whom, and how.
    pub(super) fn read(what: u8, player: PlayerId, much: u8) -> Self {
        match what {
            8 => Self::Ask(player, much),
            9 => Self::CancelRequest(much),
            10 => Self::Answer(much),
            11 => Self::Emit(player, much),
            12 => Self::Offer(player, much),
            13 if much < 128 => Self::Decide(much),
            13 => Self::Stop(much),
            14 if much < 192 => Self::Regroup(player, much),
            14 => Self::Speak(much),
            _ => Self::Referee(player, much),
        }
    }
}
