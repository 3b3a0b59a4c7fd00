//! First storey: every code of the report, once (PS3.16 Annex D, SNOMED CT, UCUM, RFC 5646, UMLS).

use std::borrow::Cow;

/// A coded entry (PS3.3 section 8.8). The values are octets, because codes copied from an image keep its
/// character set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Code {
    /// Code Value (0008,0100).
    pub value: Cow<'static, [u8]>,
    /// Coding Scheme Designator (0008,0102).
    pub scheme: Cow<'static, [u8]>,
    /// Coding Scheme Version (0008,0103), where the designator alone does not name the scheme.
    pub version: Option<Vec<u8>>,
    /// Code Meaning (0008,0104).
    pub meaning: Cow<'static, [u8]>,
}

impl Code {
    /// A code of this file.
    const fn new(value: &'static str, scheme: &'static str, meaning: &'static str) -> Self {
        Self {
            value: Cow::Borrowed(value.as_bytes()),
            scheme: Cow::Borrowed(scheme.as_bytes()),
            version: None,
            meaning: Cow::Borrowed(meaning.as_bytes()),
        }
    }

    /// Is the scheme one that DICOM has retired (PS3.16 section 8)? A new document must not use it.
    pub fn is_retired(&self) -> bool {
        matches!(self.scheme.as_ref(), b"SRT" | b"SNM3" | b"99SDM")
    }
}

const fn dcm(value: &'static str, meaning: &'static str) -> Code {
    Code::new(value, "DCM", meaning)
}

const fn sct(value: &'static str, meaning: &'static str) -> Code {
    Code::new(value, "SCT", meaning)
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:expr;)*) => {
        $($(#[$doc])* pub(super) static $name: Code = $code;)*
    };
}

// The document and its observer: TID 1500, 1204, 1002, 1004
codes! {
    CHEST_CAD_REPORT = dcm("112000", "Chest CAD Report");
    CONCLUSION = dcm("121077", "Conclusion");
    COMMENT = dcm("121106", "Comment");
    LANGUAGE = dcm("121049", "Language of Content Item and Descendants");
    ENGLISH = Code::new("en-US", "RFC5646", "English (United States)");
    OBSERVER_TYPE = dcm("121005", "Observer Type");
    DEVICE = dcm("121007", "Device");
    DEVICE_OBSERVER_UID = dcm("121012", "Device Observer UID");
    DEVICE_OBSERVER_NAME = dcm("121013", "Device Observer Name");
    DEVICE_OBSERVER_MANUFACTURER = dcm("121014", "Device Observer Manufacturer");
    DEVICE_OBSERVER_MODEL_NAME = dcm("121015", "Device Observer Model Name");
    DEVICE_OBSERVER_SERIAL_NUMBER = dcm("121016", "Device Observer Serial Number");
    PROCEDURE_REPORTED = dcm("121058", "Procedure reported");
    PLAIN_CHEST_XRAY = sct("399208008", "Plain chest X-ray");
}

// The images: TID 1600 to 1603
codes! {
    IMAGE_LIBRARY = dcm("111028", "Image Library");
    IMAGE_LIBRARY_GROUP = dcm("126200", "Image Library Group");
    SOURCE = sct("260753009", "Source");
    MODALITY = dcm("121139", "Modality");
    STUDY_DATE = dcm("111060", "Study Date");
    STUDY_TIME = dcm("111061", "Study Time");
    ACQUISITION_DATE = dcm("126201", "Acquisition Date");
    ACQUISITION_TIME = dcm("126202", "Acquisition Time");
    PIXEL_DATA_ROWS = dcm("110910", "Pixel Data Rows");
    PIXEL_DATA_COLUMNS = dcm("110911", "Pixel Data Columns");
    IMAGE_VIEW = dcm("111031", "Image View");
    PATIENT_ORIENTATION_ROW = dcm("111044", "Patient Orientation Row");
    PATIENT_ORIENTATION_COLUMN = dcm("111043", "Patient Orientation Column");
    HORIZONTAL_PIXEL_SPACING = dcm("111026", "Horizontal Pixel Spacing");
    VERTICAL_PIXEL_SPACING = dcm("111066", "Vertical Pixel Spacing");
    PIXELS = Code::new("{pixels}", "UCUM", "pixels");
    MILLIMETRES = Code::new("mm", "UCUM", "mm");
}

// The measurements: TID 1501, 4019
codes! {
    IMAGING_MEASUREMENTS = dcm("126010", "Imaging Measurements");
    MEASUREMENT_GROUP = dcm("125007", "Measurement Group");
    TRACKING_IDENTIFIER = dcm("112039", "Tracking Identifier");
    TRACKING_UNIQUE_IDENTIFIER = dcm("112040", "Tracking Unique Identifier");
    FINDING = dcm("121071", "Finding");
    FINDING_SITE = sct("363698007", "Finding Site");
    LUNG = sct("39607008", "Lung");
    ALGORITHM_NAME = dcm("111001", "Algorithm Name");
    ALGORITHM_VERSION = dcm("111003", "Algorithm Version");
    ALGORITHM_PARAMETERS = dcm("111002", "Algorithm Parameters");
    ALGORITHM_FAMILY = dcm("111000", "Algorithm Family");
    ARTIFICIAL_INTELLIGENCE = dcm("123110", "Artificial Intelligence");
    CERTAINTY_OF_FINDING = dcm("111012", "Certainty of Finding");
    PERCENT = Code::new("%", "UCUM", "Percent");
    PNEUMONIA = sct("233604007", "Pneumonia");
    PRESENT = sct("52101004", "Present");
    ABSENT = sct("272519000", "Absent");
    UNDETERMINED = sct("373068000", "Undetermined");
    SOURCE_OF_MEASUREMENT = dcm("121112", "Source of Measurement");
}

// The processing summary: CID 6047
codes! {
    QUALITATIVE_EVALUATIONS = Code::new("C0034375", "UMLS", "Qualitative Evaluations");
    CAD_SUMMARY = dcm("111017", "CAD Processing and Findings Summary");
    ALL_SUCCEEDED_WITHOUT_FINDINGS = dcm("111241", "All algorithms succeeded; without findings");
    ALL_SUCCEEDED_WITH_FINDINGS = dcm("111242", "All algorithms succeeded; with findings");
    SOME_SUCCEEDED_WITHOUT_FINDINGS = dcm("111243", "Not all algorithms succeeded; without findings");
    SOME_SUCCEEDED_WITH_FINDINGS = dcm("111244", "Not all algorithms succeeded; with findings");
    NONE_SUCCEEDED = dcm("111245", "No algorithms succeeded; without findings");
}

// Companions: CID 7010, 7202
codes! {
    OF_INTEREST = dcm("113000", "Of Interest");
    KEY_OBJECT_DESCRIPTION = dcm("113012", "Key Object Description");
    PROCESSED_IMAGE = dcm("121322", "Source image for image processing operation");
}

/// The projection radiographs of CID 29 (PS3.16), from Modality (0008,0060). An image of another modality is not
/// described by it: its SOP Class stands in the reference.
pub(super) fn modality(value: &str) -> Option<&'static Code> {
    static MODALITIES: [Code; 3] =
        [dcm("DX", "Digital Radiography"), dcm("CR", "Computed Radiography"), dcm("RG", "Radiographic imaging")];
    MODALITIES.iter().find(|code| code.value.as_ref() == value.as_bytes())
}

/// The views of a chest examination (CID 4010) that older equipment codes in a retired scheme.
pub(super) fn current_view(retired: &Code) -> Option<Code> {
    let current = match retired.value.as_ref() {
        b"R-10206" => sct("399348003", "antero-posterior"),
        b"R-10214" | b"R-40888" => sct("272479007", "postero-anterior"),
        b"R-10232" => sct("399198007", "right lateral"),
        b"R-10236" => sct("399173006", "left lateral"),
        b"R-102CD" => sct("399067008", "lateral"),
        _ => return None,
    };
    Some(current)
}
