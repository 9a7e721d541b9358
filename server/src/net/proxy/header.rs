//! The PROXY protocol, version 2 (haproxy.org/download/3.0/doc/proxy-protocol.txt), as a server reads it.
//!
//! ```text
//!  signature: 12 | version and command: 1 | family and protocol: 1 | length: 2 | addresses, then what the proxy adds: length
//! ```

use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Everything before the addresses.
const FIXED_BYTES: usize = 16;

/// Addresses, and what proxies add: some name the TLS connection or the cloud's endpoint in a hundred bytes or two.
const REST_BYTES_MAX: usize = 2048;

const VERSION: u8 = 2;

/// The proxy speaks for itself, as when it looks whether somebody is here.
const LOCAL: u8 = 0;
const PROXY: u8 = 1;

const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// Reads the header, and no byte behind it. The address that the connection comes from; nothing if it comes from the proxy itself.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for what is no such header; as the stream otherwise.
pub(in crate::net) async fn read_header<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<IpAddr>> {
    let mut fixed = [0; FIXED_BYTES];
    stream.read_exact(&mut fixed).await?;
    let fixed = Fixed::parse(fixed)?;
    let mut rest = vec![0; fixed.rest_bytes];
    stream.read_exact(&mut rest).await?;
    fixed.source(&rest)
}

struct Fixed {
    is_local: bool,
    transport: u8,
    rest_bytes: usize,
}

impl Fixed {
    fn parse(bytes: [u8; FIXED_BYTES]) -> io::Result<Self> {
        let [signature @ .., version_and_command, transport, high, low] = bytes;
        if signature != SIGNATURE || version_and_command >> 4 != VERSION {
            return Err(wrong("does not begin as the PROXY protocol, version 2"));
        }
        let is_local = match version_and_command & 0x0f {
            LOCAL => true,
            PROXY => false,
            _ => return Err(wrong("has a command that there is not")),
        };
        let rest_bytes = usize::from(u16::from_be_bytes([high, low]));
        if rest_bytes > REST_BYTES_MAX {
            return Err(wrong("is too long"));
        }
        Ok(Self { is_local, transport, rest_bytes })
    }

    /// The source address stands first, then the destination's, then ports.
    fn source(&self, rest: &[u8]) -> io::Result<Option<IpAddr>> {
        if self.is_local {
            return Ok(None);
        }
        let short = || wrong("ends within its addresses");
        match self.transport {
            TCP_OVER_IPV4 => match rest.first_chunk::<12>() {
                Some(&[a, b, c, d, ..]) => Ok(Some([a, b, c, d].into())),
                None => Err(short()),
            },
            TCP_OVER_IPV6 => {
                let addresses = rest.first_chunk::<36>().and_then(|rest| rest.first_chunk::<16>());
                Ok(Some(IpAddr::from(*addresses.ok_or_else(short)?).to_canonical()))
            }
            UNSPECIFIED => Ok(None),
            _ => Err(wrong("is for something else than TCP")),
        }
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the header {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(version_and_command: u8, transport: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[version_and_command, transport], &length, rest].concat()
    }

    /// What is read of these bytes, and what is left of them.
    fn read(mut bytes: &[u8]) -> (io::Result<Option<IpAddr>>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let result = runtime.block_on(read_header(&mut bytes));
        (result, bytes.len())
    }

    const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb];

    fn v6(source: &str) -> Vec<u8> {
        let source: std::net::Ipv6Addr = source.parse().unwrap();
        [&source.octets()[..], &[0; 16], &[0x30, 0x39, 0x01, 0xbb]].concat()
    }

    #[test]
    fn the_source_is_read_and_nothing_behind_the_header() {
        let with_more = [&V4[..], &[0x04, 0, 3, 1, 2, 3]].concat();
        for (bytes, source) in [
            (header(0x21, 0x11, &V4), Some("192.0.2.7")),
            (header(0x21, 0x11, &with_more), Some("192.0.2.7")),
            (header(0x21, 0x21, &v6("2001:db8::7")), Some("2001:db8::7")),
            (header(0x21, 0x21, &v6("::ffff:192.0.2.7")), Some("192.0.2.7")),
            (header(0x20, 0x00, &[]), None),
            (header(0x20, 0x11, &V4), None),
            (header(0x21, 0x00, &[9; 40]), None),
            (header(0x21, 0x11, &[&V4[..], &[0; REST_BYTES_MAX - 12]].concat()), Some("192.0.2.7")),
        ] {
            let (result, left) = read(&[&bytes[..], b"GET / HTTP/1.1"].concat());
            assert_eq!(result.unwrap().map(|source| source.to_string()).as_deref(), source);
            assert_eq!(left, 14);
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for (name, bytes) in [
            ("a request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
            ("version 1", b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n".to_vec()),
            ("version 3", header(0x31, 0x11, &V4)),
            ("a command", header(0x22, 0x11, &V4)),
            ("UDP", header(0x21, 0x12, &V4)),
            ("a Unix socket", header(0x21, 0x31, &[0; 216])),
            ("IPv4 cut", header(0x21, 0x11, &V4[..11])),
            ("IPv6 cut", header(0x21, 0x21, &v6("::1")[..35])),
            ("too long", header(0x21, 0x11, &[0; REST_BYTES_MAX + 1])),
        ] {
            assert_eq!(read(&bytes).0.unwrap_err().kind(), io::ErrorKind::InvalidData, "{name}");
        }
        let whole = header(0x21, 0x11, &V4);
        for cut in 0..whole.len() {
            assert_eq!(
                read(&whole[..cut]).0.unwrap_err().kind(),
                io::ErrorKind::UnexpectedEof,
                "cut at {cut}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_no_more_is_read_than_the_header_says(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            signed in any::<bool>(),
            flip in (0..FIXED_BYTES * 8, any::<bool>()),
            behind in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut input = if signed { header(0x21, 0x11, &bytes) } else { bytes.clone() };
            if flip.1 && signed {
                input[flip.0 / 8] ^= 1 << (flip.0 % 8);
            }
            input.extend_from_slice(&behind);
            let (result, left) = read(&input);
            let said = input.get(14..16).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
            if let Ok(source) = result {
                prop_assert_eq!(&input[..12], &SIGNATURE[..]);
                prop_assert_eq!(Some(input.len() - left - FIXED_BYTES), said);
                if let Some(IpAddr::V4(source)) = source.filter(|_| input[13] == TCP_OVER_IPV4) {
                    prop_assert_eq!(&source.octets()[..], &input[16..20]);
                }
            } else {
                prop_assert!(input.len() - left <= FIXED_BYTES + said.unwrap_or(0).min(REST_BYTES_MAX));
            }
        }
    }
}
