//! The disk: what arrived is durable here before it is acknowledged, and found again after a restart.
//!
//! ```text
//! images/      <sop>-<digest>.dcm acknowledged images
//!              <n>.part           an image on its way in; removed at start
//! headers/     <sop>-<digest>.dcm what is left of images once their reports arrived: for late images of a study
//! outbox/      <sop>.dcm          reports on their way (see `delivery`)
//! failed/      <name>/<sop>.dcm   reports that a destination will not get, and why (see `delivery`)
//! quarantine/  files that could not be read at start
//! ```
//!
//! A file counts only once it is whole, synced and in the ledger; where it waits for that under its final name, its
//! content's digest is in the name. What it is, and whether it is still needed, is in the
//! [`ledger`](crate::ledger).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::{block_in_place, spawn_blocking};

use crate::config;
use crate::ids::{AeTitle, SopClassUid, SopInstanceUid, TransferSyntaxUid};
use crate::instance::{HeaderError, Instance, Urgency};
use crate::ledger::{Disposal, Ledger, LedgerError, Waiting};

mod commit;
mod disk;
mod file_meta;
mod incoming;
mod pack;
mod piece;
mod recover;
mod tidy;

pub use disk::{free_mib, write_durably};
pub use incoming::{Expected, Incoming};
pub use tidy::{Freed, Keeping};

use commit::Committer;
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
    #[error("object refused: {contents} other objects came under {instance}; find out why the sender reuses this UID")]
    TooManyContents {
        /// The UID.
        instance: SopInstanceUid,
        /// How many.
        contents: usize,
    },
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] Arc<LedgerError>),
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

impl From<LedgerError> for SpoolError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(Arc::new(error))
    }
}

/// What a C-STORE-RQ announces about the data set that follows it.
#[derive(Debug, Clone)]
pub struct Announced {
    /// Affected SOP Class UID.
    pub sop_class: SopClassUid,
    /// Affected SOP Instance UID.
    pub sop_instance: SopInstanceUid,
    /// Transfer syntax of the presentation context.
    pub transfer_syntax: TransferSyntaxUid,
    /// Who sends it.
    pub calling: AeTitle,
    /// How soon the sender wants it looked at; its data set may want it sooner.
    pub urgency: Urgency,
}

/// What became of a received object. It is durable in every case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// It was not here.
    New(Instance, Urgency),
    /// The same content under the same UID is known already.
    Same(Instance),
    /// Another content under the same UID is known already, and stays; this one is kept beside it.
    Other(Instance, Urgency, Disposal),
}

/// Objects that are written at a time: each takes a thread, and the service has 512.
const WRITERS: usize = 64;

/// The spool directory with its ledger, opened by one process at a time. Clones are the same spool.
#[derive(Debug, Clone)]
pub struct Spool(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    layout: Layout,
    ledger: Ledger,
    min_free_mib: u64,
    parts: AtomicU64,
    committer: Committer,
    writers: Semaphore,
    _lock: Arc<File>,
}

impl Spool {
    /// Opens the spool, removes what never became whole, holds files and ledger against each other, and returns what
    /// an earlier run left to be done. Files that cannot be read go to `quarantine/`.
    pub fn open(directory: &Path, settings: &config::Spool) -> Result<(Self, Vec<Waiting>), SpoolError> {
        let layout = Layout::new(directory);
        layout.create()?;
        let lock = Arc::new(layout.lock()?);
        let ledger = Ledger::open(directory)?;
        let left = recover::recover(&layout, &ledger)?;
        let committer = Committer::start(&layout, &ledger, settings, lock.clone())?;
        let opened = Opened {
            layout,
            ledger,
            min_free_mib: settings.min_free_mib,
            parts: AtomicU64::new(0),
            committer,
            writers: Semaphore::new(WRITERS),
            _lock: lock,
        };
        Ok((Self(Arc::new(opened)), left))
    }

    /// The ledger of this spool.
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// Begins to receive an object.
    pub fn receive(&self, announced: Announced, expected: Expected) -> Incoming {
        Incoming::new(self.clone(), announced, expected)
    }

    /// Writes on this thread, while another one takes over what else it had to do; a few objects at a time.
    async fn write_here<T>(&self, work: impl FnOnce() -> T) -> T {
        let _turn = self.0.writers.acquire().await;
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::CurrentThread => work(),
            _ => block_in_place(work),
        }
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
