//! `tickwire trace`: recordings of real matches through the codec, and what they cost.
//!
//! | file | what it decides |
//! |---|---|
//! | `recording`, `nctrace`, `cubes` | what a recording is, and the formats that are read |
//! | `lattice`, `lattice_file` | which fields are sent on which lattice, and how far off that is |
//! | `baseline` | which frames may be named, on links that delay and lose |
//! | `run`, `held` | frames written, and decoded in order and alone |
//! | `train` | a prior from recordings |
//! | `by_field`, `report` | what is told |

mod baseline;
mod by_field;
mod cubes;
mod held;
mod lattice;
mod lattice_file;
mod nctrace;
mod recording;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod train;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use tickwire_protocol::snapshot::{Coder, Prior};

use baseline::{Baseline, Lossy};
use lattice::Lattice;
use recording::Recording;
use report::{Report, ReportedOptions};
use run::Options;

/// Recordings through the codec: size, time and error of every frame that a server would send, each decoded and compared.
#[derive(Args, Clone, Debug)]
pub(crate) struct TraceArgs {
    /// Recordings: of `serve --record`, NCTRACE2, or the cubes of the delta compression challenge; any may be compressed with
    /// zstd
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Where values lie: `exact` as recorded, `game` as the engine would have them, `game-noang` without angular
    /// velocities, or a TOML file such as docs/examples/trace-lattice.toml
    #[arg(long, default_value = "exact", value_name = "exact|game|game-noang|FILE.toml")]
    lattice: String,

    /// What frames may name: `previous` the three frames before, `ack:N` those N and 2N frames before
    #[arg(long, default_value_t = Baseline::Previous, value_name = "previous|ack:N")]
    baseline: Baseline,

    /// How rows become bits
    #[arg(long, value_enum, default_value_t = CoderName::Dense)]
    coder: CoderName,

    /// What guesses are learned from: `default`, or a file that --train wrote
    #[arg(long, default_value = "default", value_name = "default|FILE")]
    prior: String,

    /// Learn a prior from the files instead, and write it
    #[arg(long, value_name = "OUT", conflicts_with_all = ["prior", "lossy", "by_field", "json"])]
    train: Option<PathBuf>,

    /// Tell where the bits went, by field and by entity
    #[arg(long)]
    by_field: bool,

    /// Print a list of JSON objects, one for each file, and nothing else on stdout
    #[arg(long)]
    json: bool,

    /// Lose frames with this probability; only those that arrived are named
    #[arg(long, value_name = "P", value_parser = probability)]
    lossy: Option<f64>,

    /// Seed of what is lost
    #[arg(long, default_value_t = 0, requires = "lossy", value_name = "N")]
    seed: u64,
}

/// The coders by their names.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CoderName {
    /// Static tables and a range coder: the fewest bytes
    Dense,
    /// Packed bits: cheaper to write and read
    Fast,
}

impl CoderName {
    fn coder(self) -> Coder {
        match self {
            Self::Dense => Coder::Dense,
            Self::Fast => Coder::Fast,
        }
    }
}

pub(crate) fn run(args: &TraceArgs) -> anyhow::Result<ExitCode> {
    sigpipe::reset();
    let lattice: Lattice = match args.lattice.parse() {
        Ok(lattice) => lattice,
        Err(error) => {
            eprintln!("error: --lattice: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    if let Some(out) = &args.train {
        train::train(out, &args.files, &lattice)?;
        return Ok(ExitCode::SUCCESS);
    }
    let prior = args.prior()?;
    let mut reports = Vec::new();
    for file in &args.files {
        let report = args.trace(file, &lattice, &prior)?;
        if let Some(failure) = &report.failure {
            eprintln!("error: {}: not verified: {failure}", report.file);
        }
        if !args.json {
            print!("{report}");
        }
        reports.push(report);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
    }
    let is_clean = reports.iter().all(|report| report.verified);
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl TraceArgs {
    fn prior(&self) -> anyhow::Result<Arc<Prior>> {
        if self.prior == "default" {
            return Ok(Prior::default_prior());
        }
        let bytes = std::fs::read(&self.prior).with_context(|| format!("--prior {}", self.prior))?;
        Prior::decode(&bytes).with_context(|| {
            format!("--prior {}: not a prior of this version; make one with `trace --train`", self.prior)
        })
    }

    fn trace(&self, file: &Path, lattice: &Lattice, prior: &Arc<Prior>) -> anyhow::Result<Report> {
        let recording = Recording::read(file, lattice)?;
        ensure!(
            prior.fits(recording.schema()),
            "--prior {}: learned for other fields or another lattice than {} on `{}`; train one from recordings of this \
             kind with the same --lattice, or leave --prior out",
            self.prior,
            file.display(),
            self.lattice
        );
        let lossy = self.lossy.map(|probability| Lossy { probability, seed: self.seed });
        let options = Options {
            baseline: self.baseline,
            coder: self.coder.coder(),
            prior: prior.clone(),
            lossy,
            by_field: self.by_field,
        };
        let outcome = run::run(&recording, &options).with_context(|| file.display().to_string())?;
        let told = ReportedOptions {
            lattice: self.lattice.clone(),
            baseline: self.baseline.to_string(),
            coder: self.coder.to_possible_value().map_or_else(String::new, |name| name.get_name().to_owned()),
            prior: format!("{} {:016x}", self.prior, prior.hash()),
        };
        Ok(Report::new(file.display().to_string(), told, &recording, outcome, lossy))
    }
}

fn probability(text: &str) -> Result<f64, String> {
    let probability = text.parse().ok().filter(|probability| (0.0..1.0).contains(probability));
    probability.ok_or_else(|| "take a number from 0 up to, not including, 1".to_owned())
}
