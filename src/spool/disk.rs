//! Directories and files of the spool: private to their owner, synced with the directory they stand in.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::SpoolError;
use crate::digest::Digest;
use crate::ids::SopInstanceUid;

/// Where everything lies.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// An image on its way in, in the directory that it will stay in: its name changes within one directory.
    pub(super) fn part(&self, number: u64) -> PathBuf {
        self.images().join(format!("{number}.part"))
    }

    /// Images on their way in together.
    pub(super) fn group(&self) -> PathBuf {
        self.images().join("group.part")
    }

    pub(super) fn image(&self, instance: &SopInstanceUid, digest: &Digest) -> PathBuf {
        self.images().join(image_name(instance, digest))
    }

    /// Images that were committed together.
    pub(super) fn pack(&self, stem: &Digest) -> PathBuf {
        self.images().join(format!("{stem}.{PACK}"))
    }

    pub(super) fn headers(&self) -> PathBuf {
        self.root.join("headers")
    }

    pub(super) fn outbox(&self) -> PathBuf {
        self.root.join("outbox")
    }

    pub(super) fn failed(&self) -> PathBuf {
        self.root.join("failed")
    }

    pub(super) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(super) fn create(&self) -> Result<(), SpoolError> {
        let directories = [self.images(), self.headers(), self.outbox()];
        directories.iter().try_for_each(|directory| make_directory(directory))
    }

    /// Refuses when the disk is nearly full.
    pub(super) fn check_space(&self, min_free_mib: u64) -> Result<(), SpoolError> {
        match free_mib(&self.root)? {
            free_mib if free_mib < min_free_mib => {
                Err(SpoolError::OutOfSpace { path: self.root.clone(), free_mib, min_free_mib })
            }
            _ => Ok(()),
        }
    }

    /// Holds off a second process for as long as the returned file is open.
    pub(super) fn lock(&self) -> Result<File, SpoolError> {
        let path = self.root.join("lock");
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.map_err(SpoolError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(SpoolError::InUse { path }),
            Err(TryLockError::Error(source)) => Err(SpoolError::Io { doing: "lock", path, source }),
        }
    }
}

/// The extension of files that hold several images.
pub(super) const PACK: &str = "pack";

/// The name of an image's file.
pub(super) fn image_name(instance: &SopInstanceUid, digest: &impl fmt::Display) -> String {
    format!("{instance}-{digest}.dcm")
}

/// Makes a directory and those above it, each synced into its parent.
pub(super) fn make_directory(path: &Path) -> Result<(), SpoolError> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new(""));
    make_directory(parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(SpoolError::io("create", path)(error));
        }
        _ => {}
    }
    sync_directory(parent)
}

/// Makes the entries of a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), SpoolError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|directory| directory.sync_all()).map_err(SpoolError::io("sync", path))
}

/// A new file that only its owner can read.
pub(super) fn create_file(path: &Path) -> Result<File, SpoolError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600).open(path).map_err(SpoolError::io("create", path))
}

/// Removes a file; one that is not there is removed already.
pub(super) fn remove(path: &Path) -> Result<(), SpoolError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SpoolError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Moves a file into a directory under its own name, or the first free one after it.
pub(super) fn move_into(path: &Path, directory: &Path) -> Result<PathBuf, SpoolError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for number in 0_u64.. {
        let target = match number {
            0 => directory.join(&*name),
            _ => directory.join(format!("{name}.{number}")),
        };
        match fs::hard_link(path, &target) {
            Ok(()) => return remove(path).map(|()| target),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(target),
            Err(error) => return Err(SpoolError::io("move", path)(error)),
        }
    }
    Ok(directory.join(&*name))
}

/// How the names of files begin that [`write_durably`] has not finished.
const UNFINISHED: &str = ".part-";

/// Whether a file was being written when its writer ended.
pub(super) fn is_unfinished(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED))
}

/// Writes a file under another name, makes it durable and gives it its name, so that nobody sees half a file. A file
/// that has the name already is replaced.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), SpoolError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    make_directory(directory)?;
    let mut file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(directory)
        .map_err(SpoolError::io("create a file in", directory))?;
    let written = file.write_all(bytes).and_then(|()| file.as_file().sync_all());
    written.map_err(SpoolError::io("write", path))?;
    file.persist(path).map_err(|error| SpoolError::io("rename", path)(error.error))?;
    sync_directory(directory)
}

/// Space that an unprivileged process may still use on the disk of `path`, in MiB.
pub fn free_mib(path: &Path) -> Result<u64, SpoolError> {
    let state = rustix::fs::statvfs(path).map_err(|error| SpoolError::io("measure", path)(error.into()))?;
    Ok(state.f_bavail.saturating_mul(state.f_frsize) / (1024 * 1024))
}
