//! Findings and images for the tests of this room.

use dicom::core::{Tag, VR};
use dicom::dictionary_std::{tags, uids};
use dicom::object::mem::InMemElement;
use dicom::object::{FileMetaTableBuilder, InMemDicomObject, OpenFileOptions};

use super::attribute::element;
use super::{Device, Installation, Report, Source, document};
use crate::finding::{Algorithm, Finding, ImageFinding, OperatingPoint, Outcome, Probability, Reason, SopReference};
use crate::instance::Header;

pub(super) fn p(value: f64) -> Probability {
    Probability::try_from(value).unwrap()
}

pub(super) fn scored(score: f64) -> Outcome {
    Outcome::Analysed(p(score))
}

pub(super) fn failed(reason: Reason) -> Outcome {
    Outcome::NotAnalysed(reason)
}

/// A finding of images 1.2.3.4.1, 1.2.3.4.2, ... in the series 1.2.3.4 of the study 1.2.3, threshold 50 %.
pub(super) fn finding(outcomes: Vec<Outcome>) -> Finding {
    let images: Vec<_> = (1..)
        .zip(outcomes)
        .map(|(number, outcome): (u32, Outcome)| ImageFinding { image: reference(number), outcome })
        .collect();
    Finding {
        study: "1.2.3".parse().unwrap(),
        evidence: images.iter().map(|image| image.image.clone()).collect(),
        images,
        algorithm: Algorithm {
            name: "cxr-pneumonia-reference".into(),
            version: "1.0.0".into(),
            weights_sha256: "0123456789abcdef".repeat(4),
            parameters: vec!["input=224x224x3".into()],
        },
        operating_point: OperatingPoint::new(p(0.5), None),
    }
}

pub(super) fn reference(number: u32) -> SopReference {
    SopReference {
        series: "1.2.3.4".parse().unwrap(),
        sop_class: "1.2.840.10008.5.1.4.1.1.1.1".parse().unwrap(),
        sop_instance: format!("1.2.3.4.{number}").parse().unwrap(),
    }
}

/// A file of the image 1.2.3.4.1 with these attributes, in Explicit VR Little Endian.
pub(super) fn source(elements: Vec<InMemElement>) -> Source {
    let identity = [
        element(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.1.1"),
        element(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.4.1"),
        element(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3"),
        element(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.4"),
    ];
    let object = InMemDicomObject::from_element_iter(identity.into_iter().chain(elements));
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let file = tempfile::NamedTempFile::new().unwrap();
    object.with_meta(meta).unwrap().write_to_file(file.path()).unwrap();
    Source { reference: reference(1), header: Header::open(file.path()).unwrap(), focus: None }
}

pub(super) fn device() -> Device {
    let installation = Installation::of_this_machine();
    Device::new(&crate::config::Report::default(), &"AUSCULT".parse().unwrap(), &installation)
}

/// The report of one image, read back.
pub(super) fn reported(outcome: Outcome, image: Vec<InMemElement>) -> InMemDicomObject {
    let now = chrono::DateTime::parse_from_rfc3339("2026-03-01T10:15:00+01:00").unwrap();
    let report = document(&finding(vec![outcome]), &[source(image)], None, &device(), now).unwrap();
    read_back(&report)
}

pub(super) fn read_back(report: &Report) -> InMemDicomObject {
    let file = OpenFileOptions::new().from_reader(report.bytes.as_slice()).unwrap();
    assert_eq!(file.meta().media_storage_sop_instance_uid(), report.sop_instance.as_str());
    file.into_inner()
}

pub(super) fn text(object: &InMemDicomObject, tag: Tag) -> String {
    object.element(tag).unwrap().to_str().unwrap().trim_end_matches([' ', '\0']).to_owned()
}

/// The tree below `item` as a reader sees it: one line an item, `name = value`, indented by depth.
pub(super) fn outline(item: &InMemDicomObject, depth: usize) -> Vec<String> {
    let meaning = |of: &InMemDicomObject, tag| {
        of.get(tag).and_then(|codes| codes.items()).map(|codes| text(&codes[0], tags::CODE_MEANING))
    };
    let mut lines = Vec::new();
    for child in item.get(tags::CONTENT_SEQUENCE).and_then(|children| children.items()).unwrap_or_default() {
        let number = || {
            let measured = &child.get(tags::MEASURED_VALUE_SEQUENCE)?.items()?[0];
            let unit = meaning(measured, tags::MEASUREMENT_UNITS_CODE_SEQUENCE)?;
            Some(format!("{} {unit}", text(measured, tags::NUMERIC_VALUE)))
        };
        let plain = [tags::TEXT_VALUE, tags::UID, tags::DATE, tags::TIME].into_iter();
        let value = meaning(child, tags::CONCEPT_CODE_SEQUENCE)
            .or_else(number)
            .or_else(|| plain.filter(|tag| child.get(*tag).is_some()).map(|tag| text(child, tag)).next());
        let name = meaning(child, tags::CONCEPT_NAME_CODE_SEQUENCE).unwrap();
        let value = value.map(|value| format!(" = {value}")).unwrap_or_default();
        lines.push(format!("{}{name}{value}", "  ".repeat(depth)));
        lines.extend(outline(child, depth + 1));
    }
    lines
}
