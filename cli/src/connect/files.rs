//! Files that go to the game by bulk transfer, and come from it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tickwire_client::Client;
use tickwire_protocol::bulk::{BulkEvent, BulkId};
use tickwire_protocol::limits::BULK_BYTES_MAX;

/// A file that is to be offered.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let cannot = || format!("{shown}: cannot be read");
    let bytes = fs::metadata(path).with_context(cannot)?.len();
    ensure!(
        bytes <= BULK_BYTES_MAX as u64,
        "{shown}: has {bytes} bytes, and a transfer at most {BULK_BYTES_MAX}"
    );
    fs::read(path).with_context(cannot)
}

/// What is on its way from the game, and where it is to be kept.
#[derive(Debug, Default)]
pub(super) struct Downloads {
    files: BTreeMap<BulkId, (PathBuf, File)>,
}

impl Downloads {
    /// Has it come. The file is made now, so that what comes has a place.
    pub(super) fn accept(&mut self, client: &mut Client, id: BulkId, path: PathBuf) -> anyhow::Result<()> {
        let shown = path.display();
        let file = File::create_new(&path).with_context(|| format!("{shown}: cannot be made"))?;
        if let Err(error) = client.accept_bulk(id) {
            let _ = fs::remove_file(&path);
            return Err(error.into());
        }
        self.files.insert(id, (path, file));
        Ok(())
    }

    /// Keeps what has come, and no file of what has not.
    pub(super) fn handle_event(&mut self, event: &BulkEvent) -> anyhow::Result<()> {
        match event {
            BulkEvent::Received { id, content } => {
                let Some((path, mut file)) = self.files.remove(id) else { return Ok(()) };
                file.write_all(content).with_context(|| format!("{}: cannot be written", path.display()))
            }
            BulkEvent::NotReceived { id, .. } => {
                if let Some((path, _)) = self.files.remove(id) {
                    let _ = fs::remove_file(path);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
