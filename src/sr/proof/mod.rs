//! The self-check: a finished report is read back from its bytes, and held against the images and the finding that it was
//! made from, before it leaves. A fault means that nothing is sent; the study is kept.

mod content;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeSet;
use std::io::Cursor;

use dicom::core::{Tag, VR};
use dicom::dictionary_std::tags;
use dicom::object::{FileMetaTable, InMemDicomObject};

use super::attribute::{items, legal, verbatim};
use super::character_set::CharacterSet;
use super::document::{Form, Report, Source};
use super::identity;
use super::template::Subject;
use crate::finding::{Finding, SopReference};
use crate::part10;

/// What is wrong with a report. The message names attributes and codes, and no value of a patient's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its bytes are no DICOM file.
    #[error("it cannot be read back ({0})")]
    Unreadable(String),
    /// The file meta information or the report's own identifiers name another object.
    #[error("it names itself otherwise than it is known by")]
    Name,
    /// An attribute that names patient, study or order is not that of the image.
    #[error("{0} is not the image's")]
    Identity(Tag),
    /// Its content refers to an object that its evidence lacks, or its evidence is not what was received.
    #[error("its references and its evidence disagree")]
    Evidence,
    /// A code lacks its value, scheme or meaning.
    #[error("a code of its content is incomplete")]
    IncompleteCode,
    /// A code is not one of the report's, or has another meaning than in the report's language.
    #[error("a code of its content is foreign to it, or has another's meaning")]
    ForeignCode,
    /// A score, its threshold and what is said of them disagree, or are not those of the finding.
    #[error("score, threshold and answer disagree")]
    Answer,
    /// The conclusion is not that of the finding.
    #[error("its conclusion is not that of the finding")]
    Conclusion,
    /// A value breaks its value representation.
    #[error("the value of {0} breaks its value representation")]
    Value(Tag),
}

/// Reads a report of `subject` back; `first` is the image that names patient and study.
pub(super) fn read(report: &Report, subject: &Subject, form: Form, first: &Source) -> Result<(), Fault> {
    let object = part10::read_written(&report.bytes).map_err(|error| Fault::Unreadable(error.to_string()))?;
    name(&object, report)?;
    identity(&object, first.header.octets())?;
    evidence(&object, subject.finding)?;
    content::codes(&object, subject.scribe)?;
    content::conclusion(&object, subject)?;
    content::answers(&object, subject.finding, form)?;
    values::legal_ones(&object, subject.scribe)
}

/// The octets of an attribute without padding, where they are ASCII.
fn plain(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let octets = verbatim(object, tag)?;
    String::from_utf8(octets).ok().map(|text| text.trim().to_owned())
}

/// The report is the object that is delivered by this name.
fn name(object: &InMemDicomObject, report: &Report) -> Result<(), Fault> {
    const PREAMBLE: u64 = 128;
    let mut file = Cursor::new(&report.bytes);
    file.set_position(PREAMBLE);
    let meta = FileMetaTable::from_reader(file).map_err(|error| Fault::Unreadable(error.to_string()))?;
    let (class, instance) = (report.sop_class.as_str(), report.sop_instance.as_str());
    let names = [
        (tags::SOP_CLASS_UID, class),
        (tags::SOP_INSTANCE_UID, instance),
        (tags::SERIES_INSTANCE_UID, report.series.as_str()),
        (tags::STUDY_INSTANCE_UID, report.study.as_str()),
    ];
    let within = names.iter().all(|(tag, uid)| plain(object, *tag).as_deref() == Some(uid));
    let outside = meta.media_storage_sop_class_uid() == class && meta.media_storage_sop_instance_uid() == instance;
    if within && outside { Ok(()) } else { Err(Fault::Name) }
}

/// Patient, study and order are the image's: by their octets or, in another character set, by their text.
fn identity(object: &InMemDicomObject, image: &InMemDicomObject) -> Result<(), Fault> {
    if plain(object, tags::STUDY_INSTANCE_UID) != plain(image, tags::STUDY_INSTANCE_UID) {
        return Err(Fault::Identity(tags::STUDY_INSTANCE_UID));
    }
    let set = |object| CharacterSet::parse(verbatim(object, tags::SPECIFIC_CHARACTER_SET).as_deref());
    let text = |object, tag| {
        let delimiters: &[u8] = if tag == tags::PATIENT_NAME { b"^=\\" } else { b"\\" };
        Some(set(object)?.decode(&verbatim(object, tag)?, delimiters)?.trim_end().to_owned())
    };
    let named = |object| verbatim(object, tags::SPECIFIC_CHARACTER_SET).map(trimmed);
    let same_set = named(object) == named(image);
    let unicode = plain(object, tags::SPECIFIC_CHARACTER_SET).as_deref() == Some("ISO_IR 192");
    if !same_set && !unicode {
        return Err(Fault::Identity(tags::SPECIFIC_CHARACTER_SET));
    }
    let same_octets = |tag| verbatim(object, tag).map(trimmed) == verbatim(image, tag).map(trimmed);
    // Escape sequences look like ASCII.
    let is_ascii = |tag| verbatim(image, tag).is_none_or(|value| value.iter().all(|c| (0x20..0x7f).contains(c)));
    let same_text = |tag| text(object, tag).is_some_and(|there| text(image, tag).as_ref() == Some(&there));
    let same = |tag: &Tag| same_octets(*tag) && (same_set || is_ascii(*tag)) || !same_set && same_text(*tag);
    if let Some(other) = identity::names().find(|tag| !same(tag)) {
        return Err(Fault::Identity(other));
    }
    let facts = [
        (tags::PATIENT_BIRTH_DATE, VR::DA),
        (tags::PATIENT_SEX, VR::CS),
        (tags::STUDY_DATE, VR::DA),
        (tags::STUDY_TIME, VR::TM),
    ];
    match facts.into_iter().find(|(tag, vr)| legal(image, *tag, *vr) != verbatim(object, *tag).map(trimmed)) {
        Some((other, _)) => Err(Fault::Identity(other)),
        None => Ok(()),
    }
}

fn trimmed(value: Vec<u8>) -> Vec<u8> {
    value.trim_ascii_end().to_vec()
}

/// The evidence is all that was received, each once; every reference of the content is in it, every image referred to.
fn evidence(object: &InMemDicomObject, finding: &Finding) -> Result<(), Fault> {
    let mut listed = Vec::new();
    for study in items(object, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE) {
        if plain(study, tags::STUDY_INSTANCE_UID).as_deref() != Some(finding.study.as_str()) {
            return Err(Fault::Evidence);
        }
        for series in items(study, tags::REFERENCED_SERIES_SEQUENCE) {
            let uid = plain(series, tags::SERIES_INSTANCE_UID).unwrap_or_default();
            let references = items(series, tags::REFERENCED_SOP_SEQUENCE).iter().map(reference);
            listed.extend(references.map(|(class, instance)| (uid.clone(), class, instance)));
        }
    }
    let known = |reference: &SopReference| {
        let [series, class, instance] =
            [reference.series.as_str(), reference.sop_class.as_str(), reference.sop_instance.as_str()];
        (series.to_owned(), class.to_owned(), instance.to_owned())
    };
    let images = finding.images.iter().map(|image| &image.image);
    let received: BTreeSet<_> = images
        .clone()
        .map(|image| &image.sop_instance)
        .chain(finding.evidence.iter().map(|e| &e.sop_instance))
        .collect();
    let instances: BTreeSet<_> = listed.iter().map(|(_, _, instance)| instance.as_str()).collect();
    let complete =
        received.iter().map(|uid| uid.as_str()).eq(instances.iter().copied()) && listed.len() == instances.len();
    let referred = content::references(object);
    let there: BTreeSet<_> = listed.iter().map(|(_, class, instance)| (class.clone(), instance.clone())).collect();
    let images_listed = images.clone().all(|image| listed.contains(&known(image)));
    let images_referred = images
        .clone()
        .all(|image| referred.contains(&(image.sop_class.as_str().to_owned(), image.sop_instance.as_str().to_owned())));
    if complete && images_listed && images_referred && referred.is_subset(&there) {
        Ok(())
    } else {
        Err(Fault::Evidence)
    }
}

/// SOP Class and Instance of a reference (PS3.3 table 10-11).
fn reference(item: &InMemDicomObject) -> (String, String) {
    let uid = |tag| plain(item, tag).unwrap_or_default();
    (uid(tags::REFERENCED_SOP_CLASS_UID), uid(tags::REFERENCED_SOP_INSTANCE_UID))
}
