//! How coarsely a code stream is decoded: a sample for each pixel, or one for 2 x 2, 4 x 4 or 8 x 8 of them.
//!
//! A model sees a tenth of a radiograph's rows and columns. Lossy JPEG and JPEG 2000 are decoded to fewer samples in a
//! fraction of the time; `docs/decoders.md` says when, and how little the model's answer changes.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::header::Header;

/// Pixels from one sample to the next, down and across.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub(super) enum Step {
    #[default]
    One,
    Two,
    Four,
    Eight,
}

/// Where a sample lies among the pixels that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum Place {
    /// In the middle: it is their mean.
    #[default]
    Middle,
    /// At the first of them, as the samples of a JPEG 2000 resolution level (T.800 B.5).
    First,
}

/// The lattice of the samples of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Grain {
    pub step: Step,
    pub place: Place,
}

impl Step {
    /// The longest that leaves an image at least `least` samples down and across; 1 where it has not so many pixels.
    pub fn leaving(least: usize, header: &Header) -> Self {
        let side = header.rows.min(header.columns);
        let mut steps = [Self::Eight, Self::Four, Self::Two].into_iter();
        steps.find(|step| side / step.pixels() >= least).unwrap_or_default()
    }

    /// 1, 2, 4 or 8.
    pub fn pixels(self) -> usize {
        1 << self.halvings()
    }

    /// How often a side is halved.
    pub fn halvings(self) -> u32 {
        self as u32
    }
}

impl Grain {
    /// Samples of so many pixels.
    pub fn samples(self, pixels: usize) -> usize {
        pixels.div_ceil(self.step.pixels())
    }

    /// The samples that stand for a range of pixels.
    pub fn range(self, pixels: &Range<usize>) -> Range<usize> {
        pixels.start / self.step.pixels()..self.samples(pixels.end)
    }

    /// Where a sample lies, in pixels from the edge of the first one.
    pub fn position(self, sample: usize) -> f64 {
        let step = self.step.pixels();
        let within = match self.place {
            Place::Middle => step as f64 / 2.0,
            Place::First => 0.5,
        };
        (sample * step) as f64 + within
    }

    /// The header of an image that has these samples as pixels.
    pub fn header(self, header: &Header) -> Header {
        let (rows, columns) = (self.samples(header.rows), self.samples(header.columns));
        Header { rows, columns, pixels: rows * columns, ..*header }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(rows: usize, columns: usize) -> Header {
        let pixels = rows * columns;
        Header { rows, columns, pixels, bits_allocated: 8, bits_stored: 8, high_bit: 7, signed: false }
    }

    #[test]
    fn the_shorter_side_keeps_the_samples_that_are_asked_for() {
        for (rows, columns, expected) in [
            (3000, 2500, Step::Four),
            (3584, 4000, Step::Eight),
            (3000, 1791, Step::Two),
            (1024, 896, Step::Two),
            (895, 3000, Step::One),
            (1, 1, Step::One),
        ] {
            assert_eq!(Step::leaving(448, &header(rows, columns)), expected, "{rows} x {columns}");
        }
        assert_eq!(Step::leaving(usize::MAX, &header(3000, 2500)), Step::One);
    }

    #[test]
    fn samples_cover_all_pixels() {
        let grain = Grain { step: Step::Four, place: Place::Middle };
        let coarse = grain.header(&header(10, 13));
        assert_eq!((coarse.rows, coarse.columns, coarse.pixels), (3, 4, 12));
        assert_eq!(grain.range(&(5..9)), 1..3);
        assert_eq!([0, 1].map(|sample| grain.position(sample)), [2.0, 6.0]);
        assert_eq!([0, 1].map(|sample| Grain { place: Place::First, ..grain }.position(sample)), [0.5, 4.5]);
        assert_eq!([0, 1].map(|sample| Grain::default().position(sample)), [0.5, 1.5]);
    }
}
