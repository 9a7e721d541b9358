//! Behind a proxy: whose word is taken for where a client is, and what is counted there.
#![cfg(feature = "net")]

mod common;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use common::{Honest, PATIENCE, Raw, arena, hello, request, start};
use tickwire_protocol::handshake::{AuthRefusal, Token};
use tickwire_protocol::{Micros, TickRate};
use tickwire_server::auth::{Authenticator, Credentials, Verdict};
use tickwire_server::core::RoomConfig;
use tickwire_server::net::{AddressLimits, ProxySpeech, ServerConfig, TrustedProxies};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// A server that takes one connection of an address, its own machine's included, and trusts these.
fn config(trusted: &str, speech: ProxySpeech) -> ServerConfig {
    let mut room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    room.session_window = Micros::ZERO;
    let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap(), room);
    config.access.addresses = AddressLimits {
        connections_max: 1,
        handshakes_per_second: 0,
        counts_loopback: true,
        ..AddressLimits::default()
    };
    config.access.guests = true;
    config.access.proxies = TrustedProxies { networks: vec![trusted.parse().unwrap()], speech };
    config
}

/// A header of the PROXY protocol for a connection from this address.
fn header(source: [u8; 4]) -> Vec<u8> {
    let fixed = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
    [&fixed[..], &source, &[127, 0, 0, 1], &[0x30, 0x39, 0x01, 0xbb]].concat()
}

/// What is answered to these bytes and a request for a WebSocket; an open connection stays with it.
async fn ask(addr: SocketAddr, before: &[u8], lines: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // One that is not believed may be closed while it still speaks.
    let _ = stream.write_all(&[before, request("/", lines).as_bytes()].concat()).await;
    let mut answer = vec![0; 4096];
    let heard = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.expect("an answer or an end");
    let heard = String::from_utf8_lossy(&answer[..heard.unwrap_or(0)]).into_owned();
    (stream, heard.lines().next().unwrap_or("closed").to_owned())
}

const IN: &str = "HTTP/1.1 101 Switching Protocols";
const TOO_MANY: &str = "HTTP/1.1 429 Too Many Requests";
const BAD: &str = "HTTP/1.1 400 Bad Request";

#[tokio::test]
async fn who_comes_by_a_trusted_proxy_is_counted_where_it_says() {
    let server = start(config("127.0.0.0/8", ProxySpeech::ForwardedFor), arena()).await;
    let forwarded = async |list: &str| ask(server.addr, b"", &format!("X-Forwarded-For: {list}\r\n")).await;
    let (_alice, answer) = forwarded("192.0.2.1").await;
    assert_eq!(answer, IN);
    let (_bob, answer) = forwarded("192.0.2.1, 192.0.2.2").await;
    assert_eq!(answer, IN, "what stands before is what bob says of himself");
    assert_eq!(forwarded("192.0.2.9, 192.0.2.1").await.1, TOO_MANY);
    assert_eq!(forwarded("192.0.2.2, 127.0.0.2").await.1, TOO_MANY, "by two proxies");
    assert_eq!(forwarded("somebody").await.1, BAD);
    let (_proxy, answer) = ask(server.addr, b"", "").await;
    assert_eq!(answer, IN, "the proxy for itself");
    assert_eq!(ask(server.addr, b"", "").await.1, TOO_MANY);
}

#[tokio::test]
async fn nobody_else_is_believed() {
    for speech in [ProxySpeech::ForwardedFor, ProxySpeech::ProxyProtocol] {
        let server = start(config("10.0.0.0/8", speech), arena()).await;
        let (_first, answer) = ask(server.addr, b"", "X-Forwarded-For: 192.0.2.1\r\n").await;
        assert_eq!(answer, IN);
        assert_eq!(ask(server.addr, b"", "X-Forwarded-For: 192.0.2.2\r\n").await.1, TOO_MANY);
        let server = start(config("10.0.0.0/8", speech), arena()).await;
        assert_eq!(ask(server.addr, &header([192, 0, 2, 1]), "").await.1, BAD);
    }
}

#[tokio::test]
async fn the_proxy_protocol_comes_before_anything_else() {
    let server = start(config("127.0.0.1", ProxySpeech::ProxyProtocol), arena()).await;
    let from = async |last: u8, lines: &str| ask(server.addr, &header([192, 0, 2, last]), lines).await;
    let (_alice, answer) = from(1, "").await;
    assert_eq!(answer, IN);
    assert_eq!(from(1, "X-Forwarded-For: 192.0.2.7\r\n").await.1, TOO_MANY, "one way to say it, not two");
    let schema = arena().schema().clone();
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(&header([192, 0, 2, 2])).await.unwrap();
    let raw = Raw::asking(stream, "ws://127.0.0.1/".into_client_request().unwrap()).await;
    let mut bob = Honest::join_over(raw, &schema, &hello(&schema)).await;
    for not_a_header in [&b""[..], b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n", &[0x16; 16]] {
        assert_eq!(ask(server.addr, not_a_header, "").await.1, "closed");
    }
    let snapshots = bob.snapshots;
    bob.play_until(|bob| bob.snapshots >= snapshots + 5).await;
}

/// An authenticator that notes from where it is asked.
struct Nosy(Sender<IpAddr>);

impl Authenticator for Nosy {
    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> Verdict<'a> {
        self.0.send(credentials.address).unwrap();
        Box::pin(async { Err(AuthRefusal::Expired) })
    }
}

#[tokio::test]
async fn the_authenticator_is_told_where_the_client_is() {
    let (seen, asked) = channel();
    let mut config = config("127.0.0.1", ProxySpeech::ForwardedFor);
    config.access.authenticator = Some(Arc::new(Nosy(seen)));
    let server = start(config, arena()).await;
    let token = Token::new("a.b.c").unwrap();
    let lines = format!("X-Forwarded-For: 192.0.2.1\r\nAuthorization: Bearer {}\r\n", token.as_str());
    assert_eq!(ask(server.addr, b"", &lines).await.1, "HTTP/1.1 401 Unauthorized");
    assert_eq!(asked.try_recv().unwrap(), IpAddr::from([192, 0, 2, 1]));
}
