//! Where the octets of a file of weights are: in memory, or in the file, which is read piece by piece when they are asked for.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::buffer::spare_capacity;
use rustix::io::{pread, retry_on_intr};

/// Octets that are read at a time: they stay in a second-level cache while they are used. A multiple of what a number takes.
const PIECE: usize = 1 << 16;

/// The octets of a file of weights.
#[derive(Clone, Copy)]
pub(super) enum Octets<'a> {
    /// All of them.
    Memory(&'a [u8]),
    /// To be read.
    File(&'a WeightsFile),
}

/// A file that is read piece by piece, some pieces twice, so that its octets take no memory. What was read counts only if
/// [`WeightsFile::is_unchanged`] says so afterwards.
pub(super) struct WeightsFile {
    file: File,
    opened: State,
    fault: Mutex<Option<io::Error>>,
}

/// What changes with the octets of a file.
#[derive(Debug, PartialEq, Eq)]
struct State {
    length: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl State {
    fn of(file: &File) -> io::Result<Self> {
        let now = file.metadata()?;
        let (written, changed) = ((now.mtime(), now.mtime_nsec()), (now.ctime(), now.ctime_nsec()));
        Ok(Self { length: now.len(), written, changed })
    }
}

impl WeightsFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self { opened: State::of(&file)?, file, fault: Mutex::default() })
    }

    /// Whether nobody has written to the file since it was opened.
    ///
    /// # Errors
    /// What the system said when some of it could not be read.
    pub(super) fn is_unchanged(&self) -> io::Result<bool> {
        match self.fault.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(fault) => Err(fault),
            None => Ok(State::of(&self.file)? == self.opened),
        }
    }

    fn pieces(&self, which: Range<usize>, mut show: impl FnMut(&[u8])) {
        for first in which.clone().step_by(PIECE) {
            match self.read(first..which.end.min(first + PIECE)) {
                Ok(piece) => show(&piece),
                Err(fault) => {
                    self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
                    return;
                }
            }
        }
    }

    /// Some of them, in memory that is not cleared first.
    fn read(&self, which: Range<usize>) -> io::Result<Vec<u8>> {
        let mut octets = Vec::with_capacity(which.len());
        while octets.len() < which.len() {
            let next = (which.start + octets.len()) as u64;
            if retry_on_intr(|| pread(&self.file, spare_capacity(&mut octets), next))? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        octets.truncate(which.len());
        Ok(octets)
    }
}

impl<'a> From<&'a [u8]> for Octets<'a> {
    fn from(octets: &'a [u8]) -> Self {
        Self::Memory(octets)
    }
}

impl<'a> From<&'a Vec<u8>> for Octets<'a> {
    fn from(octets: &'a Vec<u8>) -> Self {
        Self::Memory(octets)
    }
}

impl<'a> From<&'a WeightsFile> for Octets<'a> {
    fn from(file: &'a WeightsFile) -> Self {
        Self::File(file)
    }
}

impl Octets<'_> {
    /// How many there are.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Memory(octets) => octets.len(),
            Self::File(file) => usize::try_from(file.opened.length).unwrap_or(usize::MAX),
        }
    }

    /// Shows some of them in order, in pieces that end between two numbers where the first one begins with a number. None is
    /// shown that is beyond the end or cannot be read.
    pub(super) fn show(&self, which: Range<usize>, mut show: impl FnMut(&[u8])) {
        match self {
            Self::Memory(octets) => show(octets.get(which).unwrap_or_default()),
            Self::File(file) => file.pieces(which, show),
        }
    }

    /// Some of them, together; fewer where there are not so many.
    pub(super) fn read(&self, which: Range<usize>) -> Vec<u8> {
        let mut octets = Vec::new();
        self.show(which, |piece| octets.extend_from_slice(piece));
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_what_memory_gives() {
        let octets: Vec<u8> = (0..3 * PIECE + 5).map(|index| (index % 251) as u8).collect();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("octets");
        std::fs::write(&path, &octets).unwrap();
        let file = WeightsFile::open(&path).unwrap();
        let (memory, from_file) = (Octets::from(&octets), Octets::from(&file));
        assert_eq!(from_file.length(), memory.length());
        for which in [0..0, 0..8, 3..PIECE + 3, PIECE - 1..3 * PIECE + 5, 0..octets.len()] {
            assert_eq!(from_file.read(which.clone()), octets[which.clone()]);
            assert_eq!(memory.read(which.clone()), octets[which]);
        }
        assert!(file.is_unchanged().unwrap());
    }

    #[test]
    fn what_is_missing_or_written_meanwhile_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("octets");
        std::fs::write(&path, [1; 100]).unwrap();
        let file = WeightsFile::open(&path).unwrap();
        assert!(Octets::from(&file).read(90..110).is_empty());
        assert_eq!(file.is_unchanged().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);

        let file = WeightsFile::open(&path).unwrap();
        // Until the system's clock for files goes on.
        while State::of(&File::open(&path).unwrap()).unwrap() == file.opened {
            std::fs::write(&path, [2; 100]).unwrap();
        }
        assert_eq!(Octets::from(&file).read(0..2), [2, 2]);
        assert!(!file.is_unchanged().unwrap());
    }

    #[test]
    fn another_file_of_the_same_name_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let [path, other] = ["octets", "other"].map(|name| directory.path().join(name));
        std::fs::write(&path, [1; 10]).unwrap();
        std::fs::write(&other, [2; 10]).unwrap();
        let file = WeightsFile::open(&path).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_eq!(Octets::from(&file).read(0..10), [1; 10]);
    }
}
