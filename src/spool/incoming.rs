//! One object on its way in: streamed to the disk, then checked, synced and given its place.

use std::fs::File;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use bytes::Bytes;
use rustix::fs::Advice;
use tokio::task::{JoinHandle, spawn_blocking};

use super::commit::{Candidate, Content};
use super::piece::Piece;
use super::{Announced, Spool, SpoolError, Stored, blocking, disk, file_meta};
use crate::digest::{Digest, Digester};
use crate::instance::{HeaderError, Instance, Urgency};
use crate::part10::{self, Location, ReadError, Walked};

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
    gathered: Piece,
    /// Bytes at the beginning of `gathered` that are file meta information, not data set.
    head: usize,
}

/// A piece on its way to the disk.
type Writing = JoinHandle<Result<Part, SpoolError>>;

/// Its file and the digest of what is in it.
#[derive(Debug)]
struct Part {
    name: PartName,
    file: File,
    written: u64,
    digest: Digester,
}

/// A file that is removed when nobody needs it under this name any more.
#[derive(Debug)]
pub(super) struct PartName(pub(super) PathBuf);

impl PartName {
    pub(super) fn as_path(&self) -> &Path {
        &self.0
    }

    /// The file is there to stay, under this name or another.
    pub(super) fn keep(mut self) {
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
        let path = spool.part();
        let file = disk::create_file(&path)?;
        Ok(Self { name: PartName(path), file, written: 0, digest: Digester::default() })
    }

    /// Writes a piece, of which all but the first `head` bytes belong to the data set.
    fn write(&mut self, piece: Piece, head: usize) -> Result<(), SpoolError> {
        piece.write(&mut self.file, &mut self.digest, head).map_err(SpoolError::io("write", self.name.as_path()))
    }

    /// The same, and lets the disk begin with it, so that less is left to wait for when the object is complete. The
    /// pages are dirty, so "not needed" means written back, not dropped.
    fn write_early(&mut self, piece: Piece, head: usize) -> Result<(), SpoolError> {
        let (begin, length) = (self.written, u64::try_from(piece.length()).unwrap_or_default());
        self.write(piece, head)?;
        self.written += length;
        if let Err(error) = rustix::fs::fadvise(&self.file, begin, NonZeroU64::new(length), Advice::DontNeed) {
            tracing::debug!(%error, "no early write-back");
        }
        Ok(())
    }
}

impl Incoming {
    pub(super) fn new(spool: Spool, announced: Announced) -> Self {
        let mut gathered = Piece::default();
        gathered.push(file_meta::write(&announced).into());
        Self { spool, announced, writing: None, head: gathered.length(), gathered }
    }

    /// Takes the next bytes of the data set.
    pub async fn write(&mut self, fragment: Bytes) -> Result<(), SpoolError> {
        self.gathered.push(fragment);
        if self.gathered.length() < GATHER_BYTES {
            return Ok(());
        }
        let part = self.written().await?;
        let (gathered, head) = (std::mem::take(&mut self.gathered), std::mem::take(&mut self.head));
        let spool = self.spool.clone();
        self.writing = Some(spawn_blocking(move || {
            let mut part = match part {
                Some(part) => spool.check_space().map(|()| part)?,
                None => Part::create(&spool)?,
            };
            part.write_early(gathered, head)?;
            Ok(part)
        }));
        Ok(())
    }

    /// Waits for the piece on its way, if there is one.
    async fn written(&mut self) -> Result<Option<Part>, SpoolError> {
        let Some(writing) = self.writing.take() else { return Ok(None) };
        writing.await.unwrap_or(Err(SpoolError::Panic { doing: "writing a file" })).map(Some)
    }

    /// The data set is complete: checks it, makes it durable and gives it its place in the spool.
    pub async fn commit(mut self) -> Result<Stored, SpoolError> {
        let part = self.written().await?;
        let spool = self.spool.clone();
        let candidate = match part {
            // A hop to another thread takes longer than this.
            None if self.announced.transfer_syntax.as_str() != part10::DEFLATED => self.checked()?,
            None => blocking("checking an object", move || self.checked()).await?,
            Some(part) => blocking("storing an object", move || self.sealed(part)).await?,
        };
        spool.0.committer.commit(candidate).await
    }

    /// A small object: it goes to the disk together with those that come at the same time.
    pub(super) fn checked(self) -> Result<Candidate, SpoolError> {
        let place = Location::from(self.spool.part());
        let octets = self.gathered.into_octets();
        let walked = sound(part10::walk_octets(&octets, LARGEST_INFLATED), &place)?;
        let digest = Digest::of(octets.get(self.head..).unwrap_or_default());
        self.announced.candidate(&place, &walked, digest, Content::Octets(octets))
    }

    /// A large object: written, checked and synced under its first name.
    fn sealed(self, mut part: Part) -> Result<Candidate, SpoolError> {
        part.write(self.gathered, self.head)?;
        let Part { name, file, digest, .. } = part;
        let place = Location::from(name.as_path());
        let walked = walk(&place)?;
        let bytes = file.metadata().map_err(SpoolError::io("measure", name.as_path()))?.len();
        let content = Content::Part { name, bytes };
        let candidate = self.announced.candidate(&place, &walked, digest.finish(), content)?;
        file.sync_all().map_err(SpoolError::io("sync", place.file()))?;
        Ok(candidate)
    }
}

impl Announced {
    /// The object, if it is the one that was announced.
    fn candidate(
        self,
        place: &Location,
        walked: &Walked,
        digest: Digest,
        content: Content,
    ) -> Result<Candidate, SpoolError> {
        let instance = Instance::from_walk(place, walked)?;
        agree("SOP Class UID", instance.sop_class.as_str(), self.sop_class.as_str())?;
        agree("SOP Instance UID", instance.sop_instance.as_str(), self.sop_instance.as_str())?;
        Ok(Candidate {
            instance,
            digest,
            urgency: self.urgency.max(Urgency::of(&walked.outline)),
            calling: self.calling,
            received: SystemTime::now(),
            content,
        })
    }
}

/// Walks over a whole data set; nothing of it is believed before.
pub(super) fn walk(place: &Location) -> Result<Walked, HeaderError> {
    sound(part10::walk(place, LARGEST_INFLATED), place)
}

fn sound(walked: Result<Walked, ReadError>, place: &Location) -> Result<Walked, HeaderError> {
    let walked = walked.map_err(|error| HeaderError::new(place, error))?;
    match &walked.soundness {
        Ok(()) => Ok(walked),
        Err(fault) => Err(HeaderError::unsound(place, fault)),
    }
}

fn agree(attribute: &'static str, found: &str, announced: &str) -> Result<(), SpoolError> {
    match found == announced {
        true => Ok(()),
        false => Err(SpoolError::Mismatch { attribute, found: found.to_owned(), announced: announced.to_owned() }),
    }
}

impl Spool {
    /// A name that no other object has on its way in.
    fn part(&self) -> PathBuf {
        self.0.layout.part(self.0.parts.fetch_add(1, Ordering::Relaxed))
    }

    fn check_space(&self) -> Result<(), SpoolError> {
        self.0.layout.check_space(self.0.min_free_mib)
    }
}
