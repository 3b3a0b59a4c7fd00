//! One object on its way in: streamed to `incoming/`, then checked, synced and given its place.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use super::commit::Candidate;
use super::{Announced, Spool, SpoolError, Stored, blocking, disk, file_meta};
use crate::instance::{HeaderError, Instance, Urgency};
use crate::part10::{self, ReadError, Walked};

/// Bytes gathered in memory before they go to the disk in one piece; the most that one association holds.
const GATHER_BYTES: usize = 256 * 1024;
/// Bytes that a deflated data set may inflate to; a second's work.
const LARGEST_INFLATED: u64 = 1 << 30;

/// An object that is being received. Dropped without [`Incoming::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct Incoming {
    spool: Spool,
    announced: Announced,
    part: Part,
    gathered: Vec<u8>,
    /// Bytes at the beginning of `gathered` that are file meta information, not data set.
    head: usize,
}

/// The file under `incoming/` and the digest of what is in it.
#[derive(Debug)]
struct Part {
    path: PartPath,
    /// `None` while the disk works on it.
    open: Option<(File, Box<blake3::Hasher>)>,
}

/// A file that is removed when nobody needs it under this name any more.
#[derive(Debug)]
pub(super) struct PartPath(PathBuf);

impl PartPath {
    pub(super) fn as_path(&self) -> &Path {
        &self.0
    }

    /// It has another name now.
    pub(super) fn renamed(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for PartPath {
    fn drop(&mut self) {
        if self.0.as_os_str().is_empty() {
            return;
        }
        if let Err(error) = disk::remove(&self.0) {
            tracing::warn!(%error, "an unfinished file is left behind; it is removed at the next start");
        }
    }
}

impl Incoming {
    pub(super) async fn begin(spool: Spool, announced: Announced) -> Result<Self, SpoolError> {
        let opened = spool.clone();
        let path = PartPath(opened.0.layout.part(opened.0.parts.fetch_add(1, Ordering::Relaxed)));
        let part = blocking("creating a file", move || {
            opened.check_space()?;
            let file = disk::create_file(path.as_path())?;
            Ok(Part { path, open: Some((file, Box::default())) })
        })
        .await?;
        let gathered = file_meta::write(&announced);
        Ok(Self { spool, announced, part, head: gathered.len(), gathered })
    }

    /// Takes the next bytes of the data set.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() < GATHER_BYTES {
            return Ok(());
        }
        let (spool, path, head) = (self.spool.clone(), self.part.path.as_path().to_owned(), self.head);
        let open = self.part.open.take().ok_or(SpoolError::Panic { doing: "writing a file" })?;
        let mut gathered = std::mem::take(&mut self.gathered);
        let work = blocking("writing a file", move || {
            spool.check_space()?;
            let (mut file, mut digest) = open;
            put(&mut file, &mut digest, &path, &gathered, head)?;
            gathered.clear();
            Ok(((file, digest), gathered))
        });
        let (open, gathered) = work.await?;
        (self.part.open, self.gathered, self.head) = (Some(open), gathered, 0);
        Ok(())
    }

    /// The data set is complete: checks it, makes it durable and gives it its place in the spool.
    pub async fn commit(self) -> Result<Stored, SpoolError> {
        let spool = self.spool.clone();
        let candidate = blocking("storing an object", move || self.seal()).await?;
        spool.0.committer.commit(candidate).await
    }

    /// Everything that needs no other object: written, checked and synced under its first name.
    fn seal(self) -> Result<Candidate, SpoolError> {
        let Self { announced, part: Part { path, open }, gathered, head, .. } = self;
        let (mut file, mut digest) = open.ok_or(SpoolError::Panic { doing: "storing an object" })?;
        put(&mut file, &mut digest, path.as_path(), &gathered, head)?;
        drop(gathered);
        let walked = walk(path.as_path())?;
        let instance = Instance::from_walk(path.as_path(), &walked)?;
        agree("SOP Class UID", instance.sop_class.as_str(), announced.sop_class.as_str())?;
        agree("SOP Instance UID", instance.sop_instance.as_str(), announced.sop_instance.as_str())?;
        file.sync_all().map_err(SpoolError::io("sync", path.as_path()))?;
        let bytes = file.metadata().map_err(SpoolError::io("measure", path.as_path()))?.len();
        Ok(Candidate {
            instance,
            digest: digest.finalize().into(),
            bytes,
            urgency: announced.urgency.max(Urgency::of(&walked.outline)),
            calling: announced.calling,
            received: SystemTime::now(),
            part: path,
        })
    }
}

/// Writes bytes, of which all but the first `head` belong to the data set.
fn put(file: &mut File, digest: &mut blake3::Hasher, path: &Path, bytes: &[u8], head: usize) -> Result<(), SpoolError> {
    digest.update(bytes.get(head..).unwrap_or_default());
    file.write_all(bytes).map_err(SpoolError::io("write", path))
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
