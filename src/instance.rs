//! Received DICOM instances, the study they make up, and the part of their header that others ask for.

use std::fmt;
use std::str::FromStr;

use dicom::core::Tag;
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;

use crate::ids::{IdError, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid};
use crate::part10::{self, Extent, Location, Object, Outline, ReadError, Values, WalkError, Walked, attribute};

/// A header that cannot be used. The message names no patient and no value of the file.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The file is not there or cannot be read.
    #[error("{location}: {source}")]
    Io {
        /// The file.
        location: Location,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// No DICOM Part 10 file, or one that ends early.
    #[error("{location}: not a readable DICOM file: {cause}; ask the sender for it again, or check it with `dcmdump`")]
    NotDicom {
        /// The file.
        location: Location,
        /// The parser's message.
        cause: String,
    },
    /// A UID that every composite object must have is missing or malformed.
    #[error("{location}: {name} {tag} is {cause}")]
    Identity {
        /// The file.
        location: Location,
        /// The attribute's tag.
        tag: Tag,
        /// The attribute's name.
        name: &'static str,
        /// `missing`, or what is wrong with it.
        cause: String,
    },
}

impl HeaderError {
    /// A file that could not be read.
    pub fn new(location: &Location, error: ReadError) -> Self {
        let location = location.clone();
        match error {
            ReadError::Io(source) => Self::Io { location, source },
            ReadError::NotDicom(cause) => Self::NotDicom { location, cause },
        }
    }

    /// A file whose data set is not sound to its last byte.
    pub fn unsound(location: &Location, fault: &WalkError) -> Self {
        Self::NotDicom { location: location.clone(), cause: fault.to_string() }
    }
}

/// One received composite SOP instance, on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Study Instance UID (0020,000D).
    pub study: StudyInstanceUid,
    /// Series Instance UID (0020,000E).
    pub series: SeriesInstanceUid,
    /// SOP Class UID (0008,0016).
    pub sop_class: SopClassUid,
    /// SOP Instance UID (0008,0018).
    pub sop_instance: SopInstanceUid,
    /// Whose it is, as far as one study may not mix two patients.
    pub patient: PatientKey,
    /// Transfer syntax of the file.
    pub transfer_syntax: TransferSyntaxUid,
    /// Where it lies as a DICOM Part 10 file.
    pub location: Location,
}

impl Instance {
    /// Reads a file's identity: the UIDs that a composite object must carry (PS3.3 C.7.2, C.7.3, C.12.1).
    pub fn open(location: impl Into<Location>) -> Result<Self, HeaderError> {
        let location = location.into();
        let walked = part10::walk(&location, LARGEST_INFLATED_HEADER);
        let walked = walked.map_err(|error| HeaderError::new(&location, error))?;
        Self::from_walk(&location, &walked)
    }

    /// The identity of a file that was walked over.
    pub fn from_walk(location: &Location, walked: &Walked) -> Result<Self, HeaderError> {
        let outline = &walked.outline;
        let required = |tag| match (outline.uid(tag), &walked.soundness) {
            (Some(uid), _) => Ok(uid),
            (None, Err(fault @ WalkError::Malformed { .. })) => Err(HeaderError::unsound(location, fault)),
            (None, _) => {
                Err(HeaderError::Identity { location: location.clone(), tag, name: name(tag), cause: "missing".into() })
            }
        };
        Ok(Self {
            study: parsed(location, tags::STUDY_INSTANCE_UID, required(tags::STUDY_INSTANCE_UID)?)?,
            series: parsed(location, tags::SERIES_INSTANCE_UID, required(tags::SERIES_INSTANCE_UID)?)?,
            sop_class: parsed(location, tags::SOP_CLASS_UID, required(tags::SOP_CLASS_UID)?)?,
            sop_instance: parsed(location, tags::SOP_INSTANCE_UID, required(tags::SOP_INSTANCE_UID)?)?,
            patient: PatientKey::new(outline.patient_id.as_deref(), outline.issuer_of_patient_id.as_deref()),
            transfer_syntax: parsed(location, tags::TRANSFER_SYNTAX_UID, &outline.transfer_syntax)?,
            location: location.clone(),
        })
    }
}

/// How soon a study should be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Urgency {
    /// In its turn.
    #[default]
    Routine,
    /// Before the others.
    Urgent,
}

impl Urgency {
    /// What a data set says of itself: Requested Procedure Priority (0040,1003) STAT or HIGH (PS3.3 C.4.11).
    pub fn of(outline: &Outline) -> Self {
        match outline.requested_procedure_priority.as_deref() {
            Some(b"STAT" | b"HIGH") => Self::Urgent,
            _ => Self::Routine,
        }
    }
}

/// Tells patients apart without naming them: a digest of Patient ID (0010,0020) and Issuer of Patient ID (0010,0021),
/// good for comparing and for a record, not for sending. It is the same in every version of Auscult.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PatientKey(u64);

impl PatientKey {
    /// The key of a Patient ID and its issuer, as octets without padding.
    pub fn new(id: Option<&[u8]>, issuer: Option<&[u8]>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [id, issuer] {
            let text = part.unwrap_or_default();
            hasher.update(&[u8::from(part.is_some())]).update(&text.len().to_le_bytes()).update(text);
        }
        Self(hasher.finalize().as_bytes().first_chunk().map_or(0, |octets| u64::from_le_bytes(*octets)))
    }
}

/// Sixteen hexadecimal digits.
impl fmt::Display for PatientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text that is no [`PatientKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a patient's key (sixteen hexadecimal digits)")]
pub struct NotAPatientKey;

impl FromStr for PatientKey {
    type Err = NotAPatientKey;

    fn from_str(text: &str) -> Result<Self, NotAPatientKey> {
        u64::from_str_radix(text, 16).map(Self).map_err(|_| NotAPatientKey)
    }
}

fn name(tag: Tag) -> &'static str {
    match tag {
        tags::STUDY_INSTANCE_UID => "Study Instance UID",
        tags::SERIES_INSTANCE_UID => "Series Instance UID",
        tags::SOP_CLASS_UID => "SOP Class UID",
        tags::SOP_INSTANCE_UID => "SOP Instance UID",
        _ => "Transfer Syntax UID",
    }
}

fn parsed<T: FromStr<Err = IdError>>(location: &Location, tag: Tag, text: &str) -> Result<T, HeaderError> {
    let fault = |error: IdError| HeaderError::Identity {
        location: location.clone(),
        tag,
        name: name(tag),
        cause: error.to_string(),
    };
    text.parse().map_err(fault)
}

fn read(location: &Location, values: Values) -> Result<Object, HeaderError> {
    part10::read(location, Extent::Header, values, LARGEST_INFLATED_HEADER)
        .map_err(|error| HeaderError::new(location, error))
}

/// The instances of one study and one patient that belong together in one report, ordered by SOP Instance UID, each
/// once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Study {
    /// Study Instance UID of every instance.
    pub uid: StudyInstanceUid,
    /// Whose study it is.
    pub patient: PatientKey,
    /// At least one.
    pub instances: Vec<Instance>,
}

/// Largest deflated header, inflated, in bytes.
const LARGEST_INFLATED_HEADER: u64 = 64 << 20;

/// A data set without its pixel data.
#[derive(Debug, Clone)]
pub struct Header {
    decoded: Object,
    octets: InMemDicomObject,
}

impl Header {
    /// Reads a DICOM Part 10 file up to its pixel data.
    pub fn open(location: impl Into<Location>) -> Result<Self, HeaderError> {
        let location = location.into();
        let decoded = read(&location, Values::Decoded)?;
        let octets = read(&location, Values::Octets)?.data_set;
        Ok(Self { decoded, octets })
    }

    /// The attributes with every value as the file's bytes, for those who copy from it.
    pub fn octets(&self) -> &InMemDicomObject {
        &self.octets
    }

    /// Transfer syntax that the file meta information names.
    pub fn transfer_syntax(&self) -> &str {
        &self.decoded.transfer_syntax
    }

    /// The first value of an attribute as trimmed text; `None` when it is absent, empty or not text.
    pub fn text(&self, tag: Tag) -> Option<String> {
        attribute::text(&self.decoded.data_set, tag)
    }

    /// All values of an attribute as trimmed texts, empty ones included.
    pub fn texts(&self, tag: Tag) -> Vec<String> {
        attribute::texts(&self.decoded.data_set, tag)
    }

    /// The first value of an attribute as a non-negative whole number.
    pub fn number(&self, tag: Tag) -> Option<u32> {
        attribute::integer(&self.decoded.data_set, tag)??.try_into().ok()
    }

    /// The items of a sequence attribute; none when it is absent or no sequence.
    pub fn items(&self, tag: Tag) -> &[InMemDicomObject] {
        self.decoded.data_set.get(tag).and_then(|element| element.items()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_dicom_is_told_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.txt");
        std::fs::write(&path, "hello").unwrap();
        let message = Instance::open(&path).unwrap_err().to_string();
        assert!(message.contains("not a readable DICOM file") && !message.contains('\n'), "{message}");
        let missing = Instance::open(dir.path().join("none.dcm")).unwrap_err().to_string();
        assert!(missing.contains("No such file"), "{missing}");
    }
}
