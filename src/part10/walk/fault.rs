//! What the walk finds wrong, where, and in which words.

use dicom::core::Tag;

use super::MOST_ELEMENTS;
use crate::part10::{DEEPEST, ReadError};

/// What is wrong with a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes end within an element, or an item or sequence is not closed.
    #[error("the data set ends too early")]
    Cut,
    /// A length goes beyond the file, or the enclosing item or sequence.
    #[error("a length goes beyond what encloses it")]
    Beyond,
    /// No VR of PS3.5 6.2.
    #[error("an unknown VR")]
    UnknownVr,
    /// A length that is no multiple of the size of its VR's values.
    #[error("a length that its VR cannot have")]
    NotMultiple,
    /// Undefined length where PS3.5 7.1 does not allow it.
    #[error("an undefined length where none is allowed")]
    UndefinedLength,
    /// An item, a delimiter or an element of group 0000 or 0002 where none belongs.
    #[error("an item, delimiter or element where it does not belong")]
    Misplaced,
    /// Sequences nested deeper than is read.
    #[error("sequences nested deeper than {DEEPEST}")]
    TooDeep,
    /// More elements and items than are read.
    #[error("more than {MOST_ELEMENTS} elements and items")]
    TooMany,
    /// A UID that identifies the object is none by PS3.5 9.1, or is more than one.
    #[error("no single well-formed UID")]
    NotUid,
    /// An attribute that identifies the object comes twice.
    #[error("an identifying attribute comes twice")]
    Repeated,
}

/// Why a file's data set is not to be parsed. The message has no value of the file.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The file cannot be read, or is no DICOM file.
    #[error(transparent)]
    File(#[from] ReadError),
    /// The data set breaks a rule.
    #[error("{fault}, at byte {offset}{}", .tag.map(|tag| format!(", element {tag}")).unwrap_or_default())]
    Malformed {
        /// Which rule.
        fault: Fault,
        /// Where its element begins, from the beginning of the file, or of the inflated data set.
        offset: u64,
        /// The element, or the last one before the fault.
        tag: Option<Tag>,
    },
}
