//! The file of a room's recording: a thread of its own writes it, so that no disk holds up a tick.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread::{self, JoinHandle};

/// Pieces that may wait for the disk: five seconds of 60 recorded ticks each.
const QUEUE_PIECES_MAX: usize = 300;

/// Bytes that may wait for the disk.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A file that is being written, and the buffers that come back from it.
#[derive(Debug)]
pub(super) struct RecordingFile {
    pieces: SyncSender<Vec<u8>>,
    written: Receiver<Vec<u8>>,
    spare: Option<Vec<u8>>,
    /// Bytes that wait.
    queued: Arc<AtomicUsize>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl RecordingFile {
    /// Makes the file, which must not be there yet. What goes wrong is said when something is written.
    pub(super) fn create(path: &Path) -> Self {
        let path = path.to_owned();
        Self::start(move || File::create_new(path))
    }

    fn start<W: Write>(open: impl FnOnce() -> io::Result<W> + Send + 'static) -> Self {
        let (pieces, to_write) = sync_channel::<Vec<u8>>(QUEUE_PIECES_MAX);
        let (back, written) = channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let waiting = queued.clone();
        let write = move || {
            let mut file = open()?;
            for mut piece in to_write {
                file.write_all(&piece)?;
                waiting.fetch_sub(piece.len(), Ordering::Relaxed);
                piece.clear();
                // Nobody wants it back at the end.
                let _ = back.send(piece);
            }
            file.flush()
        };
        Self { pieces, written, spare: None, queued, thread: Some(thread::spawn(write)) }
    }

    /// An empty buffer, one that was used before if there is one.
    pub(super) fn spare(&mut self) -> Vec<u8> {
        self.spare.take().or_else(|| self.written.try_recv().ok()).unwrap_or_default()
    }

    /// Hands bytes to the disk without waiting for it. After an error the file takes nothing more.
    pub(super) fn write(&mut self, piece: Vec<u8>) -> io::Result<()> {
        if piece.is_empty() {
            self.spare = Some(piece);
            return Ok(());
        }
        let waiting = self.queued.fetch_add(piece.len(), Ordering::Relaxed);
        if waiting > 0 && waiting + piece.len() > QUEUE_BYTES_MAX {
            return Err(too_slow());
        }
        match self.pieces.try_send(piece) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(too_slow()),
            Err(TrySendError::Disconnected(_)) => Err(self.failure()),
        }
    }

    /// Hands the last bytes to the disk and waits until all are there.
    pub(super) fn finish(mut self, piece: Vec<u8>) -> io::Result<()> {
        if self.pieces.send(piece).is_err() {
            return Err(self.failure());
        }
        let Self { pieces, thread, .. } = self;
        drop(pieces);
        thread.map_or(Ok(()), join)
    }

    /// Why the thread has ended.
    fn failure(&mut self) -> io::Error {
        let ended = self.thread.take().map_or(Ok(()), join);
        ended.err().unwrap_or_else(|| io::Error::other("its writer has ended"))
    }
}

fn join(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("its writer has failed")))
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the disk is too slow: too much waits to be written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A disk that takes bytes when it is told to, and fails from a moment on.
    struct Disk {
        turns: mpsc::Receiver<io::Result<()>>,
        content: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.turns.recv().unwrap_or_else(|_| Err(io::Error::other("pulled out")))?;
            let _ = self.content.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn disk() -> (RecordingFile, mpsc::Sender<io::Result<()>>, mpsc::Receiver<Vec<u8>>) {
        let (turn, turns) = mpsc::channel();
        let (content, written) = mpsc::channel();
        (RecordingFile::start(move || Ok(Disk { turns, content })), turn, written)
    }

    #[test]
    fn bytes_come_in_their_order_and_buffers_come_back() {
        let (mut file, turn, written) = disk();
        (0..3).for_each(|_| turn.send(Ok(())).unwrap());
        file.write(Vec::with_capacity(4_000)).unwrap();
        assert_eq!(file.spare().capacity(), 4_000, "nothing was written: it is used again");
        let mut piece = Vec::with_capacity(5_000);
        piece.push(1);
        file.write(piece).unwrap();
        file.write(vec![2]).unwrap();
        assert_eq!([written.recv().unwrap(), written.recv().unwrap()], [[1], [2]]);
        let back = (0..1_000).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            Some(file.spare()).filter(|spare| spare.capacity() == 5_000)
        });
        assert!(back.expect("the buffer comes back").is_empty());
        file.finish(vec![3]).unwrap();
        assert_eq!(written.recv().unwrap(), [3]);
    }

    #[test]
    fn a_disk_that_stands_still_ends_the_recording_and_holds_up_nobody() {
        let (mut file, turn, _written) = disk();
        let accepted = (0..1_000).find(|_| file.write(vec![7]).is_err()).unwrap();
        // One may have been taken out by the thread.
        assert!((QUEUE_PIECES_MAX..=QUEUE_PIECES_MAX + 1).contains(&accepted), "{accepted}");
        assert_eq!(file.write(vec![7]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(turn);

        let (mut file, turn, _written) = disk();
        let large = QUEUE_BYTES_MAX / 2 + 1;
        file.write(vec![7; large]).unwrap();
        assert_eq!(file.write(vec![7; large]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(turn);
    }

    #[test]
    fn a_disk_that_fails_is_quoted() {
        let (mut file, turn, _written) = disk();
        turn.send(Err(io::Error::other("no space is left"))).unwrap();
        file.write(vec![1]).unwrap();
        let error = (0..1_000).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            file.write(vec![2]).err()
        });
        assert_eq!(error.unwrap().to_string(), "no space is left");

        let (file, turn, _written) = disk();
        drop(turn);
        assert_eq!(file.finish(vec![1]).unwrap_err().to_string(), "pulled out");
        let file = RecordingFile::create(&std::env::temp_dir());
        assert_eq!(file.finish(vec![1]).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
