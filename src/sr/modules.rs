//! The modules around the content tree (PS3.3 A.35), but for what is taken over from the image and for the dates.

use std::collections::BTreeMap;

use dicom::core::VR;
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;
use dicom::object::mem::InMemElement;

use super::attribute::element;
use super::content::{sequence, sop_reference};
use super::device::Device;
use super::identity;
use super::template::Subject;
use super::wording;
use crate::config::ContentQualification;
use crate::finding::{Finding, SopReference};
use crate::ids::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid};

/// SOP Common (C.12.1), but for what comes from the image.
pub(super) fn sop_common(device: &Device, sop_class: &SopClassUid, sop_instance: &SopInstanceUid) -> Vec<InMemElement> {
    let qualification = match device.content_qualification {
        ContentQualification::Research => "RESEARCH",
        ContentQualification::Product => "PRODUCT",
    };
    vec![
        element(tags::SOP_CLASS_UID, VR::UI, sop_class.as_str()),
        element(tags::SOP_INSTANCE_UID, VR::UI, sop_instance.as_str()),
        element(tags::CONTENT_QUALIFICATION, VR::CS, qualification),
    ]
}

/// SR Document Series (C.17.1).
pub(super) fn sr_document_series(subject: &Subject, series: &SeriesInstanceUid, number: u32) -> Vec<InMemElement> {
    let label = subject.scribe.language.phrases.label(subject.finding.presence());
    vec![
        element(tags::MODALITY, VR::CS, "SR"),
        element(tags::SERIES_INSTANCE_UID, VR::UI, series.as_str()),
        element(tags::SERIES_NUMBER, VR::IS, number.to_string()),
        element(tags::SERIES_DESCRIPTION, VR::LO, subject.scribe.octets(label)),
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
pub(super) fn sr_document_general(subject: &Subject, image: &InMemDicomObject) -> Vec<InMemElement> {
    let Subject { finding, scribe, .. } = *subject;
    let why = wording::completion_description(finding, scribe.language);
    let mut elements = vec![
        element(tags::INSTANCE_NUMBER, VR::IS, "1"),
        element(tags::COMPLETION_FLAG, VR::CS, if why.is_some() { "PARTIAL" } else { "COMPLETE" }),
        element(tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED"),
        element(tags::PRELIMINARY_FLAG, VR::CS, "PRELIMINARY"),
        identity::performed_procedure(image),
        sequence(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, vec![evidence(finding)]),
    ];
    elements.extend(why.map(|why| element(tags::COMPLETION_FLAG_DESCRIPTION, VR::LO, scribe.octets(&why))));
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
