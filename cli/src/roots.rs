//! Whom the tools believe that a server is who it says.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tickwire_client::net::Roots;

/// For `wss://` addresses.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RootArgs {
    /// PEM file of the only authorities that may vouch for a `wss://` server, such as the one of a test [default: those that browsers
    /// believe]
    #[arg(long, env = "TICKWIRE_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

impl RootArgs {
    pub(crate) fn resolve(&self) -> anyhow::Result<Roots> {
        let Some(path) = &self.ca else { return Ok(Roots::default()) };
        let shown = path.display();
        let pem = std::fs::read(path).with_context(|| format!("--ca {shown}: cannot be read"))?;
        Roots::from_pem(&pem).with_context(|| format!("--ca {shown}"))
    }
}
