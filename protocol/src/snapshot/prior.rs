//! What is learned offline and known to both ends: weights and tables.
//!
//! The engine ships a default prior, trained on scenes of its own; a game may train one from its recordings
//! (`tickwire trace --train`). Prior and schema name everything that a decoder must know beside the frame. The handshake
//! tells the prior's hash; a client that lacks it is sent the bytes.
//!
//! A model is found by a **key**: the name of a **site** (a column, a turn's axis, a flag) in a prior that was trained for a game,
//! else the **role** that the site plays in any schema. So a game's prior stays good for what it knows when fields are added.

use std::sync::{Arc, OnceLock};

use super::context::CLASSES;
use super::dense::{DIRECT, OCTAVES, SETS, TABLES, TOKENS, Table};
use super::fast::{CODES, Codes};
use super::frequencies::{DIAL, Dial, Frequencies};
use super::lanes::{CORE, FEATURES, Features};
use super::models::{FIRST_SITE_KEY, of_key, site_key, sites};
use crate::fault::DecodeError;
use crate::hash::bytes_hash;
use crate::limits::PRIOR_BYTES_MAX;
use crate::lz4;
use crate::schema::{Kind, Schema};

const MAGIC: &[u8; 8] = b"TWPRIOR1";
/// Magic, decoded length.
const HEAD_BYTES: usize = 8 + 4;
const DECODED_BYTES_MAX: usize = 4 * PRIOR_BYTES_MAX;
/// No weight is larger. Sums may still be no finite number: whoever uses one says what it is then.
const WEIGHT_MAX: f32 = 1e6;
/// Steps of the tables of log odds.
pub(super) const ODDS: usize = 64;

/// Weights and tables of both coders. Immutable, shared.
#[derive(Clone, Debug)]
pub struct Prior {
    encoded: Vec<u8>,
    hash: u64,
    learned: Learned,
}

/// What a prior's bytes hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Learned {
    /// Of the `fast` coder, then of the `dense` one; ascending by key and class.
    pub(super) models: [Vec<Model>; 2],
    /// Of residuals: of the `dense` coder, and of the `fast` one.
    pub(super) tables: Vec<Table>,
    pub(super) codes: Codes,
    /// Chances of yes out of 65,536, by log odds.
    pub(super) odds: [u16; ODDS],
    /// Of how many ticks are missing to the most that can be named; of how far back the newest is; then of by how much the
    /// next step back differs from the one before, if that was shorter than the likeliest first one, the same, longer.
    pub(super) dials: [Dial; DIALS],
}

/// Dials of a prior: see [`Learned::dials`].
pub(super) const DIALS: usize = 5;

/// The weights of one site or role in one class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Model {
    pub(super) key: u32,
    pub(super) class: u8,
    pub(super) weights: Weights,
}

/// What a guess and its scale are summed up with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Weights {
    pub(super) mean: Features,
    pub(super) scale: Features,
}

impl Weights {
    pub(super) const NONE: Self = Self { mean: [0.0; FEATURES], scale: [0.0; FEATURES] };
}

impl Prior {
    /// The one shipped with the engine, for any schema.
    pub fn default_prior() -> Arc<Self> {
        static DEFAULT: OnceLock<Arc<Prior>> = OnceLock::new();
        let read = || {
            let bytes = include_bytes!("../../priors/default.prior");
            Self::decode(bytes).expect("the shipped prior is whole: a test reads it")
        };
        DEFAULT.get_or_init(read).clone()
    }

    /// One that has learned nothing, to learn with.
    pub fn untrained() -> Arc<Self> {
        static UNTRAINED: OnceLock<Arc<Prior>> = OnceLock::new();
        UNTRAINED.get_or_init(|| Self::from_learned(Learned::nothing())).clone()
    }

    /// Reads what [`Prior::encoded`] gave, from a file or a peer.
    ///
    /// # Errors
    /// If the bytes are no prior of this version, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Arc<Self>, DecodeError> {
        if bytes.len() > PRIOR_BYTES_MAX {
            let (value, limit) = (bytes.len() as u64, PRIOR_BYTES_MAX as u64);
            return Err(DecodeError::TooLarge { what: WHAT, value, limit });
        }
        let head = bytes.first_chunk::<HEAD_BYTES>().ok_or(DecodeError::Truncated(WHAT))?;
        if !head.starts_with(MAGIC) {
            return Err(DecodeError::Damaged(WHAT));
        }
        let decoded_len = Reader(&head[8..]).u32()?;
        let body = lz4::decompress(&bytes[HEAD_BYTES..], decoded_len, DECODED_BYTES_MAX, WHAT)?;
        let mut body = Reader(&body);
        let learned = Learned::read(&mut body)?;
        if !body.0.is_empty() {
            return Err(DecodeError::Trailing(WHAT));
        }
        Ok(Arc::new(Self { encoded: bytes.to_vec(), hash: bytes_hash(bytes), learned }))
    }

    /// Its bytes.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Its name in the handshake.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether it has learned something of this schema's own fields.
    pub fn is_for(&self, schema: &Schema) -> bool {
        let knows = |key: u32| self.learned.models.iter().any(|models| !of_key(models, key).is_empty());
        let sites = |kind: &Kind| (0..sites(kind.column_count())).any(|site| knows(site_key(kind, site)));
        schema.kinds().iter().any(sites)
    }

    /// Whether it can be used for this schema: it knows fields of it, or none of any.
    pub fn fits(&self, schema: &Schema) -> bool {
        let is_role = |model: &Model| model.key < FIRST_SITE_KEY;
        self.learned.models.iter().flatten().all(is_role) || self.is_for(schema)
    }

    pub(super) fn learned(&self) -> &Learned {
        &self.learned
    }

    /// A prior with these weights and tables.
    pub(super) fn from_learned(learned: Learned) -> Arc<Self> {
        let mut body = Vec::new();
        learned.write(&mut body);
        let mut encoded = MAGIC.to_vec();
        encoded.extend_from_slice(&(body.len() as u32).to_le_bytes());
        encoded.extend_from_slice(&lz4::compress(&body));
        Arc::new(Self { hash: bytes_hash(&encoded), encoded, learned })
    }
}

const WHAT: &str = "prior";

impl Learned {
    /// What is believed before anything is learned: things go on as they went, and errors are a few steps.
    pub(super) fn nothing() -> Self {
        let tables = (0..TABLES * SETS).map(|index| Table::untrained(index % TABLES)).collect();
        let odds = core::array::from_fn(|step| {
            // A rational curve close to the logistic one: no platform's `exp`.
            let x = (step as f64 - (ODDS / 2) as f64) / ODDS_PER_UNIT_F64;
            let p = 0.5 + 0.5 * x / (1.0 + x.abs());
            (p * 65_536.0).clamp(64.0, 65_472.0) as u16
        });
        let dials = [(); DIALS].map(|()| Dial::seen(&[0.0; DIAL]));
        let codes = Codes::untrained();
        Self { models: [Vec::new(), Vec::new()], tables, codes, odds, dials }
    }

    fn write(&self, out: &mut Vec<u8>) {
        for (models, is_dense) in self.models.iter().zip([false, true]) {
            let keys = models.chunk_by(|a, b| a.key == b.key);
            out.extend_from_slice(&(keys.clone().count() as u16).to_le_bytes());
            for models in keys {
                out.extend_from_slice(&models[0].key.to_le_bytes());
                out.push(models.len() as u8);
                for Model { class, weights, .. } in models {
                    out.push(*class);
                    write_features(out, &weights.mean, is_dense, 3);
                    write_features(out, &weights.scale, is_dense, 2);
                }
            }
        }
        for table in &self.tables {
            write_frequencies(out, table);
        }
        for lengths in self.codes.lengths() {
            out.extend_from_slice(lengths);
        }
        for chance in self.odds {
            out.extend_from_slice(&chance.to_le_bytes());
        }
        for dial in &self.dials {
            write_frequencies(out, dial);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let models = [read_models(r, false)?, read_models(r, true)?];
        let mut tables = Vec::with_capacity(TABLES * SETS);
        for _ in 0..TABLES * SETS {
            tables.push(read_frequencies::<TOKENS, _>(r)?);
        }
        let mut lengths = [Default::default(); CODES];
        for lengths in &mut lengths {
            *lengths = r.take()?;
        }
        let codes = Codes::new(&lengths).ok_or(DecodeError::Damaged(WHAT))?;
        let mut odds = [0; ODDS];
        for chance in &mut odds {
            *chance = r.u16()?;
            if *chance == 0 {
                return Err(DecodeError::Invalid { what: "chance in a prior", value: 0 });
            }
        }
        let mut dials = Vec::with_capacity(DIALS);
        for _ in 0..DIALS {
            dials.push(read_frequencies::<DIAL, _>(r)?);
        }
        let dials = dials.try_into().map_err(|_| DecodeError::Damaged(WHAT))?;
        Ok(Self { models, tables, codes, odds, dials })
    }

    /// Rounds a weight to what the file can hold.
    pub(super) fn rounded(features: &Features, bytes: usize) -> Features {
        let mut rounded = *features;
        for weight in &mut rounded {
            *weight = f32::from_bits(weight.to_bits() & (u32::MAX << (32 - 8 * bytes)));
            if !weight.is_finite() {
                *weight = 0.0;
            }
            *weight = weight.clamp(-WEIGHT_MAX, WEIGHT_MAX);
            *weight = f32::from_bits(weight.to_bits() & (u32::MAX << (32 - 8 * bytes)));
        }
        rounded
    }
}

pub(super) const ODDS_PER_UNIT: f32 = 2.5;
const ODDS_PER_UNIT_F64: f64 = 2.5;

/// Which of the chances belongs to these log odds: the nearest.
#[inline]
pub(super) fn odds_step(odds: f32) -> usize {
    let step = (odds * ODDS_PER_UNIT + (ODDS / 2) as f32).clamp(0.0, (ODDS - 1) as f32);
    // With 2^23 added, the last bits of a float count ones.
    (step + 8_388_608.0).to_bits() as usize % ODDS
}

fn write_frequencies<const SUMS: usize>(out: &mut Vec<u8>, frequencies: &Frequencies<SUMS>) {
    frequencies.frequencies().for_each(|frequency| out.extend_from_slice(&frequency.to_le_bytes()));
}

fn read_frequencies<const NUMBERS: usize, const SUMS: usize>(
    r: &mut Reader<'_>,
) -> Result<Frequencies<SUMS>, DecodeError> {
    let mut frequencies = [0; NUMBERS];
    for frequency in &mut frequencies {
        *frequency = r.u16()?;
    }
    Frequencies::new(&frequencies).ok_or(DecodeError::Damaged(WHAT))
}

fn read_models(r: &mut Reader<'_>, is_dense: bool) -> Result<Vec<Model>, DecodeError> {
    let mut models: Vec<Model> = Vec::new();
    for _ in 0..r.u16()? {
        let key = r.u32()?;
        for _ in 0..r.u8()? {
            let class = r.u8()?;
            // In order, each once: so there are not more than keys and classes.
            if models.last().is_some_and(|last| (last.key, last.class) >= (key, class)) {
                return Err(DecodeError::Invalid { what: "order of a prior", value: u64::from(key) });
            }
            if usize::from(class) >= CLASSES {
                return Err(DecodeError::Invalid { what: "class of a prior", value: u64::from(class) });
            }
            let mean = read_features(r, is_dense, 3)?;
            let scale = read_features(r, is_dense, 2)?;
            models.push(Model { key, class, weights: Weights { mean, scale } });
        }
    }
    Ok(models)
}

/// Which weights are not zero, then the high bytes of those. The `fast` coder has the first few only.
fn write_features(out: &mut Vec<u8>, features: &Features, is_dense: bool, bytes: usize) {
    let features = &features[..if is_dense { FEATURES } else { CORE }];
    let mask = features.iter().enumerate().fold(0_u32, |mask, (place, weight)| {
        mask | u32::from(weight.to_bits() >> (32 - 8 * bytes) != 0) << place
    });
    out.extend_from_slice(&mask.to_le_bytes()[..if is_dense { 3 } else { 1 }]);
    for weight in features.iter().filter(|weight| weight.to_bits() >> (32 - 8 * bytes) != 0) {
        out.extend_from_slice(&weight.to_bits().to_le_bytes()[4 - bytes..]);
    }
}

fn read_features(r: &mut Reader<'_>, is_dense: bool, bytes: usize) -> Result<Features, DecodeError> {
    let mut features = [0.0; FEATURES];
    let mask = if is_dense { u32::from(r.u16()?) | u32::from(r.u8()?) << 16 } else { u32::from(r.u8()?) };
    for (place, feature) in features.iter_mut().enumerate() {
        if mask >> place & 1 != 0 {
            let mut word = [0; 4];
            for byte in &mut word[4 - bytes..] {
                *byte = r.u8()?;
            }
            *feature = f32::from_le_bytes(word);
            if feature.is_nan() || feature.abs() > WEIGHT_MAX {
                let value = feature.to_bits().into();
                return Err(DecodeError::Invalid { what: "weight of a prior", value });
            }
        }
    }
    Ok(features)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or(DecodeError::Truncated(WHAT))?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.take().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take().map(u32::from_le_bytes)
    }
}

const _: () = assert!(DIRECT + OCTAVES < TOKENS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_prior_is_for_any_schema_and_small_enough() {
        let prior = Prior::default_prior();
        assert!(prior.learned().models.iter().flatten().all(|model| model.key < FIRST_SITE_KEY));
        assert!(prior.encoded().len() <= PRIOR_BYTES_MAX);
        assert!(prior.learned().models.iter().all(|models| models.len() > 50), "it has learned something");
    }

    #[test]
    fn a_prior_survives_its_encoding() {
        for prior in [Prior::default_prior(), Prior::untrained()] {
            let copy = Prior::decode(prior.encoded()).unwrap();
            assert_eq!(copy.hash(), prior.hash());
            assert_eq!(copy.learned, prior.learned);
        }
    }

    #[test]
    fn models_that_repeat_or_are_out_of_order_are_refused() {
        let model = |key, class| Model { key, class, weights: Weights::NONE };
        for (models, is_sound) in [
            (vec![model(3, 1), model(3, 2), model(4, 0)], true),
            (vec![model(3, 1), model(3, 1)], false),
            (vec![model(4, 0), model(3, 0)], false),
        ] {
            let prior = Prior::from_learned(Learned { models: [models, Vec::new()], ..Learned::nothing() });
            assert_eq!(Prior::decode(prior.encoded()).is_ok(), is_sound);
        }
    }

    #[test]
    fn a_damaged_prior_is_refused_or_sound() {
        let bytes = Prior::untrained().encoded().to_vec();
        for cut in 0..bytes.len() {
            assert!(Prior::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x55;
            if let Ok(prior) = Prior::decode(&damaged) {
                let weights = prior.learned.models.iter().flatten().map(|model| &model.weights);
                assert!(weights.flat_map(|w| w.mean).all(|weight| weight.abs() <= WEIGHT_MAX));
            }
        }
        assert_eq!(
            Prior::decode(&vec![0; PRIOR_BYTES_MAX + 1]).unwrap_err(),
            DecodeError::TooLarge {
                what: WHAT,
                value: PRIOR_BYTES_MAX as u64 + 1,
                limit: PRIOR_BYTES_MAX as u64
            }
        );
    }
}
