//! The files that a command's FILE and DIR arguments mean.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file, and whether it was named or found in a directory that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// Named by the user, who expects it to be read.
    Named(PathBuf),
    /// Found below a directory, among others that may be something else.
    Found(PathBuf),
}

impl Input {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Named(path) | Self::Found(path) => path,
        }
    }

    pub(super) fn into_path(self) -> PathBuf {
        match self {
            Self::Named(path) | Self::Found(path) => path,
        }
    }

    /// Whether it is meant to be DICOM: what the user named always is, what a directory holds when its first bytes
    /// say so (PS3.10 7.1).
    pub(super) fn is_meant_as_dicom(&self) -> bool {
        match self {
            Self::Named(_) => true,
            Self::Found(path) => {
                let mut prefix = [0; 132];
                let read = File::open(path).and_then(|mut file| file.read_exact(&mut prefix));
                read.is_ok() && prefix.ends_with(b"DICM")
            }
        }
    }
}

/// Files as named, directories as the files below them in the order of their names.
pub(super) fn collect(arguments: &[PathBuf]) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for argument in arguments {
        let metadata = std::fs::metadata(argument).with_context(|| argument.display().to_string())?;
        if metadata.is_dir() {
            walk(argument, &mut inputs)?;
        } else {
            inputs.push(Input::Named(argument.clone()));
        }
    }
    Ok(inputs)
}

fn walk(directory: &Path, inputs: &mut Vec<Input>) -> Result<()> {
    let entries = std::fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = entries.with_context(|| directory.display().to_string())?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        // Links are not followed: they may lead in circles.
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), inputs)?;
        } else if kind.is_file() {
            inputs.push(Input::Found(entry.path()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_walked_in_order_and_missing_files_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir(path("b")).unwrap();
        for name in ["c.dcm", "a.dcm", "b/x.dcm"] {
            std::fs::write(path(name), "").unwrap();
        }
        let found = collect(&[path("c.dcm"), directory.path().to_owned()]).unwrap();
        assert_eq!(found[0], Input::Named(path("c.dcm")));
        let rest: Vec<_> = found[1..].iter().map(|input| input.path().to_owned()).collect();
        assert_eq!(rest, [path("a.dcm"), path("b/x.dcm"), path("c.dcm")]);
        assert!(format!("{:#}", collect(&[path("none")]).unwrap_err()).contains("none: No such file"));
    }
}
