//! The files that a command's FILE and DIR arguments mean, and what each seems to be.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::pixels::Format;

/// What a command's arguments lead to.
#[derive(Debug, Default)]
pub(super) struct Collection {
    /// DICOM files, in the order of arguments and names.
    pub(super) dicom: Vec<PathBuf>,
    /// JPEG and PNG files, likewise.
    pub(super) pictures: Vec<PathBuf>,
    /// What cannot be read, each in one line.
    pub(super) faults: Vec<String>,
}

impl Collection {
    /// Nothing to do, and nothing that says why.
    pub(super) fn is_empty(&self) -> bool {
        self.dicom.is_empty() && self.pictures.is_empty() && self.faults.is_empty()
    }
}

/// How a file came to be asked for.
#[derive(Clone, Copy)]
enum Origin {
    /// The user named it and expects it to be read.
    Named,
    /// It lies below a directory, among others that may be something else.
    Found,
}

/// Files as named, directories as the files below them in the order of their names. What cannot be read is noted,
/// and the rest goes on.
pub(super) fn collect(arguments: &[PathBuf]) -> Collection {
    let mut collection = Collection::default();
    for argument in arguments {
        match fs::metadata(argument) {
            Ok(metadata) if metadata.is_dir() => collection.walk(argument),
            Ok(metadata) if metadata.is_file() => collection.add(argument, Origin::Named),
            Ok(_) => collection.fault(argument, "not a regular file"),
            Err(error) => collection.fault(argument, error),
        }
    }
    collection
}

impl Collection {
    fn fault(&mut self, path: &Path, cause: impl std::fmt::Display) {
        self.faults.push(format!("{}: {cause}", path.display()));
    }

    fn add(&mut self, path: &Path, origin: Origin) {
        match (Format::of(path), origin) {
            (Ok(Format::Picture), _) => self.pictures.push(path.to_owned()),
            // What a user names is DICOM until its reader says why not.
            (Ok(Format::Dicom), _) | (Ok(Format::Other), Origin::Named) => self.dicom.push(path.to_owned()),
            (Ok(Format::Other), Origin::Found) => {}
            (Err(error), _) => self.fault(path, error),
        }
    }

    /// Links are not followed: they may lead in circles.
    fn walk(&mut self, directory: &Path) {
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.fault(directory, error),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.walk(&entry.path()),
                Ok(kind) if kind.is_file() => self.add(&entry.path(), Origin::Found),
                Ok(_) => {}
                Err(error) => self.fault(&entry.path(), error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_sorted_and_what_is_missing_stops_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let dicom = [&[0; 128], &b"DICM"[..]].concat();
        fs::create_dir(path("b")).unwrap();
        for (name, content) in [
            ("c.dcm", &dicom[..]),
            ("a.dcm", &dicom),
            ("b/x.dcm", &dicom),
            ("p.png", b"\x89PNG\r\n\x1a\n"),
            ("n.txt", b"n"),
        ] {
            fs::write(path(name), content).unwrap();
        }
        let found = collect(&[path("none"), directory.path().to_owned(), path("n.txt")]);
        assert_eq!(found.dicom, [path("a.dcm"), path("b/x.dcm"), path("c.dcm"), path("n.txt")]);
        assert_eq!(found.pictures, [path("p.png")]);
        assert!(found.faults.len() == 1 && found.faults[0].contains("none: No such file"), "{:?}", found.faults);
    }
}
