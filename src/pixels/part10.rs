//! Opens a DICOM Part 10 file; a deflated data set is inflated by us, with a bound.

use std::fs::File;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use dicom::encoding::TransferSyntaxIndex;
use dicom::object::InMemDicomObject;
use dicom::transfer_syntax::TransferSyntaxRegistry;

use super::{Bounds, PixelError};

pub(super) const IMPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
pub(super) const EXPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
pub(super) const EXPLICIT_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
pub(super) const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

/// Length of the preamble before `DICM` (PS3.10 section 7.1).
const PREAMBLE: u64 = 128;
/// What a deflated data set may hold besides two bytes a pixel: header, look-up tables, overlays; in bytes.
const HEADER_ALLOWANCE: u64 = 16 << 20;

/// A data set with the transfer syntax that its file meta information names.
pub(super) struct Object {
    pub transfer_syntax: String,
    pub dataset: InMemDicomObject,
}

/// Reads the whole file.
pub(super) fn read(path: &Path, bounds: &Bounds) -> Result<Object, PixelError> {
    let file = File::open(path).map_err(|source| PixelError::Io { path: path.to_owned(), source })?;
    let mut file = BufReader::with_capacity(1 << 16, file);
    let transfer_syntax = transfer_syntax(&mut file).map_err(|error| unreadable(&error))?;
    let dataset = if transfer_syntax == DEFLATED {
        let left = bounds.max_pixels.saturating_mul(2).saturating_add(HEADER_ALLOWANCE);
        parse(Bounded { data: flate2::read::DeflateDecoder::new(file), left }, &transfer_syntax)?
    } else {
        parse(file, &transfer_syntax)?
    };
    Ok(Object { transfer_syntax, dataset })
}

/// Reads the file meta information (PS3.10 section 7.1), leaves the reader at the data set, and gives what
/// (0002,0010) says. Nothing else there matters here, so nothing else there can fail.
fn transfer_syntax(file: &mut (impl BufRead + Seek)) -> std::io::Result<String> {
    let malformed = |what| Error::new(ErrorKind::InvalidData, what);
    file.seek(SeekFrom::Start(PREAMBLE))?;
    if take::<4>(file)? != *b"DICM" {
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

/// Parses a data set whose compression, if it had one, is undone (PS3.5 annex A).
fn parse(data: impl Read, transfer_syntax: &str) -> Result<InMemDicomObject, PixelError> {
    let encoding = match transfer_syntax {
        IMPLICIT_LITTLE_ENDIAN | EXPLICIT_BIG_ENDIAN => transfer_syntax,
        _ => EXPLICIT_LITTLE_ENDIAN,
    };
    let encoding = TransferSyntaxRegistry
        .get(encoding)
        .ok_or_else(|| PixelError::NotDecodable("the data set's encoding is not registered".into()))?;
    InMemDicomObject::read_dataset_with_ts(data, encoding).map_err(|error| unreadable(&error))
}

/// What is wrong with the file, in the words of the innermost cause.
fn unreadable(error: &dyn std::error::Error) -> PixelError {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    PixelError::NotDecodable(format!("not a readable DICOM file: {}", cause.to_string().replace(['\n', '\r'], " ")))
}

/// A reader that fails, instead of ending, once it has given `left` bytes.
struct Bounded<R> {
    data: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.data.read(buffer)?;
        self.left = (self.left)
            .checked_sub(read as u64)
            .ok_or_else(|| Error::other("the deflated data set is larger than the bound allows"))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_reader_fails_beyond_its_bound() {
        let mut all = Vec::new();
        assert!(Bounded { data: &[1_u8, 2, 3][..], left: 3 }.read_to_end(&mut all).is_ok());
        assert!(Bounded { data: &[1_u8, 2, 3][..], left: 2 }.read_to_end(&mut all).is_err());
    }

    #[test]
    fn what_is_not_dicom_is_told_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.txt");
        let bounds = Bounds { max_pixels: 100 };
        assert!(matches!(read(&path, &bounds), Err(PixelError::Io { .. })));
        std::fs::write(&path, "hello").unwrap();
        let message = read(&path, &bounds).err().unwrap().to_string();
        assert!(message.contains("not a readable DICOM file") && !message.contains('\n'), "{message}");
    }
}
