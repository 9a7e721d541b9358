//! Whom a game lets into its room.

use core::fmt;

use tickwire_protocol::handshake::{Features, RejectReason, Role};
use tickwire_protocol::limits::{HELLO_TEXT_BYTES_MAX, REASON_BYTES_MAX};
use tickwire_protocol::room::Profile;

use crate::account::Account;

/// Somebody who wants to begin a session in a room, as far as the server knows. Nobody vouches for anything but its account.
#[derive(Clone, Copy)]
pub struct Newcomer<'a> {
    /// Who is behind it, and what its token claims; nothing for a guest.
    pub account: Option<Account<'a>>,
    /// What its token allows it in this room: see [`Newcomer::may`].
    pub permissions: &'a dyn Fn(&str) -> bool,
    /// As what it wants to be here.
    pub role: Role,
    /// What it says of itself: its name, and what the game's client has added.
    pub profile: &'a Profile,
    /// The version of the game that its client is, at most 64 bytes.
    pub game_build: &'a str,
    /// Where its client runs, say `x86_64-linux`, at most 64 bytes.
    pub platform: &'a str,
    /// What its client can do beside the rest of the wire's version.
    pub features: Features,
}

impl Newcomer<'_> {
    /// Whether its token allows this in this room: `action`, or `action@room`. Of what is not the engine's own (`play`, `watch` and `open`) a
    /// guest may nothing. Whether it may play or watch was looked at before.
    pub fn may(&self, action: &str) -> bool {
        (self.permissions)(action)
    }
}

impl fmt::Debug for Newcomer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Newcomer")
            .field("account", &self.account)
            .field("role", &self.role)
            .field("profile", &self.profile)
            .field("game_build", &self.game_build)
            .field("platform", &self.platform)
            .field("features", &self.features)
            .finish_non_exhaustive()
    }
}

/// Why a game does not let somebody in. Its client is told, and does not try again by itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum JoinRefusal {
    /// A reason of the game's own, in words for whoever plays: at most [`REASON_BYTES_MAX`] bytes of it are told.
    Game(String),
    /// Its client is another version of the game than this one, which the room takes: at most 64 bytes of it are told.
    GameBuild(String),
    /// Its client lacks something of this, which the room needs.
    Features(Features),
}

impl JoinRefusal {
    /// As its client is told: texts are cut behind the last character that has room, and control characters are spaces.
    pub fn reject(self, newcomer: &Newcomer<'_>) -> RejectReason {
        match self {
            Self::Game(words) => RejectReason::Game(plain(&words, REASON_BYTES_MAX)),
            Self::GameBuild(ours) => RejectReason::GameBuild {
                ours: plain(&ours, HELLO_TEXT_BYTES_MAX),
                yours: newcomer.game_build.to_owned(),
            },
            Self::Features(ours) => RejectReason::Features { ours, yours: newcomer.features },
        }
    }
}

/// What a client takes.
fn plain(text: &str, bytes_max: usize) -> String {
    let mut plain: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    plain.truncate(plain.floor_char_boundary(bytes_max));
    plain
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::frame::frames;
    use tickwire_protocol::handshake::Reject;

    use super::*;

    #[test]
    fn a_refusal_is_told_in_words_that_a_client_takes() {
        let newcomer = Newcomer {
            account: None,
            permissions: &|_| false,
            role: Role::Player,
            profile: &Profile::default(),
            game_build: "duel 1",
            platform: "",
            features: Features(1),
        };
        let told = |refusal: JoinRefusal| {
            let reason = refusal.reject(&newcomer);
            let mut message = Vec::new();
            Reject::from(reason.clone()).encode(&mut message);
            let frame = frames(message.into()).next().unwrap().unwrap();
            assert_eq!(Reject::decode(&frame.payload).unwrap().reason, reason);
            reason
        };
        let long = "x".repeat(REASON_BYTES_MAX - 1) + "é";
        let game = |words: &str| RejectReason::Game(words.to_owned());
        assert_eq!(told(JoinRefusal::Game(long)), game(&"x".repeat(REASON_BYTES_MAX - 1)));
        assert_eq!(told(JoinRefusal::Game("not\ntoday".to_owned())), game("not today"));
        let build = RejectReason::GameBuild { ours: "v".repeat(64), yours: "duel 1".to_owned() };
        assert_eq!(told(JoinRefusal::GameBuild("v".repeat(65))), build);
        let features = RejectReason::Features { ours: Features(3), yours: Features(1) };
        assert_eq!(told(JoinRefusal::Features(Features(3))), features);
    }
}
