//! A prior for a game, from recordings of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use tickwire_protocol::schema::{Kind, Schema};
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
    let untrained = Prior::untrained();
    let mut trainer = Trainer::new();
    let mut first: Option<Arc<Schema>> = None;
    for file in files {
        let recording = Recording::read(file, lattice)?;
        // What is learned belongs to names, so schemas may differ by a field or a kind.
        let first = first.get_or_insert_with(|| recording.schema().clone());
        let is_known = |kind: &Kind| first.kinds().iter().any(|known| known.name() == kind.name());
        ensure!(
            recording.schema().kinds().iter().any(is_known),
            "{}: of another game than {}, none of its kinds is known there: train a prior for each",
            file.display(),
            files[0].display()
        );
        run::show(&recording, &BASELINES, &untrained, &mut trainer)
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
