//! What can be learned.

use super::super::links::Links;
use super::super::models::{roles, site_key};
use super::Target;
use super::corpus::Corpus;
use crate::schema::{Kind, Sight};

/// All keys that can be learned, and which one each site has.
pub(super) struct Keys {
    /// In ascending order, each with the role that it begins as.
    pub(super) all: Vec<(u32, Option<u32>)>,
    /// Per corpus, kind and site: the place in `all`.
    pub(super) sites: Vec<Vec<Vec<Option<u16>>>>,
}

impl Keys {
    pub(super) fn of(corpora: &[Corpus], target: Target) -> Self {
        let key_of = |kind: &Kind| -> Vec<Option<(u32, Option<u32>)>> {
            let roles = roles(kind, &Links::of(kind, kind.visible(Sight::Own)));
            let key = |(site, role): (usize, Option<u32>)| match target {
                Target::Schema => Some((site_key(kind, site), role)),
                Target::Any => role.map(|key| (key, role)),
            };
            roles.into_iter().enumerate().map(key).collect()
        };
        let keys: Vec<Vec<_>> =
            corpora.iter().map(|corpus| corpus.schema.kinds().iter().map(key_of).collect()).collect();
        let mut all: Vec<_> = keys.iter().flatten().flatten().flatten().copied().collect();
        all.sort_unstable();
        all.dedup_by_key(|(key, _)| *key);
        let place = |key: Option<(u32, _)>| {
            key.and_then(|(key, _)| all.binary_search_by_key(&key, |(key, _)| *key).ok()).map(|at| at as u16)
        };
        let sites = keys
            .into_iter()
            .map(|kinds| kinds.into_iter().map(|keys| keys.into_iter().map(place).collect()).collect())
            .collect();
        Self { all, sites }
    }
}
