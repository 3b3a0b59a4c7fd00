//! What an earlier run left: unfinished files are removed, whole ones returned, unreadable ones set aside.

use std::fs;
use std::path::{Path, PathBuf};

use super::SpoolError;
use super::disk::{self, Layout};
use super::place::read_identity;
use crate::instance::Instance;

/// Brings the directory into the state that the running spool keeps it in.
pub(super) fn recover(layout: &Layout) -> Result<Vec<Instance>, SpoolError> {
    for part in files(&layout.incoming())? {
        disk::remove(&part)?;
    }
    let mut left = Vec::new();
    for study in entries(&layout.studies())? {
        if !study.is_dir() {
            set_aside(layout, &study, "it lies outside a study's directory")?;
            continue;
        }
        for path in files(&study)? {
            left.extend(adopt(layout, path)?);
        }
        if fs::remove_dir(&study).is_err() {
            disk::sync_directory(&study)?;
        }
    }
    disk::sync_directory(&layout.studies())?;
    Ok(left)
}

/// An instance, if the file holds the one that its name says.
fn adopt(layout: &Layout, path: PathBuf) -> Result<Option<Instance>, SpoolError> {
    match read_identity(&path) {
        Ok(instance) if path == layout.instance(&instance.study, &instance.sop_instance) => Ok(Some(instance)),
        Ok(_) => set_aside(layout, &path, "its name is not that of its content").map(|()| None),
        Err(error) => set_aside(layout, &path, &error.to_string()).map(|()| None),
    }
}

fn set_aside(layout: &Layout, path: &Path, why: &str) -> Result<(), SpoolError> {
    let quarantine = layout.quarantine();
    disk::make_directory(&quarantine)?;
    let kept = disk::move_into(path, &quarantine)?;
    disk::sync_directory(&quarantine)?;
    tracing::warn!(
        file = %path.display(), kept_as = %kept.display(), why,
        "a file in the spool cannot be used and was set aside; send its study again if it has no report"
    );
    Ok(())
}

/// The files of a directory. What else is in it was not put there by Auscult and stays.
fn files(directory: &Path) -> Result<Vec<PathBuf>, SpoolError> {
    let (files, others) = entries(directory)?.into_iter().partition::<Vec<_>, _>(|path| path.is_file());
    for other in others {
        tracing::warn!(path = %other.display(), "this has no place in the spool; remove it");
    }
    Ok(files)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, SpoolError> {
    let read = fs::read_dir(directory).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = read.map_err(SpoolError::io("list", directory))?;
    paths.sort();
    Ok(paths)
}
