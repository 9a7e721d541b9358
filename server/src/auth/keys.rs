//! The keys that tokens are signed with. **A key has one algorithm**, by what it is, and a token does not get a say in it.

use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey};

/// The least that a secret for HS256 has: as many bits as the hash (RFC 7518, section 3.2).
pub(super) const SECRET_BYTES_MIN: usize = 32;

/// Keys at once: a rotation has two or three; each that a token does not name is tried.
const KEYS_MAX: usize = 32;

/// The keys that a server trusts.
#[derive(Clone, Default)]
pub struct JwtKeys(Vec<JwtKey>);

#[derive(Clone)]
pub(super) struct JwtKey {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Why a file has no keys. It repeats none of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeyError {
    /// It is a PEM file of something else.
    Pem,
    /// It begins like a set of keys, and is none.
    Jwks(String),
    /// A key is of an algorithm that is not taken.
    Algorithm(String),
    /// A secret is too short to be one.
    ShortSecret(usize),
    /// It has none, or too many.
    Count(usize),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem => {
                f.write_str("not a PEM public key: give an Ed25519, P-256 or RSA one (`PUBLIC KEY`)")
            }
            Self::Jwks(reason) => write!(f, "not a set of keys (JWKS): {reason}"),
            Self::Algorithm(key) => write!(f, "{key} is not for EdDSA, ES256, RS256 or HS256"),
            Self::ShortSecret(bytes) => {
                write!(f, "a secret of {bytes} bytes can be guessed: take at least {SECRET_BYTES_MIN}")
            }
            Self::Count(count) => write!(f, "{count} keys: there must be 1 to {KEYS_MAX}"),
        }
    }
}

impl std::error::Error for KeyError {}

impl JwtKeys {
    /// The keys of a file, by what is in it: a PEM public key (Ed25519 for EdDSA, P-256 for ES256, RSA for RS256), a set of keys
    /// (JWKS, in JSON), or otherwise a secret for HS256: the text without the line's end, at least 32 bytes.
    ///
    /// # Errors
    /// Whatever of it would never verify a token.
    pub fn parse(file: &[u8]) -> Result<Self, KeyError> {
        let text = file.trim_ascii();
        let keys = match text.first() {
            Some(b'{') => of_set(text)?,
            _ if text.starts_with(b"-----BEGIN") => vec![of_pem(text)?],
            _ => vec![of_secret(text, None)?],
        };
        if (1..=KEYS_MAX).contains(&keys.len()) { Ok(Self(keys)) } else { Err(KeyError::Count(keys.len())) }
    }

    /// Adds those of another file.
    ///
    /// # Errors
    /// Together they are too many.
    pub fn extend(&mut self, others: Self) -> Result<(), KeyError> {
        self.0.extend(others.0);
        if self.0.len() <= KEYS_MAX { Ok(()) } else { Err(KeyError::Count(self.0.len())) }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that may have signed a token: that of the name that it gives, and otherwise all that have no name. A token without a
    /// name may be of any.
    pub(super) fn candidates(&self, id: Option<&str>) -> impl Iterator<Item = &JwtKey> {
        let is_known = id.is_some_and(|id| self.0.iter().any(|key| key.id.as_deref() == Some(id)));
        self.0.iter().filter(move |key| id.is_none() || key.id.as_deref() == id.filter(|_| is_known))
    }
}

/// Names and algorithms, no key.
impl fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| (&key.id, key.algorithm))).finish()
    }
}

fn of_secret(secret: &[u8], id: Option<String>) -> Result<JwtKey, KeyError> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err(KeyError::ShortSecret(secret.len()));
    }
    Ok(JwtKey { id, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) })
}

/// An uncompressed point of P-256.
const P256_POINT_BYTES: usize = 65;

fn of_pem(pem: &[u8]) -> Result<JwtKey, KeyError> {
    let is_p256 =
        |key: &DecodingKey| key.try_get_as_bytes().is_ok_and(|point| point.len() == P256_POINT_BYTES);
    let ed = DecodingKey::from_ed_pem(pem).map(|key| (Algorithm::EdDSA, key));
    let ec = || DecodingKey::from_ec_pem(pem).ok().filter(is_p256).map(|key| (Algorithm::ES256, key));
    let rsa = || DecodingKey::from_rsa_pem(pem).ok().map(|key| (Algorithm::RS256, key));
    let (algorithm, key) = ed.ok().or_else(ec).or_else(rsa).ok_or(KeyError::Pem)?;
    Ok(JwtKey { id: None, algorithm, key })
}

fn of_set(text: &[u8]) -> Result<Vec<JwtKey>, KeyError> {
    let set: JwkSet = serde_json::from_slice(text).map_err(|error| KeyError::Jwks(place_of(&error)))?;
    set.keys.iter().map(of_jwk).collect()
}

/// Where JSON is wrong, without what stands there.
fn place_of(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

fn of_jwk(jwk: &Jwk) -> Result<JwtKey, KeyError> {
    let id = jwk.common.key_id.clone();
    let named = || KeyError::Algorithm(format!("the key `{}`", id.as_deref().unwrap_or("without a kid")));
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::OctetKey(_) => (Algorithm::HS256, KeyAlgorithm::HS256),
        _ => return Err(named()),
    };
    if jwk.common.key_algorithm.is_some_and(|said| said != name) {
        return Err(named());
    }
    let key = DecodingKey::from_jwk(jwk).map_err(|_| named())?;
    if algorithm == Algorithm::HS256 {
        return of_secret(key.try_get_as_bytes().map_err(|_| named())?, id);
    }
    Ok(JwtKey { id, algorithm, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused_in_words_that_do_not_repeat_it() {
        let weak = r#"{"keys":[{"kty":"oct","k":"c2hvcnQ"}]}"#;
        let other = r#"{"keys":[{"kty":"EC","crv":"P-384","kid":"k","x":"AA","y":"AA"}]}"#;
        let two_minds = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"RS256","x":"AA"}]}"#;
        for (file, words) in [
            ("hunter2", "a secret of 7 bytes"),
            ("", "a secret of 0 bytes"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "not a PEM public key"),
            ("{\"keys\": 5}", "not a set of keys"),
            ("{\"keys\": []}", "0 keys"),
            (weak, "a secret of 5 bytes"),
            (other, "the key `k` is not for"),
            (two_minds, "the key `without a kid` is not for"),
        ] {
            let error = JwtKeys::parse(file.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(words), "{error:?} should say {words:?}");
            assert!(!error.contains("hunter2") && !error.contains("c2hvcnQ"));
        }
    }

    #[test]
    fn keys_are_found_by_name() {
        let oct = |id: &str| format!(r#"{{"kty":"oct","kid":"{id}","k":"{}"}}"#, "QUFB".repeat(11));
        let mut keys =
            JwtKeys::parse(format!(r#"{{"keys":[{},{}]}}"#, oct("a"), oct("b")).as_bytes()).unwrap();
        keys.extend(JwtKeys::parse(&[b'x'; 40]).unwrap()).unwrap();
        let ids = |id| keys.candidates(id).map(|key| key.id.as_deref()).collect::<Vec<_>>();
        assert_eq!(ids(Some("b")), [Some("b")]);
        assert_eq!(ids(Some("c")), [None], "an unknown name is that of a key which was given without one");
        assert_eq!(ids(None), [Some("a"), Some("b"), None]);
        assert_eq!(format!("{keys:?}"), "[(Some(\"a\"), HS256), (Some(\"b\"), HS256), (None, HS256)]");
    }
}
