//! From an address to a welcome.

use std::sync::Arc;
use std::time::Duration;

use tickwire_protocol::Schema;
use tickwire_protocol::limits::{CLIENT_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, RETRY_AFTER};
use tokio_tungstenite::tungstenite::http::{HeaderValue, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::connection::Connection;
use super::error::{ConnectError, printable};
use super::options::Options;
use super::tls::secure;
use super::transport::Transport;
use crate::core::{ClientConfig, DisconnectReason, TokenProvider};

/// Bytes that are read at once. Snapshots are some hundred bytes; a larger one takes several reads.
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// What is kept of the text with which a server refuses a connection, bytes.
const REFUSAL_BYTES_MAX: usize = 1024;

/// Longer is believed of no server.
const RETRY_AFTER_MAX: Duration = Duration::from_micros(crate::core::RETRY_AFTER_MAX.0);

/// The ports of `ws://` and `wss://` where none is named.
const DEFAULT_PORT: u16 = 80;
const DEFAULT_TLS_PORT: u16 = 443;

/// Connects to a server, says hello and waits for the welcome. `schema` must be the one that the server's game has.
///
/// `url` is `ws://host:port`, or `wss://host:port` with TLS, which takes a certificate of that host. If the connection is lost later, and the configuration wants the client
/// to [come back](ClientConfig::reconnect), it is opened anew; [`Event::Reconnecting`](crate::Event::Reconnecting) tells. With a
/// [session](ClientConfig::session) to go on with the first one is no exception: where it fails for what may pass, a server that is not
/// up yet or has no room now, that is no error, and the connection that is returned is tried anew.
pub async fn connect(
    url: &str,
    config: ClientConfig,
    schema: Arc<Schema>,
) -> Result<Connection, ConnectError> {
    connect_with(url, config, schema, Options::default()).await
}

/// As [`connect`], with more to say about how.
pub async fn connect_with(
    url: &str,
    config: ClientConfig,
    schema: Arc<Schema>,
    options: Options,
) -> Result<Connection, ConnectError> {
    let (url_again, config_again) = (url.to_owned(), config.clone());
    let open = move || {
        let (url, config) = (url_again.clone(), config_again.clone());
        async move { dial(&url, &config).await }
    };
    // In a box, so that the game's own futures stay small.
    Box::pin(connect_by(open, url, config, schema, options)).await
}

/// As [`connect`], over the streams of bytes that `open` opens, one for each connection: the first at once, the others when the
/// client comes back. To TLS it is as with [`connect_over`].
pub async fn connect_by<S, F>(
    mut open: impl FnMut() -> F + Send + 'static,
    url: &str,
    config: ClientConfig,
    schema: Arc<Schema>,
    options: Options,
) -> Result<Connection<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Result<S, ConnectError>> + Send + 'static,
{
    let (url_again, config_again) = (url.to_owned(), config.clone());
    let connecting = async { welcome(open().await?, url, &config, schema.clone(), &options).await };
    // Boxed: much goes on in it, for a short time.
    let mut connection = match within(url, &config, Box::pin(connecting)).await {
        Err(error) if config.session.is_some() => {
            Connection::coming_back(options.client_config(&config), schema, error)?
        }
        connected => connected?,
    };
    connection.redial_by(Box::new(move || {
        let (url, config, opening) = (url_again.clone(), config_again.clone(), open());
        let options = options.clone();
        Box::pin(async move {
            let stream = opening.await?;
            within(&url, &config, ask(stream, &url, &options)).await
        })
    }));
    Ok(connection)
}

/// Opens the TCP stream that [`connect`] speaks over, below any TLS, to be wrapped and handed to [`connect_over`]. Of `config` it needs
/// how long it may take.
pub async fn dial(url: &str, config: &ClientConfig) -> Result<TcpStream, ConnectError> {
    config.check().map_err(ConnectError::Config)?;
    let Address { host, port, .. } = Address::parse(url)?;
    let bare_host = host.trim_start_matches('[').trim_end_matches(']');
    let address = format!("{host}:{port}");
    let opening = async {
        let stream = TcpStream::connect((bare_host, port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let limit = Duration::from_micros(config.connect_timeout.0);
    match tokio::time::timeout(limit, opening).await {
        Ok(opened) => opened.map_err(|source| ConnectError::from_io(source, &address)),
        Err(_) => Err(ConnectError::TimedOut { address, seconds: limit.as_secs() }),
    }
}

/// As [`connect`], over a stream of bytes that leads to the server already: one that a proxy has let through, or that a test makes
/// slow. `url` is what the HTTP request asks for; with `wss://` TLS is spoken over the stream first, so one that is encrypted
/// already takes `ws://`. Nothing is looked up or opened for it, so a connection that is lost stays lost.
pub async fn connect_over<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    url: &str,
    config: ClientConfig,
    schema: Arc<Schema>,
    options: Options,
) -> Result<Connection<S>, ConnectError> {
    let config = ClientConfig { reconnect: None, ..config };
    within(url, &config, welcome(stream, url, &config, schema, &options)).await
}

/// From a stream to a welcome, however long it takes.
async fn welcome<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    url: &str,
    config: &ClientConfig,
    schema: Arc<Schema>,
    options: &Options,
) -> Result<Connection<S>, ConnectError> {
    config.check().map_err(ConnectError::Config)?;
    let socket = ask(stream, url, options).await?;
    let mut connection = Connection::new(Some(socket), options.client_config(config), schema);
    match connection.handshake().await {
        Ok(()) => Ok(connection),
        Err(ConnectError::Ended(DisconnectReason::NoWelcome)) => Err(timed_out(url, config)),
        Err(error) => Err(error),
    }
}

/// No longer than connecting may take.
pub(super) async fn within<T>(
    url: &str,
    config: &ClientConfig,
    connecting: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    let limit = Duration::from_micros(config.connect_timeout.0);
    tokio::time::timeout(limit, connecting).await.unwrap_or_else(|_| Err(timed_out(url, config)))
}

fn timed_out(url: &str, config: &ClientConfig) -> ConnectError {
    ConnectError::TimedOut { address: url.to_owned(), seconds: config.connect_timeout.0 / 1_000_000 }
}

/// Asks for the upgrade to a WebSocket and gives the stream back: for those who frame messages themselves and drive a
/// [`Client`](crate::Client) without a [`Connection`], thousands of them to a thread. It has `connect_timeout` of `config` for it, and
/// asks [`Options::tokens`] alone: those of the configuration are the client's, and one of the two may have some.
///
/// A server speaks only when it has heard the hello. What one says before that may be lost.
pub async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    url: &str,
    config: &ClientConfig,
    options: &Options,
) -> Result<Transport<S>, ConnectError> {
    within(url, config, ask(stream, url, options)).await.map(WebSocketStream::into_inner)
}

/// The TLS handshake, if the address wants one, then the HTTP request and its answer.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    url: &str,
    options: &Options,
) -> Result<WebSocketStream<Transport<S>>, ConnectError> {
    let address = Address::parse(url)?;
    let stream = if address.is_tls {
        Transport::tls(secure(stream, &address.host, url, &options.roots).await?)
    } else {
        Transport::plain(stream)
    };
    let limits = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * CLIENT_MESSAGE_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let not_web_socket =
        |error: &Error| ConnectError::NotWebSocket { address: url.to_owned(), reason: error.to_string() };
    let mut request = url.into_client_request().map_err(|error| not_web_socket(&error))?;
    if let Some(token) = options.tokens.as_ref().and_then(TokenProvider::provide) {
        // A token has no characters that a header has not.
        let mut header = HeaderValue::try_from(format!("Bearer {}", token.as_str()))
            .map_err(|error| not_web_socket(&error.into()))?;
        header.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, header);
    }
    match client_async_with_config(request, stream, Some(limits)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => Err(refused(url, &answer)),
        Err(error) => Err(not_web_socket(&error)),
    }
}

/// What a server says instead of making a WebSocket.
fn refused(url: &str, answer: &Response<Option<Vec<u8>>>) -> ConnectError {
    let text = answer.body().as_deref().unwrap_or_default();
    let text = String::from_utf8_lossy(&text[..text.len().min(REFUSAL_BYTES_MAX)]);
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
    ConnectError::Refused {
        address: url.to_owned(),
        status: answer.status().as_u16(),
        reason: printable(text.trim()),
        retry_after: seconds.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX)),
    }
}

/// What an address says.
#[derive(Debug, Eq, PartialEq)]
struct Address {
    is_tls: bool,
    host: String,
    port: u16,
}

impl Address {
    fn parse(url: &str) -> Result<Self, ConnectError> {
        let wrong = |reason: &str| ConnectError::Address { url: url.to_owned(), reason: reason.to_owned() };
        let request = url.into_client_request().map_err(|error| wrong(&error.to_string()))?;
        let is_tls = match request.uri().scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(wrong("it must begin with ws:// or wss://")),
        };
        let host = request.uri().host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("it has no host"))?.to_owned();
        let default = if is_tls { DEFAULT_TLS_PORT } else { DEFAULT_PORT };
        Ok(Self { is_tls, host, port: request.uri().port_u16().unwrap_or(default) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (url, is_tls, host, port) in [
            ("ws://127.0.0.1:7777", false, "127.0.0.1", 7777),
            ("ws://example.org/play", false, "example.org", 80),
            ("ws://[::1]:9/", false, "[::1]", 9),
            ("wss://example.org", true, "example.org", 443),
            ("wss://[::1]:9/", true, "[::1]", 9),
        ] {
            assert_eq!(Address::parse(url).unwrap(), Address { is_tls, host: host.to_owned(), port });
        }
    }

    #[test]
    fn what_is_no_address_is_refused_in_words() {
        for (url, word) in [
            ("127.0.0.1:7777", "ws://"),
            ("http://example.org", "ws://"),
            ("ws://", "ws://127.0.0.1:7777"),
            ("", "ws://127.0.0.1:7777"),
        ] {
            let words = Address::parse(url).unwrap_err().to_string();
            assert!(words.contains(word) && words.contains(&format!("`{url}`")), "{words}");
        }
    }
}
