//! A lattice that a user wrote: see docs/examples/trace-lattice.toml.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use tickwire_protocol::schema::FieldType;

/// Every kind and field that a recording may have. A file may name any of them: one file serves all recordings.
const KNOWN: [(&str, &[&str]); 4] = [
    ("ball", &["position", "velocity", "rotation", "angular_velocity", "sleeping", "age"]),
    ("car", &["position", "velocity", "rotation", "angular_velocity", "sleeping", "player", "age"]),
    ("player", &["position", "pitch", "yaw", "roll", "slot"]),
    ("cube", &["position", "rotation", "interacting"]),
];

/// Which fields of which kinds are sent, and on which lattice. What is not named is not sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct LatticeFile {
    kinds: BTreeMap<String, BTreeMap<String, Grain>>,
}

/// The lattice of one field; what is not given is as in the recording.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grain {
    /// Positions and velocities: distance of two neighbouring values.
    step: Option<f64>,
    /// Positions: least and greatest value per axis.
    bounds: Option<Vec<(f64, f64)>>,
    /// Velocities: greatest magnitude per axis.
    max: Option<f64>,
    /// Rotations: bits per component. Angles: bits for the circle.
    bits: Option<u8>,
}

impl LatticeFile {
    /// Reads and checks a file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is no valid lattice", path.display()))
    }

    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let file: Self = toml::from_str(text)?;
        for (kind, fields) in &file.kinds {
            let Some((_, known)) = KNOWN.iter().find(|(name, _)| name == kind) else {
                bail!("no recording has a `{kind}`: there are {}", KNOWN.map(|(name, _)| name).join(", "));
            };
            if let Some(field) = fields.keys().find(|field| !known.contains(&field.as_str())) {
                bail!("`{kind}` has no field `{field}`: it has {}", known.join(", "));
            }
        }
        Ok(file)
    }

    /// The lattice of a field whose own is `own`; nothing if it is not sent.
    pub(crate) fn field(
        &self,
        kind: &str,
        field: &str,
        own: &FieldType,
    ) -> anyhow::Result<Option<FieldType>> {
        let fields = self
            .kinds
            .get(kind)
            .with_context(|| format!("the lattice says nothing of `{kind}`: add a section [{kind}]"))?;
        let Some(grain) = fields.get(field) else { return Ok(None) };
        grain.applied(own).with_context(|| format!("`{kind}.{field}`")).map(Some)
    }
}

impl Grain {
    fn applied(&self, own: &FieldType) -> anyhow::Result<FieldType> {
        Ok(match own {
            FieldType::Position { axes, step } => {
                self.allow("a position", &["step", "bounds"])?;
                let axes = self.bounds.clone().unwrap_or_else(|| axes.clone());
                ensure!(axes.len() == 3, "`bounds` must have 3 axes, each `[least, greatest]`");
                FieldType::Position { axes, step: self.step.unwrap_or(*step) }
            }
            FieldType::Velocity { of, max, step } => {
                self.allow("a velocity", &["step", "max"])?;
                FieldType::velocity(*of, self.max.unwrap_or(*max), self.step.unwrap_or(*step))
            }
            FieldType::Rotation { .. } => {
                self.allow("a rotation", &["bits"])?;
                self.bits.map_or_else(|| own.clone(), FieldType::rotation)
            }
            FieldType::Angle { bits } => {
                self.allow("an angle", &["bits"])?;
                FieldType::angle(self.bits.unwrap_or(*bits))
            }
            _ => {
                self.allow("a number", &[])?;
                own.clone()
            }
        })
    }

    /// Refuses what does not fit the field, rather than to leave it unheard.
    fn allow(&self, what: &str, allowed: &[&str]) -> anyhow::Result<()> {
        let given = [
            ("step", self.step.is_some()),
            ("bounds", self.bounds.is_some()),
            ("max", self.max.is_some()),
            ("bits", self.bits.is_some()),
        ];
        if let Some((name, _)) = given.iter().find(|(name, is_given)| *is_given && !allowed.contains(name)) {
            let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(" and ") };
            bail!("{what} takes {allowed}, not `{name}`");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_in_the_docs_is_valid_and_names_every_kind() {
        let file = LatticeFile::parse(include_str!("../../../docs/examples/trace-lattice.toml")).unwrap();
        for (kind, _) in KNOWN {
            let own = FieldType::position([-8.0..=8.0, -8.0..=8.0, 0.0..=8.0], 0.125);
            let position = file.field(kind, "position", &own).unwrap().expect(kind);
            assert!(position != own, "the example of `{kind}` changes something");
        }
    }

    #[test]
    fn what_is_not_named_is_as_recorded_or_not_sent() {
        let file = LatticeFile::parse("[cube]\nposition = {}").unwrap();
        let own = FieldType::position([const { -8.0..=8.0 }; 3], 0.25);
        assert_eq!(file.field("cube", "position", &own).unwrap(), Some(own));
        assert_eq!(file.field("cube", "rotation", &FieldType::rotation(9)).unwrap(), None);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("[kube]", "no recording has a `kube`: there are ball, car, player, cube"),
            ("[cube]\nspin = {}", "`cube` has no field `spin`"),
            ("[cube]\nposition = { steps = 1.0 }", "steps"),
            ("[cube]\nposition = 3", "position"),
            ("[cube", "cube"),
        ] {
            let error = format!("{:#}", LatticeFile::parse(text).unwrap_err());
            assert!(error.contains(part), "{error:?} should say {part:?}");
        }
        let own = FieldType::position([const { -8.0..=8.0 }; 3], 0.25);
        for (text, part) in [
            ("[ball]\nposition = {}", "add a section [cube]"),
            ("[cube]\nposition = { bits = 9 }", "a position takes step and bounds, not `bits`"),
            ("[cube]\nposition = { bounds = [[0.0, 1.0]] }", "3 axes"),
        ] {
            let file = LatticeFile::parse(text).unwrap();
            let error = format!("{:#}", file.field("cube", "position", &own).unwrap_err());
            assert!(error.contains(part), "{error:?} should say {part:?}");
        }
    }
}
