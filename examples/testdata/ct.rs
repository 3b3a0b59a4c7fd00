//! An axial CT slice of a chest phantom in Hounsfield units: CT Image Storage (PS3.3 A.3), to be declined.

use anyhow::Result;
use auscult::ids::{
    IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid, Uid,
};
use dicom::core::{DataElement, PrimitiveValue, Tag, VR};
use dicom::dictionary_std::{tags, uids};
use dicom::object::{FileDicomObject, FileMetaTableBuilder, InMemDicomObject};

const SIZE: u16 = 256;

/// Rescale Intercept (0028,1052): stored values are Hounsfield units plus 1024.
const INTERCEPT: i16 = -1024;

/// Half axes and centre of an ellipse as fractions of the image's width, and what is in it in Hounsfield units.
struct Ellipse {
    centre: (f64, f64),
    half: (f64, f64),
    hounsfield: i16,
}

/// Later ones lie on top of earlier ones: fat, muscle, lungs, heart, vertebra.
const BODY: [Ellipse; 6] = [
    Ellipse { centre: (0.50, 0.50), half: (0.44, 0.32), hounsfield: -90 },
    Ellipse { centre: (0.50, 0.50), half: (0.41, 0.29), hounsfield: 45 },
    Ellipse { centre: (0.31, 0.48), half: (0.14, 0.21), hounsfield: -850 },
    Ellipse { centre: (0.69, 0.48), half: (0.14, 0.21), hounsfield: -850 },
    Ellipse { centre: (0.54, 0.42), half: (0.11, 0.12), hounsfield: 40 },
    Ellipse { centre: (0.50, 0.70), half: (0.06, 0.05), hounsfield: 420 },
];

const TEXTS: [(Tag, VR, &str); 44] = [
    (tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100"),
    (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL"),
    (tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
    (tags::STUDY_DATE, VR::DA, "20250224"),
    (tags::SERIES_DATE, VR::DA, "20250224"),
    (tags::ACQUISITION_DATE, VR::DA, "20250224"),
    (tags::CONTENT_DATE, VR::DA, "20250224"),
    (tags::STUDY_TIME, VR::TM, "101500"),
    (tags::SERIES_TIME, VR::TM, "101500"),
    (tags::ACQUISITION_TIME, VR::TM, "101500"),
    (tags::CONTENT_TIME, VR::TM, "101500"),
    (tags::ACCESSION_NUMBER, VR::SH, "DEMO0008"),
    (tags::MODALITY, VR::CS, "CT"),
    (tags::MANUFACTURER, VR::LO, "Auscult testdata"),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN, ""),
    (tags::STUDY_DESCRIPTION, VR::LO, "CT chest, phantom"),
    (tags::SERIES_DESCRIPTION, VR::LO, "Axial"),
    (tags::PATIENT_NAME, VR::PN, "Demo^Hans"),
    (tags::PATIENT_ID, VR::LO, "DEMO-008"),
    (tags::PATIENT_BIRTH_DATE, VR::DA, ""),
    (tags::PATIENT_SEX, VR::CS, "O"),
    (tags::PATIENT_AGE, VR::AS, "005Y"),
    (tags::BODY_PART_EXAMINED, VR::CS, "CHEST"),
    (tags::SLICE_THICKNESS, VR::DS, "5"),
    (tags::KVP, VR::DS, "120"),
    (tags::PATIENT_POSITION, VR::CS, "HFS"),
    (tags::STUDY_ID, VR::SH, "S008"),
    (tags::SERIES_NUMBER, VR::IS, "1"),
    (tags::ACQUISITION_NUMBER, VR::IS, "1"),
    (tags::INSTANCE_NUMBER, VR::IS, "1"),
    (tags::IMAGE_POSITION_PATIENT, VR::DS, "-150\\-150\\0"),
    (tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"),
    (tags::POSITION_REFERENCE_INDICATOR, VR::LO, ""),
    (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
    (tags::PIXEL_SPACING, VR::DS, "1.1719\\1.1719"),
    (tags::BURNED_IN_ANNOTATION, VR::CS, "NO"),
    (tags::WINDOW_CENTER, VR::DS, "40"),
    (tags::WINDOW_WIDTH, VR::DS, "400"),
    (tags::RESCALE_INTERCEPT, VR::DS, "-1024"),
    (tags::RESCALE_SLOPE, VR::DS, "1"),
    (tags::RESCALE_TYPE, VR::LO, "HU"),
    (tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00"),
    (tags::MANUFACTURER_MODEL_NAME, VR::LO, "phantom"),
    (tags::SOFTWARE_VERSIONS, VR::LO, "1"),
];

/// Pixel layout (PS3.3 C.7.6.3).
const NUMBERS: [(Tag, u16); 7] = [
    (tags::SAMPLES_PER_PIXEL, 1),
    (tags::ROWS, SIZE),
    (tags::COLUMNS, SIZE),
    (tags::BITS_ALLOCATED, 16),
    (tags::BITS_STORED, 16),
    (tags::HIGH_BIT, 15),
    (tags::PIXEL_REPRESENTATION, 1),
];

/// The slice as a DICOM object.
pub(super) fn object() -> Result<FileDicomObject<InMemDicomObject>> {
    let mut slice = InMemDicomObject::new_empty();
    for (tag, vr, text) in TEXTS {
        let values = PrimitiveValue::Strs(text.split('\\').map(str::to_owned).collect());
        slice.put(DataElement::new(tag, vr, if text.is_empty() { PrimitiveValue::Empty } else { values }));
    }
    for (tag, number) in NUMBERS {
        slice.put(DataElement::new(tag, VR::US, PrimitiveValue::from(number)));
    }
    for (tag, uid) in [
        (tags::STUDY_INSTANCE_UID, StudyInstanceUid::derived(&["testdata", "ct study"]).to_string()),
        (tags::SERIES_INSTANCE_UID, SeriesInstanceUid::derived(&["testdata", "ct series"]).to_string()),
        (tags::SOP_INSTANCE_UID, SopInstanceUid::derived(&["testdata", "ct instance"]).to_string()),
        (tags::FRAME_OF_REFERENCE_UID, Uid::derived(&["testdata", "ct frame of reference"]).to_string()),
    ] {
        slice.put(DataElement::new(tag, VR::UI, uid));
    }
    let samples = (0..SIZE).flat_map(|y| (0..SIZE).map(move |x| hounsfield(x, y) - INTERCEPT));
    slice.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::I16(samples.collect())));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .implementation_class_uid(IMPLEMENTATION_CLASS_UID)
        .implementation_version_name(IMPLEMENTATION_VERSION_NAME);
    Ok(slice.with_meta(meta)?)
}

fn hounsfield(x: u16, y: u16) -> i16 {
    const AIR: i16 = -1000;
    let (x, y) = (f64::from(x) / f64::from(SIZE), f64::from(y) / f64::from(SIZE));
    let holds = |ellipse: &&Ellipse| {
        let (dx, dy) = ((x - ellipse.centre.0) / ellipse.half.0, (y - ellipse.centre.1) / ellipse.half.1);
        dx * dx + dy * dy < 1.0
    };
    BODY.iter().rev().find(holds).map_or(AIR, |ellipse| ellipse.hounsfield)
}
