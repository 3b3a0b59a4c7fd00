//! Storage Commitment Push Model (PS3.4 annex J): what is asked, and what became of it. Neither network nor disk:
//! associations carry these values, and whoever keeps the objects judges them through [`Custody`].

use std::fmt;

use crate::ids::{SopClassUid, SopInstanceUid, TransactionUid};

mod data_set;
#[cfg(test)]
mod tests;

pub use data_set::{MOST_BYTES, MOST_REFERENCES, Undecodable};

/// Action Type ID of "Request Storage Commitment" (PS3.4 J.3.2).
pub const REQUEST_ACTION: u16 = 1;
/// Event Type ID of "Storage Commitment Request Successful" (PS3.4 J.3.3.1.1).
pub const ALL_COMMITTED_EVENT: u16 = 1;
/// Event Type ID of "Storage Commitment Request Complete - Failures Exist" (PS3.4 J.3.3.1.2).
pub const FAILURES_EXIST_EVENT: u16 = 2;

/// An object whose custody is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Referenced SOP Class UID (0008,1150).
    pub sop_class: SopClassUid,
    /// Referenced SOP Instance UID (0008,1155).
    pub sop_instance: SopInstanceUid,
}

/// Asks whoever has the objects to take responsibility for them (PS3.4 J.3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Transaction UID (0008,1195), which the outcome will carry.
    pub transaction: TransactionUid,
    /// Referenced SOP Sequence (0008,1199): at least one, at most [`MOST_REFERENCES`].
    pub references: Vec<Reference>,
}

/// What became of a request (PS3.4 J.3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Transaction UID (0008,1195) of the request.
    pub transaction: TransactionUid,
    /// Referenced SOP Sequence (0008,1199): the objects that are in safe custody.
    pub committed: Vec<Reference>,
    /// Failed SOP Sequence (0008,1198): the others, and why.
    pub failed: Vec<(Reference, FailureReason)>,
}

impl Outcome {
    /// The outcome of judging each reference by itself.
    pub fn judged(request: &Request, judge: impl Fn(&Reference) -> Result<(), FailureReason>) -> Self {
        let (mut committed, mut failed) = (Vec::new(), Vec::new());
        for reference in &request.references {
            match judge(reference) {
                Ok(()) => committed.push(reference.clone()),
                Err(reason) => failed.push((reference.clone(), reason)),
            }
        }
        Self { transaction: request.transaction.clone(), committed, failed }
    }

    /// Event Type ID (0000,1002) under which it is reported.
    pub fn event_type(&self) -> u16 {
        if self.failed.is_empty() { ALL_COMMITTED_EVENT } else { FAILURES_EXIST_EVENT }
    }
}

/// Failure Reason (0008,1197) of one object (PS3.4 J.3.3.1.2, PS3.3 C.14.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FailureReason(u16);

impl FailureReason {
    /// 0110: processing failure.
    pub const PROCESSING_FAILURE: Self = Self(0x0110);
    /// 0112: no such object instance.
    pub const NO_SUCH_INSTANCE: Self = Self(0x0112);
    /// 0119: the object is there under another SOP class.
    pub const CLASS_INSTANCE_CONFLICT: Self = Self(0x0119);
    /// 0122: referenced SOP class not supported.
    pub const CLASS_NOT_SUPPORTED: Self = Self(0x0122);
    /// 0131: the Transaction UID is in use already.
    pub const DUPLICATE_TRANSACTION: Self = Self(0x0131);
    /// 0213: resource limitation.
    pub const RESOURCE_LIMITATION: Self = Self(0x0213);

    /// A reason as it stands in a data set; every number is kept.
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// The number.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// What it means, in an administrator's words.
    pub fn words(self) -> &'static str {
        match self {
            Self::PROCESSING_FAILURE => "processing failure",
            Self::NO_SUCH_INSTANCE => "no such object",
            Self::CLASS_INSTANCE_CONFLICT => "the object is of another SOP class",
            Self::CLASS_NOT_SUPPORTED => "SOP class not supported",
            Self::DUPLICATE_TRANSACTION => "the transaction UID is in use",
            Self::RESOURCE_LIMITATION => "not enough resources",
            _ => "a reason of the peer's own",
        }
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04X} ({})", self.0, self.words())
    }
}

/// Whoever keeps objects, and says which of them are safe.
pub trait Custody: Send + Sync + 'static {
    /// Judges every reference of a request. Blocks; called away from the network's threads.
    fn outcome(&self, request: &Request) -> Outcome;
}
