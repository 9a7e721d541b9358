//! WebSocket frames (RFC 6455, section 5.2) as far as a client of ours needs them: whole messages out of reads that cut them
//! anywhere, and masked frames to be written at once.
//!
//! ```text
//!  server to client   FIN and opcode: 1 | length: 1, 3 or 9 | payload            never masked, never in fragments from ours
//!  client to server   FIN and opcode: 1 | length: 1, 3 or 9 | mask: 4 | payload
//! ```

use tickwire_protocol::limits::MESSAGE_BYTES_MAX;
use tickwire_protocol::{CloseCode, DecodeError};

/// Opcodes.
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The last frame of its message.
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
/// In place of a length: it follows in 2 bytes, in 8 bytes.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// A whole message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Message<'a> {
    Binary(&'a [u8]),
    Close {
        code: CloseCode,
        reason: &'a [u8],
    },
    /// The WebSocket's own ping or pong. The engine has its own; nobody waits for an answer to these.
    Control,
}

/// Puts messages together again that reads have cut.
#[derive(Debug, Default)]
pub(super) struct Inlet {
    /// The beginning of a message whose end has not come; mostly empty. Never longer than the longest message with its header.
    cut: Vec<u8>,
}

impl Inlet {
    /// Hands every message that is whole with `bytes` to `take`, with what it took on the wire.
    pub(super) fn read<E: From<DecodeError>>(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(Message<'_>, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut all = std::mem::take(&mut self.cut);
        let mut rest = if all.is_empty() {
            bytes
        } else {
            all.extend_from_slice(bytes);
            &all[..]
        };
        while let Some(frame) = Frame::find(rest)? {
            let (whole, behind) = rest.split_at(frame.bytes);
            take(frame.message(whole)?, frame.bytes)?;
            rest = behind;
        }
        self.cut.extend_from_slice(rest);
        Ok(())
    }
}

/// A frame that is whole.
#[derive(Clone, Copy)]
struct Frame {
    opcode: u8,
    header_bytes: usize,
    /// With its header.
    bytes: usize,
}

impl Frame {
    /// The frame at the start of `bytes`; nothing while its end is missing. What is not allowed is refused with its first bytes.
    fn find(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let opcode = first & 0x0f;
        if first & 0xf0 != FIN || !matches!(opcode, BINARY | CLOSE | PING | PONG) || second & MASKED != 0 {
            return Err(DecodeError::Damaged("WebSocket frame"));
        }
        let (length, header_bytes) = match second {
            LENGTH_16 => match rest.first_chunk() {
                Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
                None => return Ok(None),
            },
            LENGTH_64 => match rest.first_chunk() {
                Some(length) => (u64::from_be_bytes(*length), 10),
                None => return Ok(None),
            },
            length => (u64::from(length), 2),
        };
        if length > MESSAGE_BYTES_MAX as u64 {
            let limit = MESSAGE_BYTES_MAX as u64;
            return Err(DecodeError::TooLarge { what: "message", value: length, limit });
        }
        let frame = Self { opcode, header_bytes, bytes: header_bytes + length as usize };
        Ok((bytes.len() >= frame.bytes).then_some(frame))
    }

    fn message(self, whole: &[u8]) -> Result<Message<'_>, DecodeError> {
        let payload = &whole[self.header_bytes..];
        Ok(match (self.opcode, payload) {
            (BINARY, payload) => Message::Binary(payload),
            (CLOSE, &[high, low, ref reason @ ..]) => {
                Message::Close { code: CloseCode(u16::from_be_bytes([high, low])), reason }
            }
            // 1005 stands for a close without a code.
            (CLOSE, []) => Message::Close { code: CloseCode(1005), reason: &[] },
            (CLOSE, _) => return Err(DecodeError::Damaged("WebSocket close")),
            _ => Message::Control,
        })
    }
}

/// Appends a message of a client, in one frame: `payload` after its header, masked with `mask`.
pub(super) fn write_masked(out: &mut Vec<u8>, opcode: u8, mask: [u8; 4], payload: &[u8]) {
    out.push(FIN | opcode);
    match payload.len() {
        length @ 0..126 => out.push(MASKED | length as u8),
        length @ 126..0x1_0000 => {
            out.push(MASKED | LENGTH_16);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(MASKED | LENGTH_64);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![FIN | opcode];
        match payload.len() {
            length @ 0..126 => out.push(length as u8),
            length @ 126..0x1_0000 => {
                out.push(LENGTH_16);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.push(LENGTH_64);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(payload);
        out
    }

    /// What comes out of these reads, as text.
    fn read<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<String>, DecodeError> {
        let (mut inlet, mut all) = (Inlet::default(), Vec::new());
        for bytes in reads {
            inlet.read(bytes, |message, wire_bytes| {
                all.push(format!("{message:?} {wire_bytes}"));
                Ok::<_, DecodeError>(())
            })?;
        }
        assert!(inlet.cut.is_empty(), "everything was whole in the end");
        Ok(all)
    }

    #[test]
    fn reads_that_cut_anywhere_give_the_same_messages() {
        let long: Vec<u8> = (0..300_u16).map(|byte| byte as u8).collect();
        let stream = [
            framed(BINARY, b""),
            framed(BINARY, &long[..125]),
            framed(PING, b"?"),
            framed(BINARY, &long),
            framed(CLOSE, &[3, 233, b'o', b'k']),
        ]
        .concat();
        let whole = read([&stream[..]]).unwrap();
        assert_eq!(whole.len(), 5);
        assert_eq!(whole[0], "Binary([]) 2");
        assert_eq!(whole[4], format!("{:?} 6", Message::Close { code: CloseCode(1001), reason: b"ok" }));
        for cut in 0..=stream.len() {
            assert_eq!(read([&stream[..cut], &stream[cut..]]).unwrap(), whole, "cut at {cut}");
        }
        assert_eq!(read(stream.chunks(1)).unwrap(), whole, "byte by byte");
        assert_eq!(read(stream.chunks(7)).unwrap(), whole);
        let huge = framed(BINARY, &vec![9; 70_000]);
        assert_eq!(read(huge.chunks(4096)).unwrap().len(), 1);
    }

    #[test]
    fn what_no_server_of_ours_sends_is_refused_with_its_first_bytes() {
        let text = FIN | 1;
        let fragment = BINARY;
        let compressed = FIN | 0x40 | BINARY;
        for start in [[text, 0], [fragment, 0], [compressed, 0], [FIN, 0], [FIN | BINARY, MASKED]] {
            assert_eq!(read([&start[..]]), Err(DecodeError::Damaged("WebSocket frame")), "{start:x?}");
        }
        assert_eq!(read([&framed(CLOSE, &[3])[..]]), Err(DecodeError::Damaged("WebSocket close")));
        // Nothing of a message that is too long is kept.
        let mut bomb = vec![FIN | BINARY, LENGTH_64];
        bomb.extend_from_slice(&u64::MAX.to_be_bytes());
        assert!(matches!(read([&bomb[..]]), Err(DecodeError::TooLarge { .. })));
    }

    #[test]
    fn a_fault_of_the_taker_ends_the_reading() {
        let two = [framed(BINARY, b"a"), framed(BINARY, b"b")].concat();
        let mut taken = 0;
        let result = Inlet::default().read(&two, |_, _| {
            taken += 1;
            Err(DecodeError::Damaged("test"))
        });
        assert_eq!((result, taken), (Err(DecodeError::Damaged("test")), 1));
    }

    #[test]
    fn masks_are_as_the_standard_says() {
        // RFC 6455, section 5.7: a single-frame masked text message, "Hello"; here as binary.
        let mut out = Vec::new();
        write_masked(&mut out, BINARY, [0x37, 0xfa, 0x21, 0x3d], b"Hello");
        assert_eq!(out, [0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn a_server_reads_what_was_written() {
        use tokio_tungstenite::tungstenite::WebSocket;
        use tokio_tungstenite::tungstenite::protocol::Role;
        let payloads = [0, 1, 125, 126, 4_000, 65_535, 65_536]
            .map(|length| (0..length as u32).map(|byte| (byte * 7) as u8).collect::<Vec<_>>());
        let mut stream = Vec::new();
        for (number, payload) in (1..).zip(&payloads) {
            write_masked(&mut stream, BINARY, [number, 0, 0xff, number * 31], payload);
        }
        write_masked(&mut stream, CLOSE, [9, 8, 7, 6], &1000_u16.to_be_bytes());
        let mut server = WebSocket::from_raw_socket(std::io::Cursor::new(stream), Role::Server, None);
        for payload in payloads {
            assert_eq!(server.read().unwrap().into_data(), payload);
        }
        assert!(server.read().unwrap().is_close());
    }
}
