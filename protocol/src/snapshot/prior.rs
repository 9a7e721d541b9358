//! What is learned offline and known to both ends: weights and tables.
//!
//! The engine ships a default prior, trained on scenes of its own; a game may train one from its recordings
//! (`tickwire trace --train`). Prior and schema name everything that a decoder must know beside the frame. The handshake
//! tells the prior's hash; a client that lacks it is sent the bytes.
//!
//! A model is found by a **key**: the **site** of a schema (a column, a turn's axis, a flag) in a prior that was trained
//! for it, else the **role** that the site plays in any schema.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::context::{CLASSES, parts};
use super::dense::{DIAL, DIRECT, Dial, OCTAVES, SETS, TABLES, TOKENS, Table};
use super::lanes::{CORE, FINE, Fan};
use super::predict::{Features, Links};
use crate::fault::DecodeError;
use crate::hash::bytes_hash;
use crate::limits::PRIOR_BYTES_MAX;
use crate::lz4;
use crate::schema::{Kind, Schema};

const MAGIC: &[u8; 8] = b"TWPRIOR1";
/// Magic, schema hash, decoded length.
const HEAD_BYTES: usize = 8 + 8 + 4;
const DECODED_BYTES_MAX: usize = 4 * PRIOR_BYTES_MAX;
/// No weight is larger; sums of products stay finite.
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
    /// The schema that the keys are sites of; 0 if they are roles.
    pub(super) schema: u64,
    /// Of the `fast` coder, then of the `dense` one.
    pub(super) models: [Vec<Model>; 2],
    /// Of residuals.
    pub(super) tables: Vec<Table>,
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
    pub(super) key: u16,
    pub(super) class: u8,
    pub(super) weights: Weights,
}

/// What a guess and its scale are summed up with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Weights {
    pub(super) mean: Features,
    pub(super) scale: Features,
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
        let mut head = Reader(&head[8..]);
        let (schema, decoded_len) = (u64::from(head.u32()?) | u64::from(head.u32()?) << 32, head.u32()?);
        let body = lz4::decompress(&bytes[HEAD_BYTES..], decoded_len, DECODED_BYTES_MAX, WHAT)?;
        let mut body = Reader(&body);
        let learned = Learned::read(schema, &mut body)?;
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

    /// Whether it was trained for this schema, rather than for any.
    pub fn is_for(&self, schema: &Schema) -> bool {
        self.learned.schema == schema.hash()
    }

    /// Whether it can be used for this schema: it is for it, or for any.
    pub fn fits(&self, schema: &Schema) -> bool {
        self.learned.schema == 0 || self.is_for(schema)
    }

    pub(super) fn learned(&self) -> &Learned {
        &self.learned
    }

    /// A prior with these weights and tables.
    pub(super) fn from_learned(learned: Learned) -> Arc<Self> {
        let mut body = Vec::new();
        learned.write(&mut body);
        let mut encoded = MAGIC.to_vec();
        encoded.extend_from_slice(&learned.schema.to_le_bytes());
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
        let dials = [(); DIALS].map(|()| Dial::counted(&[0.0; DIAL]));
        Self { schema: 0, models: [Vec::new(), Vec::new()], tables, odds, dials }
    }

    fn write(&self, out: &mut Vec<u8>) {
        for (models, is_dense) in self.models.iter().zip([false, true]) {
            out.extend_from_slice(&(models.len() as u16).to_le_bytes());
            for model in models {
                out.extend_from_slice(&model.key.to_le_bytes());
                out.push(model.class);
                write_features(out, &model.weights.mean, is_dense, 3);
                write_features(out, &model.weights.scale, is_dense, 2);
            }
        }
        for table in &self.tables {
            for token in 0..TOKENS {
                out.extend_from_slice(&table.frequency(token).to_le_bytes());
            }
        }
        for chance in self.odds {
            out.extend_from_slice(&chance.to_le_bytes());
        }
        for dial in &self.dials {
            for number in 0..DIAL {
                out.extend_from_slice(&dial.frequency(number).to_le_bytes());
            }
        }
    }

    fn read(schema: u64, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut models = [Vec::new(), Vec::new()];
        for (models, is_dense) in models.iter_mut().zip([false, true]) {
            for _ in 0..r.u16()? {
                let (key, class) = (r.u16()?, r.u8()?);
                // In order, each once: so there are not more than sites and classes.
                if models.last().is_some_and(|last: &Model| (last.key, last.class) >= (key, class)) {
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
        let mut tables = Vec::with_capacity(TABLES * SETS);
        for _ in 0..TABLES * SETS {
            let mut frequencies = [0; TOKENS];
            for frequency in &mut frequencies {
                *frequency = r.u16()?;
            }
            tables.push(Table::new(&frequencies).ok_or(DecodeError::Damaged(WHAT))?);
        }
        let mut odds = [0; ODDS];
        for chance in &mut odds {
            *chance = r.u16()?;
            if *chance == 0 {
                return Err(DecodeError::Invalid { what: "chance in a prior", value: 0 });
            }
        }
        let mut dials = Vec::with_capacity(DIALS);
        for _ in 0..DIALS {
            let mut frequencies = [0; DIAL];
            for frequency in &mut frequencies {
                *frequency = r.u16()?;
            }
            dials.push(Dial::new(&frequencies).ok_or(DecodeError::Damaged(WHAT))?);
        }
        let dials = dials.try_into().map_err(|_| DecodeError::Damaged(WHAT))?;
        Ok(Self { schema, models, tables, odds, dials })
    }

    /// Rounds a weight to what the file can hold.
    pub(super) fn rounded(features: &Features, bytes: usize) -> Features {
        let mut rounded = *features;
        for weight in rounded.core.iter_mut().chain(&mut rounded.fine) {
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

/// Which of the chances belongs to these log odds.
pub(super) fn odds_step(odds: f32) -> usize {
    ((odds * ODDS_PER_UNIT + (ODDS / 2) as f32).clamp(0.0, (ODDS - 1) as f32)) as usize
}

/// Which weights are not zero, then the high bytes of those.
fn write_features(out: &mut Vec<u8>, features: &Features, is_dense: bool, bytes: usize) {
    let lanes = lanes(features, is_dense);
    let mask = lanes.iter().enumerate().fold(0_u32, |mask, (lane, weight)| {
        mask | u32::from(weight.to_bits() >> (32 - 8 * bytes) != 0) << lane
    });
    out.extend_from_slice(&mask.to_le_bytes()[..if is_dense { 3 } else { 1 }]);
    for weight in lanes.iter().filter(|weight| weight.to_bits() >> (32 - 8 * bytes) != 0) {
        out.extend_from_slice(&weight.to_bits().to_le_bytes()[4 - bytes..]);
    }
}

fn lanes(features: &Features, is_dense: bool) -> Vec<f32> {
    let fine: &[f32] = if is_dense { &features.fine } else { &[] };
    features.core.iter().chain(fine).copied().collect()
}

fn read_features(r: &mut Reader<'_>, is_dense: bool, bytes: usize) -> Result<Features, DecodeError> {
    let mut features = Features::default();
    let mask = if is_dense { u32::from(r.u16()?) | u32::from(r.u8()?) << 16 } else { u32::from(r.u8()?) };
    for lane in 0..CORE + FINE {
        if mask >> lane & 1 != 0 {
            let mut word = [0; 4];
            for byte in &mut word[4 - bytes..] {
                *byte = r.u8()?;
            }
            let weight = f32::from_le_bytes(word);
            if weight.is_nan() || weight.abs() > WEIGHT_MAX {
                return Err(DecodeError::Invalid {
                    what: "weight of a prior",
                    value: weight.to_bits().into(),
                });
            }
            match features.fine.get_mut(lane.wrapping_sub(CORE)) {
                Some(fine) => *fine = weight,
                None => features.core[lane] = weight,
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

/// Where a model is used in a kind: a column, the turn about an axis (kept with the component's column), a flag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Site {
    Column(usize),
    Turn(usize),
    Flag(Flag),
}

/// Flags of a row that are told by their odds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Flag {
    /// A row that is held, and was not at rest, is sent.
    Sent,
    /// One that is not sent is at rest now.
    Rests,
    /// Nothing is to be said of a row's past.
    Plain,
    /// No column that stays or changes has changed.
    Same,
    /// The largest component is the one guessed second; third.
    Second,
    Third,
}

const FLAGS: usize = 6;

impl Site {
    /// Its number in a kind of `columns` columns.
    pub(super) const fn number(self, columns: usize) -> usize {
        match self {
            Self::Column(column) => column,
            Self::Turn(column) => columns + column,
            Self::Flag(flag) => 2 * columns + flag as usize,
        }
    }
}

/// How many sites a kind of so many columns has.
pub(super) const fn sites(columns: usize) -> usize {
    2 * columns + FLAGS
}

/// The key of a site in a prior for a schema.
pub(super) fn site_key(kind: &Kind, site: usize) -> u16 {
    256 * (u16::from(kind.index()) + 1) + site as u16
}

/// The keys of all sites of a kind in a prior for any schema: their roles. Columns that are not linked have none.
pub(super) fn roles(kind: &Kind, links: &Links) -> Vec<Option<u16>> {
    let columns = kind.column_count();
    let mut roles = vec![None; sites(columns)];
    let mut put = |site: Site, role: usize| roles[site.number(columns)] = Some(role as u16);
    for body in &links.bodies {
        let (has_velocity, has_spin) = (body.velocity.is_some(), body.spin.is_some());
        for axis in 0..3 {
            for (line, first) in
                [(body.velocity, 0), (body.spin, 3), (body.position, if has_velocity { 6 } else { 9 })]
            {
                if let Some(line) = line.filter(|line| axis < line.axes) {
                    put(Site::Column(line.first + axis), first + axis);
                }
            }
            if let Some(turn) = body.rotation {
                let first = if has_spin { 12 } else { 19 };
                put(Site::Column(turn.first), first);
                put(Site::Column(turn.first + 1 + axis), first + 1 + axis);
                put(Site::Turn(turn.first + 1 + axis), first + 4 + axis);
            }
        }
    }
    for lone in &links.lone {
        let role = match (lone.half_circle, lone.velocity) {
            (Some(_), None) => 26,
            (None, None) => 27,
            (_, Some(_)) => 28,
        };
        put(Site::Column(lone.column), role);
    }
    for &column in &links.states {
        put(Site::Column(column), 29);
        // How much a number changes, if it does.
        put(Site::Turn(column), 30);
    }
    let flags = [Flag::Sent, Flag::Rests, Flag::Plain, Flag::Same, Flag::Second, Flag::Third];
    for flag in flags {
        put(Site::Flag(flag), 31 + flag as usize);
    }
    roles
}

/// What is believed of a role before anything is learned.
pub(super) fn untrained(role: Option<u16>) -> Weights {
    let mut weights = Weights::default();
    let mean = &mut weights.mean.core;
    match role {
        // A position: the mean of the old and the new velocity; without one, on as before. A turn likewise.
        Some(6..=8 | 16..=18) => (mean[0], mean[1]) = (0.5, 0.5),
        Some(9..=11 | 23..=25) => mean[0] = 1.0,
        Some(28) => (mean[2], mean[3]) = (1.0, 0.5),
        _ => {}
    }
    let scale = &mut weights.scale.core;
    match role {
        // Odds of rest, and of the second and third largest component.
        Some(32 | 35 | 36) => scale[0] = 0.0,
        // Other odds are of what is likely; residuals are a few steps.
        _ => scale[0] = 3.0,
    }
    weights
}

/// The models of a kind as one receiver sees it: by class and site, what to look up in `weights`.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    weights: Vec<Weights>,
    /// Row-major, a row a class.
    index: Vec<u16>,
    sites: usize,
    /// Weights of fields, axes side by side; found by class, body and place.
    fans: Vec<FanWeights>,
    fan_index: Vec<u16>,
    bodies: usize,
}

/// The weights of a field, axes side by side.
#[derive(Clone, Debug, Default)]
pub(super) struct FanWeights {
    pub(super) mean: Fan,
    pub(super) scale: Fan,
}

/// Which field of a body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Velocity,
    Spin,
    Position,
    /// The turn about each axis.
    Turn,
    /// The three smaller components.
    Components,
}

const PLACES: usize = 5;

impl Resolved {
    /// Finds the best model for every site and class: of the site, else of its role, in the nearest class.
    pub(super) fn new(
        learned: &Learned,
        is_dense: bool,
        schema: &Schema,
        kind: &Kind,
        links: &Links,
    ) -> Self {
        let is_for_schema = learned.schema == schema.hash();
        let mut weights = Vec::new();
        let sites = sites(kind.column_count());
        let mut index = vec![0; CLASSES * sites];
        for (site, role) in roles(kind, links).into_iter().enumerate() {
            let key = if is_for_schema { Some(site_key(kind, site)) } else { role };
            let first = weights.len();
            // Models ascend by key.
            let all = &learned.models[usize::from(is_dense)];
            let models = key.map_or(&[][..], |key| {
                let start = all.partition_point(|model| model.key < key);
                let end = all.partition_point(|model| model.key <= key);
                &all[start..end]
            });
            weights.extend(models.iter().map(|model| model.weights));
            if models.is_empty() {
                weights.push(untrained(role));
            }
            for class in 0..CLASSES {
                let nearest = (0..models.len()).min_by_key(|&n| distance(class as u8, models[n].class));
                index[class * sites + site] = (first + nearest.unwrap_or(0)) as u16;
            }
        }
        let bodies = links.bodies.len();
        let (fans, fan_index) = (Vec::new(), Vec::new());
        let mut resolved = Self { weights, index, sites, fans, fan_index, bodies };
        resolved.lay_out_fans(kind.column_count(), links);
        resolved
    }

    /// Puts the weights of a field's axes side by side, once for all classes that share them.
    fn lay_out_fans(&mut self, columns: usize, links: &Links) {
        let mut known = BTreeMap::new();
        for class in 0..CLASSES {
            for body in &links.bodies {
                let line = |line: Option<super::predict::Line>| {
                    line.map(|line| {
                        [0, 1, 2].map(|axis| (axis < line.axes).then(|| Site::Column(line.first + axis)))
                    })
                };
                let first = body.rotation.map(|turn| turn.first + 1);
                let turn = first.map(|first| [0, 1, 2].map(|axis| Some(Site::Turn(first + axis))));
                let components = first.map(|first| [0, 1, 2].map(|place| Some(Site::Column(first + place))));
                for sites in [line(body.velocity), line(body.spin), line(body.position), turn, components] {
                    let models = sites.unwrap_or_default().map(|site| {
                        site.map_or(u16::MAX, |site| self.index[class * self.sites + site.number(columns)])
                    });
                    let next = self.fans.len() as u16;
                    let place = *known.entry(models).or_insert(next);
                    if place == next {
                        let fan = self.fan_of(models);
                        self.fans.push(fan);
                    }
                    self.fan_index.push(place);
                }
            }
        }
    }

    fn fan_of(&self, models: [u16; 3]) -> FanWeights {
        let mut fan = FanWeights::default();
        for (axis, model) in models.into_iter().enumerate().filter(|(_, model)| *model != u16::MAX) {
            let weights = &self.weights[usize::from(model)];
            fan.mean.set_axis(axis, &weights.mean);
            fan.scale.set_axis(axis, &weights.scale);
        }
        fan
    }

    /// The weights of a field of a body in a class.
    #[inline]
    pub(super) fn fan(&self, class: u8, body: usize, place: Place) -> &FanWeights {
        let index = (usize::from(class) * self.bodies + body) * PLACES + place as usize;
        &self.fans[usize::from(self.fan_index[index])]
    }

    /// The weights of a site in a class.
    #[inline]
    pub(super) fn get(&self, class: u8, site: usize) -> &Weights {
        &self.weights[usize::from(self.index[usize::from(class) * self.sites + site])]
    }
}

/// How unlike two classes are: the number of named states matters most.
fn distance(a: u8, b: u8) -> u32 {
    let [states, age, level] = [0, 1, 2].map(|part| u32::from(parts(a)[part].abs_diff(parts(b)[part])));
    states * 100 + age * 3 + level * 4
}

const _: () = assert!(DIRECT + OCTAVES < TOKENS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_prior_is_for_any_schema_and_small_enough() {
        let prior = Prior::default_prior();
        assert_eq!(prior.learned().schema, 0);
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
        let model = |key, class| Model { key, class, weights: Weights::default() };
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
                assert!(weights.flat_map(|w| lanes(&w.mean, true)).all(|weight| weight.abs() <= WEIGHT_MAX));
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
