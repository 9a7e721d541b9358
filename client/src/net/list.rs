//! Which rooms a server has, asked before one is joined.

use tickwire_protocol::room::{ListRooms, RoomList};

use super::error::ConnectError;
use super::options::Options;
use super::question::ask_once;
use crate::core::{ClientConfig, DisconnectReason, read_rooms};

/// Asks a server for a page of its public rooms, over a connection of its own that is over when this returns. A room is joined by its
/// name: [`RoomWish::Existing`](tickwire_protocol::RoomWish::Existing). Of `config` it needs how long it may take, and the
/// [tokens](ClientConfig::tokens) if the options have none.
///
/// ```no_run
/// use tickwire_client::net::{self, Options};
/// use tickwire_client::protocol::room::{ListRooms, RoomFilter};
/// # async fn lobby(config: &tickwire_client::ClientConfig) -> Result<(), net::ConnectError> {
/// let filter = RoomFilter { mode: "duel".into(), free_places: 1, ..RoomFilter::default() };
/// let mut question = ListRooms { filter, ..ListRooms::default() };
/// loop {
///     let page = net::list_rooms("ws://127.0.0.1:7777", config, &question, &Options::default()).await?;
///     for room in &page.rooms {
///         println!("{}: {} of {} players", room.name, room.players, room.players_max);
///     }
///     let Some(last) = page.rooms.last().filter(|_| page.has_more) else { break };
///     question.after = last.room;
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`connect`](super::connect): [`ConnectError::Rejected`] with `Unauthorized` where the server wants a token,
/// [`ConnectError::Ended`] with the code of a server that closes.
pub async fn list_rooms(
    url: &str,
    config: &ClientConfig,
    question: &ListRooms,
    options: &Options,
) -> Result<RoomList, ConnectError> {
    // There is no hello that could bring it.
    let tokens = options.tokens.clone().or_else(|| config.tokens.clone());
    let options = Options { tokens, ..options.clone() };
    let mut message = Vec::new();
    question.encode(&mut message);
    let answer = ask_once(url, config, &options, message).await?;
    read_rooms(answer).map_err(|reason| match reason {
        DisconnectReason::Rejected(reason) => ConnectError::Rejected(reason),
        reason => ConnectError::Ended(reason),
    })
}
