//! What a line asks for.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tickwire_protocol::bulk::BulkId;
use tickwire_protocol::message::RequestId;

/// What can be asked for.
pub(super) const HELP: &str = "\
send TYPE[#KEY] TEXT   send a message by the name or number of its type; its body is the text
hex TYPE[#KEY] BYTES   the same with the body in hexadecimal, such as `0a ff`
ask TYPE TEXT          ask the game for something; what it responds is told
askhex TYPE BYTES      the same with the body in hexadecimal
answer ID TEXT         answer a request of the game's
refuse ID TEXT         refuse it, and say why
offer KIND FILE BYTES  offer the game a file by bulk transfer, of a kind that the game numbers; what is said of it
                       is in hexadecimal, and may be left out
accept ID FILE         accept what the game offers, and keep it in a new file
cancel ID              refuse what the game offers, or stop a transfer
name TEXT              be called so
pause                  look away: no state is sent, and messages go on
resume                 look again
types                  the messages of the game
list                   the entities in view, and their fields
members                the players of the room, and the groups of the own one
match                  how the match stands, and its scores
ping                   the round trip of the next ping
stats                  what was counted and measured
wait SECONDS           go on for so long before the next line is read
quit                   leave once what was sent is delivered; so does the end of the input";

/// How long a `wait` may be, seconds.
const WAIT_MAX: f64 = 86_400.0;

/// How a body is written in a line.
type ReadBody = fn(&str) -> anyhow::Result<Vec<u8>>;

const TEXT: ReadBody = |text| Ok(text.as_bytes().to_vec());

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Command {
    Send { ty: String, key: u32, body: Vec<u8> },
    Ask { ty: String, body: Vec<u8> },
    Respond { id: RequestId, response: Result<Vec<u8>, Vec<u8>> },
    Offer { kind: u16, file: PathBuf, metadata: Vec<u8> },
    Accept { id: BulkId, file: PathBuf },
    Cancel(BulkId),
    Name(String),
    Pause,
    Resume,
    Types,
    List,
    Members,
    Match,
    Ping,
    Stats,
    Wait(Duration),
    Help,
    Quit,
}

impl Command {
    /// Reads a line; nothing if it is empty.
    pub(super) fn parse(line: &str) -> anyhow::Result<Option<Self>> {
        let (word, rest) = split(line.trim());
        let command = match word {
            "" => return Ok(None),
            "send" => Self::message(rest, TEXT)?,
            "hex" => Self::message(rest, from_hex)?,
            "ask" => Self::request(rest, TEXT)?,
            "askhex" => Self::request(rest, from_hex)?,
            "answer" => {
                let (id, text) = numbered(rest, "request")?;
                Self::Respond { id: RequestId(id), response: Ok(text.into()) }
            }
            "refuse" => {
                let (id, text) = numbered(rest, "request")?;
                Self::Respond { id: RequestId(id), response: Err(text.into()) }
            }
            "offer" => {
                let (kind, file) = numbered(rest, "kind")?;
                let (file, metadata) = split(file);
                Self::Offer { kind, file: file_named(file)?, metadata: from_hex(metadata)? }
            }
            "accept" => {
                let (id, file) = numbered(rest, "transfer")?;
                Self::Accept { id: BulkId(id), file: file_named(file)? }
            }
            "cancel" => Self::Cancel(BulkId(numbered(rest, "transfer")?.0)),
            "name" => Self::Name(rest.to_owned()),
            "pause" => Self::Pause,
            "resume" => Self::Resume,
            "types" => Self::Types,
            "list" => Self::List,
            "members" => Self::Members,
            "match" => Self::Match,
            "ping" => Self::Ping,
            "stats" => Self::Stats,
            "wait" => {
                let seconds: f64 = rest.parse().context("wait SECONDS: give a number")?;
                if !(0.0..=WAIT_MAX).contains(&seconds) {
                    bail!("wait {seconds}: must be from 0 to {WAIT_MAX}");
                }
                Self::Wait(Duration::from_secs_f64(seconds))
            }
            "help" => Self::Help,
            "quit" => Self::Quit,
            other => bail!("`{other}` is no command: `help` lists them"),
        };
        Ok(Some(command))
    }

    fn message(rest: &str, body: ReadBody) -> anyhow::Result<Self> {
        let (ty, text) = typed(rest)?;
        let (ty, key) = match ty.split_once('#') {
            Some((ty, key)) => {
                (ty, key.parse().with_context(|| format!("`{key}` is no key: give a number"))?)
            }
            None => (ty, 0),
        };
        Ok(Self::Send { ty: ty.to_owned(), key, body: body(text)? })
    }

    fn request(rest: &str, body: ReadBody) -> anyhow::Result<Self> {
        let (ty, text) = typed(rest)?;
        Ok(Self::Ask { ty: ty.to_owned(), body: body(text)? })
    }
}

/// The type of a message, and what is behind it.
fn typed(rest: &str) -> anyhow::Result<(&str, &str)> {
    let (ty, text) = split(rest);
    if ty.is_empty() {
        bail!("say of which type: `send chat hello`; `types` lists them");
    }
    Ok((ty, text))
}

/// The number of something, and what is behind it.
fn numbered<'a, N: FromStr>(rest: &'a str, what: &str) -> anyhow::Result<(N, &'a str)> {
    let (number, text) = split(rest);
    let number = number.parse().ok().with_context(|| format!("`{number}` is no {what}: give its number"))?;
    Ok((number, text))
}

fn file_named(name: &str) -> anyhow::Result<PathBuf> {
    if name.is_empty() {
        bail!("say which file");
    }
    Ok(name.into())
}

/// The first word, and what is behind it.
fn split(line: &str) -> (&str, &str) {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    (word, rest.trim_start())
}

fn from_hex(text: &str) -> anyhow::Result<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|char| !char.is_whitespace())
        .map(|char| char.to_digit(16).map(|digit| digit as u8))
        .collect();
    let digits = digits.context("the body has characters that are no hexadecimal digits")?;
    match digits.as_chunks() {
        (bytes, []) => Ok(bytes.iter().map(|[high, low]| high << 4 | low).collect()),
        _ => bail!("the body has half a byte too much: give two digits for each"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(ty: &str, key: u32, body: &[u8]) -> Command {
        Command::Send { ty: ty.to_owned(), key, body: body.to_vec() }
    }

    #[test]
    fn lines_are_read_as_help_says() {
        let cases = [
            ("", None),
            ("   ", None),
            ("send chat hello, you", Some(send("chat", 0, b"hello, you"))),
            ("  send  3#7  x ", Some(send("3", 7, b"x"))),
            ("send chat", Some(send("chat", 0, b""))),
            ("hex mark 0a Ff", Some(send("mark", 0, &[10, 255]))),
            ("wait 1.5", Some(Command::Wait(Duration::from_millis(1_500)))),
            ("list", Some(Command::List)),
            ("ask buy a hat", Some(Command::Ask { ty: "buy".to_owned(), body: b"a hat".to_vec() })),
            ("askhex 5 01 00", Some(Command::Ask { ty: "5".to_owned(), body: vec![1, 0] })),
            (
                "answer 7 yes, do",
                Some(Command::Respond { id: RequestId(7), response: Ok(b"yes, do".to_vec()) }),
            ),
            ("refuse 7", Some(Command::Respond { id: RequestId(7), response: Err(Vec::new()) })),
            ("offer 1 a.png", Some(Command::Offer { kind: 1, file: "a.png".into(), metadata: vec![] })),
            ("offer 1 a 07 ff", Some(Command::Offer { kind: 1, file: "a".into(), metadata: vec![7, 255] })),
            ("accept 3 here", Some(Command::Accept { id: BulkId(3), file: "here".into() })),
            ("cancel 3", Some(Command::Cancel(BulkId(3)))),
            ("name Ada L.", Some(Command::Name("Ada L.".to_owned()))),
            ("pause", Some(Command::Pause)),
            ("quit", Some(Command::Quit)),
        ];
        for (line, command) in cases {
            assert_eq!(Command::parse(line).unwrap(), command, "{line}");
        }
        for (line, words) in [
            ("dance", "no command"),
            ("send", "of which type"),
            ("send chat#x y", "no key"),
            ("hex chat 0g", "no hexadecimal"),
            ("hex chat 012", "half a byte"),
            ("ask", "of which type"),
            ("answer x yes", "`x` is no request"),
            ("offer 70000 f", "no kind"),
            ("offer 1", "which file"),
            ("accept", "no transfer"),
            ("wait", "give a number"),
            ("wait -1", "from 0"),
            ("wait nan", "from 0"),
        ] {
            let error = format!("{:#}", Command::parse(line).expect_err(line));
            assert!(error.contains(words), "{line}: {error}");
        }
    }

    #[test]
    fn help_names_every_command() {
        for line in HELP.lines().filter(|line| !line.starts_with(' ')) {
            let word = line.split([' ', '[']).next().unwrap();
            let line = match word {
                "send" | "hex" | "ask" | "askhex" => format!("{word} chat"),
                "answer" | "refuse" | "cancel" => format!("{word} 1"),
                "offer" | "accept" => format!("{word} 1 file"),
                "wait" => "wait 1".to_owned(),
                word => word.to_owned(),
            };
            assert!(matches!(Command::parse(&line), Ok(Some(_))), "{line}");
        }
    }
}
