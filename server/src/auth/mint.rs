//! Makes tokens for trying out, and keys for them. A game's own sign-in service makes the real ones.

use std::fmt;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Map, Value, json};
use tickwire_protocol::handshake::Token;

use super::key_file::{KeyFile, SECRET_BYTES_MIN};

/// What a token is to say.
#[derive(Clone)]
pub struct Grant {
    /// The account.
    pub account: String,
    /// For how long, seconds are counted.
    pub expires_in: Duration,
    /// What it may do; without, what the engine asks for.
    pub permissions: Option<Vec<String>>,
    /// Who says so.
    pub issuer: Option<String>,
    /// To whom.
    pub audience: Option<String>,
    /// What else, for the game.
    pub claims: Map<String, Value>,
}

impl Grant {
    /// An account for so long, that may do [what the engine asks for](crate::core::ENGINE_ACTIONS).
    pub fn new(account: String, expires_in: Duration) -> Self {
        Self { account, expires_in, permissions: None, issuer: None, audience: None, claims: Map::new() }
    }
}

/// Without the claims.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("account", &self.account)
            .field("expires_in", &self.expires_in)
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

/// Why there is no token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MintError {
    /// The file has no key that signs.
    Key,
    /// The token would be larger than a client can say.
    TooLarge,
    /// There is no good chance to be had of the system.
    NoRandomness,
}

impl fmt::Display for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => {
                "no key that signs: give a secret of at least 32 bytes, or a PEM private key (PKCS #8) for EdDSA, ES256 or RS256"
            }
            Self::TooLarge => "the token would be too large: claim less",
            Self::NoRandomness => "the system has no randomness",
        })
    }
}

impl std::error::Error for MintError {}

/// A secret for HS256, as text: 256 bits of chance.
///
/// # Errors
/// [`MintError::NoRandomness`].
pub fn generate_key() -> Result<String, MintError> {
    let mut halves = [[0; SECRET_BYTES_MIN / 2]; 2];
    for half in &mut halves {
        getrandom::fill(half).map_err(|_| MintError::NoRandomness)?;
    }
    let [first, second] = halves.map(u128::from_ne_bytes);
    Ok(format!("{first:032x}{second:032x}"))
}

/// A token signed with the key of this file: a secret as [`JwtKeys::parse`](super::JwtKeys::parse) takes it, or a PEM private key.
///
/// # Errors
/// The key does not sign, or the claims are too large.
pub fn mint(key_file: &[u8], grant: &Grant) -> Result<Token, MintError> {
    let (algorithm, key) = signer(key_file)?;
    let now = get_current_timestamp();
    let mut claims = grant.claims.clone();
    let mut claim =
        |name: &str, value: Option<Value>| value.map(|value| claims.insert(name.to_owned(), value));
    claim("sub", Some(json!(grant.account)));
    claim("iat", Some(json!(now)));
    claim("exp", Some(json!(now.saturating_add(grant.expires_in.as_secs()))));
    claim("permissions", grant.permissions.as_ref().map(|names| json!(names)));
    claim("iss", grant.issuer.as_ref().map(|issuer| json!(issuer)));
    claim("aud", grant.audience.as_ref().map(|audience| json!(audience)));
    let token = encode(&Header::new(algorithm), &claims, &key).map_err(|_| MintError::Key)?;
    Token::new(token).map_err(|_| MintError::TooLarge)
}

fn signer(file: &[u8]) -> Result<(Algorithm, EncodingKey), MintError> {
    let block = match KeyFile::read(file).map_err(|_| MintError::Key)? {
        KeyFile::Secret(secret) => return Ok((Algorithm::HS256, EncodingKey::from_secret(secret))),
        KeyFile::Pem { block, .. } => block,
        KeyFile::Json(_) => return Err(MintError::Key),
    };
    let ed = EncodingKey::from_ed_pem(block).map(|key| (Algorithm::EdDSA, key));
    let ec = || EncodingKey::from_ec_pem(block).ok().map(|key| (Algorithm::ES256, key));
    let rsa = || EncodingKey::from_rsa_pem(block).ok().map(|key| (Algorithm::RS256, key));
    ed.ok().or_else(ec).or_else(rsa).ok_or(MintError::Key)
}
