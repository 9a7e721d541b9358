//! Which rooms a server has, asked before one is joined.

use futures_util::{SinkExt as _, StreamExt as _};
use tickwire_protocol::CloseCode;
use tickwire_protocol::room::{ListRooms, RoomList};
use tokio_tungstenite::tungstenite::Message;

use super::error::ConnectError;
use super::open::{ask, dial, within};
use super::options::Options;
use crate::core::{ClientConfig, DisconnectReason, read_rooms};

/// Asks a server for a page of its public rooms, over a connection of its own that is over when this returns. A room is joined by its
/// name: [`RoomWish::Existing`](tickwire_protocol::RoomWish::Existing). Of `config` it needs how long it may take.
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
    let asking = async {
        let mut socket = ask(dial(url, config).await?, url, options).await?;
        let mut message = Vec::new();
        question.encode(&mut message);
        let lost = |_| ConnectError::Ended(DisconnectReason::Lost);
        socket.send(Message::Binary(message.into())).await.map_err(lost)?;
        while let Some(message) = socket.next().await {
            match message.map_err(lost)? {
                Message::Binary(answer) => {
                    // Whoever does not hear the goodbye finds out by itself.
                    let _ = socket.close(None).await;
                    return read_rooms(answer).map_err(|reason| match reason {
                        DisconnectReason::Rejected(reason) => ConnectError::Rejected(reason),
                        reason => ConnectError::Ended(reason),
                    });
                }
                Message::Close(Some(close)) => {
                    let (code, reason) = (CloseCode(close.code.into()), close.reason.to_string());
                    return Err(ConnectError::Ended(DisconnectReason::Closed { code, reason }));
                }
                _ => {}
            }
        }
        Err(ConnectError::Ended(DisconnectReason::Lost))
    };
    within(url, config, asking).await
}
