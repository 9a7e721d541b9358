//! Open files: every connection needs one.

use anyhow::bail;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that the process has open beside its connections.
const OTHER_FILES: u64 = 32;

/// Raises the limit to what the system lets us have.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Refused on some systems; then the old limit stays, and `check` speaks up if it is too low.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Fails if `connections` cannot all be open at once.
pub(crate) fn check(connections: u64) -> anyhow::Result<()> {
    let needed = connections + OTHER_FILES;
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => bail!(
            "{connections} connections need {needed} open files, this process may have {limit}: \
             raise the limit with `ulimit -n {needed}`, or use fewer bots"
        ),
        _ => Ok(()),
    }
}
