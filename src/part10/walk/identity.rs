//! The UIDs that say which object a data set is: each one well-formed UID, and only once.

use dicom::core::Tag;
use dicom::dictionary_std::tags;

use super::bytes::Bytes;
use super::{Fault, Walk, WalkError};

/// Characters of the longest UID (PS3.5 9.1).
const LONGEST_UID: usize = 64;
/// Padding behind a UID that is passed over; the standard has one NUL, some senders fill up a field.
const UID_PADDING: usize = 16;

/// The attributes that say which object this is.
pub(super) const IDENTITY: [Tag; 4] =
    [tags::SOP_CLASS_UID, tags::SOP_INSTANCE_UID, tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID];

impl<B: Bytes> Walk<B> {
    /// The value of an attribute that identifies the object: one UID, and only once.
    pub(super) fn identity(&mut self, tag: Tag, length: u32) -> Result<(), WalkError> {
        if self.identified.contains(&tag) {
            return Err(self.fault(Fault::Repeated));
        }
        self.identified.push(tag);
        let mut octets = [0; LONGEST_UID + UID_PADDING];
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let value = octets.get_mut(..length).ok_or_else(|| self.fault(Fault::NotUid))?;
        if self.fill(value)? < value.len() {
            return Err(self.fault(Fault::Cut));
        }
        match is_uid(value) {
            true => Ok(()),
            false => Err(self.fault(Fault::NotUid)),
        }
    }
}

/// One UID by its characters, with its padding (PS3.5 9.1, 6.2 VR UI).
fn is_uid(value: &[u8]) -> bool {
    let padding = value.iter().rev().take_while(|octet| matches!(octet, 0 | b' ')).count();
    let uid = value.get(..value.len() - padding).unwrap_or_default();
    let component = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    uid.len() <= LONGEST_UID && uid.split(|octet| *octet == b'.').all(component)
}
