//! Requests and their answers, of both directions: the same on both ends of a session.
//!
//! ```text
//!  request    a message of a type of class Request    id: varint | body
//!  RESPONSE   of the engine                           id: varint | status: 8 | body or retry after, milliseconds: varint
//!  CANCEL     of the engine                           id: varint
//! ```
//!
//! All three travel in the lane of requests, so each arrives exactly once however often the connection is lost, and a request is
//! answered once. Who asked hears of its own deadline whatever the other side does, and then takes the request back.
//!
//! Invariants: at most [`REQUESTS_OPEN_MAX`] of each direction are without an answer, those among them whose answer nobody polled; an
//! answer is told once.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, Bytes};
use thiserror::Error;

use super::body::MessageBody;
use super::engine::{CANCEL, RESPONSE};
use super::frame::{VARINT_BYTES_MAX, read_varint, write_varint};
use super::inbox::Message;
use super::lane::Lane;
use super::outbox::Outbox;
use super::send_error::SendError;
use super::types::{MessageType, MessageTypeId};
use super::waiting::MessageId;
use crate::fault::DecodeError;
use crate::limits::REQUESTS_OPEN_MAX;
use crate::schema::Schema;
use crate::time::Micros;

/// Names a request among those of its asker, for as long as the session lasts.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u32);

/// Something that the other side's game asks for; to be answered by its id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// Which.
    pub id: RequestId,
    /// For what: the method.
    pub ty: MessageTypeId,
    /// What the game there says with it.
    pub body: Bytes,
}

/// Why the other side does not do what it was asked for.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    /// Its game says no, and why.
    #[error("refused")]
    Game(Bytes),
    /// Its game does not know what to do with requests of this type.
    #[error("nobody answers requests of this type")]
    UnknownMethod,
    /// More was asked than the type's rate allows.
    #[error("asked too often: again in {} ms", retry_after.0 / 1_000)]
    TooOften {
        /// When it will be allowed again.
        retry_after: Micros,
    },
    /// The session lacks the permission that the type needs.
    #[error("not permitted")]
    Forbidden,
}

/// Why a request has no answer.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum RequestError {
    /// It was not answered in time. It may have been done.
    #[error("not answered in time")]
    Timeout,
    /// The asker took it back. It may have been done.
    #[error("cancelled")]
    Cancelled,
    /// The session that it was asked in has ended. It may have been done.
    #[error("the session has ended")]
    Lost,
    /// It was not done.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// What comes of a request.
pub type Response = Result<Bytes, RequestError>;

/// When one that came on top of [`REQUESTS_OPEN_MAX`] may be asked again: a program that was started anew does not know what the one before
/// it has asked for.
const TRY_AGAIN_AFTER: Micros = Micros::from_secs(1);

/// Bytes before the body of a request.
pub(super) const REQUEST_HEADER_BYTES_MAX: usize = VARINT_BYTES_MAX;
/// Bytes before the body of an answer.
pub(super) const RESPONSE_HEADER_BYTES_MAX: usize = VARINT_BYTES_MAX + 1;

/// The requests of one session, as one side sees them.
#[derive(Debug, Default)]
pub struct Requests {
    /// What this side asked for and was not answered.
    asked: BTreeMap<RequestId, Asked>,
    /// What came of others, until the game asks.
    answers: VecDeque<(RequestId, Response)>,
    /// What the other side asked for and was not answered, by the names that the game here was told.
    open: BTreeMap<RequestId, MessageTypeId>,
    /// How far those names are ahead of the other side's, which begin anew with each session: so that no late answer is taken for that to
    /// a question of the next. And one past the newest of them.
    ahead: u32,
    next_name: u32,
    /// Those of them that the game has not seen.
    unseen: VecDeque<Request>,
    /// Those that it has answered, with what there was no room for yet, in this order.
    held: VecDeque<(RequestId, MessageBody)>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    message: MessageId,
    ty: MessageTypeId,
    deadline: Micros,
}

impl Requests {
    /// Asks for something. The answer, or why there is none, will be told by [`Requests::poll_response`] after `timeout` at the latest.
    pub fn ask(
        &mut self,
        now: Micros,
        outbox: &mut Outbox,
        ty: MessageTypeId,
        body: &[u8],
        timeout: Micros,
    ) -> Result<RequestId, SendError> {
        self.expire(now, outbox);
        let waiting = self.asked.len() + self.answers.len();
        if waiting >= REQUESTS_OPEN_MAX {
            return Err(SendError::Full { messages: waiting, bytes: 0 });
        }
        // Messages are counted over the whole life of a session, also when it is saved and restored.
        let id = RequestId(outbox.next_id() as u32);
        let deadline = Micros(now.0.saturating_add(timeout.0));
        let message = outbox.send_request(now, ty, headed(id, &[], body), deadline)?;
        self.asked.insert(id, Asked { message, ty, deadline });
        Ok(id)
    }

    /// Takes a request back: it ends as [`Cancelled`](RequestError::Cancelled), unless its answer is here already.
    pub fn cancel(&mut self, now: Micros, outbox: &mut Outbox, id: RequestId) {
        if self.asked.remove(&id).is_some() {
            self.answers.push_back((id, Err(RequestError::Cancelled)));
            take_back(now, outbox, id);
        }
    }

    /// Nobody here waits for anything any more: what was asked for is taken back, and of what came of it nothing is told.
    pub fn abandon(&mut self, now: Micros, outbox: &mut Outbox) {
        self.asked.keys().for_each(|id| take_back(now, outbox, *id));
        self.asked.clear();
        self.answers.clear();
    }

    /// The next request that came to its end. Ask until there is none.
    pub fn poll_response(&mut self, now: Micros, outbox: &mut Outbox) -> Option<(RequestId, Response)> {
        self.expire(now, outbox);
        self.answers.pop_front()
    }

    fn expire(&mut self, now: Micros, outbox: &mut Outbox) {
        let answers = &mut self.answers;
        self.asked.retain(|&id, asked| {
            let waits = now < asked.deadline;
            if !waits {
                answers.push_back((id, Err(RequestError::Timeout)));
                take_back(now, outbox, id);
            }
            waits
        });
    }

    /// Takes in a message of the lane of requests. An error means that the other side does not keep to the protocol.
    ///
    /// A request that `refuses` has something against is answered with it at once.
    pub fn handle(
        &mut self,
        now: Micros,
        schema: &Schema,
        outbox: &mut Outbox,
        mut message: Message,
        refuses: impl FnOnce(MessageTypeId, usize) -> Option<Refusal>,
    ) -> Result<(), DecodeError> {
        let theirs = RequestId(read_varint(&mut message.body)?);
        let id = RequestId(theirs.0.wrapping_add(self.ahead));
        match message.ty {
            RESPONSE => self.handle_response(schema, outbox, theirs, message.body),
            CANCEL => {
                self.open.remove(&id);
                self.unseen.retain(|request| request.id != id);
                self.held.retain(|(held, _)| *held != id);
                if message.body.is_empty() { Ok(()) } else { Err(DecodeError::Trailing("cancel")) }
            }
            ty => {
                if self.open.contains_key(&id) {
                    return Err(DecodeError::Invalid {
                        what: "request, asked twice",
                        value: u64::from(theirs.0),
                    });
                }
                // Before it is known that there are too many open: those count against the rates as well.
                let refusal = refuses(ty, message.body.len());
                if self.open.len() >= REQUESTS_OPEN_MAX {
                    let refusal = headed(theirs, &[3], &millis(TRY_AGAIN_AFTER));
                    let (value, limit) = (self.open.len() as u64 + 1, REQUESTS_OPEN_MAX as u64);
                    let too_many = DecodeError::TooLarge { what: "requests without an answer", value, limit };
                    return outbox.send_engine(now, RESPONSE, 0, refusal).map_err(|_| too_many);
                }
                self.open.insert(id, ty);
                self.next_name = id.0.wrapping_add(1);
                match refusal {
                    // There is room: no more wait for an answer than the lane holds. If not, it runs into its deadline.
                    Some(refusal) => drop(self.respond(now, schema, outbox, id, Err(refusal))),
                    None => self.unseen.push_back(Request { id, ty, body: message.body }),
                }
                Ok(())
            }
        }
    }

    fn handle_response(
        &mut self,
        schema: &Schema,
        outbox: &Outbox,
        id: RequestId,
        body: Bytes,
    ) -> Result<(), DecodeError> {
        let is_asked = (outbox.next_id() as u32).wrapping_sub(id.0) as i32 > 0;
        let response = read_response(body)?;
        let Some(asked) = self.asked.get(&id) else {
            // Nobody waits for it any more.
            let never = DecodeError::Invalid { what: "answer to what was not asked", value: u64::from(id.0) };
            return if is_asked { Ok(()) } else { Err(never) };
        };
        let limit = u64::from(schema.message(asked.ty).map_or(0, MessageType::response_bytes_max));
        if let Ok(body) | Err(Refusal::Game(body)) = &response
            && body.len() as u64 > limit
        {
            return Err(DecodeError::TooLarge { what: "answer", value: body.len() as u64, limit });
        }
        self.asked.remove(&id);
        self.answers.push_back((id, response.map_err(RequestError::Refused)));
        Ok(())
    }

    /// The next request of the other side's. Ask until there is none, and [respond](Requests::respond) to each.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.unseen.pop_front()
    }

    /// Answers a request. Where there is no room for the answer it waits for [`Requests::flush`]; its request counts as open so long, which
    /// bounds how much can wait.
    ///
    /// # Errors
    /// [`NotAsked`](SendError::NotAsked) if it was taken back, or answered before; or why the answer is not taken: then another may be
    /// tried.
    pub fn respond(
        &mut self,
        now: Micros,
        schema: &Schema,
        outbox: &mut Outbox,
        id: RequestId,
        response: Result<Bytes, Refusal>,
    ) -> Result<(), SendError> {
        let is_answered = self.held.iter().any(|(held, _)| *held == id);
        let open = self.open.get(&id).filter(|_| !is_answered);
        let ty = open.and_then(|&ty| schema.message(ty)).ok_or(SendError::NotAsked)?;
        let (status, body) = match response {
            Ok(body) => (0, body),
            Err(Refusal::Game(body)) => (1, body),
            Err(Refusal::UnknownMethod) => (2, Bytes::new()),
            Err(Refusal::TooOften { retry_after }) => (3, millis(retry_after)),
            Err(Refusal::Forbidden) => (4, Bytes::new()),
        };
        if body.len() > ty.response_bytes_max() as usize && status < 2 {
            let (name, max) = (ty.name().to_owned(), ty.response_bytes_max());
            return Err(SendError::TooLarge { name, bytes: body.len(), max });
        }
        let theirs = RequestId(id.0.wrapping_sub(self.ahead));
        self.held.push_back((id, headed(theirs, &[status], &body)));
        self.flush(now, outbox);
        Ok(())
    }

    /// Gives back the memory that was needed at some time and is not now.
    pub fn shrink_to_fit(&mut self) {
        self.answers.shrink_to_fit();
        self.unseen.shrink_to_fit();
    }

    /// Hands over answers for which there was no room before.
    pub fn flush(&mut self, now: Micros, outbox: &mut Outbox) {
        while let Some((id, answer)) = self.held.front() {
            if outbox.send_engine(now, RESPONSE, 0, answer.clone()).is_err() {
                return;
            }
            self.open.remove(id);
            self.held.pop_front();
        }
    }

    /// Whether [`Requests::flush`] has something for which there is room now.
    pub fn can_flush(&self, outbox: &Outbox) -> bool {
        self.held.front().is_some_and(|(_, answer)| outbox.has_room(RESPONSE, answer.len()))
    }

    /// Whether answers wait for room.
    pub fn holds_answers(&self) -> bool {
        !self.held.is_empty()
    }

    /// Another session begins: what was asked for in the one before has no answer. What was never written is asked in the new one.
    pub fn handle_fresh(&mut self, outbox: &Outbox) {
        let answers = &mut self.answers;
        self.asked.retain(|&id, asked| {
            let waits = outbox.holds(Lane::Requests, asked.message);
            if !waits {
                answers.push_back((id, Err(RequestError::Lost)));
            }
            waits
        });
        self.open.clear();
        self.unseen.clear();
        self.held.clear();
        self.ahead = self.next_name;
    }
}

/// Tells the other side that nobody waits any more. Where that finds no room, its answer is passed over.
fn take_back(now: Micros, outbox: &mut Outbox, id: RequestId) {
    let _ = outbox.send_engine(now, CANCEL, 0, headed(id, &[], &[]));
}

fn headed(id: RequestId, more: &[u8], body: &[u8]) -> MessageBody {
    let mut out = Vec::with_capacity(RESPONSE_HEADER_BYTES_MAX + body.len());
    write_varint(&mut out, id.0);
    out.extend_from_slice(more);
    out.extend_from_slice(body);
    out.into()
}

fn millis(time: Micros) -> Bytes {
    let mut out = Vec::new();
    write_varint(&mut out, u32::try_from(time.0.div_ceil(1_000)).unwrap_or(u32::MAX));
    out.into()
}

fn read_response(mut bytes: Bytes) -> Result<Result<Bytes, Refusal>, DecodeError> {
    let status = bytes.try_get_u8().map_err(|_| DecodeError::Truncated("response"))?;
    let refusal = match status {
        0 => return Ok(Ok(bytes)),
        1 => return Ok(Err(Refusal::Game(bytes))),
        2 => Refusal::UnknownMethod,
        3 => Refusal::TooOften { retry_after: Micros::from_millis(u64::from(read_varint(&mut bytes)?)) },
        4 => Refusal::Forbidden,
        _ => return Err(DecodeError::Invalid { what: "status of a response", value: u64::from(status) }),
    };
    if bytes.is_empty() { Ok(Err(refusal)) } else { Err(DecodeError::Trailing("response")) }
}
