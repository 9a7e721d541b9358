//! Why there is no connection, in words that say what to do.

use std::io;
use std::time::Duration;

use thiserror::Error;
use tickwire_protocol::handshake::Reject;
use tickwire_protocol::{DecodeError, Micros};

use crate::core::{AsProblem, DisconnectReason, Operation, Problem, ProblemKind, Retry};

/// Words of a stranger, fit for logs and terminals.
pub(super) fn printable(words: &str) -> String {
    words.chars().filter(|char| !char.is_control()).collect()
}

/// Why connecting failed.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The address is none.
    #[error("`{url}` is no address of a server ({reason}): give one like ws://127.0.0.1:7777")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What the client would say of itself breaks a limit.
    #[error("the server would refuse this hello ({0}): shorten the texts of the client's configuration")]
    Config(DecodeError),
    /// Nobody listens there.
    #[error("nothing listens at {address}: start it with `tickwire serve`, or check the address")]
    Absent {
        /// Host and port.
        address: String,
    },
    /// The network does not lead there.
    #[error("cannot reach {address} ({source}): check the address and the network")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// This machine has no more sockets to give.
    #[error("too many open files: raise the limit (`ulimit -n`) or open fewer connections")]
    TooManyOpenFiles,
    /// Something listens there, but speaks no WebSocket.
    #[error(
        "what listens at {address} does not speak WebSocket ({reason}): check the port, and whether it is ws:// or wss://"
    )]
    NotWebSocket {
        /// Host and port.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// The server's certificate does not show that it is who it is to be: whatever is there, nothing was said to it.
    #[error("{address} cannot be trusted: {problem}")]
    Certificate {
        /// The address.
        address: String,
        /// What is wrong with the certificate.
        problem: CertificateProblem,
    },
    /// There was no TLS handshake.
    #[error("no TLS with {address} ({reason}): check the port, and whether it is wss:// or ws://")]
    Tls {
        /// The address.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// The server answered with another HTTP status than that of a WebSocket.
    #[error("{address} refused the connection ({status}): {reason}")]
    Refused {
        /// Host and port.
        address: String,
        /// Such as 401 for a token that is not taken, 403 for a page that may not connect, 429 and 503 for too many.
        status: u16,
        /// What it says, at most 1 KiB.
        reason: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It took too long.
    #[error("{address} did not answer within {seconds} s: is the server overloaded, or behind a firewall?")]
    TimedOut {
        /// Host and port.
        address: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The server refused the hello. The words have the values of both ends.
    #[error("{0}")]
    Rejected(Reject),
    /// The connection ended before the welcome.
    #[error("no welcome: {0}")]
    Ended(DisconnectReason),
}

/// Why a certificate is not believed.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum CertificateProblem {
    /// Nobody vouches for it whom this client believes.
    #[error(
        "its certificate comes from nobody who is known here: give the authority that issued it as an own root (`--ca`)"
    )]
    Unknown,
    /// It is another server's.
    #[error("its certificate is for another name: connect by a name that is in it")]
    WrongName,
    /// Its time is over.
    #[error(
        "its certificate has expired: it is the server that needs a new one, if the clock of this machine is right"
    )]
    Expired,
    /// Its time has not come.
    #[error("its certificate is not valid yet: is the clock of this machine right?")]
    NotYet,
    /// It is one that issues others, as `openssl req -x509` makes it if not told otherwise.
    #[error(
        "its certificate is that of an authority: the server needs one that was issued by it, or made with basicConstraints=CA:FALSE"
    )]
    Authority,
    /// Something else, in words.
    #[error("its certificate cannot be used ({0})")]
    Unusable(String),
}

impl AsProblem for ConnectError {
    fn problem(&self) -> Option<Problem> {
        let (kind, retry) = match self {
            Self::Address { .. } | Self::Config(_) => (ProblemKind::Invalid, Retry::Never),
            Self::Absent { .. } | Self::Unreachable { .. } => (ProblemKind::Unreachable, Retry::AnyTime),
            Self::TooManyOpenFiles => (ProblemKind::Full, Retry::AnyTime),
            Self::NotWebSocket { .. } | Self::Tls { .. } => (ProblemKind::Incompatible, Retry::Never),
            Self::Certificate { .. } => (ProblemKind::Untrusted, Retry::Never),
            Self::TimedOut { .. } => (ProblemKind::Timeout, Retry::AnyTime),
            Self::Refused { status, reason, retry_after, .. } => {
                return refused(*status, reason.clone(), *retry_after).problem();
            }
            Self::Rejected(reject) => return reject.problem(),
            Self::Ended(reason) => return reason.problem(),
        };
        Some(Problem { operation: Operation::Connect, kind, retry })
    }
}

/// The answer to the request for a WebSocket, as the core tells it.
fn refused(status: u16, reason: String, retry_after: Option<Duration>) -> DisconnectReason {
    let micros = |after: Duration| Micros(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
    DisconnectReason::Refused { status, reason, retry_after: retry_after.map(micros) }
}

impl ConnectError {
    /// How long the server wants to be left alone, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Rejected(reject) => reject.retry_after.map(|after| Duration::from_micros(after.0)),
            _ => None,
        }
    }

    /// What it means to a client that wanted to come back.
    pub(super) fn reason(&self) -> DisconnectReason {
        match self {
            Self::Refused { status, reason, retry_after, .. } => {
                refused(*status, reason.clone(), *retry_after)
            }
            Self::Rejected(reason) => DisconnectReason::Rejected(reason.clone()),
            Self::Ended(reason) => reason.clone(),
            error => DisconnectReason::Unreachable(error.to_string()),
        }
    }

    /// What the system's refusal to connect to `address` means.
    pub(super) fn from_io(source: io::Error, address: &str) -> Self {
        // EMFILE and ENFILE; the standard library has no kind for them.
        if matches!(source.raw_os_error(), Some(24 | 23)) && cfg!(unix) {
            return Self::TooManyOpenFiles;
        }
        let address = address.to_owned();
        match source.kind() {
            io::ErrorKind::ConnectionRefused => Self::Absent { address },
            _ => Self::Unreachable { address, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::handshake::RejectReason;

    use super::*;

    #[test]
    fn every_connection_that_did_not_begin_says_whether_to_try_again() {
        let text = || "x".to_owned();
        let io = || io::ErrorKind::NetworkUnreachable.into();
        let (soon, later) = (Duration::from_secs(7), Retry::After(Micros::from_secs(7)));
        let second = Retry::After(Micros::from_secs(1));
        let full = Reject::from(RejectReason::RoomFull { players: 1, max: 1 });
        for (error, kind, retry) in [
            (ConnectError::Address { url: text(), reason: text() }, ProblemKind::Invalid, Retry::Never),
            (ConnectError::Config(DecodeError::Damaged("x")), ProblemKind::Invalid, Retry::Never),
            (ConnectError::Absent { address: text() }, ProblemKind::Unreachable, Retry::AnyTime),
            (
                ConnectError::Unreachable { address: text(), source: io() },
                ProblemKind::Unreachable,
                Retry::AnyTime,
            ),
            (ConnectError::TooManyOpenFiles, ProblemKind::Full, Retry::AnyTime),
            (
                ConnectError::NotWebSocket { address: text(), reason: text() },
                ProblemKind::Incompatible,
                Retry::Never,
            ),
            (ConnectError::Tls { address: text(), reason: text() }, ProblemKind::Incompatible, Retry::Never),
            (
                ConnectError::Certificate { address: text(), problem: CertificateProblem::Unknown },
                ProblemKind::Untrusted,
                Retry::Never,
            ),
            (
                ConnectError::Refused {
                    address: text(),
                    status: 429,
                    reason: text(),
                    retry_after: Some(soon),
                },
                ProblemKind::TooOften,
                later,
            ),
            (ConnectError::TimedOut { address: text(), seconds: 1 }, ProblemKind::Timeout, Retry::AnyTime),
            (ConnectError::Rejected(full), ProblemKind::Full, second),
            (ConnectError::Ended(DisconnectReason::Silent), ProblemKind::Timeout, Retry::AnyTime),
        ] {
            let told = Problem { operation: Operation::Connect, kind, retry };
            assert_eq!(error.problem(), Some(told), "{error:?}");
        }
    }
}
