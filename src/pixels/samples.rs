//! Stored values: what is in a pixel cell once overlays, unused bits and the code stream are out of the way. They are
//! looked at row by row; those that the file has as they are never lie in memory together.

use super::PixelError;
use super::header::Header;
use super::stored::{Form, Stored};
use crate::part10::Order;

/// Pixel cells in row order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cells {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

/// Where an image's cells are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Memory(Cells),
    Store(Stored),
}

impl From<Cells> for Source {
    fn from(cells: Cells) -> Self {
        Self::Memory(cells)
    }
}

impl From<Stored> for Source {
    fn from(cells: Stored) -> Self {
        Self::Store(cells)
    }
}

impl Cells {
    /// How many cells.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(cells) => cells.len(),
            Self::Words(cells) => cells.len(),
        }
    }
}

/// Something that looks at rows of cells as they lie, compiled for each form that cells have.
pub(super) trait OverCells {
    /// Takes the next whole rows; `code` is that of a cell.
    fn take<C: Copy>(&mut self, cells: &[C], code: impl Fn(C) -> u16 + Copy);
}

/// Shows rows of codes, one or two at a time.
struct Codes<'a, F> {
    /// Room for two rows.
    codes: Vec<u16>,
    each: &'a mut F,
}

impl<F: FnMut(&[u16])> OverCells for Codes<'_, F> {
    fn take<C: Copy>(&mut self, cells: &[C], code: impl Fn(C) -> u16 + Copy) {
        for rows in cells.chunks(self.codes.len()) {
            self.codes.iter_mut().zip(rows).for_each(|(place, cell)| *place = code(*cell));
            (self.each)(self.codes.get(..rows.len()).unwrap_or_default());
        }
    }
}

/// One frame's cells and where in them the stored value is (PS3.5 section 8.1.1).
///
/// A stored value's *code* is its bit pattern, 0..2^bits; the code indexes every table built over the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Samples {
    cells: Source,
    columns: usize,
    shift: u32,
    bits: u32,
    signed: bool,
}

impl Samples {
    /// Cells laid out as the header says: the value lies below High Bit.
    pub fn as_in_header(cells: impl Into<Source>, header: &Header) -> Self {
        let shift = (header.high_bit + 1).saturating_sub(header.bits_stored);
        Self { cells: cells.into(), columns: header.columns, shift, bits: header.bits_stored, signed: header.signed }
    }

    /// Samples of a code stream: they are the values themselves, unless the stream is precise enough to hold
    /// the header's unused low bits too.
    pub fn of_stream(cells: impl Into<Source>, precision: u32, header: &Header) -> Self {
        if precision > header.high_bit {
            return Self::as_in_header(cells, header);
        }
        Self { cells: cells.into(), columns: header.columns, shift: 0, bits: header.bits_stored, signed: header.signed }
    }

    /// Samples that are their own codes: the levels of a picture of 8 or 16 bits.
    pub fn of_picture(cells: Cells, columns: usize) -> Self {
        let bits = if matches!(cells, Cells::Bytes(_)) { 8 } else { 16 };
        Self { cells: cells.into(), columns, shift: 0, bits, signed: false }
    }

    /// How many samples.
    pub fn len(&self) -> usize {
        match &self.cells {
            Source::Memory(cells) => cells.len(),
            Source::Store(cells) => cells.pixels(),
        }
    }

    /// Samples of a row, at least 1.
    pub fn columns(&self) -> usize {
        self.columns
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
    pub fn occurring(&self) -> Result<Vec<bool>, PixelError> {
        let mut occurs = vec![false; 1 << 16];
        self.for_each_row(|row| {
            for code in row {
                if let Some(slot) = occurs.get_mut(usize::from(*code)) {
                    *slot = true;
                }
            }
        })?;
        occurs.truncate(self.codes());
        Ok(occurs)
    }

    /// Goes over the codes of each row, from the top.
    ///
    /// # Errors
    /// [`PixelError::Io`] where the cells are in a file that cannot be read any more.
    pub fn for_each_row(&self, mut each: impl FnMut(&[u16])) -> Result<(), PixelError> {
        self.for_each_rows(|rows| rows.chunks_exact(self.columns).for_each(&mut each))
    }

    /// The same, one row or two of them at a time.
    pub fn for_each_rows(&self, mut each: impl FnMut(&[u16])) -> Result<(), PixelError> {
        self.over_cells(&mut Codes { codes: vec![0; 2 * self.columns], each: &mut each })
    }

    /// Goes over the cells of all rows, from the top.
    ///
    /// # Errors
    /// As [`Samples::for_each_row`].
    pub fn over_cells(&self, work: &mut impl OverCells) -> Result<(), PixelError> {
        match &self.cells {
            Source::Memory(Cells::Bytes(cells)) => self.show(cells, u16::from, work),
            Source::Memory(Cells::Words(cells)) => self.show(cells, |word| word, work),
            Source::Store(cells) => cells.for_each_stripe(self.columns, |stripe| match cells.form() {
                Form::Bytes => self.show(stripe, u16::from, work),
                Form::Words(Order::LittleEnd) => self.show(stripe.as_chunks::<2>().0, u16::from_le_bytes, work),
                Form::Words(Order::BigEnd) => self.show(stripe.as_chunks::<2>().0, u16::from_be_bytes, work),
            })?,
        }
        Ok(())
    }

    fn show<C: Copy>(&self, cells: &[C], stored: impl Fn(C) -> u16 + Copy, work: &mut impl OverCells) {
        // At most 65535, since there are at most 65536 codes.
        let (shift, mask) = (self.shift, (self.codes() - 1) as u16);
        work.take(cells, move |cell| (stored(cell) >> shift) & mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bits_stored: u32, high_bit: u32, signed: bool) -> Header {
        Header { rows: 1, columns: 4, pixels: 4, bits_allocated: 16, bits_stored, high_bit, signed }
    }

    fn codes(samples: &Samples) -> Vec<u16> {
        let mut codes = Vec::new();
        samples.for_each_row(|row| codes.extend(row)).unwrap();
        codes
    }

    fn values(samples: &Samples) -> Vec<i32> {
        codes(samples).into_iter().map(|code| samples.value(code.into())).collect()
    }

    #[test]
    fn values_are_shifted_masked_and_signed() {
        let of = |header| values(&Samples::as_in_header(Cells::Words(vec![0x0000, 0x0fff, 0xf800, 0x1230]), &header));
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
    fn codes_that_occur_are_found() {
        let samples = Samples::as_in_header(Cells::Bytes(vec![0, 1, 3, 1]), &header(2, 1, true));
        assert_eq!(samples.occurring().unwrap(), [true, true, false, true]);
        assert_eq!([0, 1, 2, 3].map(|code| samples.value(code)), [0, 1, -2, -1]);
    }
}
