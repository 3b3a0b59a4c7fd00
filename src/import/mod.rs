//! Import: a picture of a radiograph and a description of it become a DICOM object, Computed Radiography Image
//! Storage (PS3.3 A.2) or Digital X-Ray Image Storage - For Presentation (PS3.3 A.26).
//!
//! Nothing is random and no clock is read: the same picture and description give the same object, UIDs included.

use std::path::PathBuf;

use chrono::NaiveDateTime;
use dicom::object::{FileDicomObject, FileMetaTableBuilder, InMemDicomObject, WithMetaError};
use sha2::{Digest, Sha256};

use crate::ids::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, SopInstanceUid};

mod attributes;
mod codes;
mod modules;
mod picture;
#[cfg(test)]
mod tests;

use attributes::Attributes;
pub use picture::{Encoding, Picture, Samples};

/// Why a picture did not become a DICOM object. The message is one line.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is not there or cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// No JPEG or PNG picture, or a broken one.
    #[error("{path}: not a readable JPEG or PNG picture: {cause}; open it in an image viewer and export it anew")]
    Picture {
        /// The file.
        path: PathBuf,
        /// The decoder's message.
        cause: String,
    },
    /// A text of the description that its attribute cannot hold (PS3.5 table 6.2-1).
    #[error("{name} {value:?} does not fit: {rule}")]
    Text {
        /// The attribute's name.
        name: &'static str,
        /// The text.
        value: String,
        /// What the attribute's value representation allows.
        rule: &'static str,
    },
    /// The object could not be encoded.
    #[error("cannot encode the DICOM object: {0}")]
    Encode(#[source] Box<dicom::object::WriteError>),
    /// The file meta information could not be made.
    #[error("cannot make the file meta information: {0}")]
    Meta(#[source] Box<WithMetaError>),
}

/// Which kind of object a radiograph becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modality {
    /// Computed Radiography Image Storage.
    Cr,
    /// Digital X-Ray Image Storage - For Presentation.
    Dx,
}

/// View Position (0018,5101): the path of the beam, or the side that faces the detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Postero-anterior.
    Pa,
    /// Antero-posterior.
    Ap,
    /// Left lateral.
    Ll,
    /// Right lateral.
    Rl,
}

/// Image Laterality (0020,0062).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Laterality {
    /// No paired part: the chest.
    Unpaired,
    /// The left one of a pair.
    Left,
    /// The right one of a pair.
    Right,
}

/// Patient's Sex (0010,0040).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    /// Male.
    Male,
    /// Female.
    Female,
    /// Other.
    Other,
}

/// The patient (PS3.3 C.7.1). Empty texts are written as empty attributes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patient {
    /// Patient ID (0010,0020).
    pub id: String,
    /// Patient's Name (0010,0010), `Family^Given`.
    pub name: String,
    /// Patient's Sex (0010,0040).
    pub sex: Option<Sex>,
    /// Patient's Age (0010,1010) in years.
    pub age: Option<u8>,
}

/// The study (PS3.3 C.7.2). Images of equal patient ID and equal study belong to one DICOM study.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Study {
    /// Accession Number (0008,0050).
    pub accession: String,
    /// Study ID (0020,0010).
    pub id: String,
    /// Study Description (0008,1030).
    pub description: String,
    /// Study Date and Time (0008,0020), (0008,0030), to the second; also those of the series and the image.
    pub started: NaiveDateTime,
}

/// Everything about a radiograph that its picture does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Radiography {
    /// Which object it becomes.
    pub modality: Modality,
    /// How the beam went.
    pub view: View,
    /// Body Part Examined (0018,0015), for example `CHEST`.
    pub body_part: String,
    /// Which of two.
    pub laterality: Laterality,
    /// Whose.
    pub patient: Patient,
    /// In which study.
    pub study: Study,
    /// Series Number (0020,0011): images of one study and number share a series.
    pub series_number: u16,
    /// Series Description (0008,103E).
    pub series_description: String,
    /// Instance Number (0020,0013).
    pub instance_number: u16,
}

/// Makes the DICOM object. Burned In Annotation (0028,0301) says NO: the caller vouches that no name is in the picture.
pub fn object(picture: &Picture, radiography: &Radiography) -> Result<FileDicomObject<InMemDicomObject>, ImportError> {
    let mut attributes = Attributes::new();
    modules::patient(&mut attributes, &radiography.patient)?;
    modules::study(&mut attributes, &radiography.patient, &radiography.study)?;
    modules::series(&mut attributes, radiography)?;
    modules::image(&mut attributes, picture, radiography)?;
    if radiography.modality == Modality::Dx {
        modules::digital_xray(&mut attributes, picture, radiography);
    }
    modules::pixels(&mut attributes, picture);
    seal(attributes.into_object(), modules::transfer_syntax(picture))
}

/// Adds the SOP Instance UID, derived from all the rest, and the file meta information (PS3.10 7.1).
fn seal(
    mut dataset: InMemDicomObject,
    transfer_syntax: &str,
) -> Result<FileDicomObject<InMemDicomObject>, ImportError> {
    use dicom::core::{DataElement, VR};
    use dicom::dictionary_std::tags;

    let mut octets = Vec::new();
    let plain = dicom::transfer_syntax::entries::EXPLICIT_VR_LITTLE_ENDIAN.erased();
    dataset.write_dataset_with_ts(&mut octets, &plain).map_err(|error| ImportError::Encode(Box::new(error)))?;
    let digest: String = Sha256::digest(&octets).iter().map(|octet| format!("{octet:02x}")).collect();
    let uid = SopInstanceUid::derived(&["import instance", &digest]);
    dataset.put(DataElement::new(tags::SOP_INSTANCE_UID, VR::UI, uid.as_str()));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(transfer_syntax)
        .implementation_class_uid(IMPLEMENTATION_CLASS_UID)
        .implementation_version_name(IMPLEMENTATION_VERSION_NAME);
    dataset.with_meta(meta).map_err(|error| ImportError::Meta(Box::new(error)))
}
