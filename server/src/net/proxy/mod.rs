//! Whom a connection is for, where a proxy stands in front: said by proxies that are trusted, and by nobody else.

mod header;
mod network;

use std::net::{IpAddr, SocketAddr};

pub(super) use header::read_header;
pub use network::{Network, NetworkError};

use super::http::HttpRefusal;

/// The proxies whose word is taken for where a client is. Anybody could say it: from other addresses it is neither read nor believed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TrustedProxies {
    /// Where they are.
    pub networks: Vec<Network>,
    /// How they say it.
    pub speech: ProxySpeech,
}

/// How a proxy says for whom a connection is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ProxySpeech {
    /// In the request, as `X-Forwarded-For`: a proxy that speaks HTTP, and ends TLS.
    #[default]
    ForwardedFor,
    /// Before anything else, by the PROXY protocol, version 2: one that passes bytes on, TLS as well.
    ProxyProtocol,
}

impl TrustedProxies {
    pub(super) fn trust(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }

    /// The address that a trusted proxy forwards for. Each proxy appends the address that it was connected from, so the list is true from
    /// its end to the first address that is none of ours: that one said what stands before it, whatever it likes.
    pub(super) fn client_of(&self, proxy: IpAddr, forwarded: &str) -> Result<IpAddr, HttpRefusal> {
        let mut client = proxy;
        for said in forwarded.rsplit(',').map(str::trim).filter(|said| !said.is_empty()) {
            client = read_address(said).ok_or(HttpRefusal::BadRequest(
                "X-Forwarded-For: the proxy in front names no address in it",
            ))?;
            if !self.trust(client) {
                break;
            }
        }
        Ok(client)
    }
}

/// Some proxies name the port as well.
fn read_address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> TrustedProxies {
        let networks = ["10.0.0.0/8", "2001:db8::/32", "127.0.0.1"];
        TrustedProxies {
            networks: networks.map(|network| network.parse().unwrap()).into(),
            speech: ProxySpeech::ForwardedFor,
        }
    }

    #[test]
    fn the_list_is_believed_from_its_end_to_the_first_stranger() {
        let client = |said: &str| {
            let client = proxies().client_of([10, 0, 0, 1].into(), said).map(|client| client.to_string());
            client.unwrap_or_else(|_| "refused".to_owned())
        };
        for (said, expected) in [
            ("", "10.0.0.1"),
            ("192.0.2.7", "192.0.2.7"),
            ("127.0.0.1, 192.0.2.7", "192.0.2.7"),
            ("198.51.100.1, 192.0.2.7 , 10.1.2.3", "192.0.2.7"),
            ("unknown, 192.0.2.7, 2001:db8::1", "192.0.2.7"),
            ("10.9.9.9, 10.1.2.3", "10.9.9.9"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
            ("192.0.2.7:5678", "192.0.2.7"),
            ("[2001:db9::1]:80", "2001:db9::1"),
            ("[2001:db9::1]", "2001:db9::1"),
            ("192.0.2.7,,", "192.0.2.7"),
            ("192.0.2.7, unknown", "refused"),
            ("192.0.2.7, 10.0.0.300", "refused"),
        ] {
            assert_eq!(client(said), expected, "{said}");
        }
    }
}
