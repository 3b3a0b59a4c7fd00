//! DICOM files (PS3.10): what a file says of itself, and its data set, read with bounds on depth, lengths and
//! inflated size, whatever the file claims. [`walk()`] tells beforehand whether a data set is sound to its last byte.

pub mod attribute;
mod data_set;
mod inflate;
mod location;
mod walk;

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Seek, SeekFrom};

use bytes::{Buf, Bytes};
use dicom::object::InMemDicomObject;

pub use location::{Content, Location, Stretch};
pub use walk::{Fault, Outline, WalkError, Walked, walk, walk_octets};

use walk::Defined;

/// Implicit VR Little Endian, the default transfer syntax (PS3.5 A.1).
pub const IMPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
/// Explicit VR Little Endian (PS3.5 A.2).
pub const EXPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
/// Explicit VR Big Endian, retired.
pub const EXPLICIT_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
/// Deflated Explicit VR Little Endian (PS3.5 A.5).
pub const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

/// Length of the preamble before `DICM` (PS3.10 section 7.1).
const PREAMBLE: u64 = 128;
/// What is said of a deflated data set that grows beyond its bound.
const TOO_LARGE: &str = "the deflated data set is larger than the bound allows";
/// Longest Transfer Syntax UID that is read: 64 characters (PS3.5 9.1), and padding.
const LONGEST_TRANSFER_SYNTAX: u32 = 80;
/// Sequences within sequences that are read; the deepest of PS3.3 need fewer than ten.
const DEEPEST: usize = 32;

/// A file that cannot be read as DICOM.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file is not there, or the disk fails.
    #[error("{0}")]
    Io(Error),
    /// No DICOM file, or a broken one; the text says where.
    #[error("not a readable DICOM file: {0}")]
    NotDicom(String),
}

/// How far a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Up to Pixel Data (7FE0,0010).
    Header,
    /// Up to Pixel Data, and that.
    PixelData,
}

/// How values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Texts by their character set, numbers by their byte order.
    Decoded,
    /// As the bytes of the file.
    Octets,
}

/// Where the value of Pixel Data (7FE0,0010) lies, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pixels {
    /// Pixel cells as they are (PS3.5 section 8), of a VR that Pixel Data may have.
    Native(Stretch, Order),
    /// Encapsulated (PS3.5 A.4): items, an offset table first, then the fragments; without the sequence delimiter.
    Fragments(Stretch),
    /// A value of another VR.
    Foreign,
}

/// Which octet of a word of 16 bits comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The low one.
    LittleEnd,
    /// The high one: VR OW in Explicit VR Big Endian.
    BigEnd,
}

/// A data set with the transfer syntax that its file meta information names.
#[derive(Debug, Clone)]
pub struct Object {
    /// Transfer Syntax UID (0002,0010), without padding.
    pub transfer_syntax: String,
    /// The data set.
    pub data_set: InMemDicomObject,
}

/// The header of an image, and where its pixels are.
#[derive(Debug, Clone)]
pub struct Image {
    /// Transfer Syntax UID (0002,0010), without padding.
    pub transfer_syntax: String,
    /// The data set up to Pixel Data (7FE0,0010), every value decoded.
    pub header: InMemDicomObject,
    /// Pixel Data, if there is any: where in the file; where in [`Image::inflated`] if that is there.
    pub pixels: Option<Pixels>,
    /// The whole data set, if the file has it deflated.
    pub inflated: Option<Bytes>,
}

/// Reads a file. A deflated data set may inflate to `largest_inflated` bytes.
pub fn read(location: &Location, extent: Extent, values: Values, largest_inflated: u64) -> Result<Object, ReadError> {
    let Walked { unknown, .. } = walk(location, largest_inflated)?;
    let (transfer_syntax, mut file, size) = opened(location)?;
    let data_set = if transfer_syntax == DEFLATED {
        let data = Bounded { data: flate2::read::DeflateDecoder::new(file), left: largest_inflated };
        data_set::read(Defined::new(data, 0, unknown), &transfer_syntax, extent, values, largest_inflated)?
    } else {
        let at = file.stream_position().map_err(ReadError::Io)?;
        data_set::read(Defined::new(file, at, unknown), &transfer_syntax, extent, values, size)?
    };
    Ok(Object { transfer_syntax, data_set })
}

/// Reads the header of an image and finds its pixels. A deflated data set is inflated once, to `largest_inflated` bytes at
/// most, and kept.
pub fn read_image(location: &Location, largest_inflated: u64) -> Result<Image, ReadError> {
    let (transfer_syntax, mut file, size) = opened(location)?;
    let (extent, values) = (Extent::Header, Values::Decoded);
    if transfer_syntax == DEFLATED {
        let inflated = inflate::inflated(file, largest_inflated)?;
        let (pixels, unknown) = found(walk::over_inflated(&inflated))?;
        let data = Defined::new(inflated.clone().reader(), 0, unknown);
        let header = data_set::read(data, &transfer_syntax, extent, values, inflated.len() as u64)?;
        return Ok(Image { transfer_syntax, header, pixels, inflated: Some(inflated) });
    }
    let (pixels, unknown) = found(walk(location, largest_inflated)?)?;
    let at = file.stream_position().map_err(ReadError::Io)?;
    let header = data_set::read(Defined::new(file, at, unknown), &transfer_syntax, extent, values, size)?;
    Ok(Image { transfer_syntax, header, pixels, inflated: None })
}

/// The pixels of a data set, none where it has none; it may be unsound behind them only.
fn found(walked: Walked) -> Result<(Option<Pixels>, Vec<walk::Unknown>), ReadError> {
    match (walked.outline.pixels, walked.soundness) {
        (None, Err(WalkError::File(error))) => Err(error),
        (None, Err(error)) => Err(ReadError::NotDicom(error.to_string())),
        (pixels, _) => Ok((pixels, walked.unknown)),
    }
}

/// The transfer syntax of a file, the file from its data set on, and its size in bytes.
fn opened(location: &Location) -> Result<(String, BufReader<Content>, u64), ReadError> {
    let file = location.open().map_err(ReadError::Io)?;
    let size = file.length();
    let mut file = BufReader::with_capacity(1 << 16, file);
    let transfer_syntax = transfer_syntax(&mut file).map_err(|error| not_dicom(&error))?;
    Ok((transfer_syntax, file, size))
}

/// Reads a data set that came without a file, up to Pixel Data, after a walk over all of it. It is not deflated.
pub fn read_received(data_set: Bytes, transfer_syntax: &str) -> Result<InMemDicomObject, WalkError> {
    let unknown = walk::over_received(&data_set, transfer_syntax)?;
    let size = data_set.len() as u64;
    let data = Defined::new(data_set.reader(), 0, unknown);
    Ok(data_set::read(data, transfer_syntax, Extent::Header, Values::Decoded, size)?)
}

/// Reads a whole file that lies in memory, every value as its bytes, after a walk over all of it. It is not deflated.
pub fn read_written(file: &[u8]) -> Result<InMemDicomObject, WalkError> {
    let mut reader = std::io::Cursor::new(file);
    let transfer_syntax = transfer_syntax(&mut reader).map_err(|error| not_dicom(&error))?;
    let (_, data_set) =
        file.split_at_checked(usize::try_from(reader.position()).unwrap_or(usize::MAX)).unwrap_or_default();
    let unknown = walk::over_received(data_set, &transfer_syntax)?;
    let data = Defined::new(Bytes::copy_from_slice(data_set).reader(), 0, unknown);
    Ok(data_set::read(data, &transfer_syntax, Extent::PixelData, Values::Octets, data_set.len() as u64)?)
}

/// Where the data set begins in a file, and how long the file is, in bytes.
pub fn data_set_range(location: &Location) -> std::io::Result<(u64, u64)> {
    let mut file = BufReader::new(location.open()?);
    transfer_syntax(&mut file)?;
    Ok((file.stream_position()?, file.get_ref().length()))
}

/// Reads the file meta information (PS3.10 section 7.1), leaves the reader at the data set, and gives what
/// (0002,0010) says. Nothing else there matters here, so nothing else there can fail.
fn transfer_syntax(file: &mut (impl BufRead + Seek)) -> std::io::Result<String> {
    let malformed = |what| Error::new(ErrorKind::InvalidData, what);
    file.seek(SeekFrom::Start(PREAMBLE))?;
    if take::<4>(file).ok() != Some(*b"DICM") {
        return Err(malformed("no DICM after the preamble"));
    }
    let mut transfer_syntax = None;
    while matches!(file.fill_buf()?, [0x02, 0x00, ..]) {
        let [_, _, e0, e1, vr @ .., l0, l1] = take::<8>(file)?;
        let length = match &vr {
            b"OB" | b"UN" => u32::from_le_bytes(take(file)?),
            _ => u16::from_le_bytes([l0, l1]).into(),
        };
        if [e0, e1] == [0x10, 0x00] {
            if transfer_syntax.is_some() || length > LONGEST_TRANSFER_SYNTAX {
                return Err(malformed("more than one transfer syntax in the file meta information"));
            }
            let mut value = String::new();
            file.take(length.into()).read_to_string(&mut value)?;
            transfer_syntax = Some(value.trim_end_matches([' ', '\0']).to_owned());
        } else {
            file.seek_relative(length.into())?;
        }
    }
    transfer_syntax.ok_or(malformed("no transfer syntax in the file meta information"))
}

fn take<const N: usize>(file: &mut impl Read) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What is wrong with a file, in the words of the innermost cause, in one line.
fn not_dicom(error: &(dyn std::error::Error + 'static)) -> ReadError {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let early = cause.downcast_ref::<Error>().is_some_and(|error| error.kind() == ErrorKind::UnexpectedEof);
    let said = if early { "it ends early".into() } else { cause.to_string().replace(['\n', '\r'], " ") };
    ReadError::NotDicom(said)
}

/// A reader that fails, instead of ending, once it has given `left` bytes.
struct Bounded<R> {
    data: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.data.read(buffer)?;
        self.left = (self.left).checked_sub(read as u64).ok_or_else(|| Error::other(TOO_LARGE))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use dicom::dictionary_std::tags;

    use super::*;

    /// An Explicit VR Little Endian file: preamble, the meta information given, the data set given.
    fn file(meta: &[u8], data_set: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes = [&[0; 128], b"DICM".as_slice(), meta, data_set].concat();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    const EXPLICIT: &[u8] = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0";

    fn header(file: &tempfile::NamedTempFile) -> Result<Object, ReadError> {
        read(&file.path().into(), Extent::Header, Values::Decoded, 1 << 20)
    }

    #[test]
    fn a_bounded_reader_fails_beyond_its_bound() {
        let mut all = Vec::new();
        assert!(Bounded { data: &[1_u8, 2, 3][..], left: 3 }.read_to_end(&mut all).is_ok());
        assert!(Bounded { data: &[1_u8, 2, 3][..], left: 2 }.read_to_end(&mut all).is_err());
    }

    #[test]
    fn what_is_not_dicom_is_told_in_one_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hello").unwrap();
        let message = header(&file).unwrap_err().to_string();
        assert_eq!(message, "not a readable DICOM file: no DICM after the preamble");
        assert!(matches!(read(&"/nowhere".into(), Extent::Header, Values::Octets, 0), Err(ReadError::Io(_))));
    }

    #[test]
    fn a_meta_information_that_breaks_the_rules_is_no_obstacle() {
        // An AE title of 18 characters, as some toolkits write it.
        let meta = [b"\x02\x00\x16\x00AE\x12\x00AN_AE_TITLE_OF_18_", EXPLICIT].concat();
        let object = header(&file(&meta, b"\x08\x00\x60\x00CS\x02\x00CT")).unwrap();
        assert_eq!(object.transfer_syntax, EXPLICIT_LITTLE_ENDIAN);
        assert_eq!(attribute::text(&object.data_set, tags::MODALITY).as_deref(), Some("CT"));
    }

    #[test]
    fn a_length_beyond_the_file_is_an_error_and_no_allocation() {
        let message = header(&file(EXPLICIT, b"\x08\x00\x60\x00OB\0\0\xfe\xff\xff\xffCT")).unwrap_err().to_string();
        assert!(message.contains("longer than the file"), "{message}");
    }

    #[test]
    fn ten_thousand_nested_sequences_are_an_error_and_no_stack_overflow() {
        let nested = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff".repeat(10_000);
        let message = header(&file(EXPLICIT, &nested)).unwrap_err().to_string();
        assert!(message.contains("nested deeper than"), "{message}");
    }

    #[test]
    fn a_received_data_set_is_walked_over_before_it_is_read() {
        let received = |bytes: &'static [u8], syntax| read_received(Bytes::from_static(bytes), syntax);
        let modality = |read: Result<InMemDicomObject, WalkError>| attribute::text(&read.unwrap(), tags::MODALITY);
        assert_eq!(modality(received(b"\x08\0\x60\0\x02\0\0\0CT", IMPLICIT_LITTLE_ENDIAN)).as_deref(), Some("CT"));
        assert_eq!(modality(received(b"\x08\0\x60\0CS\x02\0CT", EXPLICIT_LITTLE_ENDIAN)).as_deref(), Some("CT"));
        assert_eq!(modality(received(b"\0\x08\0\x60CS\0\x02CT", EXPLICIT_BIG_ENDIAN)).as_deref(), Some("CT"));
        let cut = received(b"\x08\0\x60\0CS\xFE\xFFCT", EXPLICIT_LITTLE_ENDIAN).unwrap_err();
        assert!(matches!(cut, WalkError::Malformed { fault: Fault::Beyond, offset: 0, .. }), "{cut}");
    }

    #[test]
    fn a_data_set_that_ends_within_a_value_is_an_error() {
        assert!(header(&file(EXPLICIT, b"\x08\x00\x60\x00CS\x04\x00CT")).is_err());
    }
}
