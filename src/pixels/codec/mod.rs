//! Which decoder serves which transfer syntax, and what is checked around it.

mod jpeg;
mod jpeg2000;
mod jpeg_extended;
mod jpeg_ls;
mod markers;
mod native;
mod rle;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use dicom::core::value::Value;
use dicom::dictionary_std::tags;

use super::PixelError;
use super::header::Header;
use super::samples::{Cells, InFile, Samples};
use crate::part10::{DEFLATED, EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, Location, Object};

/// Transfer syntax UIDs that [`decode`](super::decode) reads, those that need no decoder first.
pub const DECODABLE: &[&str] = &[
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    EXPLICIT_BIG_ENDIAN,
    DEFLATED,
    "1.2.840.10008.1.2.5",     // RLE lossless
    "1.2.840.10008.1.2.4.70",  // JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.57",  // JPEG lossless, process 14
    "1.2.840.10008.1.2.4.80",  // JPEG-LS lossless
    "1.2.840.10008.1.2.4.201", // HTJ2K lossless
    "1.2.840.10008.1.2.4.202", // HTJ2K lossless with RPCL options
    "1.2.840.10008.1.2.4.90",  // JPEG 2000 lossless
    "1.2.840.10008.1.2.4.81",  // JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.203", // HTJ2K
    "1.2.840.10008.1.2.4.91",  // JPEG 2000
    "1.2.840.10008.1.2.4.51",  // JPEG extended, processes 2 and 4
    "1.2.840.10008.1.2.4.50",  // JPEG baseline, process 1
];

/// What a transfer syntax does to the pixel data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Native,
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
}

impl Codec {
    fn of(transfer_syntax: &str) -> Option<Self> {
        Some(match transfer_syntax.strip_prefix("1.2.840.10008.1.2")? {
            "" | ".1" | ".2" | ".1.99" => Self::Native,
            ".5" => Self::Rle,
            ".4.50" | ".4.51" | ".4.57" | ".4.70" => Self::Jpeg,
            ".4.80" | ".4.81" => Self::JpegLs,
            ".4.90" | ".4.91" | ".4.201" | ".4.202" | ".4.203" => Self::Jpeg2000,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Rle => "RLE",
            Self::Jpeg => "JPEG",
            Self::JpegLs => "JPEG-LS",
            Self::Jpeg2000 => "JPEG 2000",
        }
    }

    fn decode(self, stream: &[u8], header: &Header) -> Result<Samples, Broken> {
        match self {
            Self::Native => Err(Broken("the pixel data is encapsulated")),
            Self::Rle => rle::decode(stream, header).map(|cells| Samples::as_in_header(cells, header)),
            Self::Jpeg => jpeg::decode(stream, header),
            Self::JpegLs => jpeg_ls::decode(stream, header),
            Self::Jpeg2000 => jpeg2000::decode(stream, header),
        }
    }
}

/// What is wrong with a code stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Broken(&'static str);

/// Takes the pixel data out of the object and decodes it; what needs no decoding stays in the file.
pub(super) fn samples(location: &Location, object: &mut Object, header: &Header) -> Result<Samples, PixelError> {
    let codec = Codec::of(&object.transfer_syntax)
        .ok_or_else(|| PixelError::NotDecodable("its transfer syntax has no decoder here".into()))?;
    let broken = |Broken(cause)| PixelError::NotDecodable(format!("{}: {cause}", codec.name()));
    if let Some(stretch) = object.native_pixels {
        let cells = InFile::of(location, stretch, header).ok_or(broken(native::TOO_SHORT))?;
        return Ok(Samples::as_in_header(Cells::InFile(cells), header));
    }
    let pixel_data = object.data_set.take_element(tags::PIXEL_DATA).map_err(|_| PixelError::NoPixelData)?;
    let samples = match pixel_data.into_value() {
        Value::Primitive(value) if codec == Codec::Native => {
            native::cells(value, header).map(|cells| Samples::as_in_header(cells, header))
        }
        Value::PixelSequence(sequence) => guarded(|| codec.decode(&frame(sequence.fragments()), header)),
        _ => Err(Broken("the pixel data is not encapsulated")),
    };
    let samples = samples.map_err(broken)?;
    if samples.len() != header.pixels {
        return Err(broken(Broken("the code stream has not the header's number of pixels")));
    }
    Ok(samples)
}

/// The one frame's code stream: all fragments in order, whatever the offset table says (PS3.5 A.4).
fn frame(fragments: &[Vec<u8>]) -> Cow<'_, [u8]> {
    match fragments {
        [only] => Cow::Borrowed(only),
        several => Cow::Owned(several.concat()),
    }
}

/// Runs a decoder; a panic of a library is an error of the stream.
fn guarded(decode: impl FnOnce() -> Result<Samples, Broken>) -> Result<Samples, Broken> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or(Err(Broken("the decoder gave up")))
}

/// That the stream's own size and depth are the header's, before anything is decoded.
fn agrees(header: &Header, rows: u32, columns: u32, precision: u32) -> Result<(), Broken> {
    if (rows as usize, columns as usize) != (header.rows, header.columns) {
        return Err(Broken("the code stream has another size than Rows and Columns say"));
    }
    if !(header.bits_stored..=header.bits_allocated).contains(&precision) {
        return Err(Broken("the code stream has another precision than Bits Stored and Bits Allocated say"));
    }
    Ok(())
}
