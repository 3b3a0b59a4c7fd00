//! First storey: every code of the report, once (PS3.16 Annex D, SNOMED CT, UCUM, UMLS).

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
    /// Is the scheme one that DICOM has retired (PS3.16 section 8)? A new document must not use it.
    pub fn is_retired(&self) -> bool {
        matches!(self.scheme.as_ref(), b"SRT" | b"SNM3" | b"99SDM")
    }
}

macro_rules! concepts {
    ($($name:ident = $scheme:literal $value:literal $english:literal;)*) => {
        /// What the report names by a code. The languages give the meanings; the codes are the same in all of them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Concept {
            $(#[doc = $english] $name,)*
        }

        impl Concept {
            /// Every concept, once.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Code Value (0008,0100).
            pub const fn value(self) -> &'static str {
                match self { $(Self::$name => $value,)* }
            }

            /// Coding Scheme Designator (0008,0102).
            pub const fn scheme(self) -> &'static str {
                match self { $(Self::$name => $scheme,)* }
            }

            /// Code Meaning (0008,0104) in English, as the scheme has it.
            pub const fn english(self) -> &'static str {
                match self { $(Self::$name => $english,)* }
            }
        }
    };
}

concepts! {
    // The document and its observer: TID 1500, 1204, 1002, 1004
    ChestCadReport = "DCM" "112000" "Chest CAD Report";
    ImagingMeasurementReport = "DCM" "126000" "Imaging Measurement Report";
    Conclusion = "DCM" "121077" "Conclusion";
    Comment = "DCM" "121106" "Comment";
    Summary = "DCM" "121111" "Summary";
    Language = "DCM" "121049" "Language of Content Item and Descendants";
    ObserverType = "DCM" "121005" "Observer Type";
    Device = "DCM" "121007" "Device";
    DeviceObserverUid = "DCM" "121012" "Device Observer UID";
    DeviceObserverName = "DCM" "121013" "Device Observer Name";
    DeviceObserverManufacturer = "DCM" "121014" "Device Observer Manufacturer";
    DeviceObserverModelName = "DCM" "121015" "Device Observer Model Name";
    DeviceObserverSerialNumber = "DCM" "121016" "Device Observer Serial Number";
    ProcedureReported = "DCM" "121058" "Procedure reported";
    PlainChestXray = "SCT" "399208008" "Plain chest X-ray";
    // Companions: CID 7010, TID 2010, CID 7202
    OfInterest = "DCM" "113000" "Of Interest";
    KeyObjectDescription = "DCM" "113012" "Key Object Description";
    ProcessedImage = "DCM" "121322" "Source image for image processing operation";
    // The images: TID 1600 to 1603
    ImageLibrary = "DCM" "111028" "Image Library";
    ImageLibraryGroup = "DCM" "126200" "Image Library Group";
    Source = "SCT" "260753009" "Source";
    Modality = "DCM" "121139" "Modality";
    StudyDate = "DCM" "111060" "Study Date";
    StudyTime = "DCM" "111061" "Study Time";
    AcquisitionDate = "DCM" "126201" "Acquisition Date";
    AcquisitionTime = "DCM" "126202" "Acquisition Time";
    PixelDataRows = "DCM" "110910" "Pixel Data Rows";
    PixelDataColumns = "DCM" "110911" "Pixel Data Columns";
    ImageView = "DCM" "111031" "Image View";
    PatientOrientationRow = "DCM" "111044" "Patient Orientation Row";
    PatientOrientationColumn = "DCM" "111043" "Patient Orientation Column";
    HorizontalPixelSpacing = "DCM" "111026" "Horizontal Pixel Spacing";
    VerticalPixelSpacing = "DCM" "111066" "Vertical Pixel Spacing";
    Pixels = "UCUM" "{pixels}" "pixels";
    Millimetres = "UCUM" "mm" "mm";
    // The measurements: TID 1501, 4019
    ImagingMeasurements = "DCM" "126010" "Imaging Measurements";
    MeasurementGroup = "DCM" "125007" "Measurement Group";
    TrackingIdentifier = "DCM" "112039" "Tracking Identifier";
    TrackingUniqueIdentifier = "DCM" "112040" "Tracking Unique Identifier";
    Finding = "DCM" "121071" "Finding";
    FindingSite = "SCT" "363698007" "Finding Site";
    Lung = "SCT" "39607008" "Lung";
    AlgorithmName = "DCM" "111001" "Algorithm Name";
    AlgorithmVersion = "DCM" "111003" "Algorithm Version";
    AlgorithmParameters = "DCM" "111002" "Algorithm Parameters";
    AlgorithmFamily = "DCM" "111000" "Algorithm Family";
    ArtificialIntelligence = "DCM" "123110" "Artificial Intelligence";
    CertaintyOfFinding = "DCM" "111012" "Certainty of Finding";
    Percent = "UCUM" "%" "Percent";
    Pneumonia = "SCT" "233604007" "Pneumonia";
    Present = "SCT" "52101004" "Present";
    Absent = "SCT" "272519000" "Absent";
    Undetermined = "SCT" "373068000" "Undetermined";
    SourceOfMeasurement = "DCM" "121112" "Source of Measurement";
    // The processing summary: CID 6047
    QualitativeEvaluations = "UMLS" "C0034375" "Qualitative Evaluations";
    CadSummary = "DCM" "111017" "CAD Processing and Findings Summary";
    AllSucceededWithoutFindings = "DCM" "111241" "All algorithms succeeded; without findings";
    AllSucceededWithFindings = "DCM" "111242" "All algorithms succeeded; with findings";
    SomeSucceededWithoutFindings = "DCM" "111243" "Not all algorithms succeeded; without findings";
    SomeSucceededWithFindings = "DCM" "111244" "Not all algorithms succeeded; with findings";
    NoneSucceeded = "DCM" "111245" "No algorithms succeeded; without findings";
    // The region of a measurement: TID 1410, CID 219
    GeometricPurposeOfRegion = "DCM" "130400" "Geometric purpose of region";
    BoundedBy = "SCT" "75958009" "Bounded by";
    ImageRegion = "DCM" "111030" "Image Region";
    OriginalSource = "DCM" "111040" "Original Source";
    // The modalities: CID 29, projection radiographs
    DigitalRadiography = "DCM" "DX" "Digital Radiography";
    ComputedRadiography = "DCM" "CR" "Computed Radiography";
    RadiographicImaging = "DCM" "RG" "Radiographic imaging";
    // The views: CID 4010
    AnteroPosterior = "SCT" "399348003" "antero-posterior";
    PosteroAnterior = "SCT" "272479007" "postero-anterior";
    RightLateral = "SCT" "399198007" "right lateral";
    LeftLateral = "SCT" "399173006" "left lateral";
    Lateral = "SCT" "399067008" "lateral";
}

/// The projection radiographs of CID 29 (PS3.16), from Modality (0008,0060). An image of another modality is not
/// described by it: its SOP Class stands in the reference.
pub(super) fn modality(value: &str) -> Option<Concept> {
    [Concept::DigitalRadiography, Concept::ComputedRadiography, Concept::RadiographicImaging]
        .into_iter()
        .find(|modality| modality.value() == value)
}

/// The views of a chest examination (CID 4010) that older equipment codes in a retired scheme.
pub(super) fn current_view(retired: &Code) -> Option<Concept> {
    let current = match retired.value.as_ref() {
        b"R-10206" => Concept::AnteroPosterior,
        b"R-10214" | b"R-40888" => Concept::PosteroAnterior,
        b"R-10232" => Concept::RightLateral,
        b"R-10236" => Concept::LeftLateral,
        b"R-102CD" => Concept::Lateral,
        _ => return None,
    };
    Some(current)
}
