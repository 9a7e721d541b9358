//! How the connection stands.

use tickwire_protocol::Micros;

use super::{Client, State};
use crate::core::event::DisconnectReason;
use crate::core::state::ConnectionState;
use crate::core::timekeeper::Timekeeper;

impl Client {
    /// Where the client is with its connection.
    pub fn connection_state(&self, now: Micros) -> ConnectionState {
        let reconnecting = |next_in, last_error: &DisconnectReason| {
            let (attempt, of) = self.attempts.count();
            ConnectionState::Reconnecting { attempt, of, next_in, last_error: last_error.clone() }
        };
        match &self.state {
            State::Hello { reason: Some(reason), .. } if self.is_back() => {
                reconnecting(Some(Micros::ZERO), reason)
            }
            State::Waiting { until, reason, .. } if self.is_back() => {
                reconnecting(until.map(|until| until.saturating_since(now)), reason)
            }
            State::Hello { .. } | State::Waiting { .. } => ConnectionState::Connecting,
            State::Playing(_) => ConnectionState::Connected,
            State::Closed { reason, .. } if reason.is_goodbye() => ConnectionState::Disconnected,
            State::Closed { reason, .. } => ConnectionState::Failed { last_error: reason.clone() },
        }
    }

    /// Whether the server has let the client in, and the connection lasts.
    pub fn is_playing(&self) -> bool {
        matches!(self.state, State::Playing(_))
    }

    /// Whether the connection was lost, and the next one is not tried yet.
    #[cfg(feature = "net")]
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    /// Whether the connection was lost and is being tried anew: [`ConnectionState::Reconnecting`].
    pub fn is_reconnecting(&self) -> bool {
        let is_anew = matches!(self.state, State::Waiting { .. } | State::Hello { reason: Some(_), .. });
        is_anew && self.is_back()
    }

    /// Whether the next welcome is one to who was there before: in this program, or in the one that has exported its session.
    pub(super) fn is_back(&self) -> bool {
        self.session().is_some() || self.continuity.has_session()
    }

    /// Whether the connection is over, and does not come back by itself.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Why there is no connection any more; nothing while there is one or the first is being opened.
    pub fn disconnect_reason(&self) -> Option<&DisconnectReason> {
        match &self.state {
            State::Hello { reason, .. } => reason.as_ref(),
            State::Waiting { reason, .. } | State::Closed { reason, .. } => Some(reason),
            State::Playing(_) => None,
        }
    }

    /// Gives the client up for its knowledge of the server's time, where somebody goes on with the connection who reads no state;
    /// nothing before the welcome and after the end.
    pub fn into_timekeeper(self) -> Option<Timekeeper> {
        match self.state {
            State::Playing(session) => Some(session.into_timekeeper()),
            State::Hello { .. } | State::Waiting { .. } | State::Closed { .. } => None,
        }
    }
}
