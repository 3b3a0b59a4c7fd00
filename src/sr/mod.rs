//! The report: a [`Finding`](crate::finding::Finding) as a DICOM Structured Report (PS3.3 A.35, PS3.16 TID 1500).
//!
//! Four storeys, each standing on the ones before it: [`codes`] (every code once), [`content`] (content items),
//! [`template`] and [`plain_text`] (the rows of the trees), [`document`] (with [`modules`] around the tree, and the bytes).
//! Beside them stand [`language`] and [`wording`] (what the reader reads), [`character_set`] and [`scribe`] (in which octets),
//! [`attribute`] and [`identity`] (whose report it is, copied from the image), [`dates`] and [`device`] (who observes).
//! [`proof`] reads every report back before it leaves; [`summary`] reads one for a list.
//! [`companion`] makes what may go with a report, from the same parts.
//!
//! A further language is a further file of [`language`], a further form of the report further rows of [`template`].

mod attribute;
mod character_set;
mod codes;
pub mod companion;
mod content;
mod dates;
mod device;
mod document;
mod identity;
mod language;
mod modules;
mod plain_text;
mod proof;
mod scribe;
mod summary;
mod template;
#[cfg(test)]
mod testimony;
mod wording;

pub use device::{Device, Installation};
pub use document::{Report, Source, SrError, document, documents};
pub use proof::Fault;
pub use scribe::header_in_unicode;
pub use summary::Summary;
pub use wording::{Words, conclusion, score_number, score_text, threshold_text, words};
