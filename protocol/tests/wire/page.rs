//! Reading docs/WIRE.md: its fenced blocks, its tables, and the notation of values in them.

use std::str::FromStr;

use tickwire_protocol::Micros;

const PAGE: &str = include_str!("../../../docs/WIRE.md");
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/WIRE.md");

/// Longest line of bytes.
const HEX_COLUMNS: usize = 120;

/// Whether the page is to be written anew where it is wrong: after a change of the format, or of the default prior.
pub(crate) fn is_to_be_written() -> bool {
    std::env::var_os("TICKWIRE_WRITE_PAGE").is_some()
}

/// Replaces a hash in a block of the page.
pub(crate) fn write_hash(kind: &str, name: &str, hash: &str) {
    write(kind, name, "hash:", &format!("hash: {hash}\nhex:"), "hex:");
}

/// Replaces the bytes at the end of a block in the page.
pub(crate) fn write_hex(kind: &str, name: &str, hex: &str) {
    let mut lines = vec!["hex:".to_owned()];
    for byte in hex.split_whitespace() {
        let last = lines.last_mut().unwrap();
        if last.len() + 3 > HEX_COLUMNS {
            lines.push(format!("  {byte}"));
        } else {
            last.push(' ');
            last.push_str(byte);
        }
    }
    write(kind, name, "hex:", &(lines.join("\n") + "\n```"), "\n```");
}

/// Puts `text` into a block, from `first` up to and with `last`.
fn write(kind: &str, name: &str, first: &str, text: &str, last: &str) {
    let page = std::fs::read_to_string(PATH).unwrap();
    let block = page.find(&format!("```{kind} {name}\n")).expect("the block was read from the page");
    let start = block + page[block..].find(first).unwrap();
    let end = start + page[start..].find(last).unwrap() + last.len();
    std::fs::write(PATH, format!("{}{text}{}", &page[..start], &page[end..])).unwrap();
}

/// A fenced block: ```` ```kind name ````.
pub(crate) struct Block {
    pub(crate) name: &'static str,
    pub(crate) lines: Vec<&'static str>,
}

pub(crate) fn blocks(kind: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let body = lines.by_ref().take_while(|line| *line != "```").collect();
        match info.split_once(' ') {
            Some((block_kind, name)) if block_kind == kind => found.push(Block { name, lines: body }),
            _ => {}
        }
    }
    assert!(!found.is_empty(), "the page has no {kind}");
    found
}

pub(crate) fn vectors(kind: &str) -> Vec<Fields> {
    blocks(kind).iter().map(Fields::parse).collect()
}

/// The cells of every row of every Markdown table.
pub(crate) fn markdown_rows() -> impl Iterator<Item = Vec<&'static str>> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    rows.map(|row| row.split('|').map(str::trim).collect())
}

/// The `key: value` lines of a block, and the bytes at its end. Each must be used: nothing is written there in vain.
pub(crate) struct Fields {
    pub(crate) name: &'static str,
    pairs: Vec<(&'static str, &'static str)>,
    hex: String,
}

impl Fields {
    pub(crate) fn parse(block: &Block) -> Self {
        let end = block.lines.iter().position(|line| line.starts_with("hex:")).expect("a block ends in hex");
        let (pairs, bytes_lines) = block.lines.split_at(end);
        let pair = |line: &&'static str| {
            let (key, value) = line.split_once(':').unwrap_or_else(|| panic!("{}: {line:?}", block.name));
            (key, value.trim())
        };
        let text = bytes_lines.join(" ");
        let hex = text.trim_start_matches("hex:").split_whitespace().collect::<Vec<_>>().join(" ");
        Self { name: block.name, pairs: pairs.iter().map(pair).collect(), hex }
    }

    pub(crate) fn take(&mut self, key: &str) -> String {
        self.take_if_there(key).unwrap_or_else(|| panic!("{}: no field {key:?}", self.name))
    }

    pub(crate) fn take_if_there(&mut self, key: &str) -> Option<String> {
        let place = self.pairs.iter().position(|(name, _)| *name == key)?;
        Some(self.pairs.remove(place).1.to_owned())
    }

    pub(crate) fn take_all(&mut self, key: &str) -> Vec<String> {
        let count = self.pairs.iter().filter(|(name, _)| *name == key).count();
        (0..count).map(|_| self.take(key)).collect()
    }

    pub(crate) fn number<T: FromStr>(&mut self, key: &str) -> T {
        parse(&self.take(key))
    }

    pub(crate) fn micros(&mut self, key: &str) -> Micros {
        Micros(self.number(key))
    }

    /// The bytes, once every field was used.
    pub(crate) fn end(&self) -> String {
        assert!(self.pairs.is_empty(), "{}: nobody asked for {:?}", self.name, self.pairs);
        self.hex.clone()
    }
}

pub(crate) fn parse<T: FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no {}", std::any::type_name::<T>()))
}

pub(crate) fn numbers<T: FromStr>(text: &str) -> Vec<T> {
    text.split_whitespace().map(parse).collect()
}

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
