//! What a line asks for.

use std::time::Duration;

use anyhow::{Context as _, bail};

/// What can be asked for.
pub(super) const HELP: &str = "\
send TYPE[#KEY] TEXT   send a message by the name or number of its type; its body is the text
hex TYPE[#KEY] BYTES   the same with the body in hexadecimal, such as `0a ff`
types                  the messages of the game
list                   the entities in view, and their fields
ping                   the round trip of the next ping
stats                  what was counted and measured
wait SECONDS           go on for so long before the next line is read
quit                   leave once what was sent is delivered; so does the end of the input";

/// How long a `wait` may be, seconds.
const WAIT_MAX: f64 = 86_400.0;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Command {
    Send { ty: String, key: u32, body: Vec<u8> },
    Types,
    List,
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
            "send" => Self::message(rest, |text| Ok(text.as_bytes().to_vec()))?,
            "hex" => Self::message(rest, from_hex)?,
            "types" => Self::Types,
            "list" => Self::List,
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

    fn message(rest: &str, body: impl Fn(&str) -> anyhow::Result<Vec<u8>>) -> anyhow::Result<Self> {
        let (ty, text) = split(rest);
        if ty.is_empty() {
            bail!("say of which type: `send chat hello`; `types` lists them");
        }
        let (ty, key) = match ty.split_once('#') {
            Some((ty, key)) => {
                (ty, key.parse().with_context(|| format!("`{key}` is no key: give a number"))?)
            }
            None => (ty, 0),
        };
        Ok(Self::Send { ty: ty.to_owned(), key, body: body(text)? })
    }
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
        for line in HELP.lines() {
            let word = line.split([' ', '[']).next().unwrap();
            let line = match word {
                "send" | "hex" => format!("{word} chat"),
                "wait" => "wait 1".to_owned(),
                word => word.to_owned(),
            };
            assert!(matches!(Command::parse(&line), Ok(Some(_))), "{line}");
        }
    }
}
