//! How elements are written (PS3.5 7.1): byte order, and where the VR comes from.

use dicom::core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom::core::{Tag, VR};
use dicom::dictionary_std::{StandardDataDictionary, tags};

use crate::part10::{EXPLICIT_BIG_ENDIAN, IMPLICIT_LITTLE_ENDIAN};

/// The group of items and delimiters (PS3.5 7.5), which are written without a VR.
pub(super) const ITEMS: u16 = 0xFFFE;
/// Item.
pub(super) const ITEM: Tag = Tag(ITEMS, 0xE000);
/// Item Delimitation Item.
pub(super) const ITEM_END: Tag = Tag(ITEMS, 0xE00D);
/// Sequence Delimitation Item.
pub(super) const SEQUENCE_END: Tag = Tag(ITEMS, 0xE0DD);

/// One of the three encodings of a data set (PS3.5 annex A).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
}

impl Encoding {
    /// The encoding under a transfer syntax, any compression aside.
    pub(super) fn of(transfer_syntax: &str) -> Self {
        match transfer_syntax {
            IMPLICIT_LITTLE_ENDIAN => Self::ImplicitLittle,
            EXPLICIT_BIG_ENDIAN => Self::ExplicitBig,
            _ => Self::ExplicitLittle,
        }
    }

    pub(super) fn u16(self, octets: [u8; 2]) -> u16 {
        match self {
            Self::ExplicitBig => u16::from_be_bytes(octets),
            Self::ImplicitLittle | Self::ExplicitLittle => u16::from_le_bytes(octets),
        }
    }

    pub(super) fn u32(self, octets: [u8; 4]) -> u32 {
        match self {
            Self::ExplicitBig => u32::from_be_bytes(octets),
            Self::ImplicitLittle | Self::ExplicitLittle => u32::from_le_bytes(octets),
        }
    }

    pub(super) fn tag(self, [g0, g1, e0, e1]: [u8; 4]) -> Tag {
        Tag(self.u16([g0, g1]), self.u16([e0, e1]))
    }
}

/// The VR of an element that is written without one (PS3.5 A.1), as the parser behind this walk takes it.
pub(super) fn implied_vr(tag: Tag) -> VR {
    match tag {
        tags::PIXEL_DATA => VR::OW,
        _ => StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed()),
    }
}

/// Whether an explicit VR is followed by two reserved bytes and a length of four (PS3.5 7.1.2).
pub(super) fn has_long_length(vr: VR) -> bool {
    use VR::{OB, OD, OF, OL, OV, OW, SQ, SV, UC, UN, UR, UT, UV};
    matches!(vr, OB | OD | OF | OL | OV | OW | SQ | SV | UC | UN | UR | UT | UV)
}

/// Bytes of one value of a binary VR (PS3.5 6.2); 1 where any length is a length.
pub(super) fn unit(vr: VR) -> u32 {
    use VR::{AT, FD, FL, OD, OF, OL, OV, OW, SL, SS, SV, UL, US, UV};
    match vr {
        OW | SS | US => 2,
        AT | FL | OF | OL | SL | UL => 4,
        FD | OD | OV | SV | UV => 8,
        _ => 1,
    }
}
