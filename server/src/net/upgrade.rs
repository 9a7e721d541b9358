//! From an accepted socket to a WebSocket, or to an HTTP answer that says why not.

use std::net::IpAddr;

use tickwire_protocol::handshake::AuthRefusal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use super::addresses::Counted;
use super::http::{HEAD_BYTES_MAX, HttpRefusal, Request, Shown};
use super::listener::Shared;
use super::proxy::{ProxySpeech, read_header};
use super::stream::Stream;
use crate::core::Identity;

/// How long somebody who was refused may take to hear why.
const FAREWELL: Duration = Duration::from_secs(1);

/// Who has come, as far as the request tells.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) address: IpAddr,
    /// Found out by the token of the request, if it had one.
    pub(super) known: Option<Result<Identity, AuthRefusal>>,
    _counted: Counted,
}

/// Where somebody at the door is.
enum Whereabouts {
    /// There, and counted, if there is a place for him.
    Known { address: IpAddr, counted: Result<Counted, HttpRefusal> },
    /// A trusted proxy will say it in the request.
    InRequest,
}

/// Goes on until there is a WebSocket. Nothing if there is none: then all was said.
pub(super) async fn arrive(
    mut socket: TcpStream,
    peer: IpAddr,
    shared: &Shared,
) -> Option<(Stream, Visitor)> {
    let whereabouts = meet(&mut socket, peer, shared).await?;
    let mut stream = Stream::open(socket, shared.tls.as_deref()).await?;
    let visitor = upgrade(&mut stream, peer, whereabouts, shared).await?;
    Some((stream, visitor))
}

/// Tells somebody for whom there is no place.
pub(super) async fn turn_away(mut socket: TcpStream, peer: IpAddr, shared: &Shared, refusal: &HttpRefusal) {
    let Some(_counted) = meet(&mut socket, peer, shared).await else { return };
    let Some(mut stream) = Stream::open(socket, shared.tls.as_deref()).await else { return };
    if read_head(&mut stream).await.is_some() {
        refuse(&mut stream, refusal).await;
    }
}

/// Finds out where somebody is, and counts him there. Nothing if the connection is over.
async fn meet(socket: &mut TcpStream, peer: IpAddr, shared: &Shared) -> Option<Whereabouts> {
    let proxies = &shared.config.access.proxies;
    let address = match proxies.speech {
        _ if !proxies.trust(peer) => peer,
        ProxySpeech::ForwardedFor => return Some(Whereabouts::InRequest),
        ProxySpeech::ProxyProtocol => match read_header(socket).await {
            Ok(source) => source.unwrap_or(peer),
            Err(error) => {
                tracing::warn!(proxy = %peer, %error, "a trusted proxy does not say for whom it is: does it send the PROXY protocol, version 2?");
                return None;
            }
        },
    };
    let counted = shared.addresses.enter(shared.clock.now(), address);
    // Who is too much for his address is not even told so where that takes a TLS handshake: it costs what the limits are there to save.
    let is_too_much = matches!(counted, Err(HttpRefusal::TooFast | HttpRefusal::ServerBusy));
    (!is_too_much || shared.tls.is_none()).then_some(Whereabouts::Known { address, counted })
}

/// Answers the request that comes on a stream.
async fn upgrade(
    stream: &mut Stream,
    peer: IpAddr,
    whereabouts: Whereabouts,
    shared: &Shared,
) -> Option<Visitor> {
    let head = read_head(stream).await?;
    let admitted = async {
        let (address, counted, request) = match whereabouts {
            // Who is too much hears that first, whatever he asks for.
            Whereabouts::Known { address, counted } => (address, counted?, Request::parse(&head?)?),
            Whereabouts::InRequest => {
                let request = Request::parse(&head?)?;
                let address = shared.config.access.proxies.client_of(peer, &request.forwarded)?;
                (address, shared.addresses.enter(shared.clock.now(), address)?, request)
            }
        };
        admit(request, address, counted, shared).await
    };
    match admitted.await {
        Ok((visitor, answer)) => {
            stream.write_all(&answer).await.ok()?;
            stream.flush().await.ok()?;
            Some(visitor)
        }
        Err(refusal) => {
            tracing::debug!(%peer, ?refusal, "refused before the upgrade");
            refuse(stream, &refusal).await;
            None
        }
    }
}

async fn admit(
    request: Request,
    address: IpAddr,
    counted: Counted,
    shared: &Shared,
) -> Result<(Visitor, Vec<u8>), HttpRefusal> {
    let origins = &shared.config.access.origins;
    if let Some(origin) = &request.origin
        && !origins.is_empty()
        && !origins.contains(origin)
    {
        return Err(HttpRefusal::Origin);
    }
    let known = match &request.token {
        // Who can read an HTTP answer gets one.
        Some(Shown::Header(token)) => Some(Ok(shared.gate.identify(token, address).await?)),
        Some(Shown::Subprotocol(token)) => Some(shared.gate.identify(token, address).await),
        None => None,
    };
    Ok((Visitor { address, known, _counted: counted }, request.accept()))
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
async fn refuse(stream: &mut Stream, refusal: &HttpRefusal) {
    let farewell = async {
        stream.write_all(&refusal.answer()).await.ok()?;
        stream.shutdown().await.ok()?;
        let mut unheard = [0; 256];
        while let Ok(1..) = stream.read(&mut unheard).await {}
        Some(())
    };
    let _ = timeout(FAREWELL, farewell).await;
}
