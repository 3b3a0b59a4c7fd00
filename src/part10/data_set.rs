//! A data set from its tokens, built without recursion beyond a bound and without believing a length.
//!
//! With [`Values::Octets`] no value is decoded: decoding a text and encoding it again is not faithful where the
//! text does not follow its Specific Character Set (PS3.3 C.12.1.1.2), uses code extensions, or stands after a
//! sequence item with a set of its own.

use std::io::Read;

use dicom::core::value::{DataSetSequence, PixelFragmentSequence, Value};
use dicom::core::{DataElement, Length, VR};
use dicom::dictionary_std::tags;
use dicom::encoding::TransferSyntaxIndex;
use dicom::object::InMemDicomObject;
use dicom::object::mem::InMemElement;
use dicom::parser::dataset::read::{DataSetReaderOptions, ValueReadStrategy};
use dicom::parser::dataset::{DataSetReader, DataToken};
use dicom::transfer_syntax::TransferSyntaxRegistry;

use super::{
    DEEPEST, EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, Extent, IMPLICIT_LITTLE_ENDIAN, ReadError, Values, not_dicom,
};

/// Reads a data set whose compression, if it had one, is undone (PS3.5 annex A). No element is longer than `size`.
pub(super) fn read(
    data: impl Read + 'static,
    transfer_syntax: &str,
    extent: Extent,
    values: Values,
    size: u64,
) -> Result<InMemDicomObject, ReadError> {
    let encoding = match transfer_syntax {
        IMPLICIT_LITTLE_ENDIAN | EXPLICIT_BIG_ENDIAN => transfer_syntax,
        _ => EXPLICIT_LITTLE_ENDIAN,
    };
    let encoding = TransferSyntaxRegistry.get(encoding).ok_or_else(|| broken("its encoding is not registered"))?;
    let strategy = match values {
        Values::Decoded => ValueReadStrategy::Preserved,
        Values::Octets => ValueReadStrategy::Raw,
    };
    let options = DataSetReaderOptions::default().value_read(strategy);
    let tokens = DataSetReader::new_with_ts_options(data, encoding, options).map_err(|error| not_dicom(&error))?;
    let tokens = tokens.map(|token| token.map_err(|error| not_dicom(&error)));
    Builder { tokens, extent, size }.object(0)
}

fn broken(what: &str) -> ReadError {
    ReadError::NotDicom(what.to_owned())
}

struct Builder<T> {
    tokens: T,
    extent: Extent,
    size: u64,
}

impl<T: Iterator<Item = Result<DataToken, ReadError>>> Builder<T> {
    fn next(&mut self) -> Result<DataToken, ReadError> {
        self.tokens.next().unwrap_or_else(|| Err(broken("it ends within an element")))
    }

    /// The elements up to the end of the item, of the data set, or of what is wanted of it.
    fn object(&mut self, depth: usize) -> Result<InMemDicomObject, ReadError> {
        let mut object = InMemDicomObject::new_empty();
        while let Some(token) = self.tokens.next() {
            let token = token?;
            let tag = match &token {
                DataToken::ElementHeader(header) => header.tag,
                DataToken::SequenceStart { tag, .. } => *tag,
                DataToken::PixelSequenceStart => tags::PIXEL_DATA,
                _ => break,
            };
            let last = depth == 0 && tag >= tags::PIXEL_DATA;
            if last && (self.extent == Extent::Header || tag > tags::PIXEL_DATA) {
                break;
            }
            object.put(self.element(token, depth)?);
            if last {
                break;
            }
        }
        Ok(object)
    }

    fn element(&mut self, token: DataToken, depth: usize) -> Result<InMemElement, ReadError> {
        match token {
            DataToken::ElementHeader(header) => {
                self.check_length(header.len)?;
                let DataToken::PrimitiveValue(value) = self.next()? else {
                    return Err(broken("an element has no value"));
                };
                Ok(DataElement::new_with_len(header.tag, header.vr, header.len, Value::Primitive(value)))
            }
            DataToken::SequenceStart { tag, .. } => {
                let items = self.items(depth + 1)?;
                Ok(DataElement::new(tag, VR::SQ, DataSetSequence::new(items, Length::UNDEFINED)))
            }
            _ => self.fragments(),
        }
    }

    fn items(&mut self, depth: usize) -> Result<Vec<InMemDicomObject>, ReadError> {
        if depth > DEEPEST {
            return Err(ReadError::NotDicom(format!("sequences are nested deeper than {DEEPEST}")));
        }
        let mut items = Vec::new();
        while let DataToken::ItemStart { .. } = self.next()? {
            items.push(self.object(depth)?);
        }
        Ok(items)
    }

    /// Encapsulated Pixel Data (PS3.5 A.4).
    fn fragments(&mut self) -> Result<InMemElement, ReadError> {
        let mut offsets = None;
        let mut fragments = Vec::new();
        loop {
            match self.next()? {
                DataToken::ItemStart { len } => self.check_length(len)?,
                DataToken::OffsetTable(table) => offsets = Some(table),
                DataToken::ItemValue(fragment) => fragments.push(fragment),
                // An empty first item is an empty offset table.
                DataToken::ItemEnd => offsets = Some(offsets.unwrap_or_default()),
                DataToken::SequenceEnd => break,
                _ => return Err(broken("its encapsulated pixel data has something else than fragments")),
            }
        }
        let sequence = PixelFragmentSequence::new(offsets.unwrap_or_default(), fragments);
        Ok(DataElement::new(tags::PIXEL_DATA, VR::OB, Value::PixelSequence(sequence)))
    }

    fn check_length(&self, length: Length) -> Result<(), ReadError> {
        match length.get() {
            Some(length) if u64::from(length) > self.size => Err(broken("an element is longer than the file")),
            _ => Ok(()),
        }
    }
}
