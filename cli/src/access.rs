//! Whom `serve` lets in.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Deserialize;
use tickwire_server::auth::{JwtAuthenticator, JwtKeys, JwtPolicy};
use tickwire_server::net::{AccessConfig, AccountPolicy};

/// Beyond an hour a clock is not off, but wrong; and a token that has expired would count on.
const LEEWAY_SECONDS_MAX: u64 = 3600;

/// Flags, environment, and in the file the table `[access]`.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[command(next_help_heading = "Access")]
pub(crate) struct AccessArgs {
    /// Key file that tokens (JWT) are checked with: a PEM public key, a set of keys (JWKS), or a secret of at least 32 bytes. Several may be
    /// given. Without any, clients are guests, and only those of this machine are let in
    #[arg(long, env = "TICKWIRE_AUTH_KEY", value_name = "FILE", value_delimiter = ',')]
    auth_key: Vec<PathBuf>,

    /// Who must have issued tokens (`iss`) [default: anybody]
    #[arg(long, env = "TICKWIRE_AUTH_ISSUER", value_name = "NAME")]
    auth_issuer: Option<String>,

    /// Whom tokens must be for (`aud`) [default: anybody]
    #[arg(long, env = "TICKWIRE_AUTH_AUDIENCE", value_name = "NAME")]
    auth_audience: Option<String>,

    /// How far the issuer's clock may be off, seconds, at most 3600 [default: 30]
    #[arg(long, env = "TICKWIRE_AUTH_LEEWAY", value_name = "SECONDS")]
    auth_leeway: Option<u64>,

    /// Lets clients without a token in as well, also from other machines
    #[arg(long, env = "TICKWIRE_GUESTS")]
    guests: bool,

    /// What happens when an account connects that is connected: `refuse`, `replace`, or how many times it may be [default: replace]
    #[arg(long, env = "TICKWIRE_SAME_ACCOUNT", value_name = "POLICY")]
    same_account: Option<SameAccount>,

    /// Pages that may connect, as browsers name them, such as `https://play.example.org` [default: all]
    #[arg(long, env = "TICKWIRE_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    origin: Vec<String>,
}

/// [`AccountPolicy`] in words.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
struct SameAccount(AccountPolicy);

impl FromStr for SameAccount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "refuse" => AccountPolicy::Refuse,
            "replace" => AccountPolicy::Replace,
            number => match number.parse() {
                Ok(max @ 1..) => AccountPolicy::Allow(max),
                _ => return Err("say `refuse`, `replace`, or a number above 0".to_owned()),
            },
        }))
    }
}

impl TryFrom<String> for SameAccount {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl AccessArgs {
    /// What was not given here, as the file has it.
    pub(crate) fn or(self, file: Self) -> Self {
        let longer = |given: Vec<_>, file| if given.is_empty() { file } else { given };
        Self {
            auth_key: longer(self.auth_key, file.auth_key),
            auth_issuer: self.auth_issuer.or(file.auth_issuer),
            auth_audience: self.auth_audience.or(file.auth_audience),
            auth_leeway: self.auth_leeway.or(file.auth_leeway),
            guests: self.guests || file.guests,
            same_account: self.same_account.or(file.same_account),
            origin: if self.origin.is_empty() { file.origin } else { self.origin },
        }
    }

    pub(crate) fn resolve(self) -> anyhow::Result<AccessConfig> {
        let origins = self.origin.iter().map(|text| {
            origin(text).with_context(|| {
                format!("--origin {text}: write it as browsers do, such as https://play.example.org")
            })
        });
        let mut access = AccessConfig {
            guests: self.guests,
            origins: origins.collect::<anyhow::Result<_>>()?,
            ..AccessConfig::default()
        };
        let leeway = self.auth_leeway.map_or(JwtPolicy::default().leeway, Duration::from_secs);
        if leeway.as_secs() > LEEWAY_SECONDS_MAX {
            bail!("--auth-leeway {}: at most {LEEWAY_SECONDS_MAX} seconds", leeway.as_secs());
        }
        let mut keys = JwtKeys::default();
        for path in &self.auth_key {
            keys.extend(read_keys(path)?).with_context(|| format!("--auth-key {}", path.display()))?;
        }
        if !keys.is_empty() {
            let policy = JwtPolicy { issuer: self.auth_issuer, audience: self.auth_audience, leeway };
            access.authenticator = Some(Arc::new(JwtAuthenticator::new(keys, policy)));
        } else if self.auth_issuer.is_some() || self.auth_audience.is_some() || self.auth_leeway.is_some() {
            bail!(
                "--auth-issuer, --auth-audience and --auth-leeway say how tokens are taken: give the --auth-key that they are signed with"
            );
        }
        access.accounts = self.same_account.map_or(access.accounts, |SameAccount(policy)| policy);
        Ok(access)
    }
}

fn read_keys(path: &Path) -> anyhow::Result<JwtKeys> {
    let shown = path.display();
    let file = std::fs::read(path).with_context(|| format!("--auth-key {shown}: cannot be read"))?;
    let keys = JwtKeys::parse(&file).with_context(|| format!("--auth-key {shown}"))?;
    // A public key that was taken for a secret would be seen here.
    tracing::info!(file = %shown, ?keys, "tokens are checked by these keys");
    Ok(keys)
}

/// An origin as browsers write it (RFC 6454, section 6.2): scheme and host in small letters, and the port unless it goes without
/// saying. Nothing if it is none.
fn origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let has_port = !authority.ends_with(']') && authority.contains(':');
    let (host, port) = if has_port { authority.rsplit_once(':')? } else { (authority, "") };
    let port = if has_port { Some(port.parse::<u16>().ok()?) } else { None };
    let is_name = |text: &str, more: &[u8]| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    let is_host = match host.strip_prefix('[') {
        Some(address) => is_name(address.strip_suffix(']')?, b":."),
        None => is_name(host, b"-._"),
    };
    let shown = match (scheme, port) {
        ("https", Some(443)) | ("http", Some(80)) | (_, None) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    (is_name(scheme, b"+-.") && is_host).then(|| format!("{scheme}://{host}{shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_beat_the_file() {
        let file: AccessArgs =
            toml::from_str("guests = true\nsame-account = 'refuse'\norigin = ['https://a.b']").unwrap();
        let given = AccessArgs { same_account: Some("2".parse().unwrap()), ..AccessArgs::default() };
        let access = given.or(file).resolve().unwrap();
        assert!(access.guests && access.authenticator.is_none());
        assert_eq!(access.accounts, AccountPolicy::Allow(2));
        assert_eq!(access.origins, ["https://a.b"]);
    }

    #[test]
    fn mistakes_are_named() {
        let short = std::env::temp_dir().join(format!("tickwire-short-{}.key", std::process::id()));
        std::fs::write(&short, "hunter2").unwrap();
        let none = AccessArgs::default;
        for (args, words) in [
            (AccessArgs { auth_key: vec!["/nowhere.pem".into()], ..none() }, "/nowhere.pem: cannot be read"),
            (AccessArgs { auth_key: vec![short.clone()], ..none() }, "at least 32"),
            (AccessArgs { auth_issuer: Some("x".to_owned()), ..none() }, "--auth-key"),
            (AccessArgs { auth_leeway: Some(30), ..none() }, "--auth-key"),
            (AccessArgs { auth_leeway: Some(3601), ..none() }, "at most 3600"),
            (AccessArgs { origin: vec!["https://a.b/c".to_owned()], ..none() }, "https://play.example.org"),
            (AccessArgs { origin: vec!["a.b".to_owned()], ..none() }, "https://play.example.org"),
        ] {
            let error = format!("{:#}", args.resolve().unwrap_err());
            assert!(error.contains(words) && !error.contains("hunter2"), "{error:?} should say {words:?}");
        }
        std::fs::remove_file(short).unwrap();
        for text in ["0", "-1", "often", ""] {
            assert!(text.parse::<SameAccount>().is_err());
        }
    }

    #[test]
    fn origins_are_kept_as_browsers_write_them() {
        let written = |text| origin(text).unwrap_or_default();
        for (given, written_as) in [
            ("https://Play.Example.org", "https://play.example.org"),
            ("HTTPS://a.b:443", "https://a.b"),
            ("http://a.b:80", "http://a.b"),
            ("http://a.b:443", "http://a.b:443"),
            ("https://a.b:8443", "https://a.b:8443"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://[::1]", "http://[::1]"),
        ] {
            assert_eq!(written(given), written_as);
        }
        for none in [
            "",
            "a.b",
            "https://",
            "://a",
            "https://a.b/",
            "https://*.b",
            "https://a@b",
            "https://ä.b",
            "https://a:b",
        ] {
            assert_eq!(origin(none), None, "{none}");
        }
    }
}
