//! Pixel cells that are read where they lie, a stripe at a time: in the image's file, in its inflated data set, or on the
//! canvas of the worker that decoded them.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;

use super::PixelError;
use super::header::Header;
use super::workers::Canvas;
use crate::part10::{Location, Order, Stretch};

/// Bytes of a file that are read at once.
const STRIPE_BYTES: usize = 64 * 1024;

/// Cells that are read when they are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// The image's file.
    location: Location,
    place: Place,
    form: Form,
    pixels: usize,
}

/// What a cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Bytes,
    Words(Order),
}

/// Where cells are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// In the image's file, from here on.
    File { begin: u64 },
    /// In the image's file, from here on, two cells of one octet in each word, whose high octet comes first.
    SwappedPairs { begin: u64 },
    /// In memory, these octets.
    Memory(Bytes),
    /// On the canvas of the worker that decoded them.
    Canvas(Arc<Canvas>),
}

impl Form {
    fn of(header: &Header, order: Order) -> Self {
        if header.cell_bytes() == 1 { Self::Bytes } else { Self::Words(order) }
    }

    fn octets(self) -> usize {
        match self {
            Self::Bytes => 1,
            Self::Words(_) => 2,
        }
    }
}

impl Stored {
    /// The cells of an image that its file has as they are; none where the stretch is too short for them.
    pub fn in_file(location: &Location, stretch: Stretch, order: Order, header: &Header) -> Option<Self> {
        let (form, begin) = (Form::of(header, order), stretch.begin);
        let (place, octets) = match (form, order) {
            // Two cells in a word, the first in its low octet, in either byte order (PS3.5 annex D).
            (Form::Bytes, Order::BigEnd) => (Place::SwappedPairs { begin }, header.pixels.next_multiple_of(2)),
            _ => (Place::File { begin }, header.pixels.checked_mul(form.octets())?),
        };
        let location = location.clone();
        (stretch.length >= octets as u64).then_some(Self { location, place, form, pixels: header.pixels })
    }

    /// The cells of an image in its inflated data set, likewise.
    pub fn inflated(location: &Location, data_set: &Bytes, stretch: Stretch, header: &Header) -> Option<Self> {
        let form = Form::of(header, Order::LittleEnd);
        let begin = usize::try_from(stretch.begin).ok()?;
        let octets = header.pixels.checked_mul(form.octets())?;
        let end = begin.checked_add(octets).filter(|end| stretch.length >= octets as u64 && *end <= data_set.len())?;
        let place = Place::Memory(data_set.slice(begin..end));
        Some(Self { location: location.clone(), place, form, pixels: header.pixels })
    }

    /// The cells of an image that a worker decoded, of so many octets each, little end first.
    pub fn on_canvas(location: &Location, canvas: Canvas, cell_bytes: usize, header: &Header) -> Self {
        let form = if cell_bytes == 1 { Form::Bytes } else { Form::Words(Order::LittleEnd) };
        Self { location: location.clone(), place: Place::Canvas(Arc::new(canvas)), form, pixels: header.pixels }
    }

    /// How many cells.
    pub fn pixels(&self) -> usize {
        self.pixels
    }

    /// What they are.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Reads the cells, whole rows at a time.
    pub fn for_each_stripe(&self, columns: usize, mut each: impl FnMut(&[u8])) -> Result<(), PixelError> {
        let from = |begin| {
            let mut file = self.location.open()?;
            file.seek(SeekFrom::Start(begin)).map(|_| file)
        };
        let read = match &self.place {
            Place::Memory(octets) => {
                each(octets);
                Ok(())
            }
            Place::Canvas(canvas) => self.stripes(canvas.octets(), columns, each),
            Place::File { begin } => from(*begin).and_then(|file| self.stripes(file, columns, each)),
            Place::SwappedPairs { begin } => {
                from(*begin).and_then(|file| self.stripes(Swapped { words: file, second: None }, columns, each))
            }
        };
        read.map_err(|source| PixelError::Io { location: self.location.clone(), source })
    }

    fn stripes(&self, mut cells: impl Read, columns: usize, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let row_bytes = columns * self.form.octets();
        let mut stripe = vec![0; row_bytes * (STRIPE_BYTES / row_bytes.max(1)).max(1)];
        let mut left = self.pixels * self.form.octets();
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

/// The octets of words whose high octet comes first, with the low one first.
struct Swapped<R> {
    words: R,
    /// The high octet of a word whose low one was read.
    second: Option<u8>,
}

impl<R: Read> Read for Swapped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((first, rest)) = buffer.split_first_mut() else { return Ok(0) };
        if let Some(high) = self.second.take() {
            *first = high;
            return Ok(1);
        }
        if rest.is_empty() {
            let mut word = [0; 2];
            self.words.read_exact(&mut word)?;
            let [high, low] = word;
            *first = low;
            self.second = Some(high);
            return Ok(1);
        }
        let (words, _) = buffer.as_chunks_mut::<2>();
        self.words.read_exact(words.as_flattened_mut())?;
        words.iter_mut().for_each(|word| word.reverse());
        Ok(2 * words.len())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::samples::{Cells, Samples, Source};
    use super::*;

    fn header(rows: usize, columns: usize, bits: u32) -> Header {
        let pixels = rows * columns;
        Header { rows, columns, pixels, bits_allocated: bits, bits_stored: bits, high_bit: bits - 1, signed: false }
    }

    fn codes(cells: impl Into<Source>, header: &Header) -> Vec<u16> {
        let mut codes = Vec::new();
        Samples::as_in_header(cells, header).for_each_row(|row| codes.extend(row)).unwrap();
        codes
    }

    /// Cells at the third octet of a file, in every way in which they can lie there.
    fn assert_as_in_memory(rows: usize, columns: usize, bits: u32, order: Order) {
        let header = header(rows, columns, bits);
        let octets: Vec<u8> = (0..2 * header.pixels as u64 + 5).map(|at| (at * 31 % 251) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &octets).unwrap();
        let location = file.path().into();
        let values = &octets[3..];
        let in_memory = match (bits, order) {
            (8, Order::LittleEnd) => Cells::Bytes(values[..header.pixels].to_vec()),
            (8, Order::BigEnd) => {
                let words = values.as_chunks::<2>().0.iter().flat_map(|[high, low]| [*low, *high]);
                Cells::Bytes(words.take(header.pixels).collect())
            }
            (_, Order::LittleEnd) => {
                Cells::Words(values.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect())
            }
            (_, Order::BigEnd) => {
                Cells::Words(values.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
            }
        };
        let in_memory = match in_memory {
            Cells::Words(words) => Cells::Words(words[..header.pixels].to_vec()),
            bytes => bytes,
        };
        let expected = codes(in_memory, &header);
        let length = (header.pixels * bits as usize / 8).next_multiple_of(2) as u64;
        let stretch = Stretch { begin: 3, length };
        let found = codes(Source::from(Stored::in_file(&location, stretch, order, &header).unwrap()), &header);
        assert!(found == expected && found.len() == header.pixels, "{rows} x {columns}, {bits} bits, {order:?}");
        if order == Order::LittleEnd {
            let data_set = Bytes::from(octets);
            let found = Stored::inflated(&location, &data_set, stretch, &header).unwrap();
            assert!(codes(Source::from(found), &header) == expected);
            let beyond = Stretch { begin: data_set.len() as u64 - 1, ..stretch };
            assert!(Stored::inflated(&location, &data_set, beyond, &header).is_none());
        }
        let short = Stretch { length: length - 2, ..stretch };
        assert!(Stored::in_file(&location, short, order, &header).is_none());
    }

    #[test]
    fn stored_cells_are_those_in_memory() {
        for order in [Order::LittleEnd, Order::BigEnd] {
            for bits in [8, 16] {
                assert_as_in_memory(700, 500, bits, order);
                assert_as_in_memory(701, 501, bits, order);
                assert_as_in_memory(3, 1, bits, order);
            }
        }
    }

    #[test]
    fn a_file_that_is_gone_is_told_of() {
        let header = header(2, 2, 8);
        let stretch = Stretch { begin: 0, length: 4 };
        let gone = Stored::in_file(&Path::new("/nowhere").into(), stretch, Order::LittleEnd, &header).unwrap();
        assert!(matches!(gone.for_each_stripe(2, |_| {}), Err(PixelError::Io { .. })));
    }
}
