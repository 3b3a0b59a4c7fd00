//! What an earlier run left: unfinished files are removed, files and ledger held against each other. A file that the
//! ledger does not know is adopted, or set aside where it cannot be; a row whose file is gone is told of.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::disk::{self, Layout};
use super::incoming::walk;
use super::{SpoolError, file_meta};
use crate::ids::SopInstanceUid;
use crate::instance::{HeaderError, Instance, Urgency};
use crate::ledger::{Arrival, Digest, Disposal, Held, Known, Ledger, Waiting};

/// Brings directory and ledger into the state that the running spool keeps them in.
pub(super) fn recover(layout: &Layout, ledger: &Ledger) -> Result<Vec<Waiting>, SpoolError> {
    for path in files(&layout.images())? {
        match path.extension() {
            Some(extension) if extension == "part" => disk::remove(&path)?,
            _ => check_image(layout, ledger, &path)?,
        }
    }
    disk::sync_directory(&layout.images())?;
    for report in files(&layout.outbox())? {
        if !ledger.knows_report(&report)? {
            set_aside(layout, &report, "no study has this report; if one needs it, it is made again")?;
        }
    }
    let mut left = Vec::new();
    for waiting in ledger.waiting()? {
        match waiting.instance.path.exists() {
            true => left.push(waiting),
            false => note_lost(ledger, &waiting.instance, "its file is gone from images/")?,
        }
    }
    Ok(left)
}

/// Holds one file of `images/` against its row.
fn check_image(layout: &Layout, ledger: &Ledger, path: &Path) -> Result<(), SpoolError> {
    let Some(uid) = uid_of(path) else {
        return set_aside(layout, path, "its name is not that of an image");
    };
    match ledger.held(&uid, path)? {
        Some(Held::Waiting(bytes)) if size(path)? != bytes => {
            let instance = Instance::open(path);
            set_aside(layout, path, "its size is not what it was")?;
            match instance {
                Ok(instance) => note_lost(ledger, &instance, "its file was damaged and lies in quarantine/"),
                Err(_) => Ok(()),
            }
        }
        Some(Held::Waiting(_) | Held::Kept) => Ok(()),
        Some(Held::Gone) => disk::remove(path),
        None => adopt(layout, ledger, path),
    }
}

/// Takes a file in that no row knows: it was durable, but the record of it was not.
fn adopt(layout: &Layout, ledger: &Ledger, path: &Path) -> Result<(), SpoolError> {
    let (instance, urgency) = match identify(path) {
        Ok(identified) => identified,
        Err(HeaderError::Io { source, .. }) => return Err(SpoolError::io("read", path)(source)),
        Err(error) => return set_aside(layout, path, &error.to_string()),
    };
    let digest = digest(path).map_err(SpoolError::io("read", path))?;
    if *path != layout.image(&instance.sop_instance, &digest) {
        return set_aside(layout, path, "its name is not that of its content");
    }
    if ledger.known(&instance.sop_instance, &digest)? == Known::Same {
        tracing::info!(file = %path.display(), "an image that was done with is deleted");
        return disk::remove(path);
    }
    let Some(calling) = file_meta::sender(path) else {
        return set_aside(layout, path, "its file meta information is not Auscult's");
    };
    let arrival = Arrival {
        digest,
        bytes: size(path)?,
        calling,
        received: SystemTime::now(),
        urgency,
        disposal: Disposal::Report,
        instance,
    };
    tracing::info!(instance = %arrival.instance.sop_instance, "an image without a record was adopted");
    Ok(ledger.record(&[arrival])?)
}

fn identify(path: &Path) -> Result<(Instance, Urgency), HeaderError> {
    let walked = walk(path)?;
    Ok((Instance::from_walk(path, &walked)?, Urgency::of(&walked.outline)))
}

fn digest(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    file_meta::seek_to_data_set(&mut file)?;
    Ok(blake3::Hasher::new().update_reader(file)?.finalize().into())
}

/// An image's SOP Instance UID, from its name.
fn uid_of(path: &Path) -> Option<SopInstanceUid> {
    let (uid, _) = path.file_name()?.to_str()?.strip_suffix(".dcm")?.split_once('-')?;
    uid.parse().ok()
}

fn size(path: &Path) -> Result<u64, SpoolError> {
    Ok(fs::metadata(path).map_err(SpoolError::io("measure", path))?.len())
}

fn note_lost(ledger: &Ledger, instance: &Instance, why: &str) -> Result<(), SpoolError> {
    tracing::error!(
        study = %instance.study, instance = %instance.sop_instance, why,
        "an acknowledged image cannot be reported; have it sent again"
    );
    Ok(ledger.lost(instance, why, SystemTime::now())?)
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
    let read = fs::read_dir(directory).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = read.map_err(SpoolError::io("list", directory))?;
    paths.sort();
    let (files, others) = paths.into_iter().partition::<Vec<_>, _>(|path| path.is_file());
    for other in others {
        tracing::warn!(path = %other.display(), "this has no place in the spool; remove it");
    }
    Ok(files)
}
