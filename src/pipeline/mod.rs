//! One study from spool to outbox: the only room that knows the order.

mod examine;
pub mod line;
mod parcels;
mod study;
mod turn;

use crate::delivery::OutboxError;
use crate::inference::InferenceError;
use crate::instance::HeaderError;
use crate::ledger::LedgerError;
use crate::sr::SrError;

pub use examine::{Examination, ExaminedImage, Examiner, Foreknowledge, Foreseen, LookError, Seen, decoder};
pub use study::Pipeline;

/// A study that did not become a report.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// A spooled file cannot be read any more.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The report could not be written.
    #[error(transparent)]
    Report(#[from] SrError),
    /// No process that decodes images can be started.
    #[error("no decoder can be started: {0}; raise the limit on processes or memory")]
    Decoder(std::io::Error),
    /// The model has ended.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// The report could not be queued.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The study could not be read from the ledger, or concluded in it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A worker thread panicked.
    #[error("a fault of Auscult's own in {0}; please report it")]
    Panic(&'static str),
}

impl PipelineError {
    /// Whether the same study may well succeed later, without anybody mending the study itself.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Inference(_) | Self::Decoder(_) | Self::Outbox(_) | Self::Ledger(_) => true,
            Self::Header(HeaderError::Io { .. }) => true,
            Self::Header(_) | Self::Report(_) | Self::Panic(_) => false,
        }
    }
}
