//! Stored values: what is in a pixel cell once overlays, unused bits and the code stream are out of the way. They are
//! looked at row by row; those that the file has as they are never lie in memory together.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use super::PixelError;
use super::header::Header;
use super::workers::Canvas;
use crate::part10::{Location, Stretch};

/// Bytes of a file that are read at once.
const STRIPE_BYTES: usize = 256 * 1024;

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

/// Cells that are read when they are looked at, little end first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// The image's file.
    location: Location,
    place: Place,
    cell_bytes: usize,
    pixels: usize,
}

/// Where cells are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// In the image's file, as they are, from here on.
    File { begin: u64 },
    /// On the canvas of the worker that decoded them.
    Canvas(Arc<Canvas>),
}

impl Stored {
    /// The cells of an image that its file has as they are; none where the stretch is too short for them.
    pub fn in_file(location: &Location, stretch: Stretch, header: &Header) -> Option<Self> {
        let (pixels, cell_bytes) = (header.pixels, header.cell_bytes());
        let enough = stretch.length >= pixels.checked_mul(cell_bytes)? as u64;
        let place = Place::File { begin: stretch.begin };
        enough.then(|| Self { location: location.clone(), place, cell_bytes, pixels })
    }

    /// The cells of an image that a worker decoded, of so many octets each.
    pub fn on_canvas(location: &Location, canvas: Canvas, cell_bytes: usize, header: &Header) -> Self {
        let place = Place::Canvas(Arc::new(canvas));
        Self { location: location.clone(), place, cell_bytes, pixels: header.pixels }
    }

    /// Reads the cells, whole rows at a time.
    fn for_each_stripe(&self, columns: usize, each: impl FnMut(&[u8])) -> Result<(), PixelError> {
        let read = match &self.place {
            Place::File { begin } => self.location.open().and_then(|mut file| {
                file.seek(SeekFrom::Start(*begin))?;
                self.stripes(file, columns, each)
            }),
            Place::Canvas(canvas) => self.stripes(canvas.octets(), columns, each),
        };
        read.map_err(|source| PixelError::Io { location: self.location.clone(), source })
    }

    fn stripes(&self, mut cells: impl Read, columns: usize, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let row_bytes = columns * self.cell_bytes;
        let mut stripe = vec![0; row_bytes * (STRIPE_BYTES / row_bytes.max(1)).max(1)];
        let mut left = self.pixels * self.cell_bytes;
        while left > 0 {
            let now = left.min(stripe.len());
            let stripe = stripe.get_mut(..now).unwrap_or_default();
            cells.read_exact(stripe)?;
            each(stripe);
            left -= now;
        }
        Ok(())
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
            Source::Store(cells) => cells.pixels,
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
        let columns = self.columns;
        let mut codes = vec![0; columns];
        match &self.cells {
            Source::Memory(Cells::Bytes(cells)) => self.rows(cells, u16::from, &mut codes, &mut each),
            Source::Memory(Cells::Words(cells)) => self.rows(cells, |word| word, &mut codes, &mut each),
            Source::Store(cells) if cells.cell_bytes == 1 => {
                cells.for_each_stripe(columns, |stripe| self.rows(stripe, u16::from, &mut codes, &mut each))?;
            }
            Source::Store(cells) => cells.for_each_stripe(columns, |stripe| {
                self.rows(stripe.as_chunks::<2>().0, u16::from_le_bytes, &mut codes, &mut each);
            })?,
        }
        Ok(())
    }

    /// Goes over whole rows of cells; `codes` has the room for one.
    fn rows<C: Copy>(&self, cells: &[C], cell: impl Fn(C) -> u16, codes: &mut [u16], each: &mut impl FnMut(&[u16])) {
        // At most 65535, since there are at most 65536 codes.
        let (shift, mask) = (self.shift, (self.codes() - 1) as u16);
        for row in cells.chunks_exact(self.columns) {
            codes.iter_mut().zip(row).for_each(|(code, stored)| *code = (cell(*stored) >> shift) & mask);
            each(codes);
        }
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

    #[test]
    fn cells_in_a_file_are_those_in_memory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (rows, columns) = (700, 500);
        let pixels = rows * columns;
        let octets: Vec<u8> = (0..2 * pixels + 3).map(|at| (at * 31 % 251) as u8).collect();
        std::fs::write(file.path(), &octets).unwrap();
        let stretch = Stretch { begin: 3, length: 2 * pixels as u64 };
        for bits in [8, 16] {
            let header = Header {
                rows,
                columns,
                pixels,
                bits_allocated: bits,
                bits_stored: bits,
                high_bit: bits - 1,
                signed: false,
            };
            let in_file = Source::from(Stored::in_file(&file.path().into(), stretch, &header).unwrap());
            let in_memory = match bits {
                8 => Cells::Bytes(octets[3..3 + pixels].to_vec()),
                _ => {
                    Cells::Words(octets[3..].as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect())
                }
            };
            let [in_file, in_memory] =
                [in_file, in_memory.into()].map(|cells| codes(&Samples::as_in_header(cells, &header)));
            assert!(in_file.len() == pixels && in_file == in_memory);
            let short = Stretch { length: stretch.length / 2 - 1, ..stretch };
            assert!(Stored::in_file(&file.path().into(), short, &header).is_none());
        }
    }
}
