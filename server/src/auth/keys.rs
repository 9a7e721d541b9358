//! The keys that tokens are signed with. **A key has one algorithm**, by what it is, and a token does not get a say in it.

use std::fmt;

use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER as CRYPTO;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};

use super::key_file::{KEYS_MAX, KeyError, KeyFile, SECRET_BYTES_MIN};

/// The keys that a server trusts.
#[derive(Clone, Default)]
pub struct JwtKeys(Vec<JwtKey>);

#[derive(Clone)]
pub(super) struct JwtKey {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl JwtKeys {
    /// The keys of a file, by what is in it: a PEM public key (Ed25519 for EdDSA, P-256 for ES256, RSA for RS256), a set of keys
    /// (JWKS, in JSON), or a secret for HS256: a line of text without the line's end, at least 32 bytes.
    ///
    /// # Errors
    /// Whatever of it would never verify a token, and whatever may be a public key in a form that is not understood.
    pub fn parse(file: &[u8]) -> Result<Self, KeyError> {
        let keys = match KeyFile::read(file)? {
            KeyFile::Pem { label, block } => vec![of_pem(label, block)?],
            KeyFile::Json(text) => of_set(text)?,
            KeyFile::Secret(secret) => vec![of_secret(secret, None)?],
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

fn of_pem(label: &str, block: &[u8]) -> Result<JwtKey, KeyError> {
    match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => {}
        _ if label.ends_with("PRIVATE KEY") => return Err(KeyError::Private),
        _ => return Err(KeyError::Pem),
    }
    let ed = || DecodingKey::from_ed_pem(block).map(|key| (Algorithm::EdDSA, key));
    let ec = || DecodingKey::from_ec_pem(block).map(|key| (Algorithm::ES256, key));
    let rsa = || DecodingKey::from_rsa_pem(block).map(|key| (Algorithm::RS256, key));
    let (algorithm, key) = ed().or_else(|_| ec()).or_else(|_| rsa()).map_err(|_| KeyError::Pem)?;
    check(algorithm, &key, || KeyError::Pem)?;
    Ok(JwtKey { id: None, algorithm, key })
}

/// Whether a key is one of its algorithm: one that is not would refuse every token, or fail at each.
fn check(algorithm: Algorithm, key: &DecodingKey, wrong: impl Fn() -> KeyError) -> Result<(), KeyError> {
    match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => check_rsa(n, e, wrong),
        DecodingKeyKind::SecretOrDer(der) if algorithm == Algorithm::RS256 => {
            let components = (CRYPTO.key_utils.rsa_pub_components_from_public_key)(der);
            let (n, e) = components.map_err(|_| wrong())?;
            check_rsa(&n, &e, wrong)
        }
        // Whoever makes the verifier cuts them to size, or fails.
        DecodingKeyKind::SecretOrDer(point) if algorithm == Algorithm::EdDSA && point.len() != 32 => {
            Err(wrong())
        }
        // A point of another curve is not on this one.
        DecodingKeyKind::SecretOrDer(_) => {
            (CRYPTO.verifier_factory)(&algorithm, key).map(drop).map_err(|_| wrong())
        }
    }
}

/// Modulus and public exponent, most significant bytes first. Below 2048 bits they can be factored one day, and above 4096 nothing
/// here verifies with them.
fn check_rsa(n: &[u8], e: &[u8], wrong: impl Fn() -> KeyError) -> Result<(), KeyError> {
    let bits = |number: &[u8]| {
        let number = number.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
        number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
    };
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits(n)) {
        return Err(KeyError::RsaBits(bits(n)));
    }
    // RFC 8017, section 3.1: 3 at least; the upper bound is that of the library.
    if is_odd(n) && is_odd(e) && (2..=33).contains(&bits(e)) { Ok(()) } else { Err(wrong()) }
}

const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 4096;

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
    check(algorithm, &key, named)?;
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
        let short_x = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"AAAA"}]}"#;
        let off_curve = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"k","x":"AAAA","y":"AAAA"}]}"#;
        let small_rsa = r#"{"keys":[{"kty":"RSA","n":"w7-_","e":"AQAB"}]}"#;
        for (file, words) in [
            ("hunter2", "a secret of 7 bytes"),
            ("", "a secret of 0 bytes"),
            (include_str!("../../tests/keys/certificate.pem"), "not a PEM public key"),
            (include_str!("../../tests/keys/rsa.pem"), "a private key"),
            (include_str!("../../tests/keys/ed25519.pem"), "a private key"),
            (include_str!("../../tests/keys/secp256k1.pub.pem"), "not a PEM public key"),
            (include_str!("../../tests/keys/p384.pub.pem"), "not a PEM public key"),
            (include_str!("../../tests/keys/rsa1024.pub.pem"), "an RSA key of 1024 bits"),
            (include_str!("../../tests/keys/rsa4224.pub.pem"), "of 2048 to 4096 bits"),
            (short_x, "the key `k` is not for"),
            (off_curve, "the key `k` is not for"),
            (small_rsa, "an RSA key of 24 bits"),
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
