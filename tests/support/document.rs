//! What a Structured Report says that reached a destination: whose it is, what it refers to and what it follows.

use std::collections::BTreeSet;

use dicom::core::Tag;
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;
use dicom::transfer_syntax::entries::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN};

/// Explicit VR Little Endian.
pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";
/// Implicit VR Little Endian.
pub const IMPLICIT: &str = "1.2.840.10008.1.2";

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its SOP Instance UID.
    pub sop_instance: String,
    /// Its Study Instance UID.
    pub study: String,
    /// Its Patient ID.
    pub patient: String,
    /// Objects of its evidence sequences.
    pub evidence: BTreeSet<String>,
    /// Objects that its content tree refers to.
    pub content: BTreeSet<String>,
    /// Reports that it follows.
    pub predecessors: BTreeSet<String>,
}

impl Document {
    /// Reads a data set.
    pub fn read(data_set: &[u8], transfer_syntax: &str) -> Self {
        let syntax = match transfer_syntax {
            EXPLICIT => EXPLICIT_VR_LITTLE_ENDIAN.erased(),
            _ => IMPLICIT_VR_LITTLE_ENDIAN.erased(),
        };
        let object = InMemDicomObject::read_dataset_with_ts(data_set, &syntax).unwrap();
        let below = |sequences: &[Tag]| sequences.iter().flat_map(|tag| references(&object, *tag)).collect();
        Self {
            sop_instance: text(&object, tags::SOP_INSTANCE_UID),
            study: text(&object, tags::STUDY_INSTANCE_UID),
            patient: text(&object, tags::PATIENT_ID),
            evidence: below(&[
                tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE,
                tags::PERTINENT_OTHER_EVIDENCE_SEQUENCE,
            ]),
            content: below(&[tags::CONTENT_SEQUENCE]),
            predecessors: below(&[tags::PREDECESSOR_DOCUMENTS_SEQUENCE]),
        }
    }
}

fn text(object: &InMemDicomObject, tag: Tag) -> String {
    let value = object.get(tag).and_then(|element| element.to_str().ok());
    value.map(|value| value.trim_end_matches(['\0', ' ']).to_owned()).unwrap_or_default()
}

/// Every Referenced SOP Instance UID (0008,1155) below a sequence.
fn references(object: &InMemDicomObject, sequence: Tag) -> Vec<String> {
    let mut found = Vec::new();
    let mut objects: Vec<&InMemDicomObject> =
        object.get(sequence).and_then(|element| element.items()).into_iter().flatten().collect();
    while let Some(object) = objects.pop() {
        for element in object {
            objects.extend(element.items().into_iter().flatten());
        }
        let uid = text(object, tags::REFERENCED_SOP_INSTANCE_UID);
        if !uid.is_empty() {
            found.push(uid);
        }
    }
    found
}
