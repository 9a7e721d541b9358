//! Ping and pong: what a client needs to learn the server's time.
//!
//! ```text
//!  client   t0 ------------------------------------------ t3     offset    = ((t1 - t0) + (t2 - t3)) / 2
//!              \ PING                              PONG /        round trip = (t3 - t0) - (t2 - t1)
//!  server       t1 (stamped at the socket) --waits-- t2
//! ```
//!
//! Both times of the server travel: the arrival is stamped at the socket, the answer may have to wait for its turn,
//! and the wait must not count as delay of the link. A pong also tells the newest tick and when that was due, so that
//! a client follows a room that had to drop ticks.
//!
//! Modelled on the four timestamps of NTP (RFC 5905, section 8).

use crate::fault::DecodeError;
use crate::frame::{FrameType, write_frame, write_frame_with};
use crate::time::{Micros, Tick};

/// The client asks for the time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ping {
    /// When it was sent, on the client's clock; different for every ping of a connection, so it also names the ping.
    pub client_time: Micros,
}

/// The server's answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pong {
    /// [`Ping::client_time`], as it came.
    pub client_time: Micros,
    /// When the ping arrived at the socket, on the server's clock.
    pub server_received: Micros,
    /// When the pong was handed to the socket, on the server's clock; not before `server_received`.
    pub server_sent: Micros,
    /// The newest tick that was due at `server_sent`.
    pub tick: Tick,
    /// When that tick was due, on the server's clock.
    pub tick_time: Micros,
}

impl Ping {
    /// Appends a PING frame: 10 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_frame(out, FrameType::Ping, &self.client_time.0.to_le_bytes());
    }

    /// Reads the payload of a PING frame.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let (client_time, rest) = read_micros(payload, "ping")?;
        end(rest, "ping")?;
        Ok(Self { client_time })
    }
}

impl Pong {
    /// Appends a PONG frame: 38 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(self.server_sent >= self.server_received, "answered before it was asked");
        write_frame_with(out, FrameType::Pong, |out| {
            for time in [self.client_time, self.server_received, self.server_sent] {
                out.extend_from_slice(&time.0.to_le_bytes());
            }
            out.extend_from_slice(&self.tick.0.to_le_bytes());
            out.extend_from_slice(&self.tick_time.0.to_le_bytes());
        });
    }

    /// Reads the payload of a PONG frame; refuses an answer that was sent before it was asked for.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let (client_time, rest) = read_micros(payload, "pong")?;
        let (server_received, rest) = read_micros(rest, "pong")?;
        let (server_sent, rest) = read_micros(rest, "pong")?;
        let (tick, rest) = rest.split_first_chunk().ok_or(DecodeError::Truncated("pong"))?;
        let (tick_time, rest) = read_micros(rest, "pong")?;
        end(rest, "pong")?;
        if server_sent < server_received {
            return Err(DecodeError::Invalid {
                what: "pong sent before its ping came",
                value: server_sent.0,
            });
        }
        let tick = Tick(u32::from_le_bytes(*tick));
        Ok(Self { client_time, server_received, server_sent, tick, tick_time })
    }
}

fn read_micros<'a>(bytes: &'a [u8], what: &'static str) -> Result<(Micros, &'a [u8]), DecodeError> {
    let (word, rest) = bytes.split_first_chunk().ok_or(DecodeError::Truncated(what))?;
    Ok((Micros(u64::from_le_bytes(*word)), rest))
}

fn end(rest: &[u8], what: &'static str) -> Result<(), DecodeError> {
    if rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(what)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out);
        out.split_off(2)
    }

    proptest! {
        #[test]
        fn times_arrive_as_they_were_sent(times in prop::array::uniform4(any::<u64>()), tick in any::<u32>()) {
            let [client_time, received, sent, tick_time] = times.map(Micros);
            let ping = Ping { client_time };
            let pong = Pong {
                client_time,
                server_received: received.min(sent),
                server_sent: sent.max(received),
                tick: Tick(tick),
                tick_time,
            };
            let (ping_bytes, pong_bytes) = (payload(|out| ping.encode(out)), payload(|out| pong.encode(out)));
            prop_assert_eq!(Ping::decode(&ping_bytes), Ok(ping));
            prop_assert_eq!(Pong::decode(&pong_bytes), Ok(pong));
            for cut in 0..pong_bytes.len() {
                prop_assert_eq!(Pong::decode(&pong_bytes[..cut]), Err(DecodeError::Truncated("pong")));
            }
            let longer = [&pong_bytes[..], &[0]].concat();
            prop_assert_eq!(Pong::decode(&longer), Err(DecodeError::Trailing("pong")));
            prop_assert_eq!(Ping::decode(&longer[..9]), Err(DecodeError::Trailing("ping")));
        }

        #[test]
        fn any_bytes_are_refused_or_have_one_encoding(bytes in prop::collection::vec(any::<u8>(), 36..=36)) {
            if let Ok(pong) = Pong::decode(&bytes) {
                prop_assert_eq!(payload(|out| pong.encode(out)), bytes);
            }
        }
    }

    #[test]
    fn an_answer_before_the_question_is_refused() {
        let mut bytes = [0; 36];
        bytes[8] = 2;
        bytes[16] = 1;
        assert!(matches!(Pong::decode(&bytes), Err(DecodeError::Invalid { value: 1, .. })));
    }
}
