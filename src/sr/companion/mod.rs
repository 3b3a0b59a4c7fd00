//! What may go with a report: the heat map as a picture, as an overlay, and a list of the flagged images.
//!
//! Companions belong to the patient and the study of their image as the report does, and their identifiers are
//! derived from the report's: the same report has the same companions. Their words are English and in ASCII.

mod glyphs;
mod key_objects;
mod plate;
mod presentation_state;
mod secondary_capture;
#[cfg(test)]
mod tests;

use chrono::{DateTime, FixedOffset};
use dicom::core::{DataElement, PrimitiveValue, Tag, VR};
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;
use dicom::object::mem::InMemElement;

pub use key_objects::key_objects;
pub use plate::{Caption, Plate, plate};
pub use presentation_state::presentation_state;
pub use secondary_capture::secondary_capture;

use super::attribute::{element, legal, plain};
use super::dates::{dates, moment};
use super::device::Device;
use super::document::{Report, Source, SrError, part10};
use super::identity;
use super::modules::{general_equipment, sop_common};
use crate::finding::Finding;
use crate::heat::HeatMap;
use crate::ids::{SeriesInstanceUid, SopInstanceUid};
use crate::pixels::Radiograph;

/// An analysed image with what the model saw in it.
#[derive(Debug, Clone, Copy)]
pub struct Explained<'a> {
    /// The image: one of those of the finding.
    pub source: &'a Source,
    /// Its pixels.
    pub radiograph: &'a Radiograph,
    /// Where the model saw what it reports.
    pub heat: &'a HeatMap,
}

/// What all companions are made from.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'a> {
    /// What is said of the study.
    pub finding: &'a Finding,
    /// The report that says it.
    pub report: &'a Report,
    /// Who says it.
    pub device: &'a Device,
    /// When.
    pub now: DateTime<FixedOffset>,
}

/// One kind of companion.
struct Kind {
    name: &'static str,
    sop_class: &'static str,
    modality: &'static str,
    /// How far its series stands after the report's.
    series: u32,
    description: &'static str,
}

impl Occasion<'_> {
    /// What the plate and the overlay say.
    fn caption(&self) -> Caption {
        Caption::new(self.finding, self.device)
    }

    /// Which image of the finding this is, from 1.
    fn number(&self, source: &Source) -> Result<u32, SrError> {
        let numbers = (1..).zip(&self.finding.images);
        numbers.filter(|(_, image)| image.image == source.reference).map(|(n, _)| n).next().ok_or(SrError::Sources)
    }

    /// A companion of `kind`, of the patient and the study of `source`, with the attributes that are its own.
    fn companion(&self, kind: &Kind, source: &Source, number: u32, own: Vec<InMemElement>) -> Result<Report, SrError> {
        let (report, device) = (self.report, self.device);
        let series = SeriesInstanceUid::derived(&[kind.name, report.series.as_str()]);
        let instance = [kind.name, report.sop_instance.as_str(), source.reference.sop_instance.as_str()];
        let sop_instance = SopInstanceUid::derived(&instance);
        let sop_class = kind.sop_class.parse().map_err(|_| SrError::Encoding("the SOP class is no UID".into()))?;
        let common = [
            element(tags::STUDY_INSTANCE_UID, VR::UI, report.study.as_str()),
            element(tags::SERIES_INSTANCE_UID, VR::UI, series.as_str()),
            element(tags::SERIES_NUMBER, VR::IS, device.series_number.saturating_add(kind.series).to_string()),
            element(tags::SERIES_DESCRIPTION, VR::LO, kind.description),
            element(tags::MODALITY, VR::CS, kind.modality),
            element(tags::INSTANCE_NUMBER, VR::IS, number.to_string()),
        ];
        let is_here = |tag: Tag| kind.modality != "PR" || ![tags::CONTENT_DATE, tags::CONTENT_TIME].contains(&tag);
        let dates = dates(moment(std::slice::from_ref(source), self.now));
        let elements = identity::taken_over(source.header.octets())
            .into_iter()
            .chain(dates.into_iter().filter(|element| is_here(element.header().tag)))
            .chain(general_equipment(self.finding, device))
            .chain(sop_common(device, &sop_class, &sop_instance))
            .chain(common)
            .chain(own);
        let object = InMemDicomObject::from_element_iter(elements);
        let bytes = part10(object)?;
        Ok(Report { study: report.study.clone(), series, sop_class, sop_instance, language: "en-US", bytes })
    }
}

/// Which part of the body an image shows, for General Series (C.7.3.1).
fn anatomy(octets: &InMemDicomObject) -> Vec<InMemElement> {
    let side = plain(octets, tags::LATERALITY, VR::CS).filter(|side| matches!(side.as_str(), "R" | "L"));
    let part = legal(octets, tags::BODY_PART_EXAMINED, VR::CS);
    // Type 2C: without a body part nobody can tell whether it is one of a pair.
    let side = if part.is_none() { side.or(Some(String::new())) } else { side };
    let side = side.map(|side| element(tags::LATERALITY, VR::CS, side));
    side.into_iter().chain(part.map(|part| element(tags::BODY_PART_EXAMINED, VR::CS, part))).collect()
}

/// An attribute of VR US.
fn short(tag: Tag, value: u16) -> InMemElement {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

/// A number as VR DS: at most 16 characters.
fn decimal(value: f64) -> String {
    let exact = value.to_string();
    if exact.len() <= 16 { exact } else { format!("{value:.8e}") }
}
