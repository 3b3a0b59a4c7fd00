//! The heat map as a picture that every viewer shows: Secondary Capture Image (PS3.3 A.8), RGB.

use dicom::core::{DataElement, PrimitiveValue, VR};
use dicom::dictionary_std::{tags, uids};
use dicom::object::InMemDicomObject;
use dicom::object::mem::InMemElement;

use super::plate::{Plate, plate};
use super::{Explained, Kind, Occasion, anatomy, short};
use crate::sr::attribute::{element, plain, values};
use crate::sr::codes::Concept;
use crate::sr::content::{code_sequence, sequence, sop_reference};
use crate::sr::document::{Report, Source, SrError};
use crate::sr::scribe::Scribe;
use crate::sr::wording::line;

const KIND: Kind = Kind {
    name: "secondary capture",
    sop_class: uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
    modality: "OT",
    series: 1,
    description: "AI: heat map, not for diagnosis",
};

/// The heat map of one analysed image over that image, with legend and result burnt in.
///
/// # Errors
/// [`SrError::Sources`] when the image is none of the finding's; [`SrError::Encoding`].
pub fn secondary_capture(occasion: &Occasion, image: &Explained) -> Result<Report, SrError> {
    let number = occasion.number(image.source)?;
    let plate = plate(image.radiograph, image.heat, &occasion.caption())?;
    let mut own = of_the_source(image.source);
    let algorithm = &occasion.finding.algorithm;
    let model = line(&format!("{} {}", algorithm.name, algorithm.version_with_digest()), 128);
    own.push(element(tags::DERIVATION_DESCRIPTION, VR::ST, format!("Class activation map (LayerCAM) of {model}")));
    own.extend(pixels(plate));
    occasion.companion(&KIND, image.source, number, own)
}

/// General Image (C.7.6.1) and SC Equipment (C.8.6.1): where the picture comes from.
fn of_the_source(source: &Source) -> Vec<InMemElement> {
    let octets = source.header.octets();
    let mut origin = sop_reference(&source.reference);
    origin
        .put(code_sequence(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, &Scribe::english().code(Concept::ProcessedImage)));
    let mut elements = vec![
        element(tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY"),
        element(tags::CONVERSION_TYPE, VR::CS, "WSD"),
        element(tags::BURNED_IN_ANNOTATION, VR::CS, "YES"),
        element(tags::RECOGNIZABLE_VISUAL_FEATURES, VR::CS, "NO"),
        sequence(tags::SOURCE_IMAGE_SEQUENCE, vec![origin]),
    ];
    let orientation = values(octets, tags::PATIENT_ORIENTATION, VR::CS);
    if let [row, column] = orientation.as_slice()
        && !row.is_empty()
        && !column.is_empty()
    {
        elements.push(element(tags::PATIENT_ORIENTATION, VR::CS, format!("{row}\\{column}")));
    }
    let side = plain(octets, tags::IMAGE_LATERALITY, VR::CS);
    let side = side.filter(|side| matches!(side.as_str(), "R" | "L" | "U" | "B"));
    elements.extend(side.map(|side| element(tags::IMAGE_LATERALITY, VR::CS, side)));
    elements.extend(anatomy(octets));
    elements.extend(loss(octets));
    elements
}

/// Once lossy, always lossy (C.7.6.1.1.5).
fn loss(octets: &InMemDicomObject) -> Vec<InMemElement> {
    if plain(octets, tags::LOSSY_IMAGE_COMPRESSION, VR::CS).as_deref() != Some("01") {
        return vec![element(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00")];
    }
    let mut elements = vec![element(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01")];
    for (tag, vr) in [(tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS), (tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS)] {
        let values = values(octets, tag, vr);
        if !values.is_empty() && values.iter().all(|value| !value.is_empty()) {
            elements.push(element(tag, vr, values.join("\\")));
        }
    }
    elements
}

/// Image Pixel (C.7.6.3).
fn pixels(plate: Plate) -> Vec<InMemElement> {
    let mut rgb = plate.rgb;
    if rgb.len() % 2 == 1 {
        rgb.push(0);
    }
    vec![
        short(tags::SAMPLES_PER_PIXEL, 3),
        element(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB"),
        short(tags::PLANAR_CONFIGURATION, 0),
        short(tags::ROWS, plate.rows),
        short(tags::COLUMNS, plate.columns),
        short(tags::BITS_ALLOCATED, 8),
        short(tags::BITS_STORED, 8),
        short(tags::HIGH_BIT, 7),
        short(tags::PIXEL_REPRESENTATION, 0),
        DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(rgb.into())),
    ]
}
