//! The HTTP request that asks for a WebSocket (RFC 6455, section 4), and the answers to it: pure.
//!
//! A request is read by its letter: what is missing or too much is refused by name, in a text that says what to do. Nothing of it is kept
//! but what the connection needs.

use tickwire_protocol::handshake::{AuthRefusal, Token};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The head of a request, bytes: a token of 3 KiB and what browsers say of themselves.
pub(super) const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Browsers send some twenty; proxies add their own.
const HEADERS_MAX: usize = 64;

/// The subprotocol of all clients that name one.
const SUBPROTOCOL: &str = "tickwire";

/// A browser's token comes as a subprotocol that begins with this: it cannot set headers.
const BEARER_SUBPROTOCOL: &str = "bearer.";

/// Parameters of an address that people put tokens into.
const TOKEN_PARAMETERS: [&str; 8] =
    ["token", "access_token", "id_token", "auth", "authorization", "bearer", "jwt", "key"];

/// What is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Request {
    accept: String,
    names_subprotocol: bool,
    pub(super) origin: Option<String>,
    pub(super) token: Option<Shown>,
    /// For whom it is, as whoever sent it says: `X-Forwarded-For`, in one list.
    pub(super) forwarded: String,
}

/// A token, and how it came: who cannot read an HTTP answer is answered in a REJECT.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Shown {
    /// In `Authorization`: by a client that reads the answer.
    Header(Token),
    /// As a subprotocol: by a browser, which tells its page nothing of a refusal before the upgrade.
    Subprotocol(Token),
}

/// Why there is no WebSocket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum HttpRefusal {
    /// It is no request that is understood.
    BadRequest(&'static str),
    /// A token where addresses are logged.
    TokenInUrl,
    /// The head has no end.
    HeadTooLarge,
    Unauthorized(AuthRefusal),
    /// The page may not connect.
    Origin,
    /// There is one path.
    NotFound,
    /// It asks for something else than a WebSocket.
    UpgradeRequired,
    TooManyOfAddress {
        max: u32,
    },
    TooFast,
    ServerFull {
        max: usize,
    },
    ServerBusy,
    /// Nobody could be asked whether the token is good.
    Unavailable,
}

impl HttpRefusal {
    /// Status line, headers of its own, and text.
    fn parts(&self) -> (&'static str, &'static str, String) {
        let text = |text: &str| text.to_owned();
        match self {
            Self::BadRequest(what) => ("400 Bad Request", "", text(what)),
            Self::TokenInUrl => (
                "400 Bad Request",
                "",
                text(
                    "no tokens in the address: it is kept in logs and histories. Send `Authorization: Bearer <token>`, from a \
                     browser the subprotocols `tickwire` and `bearer.<token>`. Take that token out of use",
                ),
            ),
            Self::HeadTooLarge => (
                "431 Request Header Fields Too Large",
                "",
                format!("the head of a request has at most {HEAD_BYTES_MAX} bytes and {HEADERS_MAX} headers"),
            ),
            Self::Unauthorized(refusal) => (
                "401 Unauthorized",
                "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n",
                refusal.to_string(),
            ),
            Self::Origin => (
                "403 Forbidden",
                "",
                text("pages of this origin may not connect: the server lists those that may (--origin)"),
            ),
            Self::NotFound => {
                ("404 Not Found", "", text("the WebSocket is at `/`: take the path out of the address"))
            }
            Self::UpgradeRequired => (
                "426 Upgrade Required",
                "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
                text("this is a game server: connect by WebSocket (ws:// or wss://), version 13"),
            ),
            Self::TooManyOfAddress { max } => (
                "429 Too Many Requests",
                "Retry-After: 30\r\n",
                format!(
                    "your address has {max} connections, as many as it may have: close one, or try again later"
                ),
            ),
            Self::TooFast => (
                "429 Too Many Requests",
                "Retry-After: 1\r\n",
                text("your address connects too often: try again in a second"),
            ),
            Self::ServerFull { max } => (
                "503 Service Unavailable",
                "Retry-After: 30\r\n",
                format!("the server has {max} connections, as many as it takes: try again later"),
            ),
            Self::ServerBusy => (
                "503 Service Unavailable",
                "Retry-After: 5\r\n",
                text("too many connect at once: try again in some seconds"),
            ),
            Self::Unavailable => {
                ("503 Service Unavailable", "Retry-After: 5\r\n", AuthRefusal::Unavailable.to_string())
            }
        }
    }

    /// The whole answer.
    pub(super) fn answer(&self) -> Vec<u8> {
        let (status, headers, mut text) = self.parts();
        text.push('\n');
        // Whoever sends Upgrade names it there (RFC 9110, section 7.8).
        let connection = if *self == Self::UpgradeRequired { "close, Upgrade" } else { "close" };
        format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n{text}",
            text.len()
        )
        .into_bytes()
    }
}

impl From<AuthRefusal> for HttpRefusal {
    fn from(refusal: AuthRefusal) -> Self {
        match refusal {
            AuthRefusal::Unavailable => Self::Unavailable,
            refusal => Self::Unauthorized(refusal),
        }
    }
}

impl Request {
    /// Reads a head that ends with an empty line.
    pub(super) fn parse(head: &[u8]) -> Result<Self, HttpRefusal> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(head) {
            Ok(httparse::Status::Complete(bytes)) if bytes == head.len() => {}
            Ok(httparse::Status::Complete(_)) => {
                return Err(HttpRefusal::BadRequest("nothing may follow the request before it is answered"));
            }
            Err(httparse::Error::TooManyHeaders) => return Err(HttpRefusal::HeadTooLarge),
            _ => return Err(HttpRefusal::BadRequest("that is no HTTP/1.1 request")),
        }
        check_target(request.path.unwrap_or_default())?;
        if request.method != Some("GET") || request.version != Some(1) {
            return Err(HttpRefusal::BadRequest("a WebSocket is asked for with GET and HTTP/1.1"));
        }
        let fields = Fields(request.headers);
        let is_upgrade = fields.lists("upgrade", "websocket") && fields.lists("connection", "upgrade");
        if !is_upgrade || fields.one("sec-websocket-version")? != Some("13") {
            return Err(HttpRefusal::UpgradeRequired);
        }
        let key = fields.one("sec-websocket-key")?.filter(|key| key.len() == 24);
        let key =
            key.ok_or(HttpRefusal::BadRequest("Sec-WebSocket-Key is missing, or not 24 characters long"))?;
        let (names_subprotocol, from_subprotocol) = subprotocols(&fields)?;
        let from_header = fields.one("authorization")?.map(bearer).transpose()?;
        if from_header.is_some() && from_subprotocol.is_some() {
            return Err(HttpRefusal::BadRequest("a token in Authorization and as a subprotocol: send one"));
        }
        Ok(Self {
            accept: derive_accept_key(key.as_bytes()),
            names_subprotocol,
            origin: fields.one("origin")?.map(str::to_owned),
            token: from_header.map(Shown::Header).or(from_subprotocol.map(Shown::Subprotocol)),
            forwarded: fields.items("x-forwarded-for").collect::<Vec<_>>().join(","),
        })
    }

    /// The answer that makes it a WebSocket. Of subprotocols `tickwire` is chosen, never the one with the token in it.
    pub(super) fn accept(&self) -> Vec<u8> {
        let subprotocol = if self.names_subprotocol { "Sec-WebSocket-Protocol: tickwire\r\n" } else { "" };
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n{subprotocol}\r\n",
            self.accept
        )
        .into_bytes()
    }
}

/// One path, and no token in it.
fn check_target(target: &str) -> Result<(), HttpRefusal> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let has_token = query.split('&').any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        TOKEN_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) || looks_like_jwt(value)
    });
    match path {
        _ if has_token => Err(HttpRefusal::TokenInUrl),
        "/" => Ok(()),
        _ => Err(HttpRefusal::NotFound),
    }
}

/// Whatever it is called: three parts, of which the first begins as `{"` does.
fn looks_like_jwt(value: &str) -> bool {
    value.starts_with("eyJ") && value.split('.').count() == 3
}

fn bearer(value: &str) -> Result<Token, HttpRefusal> {
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(HttpRefusal::Unauthorized(AuthRefusal::Malformed));
    }
    Token::new(token.trim()).map_err(|_| HttpRefusal::Unauthorized(AuthRefusal::Malformed))
}

/// Whether `tickwire` is among the subprotocols, and the token that is.
fn subprotocols(fields: &Fields<'_>) -> Result<(bool, Option<Token>), HttpRefusal> {
    let (mut is_named, mut is_any, mut token) = (false, false, None);
    for name in fields.items("sec-websocket-protocol") {
        is_any = true;
        is_named |= name == SUBPROTOCOL;
        let Some(text) = name.strip_prefix(BEARER_SUBPROTOCOL) else { continue };
        let shown = Token::new(text)
            .map_err(|_| HttpRefusal::BadRequest("the subprotocol `bearer.` is followed by a token"))?;
        if token.replace(shown).is_some() {
            return Err(HttpRefusal::BadRequest("two tokens as subprotocols: send one"));
        }
    }
    if is_any && !is_named {
        return Err(HttpRefusal::BadRequest("the subprotocol here is `tickwire`: name it, or none"));
    }
    Ok((is_named, token))
}

/// The header fields of a request.
struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| str::from_utf8(header.value).unwrap_or("\u{fffd}").trim())
    }

    /// What may stand there once.
    fn one(&self, name: &'static str) -> Result<Option<&'a str>, HttpRefusal> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (first, None) => Ok(first),
            _ => Err(HttpRefusal::BadRequest("a header stands twice that may stand once")),
        }
    }

    /// The items of a list, which may be spread over several fields.
    fn items(&self, name: &'static str) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty())
    }

    fn lists(&self, name: &'static str, wanted: &str) -> bool {
        self.items(name).any(|item| item.eq_ignore_ascii_case(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(target: &str, more: &str) -> Result<Request, HttpRefusal> {
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        );
        Request::parse(head.as_bytes())
    }

    #[test]
    fn the_example_of_the_standard_is_answered_as_there() {
        // RFC 6455, section 1.3.
        let answer = String::from_utf8(request("/", "").unwrap().accept()).unwrap();
        assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
        assert!(!answer.contains("Protocol:"), "{answer}");
    }

    #[test]
    fn tokens_come_by_header_or_subprotocol_and_are_never_said_back() {
        let token = || Token::new("a.b.c").unwrap();
        let header = request("/?v=1", "authorization: bearer a.b.c\r\n").unwrap();
        assert_eq!(header.token, Some(Shown::Header(token())));
        let listed = request("/", "Sec-WebSocket-Protocol: tickwire, bearer.a.b.c\r\n").unwrap();
        assert_eq!(listed.token, Some(Shown::Subprotocol(token())));
        let answer = String::from_utf8(listed.accept()).unwrap();
        assert!(
            answer.contains("Sec-WebSocket-Protocol: tickwire\r\n") && !answer.contains("a.b.c"),
            "{answer}"
        );
        assert!(!format!("{listed:?}").contains("a.b.c"));
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        let lines = |head: &str| Request::parse(format!("{head}\r\n\r\n").as_bytes());
        let bearer = "Authorization: Bearer a.b.c\r\n";
        for (result, status, words) in [
            (request("/?token=a.b.c", ""), "400", "Authorization: Bearer"),
            (request("/play?x=1&ACCESS_TOKEN=a", ""), "400", "logs"),
            (request("/?ticket=eyJhbGciOiJFZERTQSJ9.e30.c2ln", ""), "400", "logs"),
            (request("/play", ""), "404", "`/`"),
            (lines("GET / HTTP/1.1\r\nHost: x"), "426", "ws://"),
            (lines("GET / HTTP/1.1\r\nHost: x"), "426", "\r\nConnection: close, Upgrade\r\n"),
            (lines("GET / HTTP/1.0\r\nHost: x"), "400", "HTTP/1.1"),
            (lines("POST / HTTP/1.1\r\nHost: x"), "400", "GET"),
            (lines("hello"), "400", "no HTTP"),
            (request("/", "Sec-WebSocket-Version: 13\r\n"), "400", "twice"),
            (request("/", &format!("{bearer}{bearer}")), "400", "twice"),
            (request("/", "Authorization: Basic YTpi\r\n"), "401", "damaged"),
            (request("/", "Authorization: Bearer a b\r\n"), "401", "damaged"),
            (
                request("/", &format!("{bearer}Sec-WebSocket-Protocol: tickwire, bearer.a\r\n")),
                "400",
                "send one",
            ),
            (request("/", "Sec-WebSocket-Protocol: bearer.a\r\n"), "400", "`tickwire`"),
            (request("/", "Sec-WebSocket-Protocol: tickwire, bearer.a, bearer.b\r\n"), "400", "two tokens"),
            (request("/", "Sec-WebSocket-Protocol: chat\r\n"), "400", "`tickwire`"),
            (request("/", &"a: b\r\n".repeat(HEADERS_MAX)), "431", "8192 bytes and 64 headers"),
        ] {
            let answer = String::from_utf8(result.expect_err(words).answer()).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(words), "{answer}");
            assert!(!answer.contains("a.b.c"), "{answer}");
        }
        let early = format!("GET / HTTP/1.1\r\nHost: x\r\n\r\n{}", "more");
        assert!(matches!(Request::parse(early.as_bytes()), Err(HttpRefusal::BadRequest(_))));
    }

    proptest! {
        /// What a request may be bent to, it is answered in lines of ours alone, and what is let in says nothing back but the answer to its key.
        #[test]
        fn whatever_is_asked_the_answer_is_http_and_ours(
            junk in prop::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            lines in "[ -~\r\n]{0,120}",
        ) {
            let good = "GET /?v=1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
            let at = at.index(good.len() + 1);
            let with_junk = [&good.as_bytes()[..at], &junk, &good.as_bytes()[at..]].concat();
            let with_lines = [&good[..at], &lines, &good[at..]].concat().into_bytes();
            for head in [junk, with_junk, with_lines] {
                let answer = match Request::parse(&head) {
                    Ok(request) => request.accept(),
                    Err(refusal) => refusal.answer(),
                };
                let answer = String::from_utf8(answer).unwrap();
                let (head, text) = answer.split_once("\r\n\r\n").unwrap();
                prop_assert!(head.starts_with("HTTP/1.1 ") && head.lines().skip(1).all(|line| line.contains(": ")));
                prop_assert!(head.is_ascii() && !text.contains('\r') && answer.len() < 600, "{}", answer);
            }
        }
    }

    #[test]
    fn an_answer_says_how_long_its_text_is() {
        let answer = String::from_utf8(HttpRefusal::ServerFull { max: 7 }.answer()).unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}\r\n", text.len()))
                && head.contains("Retry-After: 30\r\n")
        );
    }
}
