//! A newer token on a live connection.

use tickwire_protocol::FrameType;
use tickwire_protocol::handshake::{Auth, Token};

use super::{Client, State};
use crate::core::event::{ClientFault, Event};

/// A token on its way: one at a time, as the server wants it.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    /// To be told; a newer one takes its place.
    token: Option<Token>,
    /// One was told, and waits for its answer.
    is_asked: bool,
}

impl Client {
    /// Gives the server a newer token, before the one expires by which it knows this client:
    /// [`AuthTerms::expires_in`](tickwire_protocol::handshake::AuthTerms) of the welcome tells when. [`Event::TokenChecked`] has the answer. A
    /// server takes up to eight in a minute.
    ///
    /// Nothing happens while there is no connection: the next one begins with a token of its own.
    pub fn renew_token(&mut self, token: Token) {
        if let State::Playing(_) = self.state {
            self.renewal.token = Some(token);
        }
    }

    pub(super) fn handle_auth(&mut self, payload: &[u8]) -> Result<(), ClientFault> {
        let answer = match Auth::decode(payload)? {
            Auth::Granted(terms) => Ok(terms),
            Auth::Refused(refusal) => Err(refusal),
            Auth::Token(_) => return Err(ClientFault::Unexpected(FrameType::Auth)),
        };
        if !core::mem::take(&mut self.renewal.is_asked) {
            return Err(ClientFault::Unexpected(FrameType::Auth));
        }
        if let (Ok(terms), State::Playing(session)) = (&answer, &self.state) {
            self.continuity.set_permissions(Some(terms), &session.welcome().room_name);
        }
        self.events.push_back(Event::TokenChecked(answer));
        Ok(())
    }
}

impl Renewal {
    pub(super) fn has_transmit(&self) -> bool {
        self.token.is_some() && !self.is_asked
    }

    /// Appends the frame, if there is one: it is large enough for a message of its own.
    pub(super) fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(token) = self.token.take_if(|_| !self.is_asked) else { return false };
        self.is_asked = true;
        Auth::Token(token).encode(out);
        true
    }
}
