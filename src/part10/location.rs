//! Where DICOM Part 10 bytes lie: in a file of their own, or between others in one.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::Advice;
use serde::{Deserialize, Serialize};

/// What is smaller than this is not worth the call that gives its memory back.
const LARGE_BYTES: u64 = 1024 * 1024;
/// Where the header of an image ends at the latest, as a rule.
const HEADER_BYTES: u64 = 64 * 1024;

/// Where a Part 10 file lies. As text, a stretch of a file is `PATH[BEGIN+LENGTH]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    file: PathBuf,
    stretch: Option<Stretch>,
}

/// A part of a file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stretch {
    /// Where it begins.
    pub begin: u64,
    /// How long it is.
    pub length: u64,
}

impl Location {
    /// A stretch of a file that holds several.
    pub fn within(file: PathBuf, stretch: Stretch) -> Self {
        Self { file, stretch: Some(stretch) }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Its stretch of the file; `None` where the file holds nothing else.
    pub fn stretch(&self) -> Option<Stretch> {
        self.stretch
    }

    /// Below `root`, what [`Display`](fmt::Display) says of a location relative to it.
    pub fn below(root: &Path, text: &str) -> Self {
        let stretch = |text: &str| {
            let (file, stretch) = text.strip_suffix(']')?.rsplit_once('[')?;
            let (begin, length) = stretch.split_once('+')?;
            Some((root.join(file), Stretch { begin: begin.parse().ok()?, length: length.parse().ok()? }))
        };
        match stretch(text) {
            Some((file, stretch)) => Self::within(file, stretch),
            None => root.join(text).into(),
        }
    }

    /// The same as seen from a directory that it lies below.
    pub fn relative_to(&self, root: &Path) -> Self {
        Self { file: self.file.strip_prefix(root).unwrap_or(&self.file).to_owned(), stretch: self.stretch }
    }

    /// Whether the file is there.
    pub fn is_there(&self) -> io::Result<bool> {
        self.file.try_exists()
    }

    /// Gives back the memory in which the system keeps the pixels of a large image that is safely on the disk. Who reads
    /// them later has them from there; the header stays at hand.
    pub fn forget_pixels(&self) -> io::Result<()> {
        let content = self.open()?;
        let Stretch { begin, length } = content.stretch();
        if length < LARGE_BYTES {
            return Ok(());
        }
        let pixels = NonZeroU64::new(length - HEADER_BYTES);
        Ok(rustix::fs::fadvise(&content.file, begin + HEADER_BYTES, pixels, Advice::DontNeed)?)
    }

    /// Opens it for reading, beginning with the preamble.
    pub fn open(&self) -> io::Result<Content> {
        let file = File::open(&self.file)?;
        let stretch = match self.stretch {
            Some(stretch) => stretch,
            None => Stretch { begin: 0, length: file.metadata()?.len() },
        };
        Content::within(file, stretch)
    }
}

impl<P: Into<PathBuf>> From<P> for Location {
    fn from(file: P) -> Self {
        Self { file: file.into(), stretch: None }
    }
}

impl From<&Location> for Location {
    fn from(location: &Location) -> Self {
        location.clone()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stretch {
            Some(Stretch { begin, length }) => write!(f, "{}[{begin}+{length}]", self.file.display()),
            None => self.file.display().fmt(f),
        }
    }
}

/// What lies at a location, as if it were a file of its own; it borrows as the file that it lies in.
#[derive(Debug)]
pub struct Content {
    file: File,
    begin: u64,
    length: u64,
    at: u64,
}

impl Content {
    /// A stretch of an open file.
    pub fn within(file: File, Stretch { begin, length }: Stretch) -> io::Result<Self> {
        let mut content = Self { file, begin, length, at: 0 };
        content.rewind()?;
        Ok(content)
    }

    /// A part of it; an error of kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where it does not go so far.
    pub fn part(self, part: Stretch) -> io::Result<Self> {
        let end = part.begin.checked_add(part.length).filter(|end| *end <= self.length);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        Self::within(self.file, Stretch { begin: self.begin + part.begin, ..part })
    }

    /// How long it is, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where in its file it lies.
    pub fn stretch(&self) -> Stretch {
        Stretch { begin: self.begin, length: self.length }
    }
}

impl AsFd for Content {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let read = self.file.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Content {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        let at = at.ok_or(io::Error::from(io::ErrorKind::InvalidInput))?;
        let in_file = self.begin.checked_add(at).ok_or(io::Error::from(io::ErrorKind::InvalidInput))?;
        self.file.seek(SeekFrom::Start(in_file))?;
        self.at = at;
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_stretch_reads_as_a_file_of_its_own() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "before, content, after").unwrap();
        let location = Location::within(file.path().to_owned(), Stretch { begin: 8, length: 7 });
        let mut content = location.open().unwrap();
        let mut text = String::new();
        content.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), content.length()), ("content", 7));
        assert_eq!(content.seek(SeekFrom::End(-3)).unwrap(), 4);
        text.clear();
        content.read_to_string(&mut text).unwrap();
        assert_eq!(text, "ent");
        assert_eq!(content.seek(SeekFrom::Start(9)).unwrap(), 9);
        assert_eq!(content.read(&mut [0; 4]).unwrap(), 0, "nothing of what follows");
        assert!(content.seek(SeekFrom::Current(-10)).is_err());
    }

    #[test]
    fn a_part_is_within_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "before, content, after").unwrap();
        let open = || Location::within(file.path().to_owned(), Stretch { begin: 8, length: 7 }).open().unwrap();
        let mut part = open().part(Stretch { begin: 3, length: 4 }).unwrap();
        let mut text = String::new();
        part.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), part.stretch()), ("tent", Stretch { begin: 11, length: 4 }));
        for (begin, length) in [(3, 5), (8, 0), (u64::MAX, 2)] {
            assert!(open().part(Stretch { begin, length }).is_err());
        }
    }

    /// Whether an octet is in memory: a read that must not wait for the disk gives it.
    fn at_hand(file: &File, begin: u64) -> bool {
        let mut octet = [0];
        let mut buffers = [io::IoSliceMut::new(&mut octet)];
        rustix::io::preadv2(file, &mut buffers, begin, rustix::io::ReadWriteFlags::NOWAIT) == Ok(1)
    }

    /// Whether files lie in memory only, or nobody can tell what of them does.
    fn has_no_disk(file: &File) -> bool {
        const TMPFS: i64 = 0x0102_1994;
        rustix::fs::fstatfs(file).is_ok_and(|known| known.f_type == TMPFS) || !at_hand(file, 0)
    }

    #[test]
    #[allow(clippy::print_stderr, reason = "whoever runs the test sees that it was skipped")]
    fn forgotten_pixels_come_from_the_disk() {
        let octets: Vec<u8> = (0..2 * LARGE_BYTES).map(|place| (place % 251) as u8).collect();
        // Beside the test program: a temporary directory may be memory itself.
        let program = std::env::current_exe().unwrap();
        let file = tempfile::NamedTempFile::new_in(program.parent().unwrap()).unwrap();
        for piece in octets.chunks(100_000) {
            file.as_file().write_all(piece).unwrap();
        }
        file.as_file().sync_all().unwrap();
        let location = Location::from(file.path());
        if has_no_disk(file.as_file()) {
            eprintln!("skipped: the test program lies where nobody can tell what is in memory");
            return;
        }
        // A page that the system is busy with stays, and is given back when it is asked again.
        let mut forgotten = (0..100).map(|_| {
            location.forget_pixels().unwrap();
            !at_hand(file.as_file(), LARGE_BYTES + LARGE_BYTES / 2)
        });
        assert!(forgotten.any(|forgotten| forgotten), "the pixels are given back");
        assert!(at_hand(file.as_file(), 0), "the header stays");
        let mut content = Vec::new();
        location.open().unwrap().read_to_end(&mut content).unwrap();
        assert!(content == octets);
    }

    #[test]
    fn its_text_leads_back_to_it() {
        let root = Path::new("/state");
        for location in [
            Location::from(root.join("images/1.2-ab.dcm")),
            Location::within(root.join("images/ab.pack"), Stretch { begin: 120, length: 4096 }),
        ] {
            assert_eq!(Location::below(root, &location.relative_to(root).to_string()), location);
        }
        assert_eq!(Location::below(root, "images/odd[1+x]").file(), Path::new("/state/images/odd[1+x]"));
    }
}
