//! The report: a [`Finding`](crate::finding::Finding) as a DICOM Structured Report (PS3.3 A.35, PS3.16 TID 1500).
//!
//! Four storeys, each standing on the ones before it: [`codes`] (every code once), [`content`] (content items),
//! [`template`] (the rows of the templates), [`document`] (modules around the tree, and the bytes). Beside them
//! stand [`wording`] (what the reader reads), [`attribute`] and [`identity`] (whose report it is, copied octet
//! for octet from the image), [`dates`] and [`device`] (who observes); [`summary`] reads a report back.
//! [`companion`] makes what may go with a report, from the same parts.
//!
//! A further language is a further [`wording`], a further form of the report further rows of [`template`].

mod attribute;
mod codes;
pub mod companion;
mod content;
mod dates;
mod device;
mod document;
mod identity;
mod summary;
mod template;
#[cfg(test)]
mod testimony;
mod wording;

pub use device::{Device, Installation};
pub use document::{Report, Source, SrError, document};
pub use summary::Summary;
pub use wording::{conclusion, score_text, threshold_text};
