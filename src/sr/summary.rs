//! The report read back: what a worklist and a terminal show of it.

use std::path::Path;

use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;

use crate::instance::{Header, HeaderError};

/// What a reader sees first of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Series Description (0008,103E).
    pub headline: String,
    /// Conclusion (121077, DCM).
    pub conclusion: String,
    /// Comment (121106, DCM).
    pub comment: String,
}

impl Summary {
    /// Reads a report's file; texts that it lacks are empty.
    pub fn read(path: &Path) -> Result<Self, HeaderError> {
        let header = Header::open(path)?;
        let items = header.items(tags::CONTENT_SEQUENCE);
        let said = |code: &str| items.iter().find(|item| is_named(item, code)).and_then(|i| text(i, tags::TEXT_VALUE));
        Ok(Self {
            headline: header.text(tags::SERIES_DESCRIPTION).unwrap_or_default(),
            conclusion: said("121077").unwrap_or_default(),
            comment: said("121106").unwrap_or_default(),
        })
    }
}

fn is_named(item: &InMemDicomObject, code: &str) -> bool {
    let names = item.get(tags::CONCEPT_NAME_CODE_SEQUENCE).and_then(|names| names.items());
    let name = names.and_then(<[_]>::first).and_then(|name| text(name, tags::CODE_VALUE));
    name.as_deref() == Some(code)
}

fn text(item: &InMemDicomObject, tag: dicom::core::Tag) -> Option<String> {
    Some(item.get(tag)?.to_str().ok()?.trim_end_matches([' ', '\0']).to_owned())
}
