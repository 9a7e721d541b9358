//! A light bot's socket, with TLS over it or without.

use std::io::{self, Read, Write};

use mio::net::TcpStream;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

/// Reads and writes what is said, and never waits.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    pub(super) fn new(socket: std::net::TcpStream, tls: Option<ClientConnection>) -> Self {
        let socket = TcpStream::from_std(socket);
        match tls {
            None => Self::Plain(socket),
            Some(connection) => Self::Tls(Box::new(StreamOwned::new(connection, socket))),
        }
    }

    /// What epoll looks at.
    pub(super) fn socket(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_mut(),
        }
    }

    /// Whether a read of `count` bytes into a buffer for `space` has emptied the socket. With edge-triggered epoll one that did not fill
    /// its buffer has: epoll(7). A read of TLS gives what was in a record.
    pub(super) fn is_drained(&self, count: usize, space: usize) -> bool {
        matches!(self, Self::Plain(_)) && count < space
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            // Records that the socket does not take go out with the next read or write.
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
