//! The disk: what arrived is durable here before it is acknowledged, and found again after a restart.
//!
//! ```text
//! incoming/    <n>.part           a data set on its way in; removed at start
//! studies/     <study>/<sop>.dcm  acknowledged images that await their report
//! conflicts/   <study>/<sop>.<n>.dcm  another content under a SOP Instance UID that is already here
//! failed/      <study>/<sop>.dcm  images of studies that could not be reported
//! reported/    <study>-<patient key>  the report that stands for a study, remembered for a month
//! quarantine/  files that could not be read at start
//! ```
//!
//! A file appears under its final name only whole and synced, and never replaces another.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tokio::task::spawn_blocking;

use crate::config;
use crate::finding::SopReference;
use crate::ids::{AeTitle, SopClassUid, SopInstanceUid, TransferSyntaxUid};
use crate::instance::{HeaderError, Instance, Study};

mod disk;
mod file_meta;
mod incoming;
mod place;
mod recover;
mod reported;

pub use disk::free_mib;
pub use incoming::Incoming;

use disk::Layout;

/// What went wrong on the disk or with an object, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The operating system refused.
    #[error("cannot {doing} {path}: {source}; check the disk and the owner of the state directory")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Less space is left than `spool.min_free_mib`.
    #[error("{path}: {free_mib} MiB free, spool.min_free_mib is {min_free_mib}; free space on this disk")]
    OutOfSpace {
        /// The spool.
        path: PathBuf,
        /// What is left.
        free_mib: u64,
        /// What must be left.
        min_free_mib: u64,
    },
    /// Another process has this spool open.
    #[error("{path} is in use by another process; stop it, or set another state.directory")]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// The object cannot be read.
    #[error("object refused: {0}")]
    Unreadable(#[from] HeaderError),
    /// The data set is another object than its command announced.
    #[error("object refused: {attribute} of the data set is {found}, of the command {announced}")]
    Mismatch {
        /// Which attribute differs.
        attribute: &'static str,
        /// What the data set says.
        found: String,
        /// What the command says.
        announced: String,
    },
    /// So many different objects came under one SOP Instance UID that no more are kept.
    #[error("object refused: {path} and its siblings are full; find out why the sender reuses this UID")]
    TooManyConflicts {
        /// The last name tried.
        path: PathBuf,
    },
    /// A bug: the work on the disk panicked.
    #[error("internal error while {doing}; please report it")]
    Panic {
        /// What was being done.
        doing: &'static str,
    },
}

impl SpoolError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}

/// What a C-STORE-RQ announces about the data set that follows it.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Affected SOP Class UID.
    pub sop_class: SopClassUid,
    /// Affected SOP Instance UID.
    pub sop_instance: SopInstanceUid,
    /// Transfer syntax of the presentation context.
    pub transfer_syntax: TransferSyntaxUid,
    /// Who sends it.
    pub calling: AeTitle,
}

/// What became of a received object. It is durable in every case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// It was not here.
    New(Instance),
    /// The same content under the same UID was here.
    Duplicate(Instance),
    /// Another content under the same UID was here, and still is; this one is kept under `conflicts/`.
    Conflict(Instance),
}

/// The spool directory, opened by one process at a time. Clones are the same spool.
#[derive(Debug, Clone)]
pub struct Spool(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    layout: Layout,
    min_free_mib: u64,
    parts: AtomicU64,
    making_directories: Mutex<()>,
    _lock: File,
}

impl Spool {
    /// Opens the spool, removes what never became whole, and returns what an earlier run left to be done.
    /// Files that cannot be read go to `quarantine/`.
    pub fn open(directory: &Path, settings: &config::Spool) -> Result<(Self, Vec<Instance>), SpoolError> {
        let layout = Layout::new(directory);
        layout.create()?;
        let lock = layout.lock()?;
        let left = recover::recover(&layout)?;
        reported::forget(&layout.all_reported(), SystemTime::now())?;
        let opened = Opened {
            layout,
            min_free_mib: settings.min_free_mib,
            parts: AtomicU64::new(0),
            making_directories: Mutex::new(()),
            _lock: lock,
        };
        Ok((Self(Arc::new(opened)), left))
    }

    /// Begins to receive an object; refused when the disk is nearly full.
    pub async fn receive(&self, arrival: Arrival) -> Result<Incoming, SpoolError> {
        Incoming::begin(self.clone(), arrival).await
    }

    /// The report that stands for a study, if there was one in the last month.
    pub async fn last_report(&self, study: &Study) -> Result<Option<SopReference>, SpoolError> {
        let path = self.0.layout.reported(study);
        blocking("looking for an earlier report", move || Ok(reported::last(&path))).await
    }

    /// Remembers a study's report.
    pub async fn remember(&self, study: &Study, report: SopReference) -> Result<(), SpoolError> {
        let path = self.0.layout.reported(study);
        blocking("remembering a report", move || reported::remember(&path, &report)).await
    }

    /// Deletes the images of a finished study, and its directory when nothing else came in the meantime.
    pub async fn finish(&self, study: &Study) -> Result<(), SpoolError> {
        self.at_work("deleting a reported study", study, |opened, study| {
            for instance in &study.instances {
                disk::remove(&instance.path)?;
            }
            opened.layout.remove_study_directory(&study.uid)
        })
        .await
    }

    /// Moves the images of a study that could not be reported to `failed/`.
    pub async fn fail(&self, study: &Study) -> Result<(), SpoolError> {
        self.at_work("setting a failed study aside", study, |opened, study| {
            let failed = opened.layout.failed(&study.uid);
            disk::make_directory(&failed)?;
            for instance in &study.instances {
                disk::move_into(&instance.path, &failed)?;
            }
            disk::sync_directory(&failed)?;
            opened.layout.remove_study_directory(&study.uid)
        })
        .await
    }

    async fn at_work(
        &self,
        doing: &'static str,
        study: &Study,
        work: fn(&Opened, &Study) -> Result<(), SpoolError>,
    ) -> Result<(), SpoolError> {
        let (spool, study) = (self.clone(), study.clone());
        blocking(doing, move || work(&spool.0, &study)).await
    }
}

/// Does work on the disk off the async workers.
async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, SpoolError> {
    spawn_blocking(work).await.unwrap_or(Err(SpoolError::Panic { doing }))
}

#[cfg(test)]
mod tests;
