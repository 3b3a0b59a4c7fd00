//! Encapsulated Pixel Data (PS3.5 A.4): items, of which the first is an offset table, the others parts of a code stream.

use std::io::Read;

use super::Broken;
use crate::part10::Content;

/// The tag (FFFE,E000), as it is written.
const ITEM: [u8; 4] = [0xfe, 0xff, 0x00, 0xe0];

/// The one frame's code stream: all fragments in order, whatever the offset table says.
pub(super) fn joined(items: &mut Content, longest: u64) -> Result<Vec<u8>, Broken> {
    let room = items.length().min(longest);
    let mut stream = Vec::with_capacity(usize::try_from(room).map_err(|_| Broken::TooLong)?);
    if let Some(length) = next(items)? {
        take(items, length, &mut Vec::new())?;
    }
    while let Some(length) = next(items)? {
        if stream.len() as u64 + u64::from(length) > longest {
            return Err(Broken::TooLong);
        }
        take(items, length, &mut stream)?;
    }
    Ok(stream)
}

/// The length of the next item.
fn next(items: &mut Content) -> Result<Option<u32>, Broken> {
    let mut header = Vec::with_capacity(8);
    items.take(8).read_to_end(&mut header).map_err(|_| Broken::Unreadable)?;
    match *header {
        [] => Ok(None),
        [t0, t1, t2, t3, l0, l1, l2, l3] if [t0, t1, t2, t3] == ITEM => Ok(Some(u32::from_le_bytes([l0, l1, l2, l3]))),
        _ => Err(Broken::Fragments),
    }
}

fn take(items: &mut Content, length: u32, octets: &mut Vec<u8>) -> Result<(), Broken> {
    match items.take(length.into()).read_to_end(octets) {
        Ok(read) if read as u64 == u64::from(length) => Ok(()),
        Ok(_) => Err(Broken::Fragments),
        Err(_) => Err(Broken::Unreadable),
    }
}
