//! A convolution without a bias, with square windows that are padded by half of their size, as products of matrices.

use std::ops::Range;

use rayon::prelude::*;

use super::winograd::Winograd;
use super::{Extent, Volume};
use crate::model::{Columns, Sum, multiply};

/// Places that are turned together: as many values as a cache line has.
const TURNED: usize = 16;

/// Which convolution; its weights are `[size * size, inputs, outputs]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::train) struct Convolution {
    pub(in crate::train) inputs: usize,
    pub(in crate::train) outputs: usize,
    pub(in crate::train) size: usize,
    pub(in crate::train) stride: usize,
}

impl Convolution {
    fn taps(&self) -> usize {
        self.size * self.size
    }

    /// The same by fewer products, where there is a way.
    fn winograd(&self) -> Option<Winograd> {
        let Self { inputs, outputs, size, stride } = *self;
        ((size, stride) == Winograd::WINDOW).then_some(Winograd { inputs, outputs })
    }

    /// The extent that it makes of an input.
    pub(in crate::train) fn output_of(&self, input: Extent) -> Extent {
        let steps =
            |side: usize| (side + 2 * (self.size / 2)).checked_sub(self.size).map_or(0, |room| room / self.stride + 1);
        Extent { rows: steps(input.rows), columns: steps(input.columns), channels: self.outputs, ..input }
    }

    /// `[n, h, w, inputs]` to `[n, h', w', outputs]`.
    pub(in crate::train) fn forward(&self, weights: &[f32], input: &Volume) -> Volume {
        if let Some(winograd) = self.winograd() {
            return winograd.forward(weights, input);
        }
        let mut output = Volume::room(self.output_of(input.extent));
        let walk = Walk::new(*self, input.extent, output.extent);
        let right = Columns::packed((self.taps() * self.inputs, self.outputs), row_by_row(weights, self.outputs));
        multiply(
            |places, sums, to| walk.gather(&input.values, places, sums, to),
            &right,
            Sum::Anew,
            &mut output.values,
        );
        output
    }

    /// How the loss changes with the weights.
    pub(in crate::train) fn weight_gradient(&self, input: &Volume, slopes: &Volume, gradient: &mut [f32]) {
        if let Some(winograd) = self.winograd() {
            return winograd.weight_gradient(input, slopes, gradient);
        }
        let walk = Walk::new(*self, input.extent, slopes.extent);
        let right = Columns::packed((slopes.extent.places(), self.outputs), row_by_row(&slopes.values, self.outputs));
        multiply(|sums, places, to| walk.gather_turned(&input.values, sums, places, to), &right, Sum::Anew, gradient);
    }

    /// How the loss changes with the input.
    pub(in crate::train) fn input_gradient(&self, weights: &[f32], slopes: &Volume, input: Extent) -> Volume {
        match self.winograd() {
            Some(winograd) => winograd.input_gradient(weights, slopes),
            None if self.stride == 1 => self.by_reverse(weights, slopes, input),
            None => self.by_taps(weights, slopes, input),
        }
    }

    /// Without strides it is a convolution of the slopes by the weights in reverse.
    fn by_reverse(&self, weights: &[f32], slopes: &Volume, input: Extent) -> Volume {
        let Self { inputs, outputs, .. } = *self;
        let reverse = Self { inputs: outputs, outputs: inputs, ..*self };
        let walk = Walk::new(reverse, slopes.extent, input);
        let last = self.taps() - 1;
        let right = Columns::packed((self.taps() * outputs, inputs), |row, of, to| {
            turned(weights, (last - row / outputs, row % outputs), self, of, to);
        });
        let mut gradient = Volume::room(input);
        multiply(
            |places, sums, to| walk.gather(&slopes.values, places, sums, to),
            &right,
            Sum::Anew,
            &mut gradient.values,
        );
        gradient
    }

    /// Tap by tap: what each place of the output says of the place of the input that the tap takes.
    fn by_taps(&self, weights: &[f32], slopes: &Volume, input: Extent) -> Volume {
        let Self { inputs, outputs, .. } = *self;
        let walk = Walk::new(*self, input, slopes.extent);
        let plain =
            Walk::new(Self { size: 1, stride: 1, inputs: outputs, outputs: inputs }, slopes.extent, slopes.extent);
        let mut gradient = Volume::zeros(input);
        let mut said = Volume::room(Extent { channels: inputs, ..slopes.extent });
        for tap in 0..self.taps() {
            let right = Columns::packed((outputs, inputs), |row, of, to| turned(weights, (tap, row), self, of, to));
            multiply(
                |places, sums, to| plain.gather(&slopes.values, places, sums, to),
                &right,
                Sum::Anew,
                &mut said.values,
            );
            let (per_image, places) = (input.image().max(1), slopes.extent.rows * slopes.extent.columns);
            let images =
                gradient.values.par_chunks_mut(per_image).zip(said.values.par_chunks((places * inputs).max(1)));
            images.for_each(|(to, said)| {
                for (place, said) in said.chunks_exact(inputs).enumerate() {
                    let Some(source) = walk.source(place, tap) else { continue };
                    let to = to.get_mut(source * inputs..(source + 1) * inputs).unwrap_or_default();
                    to.iter_mut().zip(said).for_each(|(to, said)| *to += said);
                }
            });
        }
        gradient
    }
}

/// Rows of a matrix, which `of` gives, become columns; a row that is missing is zeros.
pub(super) fn turn<'a>(rows: Range<usize>, of: impl Fn(usize) -> Option<&'a [f32]>, to: &mut [f32]) {
    let pitch = rows.len().max(1);
    for first in rows.clone().step_by(TURNED) {
        let taken: [&[f32]; TURNED] =
            std::array::from_fn(|at| Some(first + at).filter(|row| *row < rows.end).and_then(&of).unwrap_or_default());
        let within = first - rows.start..(first - rows.start + TURNED).min(pitch);
        for (column, to) in to.chunks_exact_mut(pitch).enumerate() {
            let to = to.get_mut(within.clone()).unwrap_or_default();
            to.iter_mut().zip(&taken).for_each(|(to, from)| *to = from.get(column).copied().unwrap_or(0.0));
        }
    }
}

/// The rows of a matrix as they lie.
fn row_by_row(values: &[f32], columns: usize) -> impl Fn(usize, Range<usize>, &mut [f32]) + Sync {
    move |row, of, to| {
        let from = values.get(row * columns + of.start..row * columns + of.end).unwrap_or_default();
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
}

/// The weights of some inputs for one tap and output.
fn turned(weights: &[f32], (tap, output): (usize, usize), shape: &Convolution, inputs: Range<usize>, to: &mut [f32]) {
    let first = (tap * shape.inputs + inputs.start) * shape.outputs + output;
    let from = weights.get(first..).unwrap_or_default().iter().step_by(shape.outputs);
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

/// How the window goes over the images.
#[derive(Clone, Copy)]
struct Walk {
    shape: Convolution,
    input: Extent,
    output: Extent,
}

impl Walk {
    fn new(shape: Convolution, input: Extent, output: Extent) -> Self {
        Self { shape, input, output }
    }

    /// The place of the input that a tap takes for a place of the output, counted over all images; `None` beyond the
    /// edge.
    fn source(&self, place: usize, tap: usize) -> Option<usize> {
        let Self { shape: Convolution { size, stride, .. }, input, output } = *self;
        let (row, column) = (place / output.columns, place % output.columns);
        let (image, row) = (row / output.rows, row % output.rows);
        let at = |index: usize, step: usize, side: usize| {
            (index * stride + step).checked_sub(size / 2).filter(|at| *at < side)
        };
        let (row, column) = (at(row, tap / size, input.rows)?, at(column, tap % size, input.columns)?);
        Some((image * input.rows + row) * input.columns + column)
    }

    /// Some channels of the place that a tap takes; `None` beyond the edge.
    fn taken<'a>(&self, values: &'a [f32], place: usize, tap: usize, channels: Range<usize>) -> Option<&'a [f32]> {
        let first = self.source(place, tap)? * self.shape.inputs;
        values.get(first + channels.start..first + channels.end)
    }

    /// Cuts a stretch of `[taps, inputs]` where the tap changes: tap, inputs.
    fn parts(&self, mut sums: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let inputs = self.shape.inputs.max(1);
        std::iter::from_fn(move || {
            let (tap, first) = (sums.start / inputs, sums.start % inputs);
            let length = sums.len().min(inputs - first);
            sums.start += length;
            (length > 0).then_some((tap, first..first + length))
        })
    }

    /// A block of the matrix `[places, taps * inputs]`.
    fn gather(&self, values: &[f32], places: Range<usize>, sums: Range<usize>, to: &mut [f32]) {
        for (place, mut to) in places.zip(to.chunks_exact_mut(sums.len().max(1))) {
            for (tap, channels) in self.parts(sums.clone()) {
                let Some((part, rest)) = to.split_at_mut_checked(channels.len()) else { break };
                match self.taken(values, place, tap, channels) {
                    Some(from) => part.copy_from_slice(from),
                    None => part.fill(0.0),
                }
                to = rest;
            }
        }
    }

    /// A block of the same matrix, turned: `[taps * inputs, places]`.
    fn gather_turned(&self, values: &[f32], sums: Range<usize>, places: Range<usize>, to: &mut [f32]) {
        let pitch = places.len().max(1);
        let mut rows = to;
        for (tap, channels) in self.parts(sums) {
            let Some((part, rest)) = rows.split_at_mut_checked(channels.len() * pitch) else { break };
            turn(places.clone(), |place| self.taken(values, place, tap, channels.clone()), part);
            rows = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::volume::tests::{agree, noise, slope};
    use super::*;

    const INPUT: Extent = Extent { images: 2, rows: 6, columns: 5, channels: 3 };

    #[test]
    fn a_convolution_sums_up_its_window_and_its_gradients_are_those_of_finite_differences() {
        for (size, stride) in [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)] {
            let shape = Convolution { inputs: 3, outputs: 5, size, stride };
            let (x, weights) =
                (noise(1, INPUT), noise(2, Extent { images: 1, rows: size, columns: size, channels: 15 }));
            let output = shape.forward(&weights.values, &x);
            // The last place of the second image, by hand.
            let Extent { rows, columns, .. } = output.extent;
            let (row, column) = ((rows - 1) * stride, (columns - 1) * stride);
            for channel in 0..5 {
                let mut expected = 0.0;
                for (tap, input) in (0..size * size).flat_map(|tap| (0..3).map(move |input| (tap, input))) {
                    let (down, across) = (row + tap / size, column + tap % size);
                    let (Some(down), Some(across)) = (down.checked_sub(size / 2), across.checked_sub(size / 2)) else {
                        continue;
                    };
                    if down < 6 && across < 5 {
                        let at = ((6 + down) * 5 + across) * 3 + input;
                        expected += x.values[at] * weights.values[(tap * 3 + input) * 5 + channel];
                    }
                }
                let found = output.values[output.values.len() - 5 + channel];
                assert!((found - expected).abs() < 1e-5, "{size}/{stride}: {found} for {expected}");
            }
            let slopes = noise(3, output.extent);
            let loss = |x: &Volume, w: &[f32]| slope(&shape.forward(w, x), &slopes);
            let mut gradient = vec![0.0; weights.values.len()];
            shape.weight_gradient(&x, &slopes, &mut gradient);
            agree(&gradient, &weights.values, |w| loss(&x, w));
            let gradient = shape.input_gradient(&weights.values, &slopes, INPUT);
            agree(&gradient.values, &x.values, |values| {
                loss(&Volume { extent: INPUT, values: values.to_vec() }, &weights.values)
            });
        }
    }

    #[test]
    fn the_threads_change_no_bit() {
        for stride in [1, 2] {
            let shape = Convolution { inputs: 40, outputs: 48, size: 3, stride };
            let x = noise(1, Extent { images: 3, rows: 9, columns: 9, channels: 40 });
            let weights = noise(2, Extent { images: 1, rows: 3, columns: 3, channels: 40 * 48 });
            let with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    let output = shape.forward(&weights.values, &x);
                    let mut gradient = vec![0.0; weights.values.len()];
                    shape.weight_gradient(&x, &output, &mut gradient);
                    (shape.input_gradient(&weights.values, &output, x.extent), output, gradient)
                })
            };
            assert!(with(1) == with(3));
        }
    }
}
