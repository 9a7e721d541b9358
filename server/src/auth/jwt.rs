//! JSON Web Tokens (RFC 7519), signed in the compact form of RFC 7515.

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header, get_current_timestamp};
use serde_json::{Map, Value};
use tickwire_protocol::handshake::{AuthRefusal, Permission};

use super::{Authenticator, Credentials, JwtKeys, Verdict, Verified};
use crate::core::ENGINE_ACTIONS;

/// What is asked of tokens beside a signature.
#[derive(Clone, Debug)]
pub struct JwtPolicy {
    /// Who must have issued them (`iss`); nobody in particular.
    pub issuer: Option<String>,
    /// Whom they must be for (`aud`, one of it). Without, tokens that name an audience are taken as well.
    pub audience: Option<String>,
    /// How far the issuer's clock may be off: a token counts so much earlier and longer.
    pub leeway: Duration,
}

impl Default for JwtPolicy {
    /// Anybody's, for anybody, 30 s of leeway.
    fn default() -> Self {
        Self { issuer: None, audience: None, leeway: Duration::from_secs(30) }
    }
}

/// Takes JSON Web Tokens that one of the keys has signed.
///
/// | claim | |
/// |---|---|
/// | `sub` | the account, 1 to 64 bytes: must be there |
/// | `exp` | when it ends: must be there |
/// | `nbf` | when it begins |
/// | `iss`, `aud` | as the [policy](JwtPolicy) wants |
/// | `permissions` | what the account may do, a list of texts; without it `play` and `watch` |
///
/// All claims go to the game, as JSON.
///
/// A token names its algorithm, but has no say in it: it is verified by that of the key, and refused if it names another. `none` is no
/// algorithm here, and what a token declares critical (`crit`) is refused, since nothing is understood.
#[derive(Debug)]
pub struct JwtAuthenticator {
    keys: JwtKeys,
    policy: JwtPolicy,
}

impl JwtAuthenticator {
    /// One that trusts these keys.
    pub fn new(keys: JwtKeys, policy: JwtPolicy) -> Self {
        Self { keys, policy }
    }

    fn verify(&self, token: &str) -> Result<Verified, AuthRefusal> {
        // An algorithm that is not known, `none` among them, is no header.
        let header = decode_header(token).map_err(|error| refusal(error.kind()))?;
        if header.crit.is_some() {
            return Err(AuthRefusal::Malformed);
        }
        let mut refused = AuthRefusal::UnknownKey;
        for key in self.keys.candidates(header.kid.as_deref()) {
            if key.algorithm != header.alg {
                // Of keys that are for other algorithms nothing is learned, if one was for this.
                if refused == AuthRefusal::UnknownKey {
                    refused = AuthRefusal::Algorithm;
                }
                continue;
            }
            match decode::<Map<String, Value>>(token, &key.key, &self.validation(key.algorithm)) {
                Ok(token) => return self.read(&token.claims),
                Err(error) if is_of_key(error.kind()) => refused = AuthRefusal::Signature,
                // The signature is right: no other key will like it better.
                Err(error) => return Err(refusal(error.kind())),
            }
        }
        Err(refused)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.policy.leeway.as_secs();
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if let Some(issuer) = &self.policy.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        match &self.policy.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    fn read(&self, claims: &Map<String, Value>) -> Result<Verified, AuthRefusal> {
        let account = claims.get("sub").and_then(Value::as_str).filter(|account| !account.is_empty());
        let expires = claims.get("exp").and_then(Value::as_f64).ok_or(AuthRefusal::Claims)?;
        let left = expires + self.policy.leeway.as_secs_f64() - get_current_timestamp() as f64;
        // In the second in which it ends it has ended: its client would be let in to be sent away.
        if left <= 0.0 {
            return Err(AuthRefusal::Expired);
        }
        // As far away as it says, or as far as can be told.
        let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::from_secs(u32::MAX.into()));
        Ok(Verified {
            account: account.ok_or(AuthRefusal::Claims)?.to_owned(),
            valid_for: Some(left),
            permissions: permissions(claims)?,
            claims: serde_json::to_vec(claims).map_err(|_| AuthRefusal::Claims)?,
        })
    }
}

fn permissions(claims: &Map<String, Value>) -> Result<Vec<Permission>, AuthRefusal> {
    let Some(told) = claims.get("permissions") else {
        return Ok(ENGINE_ACTIONS.map(|action| Permission(action.to_owned())).to_vec());
    };
    let told = told.as_array().ok_or(AuthRefusal::Claims)?;
    let name = |told: &Value| Some(Permission(told.as_str()?.to_owned()));
    told.iter().map(|told| name(told).ok_or(AuthRefusal::Claims)).collect()
}

/// Whether another key may find otherwise.
fn is_of_key(error: &ErrorKind) -> bool {
    matches!(
        error,
        ErrorKind::InvalidSignature
            | ErrorKind::InvalidEcdsaKey
            | ErrorKind::InvalidEddsaKey
            | ErrorKind::InvalidRsaKey(_)
            | ErrorKind::InvalidKeyFormat
    )
}

fn refusal(error: &ErrorKind) -> AuthRefusal {
    match error {
        ErrorKind::ExpiredSignature => AuthRefusal::Expired,
        ErrorKind::ImmatureSignature => AuthRefusal::NotYet,
        ErrorKind::InvalidIssuer => AuthRefusal::Issuer,
        ErrorKind::InvalidAudience => AuthRefusal::Audience,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            AuthRefusal::Algorithm
        }
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => AuthRefusal::Issuer,
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => AuthRefusal::Audience,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) | ErrorKind::InvalidSubject => {
            AuthRefusal::Claims
        }
        _ => AuthRefusal::Malformed,
    }
}

impl Authenticator for JwtAuthenticator {
    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> Verdict<'a> {
        // A signature takes some hundred microseconds at most: less than a trip to another thread is worth.
        Box::pin(async move { self.verify(credentials.token.as_str()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Grant, mint};

    const LEEWAY: Duration = Duration::from_secs(30);

    fn authenticator(files: &[&[u8]]) -> JwtAuthenticator {
        let mut keys = JwtKeys::default();
        for file in files {
            keys.extend(JwtKeys::parse(file).unwrap()).unwrap();
        }
        JwtAuthenticator::new(keys, JwtPolicy { leeway: LEEWAY, ..JwtPolicy::default() })
    }

    fn grant(expires_in: Duration) -> Grant {
        Grant::new("alice".to_owned(), expires_in)
    }

    #[test]
    fn the_grace_behind_the_end_is_the_leeway_and_no_more() {
        let secret = [b'x'; 40];
        let ended = get_current_timestamp() - 10;
        let mut claims = grant(Duration::ZERO).claims;
        claims.extend([("sub".to_owned(), "alice".into()), ("exp".to_owned(), ended.into())]);
        let key = jsonwebtoken::EncodingKey::from_secret(&secret);
        let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
        let left = authenticator(&[&secret]).verify(&token).unwrap().valid_for.unwrap();
        assert!((15..=20).contains(&left.as_secs()), "{left:?} of a grace of 30 s, 10 s behind the end");
    }

    #[test]
    fn a_token_has_ended_in_the_second_that_it_names() {
        let keys = JwtKeys::parse(&[b'x'; 40]).unwrap();
        let policy = JwtPolicy { leeway: Duration::ZERO, ..JwtPolicy::default() };
        let token = mint(&[b'x'; 40], &grant(Duration::ZERO)).unwrap();
        assert_eq!(
            JwtAuthenticator::new(keys, policy).verify(token.as_str()).err(),
            Some(AuthRefusal::Expired)
        );
    }

    #[test]
    fn no_letter_of_a_token_can_be_another() {
        let secret: &[u8] = &[b'x'; 40];
        let keys: [(&[u8], &[u8]); 4] = [
            (secret, secret),
            (
                include_bytes!("../../tests/keys/ed25519.pem"),
                include_bytes!("../../tests/keys/ed25519.pub.pem"),
            ),
            (include_bytes!("../../tests/keys/p256.pem"), include_bytes!("../../tests/keys/p256.pub.pem")),
            (include_bytes!("../../tests/keys/rsa.pem"), include_bytes!("../../tests/keys/rsa.pub.pem")),
        ];
        for (private, public) in keys {
            let (authenticator, token) = (authenticator(&[public]), mint(private, &grant(LEEWAY)).unwrap());
            let good = token.as_str();
            assert!(authenticator.verify(good).is_ok());
            // Letters that differ in the bits of the last one that do not count, too.
            for (at, letter) in
                (0..good.len()).flat_map(|at| "AQgw_.".chars().map(move |letter| (at, letter)))
            {
                let mut bent = good.to_owned();
                bent.replace_range(at..=at, letter.encode_utf8(&mut [0; 4]));
                assert!(bent == good || authenticator.verify(&bent).is_err(), "{at} {letter}");
            }
            assert!((0..good.len()).all(|cut| authenticator.verify(&good[..cut]).is_err()));
        }
    }

    #[test]
    fn the_key_that_comes_nearest_says_why_not() {
        let (secret, other) = ([b'x'; 40], [b'y'; 40]);
        let ed: &[u8] = include_bytes!("../../tests/keys/ed25519.pub.pem");
        let token = mint(&other, &grant(LEEWAY)).unwrap();
        let refused = |files: &[&[u8]]| authenticator(files).verify(token.as_str()).err();
        assert_eq!(refused(&[&secret, ed]), Some(AuthRefusal::Signature));
        assert_eq!(refused(&[ed, &secret]), Some(AuthRefusal::Signature));
        assert_eq!(refused(&[ed]), Some(AuthRefusal::Algorithm));
        assert_eq!(refused(&[ed, &secret, &other]), None);
    }
}
