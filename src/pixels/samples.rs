//! Stored values: what is in a pixel cell once overlays, unused bits and the code stream are out of the way.

use super::header::Header;

/// Pixel cells in row order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cells {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

impl Cells {
    /// How many cells.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(cells) => cells.len(),
            Self::Words(cells) => cells.len(),
        }
    }

    /// Drops cells beyond `pixels`.
    pub fn truncate(&mut self, pixels: usize) {
        match self {
            Self::Bytes(cells) => cells.truncate(pixels),
            Self::Words(cells) => cells.truncate(pixels),
        }
    }
}

/// One frame's cells and where in them the stored value is (PS3.5 section 8.1.1).
///
/// A stored value's *code* is its bit pattern, 0..2^bits; the code indexes every table built over the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Samples {
    cells: Cells,
    shift: u32,
    bits: u32,
    signed: bool,
}

impl Samples {
    /// Cells laid out as the header says: the value lies below High Bit.
    pub fn as_in_header(cells: Cells, header: &Header) -> Self {
        let shift = (header.high_bit + 1).saturating_sub(header.bits_stored);
        Self { cells, shift, bits: header.bits_stored, signed: header.signed }
    }

    /// Samples of a code stream: they are the values themselves, unless the stream is precise enough to hold
    /// the header's unused low bits too.
    pub fn of_stream(cells: Cells, precision: u32, header: &Header) -> Self {
        if precision > header.high_bit {
            return Self::as_in_header(cells, header);
        }
        Self { cells, shift: 0, bits: header.bits_stored, signed: header.signed }
    }

    /// How many samples.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// The number of codes: 2..=65536.
    pub fn codes(&self) -> usize {
        1 << self.bits
    }

    /// The stored value of a code.
    pub fn value(&self, code: usize) -> i32 {
        let sign = 1 << (self.bits - 1);
        if self.signed && code & sign != 0 { code as i32 - 2 * sign as i32 } else { code as i32 }
    }

    /// Which codes occur.
    pub fn occurring(&self) -> Vec<bool> {
        let mut occurs = vec![false; self.codes()];
        let mut mark = |code: usize| {
            if let Some(slot) = occurs.get_mut(code) {
                *slot = true;
            }
        };
        match &self.cells {
            Cells::Bytes(cells) => cells.iter().for_each(|cell| mark(self.code((*cell).into()))),
            Cells::Words(cells) => cells.iter().for_each(|cell| mark(self.code(*cell))),
        }
        occurs
    }

    /// Looks every pixel up in a table over the codes.
    pub fn map(&self, table: &[f32]) -> Vec<f32> {
        let look_up = |cell: u16| table.get(self.code(cell)).copied().unwrap_or_default();
        match &self.cells {
            Cells::Bytes(cells) => cells.iter().map(|cell| look_up((*cell).into())).collect(),
            Cells::Words(cells) => cells.iter().map(|cell| look_up(*cell)).collect(),
        }
    }

    fn code(&self, cell: u16) -> usize {
        usize::from(cell >> self.shift) & (self.codes() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bits_stored: u32, high_bit: u32, signed: bool) -> Header {
        Header { rows: 1, columns: 4, pixels: 4, bits_allocated: 16, bits_stored, high_bit, signed }
    }

    fn values(samples: &Samples, cells: [u16; 4]) -> [i32; 4] {
        cells.map(|cell| samples.value(samples.code(cell)))
    }

    #[test]
    fn values_are_shifted_masked_and_signed() {
        let cells = [0x0000, 0x0fff, 0xf800, 0x1230];
        let of = |header| values(&Samples::as_in_header(Cells::Words(cells.to_vec()), &header), cells);
        assert_eq!(of(header(12, 11, false)), [0, 4095, 2048, 0x230]);
        assert_eq!(of(header(12, 11, true)), [0, -1, -2048, 0x230]);
        assert_eq!(of(header(12, 15, false)), [0, 0xff, 0xf80, 0x123]);
        assert_eq!(of(header(16, 15, true)), [0, 4095, -2048, 0x1230]);
    }

    #[test]
    fn a_stream_of_the_values_own_precision_is_not_shifted() {
        let cells = Cells::Words(vec![0x0fff; 4]);
        assert_eq!(Samples::of_stream(cells.clone(), 12, &header(12, 15, false)).shift, 0);
        assert_eq!(Samples::of_stream(cells, 16, &header(12, 15, false)).shift, 4);
    }

    #[test]
    fn tables_are_looked_up_by_code() {
        let samples = Samples::as_in_header(Cells::Bytes(vec![0, 1, 3, 2]), &header(2, 1, true));
        assert_eq!(samples.map(&[0.0, 0.1, 0.2, 0.3]), [0.0, 0.1, 0.3, 0.2]);
        assert_eq!(samples.occurring(), [true; 4]);
        assert_eq!([0, 1, 2, 3].map(|code| samples.value(code)), [0, 1, -2, -1]);
    }
}
