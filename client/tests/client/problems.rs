//! Everything that may go wrong, in the one form that there is for it.

use bytes::Bytes;
use tickwire_client::protocol::bulk::{BulkError, BulkEvent, BulkFailure, BulkId};
use tickwire_client::protocol::handshake;
use tickwire_client::protocol::handshake::{
    AuthRefusal, AuthTerms, Features, FreshReason, RejectReason, SessionOutcome, StreamKind,
};
use tickwire_client::protocol::message::{
    Denial, MessageId, MessageTypeId, Missed, Outcome, Refusal, RequestError, RequestId, SendError,
};
use tickwire_client::protocol::{CloseCode, DecodeError, Micros, RoomId, SessionId};
use tickwire_client::{
    AsProblem, ClientFault, DisconnectReason, Event, Operation, Problem, ProblemKind as Kind, Retry,
    SavedSessionError,
};

const SOON: Micros = Micros::from_millis(200);
const SECOND: Retry = Retry::After(Micros::from_secs(1));
const MESSAGE: MessageId = MessageId(7);
const REQUEST: RequestId = RequestId(9);
const BULK: BulkId = BulkId(5);

fn check(told: &(impl AsProblem + std::fmt::Debug), operation: Operation, kind: Kind, retry: Retry) {
    assert_eq!(told.problem(), Some(Problem { operation, kind, retry }), "{told:?}");
}

/// Each reason for which a hello is refused, by its code.
fn rejects() -> Vec<(RejectReason, Kind, Retry)> {
    use RejectReason as Reject;
    let (players, max, sessions) = (2, 2, 1);
    let text = || "x".to_owned();
    let numbers = (Features(1), Features(0));
    vec![
        (Reject::Magic, Kind::Incompatible, Retry::Never),
        (Reject::Version { ours: 1, yours: 2 }, Kind::Incompatible, Retry::Never),
        (Reject::Schema { ours: 1, yours: 2 }, Kind::Incompatible, Retry::Never),
        (Reject::Features { ours: numbers.0, yours: numbers.1 }, Kind::Incompatible, Retry::Never),
        (Reject::GameBuild { ours: text(), yours: text() }, Kind::Incompatible, Retry::Never),
        (
            Reject::Stream { ours: StreamKind::Ordered, yours: StreamKind::Datagram },
            Kind::Incompatible,
            Retry::Never,
        ),
        (Reject::ServerFull { players, max }, Kind::Full, SECOND),
        (Reject::RoomFull { players, max }, Kind::Full, SECOND),
        (Reject::BadRoomName, Kind::Invalid, Retry::Never),
        (Reject::NoSuchRoom, Kind::Unknown, Retry::Never),
        (Reject::NoSpectators, Kind::Forbidden, Retry::Never),
        (Reject::ShuttingDown, Kind::Closed, SECOND),
        (Reject::Game(text()), Kind::Refused, Retry::Never),
        (Reject::TooManyRooms { max }, Kind::Full, SECOND),
        (Reject::Unauthorized(AuthRefusal::Missing), Kind::Forbidden, Retry::Never),
        (Reject::Forbidden { action: text() }, Kind::Forbidden, Retry::Never),
        (Reject::AccountBusy { sessions, max }, Kind::Refused, Retry::Never),
        (Reject::WrongSecret, Kind::Forbidden, Retry::Never),
        (Reject::RoomExists, Kind::Refused, Retry::Never),
    ]
}

#[test]
fn every_refused_hello_says_what_it_is_and_when_to_try_again() {
    let rejects = rejects();
    for (code, (reason, kind, retry)) in rejects.iter().enumerate() {
        let mut frame = Vec::new();
        let reject = handshake::Reject::from(reason.clone());
        reject.encode(&mut frame);
        assert_eq!(usize::from(frame[2]), code, "no reason is left out: {reason:?}");
        check(&reject, Operation::Connect, *kind, *retry);
        check(&Event::Rejected(reject.clone()), Operation::Connect, *kind, *retry);
        check(&DisconnectReason::Rejected(reject), Operation::Connect, *kind, *retry);
        // What the server names counts.
        let retry = if *retry == Retry::Never { Retry::Never } else { Retry::After(Micros::from_secs(7)) };
        let named = handshake::Reject::naming(reason.clone(), Micros::from_secs(7));
        check(&Event::Rejected(named), Operation::Connect, *kind, retry);
    }
    // A reject of the next code is none yet: whoever adds one adds its row.
    let beyond = [rejects.len() as u8, 0, 0, 0, 0, 0];
    assert!((0..beyond.len()).all(|bytes| handshake::Reject::decode(&beyond[..=bytes]).is_err()));
}

#[test]
fn every_token_that_is_not_taken_says_whether_it_ever_will_be() {
    use AuthRefusal as Refused;
    for (refusal, retry) in [
        (Refused::Missing, Retry::Never),
        (Refused::Malformed, Retry::Never),
        (Refused::UnknownKey, Retry::Never),
        (Refused::Algorithm, Retry::Never),
        (Refused::Signature, Retry::Never),
        (Refused::Expired, Retry::Never),
        (Refused::NotYet, Retry::AnyTime),
        (Refused::Issuer, Retry::Never),
        (Refused::Audience, Retry::Never),
        (Refused::Claims, Retry::Never),
        (Refused::OtherAccount, Retry::Never),
        (Refused::Unavailable, SECOND),
    ] {
        check(&Event::TokenChecked(Err(refusal)), Operation::RenewToken, Kind::Forbidden, retry);
        check(
            &handshake::Reject::from(RejectReason::Unauthorized(refusal)),
            Operation::Connect,
            Kind::Forbidden,
            retry,
        );
    }
}

#[test]
fn every_close_code_is_worth_another_attempt_if_its_row_says_so() {
    let page = include_str!("../../../docs/WIRE.md");
    let table = page.split_once("\n## Close codes\n").unwrap().1.split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        Some((cells.get(1)?.parse().ok().map(CloseCode)?, cells[3]))
    });
    let mut count = 0;
    for (code, told) in rows {
        let retry = match told.split([' ', ',']).next() {
            Some("reconnects") if code == CloseCode::TRY_AGAIN_LATER => SECOND,
            Some("reconnects") => Retry::AnyTime,
            _ => Retry::Never,
        };
        let reason = DisconnectReason::Closed { code, reason: String::new() };
        check(&reason, Operation::Connect, Kind::Closed, retry);
        check(&Event::Disconnected(reason), Operation::Connect, Kind::Closed, retry);
        count += 1;
    }
    assert!(count >= 20, "{count} rows");
}

#[test]
fn every_end_says_what_it_is() {
    let http = |status, seconds: Option<u64>| DisconnectReason::Refused {
        status,
        reason: String::new(),
        retry_after: seconds.map(Micros::from_secs),
    };
    let fault = DecodeError::Truncated("x");
    for (reason, kind, retry) in [
        (DisconnectReason::Lost, Kind::Closed, Retry::AnyTime),
        (DisconnectReason::Silent, Kind::Timeout, Retry::AnyTime),
        (DisconnectReason::NoWelcome, Kind::Timeout, Retry::AnyTime),
        (DisconnectReason::Unreachable("x".to_owned()), Kind::Unreachable, Retry::AnyTime),
        (DisconnectReason::Fault(ClientFault::Text), Kind::Damaged, Retry::Never),
        (DisconnectReason::InvalidHello(fault), Kind::Invalid, Retry::Never),
        (DisconnectReason::SessionOver(FreshReason::Unknown), Kind::Lost, Retry::Never),
        (http(400, None), Kind::Refused, Retry::Never),
        (http(401, None), Kind::Forbidden, Retry::Never),
        (http(403, None), Kind::Forbidden, Retry::Never),
        (http(404, None), Kind::Unknown, Retry::Never),
        (http(426, None), Kind::Incompatible, Retry::Never),
        (http(429, Some(1)), Kind::TooOften, SECOND),
        (http(503, None), Kind::Full, Retry::AnyTime),
        // No server is believed that it wants to be left alone for days.
        (http(503, Some(1 << 40)), Kind::Full, Retry::After(Micros::from_secs(3600))),
    ] {
        check(&Event::Disconnected(reason.clone()), Operation::Connect, kind, retry);
        let event = Event::Reconnecting { attempt: 1, of: 2, next_in: None, last_error: reason };
        check(&event, Operation::Connect, kind, Retry::ByItself);
    }
    assert_eq!(Event::Disconnected(DisconnectReason::Left).problem(), None);
}

fn connected(outcome: SessionOutcome) -> Event {
    Event::Connected { session: SessionId(1), player: None, room: RoomId(1), outcome }
}

#[test]
fn every_outcome_says_of_what_it_is() {
    let sent = |outcome| Event::Sent(MESSAGE, outcome);
    let answered = |error| Event::Response(REQUEST, Err(error));
    let over = |why| Event::Bulk(BulkEvent::NotSent { id: BULK, why });
    let fresh = |reason| connected(SessionOutcome::Fresh(reason));
    let of_message = Operation::Send(MESSAGE);
    let (of_request, of_transfer) = (Operation::Request(REQUEST), Operation::Transfer(BULK));
    let (retry_after, again) = (SOON, Retry::After(SOON));
    let denied = |denial| sent(Outcome::Refused(denial));
    let refused = |refusal| answered(RequestError::Refused(refusal));
    for (event, operation, kind, retry) in [
        (sent(Outcome::Expired), of_message, Kind::Expired, Retry::AnyTime),
        (sent(Outcome::Lost), of_message, Kind::Lost, Retry::AnyTime),
        (denied(Denial::Forbidden), of_message, Kind::Forbidden, Retry::Never),
        (denied(Denial::TooOften { retry_after }), of_message, Kind::TooOften, again),
        (denied(Denial::TooMany { retry_after }), of_message, Kind::TooOften, again),
        (denied(Denial::TooMuch { retry_after }), of_message, Kind::TooOften, again),
        (answered(RequestError::Timeout), of_request, Kind::Timeout, Retry::AnyTime),
        (answered(RequestError::Lost), of_request, Kind::Lost, Retry::AnyTime),
        (refused(Refusal::Game(Bytes::new())), of_request, Kind::Refused, Retry::Never),
        (refused(Refusal::UnknownMethod), of_request, Kind::Unknown, Retry::Never),
        (refused(Refusal::Forbidden), of_request, Kind::Forbidden, Retry::Never),
        (refused(Refusal::TooOften { retry_after }), of_request, Kind::TooOften, again),
        (over(BulkFailure::Refused), of_transfer, Kind::Refused, Retry::Never),
        (over(BulkFailure::Expired), of_transfer, Kind::Timeout, Retry::AnyTime),
        (over(BulkFailure::Cancelled), of_transfer, Kind::Cancelled, Retry::Never),
        (over(BulkFailure::Damaged), of_transfer, Kind::Damaged, Retry::AnyTime),
        (over(BulkFailure::Lost), of_transfer, Kind::Lost, Retry::AnyTime),
        (fresh(FreshReason::Unknown), Operation::Resume, Kind::Lost, Retry::Never),
        (fresh(FreshReason::Inconsistent), Operation::Resume, Kind::Lost, Retry::Never),
        (fresh(FreshReason::WrongToken), Operation::Resume, Kind::Forbidden, Retry::Never),
        (fresh(FreshReason::OtherAccount), Operation::Resume, Kind::Forbidden, Retry::Never),
    ] {
        check(&event, operation, kind, retry);
    }
    let why = BulkFailure::Lost;
    check(&Event::Bulk(BulkEvent::NotReceived { id: BULK, why }), of_transfer, Kind::Lost, Retry::AnyTime);
    let missed = Missed::default();
    check(&connected(SessionOutcome::Resynced { missed }), Operation::Resume, Kind::Lost, Retry::Never);
}

#[test]
fn what_went_as_it_was_wanted_is_no_problem() {
    for event in [
        Event::Sent(MESSAGE, Outcome::Delivered),
        Event::Sent(MESSAGE, Outcome::Replaced),
        Event::Response(REQUEST, Err(RequestError::Cancelled)),
        Event::Response(REQUEST, Ok(Bytes::new())),
        Event::Bulk(BulkEvent::Sent { id: BULK }),
        Event::TokenChecked(Ok(AuthTerms::default())),
        Event::Groups,
        connected(SessionOutcome::Resumed),
        connected(SessionOutcome::Fresh(FreshReason::First)),
    ] {
        assert_eq!(event.problem(), None, "{event:?}");
    }
}

#[test]
fn every_call_that_is_refused_says_whether_to_make_it_again() {
    let name = || "say".to_owned();
    let denied = |denial| SendError::Denied { name: name(), denial };
    for (error, kind, retry) in [
        (SendError::UnknownType(MessageTypeId(1)), Kind::Invalid, Retry::Never),
        (SendError::WrongWay { name: name() }, Kind::Invalid, Retry::Never),
        (SendError::OtherCall { name: name(), call: "request" }, Kind::Invalid, Retry::Never),
        (SendError::TooLarge { name: name(), bytes: 2, max: 1 }, Kind::Invalid, Retry::Never),
        (SendError::NotOrdered, Kind::Invalid, Retry::Never),
        (SendError::OnlyWatches, Kind::Invalid, Retry::Never),
        (SendError::NotPolled { outcomes: 1 }, Kind::Full, Retry::AnyTime),
        (SendError::Full { messages: 1, bytes: 1 }, Kind::Full, Retry::AnyTime),
        (denied(Denial::Forbidden), Kind::Forbidden, Retry::Never),
        (denied(Denial::TooOften { retry_after: SOON }), Kind::TooOften, Retry::After(SOON)),
        (SendError::NotAsked, Kind::Unknown, Retry::Never),
        (SendError::Closed, Kind::Closed, Retry::Never),
    ] {
        check(&error, Operation::Call, kind, retry);
    }
    for (error, kind, retry) in [
        (BulkError::TooLarge { bytes: 1, metadata: 1 }, Kind::Invalid, Retry::Never),
        (BulkError::NotOrdered, Kind::Invalid, Retry::Never),
        (BulkError::Full { transfers: 1, bytes: 1 }, Kind::Full, Retry::AnyTime),
        (BulkError::Unknown, Kind::Unknown, Retry::Never),
        (BulkError::Closed, Kind::Closed, Retry::Never),
    ] {
        check(&error, Operation::Call, kind, retry);
    }
    for (error, kind) in [
        (SavedSessionError::NoSession, Kind::Unknown),
        (SavedSessionError::Foreign, Kind::Invalid),
        (SavedSessionError::Version(9), Kind::Incompatible),
        (SavedSessionError::OtherSchema { ours: 1, theirs: 2 }, Kind::Incompatible),
        (SavedSessionError::Damaged, Kind::Damaged),
    ] {
        check(&error, Operation::Call, kind, Retry::Never);
    }
}
