//! Another size of a radiograph, anti-aliased: each new pixel is the mean of what lies under a triangle around it, as
//! wide as the pixels it replaces (bilinear interpolation where the image grows). Pillow's `resize` with `BILINEAR`, and
//! PyTorch's `interpolate` with `antialias=True`, do the same.
//!
//! Rows are taken as they come, so only the rows under a triangle are ever in memory.

use std::collections::VecDeque;

use super::radiograph::OverRows;
use super::samples::Samples;
use super::{Area, PixelError, Radiograph};

/// What lies under one triangle: where it begins, and how much each place counts; the weights' sum is 1.
#[derive(Debug, Clone, PartialEq)]
struct Window {
    begin: usize,
    weights: Vec<f32>,
}

impl Window {
    /// Those of all new places, from the first.
    fn all(old: usize, new: usize) -> Vec<Self> {
        let step = old as f64 / new as f64;
        let reach = step.max(1.0);
        let window = |place: usize| {
            let centre = (place as f64 + 0.5) * step;
            let begin = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(old);
            let height = |at: usize| (1.0 - ((at as f64 + 0.5 - centre) / reach).abs()).max(0.0);
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

/// A new row in the making, at the old width.
struct Unfinished {
    window: Window,
    sums: Vec<f32>,
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
        self.mapped(ResampledPart { part: part.within(self.rows, self.columns), rows, columns })
    }
}

/// A part of a radiograph at another size.
struct ResampledPart {
    part: Area,
    rows: usize,
    columns: usize,
}

impl OverRows for ResampledPart {
    type Made = Vec<f32>;

    fn over(self, samples: &Samples, luminance: impl Fn(u16) -> f32 + Copy) -> Result<Vec<f32>, PixelError> {
        let Self { part, rows, columns } = self;
        let across = Window::all(part.columns.len(), columns);
        let mut down = Window::all(part.rows.len(), rows).into_iter().peekable();
        let mut unfinished: VecDeque<Unfinished> = VecDeque::new();
        let mut spare: Vec<Vec<f32>> = Vec::new();
        let mut resampled = Vec::with_capacity(rows * columns);
        let (mut row, mut at) = (0, 0);
        samples.for_each_row(|codes| {
            let inside = part.rows.contains(&row);
            row += 1;
            let Some(codes) = codes.get(part.columns.clone()).filter(|_| inside) else { return };
            while let Some(window) = down.next_if(|window| window.begin <= at) {
                let mut sums = spare.pop().unwrap_or_default();
                sums.clear();
                sums.resize(codes.len(), 0.0);
                unfinished.push_back(Unfinished { window, sums });
            }
            for windows in unfinished.make_contiguous().chunks_mut(2) {
                add(windows, at, codes, luminance);
            }
            at += 1;
            while let Some(Unfinished { sums, .. }) = unfinished.pop_front_if(|first| first.window.end() <= at) {
                resampled.extend(across.iter().map(|window| window.mean(&sums)));
                spare.push(sums);
            }
        })?;
        Ok(resampled)
    }
}

/// Adds a row to two new ones at once, as many as it has a part in where the image shrinks, or to one.
#[inline(always)]
fn add(windows: &mut [Unfinished], at: usize, codes: &[u16], luminance: impl Fn(u16) -> f32) {
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

    proptest! {
        #[test]
        fn an_even_picture_stays_even(rows in 1..40_usize, columns in 1..40_usize, to in (1..40_usize, 1..40_usize)) {
            let resampled = Radiograph::of_bytes(columns, vec![51; rows * columns]).resampled(to.0, to.1).unwrap();
            prop_assert_eq!(resampled.len(), to.0 * to.1);
            prop_assert!(resampled.iter().all(|value| (value - 0.2).abs() < 1e-6));
        }
    }
}
