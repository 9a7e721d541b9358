//! How many connections `serve` has, how long each may take, and from where they come.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde::Deserialize;
use tickwire_server::net::{ProxySpeech, ServerConfig, TrustedProxies};

use crate::config::check_range;

/// More than a machine has ports and memory for.
const CONNECTIONS_MAX: usize = 1_000_000;

/// Who takes longer to say hello says nothing, seconds.
const HANDSHAKE_MAX: u32 = 60;

/// No client believes more, seconds.
const RETRY_AFTER_MAX: u32 = 3_600;

/// Longer, and what waits to be written is a leak, seconds.
const WRITE_MAX: u32 = 300;

/// Flags, environment, and in the file the table `[connections]`.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[command(next_help_heading = "Connections")]
pub(crate) struct ConnectionArgs {
    /// Connections at once, players or not, 1 to 1000000 [default: 10000, or a fifth more than --max-players]
    #[arg(long, env = "TICKWIRE_MAX_CONNECTIONS", value_name = "N")]
    max_connections: Option<usize>,

    /// Connections of one address; 0: any number. Those of this machine are not counted [default: 64]
    #[arg(long, env = "TICKWIRE_MAX_PER_ADDRESS", value_name = "N")]
    max_per_address: Option<u32>,

    /// Handshakes a second of one address; 0: any number [default: 10]
    #[arg(long, env = "TICKWIRE_MAX_HANDSHAKES", value_name = "HZ")]
    max_handshakes: Option<u32>,

    /// Messages a second of one address, all its connections together; 0: any number. What is more waits [default: 8000]
    #[arg(long, env = "TICKWIRE_MAX_ADDRESS_MESSAGES", value_name = "HZ")]
    max_address_messages: Option<u32>,

    /// Counts connections of this machine as well, as where a proxy that is not trusted passes them on
    #[arg(long, env = "TICKWIRE_COUNT_LOOPBACK")]
    count_loopback: bool,

    /// From a connection's first byte to its whole hello, seconds, 1 to 60 [default: 5]
    #[arg(long, env = "TICKWIRE_HANDSHAKE_TIMEOUT", value_name = "SECONDS")]
    handshake_timeout: Option<u32>,

    /// How long whoever finds no place is told to stay away at least, seconds, 0 to 3600 [default: 1]
    #[arg(long, env = "TICKWIRE_RETRY_AFTER", value_name = "SECONDS")]
    retry_after: Option<u32>,

    /// Gives a connection up to which nothing could be written for so long, seconds, 1 to 300 [default: 10]
    #[arg(long, env = "TICKWIRE_WRITE_TIMEOUT", value_name = "SECONDS")]
    write_timeout: Option<u32>,

    /// Proxies whose word is taken for where clients are, by `X-Forwarded-For`: a network such as 10.0.0.0/8, or an address. Several may be given
    /// [default: nobody's]
    #[arg(long, env = "TICKWIRE_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',')]
    trusted_proxy: Vec<String>,

    /// These proxies say it by the PROXY protocol, version 2, instead
    #[arg(long, env = "TICKWIRE_PROXY_PROTOCOL")]
    proxy_protocol: bool,
}

impl ConnectionArgs {
    /// What was not given here, as the file has it.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            max_connections: self.max_connections.or(file.max_connections),
            max_per_address: self.max_per_address.or(file.max_per_address),
            max_handshakes: self.max_handshakes.or(file.max_handshakes),
            max_address_messages: self.max_address_messages.or(file.max_address_messages),
            count_loopback: self.count_loopback || file.count_loopback,
            handshake_timeout: self.handshake_timeout.or(file.handshake_timeout),
            retry_after: self.retry_after.or(file.retry_after),
            write_timeout: self.write_timeout.or(file.write_timeout),
            trusted_proxy: if self.trusted_proxy.is_empty() {
                file.trusted_proxy
            } else {
                self.trusted_proxy
            },
            proxy_protocol: self.proxy_protocol || file.proxy_protocol,
        }
    }

    /// Checks what was given, and sets it, for as many players as were wished for, if any number was.
    pub(crate) fn apply(self, players_max: Option<u32>, config: &mut ServerConfig) -> anyhow::Result<()> {
        if let Some(connections) = self.max_connections.filter(|max| !(1..=CONNECTIONS_MAX).contains(max)) {
            bail!("--max-connections {connections}: there are 1 to {CONNECTIONS_MAX}");
        }
        check_range("--handshake-timeout", self.handshake_timeout, 1..=HANDSHAKE_MAX, "seconds")?;
        check_range("--retry-after", self.retry_after, 0..=RETRY_AFTER_MAX, "seconds")?;
        check_range("--write-timeout", self.write_timeout, 1..=WRITE_MAX, "seconds")?;
        // Beside the players there are those who watch, and those who are still saying hello.
        let needed = players_max.map_or(0, |players| players as usize + players as usize / 5);
        config.connections_max = self.max_connections.unwrap_or(config.connections_max.max(needed));
        let seconds = |given: Option<u32>, otherwise: Duration| {
            given.map_or(otherwise, |seconds| Duration::from_secs(seconds.into()))
        };
        config.handshake_timeout = seconds(self.handshake_timeout, config.handshake_timeout);
        config.retry_after = seconds(self.retry_after, config.retry_after);
        config.write_timeout = seconds(self.write_timeout, config.write_timeout);
        let addresses = &mut config.access.addresses;
        addresses.connections_max = self.max_per_address.unwrap_or(addresses.connections_max);
        addresses.handshakes_per_second = self.max_handshakes.unwrap_or(addresses.handshakes_per_second);
        addresses.messages_per_second = self.max_address_messages.unwrap_or(addresses.messages_per_second);
        addresses.counts_loopback |= self.count_loopback;
        config.access.proxies = proxies(&self.trusted_proxy, self.proxy_protocol)?;
        Ok(())
    }
}

fn proxies(trusted: &[String], proxy_protocol: bool) -> anyhow::Result<TrustedProxies> {
    ensure!(
        !proxy_protocol || !trusted.is_empty(),
        "--proxy-protocol: say from where it is believed, with --trusted-proxy"
    );
    let networks = trusted.iter().map(|network| network.parse()).collect::<Result<_, _>>();
    let speech = if proxy_protocol { ProxySpeech::ProxyProtocol } else { ProxySpeech::ForwardedFor };
    Ok(TrustedProxies { networks: networks.context("--trusted-proxy")?, speech })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::TickRate;
    use tickwire_server::core::RoomConfig;

    fn config() -> ServerConfig {
        let room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
        ServerConfig::new(([127, 0, 0, 1], 0).into(), room)
    }

    #[test]
    fn flags_beat_the_file_and_the_file_beats_the_defaults() {
        let file: ConnectionArgs = toml::from_str(
            "max-per-address = 3\nhandshake-timeout = 2\nretry-after = 9\nwrite-timeout = 60\ncount-loopback = true\n\
             trusted-proxy = ['10.0.0.0/8', '::1']\nproxy-protocol = true",
        )
        .unwrap();
        let flags = ConnectionArgs { max_per_address: Some(4), ..ConnectionArgs::default() };
        let mut config = config();
        flags.or(file).apply(None, &mut config).unwrap();
        let addresses = config.access.addresses;
        assert_eq!((addresses.connections_max, addresses.handshakes_per_second), (4, 10));
        assert!(addresses.counts_loopback);
        let times = [config.handshake_timeout, config.retry_after, config.write_timeout];
        assert_eq!(times.map(|time| time.as_secs()), [2, 9, 60]);
        let proxies = config.access.proxies;
        assert_eq!((proxies.networks.len(), proxies.speech), (2, ProxySpeech::ProxyProtocol));
    }

    #[test]
    fn there_is_a_connection_for_every_player() {
        let connections = |players, given| {
            let mut config = config();
            let args = ConnectionArgs { max_connections: given, ..ConnectionArgs::default() };
            args.apply(players, &mut config).unwrap();
            config.connections_max
        };
        let given = [None, Some(100), Some(20_000)].map(|players| connections(players, None));
        assert_eq!(given, [10_000, 10_000, 24_000]);
        assert_eq!(connections(Some(20_000), Some(5)), 5);
    }

    #[test]
    fn mistakes_are_named() {
        let none = ConnectionArgs::default;
        for (args, words) in [
            (ConnectionArgs { max_connections: Some(0), ..none() }, "1 to 1000000"),
            (ConnectionArgs { max_connections: Some(usize::MAX), ..none() }, "1 to 1000000"),
            (
                ConnectionArgs { handshake_timeout: Some(0), ..none() },
                "--handshake-timeout 0: must be from 1 to 60",
            ),
            (ConnectionArgs { write_timeout: Some(301), ..none() }, "--write-timeout 301"),
            (
                ConnectionArgs { trusted_proxy: vec!["10.0.0.1/8".to_owned()], ..none() },
                "--trusted-proxy: 10.0.0.1/8",
            ),
            (ConnectionArgs { proxy_protocol: true, ..none() }, "--trusted-proxy"),
        ] {
            let error = format!("{:#}", args.apply(None, &mut config()).unwrap_err());
            assert!(error.contains(words), "{error:?} should say {words:?}");
        }
    }
}
