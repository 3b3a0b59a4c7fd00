//! The durable queue of one destination: a directory of reports, oldest first, and one of those given up.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::ids::SopInstanceUid;

/// A queue that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("outbox: {path}: {source}; check the disk and the owner of the state directory", path = path.display())]
pub struct OutboxError {
    path: PathBuf,
    source: io::Error,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> OutboxError {
    let path = path.to_owned();
    move |source| OutboxError { path, source }
}

/// One report that waits for its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The report.
    pub sop_instance: SopInstanceUid,
    /// When it was queued.
    pub queued: SystemTime,
    /// The DICOM Part 10 file.
    pub path: PathBuf,
}

impl Entry {
    /// Entry names are `<milliseconds since 1970, 13 digits>-<SOP Instance UID>.dcm`.
    fn parse(path: PathBuf) -> Option<Self> {
        let (millis, uid) = path.file_name()?.to_str()?.strip_suffix(".dcm")?.split_once('-')?;
        let queued = UNIX_EPOCH + Duration::from_millis(millis.parse().ok()?);
        Some(Self { sop_instance: uid.parse().ok()?, queued, path })
    }
}

/// The durable queue of one destination.
#[derive(Debug, Clone)]
pub struct Outbox {
    queue: PathBuf,
    failed: PathBuf,
}

impl Outbox {
    /// Opens `outbox/<name>` and `failed/<name>` below the state directory, making what is missing.
    pub fn open(state: &Path, name: &str) -> Result<Self, OutboxError> {
        let outbox = Self { queue: state.join("outbox").join(name), failed: state.join("failed").join(name) };
        for directory in [&outbox.queue, &outbox.failed] {
            fs::create_dir_all(directory).map_err(at(directory))?;
        }
        Ok(outbox)
    }

    /// Queues a report. When this returns, the report survives a power failure. A report that is queued
    /// already is not queued again.
    pub fn enqueue(&self, report: &SopInstanceUid, bytes: &[u8], now: SystemTime) -> Result<(), OutboxError> {
        if self.pending()?.iter().any(|entry| entry.sop_instance == *report) {
            return Ok(());
        }
        let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        write_durably(&self.queue, &format!("{millis:013}-{report}.dcm"), bytes)
    }

    /// The reports that wait, oldest first.
    pub fn pending(&self) -> Result<Vec<Entry>, OutboxError> {
        let mut entries = Vec::new();
        for item in fs::read_dir(&self.queue).map_err(at(&self.queue))? {
            entries.extend(Entry::parse(item.map_err(at(&self.queue))?.path()));
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// Takes a delivered report out of the queue.
    pub fn delivered(&self, entry: &Entry) -> Result<(), OutboxError> {
        fs::remove_file(&entry.path).map_err(at(&entry.path))
    }

    /// Moves a report that will not be sent again to `failed/`, beside a text that says why.
    pub fn give_up(&self, entry: &Entry, reason: &str) -> Result<(), OutboxError> {
        let name = format!("{}.dcm", entry.sop_instance);
        write_durably(&self.failed, &format!("{}.txt", entry.sop_instance), format!("{reason}\n").as_bytes())?;
        fs::rename(&entry.path, self.failed.join(name)).map_err(at(&entry.path))?;
        sync_directory(&self.failed)
    }
}

/// Writes a file under another name, makes it durable and gives it its name, so that nobody sees half a file.
pub(super) fn write_durably(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), OutboxError> {
    let mut file = tempfile::Builder::new().prefix(".part-").tempfile_in(directory).map_err(at(directory))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(at(file.path()))?;
    let target = directory.join(name);
    file.persist(&target).map_err(|error| at(&target)(error.error))?;
    sync_directory(directory)
}

fn sync_directory(directory: &Path) -> Result<(), OutboxError> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(at(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(text: &str) -> SopInstanceUid {
        text.parse().unwrap()
    }

    fn second(n: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000 + n)
    }

    #[test]
    fn reports_leave_in_the_order_they_came_and_once() {
        let state = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(state.path(), "pacs").unwrap();
        outbox.enqueue(&uid("2.25.9"), b"first", second(1)).unwrap();
        outbox.enqueue(&uid("2.25.1"), b"second", second(2)).unwrap();
        outbox.enqueue(&uid("2.25.9"), b"first again", second(3)).unwrap();
        let entries = Outbox::open(state.path(), "pacs").unwrap().pending().unwrap();
        let uids: Vec<_> = entries.iter().map(|e| (e.sop_instance.as_str(), e.queued)).collect();
        assert_eq!(uids, [("2.25.9", second(1)), ("2.25.1", second(2))]);
        assert_eq!(fs::read(&entries[0].path).unwrap(), b"first");
        outbox.delivered(&entries[0]).unwrap();
        assert_eq!(outbox.pending().unwrap(), entries[1..]);
    }

    #[test]
    fn what_is_given_up_is_kept_with_its_reason() {
        let state = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(state.path(), "pacs").unwrap();
        outbox.enqueue(&uid("2.25.7"), b"report", second(0)).unwrap();
        outbox.give_up(&outbox.pending().unwrap()[0], "0xC000 cannot understand").unwrap();
        assert!(outbox.pending().unwrap().is_empty());
        let failed = state.path().join("failed/pacs");
        assert_eq!(fs::read(failed.join("2.25.7.dcm")).unwrap(), b"report");
        assert_eq!(fs::read_to_string(failed.join("2.25.7.txt")).unwrap(), "0xC000 cannot understand\n");
    }

    #[test]
    fn foreign_and_half_written_files_are_not_entries() {
        let state = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(state.path(), "pacs").unwrap();
        for name in [".part-x", "readme.txt", "1700000000000-..dcm"] {
            fs::write(state.path().join("outbox/pacs").join(name), b"").unwrap();
        }
        assert!(outbox.pending().unwrap().is_empty());
    }
}
