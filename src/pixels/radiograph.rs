//! One image as a radiologist sees it: stored values, and the luminance of each.

use super::rendering::{ModalityStep, Polarity, Rendering, VoiStep};
use super::samples::{Cells, Samples};
use super::{Geometry, PixelError};

/// A table over every value of 16 bits.
type Table = Box<[f32; 1 << 16]>;

/// One image as a radiologist sees it. Its luminance is made row by row, whenever somebody asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Radiograph {
    /// Rows, at least 1.
    pub rows: usize,
    /// Columns, at least 1.
    pub columns: usize,
    /// What was done to its values; a picture that is no DICOM has its levels from 0 to white.
    pub rendering: Rendering,
    /// How its pixels lie, which are as stored; a picture that is no DICOM lies as it is shown, and has square pixels.
    pub geometry: Geometry,
    samples: Samples,
    /// Luminance of each code, 0..=1.
    table: Table,
}

impl Radiograph {
    /// Samples with the luminance of each of their codes, and how that came about.
    pub(super) fn new(samples: Samples, luminance: impl Iterator<Item = f32>, rendering: Rendering) -> Self {
        let columns = samples.columns();
        let mut table: Table = Box::new([0.0; 1 << 16]);
        table.iter_mut().zip(luminance).for_each(|(entry, luminance)| *entry = luminance);
        let geometry = Geometry::default();
        Self { rows: samples.len() / columns, columns, rendering, geometry, samples, table }
    }

    /// The same, with pixels that lie in another way.
    pub fn lying(self, geometry: Geometry) -> Self {
        Self { geometry, ..self }
    }

    /// A picture of 8-bit grey levels, row by row from the upper left; 255 is white. What does not fill a row is left out.
    pub fn of_bytes(columns: usize, levels: Vec<u8>) -> Self {
        Self::of_levels(Cells::Bytes(levels), columns, u8::MAX.into())
    }

    /// The same with 16-bit grey levels; 65535 is white.
    pub fn of_words(columns: usize, levels: Vec<u16>) -> Self {
        Self::of_levels(Cells::Words(levels), columns, u16::MAX)
    }

    fn of_levels(cells: Cells, columns: usize, white: u16) -> Self {
        let rendering = Rendering {
            modality: ModalityStep::Rescale { slope: 1.0, intercept: 0.0 },
            voi: VoiStep::Extent { low: 0.0, high: white.into() },
            polarity: Polarity::LowIsBlack,
            padding: None,
        };
        let luminance = (0..=white).map(|level| f32::from(level) / f32::from(white));
        Self::new(Samples::of_picture(cells, columns.max(1)), luminance, rendering)
    }

    /// Goes over the luminance of each row, from the top: `columns` values from the left, 0..=1, 0 = black whatever
    /// the photometric interpretation.
    ///
    /// # Errors
    /// [`PixelError::Io`] where the pixels are in a file that cannot be read any more.
    pub fn for_each_row(&self, mut each: impl FnMut(&[f32])) -> Result<(), PixelError> {
        let mut luminance = vec![0.0; self.columns];
        self.samples.for_each_row(|codes| {
            luminance.iter_mut().zip(codes).for_each(|(luminance, code)| *luminance = self.of_code(*code));
            each(&luminance);
        })
    }

    /// All of it: `rows * columns` values, as [`Radiograph::for_each_row`] gives them.
    ///
    /// # Errors
    /// As [`Radiograph::for_each_row`].
    pub fn luminance(&self) -> Result<Vec<f32>, PixelError> {
        let mut luminance = Vec::with_capacity(self.samples.len());
        self.for_each_row(|row| luminance.extend_from_slice(row))?;
        Ok(luminance)
    }

    #[allow(clippy::indexing_slicing, reason = "the table has an entry for every value of 16 bits")]
    fn of_code(&self, code: u16) -> f32 {
        self.table[usize::from(code)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_fractions_of_white() {
        let bytes = Radiograph::of_bytes(2, vec![0, 51, 255, 102, 9]);
        assert_eq!((bytes.rows, bytes.columns), (2, 2));
        assert_eq!(bytes.luminance().unwrap(), [0.0, 0.2, 1.0, 0.4]);
        let words = Radiograph::of_words(3, vec![0, 13_107, 65_535]);
        assert_eq!(words.luminance().unwrap(), [0.0, 0.2, 1.0]);
    }
}
