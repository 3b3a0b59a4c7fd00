//! Words that descriptions use, in the languages of PACS administrators: the last resort of selection.

use dicom::core::Tag;
use dicom::dictionary_std::tags;

use super::shown;
use crate::instance::Header;

/// Descriptions that may name the anatomy.
pub(super) const CHEST_TEXTS: [(Tag, &str); 5] = [
    (tags::SERIES_DESCRIPTION, "Series Description"),
    (tags::PROTOCOL_NAME, "Protocol Name"),
    (tags::STUDY_DESCRIPTION, "Study Description"),
    (tags::PERFORMED_PROCEDURE_STEP_DESCRIPTION, "Performed Procedure Step Description"),
    (tags::ACQUISITION_DEVICE_PROCESSING_DESCRIPTION, "Acquisition Device Processing Description"),
];

/// Descriptions that may name the view of this very image.
pub(super) const VIEW_TEXTS: [(Tag, &str); 4] = [
    (tags::SERIES_DESCRIPTION, "Series Description"),
    (tags::PROTOCOL_NAME, "Protocol Name"),
    (tags::ACQUISITION_DEVICE_PROCESSING_DESCRIPTION, "Acquisition Device Processing Description"),
    (tags::IMAGE_COMMENTS, "Image Comments"),
];

/// The chest, as whole words.
pub(super) const CHEST_WORDS: [&str; 14] = [
    "CHEST",
    "THORAX",
    "LUNG",
    "LUNGS",
    "LUNGE",
    "THORACIQUE",
    "POUMON",
    "POUMONS",
    "PULMON",
    "TORAX",
    "TORACE",
    "POLMONI",
    "CXR",
    "LONGEN",
];

/// Modalities that have images (PS3.3 C.7.3.1.1.1).
pub(super) const MODALITIES: [&str; 24] = [
    "CR", "CT", "DX", "ES", "IO", "IVUS", "MG", "MR", "NM", "OCT", "OP", "OT", "PT", "PX", "RF", "RG", "RTDOSE",
    "RTIMAGE", "SC", "SEG", "SM", "US", "XA", "XC",
];

/// Photometric interpretations (PS3.3 C.7.6.3.1.2) that are not read.
pub(super) const PHOTOMETRIC_INTERPRETATIONS: [&str; 9] = [
    "RGB",
    "PALETTE COLOR",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_PARTIAL_422",
    "YBR_PARTIAL_420",
    "YBR_ICT",
    "YBR_RCT",
    "(none)",
];

/// View positions (PS3.3 C.8.1.1, C.8.11.5.1, C.8.7.5) and what devices write for them.
pub(super) const VIEWS: [&str; 24] = [
    "AP",
    "PA",
    "LL",
    "RL",
    "RLD",
    "LLD",
    "RLO",
    "LLO",
    "RAO",
    "LAO",
    "RPO",
    "LPO",
    "LAT",
    "LATERAL",
    "LLAT",
    "RLAT",
    "AP/PA",
    "PA/AP",
    "FRONTAL",
    "OBLIQUE",
    "CC",
    "MLO",
    "LORDOTIC",
    "DECUBITUS",
];

/// Other body parts, as whole words.
pub(super) const OTHER_BODY_PARTS: [&str; 32] = [
    "ABDOMEN",
    "PELVIS",
    "BECKEN",
    "HIP",
    "HUEFTE",
    "HAND",
    "WRIST",
    "FINGER",
    "FOOT",
    "FUSS",
    "ANKLE",
    "KNEE",
    "KNIE",
    "LEG",
    "FEMUR",
    "TIBIA",
    "SHOULDER",
    "SCHULTER",
    "ELBOW",
    "HUMERUS",
    "SPINE",
    "CSPINE",
    "LSPINE",
    "TSPINE",
    "HWS",
    "LWS",
    "SKULL",
    "TEETH",
    "PANORAMIC",
    "BREAST",
    "MAMMO",
    "EXTREMITY",
];

/// A lateral view, as whole words.
pub(super) const LATERAL_WORDS: [&str; 16] = [
    "LAT",
    "LATERAL",
    "LATERALE",
    "LATERALES",
    "SEITLICH",
    "SEITL",
    "SEITE",
    "PROFIL",
    "PROFILE",
    "PERFIL",
    "LATERO",
    "LATEROLATERAL",
    "SIDE",
    "DWARS",
    "LL",
    "LATERAAL",
];

/// A frontal view, as whole words.
pub(super) const FRONTAL_WORDS: [&str; 6] = ["PA", "AP", "FRONTAL", "FRONT", "POSTEROANTERIOR", "ANTEROPOSTERIOR"];

/// A value if it is one of the words, else words that say so: what a peer wrote freely may name a patient, and
/// grounds go into the log.
pub(super) fn known<'a>(value: &'a str, words: &[&str]) -> &'a str {
    if words.contains(&value) { value } else { "a value of the sender's own" }
}

/// The first of `words` that a text contains as a whole word, whatever its case.
pub(super) fn contains_word(text: &str, words: &[&'static str]) -> Option<&'static str> {
    let text = text.to_uppercase();
    text.split(|c: char| !c.is_alphanumeric()).find_map(|part| words.iter().find(|word| **word == part).copied())
}

/// The first attribute that contains one of the words, shown with the word alone.
pub(super) fn first_match(header: &Header, texts: &[(Tag, &str)], words: &[&'static str]) -> Option<String> {
    texts.iter().find_map(|(tag, name)| {
        let word = header.texts(*tag).iter().find_map(|text| contains_word(text, words))?;
        Some(shown(name, *tag, word))
    })
}
