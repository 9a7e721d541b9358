//! A world with fields of every type, told over two links by both coders: everything that is written and read, folded into
//! a number. Equal numbers on two targets mean the same bits.
//!
//! Three programs share it: the golden test, `examples/digest.rs`, and `wasm-digest/`.

mod link;
mod world;

use tickwire_protocol::snapshot::{Coder, Prior};

use link::{Link, Session};

/// Steps of each part. Snapshots carry tens of thousands of rows in this time.
const TICKS: u32 = 900;

/// One way of telling the world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    coder: Coder,
    has_default_prior: bool,
    link: Link,
}

const fn part(name: &'static str, coder: Coder, has_default_prior: bool, link: Link) -> Part {
    Part { name, coder, has_default_prior, link }
}

pub(crate) const PARTS: [Part; 8] = [
    part("fast, untrained, ordered", Coder::Fast, false, Link::Ordered),
    part("fast, untrained, lossy", Coder::Fast, false, Link::Lossy),
    part("fast, default prior, ordered", Coder::Fast, true, Link::Ordered),
    part("fast, default prior, lossy", Coder::Fast, true, Link::Lossy),
    part("dense, untrained, ordered", Coder::Dense, false, Link::Ordered),
    part("dense, untrained, lossy", Coder::Dense, false, Link::Lossy),
    part("dense, default prior, ordered", Coder::Dense, true, Link::Ordered),
    part("dense, default prior, lossy", Coder::Dense, true, Link::Lossy),
];

impl Part {
    /// Plays it from the start; panics if something is read that was not published.
    pub(crate) fn digest(&self) -> u64 {
        let prior = if self.has_default_prior { Prior::default_prior() } else { Prior::untrained() };
        let mut session = Session::new(self.coder, prior, self.link);
        (0..TICKS).for_each(|_| session.step());
        session.finish(self.name)
    }
}
