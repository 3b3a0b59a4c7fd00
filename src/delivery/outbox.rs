//! The durable queue of one destination: rows of the ledger, and the files of `outbox/` that they name.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::commitment::Outcome;
use crate::ids::{SopInstanceUid, TransactionUid};
use crate::ledger::{Ledger, LedgerError, Pending};
use crate::spool::{self, SpoolError};

/// Reports that are looked at together.
const AT_ONCE: usize = 64;

/// A queue that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The ledger's fault.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The disk's fault.
    #[error(transparent)]
    Disk(#[from] SpoolError),
}

/// What a document's file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A DICOM Part 10 file.
    Dicom,
    /// An HL7 v2 message.
    Hl7,
}

impl Format {
    const ALL: [Self; 2] = [Self::Dicom, Self::Hl7];

    fn extension(self) -> &'static str {
        match self {
            Self::Dicom => "dcm",
            Self::Hl7 => "hl7",
        }
    }
}

/// Where reports lie while they are on their way, whatever their destinations.
#[derive(Debug, Clone)]
pub(super) struct Files {
    outbox: PathBuf,
    failed: PathBuf,
}

impl Files {
    pub(super) fn new(state: &Path) -> Self {
        Self { outbox: state.join("outbox"), failed: state.join("failed") }
    }

    /// Makes a document durable, and says where. Nobody sends it before the ledger knows it.
    pub(super) fn put(&self, uid: &SopInstanceUid, format: Format, octets: &[u8]) -> Result<PathBuf, OutboxError> {
        let file = self.outbox.join(format!("{uid}.{}", format.extension()));
        spool::write_durably(&file, octets)?;
        Ok(file)
    }
}

/// The durable queue of one destination.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    ledger: Ledger,
    destination: String,
    failed: PathBuf,
}

impl Outbox {
    pub(super) fn new(ledger: &Ledger, files: &Files, destination: &str) -> Self {
        let failed = files.failed.join(destination);
        Self { ledger: ledger.clone(), destination: destination.to_owned(), failed }
    }

    /// The next reports to be tried, in their order.
    pub(super) fn due(&self, now: SystemTime) -> Result<Vec<Pending>, OutboxError> {
        Ok(self.ledger.due(&self.destination, now, AT_ONCE)?)
    }

    /// When the next report is to be tried.
    pub(super) fn next_due(&self) -> Result<Option<SystemTime>, OutboxError> {
        Ok(self.ledger.next_due(&self.destination)?)
    }

    /// The destination has it.
    pub(super) fn delivered(&self, pending: &Pending, said: &str) -> Result<(), OutboxError> {
        self.ledger.delivered(pending, &self.destination, said, SystemTime::now())?;
        for extension in Format::ALL.map(Format::extension).into_iter().chain(["txt"]) {
            // Given up earlier and tried again since; nothing depends on it.
            let _ = fs::remove_file(self.failed_file(&pending.report.sop_instance, extension));
        }
        Ok(())
    }

    /// The destination has it and is asked to commit to it; without an answer by `ask_again` it is sent again.
    pub(super) fn committing(
        &self,
        pending: &Pending,
        transaction: &TransactionUid,
        ask_again: SystemTime,
    ) -> Result<(), OutboxError> {
        Ok(self.ledger.committing(pending, &self.destination, transaction, ask_again)?)
    }

    /// Takes what the destination said of its commitment.
    pub(super) fn committed(&self, outcome: &Outcome, next: SystemTime) -> Result<(), OutboxError> {
        self.ledger.committed(outcome, next, SystemTime::now())?;
        Ok(())
    }

    /// It is tried again at `next`.
    pub(super) fn postpone(&self, pending: &Pending, why: &str, next: SystemTime) -> Result<(), OutboxError> {
        Ok(self.ledger.postpone(pending, &self.destination, why, next)?)
    }

    /// It will not be sent again; a copy goes to `failed/`, beside a text that says why.
    pub(super) fn give_up(&self, pending: &Pending, why: &str) -> Result<(), OutboxError> {
        let uid = &pending.report.sop_instance;
        let bytes = fs::read(&pending.file);
        spool::write_durably(&self.failed_file(uid, "txt"), format!("{why}\n").as_bytes())?;
        if let Ok(bytes) = bytes {
            let extension = pending.file.extension().unwrap_or_default().to_string_lossy();
            spool::write_durably(&self.failed_file(uid, &extension), &bytes)?;
        }
        Ok(self.ledger.give_up(pending, &self.destination, why, SystemTime::now())?)
    }

    fn failed_file(&self, report: &SopInstanceUid, extension: &str) -> PathBuf {
        self.failed.join(format!("{report}.{extension}"))
    }
}
