//! Fourth storey: the document, which is the modules of PS3.3 A.35 around the content tree, and its bytes.

use std::collections::BTreeMap;

use chrono::{DateTime, FixedOffset};
use dicom::core::VR;
use dicom::dictionary_std::{tags, uids};
use dicom::object::mem::InMemElement;
use dicom::object::{FileMetaTableBuilder, InMemDicomObject};
use dicom::transfer_syntax::entries;
use sha2::{Digest, Sha256};

use super::attribute::element;
use super::content::{sequence, sop_reference};
use super::dates::{dates, moment};
use super::device::Device;
use super::identity;
use super::template::measurement_report;
use super::wording;
use crate::config::ContentQualification;
use crate::finding::{Finding, Outcome, SopReference};
use crate::ids::{
    IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, SeriesInstanceUid, SopClassUid, SopInstanceUid,
    StudyInstanceUid,
};
use crate::instance::Header;

/// One image offered to the model.
#[derive(Debug, Clone)]
pub struct Source {
    /// Which it is.
    pub reference: SopReference,
    /// What it says of the patient, the study and itself.
    pub header: Header,
}

/// Why there is no document. The message names no patient.
#[derive(Debug, thiserror::Error)]
pub enum SrError {
    /// The finding names no image.
    #[error("a finding without an image cannot be reported")]
    NoImage,
    /// The images are not those of the finding, or not in its order.
    #[error("the source images are not the images of the finding")]
    Sources,
    /// The document could not be encoded.
    #[error("the report could not be encoded: {0}")]
    Encoding(String),
}

/// A finished report: a DICOM Part 10 file (PS3.10) in Explicit VR Little Endian, and what it takes to send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The study it belongs to.
    pub study: StudyInstanceUid,
    /// Its series, in which it is alone.
    pub series: SeriesInstanceUid,
    /// Its SOP class.
    pub sop_class: SopClassUid,
    /// Its instance; the same for the same images, model and outcome.
    pub sop_instance: SopInstanceUid,
    /// The file.
    pub bytes: Vec<u8>,
}

impl Report {
    /// How other objects refer to it.
    pub fn reference(&self) -> SopReference {
        SopReference {
            series: self.series.clone(),
            sop_class: self.sop_class.clone(),
            sop_instance: self.sop_instance.clone(),
        }
    }
}

/// Reports a finding. `sources` are its images in its order; the first one says whose report it is. `earlier` is the
/// report of the same study that this one follows.
///
/// The same arguments give the same bytes, but for the dates that come from `now`.
pub fn document(
    finding: &Finding,
    sources: &[Source],
    earlier: Option<&SopReference>,
    device: &Device,
    now: DateTime<FixedOffset>,
) -> Result<Report, SrError> {
    let first = sources.first().ok_or(SrError::NoImage)?;
    if !finding.images.iter().map(|image| &image.image).eq(sources.iter().map(|source| &source.reference)) {
        return Err(SrError::Sources);
    }
    let image = first.header.octets();
    let mut object = InMemDicomObject::from_element_iter(identity::taken_over(image));
    let (series, sop_instance) = instance_uids(finding, device, &fingerprint(&object)?);
    let modules = [
        sop_common(device, &sop_instance),
        sr_document_series(finding, device, &series),
        general_equipment(finding, device),
        sr_document_general(finding, image),
        dates(moment(sources, now)),
        measurement_report(finding, sources, device).into_elements().collect(),
    ];
    modules.into_iter().flatten().for_each(|element| {
        object.put(element);
    });
    object.put(element(tags::STUDY_INSTANCE_UID, VR::UI, finding.study.as_str()));
    if let Some(earlier) = earlier.filter(|earlier| earlier.sop_instance != sop_instance) {
        let predecessor = hierarchy(&finding.study, [earlier]);
        object.put(sequence(tags::PREDECESSOR_DOCUMENTS_SEQUENCE, vec![predecessor]));
    }
    Ok(Report {
        study: finding.study.clone(),
        series,
        sop_class: device.sop_class.clone(),
        sop_instance,
        bytes: part10(object)?,
    })
}

/// What the images say of patient, study and request, as a digest: another patient is another report.
fn fingerprint(identity: &InMemDicomObject) -> Result<String, SrError> {
    let mut bytes = Vec::new();
    identity
        .write_dataset_with_ts(&mut bytes, &entries::EXPLICIT_VR_LITTLE_ENDIAN.erased())
        .map_err(|error| SrError::Encoding(error.to_string()))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The report's series and instance: the same as long as everything it says is the same.
fn instance_uids(finding: &Finding, device: &Device, identity: &str) -> (SeriesInstanceUid, SopInstanceUid) {
    let uid = |reference: &SopReference| reference.sop_instance.as_str().to_owned();
    let mut images: Vec<String> = finding
        .images
        .iter()
        .map(|image| format!("{}={}", uid(&image.image), outcome(finding, image.outcome)))
        .collect();
    images.sort_unstable();
    let mut evidence: Vec<String> = finding.evidence.iter().map(uid).collect();
    evidence.sort_unstable();
    evidence.dedup();
    let point = &finding.operating_point;
    let said = [
        finding.study.as_str(),
        identity,
        &images.join("\\"),
        &evidence.join("\\"),
        &finding.algorithm.name,
        &finding.algorithm.version_with_digest(),
        device.sop_class.as_str(),
        "reading",
        "en-US",
        &wording::exact_percent(point.threshold()),
        &point.undetermined_from().map(wording::exact_percent).unwrap_or_default(),
    ];
    let derived = |what: &'static str| said.iter().copied().chain([what]).collect::<Vec<_>>();
    (SeriesInstanceUid::derived(&derived("series")), SopInstanceUid::derived(&derived("instance")))
}

/// The score as it is printed: another processor's last digit is no other report.
fn outcome(finding: &Finding, outcome: Outcome) -> String {
    match outcome {
        Outcome::Analysed(score) => wording::score_text(score, &finding.operating_point),
        Outcome::NotAnalysed(reason) => format!("{reason:?}"),
    }
}

/// SOP Common (C.12.1), but for what comes from the image.
fn sop_common(device: &Device, sop_instance: &SopInstanceUid) -> Vec<InMemElement> {
    let qualification = match device.content_qualification {
        ContentQualification::Research => "RESEARCH",
        ContentQualification::Product => "PRODUCT",
    };
    vec![
        element(tags::SOP_CLASS_UID, VR::UI, device.sop_class.as_str()),
        element(tags::SOP_INSTANCE_UID, VR::UI, sop_instance.as_str()),
        element(tags::CONTENT_QUALIFICATION, VR::CS, qualification),
    ]
}

/// SR Document Series (C.17.1).
fn sr_document_series(finding: &Finding, device: &Device, series: &SeriesInstanceUid) -> Vec<InMemElement> {
    vec![
        element(tags::MODALITY, VR::CS, "SR"),
        element(tags::SERIES_INSTANCE_UID, VR::UI, series.as_str()),
        element(tags::SERIES_NUMBER, VR::IS, device.series_number.to_string()),
        element(tags::SERIES_DESCRIPTION, VR::LO, finding.headline()),
        sequence(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, Vec::new()),
    ]
}

/// General Equipment (C.7.5.1): ours, never the image's.
pub(super) fn general_equipment(finding: &Finding, device: &Device) -> Vec<InMemElement> {
    let algorithm = &finding.algorithm;
    let model = wording::line(&format!("{} {}", algorithm.name, algorithm.version_with_digest()), 64);
    let versions = format!("{}\\{model}", env!("CARGO_PKG_VERSION"));
    let mut elements = vec![
        element(tags::MANUFACTURER, VR::LO, &device.manufacturer),
        element(tags::MANUFACTURER_MODEL_NAME, VR::LO, &device.model_name),
        element(tags::DEVICE_SERIAL_NUMBER, VR::LO, &device.serial_number),
        element(tags::SOFTWARE_VERSIONS, VR::LO, versions),
        element(tags::STATION_NAME, VR::SH, &device.station_name),
        element(tags::DEVICE_UID, VR::UI, device.uid.as_str()),
    ];
    elements.extend(device.institution_name.as_ref().map(|name| element(tags::INSTITUTION_NAME, VR::LO, name)));
    elements
}

/// SR Document General (C.17.2), but for its dates.
fn sr_document_general(finding: &Finding, image: &InMemDicomObject) -> Vec<InMemElement> {
    let why = wording::completion_description(finding);
    let mut elements = vec![
        element(tags::INSTANCE_NUMBER, VR::IS, "1"),
        element(tags::COMPLETION_FLAG, VR::CS, if why.is_some() { "PARTIAL" } else { "COMPLETE" }),
        element(tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED"),
        element(tags::PRELIMINARY_FLAG, VR::CS, "PRELIMINARY"),
        identity::performed_procedure(image),
        sequence(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, vec![evidence(finding)]),
    ];
    elements.extend(why.map(|why| element(tags::COMPLETION_FLAG_DESCRIPTION, VR::LO, why)));
    let request = identity::request(image, &finding.study);
    elements.extend(request.map(|request| sequence(tags::REFERENCED_REQUEST_SEQUENCE, vec![request])));
    elements
}

/// Every instance received of the study, each once.
fn evidence(finding: &Finding) -> InMemDicomObject {
    let mut instances: Vec<_> = finding.images.iter().map(|image| &image.image).chain(&finding.evidence).collect();
    instances.sort_by_key(|reference| &reference.sop_instance);
    instances.dedup_by_key(|reference| &reference.sop_instance);
    hierarchy(&finding.study, instances)
}

/// Instances of one study: Hierarchical SOP Instance Reference Macro (PS3.3 table C.17-3).
pub(super) fn hierarchy<'a>(
    study: &StudyInstanceUid,
    instances: impl IntoIterator<Item = &'a SopReference>,
) -> InMemDicomObject {
    let mut series: BTreeMap<&SeriesInstanceUid, Vec<InMemDicomObject>> = BTreeMap::new();
    for reference in instances {
        series.entry(&reference.series).or_default().push(sop_reference(reference));
    }
    let series = series.into_iter().map(|(uid, instances)| {
        InMemDicomObject::from_element_iter([
            element(tags::SERIES_INSTANCE_UID, VR::UI, uid.as_str()),
            sequence(tags::REFERENCED_SOP_SEQUENCE, instances),
        ])
    });
    InMemDicomObject::from_element_iter([
        element(tags::STUDY_INSTANCE_UID, VR::UI, study.as_str()),
        sequence(tags::REFERENCED_SERIES_SEQUENCE, series.collect()),
    ])
}

pub(super) fn part10(object: InMemDicomObject) -> Result<Vec<u8>, SrError> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .implementation_class_uid(IMPLEMENTATION_CLASS_UID)
        .implementation_version_name(IMPLEMENTATION_VERSION_NAME);
    let file = object.with_meta(meta).map_err(|error| SrError::Encoding(error.to_string()))?;
    let mut bytes = Vec::new();
    file.write_all(&mut bytes).map_err(|error| SrError::Encoding(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::finding::Reason;
    use crate::sr::testimony::{device, failed, finding, read_back, reference, reported, scored, source, text};

    fn at(time: &str) -> DateTime<FixedOffset> {
        DateTime::parse_from_rfc3339(time).unwrap()
    }

    fn one(outcome: Outcome, time: &str) -> Report {
        document(&finding(vec![outcome]), &[source(Vec::new())], None, &device(), at(time)).unwrap()
    }

    #[test]
    fn the_same_work_done_twice_is_the_same_report() {
        const NOON: &str = "2026-03-01T12:00:00Z";
        assert_eq!(one(scored(0.7), NOON), one(scored(0.7), NOON));
        let later = one(scored(0.7), "2026-03-02T13:00:00Z");
        assert_eq!(later.sop_instance, one(scored(0.7), NOON).sop_instance);
        assert_eq!(later.series, one(scored(0.700_000_1), NOON).series);
        for other in [scored(0.2), failed(Reason::ImageTooSmall), failed(Reason::InternalError)] {
            assert_ne!(one(other, NOON).sop_instance, later.sop_instance);
            assert_ne!(one(other, NOON).series, later.series);
        }
    }

    #[test]
    fn a_report_is_never_older_than_its_image() {
        let clamped = reported(
            scored(0.7),
            vec![
                element(tags::CONTENT_DATE, VR::DA, "20310101"),
                element(tags::CONTENT_TIME, VR::TM, "235959.5"),
                element(tags::STUDY_DATE, VR::DA, "20260101"),
            ],
        );
        assert_eq!(text(&clamped, tags::CONTENT_DATE), "20310102");
        assert_eq!(text(&clamped, tags::CONTENT_TIME), "000000");
        assert_eq!(text(&clamped, tags::STUDY_DATE), "20260101");
        let today = reported(scored(0.7), vec![element(tags::STUDY_DATE, VR::DA, "20260228")]);
        assert_eq!(
            (text(&today, tags::CONTENT_DATE), text(&today, tags::CONTENT_TIME)),
            ("20260301".into(), "101500".into())
        );
    }

    #[test]
    fn flags_and_label_say_what_became_of_the_study() {
        let partial = reported(failed(Reason::PixelsNotDecodable), Vec::new());
        let said = |tag| text(&partial, tag);
        assert_eq!(said(tags::SERIES_DESCRIPTION), "AI: not analysed");
        assert_eq!(said(tags::COMPLETION_FLAG), "PARTIAL");
        assert_eq!(said(tags::COMPLETION_FLAG_DESCRIPTION), "Not analysed: pixel data could not be decoded");
        assert_eq!(
            (said(tags::VERIFICATION_FLAG), said(tags::PRELIMINARY_FLAG)),
            ("UNVERIFIED".into(), "PRELIMINARY".into())
        );
        let complete = reported(scored(0.7), Vec::new());
        assert_eq!(text(&complete, tags::COMPLETION_FLAG), "COMPLETE");
        assert_eq!(text(&complete, tags::SERIES_DESCRIPTION), "AI: possible pneumonia");
    }

    #[test]
    fn every_received_instance_is_evidence_once() {
        let mut study = finding(vec![scored(0.7)]);
        study.evidence = vec![reference(9), reference(1), reference(9)];
        let report = document(&study, &[source(Vec::new())], None, &device(), at("2026-03-01T12:00:00Z")).unwrap();
        let object = read_back(&report);
        let studies = object.element(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE).unwrap().items().unwrap();
        let series = studies[0].element(tags::REFERENCED_SERIES_SEQUENCE).unwrap().items().unwrap();
        let instances = series[0].element(tags::REFERENCED_SOP_SEQUENCE).unwrap().items().unwrap();
        let uids: Vec<_> = instances.iter().map(|item| text(item, tags::REFERENCED_SOP_INSTANCE_UID)).collect();
        assert_eq!((studies.len(), series.len(), uids), (1, 1, vec!["1.2.3.4.1".into(), "1.2.3.4.9".into()]));
    }

    #[test]
    fn images_that_are_not_the_findings_are_refused() {
        let now = at("2026-03-01T12:00:00Z");
        let two = finding(vec![scored(0.7), scored(0.2)]);
        assert!(matches!(document(&two, &[source(Vec::new())], None, &device(), now), Err(SrError::Sources)));
        assert!(matches!(document(&finding(Vec::new()), &[], None, &device(), now), Err(SrError::NoImage)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever an image says of itself, there is a report that can be read.
        #[test]
        fn odd_images_give_readable_reports(
            values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 16),
        ) {
            let attributes = [
                (tags::SPECIFIC_CHARACTER_SET, VR::CS), (tags::STUDY_DATE, VR::DA), (tags::STUDY_TIME, VR::TM),
                (tags::CONTENT_DATE, VR::DA), (tags::CONTENT_TIME, VR::TM), (tags::ACCESSION_NUMBER, VR::SH),
                (tags::MODALITY, VR::CS), (tags::PATIENT_NAME, VR::UN), (tags::PATIENT_ID, VR::LO),
                (tags::PATIENT_BIRTH_DATE, VR::LT), (tags::PATIENT_AGE, VR::OB), (tags::STUDY_DESCRIPTION, VR::LO),
                (tags::PATIENT_ORIENTATION, VR::CS), (tags::IMAGER_PIXEL_SPACING, VR::LO), (tags::ROWS, VR::US),
                (tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH),
            ];
            let image = attributes.iter().zip(&values).map(|((tag, vr), value)| element(*tag, *vr, value)).collect();
            let report = reported(scored(0.7), image);
            prop_assert_eq!(text(&report, tags::MODALITY), "SR");
            prop_assert!(report.iter().all(|element| element.header().tag.0 % 2 == 0 && element.header().tag.1 != 0));
        }
    }
}
