//! RLE lossless (PS3.5 annex G): PackBits, one segment a byte of the cell, the high bytes first.

use super::{Broken, Header, Rows};

/// Length of the RLE header: the number of segments and 15 offsets, 32 bits each.
const HEADER: usize = 64;

/// Decodes one frame of one sample a pixel; its precision.
pub(super) fn decode(stream: &[u8], header: &Header, rows: &mut dyn Rows) -> Result<u32, Broken> {
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
        data.map(Segment::new).ok_or(Broken::SegmentOutside)
    };
    if header.cell_bytes() == 1 {
        let mut cells = segment(1)?;
        for _ in 0..header.rows {
            rows.bytes(cells.next(header.columns)?)?;
        }
    } else {
        let (mut high, mut low) = (segment(1)?, segment(2)?);
        let mut row = Vec::with_capacity(header.columns);
        for _ in 0..header.rows {
            let pairs = high.next(header.columns)?.iter().zip(low.next(header.columns)?);
            row.clear();
            row.extend(pairs.map(|(high, low)| u16::from_be_bytes([*high, *low])));
            rows.words(&row)?;
        }
    }
    Ok(header.bits_allocated)
}

/// A segment that is unpacked as it is asked for.
struct Segment<'a> {
    packed: &'a [u8],
    /// What is unpacked, of which `taken` octets were asked for.
    unpacked: Vec<u8>,
    taken: usize,
}

impl<'a> Segment<'a> {
    fn new(packed: &'a [u8]) -> Self {
        Self { packed, unpacked: Vec::new(), taken: 0 }
    }

    /// The next so many octets. Runs go on over the ends of rows, though they should not (G.3.1).
    fn next(&mut self, length: usize) -> Result<&[u8], Broken> {
        self.unpacked.drain(..self.taken);
        while self.unpacked.len() < length {
            self.unpack()?;
        }
        self.taken = length;
        self.unpacked.get(..length).ok_or(Broken::SegmentTooShort)
    }

    /// Unpacks the next run.
    fn unpack(&mut self) -> Result<(), Broken> {
        let (control, rest) = self.packed.split_first().ok_or(Broken::SegmentTooShort)?;
        self.packed = match *control {
            literal @ 0..=127 => {
                let (copied, rest) = rest.split_at_checked(usize::from(literal) + 1).ok_or(Broken::SegmentTooShort)?;
                self.unpacked.extend_from_slice(copied);
                rest
            }
            128 => rest,
            run => {
                let (repeated, rest) = rest.split_first().ok_or(Broken::SegmentTooShort)?;
                self.unpacked.resize(self.unpacked.len() + 257 - usize::from(run), *repeated);
                rest
            }
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cells;
    use super::super::Kept;
    use super::*;

    #[test]
    fn packbits_are_literals_and_runs() {
        // PS3.5 G.3.1: 2 literals, a run of 3, the no-operation 128, a run cut at the end.
        let packed = [1, 7, 8, 254, 9, 128, 129, 5];
        let mut segment = Segment::new(&packed);
        assert_eq!(
            [4, 2].map(|length| segment.next(length).map(<[u8]>::to_vec)),
            [Ok(vec![7, 8, 9, 9]), Ok(vec![9, 5])]
        );
        assert!(Segment::new(&packed).next(134).is_err());
        assert!(Segment::new(&[5, 1, 2]).next(6).is_err());
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
        let mut kept = Kept::new(2);
        assert_eq!(decode(&stream, &header, &mut kept), Ok(16));
        assert_eq!(kept.cells(), Cells::Words(vec![0x1256, 0x3478]));
        // One segment is too few for cells of two bytes.
        stream.splice(..4, 1_u32.to_le_bytes());
        assert!(decode(&stream, &header, &mut Kept::new(2)).is_err());
    }
}
