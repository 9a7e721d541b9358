//! What one player has carried to another: questions, whose answers are carried back, and pictures.
//!
//! | what | to the server | to the other client |
//! |---|---|---|
//! | [`ASK`], request | whom: 32 bits, then the question, at most [`QUESTION_BYTES_MAX`] bytes | who asks: 32 bits, then the question |
//! | [`PICTURE`], bulk of at most [`PICTURE_BYTES_MAX`] | metadata: for whom: 32 bits, then a title, at most [`TITLE_BYTES_MAX`] bytes | metadata: of whom: 32 bits, then the title |
//!
//! Numbers are little-endian. An answer has as many bytes as a question at most. A player has one picture carried at a time, and what cannot
//! be delivered is refused, so a room holds one picture for each player and no more.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tickwire_protocol::bulk::{BulkError, BulkEvent, BulkId, BulkOffer, Side};
use tickwire_protocol::message::{
    Direction, MessageClass, MessageType, MessageTypeId, Refusal, Request, RequestId, Response,
};
use tickwire_protocol::{Micros, PlayerId};

use crate::context::StepContext;

/// A question to another player's client.
pub const ASK: MessageTypeId = MessageTypeId(7);
/// A picture for another player.
pub const PICTURE: u16 = 1;

/// Bytes of the longest question, and of the longest answer.
pub const QUESTION_BYTES_MAX: usize = 100;
/// Bytes of the largest picture.
pub const PICTURE_BYTES_MAX: u32 = 64 * 1024;
/// Bytes of the longest title of a picture.
pub const TITLE_BYTES_MAX: usize = 32;

/// How long who is asked may take.
const ANSWER_WITHIN: Micros = Micros::from_secs(8);

const PLAYER_BYTES: usize = size_of::<u32>();

/// A player, and what is said beside: the body of [`ASK`], and the metadata of a [`PICTURE`]. On the way to the server the player is the one
/// that it is for, on the way from it the one that it comes from.
pub fn addressed(player: PlayerId, text: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PLAYER_BYTES + text.len());
    bytes.put_u32_le(player.0);
    bytes.put_slice(text);
    bytes.freeze()
}

/// Reads what [`addressed`] wrote; nothing if it is too short.
pub fn read_addressed(mut bytes: Bytes) -> Option<(PlayerId, Bytes)> {
    let player = PlayerId(bytes.try_get_u32_le().ok()?);
    Some((player, bytes))
}

/// What the schema says of questions; pictures are in none.
pub(super) fn message_type() -> MessageType {
    let bytes = (PLAYER_BYTES + QUESTION_BYTES_MAX) as u32;
    MessageType::new(ASK, "ask", Direction::BothWays, MessageClass::Request, bytes)
        .answered_within(QUESTION_BYTES_MAX as u32)
}

/// What is on its way between players.
#[derive(Clone, Debug, Default)]
pub(super) struct Courier {
    /// Questions, by who was asked: who asks, and how it calls its question.
    questions: BTreeMap<(PlayerId, RequestId), (PlayerId, RequestId)>,
    /// By who has it carried.
    pictures: BTreeMap<PlayerId, Picture>,
}

#[derive(Clone, Debug)]
struct Picture {
    id: BulkId,
    to: PlayerId,
    title: Bytes,
    /// Once it is here.
    content: Option<Bytes>,
}

impl Courier {
    /// Carries what has come since the last step; questions come by [`Courier::ask`].
    pub(super) fn step(&mut self, ctx: &mut StepContext<'_>) {
        self.forget(ctx);
        while let Some((asked, id, response)) = ctx.poll_response() {
            self.answer(ctx, asked, id, response);
        }
        while let Some((player, event)) = ctx.poll_bulk() {
            self.handle_bulk(ctx, player, event);
        }
        self.deliver(ctx);
    }

    /// Passes a question on.
    pub(super) fn ask(&mut self, ctx: &mut StepContext<'_>, from: PlayerId, request: &Request) {
        let asked = read_addressed(request.body.clone())
            .filter(|(_, question)| question.len() <= QUESTION_BYTES_MAX)
            .and_then(|(whom, question)| {
                let id = ctx.request(whom, ASK, addressed(from, &question), ANSWER_WITHIN).ok()?;
                Some((whom, id))
            });
        match asked {
            Some(asked) => drop(self.questions.insert(asked, (from, request.id))),
            None => refuse(ctx, from, request.id, "there is nobody to be asked"),
        }
    }

    fn answer(&mut self, ctx: &mut StepContext<'_>, asked: PlayerId, id: RequestId, response: Response) {
        let Some((from, question)) = self.questions.remove(&(asked, id)) else { return };
        match response {
            // Who asked may have taken it back.
            Ok(answer) => drop(ctx.respond(from, question, Ok(answer))),
            Err(error) => refuse(ctx, from, question, &error.to_string()),
        }
    }

    /// Who has left answers nothing, and gets nothing.
    fn forget(&mut self, ctx: &mut StepContext<'_>) {
        let left = ctx.left();
        if left.is_empty() {
            return;
        }
        let is_over = |(asked, _): &(PlayerId, RequestId)| left.contains(asked);
        for (_, (from, question)) in self.questions.extract_if(.., |asked, _| is_over(asked)) {
            refuse(ctx, from, question, "who was asked has left");
        }
        self.questions.retain(|_, (from, _)| !left.contains(from));
        self.pictures.retain(|from, picture| !left.contains(from) && !left.contains(&picture.to));
    }

    fn handle_bulk(&mut self, ctx: &mut StepContext<'_>, player: PlayerId, event: BulkEvent) {
        match event {
            BulkEvent::Offered { id, offer } => self.take(ctx, player, id, offer),
            BulkEvent::Received { id, content } => {
                if let Some(picture) = self.pictures.get_mut(&player).filter(|picture| picture.id == id) {
                    picture.content = Some(content);
                }
            }
            BulkEvent::NotReceived { id, .. } if id.side() == Side::Client => {
                self.pictures.retain(|from, picture| *from != player || picture.id != id);
            }
            // What becomes of a picture at its receiver is between the two.
            _ => {}
        }
    }

    /// Has a picture come, unless its sender has another on the way.
    fn take(&mut self, ctx: &mut StepContext<'_>, from: PlayerId, id: BulkId, offer: BulkOffer) {
        let is_sound = offer.kind == PICTURE
            && offer.bytes <= PICTURE_BYTES_MAX
            && offer.metadata.len() <= PLAYER_BYTES + TITLE_BYTES_MAX;
        let addressed = read_addressed(offer.metadata)
            .filter(|(to, _)| is_sound && !self.pictures.contains_key(&from) && ctx.input(*to).is_some());
        match addressed.filter(|_| ctx.accept_bulk(from, id).is_ok()) {
            Some((to, title)) => {
                self.pictures.insert(from, Picture { id, to, title, content: None });
            }
            // Whoever has taken it back meanwhile needs no refusal.
            None => drop(ctx.cancel_bulk(from, id)),
        }
    }

    /// Offers the pictures that are here to those whom they are for; who has too many on the way waits.
    fn deliver(&mut self, ctx: &mut StepContext<'_>) {
        self.pictures.retain(|from, Picture { to, title, content, .. }| match content {
            Some(content) => {
                let offered = ctx.offer_bulk(*to, PICTURE, addressed(*from, title), content.clone());
                matches!(offered, Err(BulkError::Full { .. }))
            }
            None => true,
        });
    }
}

/// Says no; who has taken the question back meanwhile needs no answer.
fn refuse(ctx: &mut StepContext<'_>, player: PlayerId, id: RequestId, why: &str) {
    let _ = ctx.respond(player, id, Err(Refusal::Game(Bytes::copy_from_slice(why.as_bytes()))));
}
