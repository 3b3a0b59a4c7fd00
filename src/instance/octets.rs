//! A data set as the bytes that the file has: for those who must pass a name on exactly as it came.
//!
//! Decoding a text and encoding it again is not faithful where the text does not follow its Specific Character
//! Set (PS3.3 C.12.1.1.2), uses code extensions, or stands after a sequence item with a set of its own. Here no
//! value is decoded: every one is its octets.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use dicom::core::value::DataSetSequence;
use dicom::core::{DataElement, Length, PrimitiveValue, Tag, VR};
use dicom::dictionary_std::tags;
use dicom::encoding::transfer_syntax::{Codec, TransferSyntaxIndex};
use dicom::object::{FileMetaTable, InMemDicomObject};
use dicom::parser::dataset::read::{DataSetReaderOptions, ValueReadStrategy};
use dicom::parser::dataset::{DataSetReader, DataToken};
use dicom::transfer_syntax::TransferSyntaxRegistry;

type Tokens = Box<dyn Iterator<Item = DataToken>>;

/// Reads the standard attributes before the pixel data; what cannot be read is left out.
pub(super) fn read(path: &Path) -> InMemDicomObject {
    tokens(path).map(|mut tokens| data_set(&mut tokens)).unwrap_or_else(InMemDicomObject::new_empty)
}

fn tokens(path: &Path) -> Option<Tokens> {
    let mut file = BufReader::new(File::open(path).ok()?);
    skip_preamble(&mut file).ok()?;
    let meta = FileMetaTable::from_reader(&mut file).ok()?;
    let syntax = TransferSyntaxRegistry.get(meta.transfer_syntax())?;
    let options = DataSetReaderOptions::default().value_read(ValueReadStrategy::Raw);
    Some(match syntax.codec() {
        Codec::Dataset(None) => return None,
        Codec::Dataset(Some(adapter)) => {
            let inflated = adapter.adapt_reader(Box::new(file));
            Box::new(DataSetReader::new_with_ts_options(inflated, syntax, options).ok()?.map_while(Result::ok))
        }
        _ => Box::new(DataSetReader::new_with_ts_options(file, syntax, options).ok()?.map_while(Result::ok)),
    })
}

fn skip_preamble(file: &mut (impl Read + Seek)) -> std::io::Result<()> {
    const PREAMBLE: u64 = 128;
    let mut magic = [0; 4];
    file.seek(SeekFrom::Start(PREAMBLE))?;
    let start = if file.read_exact(&mut magic).is_ok() && &magic == b"DICM" { PREAMBLE } else { 0 };
    file.seek(SeekFrom::Start(start)).map(|_| ())
}

/// The elements up to the end of the item, of the data set, or the pixel data.
fn data_set(tokens: &mut Tokens) -> InMemDicomObject {
    let mut object = InMemDicomObject::new_empty();
    while let Some(token) = tokens.next() {
        match token {
            DataToken::ElementHeader(header) if header.tag < tags::PIXEL_DATA => {
                let Some(DataToken::PrimitiveValue(value)) = tokens.next() else { break };
                put(&mut object, DataElement::new(header.tag, header.vr, value));
            }
            DataToken::SequenceStart { tag, .. } => {
                let items = DataSetSequence::new(items(tokens), Length::UNDEFINED);
                put(&mut object, DataElement::new(tag, VR::SQ, items));
            }
            _ => break,
        }
    }
    object
}

fn items(tokens: &mut Tokens) -> Vec<InMemDicomObject> {
    let mut items = Vec::new();
    while let Some(DataToken::ItemStart { .. }) = tokens.next() {
        items.push(data_set(tokens));
    }
    items
}

/// Private attributes and long values name nobody.
fn put(object: &mut InMemDicomObject, element: DataElement<InMemDicomObject>) {
    const LONGEST: usize = 64 * 1024;
    let short = element.value().primitive().is_none_or(|value: &PrimitiveValue| value.calculate_byte_len() <= LONGEST);
    let Tag(group, _) = element.header().tag;
    if short && group % 2 == 0 {
        object.put(element);
    }
}
