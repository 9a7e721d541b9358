//! A range of addresses, as it is written down.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// All addresses that begin alike: `10.0.0.0/8`, `2001:db8::/32`, or one address alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    /// Of an IPv4 address the last 32 bits count.
    start: u128,
    /// Bits in which addresses may differ.
    free: u32,
    is_v4: bool,
}

/// What was written is no network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NetworkError(String);

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for NetworkError {}

impl Network {
    /// Whether an address is in it. An IPv4 address is the same by its IPv6 name (`::ffff:10.0.0.1`).
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, is_v4) = bits(address);
        is_v4 == self.is_v4 && head(bits, self.free) == self.start
    }
}

/// Without the last `free` bits.
fn head(bits: u128, free: u32) -> u128 {
    bits & u128::MAX.checked_shl(free).unwrap_or(0)
}

fn bits(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(address.to_bits()), true),
        IpAddr::V6(address) => (address.to_bits(), false),
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = |why: &str| NetworkError(format!("{text}: {why}"));
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address =
            address.parse().map_err(|_| wrong("write a network such as 10.0.0.0/8, or an address"))?;
        let (start, is_v4) = bits(address);
        let width = if is_v4 { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(prefix) => prefix
                .parse()
                .ok()
                .filter(|prefix| *prefix <= width)
                .ok_or_else(|| wrong(&format!("behind the slash stands a number from 0 to {width}")))?,
        };
        let network = Self { start, free: width - prefix, is_v4 };
        if head(start, network.free) != start {
            return Err(wrong(
                "the address has bits beyond its network: is it the network that is meant, or the address?",
            ));
        }
        Ok(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_as_it_does() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.4/30", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.7/32", "::ffff:192.0.2.7", "::192.0.2.7"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "ffff::1", "1.2.3.4"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("::1", "::1", "::2"),
        ] {
            let network: Network = network.parse().unwrap();
            let contains = |address: &str| network.contains(address.parse().unwrap());
            assert!(contains(inside) && !contains(outside), "{network:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_said_to_be_none() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "10.0.0.1/8",
            "example.org",
            "10.0.0.0/-1",
        ] {
            let error = text.parse::<Network>().expect_err(text).to_string();
            assert!(error.starts_with(text) && error.len() > text.len() + 10, "{error}");
        }
    }
}
