//! What went wrong with something that the game wanted, in one form for all that it may want.

use tickwire_protocol::bulk::{BulkError, BulkEvent, BulkFailure, BulkId};
use tickwire_protocol::handshake::{AuthRefusal, FreshReason, Reject, RejectReason, SessionOutcome};
use tickwire_protocol::message::{Denial, MessageId, Outcome, Refusal, RequestError, RequestId, SendError};
use tickwire_protocol::{CloseCode, Micros};

use super::event::{DisconnectReason, Event};
use super::saved::SavedSessionError;

/// What the game wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// What the call that gave this error was to do. Nothing was begun that would have a name.
    Call,
    /// To send this message.
    Send(MessageId),
    /// To have this request answered.
    Request(RequestId),
    /// To bring this transfer to its end, either way.
    Transfer(BulkId),
    /// To give a newer token.
    RenewToken,
    /// To be let in, or to stay; to be told which rooms there are, or of which game they are.
    Connect,
    /// To go on with the session that there was, whole.
    Resume,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ProblemKind {
    /// What was given can never be done: it breaks a limit, or is not for this client or connection.
    Invalid,
    /// The account may not, the token is worth nothing, or the secret is wrong.
    Forbidden,
    /// A rate was exceeded.
    TooOften,
    /// There is no room for it now.
    Full,
    /// It waited too long, and was never written.
    Expired,
    /// The session in which it was wanted has ended. It may have been done.
    Lost,
    /// No answer came in time. It may have been done.
    Timeout,
    /// One of the two sides has stopped it.
    Cancelled,
    /// The other side says no.
    Refused,
    /// There is no such thing, here or on the other side.
    Unknown,
    /// The two sides are not of one version, game or kind.
    Incompatible,
    /// What came is not what was sent, or is no lawful thing to send.
    Damaged,
    /// The other side does not show that it is who it is to be.
    Untrusted,
    /// There is no way to the server.
    Unreachable,
    /// The connection or the session is over.
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
    /// The client does so by itself.
    ByItself,
}

/// Something that the game wanted and does not get.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Problem {
    /// What was wanted.
    pub operation: Operation,
    /// What became of it.
    pub kind: ProblemKind,
    /// Whether to want it again.
    pub retry: Retry,
}

/// What may tell of a [`Problem`]: every event, and every error that a call gives.
///
/// ```
/// use tickwire_client::{AsProblem as _, Event, Problem, Retry};
///
/// fn note(event: &Event) {
///     if let Some(Problem { operation, kind, retry: Retry::After(time) }) = event.problem() {
///         println!("{operation:?}: {kind:?}, again in {time:?}");
///     }
/// }
/// ```
pub trait AsProblem {
    /// What went wrong; nothing if all went as the game wanted it.
    fn problem(&self) -> Option<Problem>;
}

/// What became of something, and whether to want it again.
type Verdict = (ProblemKind, Retry);

impl AsProblem for Event {
    fn problem(&self) -> Option<Problem> {
        let (operation, (kind, retry)) = match self {
            Self::Connected { outcome, .. } => (Operation::Resume, of_outcome(*outcome)?),
            Self::Reconnecting { last_error, .. } => {
                (Operation::Connect, (of_end(last_error)?.0, Retry::ByItself))
            }
            Self::Rejected(reject) => return reject.problem(),
            Self::Sent(id, outcome) => (Operation::Send(*id), of_message(*outcome)?),
            Self::Response(id, Err(error)) => (Operation::Request(*id), of_request(error)?),
            Self::Bulk(BulkEvent::NotSent { id, why } | BulkEvent::NotReceived { id, why }) => {
                (Operation::Transfer(*id), of_transfer(*why))
            }
            Self::TokenChecked(Err(refusal)) => (Operation::RenewToken, of_token(*refusal)),
            Self::Disconnected(reason) => return reason.problem(),
            Self::Entered { .. }
            | Self::Left { .. }
            | Self::Cue(_)
            | Self::Confirmed { .. }
            | Self::Member(_)
            | Self::Game(_)
            | Self::Match(_)
            | Self::Groups
            | Self::Message(_)
            | Self::Request(_)
            | Self::Response(_, Ok(_))
            | Self::Bulk(_)
            | Self::TokenChecked(Ok(_)) => return None,
        };
        Some(Problem { operation, kind, retry })
    }
}

impl AsProblem for DisconnectReason {
    fn problem(&self) -> Option<Problem> {
        of_end(self).map(|verdict| of(Operation::Connect, verdict))
    }
}

impl AsProblem for Reject {
    fn problem(&self) -> Option<Problem> {
        Some(of(Operation::Connect, of_reject(self)))
    }
}

impl AsProblem for SendError {
    fn problem(&self) -> Option<Problem> {
        let verdict = match self {
            Self::UnknownType(_)
            | Self::WrongWay { .. }
            | Self::OtherCall { .. }
            | Self::TooLarge { .. }
            | Self::NotOrdered
            | Self::OnlyWatches => (ProblemKind::Invalid, Retry::Never),
            Self::NotPolled { .. } | Self::Full { .. } => (ProblemKind::Full, Retry::AnyTime),
            Self::Denied { denial, .. } => of_denial(*denial),
            // Servers alone speak to many.
            Self::NotAll { error, .. } => return error.problem(),
            Self::NotAsked => (ProblemKind::Unknown, Retry::Never),
            Self::Closed => (ProblemKind::Closed, Retry::Never),
        };
        Some(of(Operation::Call, verdict))
    }
}

impl AsProblem for BulkError {
    fn problem(&self) -> Option<Problem> {
        let verdict = match self {
            Self::TooLarge { .. } | Self::NotOrdered => (ProblemKind::Invalid, Retry::Never),
            Self::Full { .. } => (ProblemKind::Full, Retry::AnyTime),
            Self::Unknown => (ProblemKind::Unknown, Retry::Never),
            Self::Closed => (ProblemKind::Closed, Retry::Never),
        };
        Some(of(Operation::Call, verdict))
    }
}

impl AsProblem for SavedSessionError {
    fn problem(&self) -> Option<Problem> {
        let kind = match self {
            Self::NoSession => ProblemKind::Unknown,
            Self::Foreign => ProblemKind::Invalid,
            Self::Version(_) | Self::OtherSchema { .. } => ProblemKind::Incompatible,
            Self::Damaged => ProblemKind::Damaged,
        };
        Some(of(Operation::Call, (kind, Retry::Never)))
    }
}

fn of(operation: Operation, (kind, retry): Verdict) -> Problem {
    Problem { operation, kind, retry }
}

fn of_outcome(outcome: SessionOutcome) -> Option<Verdict> {
    let kind = match outcome {
        SessionOutcome::Resumed | SessionOutcome::Fresh(FreshReason::First) => return None,
        SessionOutcome::Resynced { .. }
        | SessionOutcome::Fresh(FreshReason::Unknown | FreshReason::Inconsistent) => ProblemKind::Lost,
        SessionOutcome::Fresh(FreshReason::WrongToken | FreshReason::OtherAccount) => ProblemKind::Forbidden,
    };
    Some((kind, Retry::Never))
}

fn of_message(outcome: Outcome) -> Option<Verdict> {
    match outcome {
        Outcome::Delivered | Outcome::Replaced => None,
        Outcome::Expired => Some((ProblemKind::Expired, Retry::AnyTime)),
        Outcome::Lost => Some((ProblemKind::Lost, Retry::AnyTime)),
        Outcome::Refused(denial) => Some(of_denial(denial)),
    }
}

fn of_denial(denial: Denial) -> Verdict {
    match denial.retry_after() {
        Some(time) => (ProblemKind::TooOften, Retry::After(time)),
        None => (ProblemKind::Forbidden, Retry::Never),
    }
}

fn of_request(error: &RequestError) -> Option<Verdict> {
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

fn of_transfer(failure: BulkFailure) -> Verdict {
    match failure {
        BulkFailure::Refused => (ProblemKind::Refused, Retry::Never),
        BulkFailure::Expired => (ProblemKind::Timeout, Retry::AnyTime),
        BulkFailure::Cancelled => (ProblemKind::Cancelled, Retry::Never),
        BulkFailure::Damaged => (ProblemKind::Damaged, Retry::AnyTime),
        BulkFailure::Lost => (ProblemKind::Lost, Retry::AnyTime),
    }
}

fn of_token(refusal: AuthRefusal) -> Verdict {
    let retry = match refusal {
        AuthRefusal::NotYet => Retry::AnyTime,
        refusal => of_code(RejectReason::Unauthorized(refusal).close_code()),
    };
    (ProblemKind::Forbidden, retry)
}

fn of_reject(reject: &Reject) -> Verdict {
    let Reject { reason, retry_after } = reject;
    let kind = match reason {
        RejectReason::Magic
        | RejectReason::Version { .. }
        | RejectReason::Schema { .. }
        | RejectReason::Features { .. }
        | RejectReason::GameBuild { .. }
        | RejectReason::Stream { .. } => ProblemKind::Incompatible,
        RejectReason::ServerFull { .. }
        | RejectReason::RoomFull { .. }
        | RejectReason::TooManyRooms { .. } => ProblemKind::Full,
        RejectReason::ShuttingDown => ProblemKind::Closed,
        RejectReason::BadRoomName => ProblemKind::Invalid,
        RejectReason::NoSuchRoom => ProblemKind::Unknown,
        RejectReason::AccountBusy { .. } | RejectReason::RoomExists | RejectReason::Game(_) => {
            ProblemKind::Refused
        }
        RejectReason::Forbidden { .. } | RejectReason::WrongSecret | RejectReason::NoSpectators => {
            ProblemKind::Forbidden
        }
        RejectReason::Unauthorized(AuthRefusal::Unavailable) => ProblemKind::Forbidden,
        RejectReason::Unauthorized(refusal) => return of_token(*refusal),
    };
    (kind, retry(reason.close_code().may_pass(), *retry_after))
}

/// As the table of close codes has it.
fn of_code(code: CloseCode) -> Retry {
    retry(code.may_pass(), code.retry_after())
}

fn retry(may_pass: bool, retry_after: Option<Micros>) -> Retry {
    match retry_after {
        _ if !may_pass => Retry::Never,
        Some(time) => Retry::After(time),
        None => Retry::AnyTime,
    }
}

fn of_end(reason: &DisconnectReason) -> Option<Verdict> {
    let kind = match reason {
        DisconnectReason::Left => return None,
        DisconnectReason::Rejected(reject) => return Some(of_reject(reject)),
        DisconnectReason::Refused { status, .. } => of_status(*status),
        DisconnectReason::Closed { .. } | DisconnectReason::Lost => ProblemKind::Closed,
        DisconnectReason::Silent | DisconnectReason::NoWelcome => ProblemKind::Timeout,
        DisconnectReason::Fault(_) => ProblemKind::Damaged,
        DisconnectReason::InvalidHello(_) => ProblemKind::Invalid,
        DisconnectReason::Unreachable(_) => ProblemKind::Unreachable,
        DisconnectReason::SessionOver(_) => ProblemKind::Lost,
    };
    Some((kind, retry(reason.may_pass(), reason.retry_after())))
}

/// An HTTP status instead of a WebSocket.
fn of_status(status: u16) -> ProblemKind {
    match status {
        401 | 403 => ProblemKind::Forbidden,
        404 => ProblemKind::Unknown,
        426 => ProblemKind::Incompatible,
        429 => ProblemKind::TooOften,
        503 => ProblemKind::Full,
        _ => ProblemKind::Refused,
    }
}
