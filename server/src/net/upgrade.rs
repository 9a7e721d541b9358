//! From an accepted socket to a WebSocket, or to an HTTP answer that says why not.

use std::io;
use std::net::IpAddr;

use tickwire_protocol::handshake::AuthRefusal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use super::http::{HEAD_BYTES_MAX, HttpRefusal, Request, Shown};
use super::listener::Shared;
use super::proxy::{ProxySpeech, read_header};
use super::slots::{FAREWELL_TIME, Farewell, INTRODUCTION_TIME, Introduction, Slot, Standing};
use super::stream::Stream;
use crate::core::Identity;

/// How long somebody whose request was refused may take to hear why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Who has come, as far as the request tells.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) slot: Slot,
    /// Found out by the token of the request, if it had one.
    pub(super) known: Option<Result<Identity, AuthRefusal>>,
}

/// Goes on until there is a WebSocket. Nothing if there is none: then all was said.
pub(super) async fn arrive(
    mut socket: TcpStream,
    peer: IpAddr,
    standing: Standing,
    shared: &Shared,
) -> Option<(Stream, Visitor)> {
    let standing = match standing {
        Standing::Unknown(introduction)
            if shared.config.access.proxies.speech == ProxySpeech::ProxyProtocol =>
        {
            let address = introduced(&mut socket, peer, introduction).await?;
            Standing::Known(shared.slots.enter(shared.clock.now(), address)?)
        }
        standing => standing,
    };
    match standing {
        Standing::Known(Ok(slot)) => {
            let mut stream = Stream::open(socket, shared.tls.as_deref()).await?;
            let request = read_request(&mut stream).await?;
            upgrade(stream, request, slot, shared).await
        }
        Standing::Unknown(introduction) => forwarded(socket, peer, introduction, shared).await,
        Standing::Known(Err(farewell)) => {
            let _ = timeout(FAREWELL_TIME, turn_away(socket, peer, farewell, shared)).await;
            None
        }
    }
}

/// Hears of a proxy that speaks its own protocol for whom it is, before anything else is said.
async fn introduced(socket: &mut TcpStream, proxy: IpAddr, _: Introduction) -> Option<IpAddr> {
    let header = timeout(INTRODUCTION_TIME, read_header(socket)).await;
    match header.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(source) => Some(source.unwrap_or(proxy)),
        Err(error) => {
            tracing::warn!(%proxy, %error, "a trusted proxy does not say for whom it is: does it send the PROXY protocol, version 2?");
            None
        }
    }
}

/// Finds out by the request for whom a proxy is, and answers it.
async fn forwarded(
    socket: TcpStream,
    proxy: IpAddr,
    introduction: Introduction,
    shared: &Shared,
) -> Option<(Stream, Visitor)> {
    let asking = async {
        let mut stream = Stream::open(socket, shared.tls.as_deref()).await?;
        let request = read_request(&mut stream).await?;
        Some((stream, request))
    };
    let (mut stream, request) = timeout(INTRODUCTION_TIME, asking).await.ok()??;
    let client = |request: &Request| shared.config.access.proxies.client_of(proxy, &request.forwarded);
    let found = request.and_then(|request| client(&request).map(|client| (request, client)));
    let (request, client) = match found {
        Ok(found) => found,
        Err(refusal) => {
            refuse(&mut stream, proxy, &refusal).await;
            return None;
        }
    };
    let entered = shared.slots.enter(shared.clock.now(), client);
    drop(introduction);
    match entered? {
        Ok(slot) => upgrade(stream, Ok(request), slot, shared).await,
        Err(farewell) => {
            refuse(&mut stream, client, &farewell.refusal).await;
            None
        }
    }
}

/// Tells somebody for whom there is no slot, whatever he asks for.
async fn turn_away(socket: TcpStream, peer: IpAddr, farewell: Farewell, shared: &Shared) {
    let refusal = &farewell.refusal;
    // Who is too much for his address is not even told so where that takes a TLS handshake: it costs what the limits are there to save.
    if shared.tls.is_some() && matches!(refusal, HttpRefusal::TooFast | HttpRefusal::ServerBusy) {
        return;
    }
    let Some(mut stream) = Stream::open(socket, shared.tls.as_deref()).await else { return };
    if read_head(&mut stream).await.is_some() {
        refuse(&mut stream, peer, refusal).await;
    }
}

/// Answers the request of somebody who has a slot, which he keeps until he has heard it.
async fn upgrade(
    mut stream: Stream,
    request: Result<Request, HttpRefusal>,
    slot: Slot,
    shared: &Shared,
) -> Option<(Stream, Visitor)> {
    let admitted = async {
        let request = request?;
        let known = admit(&request, slot.address, shared).await?;
        Ok((request.accept(), known))
    };
    match admitted.await {
        Ok((answer, known)) => {
            stream.write_all(&answer).await.ok()?;
            stream.flush().await.ok()?;
            Some((stream, Visitor { slot, known }))
        }
        Err(refusal) => {
            refuse(&mut stream, slot.address, &refusal).await;
            None
        }
    }
}

/// Whether a request may become a WebSocket; who it is that asks, if it shows a token.
async fn admit(
    request: &Request,
    address: IpAddr,
    shared: &Shared,
) -> Result<Option<Result<Identity, AuthRefusal>>, HttpRefusal> {
    let origins = &shared.config.access.origins;
    if let Some(origin) = &request.origin
        && !origins.is_empty()
        && !origins.contains(origin)
    {
        return Err(HttpRefusal::Origin);
    }
    Ok(match &request.token {
        // Who can read an HTTP answer gets one.
        Some(Shown::Header(token)) => Some(Ok(shared.gate.identify(token, address).await?)),
        Some(Shown::Subprotocol(token)) => Some(shared.gate.identify(token, address).await),
        None => None,
    })
}

/// Reads a request to its end. Nothing if the stream ends before it.
async fn read_request(stream: &mut Stream) -> Option<Result<Request, HttpRefusal>> {
    let head = read_head(stream).await?;
    Some(head.and_then(|head| Request::parse(&head)))
}

/// Reads until the empty line. Nothing if the stream ends before it.
async fn read_head(stream: &mut Stream) -> Option<Result<Vec<u8>, HttpRefusal>> {
    let mut head = Vec::with_capacity(1024);
    loop {
        let seen = head.len();
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
        // The empty line may have begun in what came before.
        let fresh = &head[seen.saturating_sub(3)..];
        if fresh.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            return Some(if head.len() > HEAD_BYTES_MAX { Err(HttpRefusal::HeadTooLarge) } else { Ok(head) });
        }
        if head.len() > HEAD_BYTES_MAX {
            return Some(Err(HttpRefusal::HeadTooLarge));
        }
    }
}

/// Says why, and waits a moment for it to be heard: a socket that is closed with unread bytes in it loses what was written last.
async fn refuse(stream: &mut Stream, address: IpAddr, refusal: &HttpRefusal) {
    tracing::debug!(%address, ?refusal, "refused before the upgrade");
    let farewell = async {
        stream.write_all(&refusal.answer()).await.ok()?;
        stream.shutdown().await.ok()?;
        let mut unheard = [0; 256];
        while let Ok(1..) = stream.read(&mut unheard).await {}
        Some(())
    };
    let _ = timeout(LAST_WORDS, farewell).await;
}
