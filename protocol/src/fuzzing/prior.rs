//! Priors that nobody trained: files of any bytes, and sound ones with damage.

use std::sync::{Arc, LazyLock};

use super::{Script, scene};
use crate::lz4;
use crate::snapshot::Prior;

/// Bytes in front of a prior's compressed part; the last four are how long it is decompressed.
const HEAD_BYTES: usize = 12;

/// What one scene changes in a prior.
const CHANGES_MAX: usize = 16;

/// Far above what any prior decompresses to.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The default prior's head and decompressed part.
static SOUND: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let (prior, mut len) = (Prior::default_prior(), [0; 4]);
    let (head, block) = prior.encoded().split_at(HEAD_BYTES);
    len.copy_from_slice(&head[HEAD_BYTES - 4..]);
    let body = lz4::decompress(block, u32::from_le_bytes(len), BODY_BYTES_MAX, "prior");
    (head.to_vec(), body.expect("the default prior is sound"))
});

pub(super) fn play(script: &mut Script<'_>) {
    let prior = match script.pick(3) {
        0 => Prior::decode(script.take(usize::MAX)).ok(),
        1 => {
            let mut bytes = Prior::default_prior().encoded().to_vec();
            let place = script.word() as usize % bytes.len();
            bytes[place] ^= 1 << script.pick(8);
            Prior::decode(&bytes).ok()
        }
        _ => Some(changed(script)),
    };
    if let Some(prior) = prior {
        let again = Prior::decode(prior.encoded()).expect("what was read once is read again");
        assert_eq!(again.hash(), prior.hash());
        scene::play(script, Some(prior));
    }
}

/// One that a server might have: the default one, one that has learned nothing, one with any weights.
pub(super) fn any_prior(script: &mut Script<'_>) -> Arc<Prior> {
    match script.pick(4) {
        0 | 1 => Prior::default_prior(),
        2 => Prior::untrained(),
        _ => changed(script),
    }
}

/// The default prior with some of its numbers changed, as far as it is still a prior then.
fn changed(script: &mut Script<'_>) -> Arc<Prior> {
    let (head, sound) = &*SOUND;
    let mut body = sound.clone();
    let mut prior = Prior::default_prior();
    for _ in 0..=script.pick(CHANGES_MAX) {
        let (place, byte) = (script.word() as usize % body.len(), script.byte());
        let before = core::mem::replace(&mut body[place], byte);
        let bytes = [&head[..], &lz4::compress(&body)].concat();
        match Prior::decode(&bytes) {
            Ok(changed) => prior = changed,
            Err(_) => body[place] = before,
        }
    }
    prior
}
