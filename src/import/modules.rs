//! The modules of the two objects, in the order of PS3.3 tables A.2-1 and A.26-1.

use dicom::core::{PrimitiveValue, VR};
use dicom::dictionary_std::{tags, uids};

use super::attributes::Attributes;
use super::{ImportError, Laterality, Modality, Patient, Picture, Radiography, Samples, Sex, Study, View, codes};
use crate::ids::{SeriesInstanceUid, StudyInstanceUid};

/// Width of the receptor that Imager Pixel Spacing assumes, because a picture does not tell.
const RECEPTOR_WIDTH_MM: f64 = 350.0;

/// Patient (C.7.1.1), and the character set of all texts (C.12.1).
pub(super) fn patient(to: &mut Attributes, patient: &Patient) -> Result<(), ImportError> {
    to.put(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
    to.text(tags::PATIENT_NAME, VR::PN, "Patient's Name", &patient.name)?;
    to.text(tags::PATIENT_ID, VR::LO, "Patient ID", &patient.id)?;
    to.empty(tags::PATIENT_BIRTH_DATE, VR::DA);
    match patient.sex {
        Some(Sex::Male) => to.put(tags::PATIENT_SEX, VR::CS, "M"),
        Some(Sex::Female) => to.put(tags::PATIENT_SEX, VR::CS, "F"),
        Some(Sex::Other) => to.put(tags::PATIENT_SEX, VR::CS, "O"),
        None => to.empty(tags::PATIENT_SEX, VR::CS),
    }
    if let Some(age) = patient.age {
        to.put(tags::PATIENT_AGE, VR::AS, format!("{age:03}Y"));
    }
    Ok(())
}

/// General Study (C.7.2.1).
pub(super) fn study(to: &mut Attributes, patient: &Patient, study: &Study) -> Result<(), ImportError> {
    to.put(tags::STUDY_INSTANCE_UID, VR::UI, study_uid(patient, study).as_str());
    let (date, time) = date_and_time(study);
    to.put(tags::STUDY_DATE, VR::DA, date);
    to.put(tags::STUDY_TIME, VR::TM, time);
    to.text(tags::ACCESSION_NUMBER, VR::SH, "Accession Number", &study.accession)?;
    to.text(tags::STUDY_ID, VR::SH, "Study ID", &study.id)?;
    to.text(tags::STUDY_DESCRIPTION, VR::LO, "Study Description", &study.description)?;
    to.empty(tags::REFERRING_PHYSICIAN_NAME, VR::PN);
    Ok(())
}

/// General Series (C.7.3.1), CR Series (C.8.1.1) and General Equipment (C.7.5.1).
pub(super) fn series(to: &mut Attributes, radiography: &Radiography) -> Result<(), ImportError> {
    let Radiography { patient, study, series_number, body_part, .. } = radiography;
    let modality = match radiography.modality {
        Modality::Cr => "CR",
        Modality::Dx => "DX",
    };
    let study_uid = study_uid(patient, study);
    let uid = SeriesInstanceUid::derived(&["import series", study_uid.as_str(), modality, &series_number.to_string()]);
    to.put(tags::MODALITY, VR::CS, modality);
    to.put(tags::SERIES_INSTANCE_UID, VR::UI, uid.as_str());
    to.put(tags::SERIES_NUMBER, VR::IS, series_number.to_string());
    let (date, time) = date_and_time(study);
    to.put(tags::SERIES_DATE, VR::DA, date);
    to.put(tags::SERIES_TIME, VR::TM, time);
    to.text(tags::SERIES_DESCRIPTION, VR::LO, "Series Description", &radiography.series_description)?;
    to.text(tags::BODY_PART_EXAMINED, VR::CS, "Body Part Examined", body_part)?;
    if let Some(code) = codes::procedure(body_part) {
        to.code(tags::PROCEDURE_CODE_SEQUENCE, Some(code));
    }
    let view = match radiography.view {
        View::Pa => "PA",
        View::Ap => "AP",
        View::Ll => "LL",
        View::Rl => "RL",
    };
    to.put(tags::VIEW_POSITION, VR::CS, view);
    to.put(tags::MANUFACTURER, VR::LO, "Auscult import");
    to.put(tags::MANUFACTURER_MODEL_NAME, VR::LO, "auscult");
    to.put(tags::SOFTWARE_VERSIONS, VR::LO, env!("CARGO_PKG_VERSION"));
    to.put(tags::DEVICE_SERIAL_NUMBER, VR::LO, "0");
    Ok(())
}

/// General Image (C.7.6.1) and SOP Common (C.12.1).
pub(super) fn image(to: &mut Attributes, picture: &Picture, radiography: &Radiography) -> Result<(), ImportError> {
    let (sop_class, image_type) = match radiography.modality {
        Modality::Cr => (uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE, ["DERIVED", "PRIMARY"].as_slice()),
        Modality::Dx => (uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION, ["DERIVED", "PRIMARY", ""].as_slice()),
    };
    to.put(tags::SOP_CLASS_UID, VR::UI, sop_class);
    to.put(tags::IMAGE_TYPE, VR::CS, texts(image_type));
    to.put(tags::INSTANCE_NUMBER, VR::IS, radiography.instance_number.to_string());
    to.put(tags::DERIVATION_DESCRIPTION, VR::ST, "Imported from a picture; distances in it are not calibrated");
    let (date, time) = date_and_time(&radiography.study);
    for tag in [tags::ACQUISITION_DATE, tags::CONTENT_DATE] {
        to.put(tag, VR::DA, date.as_str());
    }
    for tag in [tags::ACQUISITION_TIME, tags::CONTENT_TIME] {
        to.put(tag, VR::TM, time.as_str());
    }
    // Rows run to the patient's left or back, columns to the feet, as a radiologist hangs the image.
    let rows_run_to = match radiography.view {
        View::Pa | View::Ap => "L",
        View::Ll => "P",
        View::Rl => "A",
    };
    to.put(tags::PATIENT_ORIENTATION, VR::CS, texts(&[rows_run_to, "F"]));
    to.put(tags::BURNED_IN_ANNOTATION, VR::CS, "NO");
    match picture.lossy_ratio {
        Some(ratio) => {
            to.put(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01");
            to.put(tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS, format!("{ratio:.2}"));
            to.put(tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS, "ISO_10918_1");
        }
        None => to.put(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00"),
    }
    to.code(tags::ANATOMIC_REGION_SEQUENCE, codes::region(&radiography.body_part));
    Ok(())
}

/// What a DX object has on top: DX Series, Anatomy Imaged, Image, Detector, Positioning (C.8.11.1 to C.8.11.5)
/// and Acquisition Context (C.7.6.14).
pub(super) fn digital_xray(to: &mut Attributes, picture: &Picture, radiography: &Radiography) {
    to.put(tags::PRESENTATION_INTENT_TYPE, VR::CS, "FOR PRESENTATION");
    let laterality = match radiography.laterality {
        Laterality::Unpaired => "U",
        Laterality::Left => "L",
        Laterality::Right => "R",
    };
    to.put(tags::IMAGE_LATERALITY, VR::CS, laterality);
    to.put(tags::PIXEL_INTENSITY_RELATIONSHIP, VR::CS, "LOG");
    to.put(tags::PIXEL_INTENSITY_RELATIONSHIP_SIGN, VR::SS, PrimitiveValue::from(-1_i16));
    to.put(tags::RESCALE_INTERCEPT, VR::DS, "0");
    to.put(tags::RESCALE_SLOPE, VR::DS, "1");
    to.put(tags::RESCALE_TYPE, VR::LO, "US");
    to.put(tags::PRESENTATION_LUT_SHAPE, VR::CS, "IDENTITY");
    to.empty(tags::DETECTOR_TYPE, VR::CS);
    let spacing = format!("{:.4}", RECEPTOR_WIDTH_MM / f64::from(picture.columns));
    to.put(tags::IMAGER_PIXEL_SPACING, VR::DS, texts(&[&spacing, &spacing]));
    to.put(tags::POSITIONER_TYPE, VR::CS, "NONE");
    to.sequence(tags::ACQUISITION_CONTEXT_SEQUENCE, Vec::new());
    let mut view = codes::item(codes::view(radiography.view));
    view.put(dicom::core::DataElement::new(
        tags::VIEW_MODIFIER_CODE_SEQUENCE,
        VR::SQ,
        dicom::core::value::DataSetSequence::empty(),
    ));
    to.sequence(tags::VIEW_CODE_SEQUENCE, vec![view]);
}

/// Image Pixel (C.7.6.3), and the window (C.11.2) that shows every grey level as the picture had it.
pub(super) fn pixels(to: &mut Attributes, picture: &Picture) {
    let bits: u16 = if matches!(picture.samples, Samples::Grey16(_)) { 16 } else { 8 };
    let levels = 1_u32 << bits;
    to.put(tags::SAMPLES_PER_PIXEL, VR::US, 1_u16);
    to.put(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    to.put(tags::ROWS, VR::US, picture.rows);
    to.put(tags::COLUMNS, VR::US, picture.columns);
    to.put(tags::BITS_ALLOCATED, VR::US, bits);
    to.put(tags::BITS_STORED, VR::US, bits);
    to.put(tags::HIGH_BIT, VR::US, bits - 1);
    to.put(tags::PIXEL_REPRESENTATION, VR::US, 0_u16);
    to.put(tags::WINDOW_CENTER, VR::DS, (levels / 2).to_string());
    to.put(tags::WINDOW_WIDTH, VR::DS, levels.to_string());
    match &picture.samples {
        Samples::Grey8(samples) => to.put(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(samples.as_slice().into())),
        Samples::Grey16(samples) => to.put(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(samples.as_slice().into())),
        Samples::Jpeg(stream) => to.encapsulated(tags::PIXEL_DATA, stream.clone()),
    }
}

/// The transfer syntax that fits the picture's samples.
pub(super) fn transfer_syntax(picture: &Picture) -> &'static str {
    match picture.samples {
        Samples::Jpeg(_) => uids::JPEG_BASELINE8_BIT,
        Samples::Grey8(_) | Samples::Grey16(_) => uids::EXPLICIT_VR_LITTLE_ENDIAN,
    }
}

fn study_uid(patient: &Patient, study: &Study) -> StudyInstanceUid {
    let started = study.started.to_string();
    StudyInstanceUid::derived(&["import study", &patient.id, &study.accession, &study.id, &study.description, &started])
}

/// Values of VR DA and TM.
fn date_and_time(study: &Study) -> (String, String) {
    (study.started.format("%Y%m%d").to_string(), study.started.format("%H%M%S").to_string())
}

fn texts(values: &[&str]) -> PrimitiveValue {
    PrimitiveValue::Strs(values.iter().map(|value| (*value).to_owned()).collect())
}
