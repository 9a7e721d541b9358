//! A prior for a game, from recordings of it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tickwire_protocol::snapshot::Prior;
use tickwire_protocol::snapshot::train::{Target, Trainer};

use super::baseline::Baseline;
use super::lattice::Lattice;
use super::recording::Recording;
use super::run;

/// What recordings are told against: an ordered stream, and datagrams at some round trips.
const BASELINES: [Baseline; 3] = [Baseline::Previous, Baseline::Ack(2), Baseline::Ack(6)];

/// Learns from recordings of one game and writes the prior.
pub(crate) fn train(out: &Path, files: &[PathBuf], lattice: &Lattice) -> anyhow::Result<()> {
    let default = Prior::untrained();
    let mut trainer = Trainer::new();
    let mut schema = None;
    for file in files {
        let recording = Recording::read(file, lattice)?;
        let hash = recording.schema().hash();
        ensure!(
            *schema.get_or_insert(hash) == hash,
            "{}: of another game than {}: a prior is for one schema",
            file.display(),
            files[0].display()
        );
        run::show(&recording, &BASELINES, &default, &mut trainer)
            .with_context(|| file.display().to_string())?;
    }
    let prior = trainer.learn(Target::Schema);
    std::fs::write(out, prior.encoded()).with_context(|| out.display().to_string())?;
    println!(
        "{}: {} bytes, hash {:016x}, learned from {} rows",
        out.display(),
        prior.encoded().len(),
        prior.hash(),
        trainer.examples()
    );
    Ok(())
}
