//! RLE lossless (PS3.5 annex G): PackBits, one segment a byte of the cell, the high bytes first.

use super::{Broken, Cells, Decoded, Header};

/// Length of the RLE header: the number of segments and 15 offsets, 32 bits each.
const HEADER: usize = 64;

/// Decodes one frame of one sample a pixel.
pub(super) fn decode(stream: &[u8], header: &Header) -> Result<Decoded, Broken> {
    let word = |index: usize| {
        let bytes = stream.get(index * 4..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    if stream.len() < HEADER || word(0) != Some(header.cell_bytes()) {
        return Err(Broken::Segments);
    }
    let segment = |index: usize| {
        let end = if index == header.cell_bytes() { stream.len() } else { word(index + 1).unwrap_or(0) };
        let data = word(index).filter(|start| *start >= HEADER).and_then(|start| stream.get(start..end));
        unpack(data.ok_or(Broken::SegmentOutside)?, header.pixels)
    };
    let cells = if header.cell_bytes() == 1 {
        Cells::Bytes(segment(1)?)
    } else {
        let (high, low) = (segment(1)?, segment(2)?);
        Cells::Words(high.iter().zip(&low).map(|(high, low)| u16::from_be_bytes([*high, *low])).collect())
    };
    Ok(Decoded { cells, precision: header.bits_allocated })
}

/// Unpacks `length` bytes; a run that goes beyond them is cut.
fn unpack(mut packed: &[u8], length: usize) -> Result<Vec<u8>, Broken> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let (control, rest) = packed.split_first().ok_or(Broken::SegmentTooShort)?;
        packed = match *control {
            literal @ 0..=127 => {
                let (copied, rest) = rest.split_at_checked(usize::from(literal) + 1).ok_or(Broken::SegmentTooShort)?;
                bytes.extend_from_slice(copied);
                rest
            }
            128 => rest,
            run => {
                let (repeated, rest) = rest.split_first().ok_or(Broken::SegmentTooShort)?;
                bytes.resize(bytes.len() + 257 - usize::from(run), *repeated);
                rest
            }
        };
    }
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packbits_are_literals_and_runs() {
        // PS3.5 G.3.1: 2 literals, a run of 3, the no-operation 128, a run cut at the end.
        let packed = [1, 7, 8, 254, 9, 128, 129, 5];
        assert_eq!(unpack(&packed, 6), Ok(vec![7, 8, 9, 9, 9, 5]));
        assert!(unpack(&packed, 134).is_err());
        assert!(unpack(&[5, 1, 2], 6).is_err());
    }

    #[test]
    fn words_come_as_high_and_low_segments() {
        let mut stream = vec![0; HEADER];
        for (slot, value) in stream.chunks_exact_mut(4).zip([2_u32, 64, 67]) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        stream.extend([1, 0x12, 0x34, 1, 0x56, 0x78]);
        let (bits_allocated, bits_stored) = (16, 16);
        let header =
            Header { rows: 1, columns: 2, pixels: 2, bits_allocated, bits_stored, high_bit: 15, signed: false };
        let cells = Cells::Words(vec![0x1256, 0x3478]);
        assert_eq!(decode(&stream, &header), Ok(Decoded { cells, precision: 16 }));
        // One segment is too few for cells of two bytes.
        stream.splice(..4, 1_u32.to_le_bytes());
        assert!(decode(&stream, &header).is_err());
    }
}
