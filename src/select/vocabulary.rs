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

/// The chest, as words of [`contains_word`].
pub(super) const CHEST_WORDS: [&str; 47] = [
    "CHEST",
    "THORAX",
    "THORACAL",
    "LUNG",
    "LUNGS",
    "LUNGE",
    "LUNGEN",
    "LUNGER",
    "LUNGOR",
    "THORACIQUE",
    "POITRINE",
    "POUMON",
    "POUMONS",
    "PULMON",
    "PULMONES",
    "PULMAO",
    "PULMOES",
    "TORAX",
    "TORACE",
    "POLMONE",
    "POLMONI",
    "CXR",
    "LONGEN",
    "BORSTKAS",
    "TORAKS",
    "AKCIGER",
    "GOGUS",
    "KLATKA",
    "KLATKI",
    "PLUCA",
    "PLUC",
    "HRUDNIK",
    "HRUDNIKU",
    "PLICE",
    "MELLKAS",
    "KEUHKOT",
    "ОГК",
    "ГРУДНАЯ",
    "ГРУДНОЙ",
    "ЛЕГКИЕ",
    "ЛЕГКИХ",
    "ΘΩΡΑΚΑΣ",
    "ΘΩΡΑΚΑ",
    "ΘΩΡΑΚΟΣ",
    "胸部",
    "胸片",
    "흉부",
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

/// Other body parts.
pub(super) const OTHER_BODY_PARTS: [&str; 67] = [
    "ABDOMEN",
    "ABDOMINAL",
    "BAUCH",
    "BUIK",
    "PELVIS",
    "BECKEN",
    "BASSIN",
    "BACINO",
    "BEKKEN",
    "HIP",
    "HUEFTE",
    "HUFTE",
    "HANCHE",
    "CADERA",
    "ANCA",
    "HEUP",
    "HAND",
    "HANDS",
    "MAIN",
    "MANO",
    "WRIST",
    "FINGER",
    "FOOT",
    "FUSS",
    "PIED",
    "PIEDE",
    "VOET",
    "ANKLE",
    "KNEE",
    "KNIE",
    "GENOU",
    "RODILLA",
    "GINOCCHIO",
    "LEG",
    "FEMUR",
    "TIBIA",
    "SHOULDER",
    "SCHULTER",
    "EPAULE",
    "HOMBRO",
    "SPALLA",
    "SCHOUDER",
    "ELBOW",
    "HUMERUS",
    "SPINE",
    "WIRBELSAEULE",
    "WIRBELSAULE",
    "RACHIS",
    "COLUMNA",
    "COLONNA",
    "CSPINE",
    "LSPINE",
    "TSPINE",
    "HWS",
    "BWS",
    "LWS",
    "SKULL",
    "SCHADEL",
    "TEETH",
    "PANORAMIC",
    "BREAST",
    "MAMMO",
    "EXTREMITY",
    "腹部",
    "骨盤",
    "骨盆",
    "복부",
];

/// A lateral view.
pub(super) const LATERAL_WORDS: [&str; 34] = [
    "LAT",
    "LATERAL",
    "LATERALE",
    "LATERALES",
    "LATERALNA",
    "LATERALNY",
    "SEITLICH",
    "SEITL",
    "SEITE",
    "PROFIL",
    "PROFILE",
    "PROFILO",
    "PERFIL",
    "LATERO",
    "LATEROLATERAL",
    "LATEROLATERALE",
    "SIDE",
    "SIVU",
    "DWARS",
    "LL",
    "LATERAAL",
    "BOCZNE",
    "BOCZNY",
    "BOCZNA",
    "BOCNI",
    "OLDALIRANYU",
    "БОКОВАЯ",
    "БОКОВОЙ",
    "ПРОФИЛЬ",
    "ΠΛΑΓΙΑ",
    "側面",
    "側位",
    "侧位",
    "측면",
];

/// A frontal view.
pub(super) const FRONTAL_WORDS: [&str; 10] =
    ["PA", "AP", "FRONTAL", "FRONTALE", "FRONT", "FACE", "POSTEROANTERIOR", "ANTEROPOSTERIOR", "正面", "正位"];

/// A view that is neither frontal nor lateral.
pub(super) const OTHER_VIEW_WORDS: [&str; 16] = [
    "OBLIQUE",
    "OBLIQ",
    "OBL",
    "OBLICUA",
    "OBLIQUA",
    "OBLICUO",
    "SCHRAEG",
    "SCHRAG",
    "SCHRAGE",
    "LORDOTIC",
    "LORDOTICA",
    "DECUBITUS",
    "DECUB",
    "SKOSNE",
    "КОСАЯ",
    "斜位",
];

/// A value if it is one of the words, else words that say so: what a peer wrote freely may name a patient, and
/// grounds go into the log.
pub(super) fn known<'a>(value: &'a str, words: &[&str]) -> &'a str {
    if words.contains(&value) { value } else { "a value of the sender's own" }
}

/// The first of `words` that a text contains as a whole word, whatever its case and its accents; words of scripts without
/// spaces anywhere in it.
pub(super) fn contains_word(text: &str, words: &[&'static str]) -> Option<&'static str> {
    let text: String = text.chars().flat_map(char::to_uppercase).map(without_accent).collect();
    let is = |part: &str, word: &str| if is_spaceless(word) { part.contains(word) } else { part == word };
    let parts = text.split(|c: char| !c.is_alphanumeric());
    parts.into_iter().find_map(|part| words.iter().find(|word| is(part, word)).copied())
}

/// Written without spaces: Han, Kana and Hangul.
fn is_spaceless(word: &str) -> bool {
    word.chars().all(|c| matches!(c, '\u{3040}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}'))
}

/// A capital letter of a European language without its accent.
fn without_accent(letter: char) -> char {
    match letter {
        'À'..='Å' | 'Ă' | 'Ą' => 'A',
        'Ç' | 'Ć' | 'Č' => 'C',
        'È'..='Ë' | 'Ę' | 'Ě' => 'E',
        'Ğ' => 'G',
        'Ì'..='Ï' | 'İ' => 'I',
        'Ł' => 'L',
        'Ñ' | 'Ń' | 'Ň' => 'N',
        'Ò'..='Ö' | 'Ø' | 'Ő' => 'O',
        'Ś' | 'Š' | 'Ş' => 'S',
        'Ù'..='Ü' | 'Ů' | 'Ű' => 'U',
        'Ý' => 'Y',
        'Ź' | 'Ż' | 'Ž' => 'Z',
        'Ё' => 'Е',
        'Ά' => 'Α',
        'Ώ' => 'Ω',
        other => other,
    }
}

/// The first attribute that contains one of the words, shown with the word alone.
pub(super) fn first_match(header: &Header, texts: &[(Tag, &str)], words: &[&'static str]) -> Option<String> {
    texts.iter().find_map(|(tag, name)| {
        let word = header.texts(*tag).iter().find_map(|text| contains_word(text, words))?;
        Some(shown(name, *tag, word))
    })
}
