//! The first bytes of a DICOM file (PS3.10 7.1): preamble and file meta information, written from what the
//! association says. The data set behind them is the peer's, octet by octet.

use std::io::{self, Read, Seek, SeekFrom};

use super::Announced;
use crate::ids::{AeTitle, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};
use crate::part10::Location;

/// Preamble and prefix.
const PREFIX_BYTES: usize = 132;
/// The group length element that comes first, in explicit VR.
const GROUP_LENGTH_BYTES: usize = 12;
/// File Meta Information Version, which follows.
const VERSION_BYTES: usize = 14;
/// More than all of it takes.
const LARGEST_HEAD_BYTES: u64 = 1024;

/// Preamble, prefix and group 0002 for an arriving object.
pub(super) fn write(announced: &Announced) -> Vec<u8> {
    let mut group = Vec::with_capacity(400);
    group.extend([2, 0, 1, 0, b'O', b'B', 0, 0, 2, 0, 0, 0, 0, 1]);
    put(&mut group, 0x0002, *b"UI", announced.sop_class.as_str());
    put(&mut group, 0x0003, *b"UI", announced.sop_instance.as_str());
    put(&mut group, 0x0010, *b"UI", announced.transfer_syntax.as_str());
    put(&mut group, 0x0012, *b"UI", IMPLEMENTATION_CLASS_UID);
    put(&mut group, 0x0013, *b"SH", IMPLEMENTATION_VERSION_NAME);
    put(&mut group, 0x0016, *b"AE", announced.calling.as_str());

    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    bytes.extend([2, 0, 0, 0, b'U', b'L', 4, 0]);
    bytes.extend(u32::try_from(group.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(group);
    bytes
}

fn put(group: &mut Vec<u8>, element: u16, vr: [u8; 2], value: &str) {
    let pad = if vr == *b"UI" { 0 } else { b' ' };
    let odd = value.len() % 2;
    group.extend([2, 0]);
    group.extend(element.to_le_bytes());
    group.extend(vr);
    group.extend(u16::try_from(value.len() + odd).unwrap_or(u16::MAX).to_le_bytes());
    group.extend(value.as_bytes());
    group.extend(std::iter::repeat_n(pad, odd));
}

/// Who sent a file that we wrote: Sending Application Entity Title, written above under (0002,0016).
pub(super) fn sender(location: &Location) -> Option<AeTitle> {
    let mut head = Vec::new();
    location.open().ok()?.take(LARGEST_HEAD_BYTES).read_to_end(&mut head).ok()?;
    let mut rest = head.get(PREFIX_BYTES + GROUP_LENGTH_BYTES + VERSION_BYTES..)?;
    while let Some(([2, 0, element @ .., _, _, l0, l1], value)) = rest.split_first_chunk::<8>() {
        let (value, after) = value.split_at_checked(usize::from(u16::from_le_bytes([*l0, *l1])))?;
        if *element == [0x16, 0x00] {
            return std::str::from_utf8(value).ok()?.parse().ok();
        }
        rest = after;
    }
    None
}

/// A file that we wrote, from the first octet of its data set on.
pub(super) fn data_set<F: Read + Seek>(mut file: F) -> io::Result<F> {
    let mut head = [0; PREFIX_BYTES + GROUP_LENGTH_BYTES];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut head)?;
    let length = head.last_chunk::<4>().map_or(0, |octets| u32::from_le_bytes(*octets));
    file.seek(SeekFrom::Current(length.into()))?;
    Ok(file)
}
