//! Received DICOM instances, the study they make up, and the part of their header that others ask for.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use dicom::core::Tag;
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;

use crate::ids::{IdError, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid};
use crate::part10::{self, Extent, Object, ReadError, Values, attribute};

/// A header that cannot be used. The message names no patient and no value of the file.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The file is not there or cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// No DICOM Part 10 file, or one that ends early.
    #[error("{path}: not a readable DICOM file: {cause}; ask the sender for it again, or check it with `dcmdump`")]
    NotDicom {
        /// The file.
        path: PathBuf,
        /// The parser's message.
        cause: String,
    },
    /// A UID that every composite object must have is missing or malformed.
    #[error("{path}: {name} {tag} is {cause}")]
    Identity {
        /// The file.
        path: PathBuf,
        /// The attribute's tag.
        tag: Tag,
        /// The attribute's name.
        name: &'static str,
        /// `missing`, or what is wrong with it.
        cause: String,
    },
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
    /// The DICOM Part 10 file.
    pub path: PathBuf,
}

impl Instance {
    /// Reads a file's identity: the UIDs that a composite object must carry (PS3.3 C.7.2, C.7.3, C.12.1).
    pub fn open(path: &Path) -> Result<Self, HeaderError> {
        let Object { transfer_syntax, data_set } = read(path, Values::Decoded)?;
        let fault = |tag, name| move |cause| HeaderError::Identity { path: path.to_owned(), tag, name, cause };
        Ok(Self {
            study: uid(&data_set, tags::STUDY_INSTANCE_UID)
                .map_err(fault(tags::STUDY_INSTANCE_UID, "Study Instance UID"))?,
            series: uid(&data_set, tags::SERIES_INSTANCE_UID)
                .map_err(fault(tags::SERIES_INSTANCE_UID, "Series Instance UID"))?,
            sop_class: uid(&data_set, tags::SOP_CLASS_UID).map_err(fault(tags::SOP_CLASS_UID, "SOP Class UID"))?,
            sop_instance: uid(&data_set, tags::SOP_INSTANCE_UID)
                .map_err(fault(tags::SOP_INSTANCE_UID, "SOP Instance UID"))?,
            patient: PatientKey::of(&data_set),
            transfer_syntax: parsed(&transfer_syntax)
                .map_err(fault(tags::TRANSFER_SYNTAX_UID, "Transfer Syntax UID"))?,
            path: path.to_owned(),
        })
    }
}

/// Tells patients apart without naming them: a hash of Patient ID (0010,0020) and Issuer of Patient ID (0010,0021),
/// good for comparing and for a file name, not for sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PatientKey(u64);

impl PatientKey {
    /// The key of a Patient ID and its issuer.
    pub fn new(id: Option<&str>, issuer: Option<&str>) -> Self {
        let mut hasher = DefaultHasher::new();
        (id, issuer).hash(&mut hasher);
        Self(hasher.finish())
    }

    fn of(data_set: &InMemDicomObject) -> Self {
        let text = |tag| attribute::text(data_set, tag);
        Self::new(text(tags::PATIENT_ID).as_deref(), text(tags::ISSUER_OF_PATIENT_ID).as_deref())
    }
}

/// Sixteen hexadecimal digits.
impl fmt::Display for PatientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The only value of a UID attribute, or what is wrong with it.
fn uid<T: FromStr<Err = IdError>>(data_set: &InMemDicomObject, tag: Tag) -> Result<T, String> {
    match attribute::texts(data_set, tag).as_slice() {
        [] => Err("missing".into()),
        [value] => parsed(value),
        _ => Err("more than one value".into()),
    }
}

fn parsed<T: FromStr<Err = IdError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: IdError| error.to_string())
}

fn read(path: &Path, values: Values) -> Result<Object, HeaderError> {
    part10::read(path, Extent::Header, values, LARGEST_INFLATED_HEADER).map_err(|error| match error {
        ReadError::Io(source) => HeaderError::Io { path: path.to_owned(), source },
        ReadError::NotDicom(cause) => HeaderError::NotDicom { path: path.to_owned(), cause },
    })
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
    pub fn open(path: &Path) -> Result<Self, HeaderError> {
        let decoded = read(path, Values::Decoded)?;
        let octets = read(path, Values::Octets)?.data_set;
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
        let missing = Instance::open(&dir.path().join("none.dcm")).unwrap_err().to_string();
        assert!(missing.contains("No such file"), "{missing}");
    }
}
