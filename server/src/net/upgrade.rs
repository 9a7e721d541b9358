//! From an accepted socket to a WebSocket, or to an HTTP answer that says why not.

use std::net::IpAddr;

use tickwire_protocol::handshake::AuthRefusal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use super::addresses::Counted;
use super::http::{HEAD_BYTES_MAX, HttpRefusal, Request, Shown};
use super::listener::Shared;
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

/// Goes on until there is a WebSocket. Nothing if there is none: then all was said.
pub(super) async fn arrive(socket: TcpStream, address: IpAddr, shared: &Shared) -> Option<(Stream, Visitor)> {
    let counted = enter(address, shared)?;
    let mut stream = Stream::open(socket, shared.tls.as_deref()).await?;
    let visitor = upgrade(&mut stream, address, counted, shared).await?;
    Some((stream, visitor))
}

/// Tells somebody for whom there is no place.
pub(super) async fn turn_away(socket: TcpStream, address: IpAddr, shared: &Shared, refusal: &HttpRefusal) {
    let Some(_counted) = enter(address, shared) else { return };
    let Some(mut stream) = Stream::open(socket, shared.tls.as_deref()).await else { return };
    if read_head(&mut stream).await.is_some() {
        refuse(&mut stream, refusal).await;
    }
}

/// Counts somebody, or finds that he is to be told of a refusal. Nothing if he is not even told: a TLS handshake costs what the limits
/// of an address are there to save.
fn enter(address: IpAddr, shared: &Shared) -> Option<Result<Counted, HttpRefusal>> {
    let counted = shared.addresses.enter(shared.clock.now(), address);
    let is_too_much = matches!(counted, Err(HttpRefusal::TooFast | HttpRefusal::ServerBusy));
    (!is_too_much || shared.tls.is_none()).then_some(counted)
}

/// Answers the request that comes on a stream.
async fn upgrade(
    stream: &mut Stream,
    address: IpAddr,
    counted: Result<Counted, HttpRefusal>,
    shared: &Shared,
) -> Option<Visitor> {
    let head = read_head(stream).await?;
    let admitted = async {
        let counted = counted?;
        let request = Request::parse(&head?)?;
        admit(request, address, counted, shared).await
    };
    match admitted.await {
        Ok((visitor, answer)) => {
            stream.write_all(&answer).await.ok()?;
            stream.flush().await.ok()?;
            Some(visitor)
        }
        Err(refusal) => {
            tracing::debug!(%address, ?refusal, "refused before the upgrade");
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
