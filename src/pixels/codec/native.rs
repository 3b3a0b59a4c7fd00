//! Uncompressed pixel cells that had to be read with their data set (PS3.5 section 8): big-endian or deflated ones.

use dicom::core::PrimitiveValue;

use super::{Broken, Cells, Header};

/// The first `header.pixels` cells of a value; what follows them is padding.
pub(in crate::pixels) fn cells(value: PrimitiveValue, header: &Header) -> Result<Cells, Broken> {
    let mut cells = match (value, header.cell_bytes()) {
        (PrimitiveValue::U8(bytes), 1) => Cells::Bytes(bytes.into_vec()),
        (PrimitiveValue::U16(words), 2) => Cells::Words(words.into_vec()),
        // Two cells in a word, the first in its low byte, in either byte order (PS3.5 annex D).
        (PrimitiveValue::U16(words), _) => Cells::Bytes(words.iter().flat_map(|word| word.to_le_bytes()).collect()),
        (PrimitiveValue::U8(bytes), _) => {
            let (pairs, _) = bytes.as_chunks::<2>();
            Cells::Words(pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect())
        }
        _ => return Err(Broken::NeitherBytesNorWords),
    };
    if cells.len() < header.pixels {
        return Err(Broken::TooFewCells);
    }
    cells.truncate(header.pixels);
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(pixels: usize, bits_allocated: u32) -> Header {
        let (bits_stored, high_bit) = (bits_allocated, bits_allocated - 1);
        Header { rows: 1, columns: pixels, pixels, bits_allocated, bits_stored, high_bit, signed: false }
    }

    #[test]
    fn bytes_and_words_serve_both_depths() {
        let bytes = || PrimitiveValue::U8(vec![1, 2, 3, 4].into());
        let words = || PrimitiveValue::U16(vec![0x0201, 0x0403].into());
        assert_eq!(cells(bytes(), &header(3, 8)), Ok(Cells::Bytes(vec![1, 2, 3])));
        assert_eq!(cells(words(), &header(3, 8)), Ok(Cells::Bytes(vec![1, 2, 3])));
        assert_eq!(cells(words(), &header(2, 16)), Ok(Cells::Words(vec![0x0201, 0x0403])));
        assert_eq!(cells(bytes(), &header(2, 16)), Ok(Cells::Words(vec![0x0201, 0x0403])));
    }

    #[test]
    fn too_few_cells_are_no_image() {
        assert!(cells(PrimitiveValue::U8(vec![1; 4].into()), &header(5, 8)).is_err());
        assert!(cells(PrimitiveValue::U16(vec![1; 4].into()), &header(5, 16)).is_err());
    }
}
