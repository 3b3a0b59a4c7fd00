//! One image as a radiologist sees it: stored values, and the luminance of each.

use std::ops::RangeInclusive;

use super::grain::Grain;
use super::header::Header;
use super::rendering::{ModalityStep, Polarity, Rendering, VoiStep};
use super::samples::{Cells, Samples};
use super::{Geometry, PixelError};

/// A table over every value of 16 bits.
type Table = Box<[f32; 1 << 16]>;

/// Luminance from which a straight line may differ: a four thousandth of a grey level of 8 bits.
const FINE: f32 = 1e-6;

/// From black to white straight on, as most windows are: computing it is faster than looking it up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    slope: f32,
    offset: f32,
    /// The codes at which it turns black and white, lower one first, where it does so at a code and not between two.
    turns: Option<(u16, u16)>,
}

impl Line {
    /// The line that a table's entries lie on, if they do.
    fn through(table: &[f32]) -> Option<Self> {
        let is_grey = |luminance: &f32| (0.0..1.0).contains(&(luminance - f32::MIN_POSITIVE));
        let (first, last) = (table.iter().position(is_grey)?, table.iter().rposition(is_grey)?);
        let (low, high) = (f64::from(*table.get(first)?), f64::from(*table.get(last)?));
        let slope = (high - low) / (last - first).max(1) as f64;
        let line = Self { slope: slope as f32, offset: (low - slope * first as f64) as f32, turns: None };
        let is_on_it = |(code, luminance): (u16, &f32)| (line.at(code) - luminance).abs() < FINE;
        let straight = (0..=u16::MAX).zip(table).all(is_on_it);
        let ends = first.saturating_sub(1)..=(last + 1).min(table.len() - 1);
        straight.then(|| Self { turns: line.turns_at(ends, table), ..line })
    }

    /// The ends of a range of codes, if it is straight up to them.
    fn turns_at(self, ends: RangeInclusive<usize>, table: &[f32]) -> Option<(u16, u16)> {
        let turn = |code: usize| {
            let (luminance, code) = (*table.get(code)?, u16::try_from(code).ok()?);
            let on_the_line = f32::from(code) * self.slope + self.offset;
            ((on_the_line - luminance).abs() < FINE).then_some(code)
        };
        Some((turn(*ends.start())?, turn(*ends.end())?))
    }

    /// The luminance of a code.
    pub(super) fn at(self, code: u16) -> f32 {
        within(f32::from(code) * self.slope + self.offset)
    }

    /// The luminance of a mean of codes that are so far above `low`, and all of them between the turns.
    pub(super) fn above(self, low: u16, mean: f32) -> f32 {
        within(self.at(low) + mean * self.slope)
    }

    /// The codes at which it turns black and white, if it does so at codes: between them means may be taken of codes
    /// instead of luminances.
    pub(super) fn turns(self) -> Option<(u16, u16)> {
        self.turns
    }
}

/// 0..=1; not clamp(), whose care for what is no number takes longer.
fn within(luminance: f32) -> f32 {
    let luminance = if luminance < 0.0 { 0.0 } else { luminance };
    if luminance > 1.0 { 1.0 } else { luminance }
}

/// Something that is made of rows of codes, compiled for each way in which luminance comes of a code.
pub(super) trait OverRows {
    /// What is made.
    type Made;
    /// Makes it; `luminance` is that of a code, 0..=1.
    fn over(self, samples: &Samples, luminance: impl Fn(u16) -> f32 + Copy) -> Result<Self::Made, PixelError>;

    /// Makes it where luminance is a straight line.
    fn along(self, samples: &Samples, line: Line) -> Result<Self::Made, PixelError>
    where
        Self: Sized,
    {
        self.over(samples, move |code| line.at(code))
    }
}

/// Shows each row's luminance.
struct EachRow<'a, F> {
    rows: usize,
    grain: Grain,
    luminance: Vec<f32>,
    each: &'a mut F,
}

impl<F: FnMut(&[f32])> OverRows for EachRow<'_, F> {
    type Made = ();

    fn over(mut self, samples: &Samples, luminance: impl Fn(u16) -> f32 + Copy) -> Result<(), PixelError> {
        let step = self.grain.step.pixels();
        let mut left = self.rows;
        samples.for_each_row(|codes| {
            match step {
                1 => self.luminance.iter_mut().zip(codes).for_each(|(place, code)| *place = luminance(*code)),
                _ => (self.luminance.chunks_mut(step).zip(codes))
                    .for_each(|(places, code)| places.fill(luminance(*code))),
            }
            let lines = step.min(left);
            (0..lines).for_each(|_| (self.each)(&self.luminance));
            left -= lines;
        })
    }
}

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
    grain: Grain,
    /// Luminance of each code, 0..=1.
    table: Table,
    /// The line that the table lies on, if it is straight.
    line: Option<Line>,
}

impl Radiograph {
    /// Samples with the luminance of each of their codes, and how that came about.
    pub(super) fn new(samples: Samples, luminance: impl Iterator<Item = f32>, rendering: Rendering) -> Self {
        let columns = samples.columns();
        let mut table: Table = Box::new([0.0; 1 << 16]);
        table.iter_mut().zip(luminance).for_each(|(entry, luminance)| *entry = luminance);
        let line = table.get(..samples.codes()).and_then(Line::through);
        let (geometry, grain) = (Geometry::default(), Grain::default());
        Self { rows: samples.len() / columns, columns, rendering, geometry, samples, grain, table, line }
    }

    /// The same, with samples that stand for the pixels of an image with this header.
    pub(super) fn of_grain(self, grain: Grain, header: &Header) -> Self {
        Self { rows: header.rows, columns: header.columns, grain, ..self }
    }

    /// How far its samples lie apart.
    pub(super) fn grain(&self) -> Grain {
        self.grain
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
    /// the photometric interpretation. A sample of what was decoded coarsely is repeated for each of its pixels.
    ///
    /// # Errors
    /// [`PixelError::Io`] where the pixels are in a file that cannot be read any more.
    pub fn for_each_row(&self, mut each: impl FnMut(&[f32])) -> Result<(), PixelError> {
        self.mapped(EachRow { rows: self.rows, grain: self.grain, luminance: vec![0.0; self.columns], each: &mut each })
    }

    /// Has something made of its rows, with the luminance of their codes computed or looked up.
    pub(super) fn mapped<O: OverRows>(&self, work: O) -> Result<O::Made, PixelError> {
        match self.line {
            Some(line) => work.along(&self.samples, line),
            None => work.over(&self.samples, |code| self.of_code(code)),
        }
    }

    /// All of it: `rows * columns` values, as [`Radiograph::for_each_row`] gives them.
    ///
    /// # Errors
    /// As [`Radiograph::for_each_row`].
    pub fn luminance(&self) -> Result<Vec<f32>, PixelError> {
        let mut luminance = Vec::with_capacity(self.rows * self.columns);
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
    use super::super::grain::{Place, Step};
    use super::*;

    fn assert_close(picture: &Radiograph, expected: &[f32]) {
        let luminance = picture.luminance().unwrap();
        let close = luminance.iter().zip(expected).all(|(found, level)| (found - level).abs() < FINE);
        assert!(close && luminance.len() == expected.len(), "{luminance:?} instead of {expected:?}");
    }

    #[test]
    fn levels_are_fractions_of_white() {
        let bytes = Radiograph::of_bytes(2, vec![0, 51, 255, 102, 9]);
        assert_eq!((bytes.rows, bytes.columns), (2, 2));
        assert_close(&bytes, &[0.0, 0.2, 1.0, 0.4]);
        assert_close(&Radiograph::of_words(3, vec![0, 13_107, 65_535]), &[0.0, 0.2, 1.0]);
    }

    #[test]
    fn a_coarse_sample_is_repeated_for_each_of_its_pixels() {
        let header =
            Header { rows: 3, columns: 5, pixels: 15, bits_allocated: 8, bits_stored: 8, high_bit: 7, signed: false };
        let grain = Grain { step: Step::Two, place: Place::Middle };
        let picture = Radiograph::of_bytes(3, vec![0, 51, 102, 153, 204, 255]).of_grain(grain, &header);
        assert_eq!((picture.rows, picture.columns), (3, 5));
        assert_close(&picture, &[0.0, 0.0, 0.2, 0.2, 0.4, 0.0, 0.0, 0.2, 0.2, 0.4, 0.6, 0.6, 0.8, 0.8, 1.0]);
    }

    #[test]
    fn a_straight_table_is_computed_and_another_looked_up() {
        let ramp = |code: i32| (f64::from(code - 1000) / 2000.0).clamp(0.0, 1.0) as f32;
        let straight: Vec<f32> = (0..4096).map(ramp).collect();
        let falling: Vec<f32> = straight.iter().map(|luminance| 1.0 - luminance).collect();
        for table in [&straight, &falling] {
            let line = Line::through(table).unwrap();
            assert!((0..4096).zip(table).all(|(code, luminance)| (line.at(code) - luminance).abs() < FINE));
        }
        let turns = |centre: f64| {
            let shown = |code: u32| ((f64::from(code) - centre) / 2000.0 + 0.5).clamp(0.0, 1.0) as f32;
            Line::through(&(0..4096).map(shown).collect::<Vec<f32>>()).unwrap().turns()
        };
        assert_eq!([2000.0, 0.0, 4095.0].map(turns), [Some((1000, 3000)), Some((0, 1000)), Some((3095, 4095))]);
        assert_eq!(turns(2000.5), None, "between two codes");
        assert_eq!(Line::through(&falling).unwrap().turns(), Some((1000, 3000)));
        let curved: Vec<f32> = straight.iter().map(|luminance| luminance * luminance).collect();
        let padded: Vec<f32> = (0..4096).map(|code| if code == 4095 { 0.0 } else { ramp(code) }).collect();
        let signed = [&straight[2048..], &straight[..2048]].concat();
        for table in [curved, padded, signed, vec![0.0; 4096], vec![1.0; 4096], vec![]] {
            assert_eq!(Line::through(&table), None);
        }
    }
}
