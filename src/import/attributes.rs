//! A data set in the making: values checked against their value representation (PS3.5 table 6.2-1).

use dicom::core::value::DataSetSequence;
use dicom::core::{DataElement, PrimitiveValue, Tag, VR};
use dicom::object::InMemDicomObject;

use super::ImportError;
use super::codes::{self, Code};

/// The attributes put so far.
pub(super) struct Attributes(InMemDicomObject);

impl Attributes {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(InMemDicomObject::new_empty())
    }

    /// Puts a value that the project itself chose.
    pub(super) fn put(&mut self, tag: Tag, vr: VR, value: impl Into<PrimitiveValue>) {
        self.0.put(DataElement::new(tag, vr, value.into()));
    }

    /// Puts an attribute without a value (type 2).
    pub(super) fn empty(&mut self, tag: Tag, vr: VR) {
        self.put(tag, vr, PrimitiveValue::Empty);
    }

    /// Puts a text that somebody else chose, if it is legal.
    pub(super) fn text(&mut self, tag: Tag, vr: VR, name: &'static str, value: &str) -> Result<(), ImportError> {
        match broken_rule(vr, value) {
            Some(rule) => Err(ImportError::Text { name, value: value.to_owned(), rule }),
            None => {
                self.put(tag, vr, value);
                Ok(())
            }
        }
    }

    /// Puts a sequence of at most one coded entry.
    pub(super) fn code(&mut self, tag: Tag, code: Option<Code>) {
        self.sequence(tag, code.map(codes::item).into_iter().collect());
    }

    /// Puts a sequence.
    pub(super) fn sequence(&mut self, tag: Tag, items: Vec<InMemDicomObject>) {
        self.0.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
    }

    /// Puts a JPEG stream as one fragment after an empty offset table (PS3.5 A.4).
    pub(super) fn encapsulated(&mut self, tag: Tag, mut stream: Vec<u8>) {
        if stream.len() % 2 == 1 {
            stream.push(0);
        }
        let fragments = dicom::core::value::PixelFragmentSequence::new(Vec::new(), vec![stream]);
        self.0.put(DataElement::new(tag, VR::OB, fragments));
    }

    /// The data set.
    pub(super) fn into_object(self) -> InMemDicomObject {
        self.0
    }
}

/// What is wrong with a text, as the rule it breaks.
fn broken_rule(vr: VR, value: &str) -> Option<&'static str> {
    let (longest, rule) = match vr {
        VR::CS => (16, "at most 16 characters out of A to Z, 0 to 9, space and underscore"),
        VR::SH => (16, "at most 16 characters, no backslash, no control character"),
        _ => (64, "at most 64 characters, no backslash, no control character"),
    };
    let legal = |c: char| match vr {
        VR::CS => c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, ' ' | '_'),
        _ => c != '\\' && !c.is_control(),
    };
    (value.chars().count() > longest || !value.chars().all(legal)).then_some(rule)
}
