//! TLS over real sockets: who is believed, what a slow peer is sent, what a handshake may cost, and a certificate that is renewed.
#![cfg(feature = "net")]

mod common;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::crowd::shouting_crowd as crowd;
use common::{Honest, PATIENCE, Raw, Running, arena, hello, start};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tickwire_client::net::{self, CertificateProblem, ConnectError, Options, Roots, Wake};
use tickwire_client::{ClientConfig, Event};
use tickwire_protocol::{Micros, TickRate};
use tickwire_server::core::RoomConfig;
use tickwire_server::net::{AddressLimits, ProxySpeech, ServerConfig, ServerStats, TlsFiles, TrustedProxies};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, RootCertStore, SupportedProtocolVersion};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// An authority for one test, and a folder for what it issues.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: rcgen::Certificate,
    folder: PathBuf,
}

impl Authority {
    fn new() -> Self {
        static FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("tickwire-authority-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), root, folder }
    }

    /// Writes a certificate for this name, and its key.
    fn issue(&self, name: &str, adjust: impl FnOnce(&mut CertificateParams)) -> TlsFiles {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = TlsFiles { certificate: self.folder.join("cert.pem"), key: self.folder.join("key.pem") };
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    fn files(&self) -> TlsFiles {
        self.issue("127.0.0.1", |_| {})
    }

    fn options(&self) -> Options {
        Options { roots: Roots::from_pem(self.root.pem().as_bytes()).unwrap(), ..Options::default() }
    }

    /// A stream to a server, encrypted by another hand than the client's.
    async fn secure(
        &self,
        socket: TcpStream,
        version: &'static SupportedProtocolVersion,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config)).connect("127.0.0.1".try_into().unwrap(), socket).await
    }

    async fn raw(&self, addr: SocketAddr, version: &'static SupportedProtocolVersion) -> Raw {
        self.raw_over(TcpStream::connect(addr).await.unwrap(), version).await
    }

    /// One whose system takes little that nobody reads.
    async fn narrow(&self, addr: SocketAddr) -> Raw {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        self.raw_over(socket.connect(addr).await.unwrap(), &TLS13).await
    }

    async fn raw_over(&self, socket: TcpStream, version: &'static SupportedProtocolVersion) -> Raw {
        let stream = self.secure(socket, version).await.unwrap();
        Raw::asking(stream, "wss://127.0.0.1/".into_client_request().unwrap()).await
    }

    /// What is answered to this request.
    async fn ask(&self, addr: SocketAddr, head: &str) -> std::io::Result<String> {
        let mut stream = self.secure(TcpStream::connect(addr).await?, &TLS13).await?;
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8(answer).unwrap())
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn config(tls: TlsFiles) -> ServerConfig {
    let mut room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    // Whoever is gone is gone.
    room.session_window = Micros::ZERO;
    ServerConfig { tls: Some(tls), ..ServerConfig::new("127.0.0.1:0".parse().unwrap(), room) }
}

/// For a game that says 30 KB at each step, and no fault but that of the socket.
fn flood(tls: TlsFiles) -> ServerConfig {
    let mut config = config(tls);
    config.room.snapshot_hz = 60;
    config.room.silence_timeout = Micros::from_secs(250);
    config.room.stall_timeout = Micros::from_secs(250);
    config.room.are_messages_paced = false;
    config
}

async fn until(server: &Running, is_so: impl Fn(&ServerStats) -> bool) {
    let looking = async {
        while !is_so(&server.handle.stats().await) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("the server does what is waited for");
}

async fn connect(url: &str, options: Options) -> Result<net::Connection, ConnectError> {
    let schema = tickwire_sim::arena::schema().clone();
    net::connect_with(url, ClientConfig::new("test 1"), schema, options).await
}

#[tokio::test]
async fn a_client_plays_by_wss_and_leaves_in_order() {
    let authority = Authority::new();
    let server = start(config(authority.files()), arena()).await;
    let mut connection = connect(&format!("wss://{}", server.addr), authority.options()).await.unwrap();
    let mut snapshots = 0;
    while snapshots < 20 {
        match connection.next().await.expect("a connection that goes on") {
            Wake::Input(tick) => connection.push_input(tick, |_| {}),
            Wake::Snapshot => snapshots += 1,
            Wake::Event(event) => assert!(!matches!(event, Event::Disconnected(_)), "{event:?}"),
        }
    }
    connection.close().await;
    until(&server, |stats| stats.connections == 0 && stats.players == 0).await;
    assert_eq!(server.handle.stats().await.total.faults, 0);
}

#[tokio::test]
async fn whom_a_certificate_does_not_show_is_told_nothing() {
    let authority = Authority::new();
    let refused = async |files: TlsFiles, options: Options| {
        let server = start(config(files), arena()).await;
        let error = connect(&format!("wss://{}", server.addr), options).await.expect_err("no connection");
        let words = error.to_string();
        let ConnectError::Certificate { problem, .. } = error else { panic!("{words}") };
        assert_eq!(server.handle.stats().await.bytes_in, 0, "no hello came");
        (problem, words)
    };
    let (problem, words) = refused(authority.files(), Options::default()).await;
    assert_eq!(problem, CertificateProblem::Unknown);
    assert!(words.contains("--ca"), "{words}");
    let (problem, _) = refused(authority.files(), Authority::new().options()).await;
    assert_eq!(problem, CertificateProblem::Unknown);
    let (problem, _) = refused(authority.issue("game.example", |_| {}), authority.options()).await;
    assert_eq!(problem, CertificateProblem::WrongName);
    let old = authority.issue("127.0.0.1", |params| params.not_after = date_time_ymd(2020, 1, 1));
    let (problem, words) = refused(old, authority.options()).await;
    assert_eq!(problem, CertificateProblem::Expired);
    assert!(words.contains("expired"), "{words}");
    let early = authority.issue("127.0.0.1", |params| params.not_before = date_time_ymd(2900, 1, 1));
    assert_eq!(refused(early, authority.options()).await.0, CertificateProblem::NotYet);
    let itself =
        authority.issue("127.0.0.1", |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let (problem, words) = refused(itself, authority.options()).await;
    assert_eq!(problem, CertificateProblem::Authority);
    assert!(words.contains("CA:FALSE"), "{words}");
}

#[tokio::test]
async fn who_mixes_up_ws_and_wss_is_told_so() {
    let authority = Authority::new();
    let sealed = start(config(authority.files()), arena()).await;
    let error = connect(&format!("ws://{}", sealed.addr), Options::default()).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::NotWebSocket { .. }) && error.to_string().contains("wss://"),
        "{error}"
    );
    let open = start(ServerConfig { tls: None, ..config(authority.files()) }, arena()).await;
    let error = connect(&format!("wss://{}", open.addr), authority.options()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }) && error.to_string().contains("ws://"), "{error}");
}

#[tokio::test]
async fn both_versions_carry_the_same_and_nothing_older() {
    let authority = Authority::new();
    let server = start(config(authority.files()), arena()).await;
    let schema = arena().schema().clone();
    for version in [&TLS12, &TLS13] {
        let raw = authority.raw(server.addr, version).await;
        let mut honest = Honest::join_over(raw, &schema, &hello(&schema)).await;
        honest.play_until(|honest| honest.snapshots >= 25 && honest.digests > 0 && honest.pongs > 0).await;
    }
    // TLS 1.1, by the bytes of its hello: version 3.2, one cipher, no extensions.
    let mut socket = TcpStream::connect(server.addr).await.unwrap();
    let body = [&[1, 0, 0, 41, 3, 2][..], &[7; 32], &[0, 0, 2, 0xc0, 0x13, 1, 0]].concat();
    socket.write_all(&[&[22, 3, 1, 0, body.len() as u8][..], &body].concat()).await.unwrap();
    let mut answer = Vec::new();
    let heard = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("an end");
    assert!(heard.is_ok() && answer.first() == Some(&21), "an alert: {answer:?}");
}

#[tokio::test]
async fn a_slow_reader_gets_whole_messages_and_then_the_newest_state() {
    let authority = Authority::new();
    let server = start(flood(authority.files()), crowd()).await;
    let schema = crowd().schema().clone();
    let mut slow = Honest::join_over(authority.narrow(server.addr).await, &schema, &hello(&schema)).await;
    for _ in 0..2 {
        let (told, seen) = (slow.snapshots, slow.replica.newest_tick().unwrap());
        until(&server, |stats| stats.rooms[0].tick.since(seen) > 120).await;
        let resumed = server.handle.stats().await.rooms[0].tick;
        // Each message is decoded and compared with the digest in it, so none is torn, lost or out of order.
        slow.play_until(|slow| slow.replica.newest_tick().unwrap().since(resumed) >= 0).await;
        let (snapshots, ticks) = (slow.snapshots - told, slow.replica.newest_tick().unwrap().since(seen));
        assert!(
            i32::from(snapshots) < ticks / 2,
            "{snapshots} snapshots of {ticks} ticks: old state was queued"
        );
    }
}

#[tokio::test]
async fn whose_writes_stall_is_closed_with_its_own_code() {
    let authority = Authority::new();
    let mut config = flood(authority.files());
    config.write_timeout = Duration::from_millis(400);
    let server = start(config, crowd()).await;
    let schema = crowd().schema().clone();
    let mut deaf = Honest::join_over(authority.narrow(server.addr).await, &schema, &hello(&schema)).await;
    until(&server, |stats| stats.rooms[0].players == 0).await;
    let ending = tokio::time::timeout(PATIENCE, deaf.raw.ending()).await.expect("an end");
    assert_eq!(ending.1.expect("a close frame behind the message that was stuck").0, 4003);
    assert_eq!(server.handle.stats().await.total.faults, 1);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_to_its_end_is_over_in_time() {
    let authority = Authority::new();
    let mut config = config(authority.files());
    config.handshake_timeout = Duration::from_millis(300);
    let server = start(config, arena()).await;
    for said in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut socket = TcpStream::connect(server.addr).await.unwrap();
        socket.write_all(said).await.unwrap();
        let heard = tokio::time::timeout(PATIENCE, socket.read(&mut [0; 64])).await.expect("an end");
        assert!(matches!(heard, Ok(0) | Err(_)), "{heard:?}");
    }
    until(&server, |stats| stats.connections == 0).await;
}

#[tokio::test]
async fn an_address_is_told_of_its_limit_but_its_handshakes_are_not_made_beyond_it() {
    let authority = Authority::new();
    let mut limited = config(authority.files());
    limited.access.addresses = AddressLimits {
        connections_max: 1,
        handshakes_per_second: 0,
        counts_loopback: true,
        ..AddressLimits::default()
    };
    let server = start(limited, arena()).await;
    let _first = authority.raw(server.addr, &TLS13).await;
    let head = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = authority.ask(server.addr, head).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("\r\nRetry-After: 30\r\n"), "{answer}");
    let mut limited = config(authority.files());
    limited.access.addresses = AddressLimits {
        connections_max: 0,
        handshakes_per_second: 1,
        counts_loopback: true,
        ..AddressLimits::default()
    };
    let server = start(limited, arena()).await;
    assert!(authority.ask(server.addr, head).await.unwrap().starts_with("HTTP/1.1 426 "));
    let hasty = authority.ask(server.addr, head).await;
    assert!(hasty.is_err(), "no handshake is made for who comes too fast: {hasty:?}");
}

#[tokio::test]
async fn a_renewed_certificate_counts_for_new_connections_and_the_old_ones_go_on() {
    let (before, after) = (Authority::new(), Authority::new());
    let files = before.files();
    let server = start(config(files.clone()), arena()).await;
    let schema = arena().schema().clone();
    let mut witness =
        Honest::join_over(before.raw(server.addr, &TLS13).await, &schema, &hello(&schema)).await;
    let url = format!("wss://{}", server.addr);
    // Half of it: the server keeps what it has.
    let renewed = after.files();
    fs::copy(&renewed.certificate, &files.certificate).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(connect(&url, before.options()).await.is_ok());
    fs::copy(&renewed.key, &files.key).unwrap();
    let renewing = async {
        while connect(&url, after.options()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, renewing).await.expect("the new certificate");
    let snapshots = witness.snapshots;
    witness.play_until(|witness| witness.snapshots >= snapshots + 20).await;
}

#[tokio::test]
async fn the_proxy_protocol_comes_before_the_handshake() {
    let authority = Authority::new();
    let mut config = config(authority.files());
    let networks = vec!["127.0.0.1".parse().unwrap()];
    config.access.guests = true;
    config.access.proxies = TrustedProxies { networks, speech: ProxySpeech::ProxyProtocol };
    config.access.addresses = AddressLimits {
        connections_max: 0,
        handshakes_per_second: 1,
        counts_loopback: false,
        ..AddressLimits::default()
    };
    let server = start(config, arena()).await;
    let from = async |last: u8| {
        let mut socket = TcpStream::connect(server.addr).await.unwrap();
        let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02";
        let rest = [last, 127, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb];
        socket.write_all(&[&header[..], &rest].concat()).await.unwrap();
        authority.secure(socket, &TLS13).await
    };
    assert!(from(1).await.is_ok() && from(2).await.is_ok());
    assert!(from(1).await.is_err(), "the limit is that of the address behind the proxy");
}
