//! What a game does with messages, by their type: for games that would rather say it once than match in their loop.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tickwire_protocol::message::MessageTypeId;
use tickwire_protocol::typed::{self, TypedError};

use crate::core::Event;

/// Functions for the messages of a game `G`. Beside the client, and none of its business: the game polls events as ever, and hands them in.
///
/// ```
/// use tickwire_client::protocol::{Micros, message::MessageTypeId};
/// use tickwire_client::{Client, Event, Handlers};
///
/// const CHAT: MessageTypeId = MessageTypeId(0);
/// const GOLD: MessageTypeId = MessageTypeId(1);
///
/// #[derive(Default)]
/// struct Game {
///     chat: Vec<String>,
///     gold: u32,
/// }
///
/// fn handlers() -> Handlers<Game> {
///     Handlers::new()
///         .on(CHAT, |game: &mut Game, (who, line): (String, String)| game.chat.push(format!("{who}: {line}")))
///         .on(GOLD, |game: &mut Game, gold: u32| game.gold = gold)
/// }
///
/// fn frame(client: &mut Client, now: Micros, game: &mut Game, handlers: &mut Handlers<Game>) {
///     while let Some(event) = client.poll_event(now) {
///         match handlers.handle(game, event) {
///             Some(Event::Disconnected(reason)) => println!("{reason}"),
///             _ => {}
///         }
///     }
///     for (ty, count) in handlers.unhandled() {
///         eprintln!("{count} messages of type {ty} had no handler");
///     }
/// }
/// # assert_eq!(handlers().unhandled().count(), 0);
/// ```
pub struct Handlers<G> {
    by_type: BTreeMap<MessageTypeId, Handler<G>>,
    unhandled: BTreeMap<MessageTypeId, u64>,
    unreadable: BTreeMap<MessageTypeId, u64>,
}

type Handler<G> = Box<dyn FnMut(&mut G, Bytes) -> Result<(), TypedError> + Send>;

impl<G> Handlers<G> {
    /// None yet.
    pub fn new() -> Self {
        Self { by_type: BTreeMap::new(), unhandled: BTreeMap::new(), unreadable: BTreeMap::new() }
    }

    /// What to do with messages of this type, which are values that [`typed::write`] has written. Takes the place of an earlier one.
    #[must_use]
    pub fn on<T: DeserializeOwned>(
        mut self,
        ty: MessageTypeId,
        mut handle: impl FnMut(&mut G, T) + Send + 'static,
    ) -> Self {
        let typed = move |game: &mut G, body: Bytes| typed::read(&body).map(|value| handle(game, value));
        self.by_type.insert(ty, Box::new(typed));
        self
    }

    /// As [`Handlers::on`], of bytes as they are.
    #[must_use]
    pub fn on_bytes(
        mut self,
        ty: MessageTypeId,
        mut handle: impl FnMut(&mut G, Bytes) + Send + 'static,
    ) -> Self {
        let plain = move |game: &mut G, body: Bytes| {
            handle(game, body);
            Ok(())
        };
        self.by_type.insert(ty, Box::new(plain));
        self
    }

    /// Does with a message what is to be done with its type. Gives back what is no message, or one that has no handler: that is counted.
    pub fn handle(&mut self, game: &mut G, event: Event) -> Option<Event> {
        let Event::Message(message) = event else { return Some(event) };
        let Some(handler) = self.by_type.get_mut(&message.ty) else {
            *self.unhandled.entry(message.ty).or_default() += 1;
            return Some(Event::Message(message));
        };
        if handler(game, message.body).is_err() {
            *self.unreadable.entry(message.ty).or_default() += 1;
        }
        None
    }

    /// Messages without a handler, by type: no more types than the schema has.
    pub fn unhandled(&self) -> impl Iterator<Item = (MessageTypeId, u64)> {
        self.unhandled.iter().map(|(ty, count)| (*ty, *count))
    }

    /// Messages that were no value of what their handler takes, by type: the server's game has another type there, or is hostile.
    pub fn unreadable(&self) -> impl Iterator<Item = (MessageTypeId, u64)> {
        self.unreadable.iter().map(|(ty, count)| (*ty, *count))
    }
}

impl<G> Default for Handlers<G> {
    fn default() -> Self {
        Self::new()
    }
}

impl<G> fmt::Debug for Handlers<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers")
            .field("types", &self.by_type.keys())
            .field("unhandled", &self.unhandled)
            .field("unreadable", &self.unreadable)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::message::Message;

    const GOLD: MessageTypeId = MessageTypeId(1);
    const RAW: MessageTypeId = MessageTypeId(2);
    const NEW: MessageTypeId = MessageTypeId(3);

    #[test]
    fn messages_go_to_the_handlers_of_their_types_and_the_others_are_counted() {
        let mut handlers = Handlers::new()
            .on(GOLD, |_: &mut Vec<String>, _: u8| panic!("another has taken its place"))
            .on(GOLD, |told: &mut Vec<String>, gold: u32| told.push(format!("gold {gold}")))
            .on_bytes(RAW, |told: &mut Vec<String>, body| told.push(format!("{} bytes", body.len())));
        let mut told = Vec::new();
        let mut say = |ty, body: &'static [u8]| {
            let event = Event::Message(Message { ty, key: 0, body: Bytes::from_static(body) });
            handlers.handle(&mut told, event.clone()).map(|back| assert_eq!(back, event)).is_some()
        };
        assert!(!say(GOLD, &[7]) && !say(RAW, &[1, 2]));
        assert!(say(NEW, &[]) && say(NEW, &[]), "given back");
        assert!(!say(GOLD, &[7, 7]), "no number, but its handler's affair");
        assert_eq!(handlers.handle(&mut told, Event::Groups), Some(Event::Groups));
        assert_eq!(told, ["gold 7", "2 bytes"]);
        assert_eq!(handlers.unhandled().collect::<Vec<_>>(), [(NEW, 2)]);
        assert_eq!(handlers.unreadable().collect::<Vec<_>>(), [(GOLD, 1)]);
    }
}
