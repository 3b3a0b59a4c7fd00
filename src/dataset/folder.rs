//! Labelled images from a directory with a folder for each class, named after it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{DatasetError, Place, Row, Rows};
use crate::pixels::Format;

/// The images below a directory; what is no image is passed over.
pub(super) fn rows(source: &Path) -> Result<Rows, DatasetError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| DatasetError::Io { path, source: error }
    };
    let mut rows = Vec::new();
    for class in sorted(source).map_err(io(source))? {
        let name = class.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !class.is_dir() || name.starts_with('.') {
            continue;
        }
        let mut files = Vec::new();
        collect(&class, &mut files).map_err(io(&class))?;
        let row = |path| Row { line: None, path, target: name.clone(), values: Vec::new() };
        rows.extend(files.into_iter().map(row));
    }
    if rows.is_empty() {
        let remedy = "make a folder for each class and put its images into it";
        return Err(DatasetError::Empty { place: Place::new(source, None), remedy });
    }
    Ok(Rows { rows, columns: Vec::new() })
}

/// Links are not followed: they may lead in circles.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for path in sorted(directory)? {
        let kind = fs::symlink_metadata(&path)?.file_type();
        if kind.is_dir() {
            collect(&path, files)?;
        } else if kind.is_file() && Format::of(&path)? != Format::Other {
            files.push(path);
        }
    }
    Ok(())
}

fn sorted(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort_unstable();
    Ok(paths)
}
