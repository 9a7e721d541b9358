//! The writing half of a connection: frames go to the kernel at once, and what it refuses waits here.

use std::io;
use std::sync::Arc;

use tickwire_protocol::CloseCode;
use tickwire_protocol::limits::REASON_BYTES_MAX;
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::OwnedWriteHalf;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::net::tls::Session;

/// Writes WebSocket messages to a socket without ever waiting for it.
///
/// [`WebSocketWriter::send`] hands the message to the kernel before it returns: no task is woken, nothing is queued. What
/// does not fit into the socket's send buffer is kept, and goes out with [`WebSocketWriter::flush`]. Whoever looks at
/// [`WebSocketWriter::is_ready`] before it encodes keeps no more than the rest of one message.
///
/// Who has something for many sockets [frames](WebSocketWriter::frame) all of it first and [writes](WebSocketWriter::write) it then: encoder and
/// kernel each need what the processor's caches hold, and would take it from each other with every message. In `fanout` that is
/// a twentieth of a snapshot.
///
/// With TLS what is written is sealed first: what the kernel has not taken is then records.
#[derive(Debug)]
pub struct WebSocketWriter {
    socket: OwnedWriteHalf,
    tls: Option<Arc<Session>>,
    /// What the kernel has not taken; begins and ends anywhere in a frame, and holds the ends of all frames in it.
    pending: Vec<u8>,
}

impl WebSocketWriter {
    /// Of a socket whose upgrade is done.
    pub fn new(socket: OwnedWriteHalf) -> Self {
        Self::of(socket, None)
    }

    /// Of one with TLS, or without.
    pub(in crate::net) fn of(socket: OwnedWriteHalf, tls: Option<Arc<Session>>) -> Self {
        Self { socket, tls, pending: Vec::new() }
    }

    /// Whether the kernel has taken everything: only then is it worth encoding anew.
    pub fn is_ready(&self) -> bool {
        self.pending.is_empty()
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// The connection is of no use any more. A full socket is no error.
    pub fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let mut framed = Vec::new();
        Self::frame(&mut framed, message);
        self.write(&framed)
    }

    /// Appends a binary message as it is to be [written](WebSocketWriter::write).
    pub fn frame(out: &mut Vec<u8>, message: &[u8]) {
        write_frame(out, OpCode::Data(Data::Binary), message);
    }

    /// The same for the answer to a ping: what came in it, at most 125 bytes.
    pub fn frame_pong(out: &mut Vec<u8>, payload: &[u8]) {
        write_frame(out, OpCode::Control(Control::Pong), payload);
    }

    /// Hands frames to the kernel.
    ///
    /// # Errors
    /// As [`WebSocketWriter::send`].
    pub fn write(&mut self, framed: &[u8]) -> io::Result<()> {
        let sealed = self.seal(framed)?;
        let bytes = sealed.as_deref().unwrap_or(framed);
        let taken = if self.is_ready() { self.try_write(bytes)? } else { 0 };
        self.pending.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    /// Tries again with what the kernel has not taken; whether it took any of it.
    ///
    /// # Errors
    /// As [`WebSocketWriter::send`].
    pub fn flush(&mut self) -> io::Result<bool> {
        let mut taken = 0;
        while taken < self.pending.len() {
            match self.try_write(&self.pending[taken..])? {
                0 => break,
                bytes => taken += bytes,
            }
        }
        if taken == self.pending.len() {
            // Given back, not kept: few sockets ever refuse anything.
            self.pending = Vec::new();
        } else {
            self.pending.drain(..taken);
        }
        Ok(taken > 0)
    }

    /// Waits until the kernel has taken everything. Nothing is lost or doubled if that is given up.
    ///
    /// # Errors
    /// As [`WebSocketWriter::send`].
    pub async fn drain(&mut self) -> io::Result<()> {
        while !self.is_ready() {
            self.socket.writable().await?;
            self.flush()?;
        }
        Ok(())
    }

    /// Says why, after all that was sent before, and that nothing more will come. Waits for the kernel to take it.
    ///
    /// # Errors
    /// As [`WebSocketWriter::send`].
    pub async fn close(mut self, code: CloseCode, reason: &str) -> io::Result<()> {
        let payload = [&code.0.to_be_bytes()[..], truncated(reason, REASON_BYTES_MAX).as_bytes()].concat();
        let mut last = Vec::new();
        write_frame(&mut last, OpCode::Control(Control::Close), &payload);
        if let Some(tls) = &self.tls {
            tls.seal(&mut last)?;
            tls.close(&mut last)?;
        }
        self.pending.extend_from_slice(&last);
        self.socket.write_all(&self.pending).await?;
        self.socket.shutdown().await
    }

    /// Frames as records, with TLS.
    fn seal(&self, framed: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let Some(tls) = &self.tls else { return Ok(None) };
        let mut sealed = framed.to_vec();
        tls.seal(&mut sealed)?;
        Ok(Some(sealed))
    }

    /// As many bytes as the kernel takes now, which may be none. Not subject to tokio's cooperative budget, after 128 uses of
    /// which every socket that is polled pretends to be full.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.socket.try_write(bytes) {
            Ok(0) if !bytes.is_empty() => Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            taken => taken,
        }
    }
}

/// Appends a frame as a server sends it: whole and unmasked.
fn write_frame(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    if let Err(error) = header.format(payload.len() as u64, out) {
        unreachable!("a vector takes everything: {error}");
    }
    out.extend_from_slice(payload);
}

/// The longest start of `text` that has at most `bytes_max` bytes.
fn truncated(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::time::{Duration, timeout};

    /// A writer, and a far end of which both sides of the way keep little.
    async fn narrow() -> (WebSocketWriter, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let far = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, _) = listener.accept().await.unwrap();
        SockRef::from(&near).set_send_buffer_size(4096).unwrap();
        (WebSocketWriter::new(near.into_split().1), far)
    }

    /// A frame by the letter of RFC 6455, section 5.2.
    fn framed(first: u8, payload: &[u8]) -> Vec<u8> {
        let length = payload.len();
        let header = match length {
            0..=125 => vec![first, length as u8],
            126..=0xffff => [&[first, 126][..], &(length as u16).to_be_bytes()].concat(),
            _ => [&[first, 127][..], &(length as u64).to_be_bytes()].concat(),
        };
        [&header, payload].concat()
    }

    #[tokio::test]
    async fn every_byte_arrives_in_order_however_little_the_socket_takes() {
        let (mut writer, mut far) = narrow().await;
        let mut expected = Vec::new();
        let (mut refusals, mut received) = (0, vec![0; 3000]);
        for length in [0, 125, 126, 5_000, 65_535, 65_536, 300_000, 7] {
            let message: Vec<u8> = (0..length).map(|index| (index * 7 + length) as u8).collect();
            expected.extend(framed(0x82, &message));
            writer.send(&message).unwrap();
            // Not polite, and still in order.
            expected.extend(framed(0x8a, b"ping"));
            let mut pong = Vec::new();
            WebSocketWriter::frame_pong(&mut pong, b"ping");
            writer.write(&pong).unwrap();
            while !writer.is_ready() {
                refusals += 1;
                // There may be nothing to read: that there is space again is known only once the runtime was told.
                if let Ok(count) = timeout(Duration::from_millis(1), far.read(&mut received)).await {
                    let count = count.unwrap();
                    assert_eq!(received[..count], expected[..count]);
                    expected.drain(..count);
                }
                writer.flush().unwrap();
            }
        }
        assert!(refusals > 10, "the socket took it all at once");
        expected.extend(framed(0x88, &[&4003_u16.to_be_bytes()[..], b"stalled"].concat()));
        received.clear();
        let (closed, read) =
            tokio::join!(writer.close(CloseCode::STALLED, "stalled"), far.read_to_end(&mut received));
        closed.and(read).unwrap();
        assert_eq!(received, expected);
    }

    #[tokio::test]
    async fn a_far_end_that_is_gone_is_an_error_in_the_end() {
        let (mut writer, far) = narrow().await;
        drop(far);
        let mut sent = Ok(());
        while sent.is_ok() {
            sent = writer.flush().and_then(|_| writer.send(&[0; 100]));
            tokio::task::yield_now().await;
        }
        assert_ne!(sent.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn reasons_are_cut_between_characters() {
        assert_eq!(truncated("short", 123), "short");
        assert_eq!(truncated("tschüss", 5), "tsch");
    }
}
