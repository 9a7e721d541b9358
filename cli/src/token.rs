//! `tickwire token`: a token for trying out.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use tickwire_protocol::limits::ACCOUNT_BYTES_MAX;
use tickwire_server::auth::{Grant, generate_key, mint};

/// Sign a token for trying out: the game's own sign-in service makes the real ones.
#[derive(Args, Clone, Debug)]
pub(crate) struct TokenArgs {
    /// Key file to sign with: a secret of at least 32 bytes, or a PEM private key (PKCS #8). Its public half, or the secret, is what
    /// `serve --auth-key` takes
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// Makes a secret in the key file if it is not there
    #[arg(long)]
    generate: bool,

    /// Whose it is
    #[arg(long, value_name = "NAME")]
    account: String,

    /// For how long, such as `90s`, `15m`, `1h` or `7d`
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = duration)]
    expires: Duration,

    /// What it may do: `action`, or `action@room`; several may be given [default: play, watch and open]
    #[arg(long, value_name = "ACTION")]
    permission: Vec<String>,

    /// Who says so (`iss`)
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,

    /// Whom it is for (`aud`)
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,

    /// What else the game is told, as JSON: `{"level": 7}`
    #[arg(long, default_value = "{}", value_name = "JSON")]
    claims: String,
}

pub(crate) fn run(args: TokenArgs) -> anyhow::Result<ExitCode> {
    println!("{}", token(args)?);
    Ok(ExitCode::SUCCESS)
}

fn token(args: TokenArgs) -> anyhow::Result<String> {
    let length = args.account.len();
    ensure!(
        (1..=ACCOUNT_BYTES_MAX).contains(&length),
        "--account: a name has 1 to {ACCOUNT_BYTES_MAX} bytes, this one {length}"
    );
    let claims = serde_json::from_str(&args.claims).context("--claims: not a JSON object")?;
    let shown = args.key.display().to_string();
    if args.generate {
        generate(&args.key).with_context(|| format!("--key {shown}: cannot be made"))?;
    }
    let key = match std::fs::read(&args.key) {
        Ok(key) => key,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("--key {shown}: there is no such file; --generate makes one")
        }
        Err(error) => return Err(error).with_context(|| format!("--key {shown}")),
    };
    let grant = Grant {
        account: args.account,
        expires_in: args.expires,
        permissions: (!args.permission.is_empty()).then_some(args.permission),
        issuer: args.issuer,
        audience: args.audience,
        claims,
    };
    let token = mint(&key, &grant).with_context(|| format!("--key {shown}"))?;
    Ok(token.as_str().to_owned())
}

/// Makes a key file that only its owner can read; one that is there is left alone.
fn generate(path: &Path) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(mut file) => Ok(writeln!(file, "{}", generate_key()?)?),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A number and a unit.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and a unit, such as 90s, 15m, 1h or 7d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        let seconds = |text| duration(text).map(|time| time.as_secs());
        assert_eq!(["90s", "15m", "1h", "7d"].map(seconds), [Ok(90), Ok(900), Ok(3600), Ok(604_800)]);
        assert!(["", "5", "h", "-1h", "1w", "1½"].iter().all(|text| duration(text).is_err()));
    }

    #[test]
    fn a_key_is_made_once_and_is_its_owners() {
        let key = std::env::temp_dir().join(format!("tickwire-token-{}.key", std::process::id()));
        let args = TokenArgs {
            key: key.clone(),
            generate: false,
            account: "alice".to_owned(),
            expires: Duration::from_mins(1),
            permission: Vec::new(),
            issuer: None,
            audience: None,
            claims: "{}".to_owned(),
        };
        assert!(token(args.clone()).unwrap_err().to_string().contains("--generate"));
        let made = token(TokenArgs { generate: true, ..args.clone() }).unwrap();
        assert_eq!(made.split('.').count(), 3);
        let secret = std::fs::read(&key).unwrap();
        token(TokenArgs { generate: true, ..args }).unwrap();
        assert_eq!(std::fs::read(&key).unwrap(), secret);
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&key.metadata().unwrap().permissions()) & 0o777,
            0o600
        );
        std::fs::remove_file(key).unwrap();
    }
}
