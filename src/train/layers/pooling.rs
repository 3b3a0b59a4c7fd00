//! Pooling: the largest of neighbours, and the mean over all places.

use rayon::prelude::*;

use super::{Extent, Volume};

/// Places along the side of a window.
const SIZE: usize = 3;
/// Places from one window to the next.
const STRIDE: usize = 2;
/// Places beyond the edge; they count for nothing.
const PADDING: usize = 1;

/// The largest value of each channel within windows of 3x3 places, two apart, and which place of the window had it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::train) struct Maximum {
    input: Extent,
    /// For each value of the output the tap that had the largest, the first of equals.
    taps: Vec<u8>,
}

impl Maximum {
    /// `[n, h, w, c]` to `[n, h / 2, w / 2, c]`, rounded up.
    pub(in crate::train) fn forward(input: &Volume) -> (Volume, Self) {
        let from = input.extent;
        let steps = |side: usize| (side + 2 * PADDING).saturating_sub(SIZE) / STRIDE + 1;
        let mut output = Volume::room(Extent { rows: steps(from.rows), columns: steps(from.columns), ..from });
        let to = output.extent;
        let mut taps = vec![0; to.values()];
        let row = (to.columns * to.channels).max(1);
        output.values.par_chunks_mut(row).zip(taps.par_chunks_mut(row)).enumerate().for_each(
            |(line, (values, taps))| {
                let places = values.chunks_exact_mut(to.channels).zip(taps.chunks_exact_mut(to.channels));
                for (column, (values, taps)) in places.enumerate() {
                    values.fill(f32::NEG_INFINITY);
                    for tap in 0..SIZE * SIZE {
                        let Some(source) = source(from, line % to.rows, column, tap) else { continue };
                        let place = (line / to.rows) * from.rows * from.columns + source;
                        let candidates = input.values.get(place * from.channels..).unwrap_or_default();
                        for ((value, own), candidate) in values.iter_mut().zip(taps.iter_mut()).zip(candidates) {
                            if *candidate > *value {
                                (*value, *own) = (*candidate, tap as u8);
                            }
                        }
                    }
                }
            },
        );
        (output, Self { input: from, taps })
    }

    /// The slopes of the output go to the places that were the largest.
    pub(in crate::train) fn backward(&self, slopes: &Volume) -> Volume {
        let (from, to) = (self.input, slopes.extent);
        let mut gradient = Volume::zeros(from);
        let images = gradient
            .values
            .par_chunks_mut(from.image().max(1))
            .zip(slopes.values.par_chunks(to.image().max(1)).zip(self.taps.par_chunks(to.image().max(1))));
        images.for_each(|(gradient, (slopes, taps))| {
            for (at, (slope, tap)) in slopes.iter().zip(taps).enumerate() {
                let (place, channel) = (at / to.channels, at % to.channels);
                let source = source(from, place / to.columns, place % to.columns, usize::from(*tap));
                let target = source.and_then(|source| gradient.get_mut(source * from.channels + channel));
                if let Some(target) = target {
                    *target += slope;
                }
            }
        });
        gradient
    }
}

/// The place within an image that a tap of the window at `row` and `column` takes; `None` beyond the edge.
fn source(input: Extent, row: usize, column: usize, tap: usize) -> Option<usize> {
    let at =
        |index: usize, step: usize, side: usize| (index * STRIDE + step).checked_sub(PADDING).filter(|at| *at < side);
    Some(at(row, tap / SIZE, input.rows)? * input.columns + at(column, tap % SIZE, input.columns)?)
}

/// The mean of each channel of each image: `[n, c]`.
pub(in crate::train) fn mean(input: &Volume) -> Vec<f32> {
    let Extent { rows, columns, channels, .. } = input.extent;
    let share = 1.0 / (rows * columns).max(1) as f32;
    let image = |image: &[f32]| {
        let mut sums = vec![0.0; channels];
        for place in image.chunks_exact(channels.max(1)) {
            sums.iter_mut().zip(place).for_each(|(sum, value)| *sum += value);
        }
        sums.iter().map(|sum| sum * share).collect::<Vec<f32>>()
    };
    input.values.par_chunks(input.extent.image().max(1)).flat_map_iter(image).collect()
}

/// How the loss changes with the input of [`mean`], given how it changes with each mean.
pub(in crate::train) fn mean_backward(slopes: &[f32], input: Extent) -> Volume {
    let share = 1.0 / (input.rows * input.columns).max(1) as f32;
    let mut gradient = Volume::room(input);
    let channels = input.channels.max(1);
    let images = gradient.values.par_chunks_mut(input.image().max(1)).zip(slopes.par_chunks(channels));
    images.for_each(|(image, slopes)| {
        for place in image.chunks_exact_mut(channels) {
            place.iter_mut().zip(slopes).for_each(|(to, slope)| *to = slope * share);
        }
    });
    gradient
}

#[cfg(test)]
mod tests {
    use super::super::volume::tests::{agree, noise, slope};
    use super::*;

    const INPUT: Extent = Extent { images: 2, rows: 7, columns: 6, channels: 3 };

    #[test]
    fn slopes_of_the_largest_go_where_finite_differences_say() {
        // Far enough apart that a small step changes no order.
        let values = noise(1, INPUT).values.iter().map(|value| (value * 1000.0).round() / 50.0).collect();
        let x = Volume { extent: INPUT, values };
        let (output, maximum) = Maximum::forward(&x);
        assert_eq!((output.extent.rows, output.extent.columns), (4, 3));
        let slopes = noise(2, output.extent);
        let loss = |x: &[f32]| slope(&Maximum::forward(&Volume { extent: INPUT, values: x.to_vec() }).0, &slopes);
        agree(&maximum.backward(&slopes).values, &x.values, loss);
    }

    #[test]
    fn slopes_of_the_mean_are_shared_out() {
        let x = noise(1, INPUT);
        let means = Extent { rows: 1, columns: 1, ..INPUT };
        let slopes = noise(2, means);
        let of = |x: &[f32]| Volume { extent: means, values: mean(&Volume { extent: INPUT, values: x.to_vec() }) };
        agree(&mean_backward(&slopes.values, INPUT).values, &x.values, |x| slope(&of(x), &slopes));
    }
}
