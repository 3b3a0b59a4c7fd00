//! What a DIMSE response says about its request (PS3.7 annex C, PS3.4 B.2.3 for C-STORE).

use std::fmt;

/// Status (0000,0900) of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(u16);

/// What kind of answer a status is (PS3.7 C).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Done.
    Success,
    /// Done, with something to know.
    Warning,
    /// Not done.
    Failure,
    /// Not yet done.
    Pending,
    /// Ended on request.
    Cancel,
}

impl Status {
    /// 0000: success.
    pub const SUCCESS: Self = Self(0x0000);
    /// 0110: processing failure.
    pub const PROCESSING_FAILURE: Self = Self(0x0110);
    /// 0112: no such SOP instance.
    pub const NO_SUCH_INSTANCE: Self = Self(0x0112);
    /// 0113: no such event type.
    pub const NO_SUCH_EVENT: Self = Self(0x0113);
    /// 0115: invalid argument value.
    pub const INVALID_ARGUMENT: Self = Self(0x0115);
    /// 0117: the SOP Instance UID is no UID.
    pub const INVALID_INSTANCE: Self = Self(0x0117);
    /// 0118: no such SOP class.
    pub const NO_SUCH_CLASS: Self = Self(0x0118);
    /// 0122: SOP class not supported, or not that of the presentation context.
    pub const SOP_CLASS_NOT_SUPPORTED: Self = Self(0x0122);
    /// 0123: no such action type.
    pub const NO_SUCH_ACTION: Self = Self(0x0123);
    /// 0211: unrecognized operation.
    pub const UNRECOGNIZED_OPERATION: Self = Self(0x0211);
    /// 0213: resource limitation.
    pub const RESOURCE_LIMITATION: Self = Self(0x0213);
    /// A700: out of resources.
    pub const OUT_OF_RESOURCES: Self = Self(0xA700);
    /// A900: data set does not match SOP class.
    pub const MISMATCH: Self = Self(0xA900);
    /// C000: cannot understand.
    pub const CANNOT_UNDERSTAND: Self = Self(0xC000);

    /// A status as it stands in a command set.
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// The number.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// Its class (PS3.7 C).
    pub fn class(self) -> Class {
        match self.0 {
            0x0000 => Class::Success,
            0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF => Class::Warning,
            0xFE00 => Class::Cancel,
            0xFF00 | 0xFF01 => Class::Pending,
            _ => Class::Failure,
        }
    }

    /// Whether the object is now at the peer: success or a warning.
    pub fn is_stored(self) -> bool {
        matches!(self.class(), Class::Success | Class::Warning)
    }

    /// What it means, in an administrator's words.
    pub fn words(self) -> &'static str {
        match self.0 {
            0x0000 => "success",
            0x0001 => "done, but optional attributes were not supported",
            0x0105 => "no such attribute",
            0x0106 => "invalid attribute value",
            0x0107 => "done, but the peer does not know some attributes",
            0x0110 => "processing failure at the peer",
            0x0111 => "the peer already has an object with this SOP Instance UID",
            0x0112 => "no such object at the peer",
            0x0113 => "no such event type",
            0x0114 => "the peer does not take this argument",
            0x0115 => "an argument is not valid",
            0x0116 => "done, but an attribute value was out of range",
            0x0117 => "the SOP Instance UID is not valid",
            0x0118 => "no such SOP class at the peer",
            0x0119 => "class and instance do not belong together",
            0x0120 => "an attribute is missing",
            0x0121 => "an attribute has no value",
            0x0122 => "SOP class not supported, or not the one negotiated",
            0x0123 => "no such action",
            0x0124 => "not authorized: the peer must allow this AE title",
            0x0210 => "duplicate message ID",
            0x0211 => "unrecognized operation",
            0x0212 => "mistyped argument in the command",
            0x0213 => "the peer is short of resources",
            0xA700..=0xA7FF => "refused, out of resources: the disk or queue of the receiver is full",
            0xA800..=0xA8FF => "refused, SOP class not supported",
            0xA900..=0xA9FF => "the data set does not match its SOP class or its command",
            0xB000 => "stored, but elements were coerced",
            0xB006 => "stored, but elements were discarded",
            0xB007 => "stored, but the data set does not match its SOP class",
            0xC000..=0xCFFF => "the receiver cannot understand the data set",
            0xFE00 => "cancelled",
            0xFF00 | 0xFF01 => "pending",
            _ => match self.class() {
                Class::Warning => "done, with a warning of the peer's own",
                _ => "failed, with a status of the peer's own",
            },
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04X} ({})", self.0, self.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_the_standard() {
        let class = |code| Status::new(code).class();
        assert_eq!(class(0x0000), Class::Success);
        assert_eq!([0xB000, 0xB006, 0xB007, 0xBABE, 0x0001].map(class), [Class::Warning; 5]);
        assert_eq!([0xA700, 0xA900, 0xC123, 0x0110, 0x0122, 0x0211].map(class), [Class::Failure; 6]);
        assert_eq!((class(0xFE00), class(0xFF00)), (Class::Cancel, Class::Pending));
    }

    #[test]
    fn every_status_reads_well() {
        assert_eq!(
            Status::OUT_OF_RESOURCES.to_string(),
            "0xA700 (refused, out of resources: the disk or queue of the receiver is full)"
        );
        assert!((0..=u16::MAX).all(|code| !Status::new(code).words().is_empty()));
    }
}
