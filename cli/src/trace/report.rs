//! What was measured: an object for machines, a table for people.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::by_field::ByField;
use super::recording::Recording;
use super::run::Outcome;

/// All about one recording.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) file: String,
    pub(crate) source: &'static str,
    pub(crate) options: ReportedOptions,
    pub(crate) frames: usize,
    pub(crate) updates: u64,
    pub(crate) rows: u64,
    pub(crate) unchanged_rows: u64,
    pub(crate) frame_bytes: u64,
    pub(crate) bits_per_update: Option<f64>,
    pub(crate) bytes_per_frame: f64,
    pub(crate) max_error: BTreeMap<&'static str, f64>,
    pub(crate) encode_ns_per_update: Option<f64>,
    pub(crate) decode_ns_per_update: Option<f64>,
    pub(crate) verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lossy: Option<ReportedLoss>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by_field: Option<ByField>,
    /// What was not as recorded; told on stderr.
    #[serde(skip)]
    pub(crate) failure: Option<String>,
}

/// How the recording was sent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReportedOptions {
    pub(crate) lattice: String,
    pub(crate) baseline: String,
    pub(crate) coder: String,
    pub(crate) prior: String,
}

/// What a link that loses frames did.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ReportedLoss {
    pub(crate) probability: f64,
    pub(crate) seed: u64,
    pub(crate) arrived: usize,
    pub(crate) dropped: usize,
    pub(crate) decoded: usize,
}

impl Report {
    pub(crate) fn new(
        file: String,
        options: ReportedOptions,
        recording: &Recording,
        outcome: Outcome,
        loss: Option<super::baseline::Lossy>,
    ) -> Self {
        let Outcome { frames, arrived, decoded, updates, rows, unchanged_rows, frame_bytes, .. } = outcome;
        let a_update = |amount: f64| (updates > 0).then(|| amount / updates as f64);
        let lossy = loss.map(|loss| ReportedLoss {
            probability: loss.probability,
            seed: loss.seed,
            arrived,
            dropped: frames - arrived,
            decoded,
        });
        Self {
            file,
            source: recording.source,
            options,
            frames,
            updates,
            rows,
            unchanged_rows,
            frame_bytes,
            bits_per_update: a_update(8.0 * frame_bytes as f64),
            bytes_per_frame: frame_bytes as f64 / frames as f64,
            max_error: recording.max_error.clone(),
            encode_ns_per_update: a_update(outcome.encode.as_nanos() as f64),
            decode_ns_per_update: a_update(outcome.decode.as_nanos() as f64),
            verified: outcome.failure.is_none() && decoded == arrived,
            lossy,
            by_field: outcome.tally.map(|tally| tally.finish(recording.schema(), updates, frame_bytes)),
            failure: outcome.failure,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReportedOptions { lattice, baseline, coder, prior } = &self.options;
        let number = |value: Option<f64>, digits| match value {
            Some(value) => format!("{value:.digits$}"),
            None => "-".to_owned(),
        };
        let bits = number(self.bits_per_update, 2);
        let (encode, decode) = (number(self.encode_ns_per_update, 0), number(self.decode_ns_per_update, 0));
        writeln!(f, "{}", self.file)?;
        writeln!(
            f,
            "  sent as     {}, lattice {lattice}, baseline {baseline}, coder {coder}, prior {prior}",
            self.source
        )?;
        writeln!(
            f,
            "  frames      {}, updates {}, rows {} of which {} unchanged",
            self.frames, self.updates, self.rows, self.unchanged_rows
        )?;
        writeln!(
            f,
            "  size        {} bytes, {bits} bits an update, {:.2} bytes a frame",
            self.frame_bytes, self.bytes_per_frame
        )?;
        writeln!(f, "  time        {encode} ns an update to encode, {decode} ns to decode")?;
        let errors: Vec<_> =
            self.max_error.iter().map(|(field, error)| format!("{field} {error:.6}")).collect();
        writeln!(f, "  max error   {}", errors.join(", "))?;
        if let Some(loss) = &self.lossy {
            writeln!(
                f,
                "  lossy       {} arrived, {} dropped, {} decoded (probability {}, seed {})",
                loss.arrived, loss.dropped, loss.decoded, loss.probability, loss.seed
            )?;
        }
        writeln!(f, "  verified    {}", if self.verified { "yes" } else { "NO" })?;
        if let Some(by_field) = &self.by_field {
            write!(f, "{by_field}")?;
        }
        Ok(())
    }
}
