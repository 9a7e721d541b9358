//! Where weights are used in a kind, and which of a prior's models each such place takes.

use std::collections::BTreeMap;

use super::context::{CLASSES, parts};
use super::lanes::Fan;
use super::links::{Line, Links};
use super::prior::{Learned, Model, Weights};
use crate::hash::bytes_hash;
use crate::schema::Kind;

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
    /// No column that stays or changes has changed.
    Same,
    /// The largest component is the one guessed second; third.
    Second,
    Third,
}

const FLAGS: usize = 5;

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

/// Keys from here on are of sites, those below are roles.
pub(super) const FIRST_SITE_KEY: u32 = 1 << 31;

/// The key of a site: its name, hashed.
pub(super) fn site_key(kind: &Kind, site: usize) -> u32 {
    let columns = kind.column_count();
    let (part, column) = if site < columns { (0, site) } else { (1, site - columns) };
    let name = if site < 2 * columns {
        let field = kind.fields().iter().find(|field| field.columns().contains(&column));
        let (field, first) = field.map_or(("", 0), |field| (field.name.as_str(), field.columns().start));
        format!("{}.{field}.{}.{part}", kind.name(), column - first)
    } else {
        format!("{}.{}", kind.name(), site - 2 * columns)
    };
    FIRST_SITE_KEY | bytes_hash(name.as_bytes()) as u32
}

/// The models of a key.
pub(super) fn of_key(models: &[Model], key: u32) -> &[Model] {
    let start = models.partition_point(|model| model.key < key);
    let end = models.partition_point(|model| model.key <= key);
    &models[start..end]
}

/// The keys of all sites of a kind in a prior for any schema: their roles. Columns that are not linked have none.
pub(super) fn roles(kind: &Kind, links: &Links) -> Vec<Option<u32>> {
    let columns = kind.column_count();
    let mut roles = vec![None; sites(columns)];
    let mut put = |site: Site, role: usize| roles[site.number(columns)] = Some(role as u32);
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
    let flags = [Flag::Sent, Flag::Rests, Flag::Same, Flag::Second, Flag::Third];
    for flag in flags {
        put(Site::Flag(flag), 31 + flag as usize);
    }
    roles
}

/// What is believed of a role before anything is learned.
pub(super) fn untrained(role: Option<u32>) -> Weights {
    let mut weights = Weights::NONE;
    let mean = &mut weights.mean;
    match role {
        // A position: the mean of the old and the new velocity; without one, on as before. A turn likewise.
        Some(6..=8 | 16..=18) => (mean[0], mean[1]) = (0.5, 0.5),
        Some(9..=11 | 23..=25) => mean[0] = 1.0,
        // A component of a rotation, in the `fast` coder: on along its circle.
        Some(13..=15 | 20..=22) => (mean[0], mean[2]) = (1.0, 1.0),
        Some(28) => (mean[2], mean[3]) = (1.0, 0.5),
        _ => {}
    }
    let scale = &mut weights.scale;
    match role {
        // Odds of rest, and of the second and third largest component.
        Some(32 | 34 | 35) => scale[0] = 0.0,
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
    /// Weights of the fields of bodies, axes side by side; found by class and body.
    fans: Vec<BodyWeights>,
    fan_index: Vec<u16>,
    bodies: usize,
}

/// The weights of a field, axes side by side.
#[derive(Clone, Debug, Default)]
pub(super) struct FanWeights {
    pub(super) mean: Fan,
    pub(super) scale: Fan,
}

/// The weights of a body's fields.
#[derive(Clone, Debug)]
pub(super) struct BodyWeights([FanWeights; PLACES]);

impl BodyWeights {
    #[inline]
    pub(super) fn of(&self, place: Place) -> &FanWeights {
        &self.0[place as usize]
    }
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
    pub(super) fn new(learned: &Learned, is_dense: bool, kind: &Kind, links: &Links) -> Self {
        let all = &learned.models[usize::from(is_dense)];
        let (mut weights, mut known) = (Vec::new(), BTreeMap::new());
        let sites = sites(kind.column_count());
        let mut index = vec![0; CLASSES * sites];
        for (site, role) in roles(kind, links).into_iter().enumerate() {
            let models = match of_key(all, site_key(kind, site)) {
                [] => role.map_or(&[][..], |role| of_key(all, role)),
                models => models,
            };
            // Sites of one key share its weights, once: a schema may have hundreds of positions, all of one role.
            let key = models.first().map(|model| model.key);
            let first = *known.entry((key, role.filter(|_| key.is_none()))).or_insert_with(|| {
                let first = weights.len();
                weights.extend(models.iter().map(|model| model.weights));
                if models.is_empty() {
                    weights.push(untrained(role));
                }
                first
            });
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

    /// Puts the weights of a body's axes side by side, once for all classes and bodies that share them.
    fn lay_out_fans(&mut self, columns: usize, links: &Links) {
        let mut known = BTreeMap::new();
        for class in 0..CLASSES {
            for body in &links.bodies {
                let line = |line: Option<Line>| {
                    line.map(|line| {
                        [0, 1, 2].map(|axis| (axis < line.axes).then(|| Site::Column(line.first + axis)))
                    })
                };
                let first = body.rotation.map(|turn| turn.first + 1);
                let turn = first.map(|first| [0, 1, 2].map(|axis| Some(Site::Turn(first + axis))));
                let components = first.map(|first| [0, 1, 2].map(|place| Some(Site::Column(first + place))));
                let sites = [line(body.velocity), line(body.spin), line(body.position), turn, components];
                let models = sites.map(|sites| {
                    sites.unwrap_or_default().map(|site| {
                        site.map_or(u16::MAX, |site| self.index[class * self.sites + site.number(columns)])
                    })
                });
                let next = self.fans.len() as u16;
                let place = *known.entry(models).or_insert(next);
                if place == next {
                    self.fans.push(BodyWeights(models.map(|models| self.fan_of(models))));
                }
                self.fan_index.push(place);
            }
        }
    }

    fn fan_of(&self, models: [u16; 3]) -> FanWeights {
        let weights = models.map(|model| self.weights.get(usize::from(model)).unwrap_or(&Weights::NONE));
        FanWeights {
            mean: Fan::of(weights.map(|weights| &weights.mean)),
            scale: Fan::of(weights.map(|weights| &weights.scale)),
        }
    }

    /// The weights of a body's fields in a class.
    #[inline]
    pub(super) fn body(&self, class: u8, body: usize) -> &BodyWeights {
        &self.fans[usize::from(self.fan_index[usize::from(class) * self.bodies + body])]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{KindId, Schema};
    use crate::snapshot::{Codec, Coder, Prior};
    use crate::time::TickRate;

    #[test]
    fn a_kind_without_fields_has_sites_too() {
        let marker = Kind::new(KindId(0), "marker", []);
        let schema = Schema::builder("empty").kind(marker).build().unwrap();
        let sites: Vec<_> = (0..sites(0)).map(|site| site_key(&schema.kinds()[0], site)).collect();
        assert!(sites.iter().all(|key| *key >= FIRST_SITE_KEY));
        for coder in [Coder::Dense, Coder::Fast] {
            let _ = Codec::with(schema.clone(), TickRate::new(60).unwrap(), coder, Prior::default_prior());
        }
    }
}
