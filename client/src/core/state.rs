//! What a client's connection is like, as its game sees it.

use tickwire_protocol::Micros;

use super::event::DisconnectReason;

/// Where a client is with its connection: [`Client::connection_state`](crate::Client::connection_state).
///
/// ```text
///                 welcome                 lost
///  Connecting ──────────────> Connected ────────> Reconnecting ──> Connected ...
///      │                          │ close             │ close: Disconnected
///      ├─> Failed                 ├─> Disconnected    └─> Failed: too often, or what does not pass
///      └─> Disconnected (close)   └─> Failed: what does not pass, or nobody comes back by itself
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConnectionState {
    /// Over as it should be: the game has left, or the server has said goodbye.
    Disconnected,
    /// The first connection of this program is being opened.
    Connecting,
    /// The server has let the client in.
    Connected,
    /// The connection was lost, and is tried anew; or the first one of who goes on with a [session](crate::ClientConfig::session) was not
    /// to be had.
    Reconnecting {
        /// Which attempt is made or waited for, from 1.
        attempt: u32,
        /// After how many it is given up.
        of: u32,
        /// In how much time it is made; 0 while it is, nothing while the network is [down](super::Network::Down).
        next_in: Option<Micros>,
        /// Why the last connection or attempt ended.
        last_error: DisconnectReason,
    },
    /// It could not be opened, or was lost and does not come back by itself. [`Client::reconnect`](crate::Client::reconnect) tries anew.
    Failed {
        /// Why.
        last_error: DisconnectReason,
    },
}
