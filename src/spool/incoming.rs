//! One object on its way in: streamed to the disk, then checked, synced and given its place.

use std::fs::File;
use std::io::Write;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use rustix::fs::Advice;
use tokio::task::{JoinHandle, spawn_blocking};

use super::commit::Candidate;
use super::{Announced, Spool, SpoolError, Stored, blocking, disk, file_meta};
use crate::instance::{HeaderError, Instance, Urgency};
use crate::part10::{self, ReadError, Walked};

/// Bytes gathered in memory before they go to the disk in one piece. One association holds twice as many at most: while
/// one piece is written, the next is gathered.
const GATHER_BYTES: usize = 512 * 1024;
/// Bytes that a deflated data set may inflate to; a second's work.
const LARGEST_INFLATED: u64 = 1 << 30;

/// An object that is being received. Dropped without [`Incoming::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct Incoming {
    spool: Spool,
    announced: Announced,
    /// `None` before the first bytes go to the disk: a small object goes there all at once.
    writing: Option<Writing>,
    gathered: Vec<u8>,
    /// Bytes at the beginning of `gathered` that are file meta information, not data set.
    head: usize,
}

/// A piece on its way to the disk; it comes back with its buffer, emptied.
type Writing = JoinHandle<Result<(Part, Vec<u8>), SpoolError>>;

/// Its file and the digest of what is in it.
#[derive(Debug)]
struct Part {
    name: PartName,
    file: File,
    written: u64,
    digest: Box<blake3::Hasher>,
}

/// A file that is removed when nobody needs it under this name any more.
#[derive(Debug)]
pub(super) struct PartName(PathBuf);

impl PartName {
    pub(super) fn as_path(&self) -> &Path {
        &self.0
    }

    /// It has another name now.
    pub(super) fn renamed(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for PartName {
    fn drop(&mut self) {
        if self.0.as_os_str().is_empty() {
            return;
        }
        if let Err(error) = disk::remove(&self.0) {
            tracing::warn!(%error, "an unfinished file is left behind; it is removed at the next start");
        }
    }
}

impl Part {
    /// A file for an object; refused when the disk is nearly full.
    fn create(spool: &Spool) -> Result<Self, SpoolError> {
        spool.check_space()?;
        let path = spool.0.layout.part(spool.0.parts.fetch_add(1, Ordering::Relaxed));
        let file = disk::create_file(&path)?;
        Ok(Self { name: PartName(path), file, written: 0, digest: Box::default() })
    }

    /// Writes bytes, of which all but the first `head` belong to the data set.
    fn write(&mut self, bytes: &[u8], head: usize) -> Result<(), SpoolError> {
        self.digest.update(bytes.get(head..).unwrap_or_default());
        self.file.write_all(bytes).map_err(SpoolError::io("write", self.name.as_path()))?;
        Ok(())
    }

    /// The same, and lets the disk begin with it, so that less is left to wait for when the object is complete. The
    /// pages are dirty, so "not needed" means written back, not dropped.
    fn write_early(&mut self, bytes: &[u8], head: usize) -> Result<(), SpoolError> {
        self.write(bytes, head)?;
        let (begin, length) = (self.written, u64::try_from(bytes.len()).unwrap_or_default());
        self.written += length;
        if let Err(error) = rustix::fs::fadvise(&self.file, begin, NonZeroU64::new(length), Advice::DontNeed) {
            tracing::debug!(%error, "no early write-back");
        }
        Ok(())
    }
}

impl Incoming {
    pub(super) fn new(spool: Spool, announced: Announced) -> Self {
        let gathered = file_meta::write(&announced);
        Self { spool, announced, writing: None, head: gathered.len(), gathered }
    }

    /// Takes the next bytes of the data set.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() < GATHER_BYTES {
            return Ok(());
        }
        let (part, empty) = self.written().await?;
        let mut gathered = std::mem::replace(&mut self.gathered, empty);
        let (spool, head) = (self.spool.clone(), std::mem::take(&mut self.head));
        self.writing = Some(spawn_blocking(move || {
            let mut part = match part {
                Some(part) => spool.check_space().map(|()| part)?,
                None => Part::create(&spool)?,
            };
            part.write_early(&gathered, head)?;
            gathered.clear();
            Ok((part, gathered))
        }));
        Ok(())
    }

    /// Waits for the piece on its way, if there is one.
    async fn written(&mut self) -> Result<(Option<Part>, Vec<u8>), SpoolError> {
        let Some(writing) = self.writing.take() else { return Ok((None, Vec::new())) };
        let (part, empty) = writing.await.unwrap_or(Err(SpoolError::Panic { doing: "writing a file" }))?;
        Ok((Some(part), empty))
    }

    /// The data set is complete: checks it, makes it durable and gives it its place in the spool.
    pub async fn commit(mut self) -> Result<Stored, SpoolError> {
        let (part, _) = self.written().await?;
        let spool = self.spool.clone();
        let candidate = blocking("storing an object", move || self.seal(part)).await?;
        spool.0.committer.commit(candidate).await
    }

    /// Everything that needs no other object: written, checked and synced under its first name.
    fn seal(self, part: Option<Part>) -> Result<Candidate, SpoolError> {
        let Self { spool, announced, gathered, head, .. } = self;
        let mut part = part.map_or_else(|| Part::create(&spool), Ok)?;
        part.write(&gathered, head)?;
        drop(gathered);
        let Part { name, file, digest, .. } = part;
        let walked = walk(name.as_path())?;
        let instance = Instance::from_walk(name.as_path(), &walked)?;
        agree("SOP Class UID", instance.sop_class.as_str(), announced.sop_class.as_str())?;
        agree("SOP Instance UID", instance.sop_instance.as_str(), announced.sop_instance.as_str())?;
        file.sync_all().map_err(SpoolError::io("sync", name.as_path()))?;
        let bytes = file.metadata().map_err(SpoolError::io("measure", name.as_path()))?.len();
        Ok(Candidate {
            instance,
            digest: digest.finalize().into(),
            bytes,
            urgency: announced.urgency.max(Urgency::of(&walked.outline)),
            calling: announced.calling,
            received: SystemTime::now(),
            part: name,
        })
    }
}

/// Walks over a whole data set; nothing of it is believed before.
pub(super) fn walk(path: &Path) -> Result<Walked, HeaderError> {
    let not_dicom = |cause| HeaderError::NotDicom { path: path.to_owned(), cause };
    let walked = part10::walk(path, LARGEST_INFLATED).map_err(|error| match error {
        ReadError::Io(source) => HeaderError::Io { path: path.to_owned(), source },
        ReadError::NotDicom(cause) => not_dicom(cause),
    })?;
    match &walked.soundness {
        Ok(()) => Ok(walked),
        Err(fault) => Err(not_dicom(fault.to_string())),
    }
}

fn agree(attribute: &'static str, found: &str, announced: &str) -> Result<(), SpoolError> {
    match found == announced {
        true => Ok(()),
        false => Err(SpoolError::Mismatch { attribute, found: found.to_owned(), announced: announced.to_owned() }),
    }
}

impl Spool {
    fn check_space(&self) -> Result<(), SpoolError> {
        let (path, min_free_mib) = (self.0.layout.root(), self.0.min_free_mib);
        match disk::free_mib(path)? {
            free_mib if free_mib < min_free_mib => {
                Err(SpoolError::OutOfSpace { path: path.to_owned(), free_mib, min_free_mib })
            }
            _ => Ok(()),
        }
    }
}
