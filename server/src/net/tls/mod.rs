//! TLS by rustls: whose certificate is shown, and what a connection does once its handshake is done.
//!
//! ```text
//!  files ── read at the start, and again when they change ──> Tls ── acceptor ──> handshake (tokio-rustls, in the connection's task)
//!                                                                                   └──> Session: one lock, two users
//!  reader: bytes of the socket ── open ──> plaintext                                         writer: frame ── seal ──> records
//! ```
//!
//! TLS 1.2 and 1.3; neither data before the handshake is done (0-RTT, which can be replayed) nor client certificates.

mod certificate;
mod session;

pub(super) use certificate::Tls;
pub use certificate::TlsFiles;
pub(super) use session::Session;
