//! What kind of key a file holds. **A secret is only what cannot be anything else**: a public key that is taken for one lets
//! everybody who has it sign.

use std::fmt;

/// The least that a secret for HS256 has, bytes: as many as the hash (RFC 7518, section 3.2).
pub(super) const SECRET_BYTES_MIN: usize = 32;

/// Keys at once: a rotation has two or three; each that a token does not name is tried.
pub(super) const KEYS_MAX: usize = 32;

const PEM_BEGIN: &str = "-----BEGIN ";

/// How public keys begin that stand in a line of their own.
const PUBLIC_LINES: [(&str, &str); 8] = [
    ("[", "a JSON array"),
    ("ssh-", "an SSH key"),
    ("ecdsa-", "an SSH key"),
    ("sk-ssh-", "an SSH key"),
    ("sk-ecdsa-", "an SSH key"),
    // DER in base64: RSA keys and certificates of any size, Ed25519, P-256.
    ("MII", "the inside of a PEM file"),
    ("MCowBQYDK2Vw", "the inside of a PEM file"),
    ("MFkwEwYHKoZI", "the inside of a PEM file"),
];

/// A key file, by what is in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum KeyFile<'a> {
    /// One PEM block: what it says it is, and the whole of it.
    Pem { label: &'a str, block: &'a [u8] },
    /// A set of keys (JWKS).
    Json(&'a [u8]),
    /// A secret for HS256: a line of text.
    Secret(&'a [u8]),
}

impl<'a> KeyFile<'a> {
    /// Looks at a file, with a byte order mark or without.
    pub(super) fn read(file: &'a [u8]) -> Result<Self, KeyError> {
        let text = str::from_utf8(file).map_err(|_| KeyError::NoSecret("a file of bytes, not of text"))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii();
        if let Some((before, block)) = text.split_once(PEM_BEGIN) {
            let label = block.split_once("-----").map_or("", |(label, _)| label);
            let block = &text.as_bytes()[before.len()..];
            let blocks = text.matches(PEM_BEGIN).count();
            return if blocks == 1 { Ok(Self::Pem { label, block }) } else { Err(KeyError::Blocks(blocks)) };
        }
        if text.starts_with('{') {
            return Ok(Self::Json(text.as_bytes()));
        }
        if let Some((_, what)) = PUBLIC_LINES.iter().find(|(begin, _)| text.starts_with(begin)) {
            return Err(KeyError::NoSecret(what));
        }
        if text.contains(char::is_control) {
            return Err(KeyError::NoSecret("more than a line of text"));
        }
        if text.len() < SECRET_BYTES_MIN {
            return Err(KeyError::ShortSecret(text.len()));
        }
        Ok(Self::Secret(text.as_bytes()))
    }
}

/// Why a file has no keys. It repeats none of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeyError {
    /// It is a PEM file of something else.
    Pem,
    /// It is a private key, where the public one is enough.
    Private,
    /// It has so many PEM blocks.
    Blocks(usize),
    /// It begins like a set of keys, and is none.
    Jwks(String),
    /// A key is of an algorithm that is not taken, or none of its algorithm.
    Algorithm(String),
    /// An RSA key has so many bits.
    RsaBits(usize),
    /// It is something that is not kept secret.
    NoSecret(&'static str),
    /// A secret is too short to be one.
    ShortSecret(usize),
    /// It has none, or too many.
    Count(usize),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem => {
                f.write_str("not a PEM public key: give an Ed25519 or P-256 one, or an RSA one of 2048 to 4096 bits (`PUBLIC KEY`)")
            }
            Self::Private => f.write_str(
                "a private key: leave it where tokens are signed, and give the public one (`openssl pkey -pubout`)",
            ),
            Self::Blocks(blocks) => write!(f, "{blocks} PEM blocks: give a file for each key"),
            Self::Jwks(reason) => write!(f, "not a set of keys (JWKS): {reason}"),
            Self::Algorithm(key) => write!(f, "{key} is not for EdDSA, ES256, RS256 or HS256"),
            Self::RsaBits(bits) => write!(f, "an RSA key of {bits} bits: there must be 2048 to 4096"),
            Self::NoSecret(what) => write!(
                f,
                "{what}, which is no secret: give a public key as PEM (`PUBLIC KEY`) or in a set (JWKS), or a secret in one line"
            ),
            Self::ShortSecret(bytes) => {
                write!(f, "a secret of {bytes} bytes can be guessed: take at least {SECRET_BYTES_MIN}")
            }
            Self::Count(count) => write!(f, "{count} keys: there must be 1 to {KEYS_MAX}"),
        }
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_may_know_is_no_secret() {
        for (file, words) in [
            // DER, that happens to be text as well, and not.
            (
                b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00\x01\x02\x03\x04\x05".as_slice(),
                "than a line",
            ),
            (b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86", "of bytes"),
            (b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHZ6 me@here", "an SSH key"),
            (b"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY= me@here", "an SSH key"),
            (b"[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]", "a JSON array"),
            (b"MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=", "inside of a PEM"),
            (b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAAC3NzaC1lZDI1NTE5\n", "than a line"),
            (
                b"\xff\xfe0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x000\x001\x002\x003\x004\x00",
                "of bytes",
            ),
        ] {
            let error = KeyFile::read(file).expect_err(words).to_string();
            assert!(error.contains(words) && error.contains("no secret"), "{error:?} should say {words:?}");
        }
    }

    #[test]
    fn a_secret_is_a_line_of_text_and_may_begin_like_der() {
        let secret = b"0123456789abcdef0123456789abcdef";
        for file in [
            secret.to_vec(),
            [secret.as_slice(), b"\r\n"].concat(),
            [b"\xef\xbb\xbf".as_slice(), secret].concat(),
        ] {
            assert_eq!(KeyFile::read(&file), Ok(KeyFile::Secret(secret)));
        }
    }

    #[test]
    fn a_set_and_a_block_are_found_behind_what_stands_before_them() {
        assert_eq!(KeyFile::read(b"\xef\xbb\xbf {} "), Ok(KeyFile::Json(b"{}")));
        let block = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----".as_slice();
        let file = [b"\xef\xbb\xbfBag Attributes\n    localKeyID: 01\n".as_slice(), block, b"\n"].concat();
        assert_eq!(KeyFile::read(&file), Ok(KeyFile::Pem { label: "PUBLIC KEY", block }));
        let two = [block, block].concat();
        assert_eq!(KeyFile::read(&two), Err(KeyError::Blocks(2)));
    }
}
