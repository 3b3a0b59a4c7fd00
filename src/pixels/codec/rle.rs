//! RLE lossless (PS3.5 annex G): PackBits, one segment a byte of the cell, the high bytes first.

use super::{Broken, Cells, Header};

/// Length of the RLE header: the number of segments and 15 offsets, 32 bits each.
const HEADER: usize = 64;

/// Decodes one frame of one sample a pixel.
pub(super) fn decode(stream: &[u8], header: &Header) -> Result<Cells, Broken> {
    let word = |index: usize| {
        let bytes = stream.get(index * 4..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    if stream.len() < HEADER || word(0) != Some(header.cell_bytes()) {
        return Err(Broken("the number of segments does not fit Bits Allocated"));
    }
    let segment = |index: usize| {
        let end = if index == header.cell_bytes() { stream.len() } else { word(index + 1).unwrap_or(0) };
        let data = word(index).filter(|start| *start >= HEADER).and_then(|start| stream.get(start..end));
        unpack(data.ok_or(Broken("a segment lies outside the stream"))?, header.pixels)
    };
    if header.cell_bytes() == 1 {
        return segment(1).map(Cells::Bytes);
    }
    let (high, low) = (segment(1)?, segment(2)?);
    Ok(Cells::Words(high.iter().zip(&low).map(|(high, low)| u16::from_be_bytes([*high, *low])).collect()))
}

/// Unpacks `length` bytes; a run that goes beyond them is cut.
fn unpack(mut packed: &[u8], length: usize) -> Result<Vec<u8>, Broken> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let (control, rest) = packed.split_first().ok_or(Broken("a segment is too short"))?;
        packed = match *control {
            literal @ 0..=127 => {
                let (copied, rest) =
                    rest.split_at_checked(usize::from(literal) + 1).ok_or(Broken("a segment is too short"))?;
                bytes.extend_from_slice(copied);
                rest
            }
            128 => rest,
            run => {
                let (repeated, rest) = rest.split_first().ok_or(Broken("a segment is too short"))?;
                bytes.resize(bytes.len() + 257 - usize::from(run), *repeated);
                rest
            }
        };
    }
    bytes.truncate(length);
    Ok(bytes)
}
