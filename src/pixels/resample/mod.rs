//! Another size of a radiograph, anti-aliased: each new pixel is the mean of what lies under a triangle around it, as
//! wide as the pixels it replaces (bilinear interpolation where the image grows). Pillow's `resize` with `BILINEAR`, and
//! PyTorch's `interpolate` with `antialias=True`, do the same.
//!
//! Rows are taken as they come, so only the rows under a triangle are ever in memory. Where luminance is a straight line,
//! as most windows are, whole numbers are summed up instead (`sums`), which takes half the time.

mod sums;

use std::collections::VecDeque;
use std::iter::Peekable;
use std::ops::Range;
use std::vec::IntoIter;

use super::grain::Grain;
use super::radiograph::{Line, OverRows};
use super::samples::Samples;
use super::{Area, PixelError, Radiograph};
use sums::Sums;

/// What lies under one triangle: where it begins, and how much each place counts; the weights' sum is 1.
#[derive(Debug, Clone, PartialEq)]
struct Window {
    begin: usize,
    weights: Vec<f32>,
}

impl Window {
    /// Those of all new places, from the first, over the samples of a range of pixels.
    fn all(pixels: &Range<usize>, grain: Grain, new: usize) -> Vec<Self> {
        let (old, apart) = (grain.range(pixels), grain.step.pixels() as f64);
        let first = grain.position(old.start) - pixels.start as f64;
        let step = pixels.len() as f64 / new as f64;
        let reach = step.max(apart);
        let window = |place: usize| {
            let centre = (place as f64 + 0.5) * step;
            let behind = |edge: f64| ((edge - first) / apart + 1.0).max(0.0) as usize;
            let (begin, end) = (behind(centre - reach), behind(centre + reach).min(old.len()));
            let height = |at: usize| (1.0 - ((at as f64 * apart + first - centre) / reach).abs()).max(0.0);
            let heights: Vec<f64> = (begin..end).map(height).collect();
            let sum: f64 = heights.iter().sum();
            Self { begin, weights: heights.into_iter().map(|height| (height / sum) as f32).collect() }
        };
        (0..new).map(window).collect()
    }

    fn end(&self) -> usize {
        self.begin + self.weights.len()
    }

    /// How much an old place counts.
    fn weight(&self, at: usize) -> f32 {
        at.checked_sub(self.begin).and_then(|place| self.weights.get(place)).copied().unwrap_or_default()
    }

    /// The mean under the triangle.
    fn mean(&self, values: &[f32]) -> f32 {
        let under = values.get(self.begin..self.end()).unwrap_or_default();
        under.iter().zip(&self.weights).map(|(value, weight)| value * weight).sum()
    }
}

impl Radiograph {
    /// Its luminance at another size, `rows * columns` values row by row from the upper left, 0..=1.
    ///
    /// # Errors
    /// [`PixelError::Io`] where the pixels are in a file that cannot be read any more.
    pub fn resampled(&self, rows: usize, columns: usize) -> Result<Vec<f32>, PixelError> {
        self.resampled_part(&Area::whole(self.rows, self.columns), rows, columns)
    }

    /// The luminance of a part of it at another size, as if there were nothing around it; else as
    /// [`Radiograph::resampled`].
    ///
    /// # Errors
    /// The same. What of the part lies outside of the image is left out.
    pub fn resampled_part(&self, part: &Area, rows: usize, columns: usize) -> Result<Vec<f32>, PixelError> {
        self.mapped(ResampledPart { part: part.within(self.rows, self.columns), grain: self.grain(), rows, columns })
    }
}

/// A part of a radiograph at another size.
struct ResampledPart {
    part: Area,
    grain: Grain,
    rows: usize,
    columns: usize,
}

impl ResampledPart {
    /// The samples that stand for its pixels.
    fn samples(&self) -> Area {
        Area { rows: self.grain.range(&self.part.rows), columns: self.grain.range(&self.part.columns) }
    }
}

impl OverRows for ResampledPart {
    type Made = Vec<f32>;

    fn along(self, samples: &Samples, line: Line) -> Result<Vec<f32>, PixelError> {
        match Sums::of(&self, line, samples) {
            Some(mut sums) => samples.over_cells(&mut sums).map(|()| sums.resampled()),
            None => self.over(samples, move |code| line.at(code)),
        }
    }

    fn over(self, samples: &Samples, luminance: impl Fn(u16) -> f32 + Copy) -> Result<Vec<f32>, PixelError> {
        let wanted = self.samples();
        let Self { part, grain, rows, columns } = self;
        let across = Window::all(&part.columns, grain, columns);
        let down = Window::all(&part.rows, grain, rows).into_iter().peekable();
        let resampled = Vec::with_capacity(rows * columns);
        let mut picture = Picture { across, down, unfinished: VecDeque::new(), spare: Vec::new(), at: 0, resampled };
        let mut row = 0;
        samples.for_each_rows(|codes| {
            let lines = codes.chunks_exact(samples.columns()).zip(row..).filter(|(_, row)| wanted.rows.contains(row));
            let mut lines = lines.filter_map(|(codes, _)| codes.get(wanted.columns.clone()));
            if let Some(first) = lines.next() {
                picture.take(first, lines.next(), luminance);
            }
            row += codes.len() / samples.columns();
        })?;
        Ok(picture.resampled)
    }
}

/// A new row in the making, at the old width.
struct Unfinished {
    window: Window,
    sums: Vec<f32>,
}

/// A new picture in the making, from the top.
struct Picture {
    across: Vec<Window>,
    /// Those of the rows that are not begun.
    down: Peekable<IntoIter<Window>>,
    unfinished: VecDeque<Unfinished>,
    spare: Vec<Vec<f32>>,
    /// The old row that comes next.
    at: usize,
    resampled: Vec<f32>,
}

impl Picture {
    /// Takes the next old row, and the one after it, both at once where they lie under the same windows: that saves
    /// half of the way to memory and back.
    #[inline(always)]
    fn take(&mut self, codes: &[u16], after: Option<&[u16]>, luminance: impl Fn(u16) -> f32 + Copy) {
        self.begin(codes.len());
        match after.filter(|_| self.next_two_are_alike()) {
            Some(after) => self.add(&[codes, after], luminance),
            None => {
                self.add(&[codes], luminance);
                if let Some(after) = after {
                    self.begin(after.len());
                    self.add(&[after], luminance);
                }
            }
        }
    }

    /// Begins the new rows that the next old one is the first of.
    fn begin(&mut self, columns: usize) {
        while let Some(window) = self.down.next_if(|window| window.begin <= self.at) {
            let mut sums = self.spare.pop().unwrap_or_default();
            sums.clear();
            sums.resize(columns, 0.0);
            self.unfinished.push_back(Unfinished { window, sums });
        }
    }

    /// Whether the old row after the next begins no new row, and the next ends none.
    fn next_two_are_alike(&mut self) -> bool {
        let after = self.at + 1;
        let begins = self.down.peek().is_some_and(|window| window.begin <= after);
        let ends = self.unfinished.front().is_some_and(|first| first.window.end() <= after);
        !begins && !ends
    }

    /// Adds one or two old rows to the new ones that they have a part in, and finishes the new ones that they were the
    /// last of.
    #[inline(always)]
    fn add(&mut self, rows: &[&[u16]], luminance: impl Fn(u16) -> f32 + Copy) {
        for windows in self.unfinished.make_contiguous().chunks_mut(2) {
            match (windows, rows) {
                ([first, second], [codes, after]) => add_rows(first, second, self.at, [codes, after], luminance),
                (windows, rows) => {
                    rows.iter().zip(self.at..).for_each(|(row, at)| add_row(windows, at, row, luminance))
                }
            }
        }
        self.at += rows.len();
        while let Some(Unfinished { sums, .. }) = self.unfinished.pop_front_if(|first| first.window.end() <= self.at) {
            self.resampled.extend(self.across.iter().map(|window| window.mean(&sums)));
            self.spare.push(sums);
        }
    }
}

/// Adds two old rows, from `at` on, to two new ones, as many as these are where the image shrinks.
#[inline(always)]
fn add_rows(
    first: &mut Unfinished,
    second: &mut Unfinished,
    at: usize,
    [codes, after]: [&[u16]; 2],
    luminance: impl Fn(u16) -> f32,
) {
    let [high, high_after] = [at, at + 1].map(|at| first.window.weight(at));
    let [low, low_after] = [at, at + 1].map(|at| second.window.weight(at));
    let sums = first.sums.iter_mut().zip(&mut second.sums);
    for (((upper, lower), code), after) in sums.zip(codes).zip(after) {
        let (luminance, after) = (luminance(*code), luminance(*after));
        // One after the other, as they are added one by one.
        *upper = *upper + high * luminance + high_after * after;
        *lower = *lower + low * luminance + low_after * after;
    }
}

/// Adds an old row to two new ones at once, or to one.
#[inline(always)]
fn add_row(windows: &mut [Unfinished], at: usize, codes: &[u16], luminance: impl Fn(u16) -> f32) {
    match windows {
        [first, second] => {
            let (high, low) = (first.window.weight(at), second.window.weight(at));
            for ((upper, lower), code) in first.sums.iter_mut().zip(&mut second.sums).zip(codes) {
                let luminance = luminance(*code);
                *upper += high * luminance;
                *lower += low * luminance;
            }
        }
        others => {
            for Unfinished { window, sums } in others {
                let weight = window.weight(at);
                sums.iter_mut().zip(codes).for_each(|(sum, code)| *sum += weight * luminance(*code));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::grain::{Place, Step};
    use super::super::header::Header;
    use super::super::samples::Cells;
    use super::*;

    fn assert_close(ours: &[f32], expected: &[f32]) {
        let close = ours.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close && ours.len() == expected.len(), "{ours:?} instead of {expected:?}");
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let picture = Radiograph::of_bytes(3, (0..12).map(|level| level * 20).collect());
        assert_close(&picture.resampled(4, 3).unwrap(), &picture.luminance().unwrap());
    }

    #[test]
    fn a_part_is_resampled_as_if_it_were_alone() {
        let levels: Vec<u8> = (0..80).map(|at| (at * 37 % 251) as u8).collect();
        let cut: Vec<u8> = levels.chunks(10).skip(2).take(5).flat_map(|row| &row[3..9]).copied().collect();
        let part = Area { rows: 2..7, columns: 3..9 };
        let found = Radiograph::of_bytes(10, levels).resampled_part(&part, 3, 4).unwrap();
        assert_eq!(found, Radiograph::of_bytes(6, cut).resampled(3, 4).unwrap());
    }

    #[test]
    fn coarse_samples_lie_where_they_belong() {
        let header = Header {
            rows: 200,
            columns: 250,
            pixels: 50_000,
            bits_allocated: 16,
            bits_stored: 16,
            high_bit: 15,
            signed: false,
        };
        // Brighter and brighter to the lower right, so that a shift shows.
        let level = |row: f64, column: f64| (row * 150.0 + column * 100.0) as u16;
        let picture = |grain: Grain| {
            let coarse = grain.header(&header);
            let at = |sample: usize| grain.position(sample);
            let levels = (0..coarse.pixels).map(|at_| level(at(at_ / coarse.columns), at(at_ % coarse.columns)));
            Radiograph::of_words(coarse.columns, levels.collect()).of_grain(grain, &header)
        };
        let part = Area { rows: 13..190, columns: 22..250 };
        let [whole, cut] = [&Area::whole(200, 250), &part].map(|part| {
            let full = picture(Grain::default());
            full.resampled_part(part, 20, 25).unwrap()
        });
        for place in [Place::Middle, Place::First] {
            let coarse = picture(Grain { step: Step::Four, place });
            for (part, expected) in [(&Area::whole(200, 250), &whole), (&part, &cut)] {
                let found = coarse.resampled_part(part, 20, 25).unwrap();
                let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                // A pixel is 150 or 100 of 65535.
                assert!(off < 0.004, "{place:?}, {part:?}: {off}");
            }
        }
    }

    #[test]
    fn shrinking_means_under_triangles() {
        // Pillow 11: Image.fromarray(float32 [0, 1, 2, 3, 4, 5, 6, 7]).resize((2, 1), BILINEAR); step 4, so the
        // triangle around 2 reaches from -2 to 6.
        let picture = Radiograph::of_bytes(8, (0..8).map(|level| level * 10).collect());
        let tens: Vec<f32> = picture.resampled(1, 2).unwrap().iter().map(|value| value * 25.5).collect();
        assert_close(&tens, &[1.892_857_2, 5.107_143]);
    }

    #[test]
    fn growing_interpolates_between_centres() {
        let picture = Radiograph::of_bytes(1, vec![0, 255]);
        assert_close(&picture.resampled(4, 1).unwrap(), &[0.0, 0.25, 0.75, 1.0]);
    }

    /// Without sums.
    struct ByRows(ResampledPart);

    impl OverRows for ByRows {
        type Made = Vec<f32>;

        fn over(self, samples: &Samples, luminance: impl Fn(u16) -> f32 + Copy) -> Result<Vec<f32>, PixelError> {
            self.0.over(samples, luminance)
        }
    }

    /// A picture that is black up to one code and white from another on.
    fn between(black: f64, white: f64, columns: usize, levels: Vec<u16>) -> Radiograph {
        let luminance = (0..=u16::MAX).map(|code| ((f64::from(code) - black) / (white - black)).clamp(0.0, 1.0) as f32);
        let rendering = Radiograph::of_words(1, vec![0]).rendering;
        Radiograph::new(Samples::of_picture(Cells::Words(levels), columns), luminance, rendering)
    }

    proptest! {
        #[test]
        fn sums_give_what_rows_give(
            size in (1..90_usize, 1..60_usize), to in (1..40_usize, 1..40_usize), cut in (0..40_usize, 0..30_usize),
            window in (0..65_535_u16, 1..65_535_u16), falling: bool, half: bool, seed: u16,
        ) {
            let (rows, columns) = size;
            let levels = (0..rows * columns).map(|at| (at as u16).wrapping_mul(40_503).wrapping_add(seed)).collect();
            let black = f64::from(window.0) + if half { 0.5 } else { 0.0 };
            let white = (black + f64::from(window.1)).min(65_535.0);
            let ends = if falling { (white, black) } else { (black, white) };
            let picture = between(ends.0, ends.1, columns, levels);
            let part = Area { rows: cut.0.min(rows - 1)..rows, columns: cut.1.min(columns - 1)..columns };
            let asked = || ResampledPart { part: part.clone(), grain: Grain::default(), rows: to.0, columns: to.1 };
            let (found, expected) = (picture.mapped(asked()).unwrap(), picture.mapped(ByRows(asked())).unwrap());
            prop_assert_eq!(found.len(), expected.len());
            let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // What a line may be off, and rounding.
            prop_assert!(off < 3e-6, "{off}");
        }

        #[test]
        fn an_even_picture_stays_even(rows in 1..40_usize, columns in 1..40_usize, to in (1..40_usize, 1..40_usize)) {
            let resampled = Radiograph::of_bytes(columns, vec![51; rows * columns]).resampled(to.0, to.1).unwrap();
            prop_assert_eq!(resampled.len(), to.0 * to.1);
            prop_assert!(resampled.iter().all(|value| (value - 0.2).abs() < 1e-6));
        }
    }
}
