//! What a data set says of itself, gathered while it is walked over: which object it is, each UID well-formed and only
//! once; whose; how urgent; and where its pixels begin.

use dicom::core::Tag;
use dicom::dictionary_std::tags;

use super::bytes::Bytes;
use super::{Fault, Pixels, Walk, WalkError};

/// Characters of the longest UID (PS3.5 9.1).
const LONGEST_UID: usize = 64;
/// Padding behind a UID that is passed over; the standard has one NUL, some senders fill up a field.
const UID_PADDING: usize = 16;
/// Octets of a text that are kept; LO and CS allow 64 characters at most (PS3.5 6.2).
const LONGEST_TEXT: u32 = 1024;

/// The attributes that say which object this is.
pub(super) const IDENTITY: [Tag; 4] =
    [tags::SOP_CLASS_UID, tags::SOP_INSTANCE_UID, tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID];

/// What a data set says of itself, as far as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// Transfer Syntax UID (0002,0010) of the file, without padding.
    pub transfer_syntax: String,
    /// Patient ID (0010,0020), its octets without padding.
    pub patient_id: Option<Vec<u8>>,
    /// Issuer of Patient ID (0010,0021), likewise.
    pub issuer_of_patient_id: Option<Vec<u8>>,
    /// Requested Procedure Priority (0040,1003), of the object or of an item, likewise.
    pub requested_procedure_priority: Option<Vec<u8>>,
    /// Where the element Pixel Data (7FE0,0010) begins, in bytes from the beginning of the file; in a deflated one,
    /// of the inflated data set.
    pub pixel_data: Option<u64>,
    /// What the value of Pixel Data is, and where it lies, in bytes from the same beginning.
    pub pixels: Option<Pixels>,
    uids: Vec<(Tag, String)>,
}

impl Outline {
    /// One of SOP Class, SOP Instance, Study Instance and Series Instance UID, without padding.
    pub fn uid(&self, tag: Tag) -> Option<&str> {
        self.uids.iter().find(|(known, _)| *known == tag).map(|(_, uid)| uid.as_str())
    }

    fn note(&mut self, tag: Tag, text: Vec<u8>) {
        let place = match tag {
            tags::PATIENT_ID => &mut self.patient_id,
            tags::ISSUER_OF_PATIENT_ID => &mut self.issuer_of_patient_id,
            _ => &mut self.requested_procedure_priority,
        };
        *place = Some(text);
    }
}

impl<B: Bytes> Walk<B> {
    /// The value of an attribute that identifies the object: one UID, and only once.
    pub(super) fn identity(&mut self, tag: Tag, length: u32) -> Result<(), WalkError> {
        if self.outline.uid(tag).is_some() {
            return Err(self.fault(Fault::Repeated));
        }
        let mut octets = [0; LONGEST_UID + UID_PADDING];
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let value = octets.get_mut(..length).ok_or_else(|| self.fault(Fault::NotUid))?;
        if self.fill(value)? < value.len() {
            return Err(self.fault(Fault::Cut));
        }
        let uid = as_uid(value).ok_or_else(|| self.fault(Fault::NotUid))?;
        self.outline.uids.push((tag, uid));
        Ok(())
    }

    /// The value of another attribute that is asked for; `None` for all that are not.
    pub(super) fn asked_for(&mut self, tag: Tag, length: u32) -> Option<Result<(), WalkError>> {
        let outermost = self.open.is_empty();
        match tag {
            tags::PATIENT_ID | tags::ISSUER_OF_PATIENT_ID if outermost => {}
            tags::REQUESTED_PROCEDURE_PRIORITY => {}
            _ => return None,
        }
        Some(self.text(length).map(|text| self.outline.note(tag, text)))
    }

    fn text(&mut self, length: u32) -> Result<Vec<u8>, WalkError> {
        let kept = length.min(LONGEST_TEXT);
        let mut text = vec![0; usize::try_from(kept).unwrap_or_default()];
        if self.fill(&mut text)? < text.len() {
            return Err(self.fault(Fault::Cut));
        }
        self.skip(length - kept)?;
        Ok(without_padding(&text).trim_ascii_start().to_vec())
    }
}

fn without_padding(value: &[u8]) -> &[u8] {
    let padding = value.iter().rev().take_while(|octet| matches!(octet, 0 | b' ')).count();
    value.get(..value.len() - padding).unwrap_or_default()
}

/// One UID by its characters, without its padding (PS3.5 9.1, 6.2 VR UI).
fn as_uid(value: &[u8]) -> Option<String> {
    let uid = without_padding(value);
    let component = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let well_formed = uid.len() <= LONGEST_UID && uid.split(|octet| *octet == b'.').all(component);
    well_formed.then(|| String::from_utf8_lossy(uid).into_owned())
}
