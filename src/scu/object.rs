//! What is sent: a data set with its identity, in a DICOM file or in memory.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use dicom::encoding::TransferSyntax;
use dicom::object::InMemDicomObject;
use dicom::transfer_syntax::entries;

use super::ScuError;
use crate::dimse::transfer_syntax::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN};
use crate::ids::{SopClassUid, SopInstanceUid, TransferSyntaxUid};
use crate::instance::Instance;
use crate::part10;

/// Largest data set that is written in another syntax for a peer: reports, not images.
const MAX_TRANSCODED_BYTES: u64 = 16 * 1024 * 1024;

/// A composite object, ready to be sent.
#[derive(Debug, Clone)]
pub struct Object {
    /// SOP Class UID.
    pub sop_class: SopClassUid,
    /// SOP Instance UID.
    pub sop_instance: SopInstanceUid,
    /// Transfer syntax of the data set.
    pub transfer_syntax: TransferSyntaxUid,
    data_set: DataSet,
}

#[derive(Debug, Clone)]
enum DataSet {
    File { path: PathBuf, start: u64, length: u64 },
    Memory(Bytes),
}

/// A data set's bytes, to be read once.
pub(super) type Source = Box<dyn Read + Send>;

impl Object {
    /// A DICOM file, under the UIDs of its data set. Only its header is read now; blocks on the disk.
    pub fn open(path: &Path) -> Result<Self, ScuError> {
        let instance = Instance::open(path).map_err(ScuError::Unreadable)?;
        let fail = |error: std::io::Error| ScuError::Object { path: path.to_owned(), cause: error.to_string() };
        let (start, size) = part10::data_set_range(&path.into()).map_err(fail)?;
        Ok(Self {
            sop_class: instance.sop_class,
            sop_instance: instance.sop_instance,
            transfer_syntax: instance.transfer_syntax,
            data_set: DataSet::File { path: path.to_owned(), start, length: size.saturating_sub(start) },
        })
    }

    /// A data set in memory.
    pub fn in_memory(
        sop_class: SopClassUid,
        sop_instance: SopInstanceUid,
        transfer_syntax: TransferSyntaxUid,
        data_set: impl Into<Bytes>,
    ) -> Self {
        Self { sop_class, sop_instance, transfer_syntax, data_set: DataSet::Memory(data_set.into()) }
    }

    /// Transfer syntaxes it can be sent in, its own first.
    pub(super) fn offers(&self) -> Vec<TransferSyntaxUid> {
        let mut offers = vec![self.transfer_syntax.clone()];
        let little = [IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN];
        if little.contains(&self.transfer_syntax.as_str()) && self.length() <= MAX_TRANSCODED_BYTES {
            offers.extend(little.iter().filter_map(|uid| uid.parse().ok()).filter(|uid| *uid != self.transfer_syntax));
        }
        offers
    }

    fn length(&self) -> u64 {
        match &self.data_set {
            DataSet::File { length, .. } => *length,
            DataSet::Memory(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        }
    }

    /// The data set's bytes in one of the syntaxes offered, and how many they are; blocks on the disk.
    pub(super) fn read_in(&self, syntax: &TransferSyntaxUid) -> Result<(Source, u64), ScuError> {
        let (source, length) = self.read()?;
        if *syntax == self.transfer_syntax {
            return Ok((source, length));
        }
        let fail = |cause: String| ScuError::Object { path: self.place(), cause };
        let from = little_endian(&self.transfer_syntax);
        let object = InMemDicomObject::read_dataset_with_ts(source, &from).map_err(|error| fail(error.to_string()))?;
        let mut bytes = Vec::new();
        object.write_dataset_with_ts(&mut bytes, &little_endian(syntax)).map_err(|error| fail(error.to_string()))?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok((Box::new(std::io::Cursor::new(bytes)), length))
    }

    fn read(&self) -> Result<(Source, u64), ScuError> {
        match &self.data_set {
            DataSet::Memory(bytes) => Ok((Box::new(std::io::Cursor::new(bytes.clone())), self.length())),
            DataSet::File { path, start, length } => {
                let fail = |error: std::io::Error| ScuError::Object { path: path.clone(), cause: error.to_string() };
                let mut file = File::open(path).map_err(fail)?;
                file.seek(std::io::SeekFrom::Start(*start)).map_err(fail)?;
                Ok((Box::new(file.take(*length)), *length))
            }
        }
    }

    /// Where it is, for messages.
    pub(super) fn place(&self) -> PathBuf {
        match &self.data_set {
            DataSet::File { path, .. } => path.clone(),
            DataSet::Memory(_) => self.sop_instance.as_str().into(),
        }
    }
}

fn little_endian(syntax: &TransferSyntaxUid) -> TransferSyntax {
    match syntax.as_str() {
        IMPLICIT_VR_LITTLE_ENDIAN => entries::IMPLICIT_VR_LITTLE_ENDIAN.erased(),
        _ => entries::EXPLICIT_VR_LITTLE_ENDIAN.erased(),
    }
}
