//! What went wrong with something that the game wanted, in one form for all that it may want.

use tickwire_protocol::Micros;
use tickwire_protocol::handshake::AuthRefusal;
use tickwire_protocol::message::{Denial, MessageId, Outcome, Refusal, RequestError, RequestId};

use super::event::{DisconnectReason, Event};

/// What the game wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// To send this message.
    Send(MessageId),
    /// To have this request answered.
    Request(RequestId),
    /// To give a newer token.
    RenewToken,
    /// To be let in, or to stay.
    Connect,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ProblemKind {
    /// The account may not, or the token is worth nothing.
    Forbidden,
    /// A rate was exceeded.
    TooOften,
    /// It waited too long, and was never written.
    Expired,
    /// The session in which it was wanted has ended. It may have been done.
    Lost,
    /// No answer came in time. It may have been done.
    Timeout,
    /// The other side says no.
    Refused,
    /// The other side's game does not know of such a thing.
    Unknown,
    /// The connection is over.
    Closed,
}

/// Whether it is worth to want it again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retry {
    /// It would end in the same way.
    Never,
    /// At any time.
    AnyTime,
    /// Not before so much time has passed.
    After(Micros),
}

/// Something that the game wanted and does not get. What a call refuses at once is its error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Problem {
    /// What was wanted.
    pub operation: Operation,
    /// What became of it.
    pub kind: ProblemKind,
    /// Whether to want it again.
    pub retry: Retry,
}

impl Event {
    /// What went wrong, if this event tells that something did.
    pub fn problem(&self) -> Option<Problem> {
        let (operation, (kind, retry)) = match self {
            Self::Sent(id, outcome) => (Operation::Send(*id), of_message(*outcome)?),
            Self::Response(id, Err(error)) => (Operation::Request(*id), of_request(error)?),
            Self::TokenChecked(Err(refusal)) => (Operation::RenewToken, of_token(*refusal)),
            Self::Rejected(reason) => {
                let retry = if reason.close_code().may_pass() { Retry::AnyTime } else { Retry::Never };
                (Operation::Connect, (ProblemKind::Refused, retry))
            }
            Self::Disconnected(reason) => (Operation::Connect, (ProblemKind::Closed, of_end(reason)?)),
            _ => return None,
        };
        Some(Problem { operation, kind, retry })
    }
}

fn of_message(outcome: Outcome) -> Option<(ProblemKind, Retry)> {
    match outcome {
        Outcome::Delivered | Outcome::Replaced => None,
        Outcome::Expired => Some((ProblemKind::Expired, Retry::AnyTime)),
        Outcome::Lost => Some((ProblemKind::Lost, Retry::AnyTime)),
        Outcome::Refused(denial) => Some(of_denial(denial)),
    }
}

fn of_denial(denial: Denial) -> (ProblemKind, Retry) {
    match denial.retry_after() {
        Some(time) => (ProblemKind::TooOften, Retry::After(time)),
        None => (ProblemKind::Forbidden, Retry::Never),
    }
}

fn of_request(error: &RequestError) -> Option<(ProblemKind, Retry)> {
    Some(match error {
        // The game wanted that.
        RequestError::Cancelled => return None,
        RequestError::Timeout => (ProblemKind::Timeout, Retry::AnyTime),
        RequestError::Lost => (ProblemKind::Lost, Retry::AnyTime),
        RequestError::Refused(Refusal::Game(_)) => (ProblemKind::Refused, Retry::Never),
        RequestError::Refused(Refusal::UnknownMethod) => (ProblemKind::Unknown, Retry::Never),
        RequestError::Refused(Refusal::Forbidden) => (ProblemKind::Forbidden, Retry::Never),
        RequestError::Refused(Refusal::TooOften { retry_after }) => {
            (ProblemKind::TooOften, Retry::After(*retry_after))
        }
    })
}

fn of_token(refusal: AuthRefusal) -> (ProblemKind, Retry) {
    let may_pass = matches!(refusal, AuthRefusal::Unavailable | AuthRefusal::NotYet);
    (ProblemKind::Forbidden, if may_pass { Retry::AnyTime } else { Retry::Never })
}

fn of_end(reason: &DisconnectReason) -> Option<Retry> {
    match reason {
        DisconnectReason::Left => None,
        DisconnectReason::Refused { retry_after: Some(time), .. } if reason.may_pass() => {
            Some(Retry::After(*time))
        }
        _ if reason.may_pass() => Some(Retry::AnyTime),
        _ => Some(Retry::Never),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::CloseCode;

    #[test]
    fn each_refusal_says_of_what_it_is_and_when_to_try_again() {
        let (message, request) = (MessageId(7), RequestId(9));
        let soon = Micros::from_millis(200);
        let closed = |code| Event::Disconnected(DisconnectReason::Closed { code, reason: String::new() });
        let too_often = Outcome::Refused(Denial::TooOften { retry_after: soon });
        let told = [
            (Event::Sent(message, too_often), ProblemKind::TooOften, Retry::After(soon)),
            (Event::Sent(message, Outcome::Refused(Denial::Forbidden)), ProblemKind::Forbidden, Retry::Never),
            (Event::Sent(message, Outcome::Expired), ProblemKind::Expired, Retry::AnyTime),
            (Event::Sent(message, Outcome::Lost), ProblemKind::Lost, Retry::AnyTime),
            (Event::Response(request, Err(RequestError::Timeout)), ProblemKind::Timeout, Retry::AnyTime),
            (
                Event::Response(request, Err(Refusal::TooOften { retry_after: soon }.into())),
                ProblemKind::TooOften,
                Retry::After(soon),
            ),
            (closed(CloseCode::TOO_OFTEN), ProblemKind::Closed, Retry::Never),
            (closed(CloseCode::TRY_AGAIN_LATER), ProblemKind::Closed, Retry::AnyTime),
        ];
        for (event, kind, retry) in told {
            let operation = match event {
                Event::Sent(..) => Operation::Send(message),
                Event::Response(..) => Operation::Request(request),
                _ => Operation::Connect,
            };
            assert_eq!(event.problem(), Some(Problem { operation, kind, retry }), "{event:?}");
        }
        for event in [
            Event::Sent(message, Outcome::Delivered),
            Event::Response(request, Err(RequestError::Cancelled)),
            Event::Disconnected(DisconnectReason::Left),
        ] {
            assert_eq!(event.problem(), None, "{event:?}");
        }
    }
}
