//! What is open while a data set is walked over: sequences, items and encapsulated Pixel Data.

use super::encoding::Encoding;

/// What an open container has in it next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    /// The elements of an item.
    Elements,
    /// The items of a sequence.
    Items,
    /// The first item of encapsulated Pixel Data (PS3.5 A.4).
    OffsetTable,
    /// The further ones.
    Fragments,
}

/// What closes a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    Length,
    Delimiter,
}

#[derive(Debug)]
pub(super) struct Container {
    pub(super) inside: Inside,
    pub(super) closing: Closing,
    /// Where it, or what encloses it, ends at the latest.
    pub(super) limit: u64,
    /// Where its first item begins.
    pub(super) begin: u64,
    /// The encoding of what encloses it.
    pub(super) outside: Encoding,
}
