//! Over real sockets, on a port of the system's choice.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tickwire_client::net::{self, ConnectError, Connection, Wake};
use tickwire_client::{Backoff, ClientConfig, ClientFault, DisconnectReason, Event, Reconnect, SavedSession};
use tickwire_protocol::frame::{FrameType, frames, write_frame};
use tickwire_protocol::handshake::{FreshReason, Reject, RejectReason, SessionOutcome, StreamKind};
use tickwire_protocol::input::InputFrame;
use tickwire_protocol::limits::MESSAGE_BYTES_MAX;
use tickwire_protocol::message::{Lane, MessageAck, MessageClass, MessageFrame};
use tickwire_protocol::{CloseCode, DecodeError, Micros, PlayerId, RoomId, SessionId};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::saved::talking;
use super::support::*;

type Socket = WebSocketStream<TcpStream>;

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// Waits for a client and its hello.
async fn accept(listener: &TcpListener) -> Socket {
    let (stream, _) = listener.accept().await.unwrap();
    let mut socket = accept_async(stream).await.unwrap();
    let mut heard = Heard::default();
    hear(&binary(&mut socket).await, tickwire_protocol::Tick(0), &mut heard);
    assert_eq!(heard.hellos.len(), 1);
    socket
}

async fn binary(socket: &mut Socket) -> Bytes {
    loop {
        let bytes = binary_of(socket.next().await);
        if !bytes.is_empty() {
            return bytes;
        }
    }
}

/// Nothing of a ping or a pong.
fn binary_of(message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) -> Bytes {
    match message.unwrap().unwrap() {
        Message::Binary(bytes) => bytes,
        Message::Ping(_) | Message::Pong(_) => Bytes::new(),
        other => panic!("a client sent {other:?}"),
    }
}

fn welcome(server: &FakeServer) -> Message {
    let mut out = Vec::new();
    server.welcome_value().encode(&mut out);
    Message::Binary(out.into())
}

/// For one connection: these servers take no other.
async fn connect(url: &str) -> Result<Connection, ConnectError> {
    let config = ClientConfig { reconnect: None, ..ClientConfig::new("test 1") };
    net::connect(url, config, schema().clone()).await
}

/// A server that welcomes, and then does as it is told.
async fn welcomed() -> (Connection, Socket, FakeServer) {
    let (listener, url) = listen().await;
    let server = FakeServer::new(StreamKind::Ordered, 1_000);
    let (connection, socket) = tokio::join!(connect(&url), async {
        let mut socket = accept(&listener).await;
        socket.send(welcome(&server)).await.unwrap();
        socket
    });
    (connection.unwrap(), socket, server)
}

/// A server that says a large message a byte a second, and so much of it.
async fn drip(bytes: usize) -> Connection<DuplexStream> {
    let (near, far) = tokio::io::duplex(4_096);
    tokio::spawn(async move {
        let mut socket = accept_async(far).await.unwrap();
        socket.next().await.unwrap().unwrap();
        socket.send(welcome(&FakeServer::new(StreamKind::Ordered, 1_000))).await.unwrap();
        let far = socket.get_mut();
        // A message of 60,000 bytes.
        far.write_all(&[0x82, 126, 0xea, 0x60]).await.unwrap();
        for _ in 0..bytes {
            tokio::time::sleep(Duration::from_secs(1)).await;
            far.write_all(&[0]).await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    let (config, options) = (ClientConfig::new("test 1"), net::Options::default());
    net::connect_over(near, "ws://test", config, schema().clone(), options).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_byte_is_life_also_in_the_midst_of_a_message() {
    let mut connection = drip(usize::MAX).await;
    connection.run_until(Micros::from_secs(60)).await;
    assert!(connection.client().is_playing());
    let mut connection = drip(3).await;
    connection.run_until(Micros::from_secs(60)).await;
    assert_eq!(connection.client().disconnect_reason(), Some(&DisconnectReason::Silent));
}

/// A client to whom so many messages have come at once, and the far end.
async fn told_much(count: u16) -> (Connection<DuplexStream>, WebSocketStream<DuplexStream>) {
    let (near, far) = tokio::io::duplex(65_536);
    let server = async {
        let mut socket = accept_async(far).await.unwrap();
        socket.next().await.unwrap().unwrap();
        let mut server = FakeServer::new(StreamKind::Ordered, 1_000);
        server.session_outcome = Some(SessionOutcome::Fresh(FreshReason::First));
        socket.send(welcome(&server)).await.unwrap();
        let mut told = Vec::new();
        for number in 0..count {
            let frame = MessageFrame { ty: SAY, number, key: 0, body: Bytes::from_static(b"hi").into() };
            frame.encode(MessageClass::Reliable, &mut told);
        }
        socket.send(Message::Binary(told.into())).await.unwrap();
        socket
    };
    let (config, options) = (ClientConfig::new("test 1"), net::Options::default());
    let connecting = net::connect_over(near, "ws://test", config, schema().clone(), options);
    let (connection, socket) = Box::pin(async { tokio::join!(connecting, server) }).await;
    (connection.unwrap(), socket)
}

/// In how many acks the far end hears of forty messages, where the game needs so long for each.
async fn acks_of_forty(pause: Duration) -> usize {
    let (mut connection, mut socket) = told_much(40).await;
    let hearing = tokio::spawn(async move {
        for acks in 1.. {
            let acked = loop {
                let mut frames = frames(binary_of(socket.next().await)).map(Result::unwrap);
                if let Some(frame) = frames.find(|frame| frame.ty == FrameType::MessageAck) {
                    break MessageAck::decode(&frame.payload).unwrap();
                }
            };
            if acked.of(Lane::Messages) == Some(40) {
                return acks;
            }
        }
        unreachable!("it goes on until all is acked")
    });
    while !hearing.is_finished() {
        match connection.next().await.unwrap() {
            Wake::Event(Event::Message(_)) => tokio::time::advance(pause).await,
            Wake::Event(_) | Wake::Snapshot => {}
            Wake::Input(tick) => connection.push_input(tick, |_| ()),
        }
    }
    hearing.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_told_at_once_is_acked_at_once() {
    assert_eq!(acks_of_forty(Duration::ZERO).await, 1);
    let slowly = acks_of_forty(Duration::from_millis(2)).await;
    assert!(slowly > 30, "a slow game's acks do not wait for its last event: {slowly}");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_in_the_midst_of_its_events_says_goodbye_before_it_is_told_so() {
    let (mut connection, mut socket) = told_much(2).await;
    while !matches!(connection.next().await, Some(Wake::Event(Event::Message(_)))) {}
    let now = connection.now();
    connection.client_mut().close(now, None);
    while !matches!(connection.next().await, Some(Wake::Event(Event::Disconnected(_)))) {}
    drop(connection);
    let goodbye = loop {
        if let Message::Close(close) = socket.next().await.unwrap().unwrap() {
            break close;
        }
    };
    assert_eq!(u16::from(goodbye.unwrap().code), 1000);
}

#[tokio::test]
async fn a_stream_that_was_upgraded_carries_frames() {
    let (listener, url) = listen().await;
    let config = ClientConfig::new("test 1");
    let upgrading = async {
        let stream = net::dial(&url, &config).await?;
        net::upgrade(stream, &url, &config, &net::Options::default()).await
    };
    let (stream, socket) = tokio::join!(upgrading, async {
        let (stream, _) = listener.accept().await.unwrap();
        accept_async(stream).await.unwrap()
    });
    let (mut stream, mut socket) = (stream.unwrap(), socket);
    socket.send(Message::Binary(Bytes::from_static(b"abc"))).await.unwrap();
    let mut frame = [0; 5];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame, *b"\x82\x03abc");
}

#[tokio::test]
async fn a_game_over_a_socket() {
    let (mut connection, mut socket, mut server) = welcomed().await;
    let playing = tokio::spawn(async move {
        let (mut log, mut snapshots) = (Vec::new(), 0);
        while let Some(wake) = connection.next().await {
            match wake {
                Wake::Input(tick) => connection.push_input(tick, |row| {
                    row.set_integer(MOVE, 7);
                }),
                Wake::Event(event) => log.push(event),
                Wake::Snapshot => snapshots += 1,
            }
        }
        assert_eq!(snapshots, 1);
        (log, connection)
    });
    server.set_x(id(3), 4.0);
    server.head(id(3)).owner = Some(PLAYER);
    server.step();
    let mut sent = 0;
    let mut heard = Heard::default();
    // A frame without acks may be on its way; the one after the snapshot has one.
    let snapshot = server.snapshot();
    sent += snapshot.len();
    socket.send(Message::Ping(Bytes::from_static(b"between"))).await.unwrap();
    socket.send(Message::Binary(snapshot)).await.unwrap();
    let mut received = 0;
    while heard.acks.is_empty() || heard.pings.is_empty() {
        let message = binary(&mut socket).await;
        received += message.len() as u64 + 6;
        hear(&message, server.tick, &mut heard);
    }
    assert!(heard.inputs.iter().flat_map(InputFrame::rows).all(|(_, row)| row == [7]));
    let close = CloseFrame { code: 1001.into(), reason: "restart".into() };
    socket.close(Some(close)).await.unwrap();
    let (log, mut connection) = playing.await.unwrap();
    let connected = Event::Connected {
        session: SessionId(1),
        player: Some(PlayerId(7)),
        room: RoomId(3),
        outcome: SessionOutcome::Fresh(FreshReason::First),
    };
    assert_eq!(log.first(), Some(&connected));
    let closed = DisconnectReason::Closed { code: CloseCode::GOING_AWAY, reason: "restart".into() };
    assert_eq!(log.last(), Some(&Event::Disconnected(closed)));
    let much_later = connection.now() + Micros::from_secs(60);
    connection.run_until(much_later).await;
    assert!(connection.now() < much_later, "there is nothing to wait for any more");
    assert_eq!(connection.client().own_row(BODY).unwrap().vec3(POSITION), glam::Vec3::X * 4.0);
    let stats = connection.socket_stats();
    assert!(stats.up_bytes > received, "the hello too: {stats:?}");
    assert!(stats.down_bytes > sent as u64 && stats.down_messages >= 3, "{stats:?}");
}

#[tokio::test]
async fn a_game_with_frames_of_its_own() {
    let (mut connection, mut socket, server) = welcomed().await;
    let deadline = connection.now() + Micros(30_000);
    connection.run_until(deadline).await;
    assert!(connection.now() >= deadline);
    let mut heard = Heard::default();
    hear(&binary(&mut socket).await, server.tick, &mut heard);
    assert_eq!((heard.pings.len(), heard.inputs.len()), (1, 0));
    let now = connection.now();
    assert!(matches!(connection.client_mut().poll_event(now), Some(Event::Connected { .. })));
    let ((), told) = tokio::join!(connection.close(), async {
        let told = socket.next().await.unwrap().unwrap();
        while socket.next().await.is_some() {}
        told
    });
    let Message::Close(Some(close)) = told else { panic!("{told:?}") };
    assert_eq!(u16::from(close.code), 1000);
}

#[tokio::test]
async fn faults_are_told_to_the_server_by_name() {
    let mut garbage = Vec::new();
    write_frame(&mut garbage, FrameType::Pong, &[1, 2, 3]);
    let truncated = ClientFault::Malformed(DecodeError::Truncated("pong"));
    for (message, code, fault) in [
        (Message::Binary(garbage.into()), 1002, truncated),
        (Message::Text("hello".into()), 1003, ClientFault::Text),
        (Message::Binary(vec![0; MESSAGE_BYTES_MAX + 1].into()), 1009, ClientFault::Oversized),
    ] {
        let (mut connection, mut socket, _) = welcomed().await;
        // It may be closed while this is still being written.
        let _ = socket.send(message).await;
        let mut last = None;
        while let Some(wake) = connection.next().await {
            match wake {
                Wake::Input(tick) => connection.push_input(tick, |_| ()),
                Wake::Event(event) => last = Some(event),
                Wake::Snapshot => {}
            }
        }
        assert_eq!(last, Some(Event::Disconnected(DisconnectReason::Fault(fault))));
        let close = loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(close)))) => break close,
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((u16::from(close.code), close.reason.as_str()), (code, fault.to_string().as_str()));
    }
}

#[tokio::test]
async fn a_refusal_tells_both_values() {
    let (listener, url) = listen().await;
    let (refused, ()) = tokio::join!(connect(&url), async {
        let mut socket = accept(&listener).await;
        let mut out = Vec::new();
        Reject::from(RejectReason::Version { ours: 9, yours: 1 }).encode(&mut out);
        socket.send(Message::Binary(out.into())).await.unwrap();
        socket.close(Some(CloseFrame { code: 4001.into(), reason: "".into() })).await.unwrap();
    });
    let error = refused.unwrap_err();
    let version = RejectReason::Version { ours: 9, yours: 1 };
    assert!(matches!(error, ConnectError::Rejected(ref reject) if reject.reason == version));
    assert!(error.to_string().contains("version 9, this client 1"), "{error}");
}

#[tokio::test]
async fn what_is_wrong_is_said_with_what_to_do() {
    let (listener, url) = listen().await;
    drop(listener);
    let absent = connect(&url).await.unwrap_err();
    assert!(absent.to_string().contains("tickwire serve"), "{absent}");

    let (listener, url) = listen().await;
    let (other, ()) = tokio::join!(connect(&url), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-other\r\n\r\n").await.unwrap();
    });
    assert!(matches!(other, Err(ConnectError::NotWebSocket { .. })), "{other:?}");

    let (listener, url) = listen().await;
    let (ended, ()) = tokio::join!(connect(&url), async { drop(accept(&listener).await) });
    assert!(matches!(ended, Err(ConnectError::Ended(DisconnectReason::Lost))), "{ended:?}");

    let bad = ClientConfig { game_build: "x".repeat(65), ..ClientConfig::new("") };
    let refused = net::connect(&url, bad, schema().clone()).await;
    assert!(matches!(refused, Err(ConnectError::Config(_))), "{refused:?}");
}

/// Answers whoever comes next like a server that has too many.
async fn turn_away(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let _ = stream.read(&mut [0; 4096]).await.unwrap();
    let answer = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfull";
    stream.write_all(answer.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn who_is_told_when_to_come_back_does_not_come_before() {
    let (listener, url) = listen().await;
    let (refused, ()) = tokio::join!(connect(&url), turn_away(&listener));
    let refused = refused.unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(1)));
    assert!(
        matches!(&refused, ConnectError::Refused { status: 429, reason, .. } if reason == "full"),
        "{refused:?}"
    );

    let server = FakeServer::new(StreamKind::Ordered, 1_000);
    let reconnect = Reconnect { backoff: Backoff::Listed([Micros::ZERO].into()), attempts: 3 };
    let config = ClientConfig { reconnect: Some(reconnect), ..ClientConfig::new("test 1") };
    let (connection, socket) = tokio::join!(net::connect(&url, config, schema().clone()), async {
        let mut socket = accept(&listener).await;
        socket.send(welcome(&server)).await.unwrap();
        socket
    });
    let mut connection = connection.unwrap();
    let playing = tokio::spawn(async move { while connection.next().await.is_some() {} });
    drop(socket);
    turn_away(&listener).await;
    let refused = tokio::time::Instant::now();
    drop(accept(&listener).await);
    assert!(refused.elapsed() >= Duration::from_millis(990), "{:?}", refused.elapsed());
    playing.abort();
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
    let (listener, url) = listen().await;
    let config = ClientConfig { connect_timeout: Micros::from_millis(50), ..ClientConfig::new("test 1") };
    let (late, socket) =
        tokio::join!(net::connect(&url, config.clone(), schema().clone()), accept(&listener));
    assert!(matches!(late, Err(ConnectError::TimedOut { .. })), "{late:?}");
    drop(socket);
    // Not even the WebSocket's own handshake.
    let late = net::connect(&url, config, schema().clone()).await;
    assert!(matches!(late, Err(ConnectError::TimedOut { .. })), "{late:?}");
}

/// A way to the server that takes long, to where nobody answers.
async fn open_slowly() -> Result<tokio::io::DuplexStream, ConnectError> {
    tokio::time::sleep(Duration::from_secs(8)).await;
    let (near, far) = tokio::io::duplex(1024);
    tokio::spawn(async move {
        let _silent = far;
        std::future::pending::<()>().await;
    });
    Ok(near)
}

#[tokio::test(start_paused = true)]
async fn connecting_takes_no_longer_in_all_than_it_may() {
    let (url, config) = ("ws://example.org", ClientConfig::new("test 1"));
    let limit = Duration::from_micros(config.connect_timeout.0);
    let begun = tokio::time::Instant::now();
    let error = net::connect_by(open_slowly, url, config, schema().clone(), net::Options::default()).await;
    assert!(matches!(error, Err(ConnectError::TimedOut { seconds: 10, .. })));
    // A timer has a grain of a millisecond.
    assert!(begun.elapsed() < limit + Duration::from_millis(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_session_goes_on_over_a_server_that_was_not_there_or_not_ready_at_first() {
    let bytes = talking().client.export_session(Micros(2_000_000)).unwrap();
    let backoff = Backoff::Listed([Micros::ZERO].into());
    let config = ClientConfig {
        session: Some(SavedSession::decode(&bytes, schema()).unwrap()),
        reconnect: Some(Reconnect { backoff, attempts: 3 }),
        ..ClientConfig::new("test 1")
    };
    let (listener, url) = listen().await;
    let (connection, ()) = tokio::join!(net::connect(&url, config.clone(), schema().clone()), async {
        drop(listener.accept().await.unwrap());
    });
    let mut connection = connection.expect("it comes back by itself");
    let mut server = FakeServer::new(StreamKind::Ordered, 2_000);
    server.session_outcome = Some(SessionOutcome::Resumed);
    server.received = server.received.with(Lane::Messages, 1);
    let serving = async {
        let mut reject = Vec::new();
        Reject::from(RejectReason::ShuttingDown).encode(&mut reject);
        accept(&listener).await.send(Message::Binary(reject.into())).await.unwrap();
        let mut socket = accept(&listener).await;
        socket.send(welcome(&server)).await.unwrap();
        socket
    };
    let playing = async {
        let mut told = Vec::new();
        loop {
            match connection.next().await.expect("it is not over") {
                Wake::Event(Event::Reconnecting { attempt, .. }) => told.push(attempt),
                Wake::Event(Event::Connected { outcome, .. }) => return (told, outcome),
                other => panic!("{other:?}"),
            }
        }
    };
    let (told, _socket) = tokio::join!(playing, serving);
    assert_eq!(told, (vec![1, 2], SessionOutcome::Resumed));

    // Without a way to come back it hears at once, and what it has saved is as good as before.
    let never = ClientConfig { reconnect: None, ..config };
    let (refused, _) = tokio::join!(net::connect(&url, never, schema().clone()), async {
        let mut reject = Vec::new();
        Reject::from(RejectReason::ShuttingDown).encode(&mut reject);
        let mut socket = accept(&listener).await;
        socket.send(Message::Binary(reject.into())).await.unwrap();
        socket
    });
    assert!(
        matches!(refused, Err(ConnectError::Rejected(Reject { reason: RejectReason::ShuttingDown, .. }))),
        "{refused:?}"
    );
}
