//! What the first bytes of a file say it is.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What the first bytes of a file say it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A DICOM Part 10 file (PS3.10, 7.1).
    Dicom,
    /// A JPEG or PNG picture.
    Picture,
    /// Something else, or DICOM without its preamble.
    Other,
}

impl Format {
    /// Looks at a file.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut head = Vec::new();
        File::open(path)?.take(132).read_to_end(&mut head)?;
        let picture = head.starts_with(&[0xFF, 0xD8, 0xFF]) || head.starts_with(b"\x89PNG\r\n\x1a\n");
        Ok(match head.get(128..132) {
            Some(b"DICM") => Self::Dicom,
            _ if picture => Self::Picture,
            _ => Self::Other,
        })
    }
}
