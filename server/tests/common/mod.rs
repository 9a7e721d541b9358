//! A raw WebSocket client for tests: speaks the protocol by hand, so that it can also break it.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

pub mod crowd;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tickwire_protocol::ack::{Ack, Sequence};
use tickwire_protocol::frame::{Frame, FrameType, frames};
use tickwire_protocol::handshake::{
    Auth, AuthRefusal, AuthTerms, Features, Hello, Reject, RejectReason, Role, RoomWish, StreamKind, Token,
    Welcome,
};
use tickwire_protocol::input::InputFrame;
use tickwire_protocol::ping::Ping;
use tickwire_protocol::snapshot::{Codec, Coder, DecodedSnapshot, Prior, Replica};
use tickwire_protocol::{Micros, Schema, Tick, TickTime};
use tickwire_server::net::{Game, Server, ServerConfig, ServerHandle};
use tickwire_sim::arena::{Arena, Level};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::Request;

/// A server on a port of the system's choice.
pub struct Running {
    pub addr: SocketAddr,
    pub handle: ServerHandle,
    pub task: JoinHandle<()>,
}

pub async fn start(config: ServerConfig, game: Game) -> Running {
    let server = Server::bind(config, game).await.unwrap();
    let (addr, handle) = (server.local_addr().unwrap(), server.handle());
    Running { addr, handle, task: tokio::spawn(server.run()) }
}

pub fn arena() -> Game {
    let schema = tickwire_sim::arena::schema().clone();
    Game::new(schema, |_| Box::new(Arena::new(Level::for_players(64))))
}

pub fn hello(schema: &Schema) -> Hello {
    Hello {
        schema_hash: schema.hash(),
        priors: vec![Prior::default_prior().hash()],
        features: Features::NONE,
        game_build: "test".to_owned(),
        platform: "test".to_owned(),
        room: RoomWish::Any,
        role: Role::Player,
        stream: StreamKind::Ordered,
        extensions: Vec::new(),
    }
}

pub fn encoded(hello: &Hello) -> Vec<u8> {
    let mut out = Vec::new();
    hello.encode(&mut out);
    out
}

/// The head of a request for a WebSocket, with these lines in it.
pub fn request(target: &str, lines: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    )
}

/// A socket from an address of its own on this machine: 127.0.0.`host`.
pub async fn dial_from(host: u8, addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
    socket.connect(addr).await.unwrap()
}

/// When a test that waits for something has waited too long: far beyond what a busy machine needs.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// How a connection ended: its close code and reason, or nothing if it just broke.
pub type Ending = Option<(u16, String)>;

/// What a WebSocket goes over.
pub trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Pipe for S {}

pub struct Raw {
    pub socket: WebSocketStream<Box<dyn Pipe>>,
}

impl Raw {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap(), addr).await
    }

    /// One whose system takes little that nobody reads.
    pub async fn connect_narrow(addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        Self::over(socket.connect(addr).await.unwrap(), addr).await
    }

    /// One that asks with these headers.
    pub async fn connect_with(addr: SocketAddr, headers: &[(&'static str, String)]) -> Self {
        let mut request = format!("ws://{addr}/").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::asking(stream, request).await
    }

    async fn over(stream: TcpStream, addr: SocketAddr) -> Self {
        stream.set_nodelay(true).unwrap();
        Self::asking(stream, format!("ws://{addr}/").into_client_request().unwrap()).await
    }

    /// One over a stream of the test's own.
    pub async fn asking(stream: impl Pipe + 'static, request: Request<()>) -> Self {
        let stream: Box<dyn Pipe> = Box::new(stream);
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        Self { socket }
    }

    pub async fn send(&mut self, bytes: impl Into<Bytes>) {
        // A connection that is already closed is seen by who reads next.
        let _ = self.socket.send(Message::Binary(bytes.into())).await;
    }

    /// The frames of the next binary message, or how it ended.
    pub async fn receive(&mut self) -> Result<Vec<Frame>, Ending> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(message))) => {
                    return Ok(frames(message).map(Result::unwrap).collect());
                }
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Err(Some((frame.code.into(), frame.reason.to_string())));
                }
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Err(None),
                Some(Ok(_)) => {}
            }
        }
    }

    /// Reads until the end; the reject on the way, if there is one.
    pub async fn ending(&mut self) -> (Option<RejectReason>, Ending) {
        let mut reject = None;
        loop {
            match self.receive().await {
                Ok(frames) => {
                    for frame in frames.iter().filter(|frame| frame.ty == FrameType::Reject) {
                        reject = Some(Reject::decode(&frame.payload).unwrap().reason);
                    }
                }
                Err(ending) => return (reject, ending),
            }
        }
    }
}

/// An honest client that checks all it is sent.
pub struct Honest {
    pub raw: Raw,
    pub schema: Arc<Schema>,
    pub welcome: Welcome,
    pub replica: Replica,
    codec: Codec,
    decoded: DecodedSnapshot,
    pub snapshots: u16,
    pub digests: usize,
    pub pongs: usize,
    /// Its input is another each time: somebody plays.
    pub is_restless: bool,
    /// What was said of tokens that it sent.
    pub tokens_told: VecDeque<Auth>,
}

impl Honest {
    pub async fn join(addr: SocketAddr, schema: &Arc<Schema>, hello: &Hello) -> Self {
        Self::join_over(Raw::connect(addr).await, schema, hello).await
    }

    pub async fn join_over(mut raw: Raw, schema: &Arc<Schema>, hello: &Hello) -> Self {
        raw.send(encoded(hello)).await;
        let first = raw.receive().await.expect("a welcome");
        assert_eq!(first[0].ty, FrameType::Welcome);
        let welcome = Welcome::decode(&first[0].payload).unwrap();
        let prior = match &welcome.prior {
            Some(bytes) => Prior::decode(bytes).unwrap(),
            None => Prior::default_prior(),
        };
        let coder = Coder::from_wire(welcome.coder).unwrap();
        let codec = Codec::with(schema.clone(), welcome.timing.tick_rate, coder, prior);
        let mut honest = Self {
            raw,
            schema: schema.clone(),
            welcome,
            replica: Replica::new(schema.clone(), 16),
            codec,
            decoded: DecodedSnapshot::default(),
            snapshots: 0,
            digests: 0,
            pongs: 0,
            is_restless: false,
            tokens_told: VecDeque::new(),
        };
        first.iter().skip(1).for_each(|frame| honest.handle(frame));
        honest
    }

    /// Takes in the next message, and answers a snapshot with an ack, a ping and, as a player, an input.
    pub async fn play(&mut self) -> Result<(), Ending> {
        let played = self.snapshots;
        for frame in self.raw.receive().await? {
            self.handle(&frame);
        }
        // Not to a pong, or the two would never stop.
        let Some(newest) = self.replica.newest_tick().filter(|_| self.snapshots > played) else {
            return Ok(());
        };
        let mut out = Vec::new();
        let ack = Ack::new(Sequence(self.snapshots - 1));
        if self.welcome.player.is_some() {
            let mut input = InputFrame::new();
            input.ack = Some(ack);
            input.view = TickTime { tick: newest, fraction: 0.5 };
            let mut row = vec![0; self.schema.input().column_count()];
            if let Some(value) = row.first_mut().filter(|_| self.is_restless) {
                *value = i32::from(self.snapshots % 2);
            }
            (1..=3).for_each(|ahead| input.push(self.schema.input(), newest + ahead, &row));
            input.encode(self.schema.input(), &mut out);
        } else {
            ack.encode(&mut out);
        }
        Ping { client_time: Micros(u64::from(self.snapshots)) }.encode(&mut out);
        self.raw.send(out).await;
        Ok(())
    }

    pub async fn play_until(&mut self, is_enough: impl Fn(&Self) -> bool) {
        let playing = async {
            while !is_enough(self) {
                self.play().await.expect("the honest play on");
            }
        };
        tokio::time::timeout(PATIENCE, playing).await.expect("the honest get what they wait for");
    }

    /// Brings a newer token.
    pub async fn send_token(&mut self, token: &Token) {
        let mut frame = Vec::new();
        Auth::Token(token.clone()).encode(&mut frame);
        self.raw.send(frame).await;
    }

    /// What the server says of it.
    pub async fn answer_to_token(&mut self) -> Result<AuthTerms, AuthRefusal> {
        self.play_until(|honest| !honest.tokens_told.is_empty()).await;
        match self.tokens_told.pop_front() {
            Some(Auth::Granted(terms)) => Ok(terms),
            Some(Auth::Refused(refusal)) => Err(refusal),
            other => panic!("{other:?} is no answer"),
        }
    }

    fn handle(&mut self, frame: &Frame) {
        match frame.ty {
            FrameType::Pong => self.pongs += 1,
            FrameType::Snapshot => {
                let near: Tick = self.replica.newest_tick().unwrap_or(self.welcome.tick);
                self.codec.read_snapshot(&frame.payload, near, &self.replica, &mut self.decoded).unwrap();
                self.replica.apply(&self.decoded);
                self.snapshots += 1;
                if let Some(digest) = self.decoded.digest {
                    assert_eq!(self.replica.digest().0, digest);
                    self.digests += 1;
                }
            }
            FrameType::Auth => self.tokens_told.push_back(Auth::decode(&frame.payload).unwrap()),
            FrameType::Message | FrameType::MessageAck | FrameType::Members | FrameType::Match => {}
            other => panic!("unexpected {other}"),
        }
    }
}
