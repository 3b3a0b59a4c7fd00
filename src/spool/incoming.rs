//! One object on its way in: streamed to the disk, then checked, synced and given its place.

use std::fs::File;
use std::io::Write;
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use bytes::Bytes;
use rustix::fs::{Advice, FallocateFlags};

use super::commit::{Candidate, Content};
use super::piece::Piece;
use super::{Announced, Spool, SpoolError, Stored, blocking, disk, file_meta};
use crate::digest::{Digest, Digester};
use crate::instance::{HeaderError, Instance, Urgency};
use crate::part10::{self, Location, ReadError, Walked};

/// Bytes gathered in memory before an object gets a file of its own.
const GATHER_BYTES: u64 = 256 * 1024;
/// Bytes that the disk is told to begin with at a time.
const EARLY_BYTES: u64 = 512 * 1024;
/// Most bytes that the disk keeps free for an object before they come.
const MOST_RESERVED: u64 = 32 * 1024 * 1024;
/// Bytes that a deflated data set may inflate to; a second's work.
const LARGEST_INFLATED: u64 = 1 << 30;

/// How large an object probably is: as large as the one before on its association.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Expected {
    /// It may be gathered in memory, and go to the disk together with others.
    #[default]
    Small,
    /// It gets a file of its own at once, and nobody waits until enough of it is gathered.
    Large {
        /// What the disk keeps free for it, if it can.
        bytes: u64,
    },
}

/// An object that is being received. Dropped without [`Incoming::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct Incoming {
    spool: Spool,
    announced: Announced,
    expected: Expected,
    /// Its file, once so much came that it needs one, or why it has none any more.
    part: Result<Option<Part>, SpoolError>,
    gathered: Piece,
    /// Bytes at the beginning of `gathered` that are file meta information, not data set.
    head: usize,
}

/// A file and the digest of what is in it.
#[derive(Debug)]
struct Part {
    name: PartName,
    file: File,
    written: u64,
    /// Bytes that the disk keeps free for it.
    reserved: u64,
    /// How much of it the disk was told to begin with.
    begun: u64,
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
    fn create(spool: &Spool, expected: Expected) -> Result<Self, SpoolError> {
        spool.check_space()?;
        let path = spool.part();
        let file = disk::create_file(&path)?;
        let reserved = reserve(&file, expected);
        Ok(Self { name: PartName(path), file, written: 0, reserved, begun: 0, digest: Digester::default() })
    }

    /// Writes a piece, of which all but the first `head` bytes belong to the data set.
    fn write(&mut self, piece: Piece, head: usize) -> Result<(), SpoolError> {
        self.written += u64::try_from(piece.length()).unwrap_or_default();
        piece.write(&mut self.file, &mut self.digest, head).map_err(SpoolError::io("write", self.name.as_path()))
    }

    /// Writes bytes of the data set; refused when the disk is nearly full.
    fn append(&mut self, fragment: &[u8], spool: &Spool) -> Result<(), SpoolError> {
        let whole = self.written - self.written % EARLY_BYTES;
        if whole > self.begun {
            spool.check_space()?;
            self.begin_early(whole);
        }
        self.digest.update(fragment);
        self.written += u64::try_from(fragment.len()).unwrap_or_default();
        self.file.write_all(fragment).map_err(SpoolError::io("write", self.name.as_path()))
    }

    /// Gives back what was reserved and is not needed.
    fn release(&self) -> Result<(), SpoolError> {
        match self.written < self.reserved {
            true => self.file.set_len(self.written).map_err(SpoolError::io("cut", self.name.as_path())),
            false => Ok(()),
        }
    }

    /// Lets the disk begin with what is written up to `end`, so that less is left to wait for when the object is
    /// complete. The pages are dirty, so "not needed" means written back, not dropped. They are whole: a page that is
    /// written twice makes the disk's flush longer.
    fn begin_early(&mut self, end: u64) {
        let length = NonZeroU64::new(end - self.begun);
        if let Err(error) = rustix::fs::fadvise(&self.file, self.begun, length, Advice::DontNeed) {
            tracing::debug!(%error, "no early write-back");
        }
        self.begun = end;
    }
}

/// Has the disk keep room for what is expected, so that it need not look for some at each write; how much it keeps. It
/// does not change the file's length.
fn reserve(file: &File, expected: Expected) -> u64 {
    let Expected::Large { bytes } = expected else { return 0 };
    let bytes = bytes.min(MOST_RESERVED);
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        Ok(()) => bytes,
        Err(error) => {
            tracing::debug!(%error, "no room is kept for an object");
            0
        }
    }
}

impl Incoming {
    pub(super) fn new(spool: Spool, announced: Announced, expected: Expected) -> Self {
        let mut gathered = Piece::default();
        gathered.push(file_meta::write(&announced).into());
        Self { spool, announced, expected, part: Ok(None), head: gathered.length(), gathered }
    }

    /// Takes the next bytes of the data set into memory.
    pub fn gather(&mut self, fragment: Bytes) {
        if self.part.is_ok() {
            self.gathered.push(fragment);
        }
    }

    /// Whether what is gathered belongs on the disk.
    pub fn is_full(&self) -> bool {
        let begins = self.expected != Expected::Small && matches!(self.part, Ok(None));
        begins || self.gathered() >= GATHER_BYTES
    }

    /// What is to be expected of an object that follows.
    pub fn size(&self) -> Expected {
        let written = self.part.as_ref().map_or(0, |part| part.as_ref().map_or(0, |part| part.written));
        match written + self.gathered() {
            bytes if bytes < GATHER_BYTES => Expected::Small,
            bytes => Expected::Large { bytes },
        }
    }

    fn gathered(&self) -> u64 {
        u64::try_from(self.gathered.length()).unwrap_or_default()
    }

    /// Puts what is gathered on the disk, and then what `source` hands on; this thread waits for both. What the disk
    /// does not take breaks the source off, and is told by [`Incoming::commit`].
    pub async fn pour<T>(&mut self, source: impl FnOnce(&mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> T) -> T {
        let spool = self.spool.clone();
        let work = || {
            self.put_down();
            source(&mut |fragment| {
                if let Ok(Some(part)) = &mut self.part
                    && let Err(error) = part.append(fragment, &spool)
                {
                    self.part = Err(error);
                }
                if self.part.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
        };
        spool.write_here(work).await
    }

    fn put_down(&mut self) {
        let (gathered, head) = (std::mem::take(&mut self.gathered), std::mem::take(&mut self.head));
        let part = std::mem::replace(&mut self.part, Ok(None));
        self.part = part.and_then(|part| {
            let mut part = match part {
                Some(part) => self.spool.check_space().map(|()| part)?,
                None => Part::create(&self.spool, self.expected)?,
            };
            part.write(gathered, head)?;
            Ok(Some(part))
        });
    }

    /// The data set is complete: checks it, makes it durable and gives it its place in the spool.
    pub async fn commit(mut self) -> Result<Stored, SpoolError> {
        let part = std::mem::replace(&mut self.part, Ok(None))?;
        let spool = self.spool.clone();
        let candidate = match part {
            // A hop to another thread takes longer than this.
            None if self.announced.transfer_syntax.as_str() != part10::DEFLATED => self.checked()?,
            None => blocking("checking an object", move || self.checked()).await?,
            Some(part) => spool.write_here(|| self.sealed(part)).await?,
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
        part.release()?;
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
