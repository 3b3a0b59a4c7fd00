//! Convolutions of 3x3 windows, one place apart, by Winograd's F(4x4, 3x3) (Lavin and Gray, CVPR 2016): squares of 6 by
//! 6 inputs become 36 values, which as many matrix products turn into those of squares of 4 by 4 outputs, with 36
//! products for 144. The gradients are the same linear maps in reverse.

use std::ops::Range;

use rayon::prelude::*;

use super::convolution::turn;
use super::{Extent, Volume};
use crate::model::{Columns, Sum, multiply};

/// Taps along a side of a window.
const SIZE: usize = 3;
/// Outputs along a side of a square.
const STEP: usize = 4;
/// Inputs along a side of a square: outputs and what their windows reach beyond them.
const SIDE: usize = STEP + SIZE - 1;
/// Values that a square becomes.
const VALUES: usize = SIDE * SIDE;

/// Channels that are turned together.
const LANES: usize = 16;

/// Values of some channels.
type Lane = [f32; LANES];

/// Turns inputs.
const INPUT: [[f32; SIDE]; SIDE] = [
    [4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
    [0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
    [0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
    [0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
    [0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
    [0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
];

/// Turns windows of weights.
const WINDOW: [[f32; SIZE]; SIDE] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// Turns products into outputs.
const OUTPUT: [[f32; SIDE]; STEP] = [
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
    [0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
    [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
    [0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
];

/// A matrix in reverse.
#[allow(clippy::indexing_slicing, reason = "within the matrix by its type, and while compiling")]
const fn turned<const ROWS: usize, const COLUMNS: usize>(matrix: &[[f32; COLUMNS]; ROWS]) -> [[f32; ROWS]; COLUMNS] {
    let mut turned = [[0.0; ROWS]; COLUMNS];
    let mut at = 0;
    while at < ROWS * COLUMNS {
        turned[at % COLUMNS][at / COLUMNS] = matrix[at / COLUMNS][at % COLUMNS];
        at += 1;
    }
    turned
}

const INPUT_BACK: [[f32; SIDE]; SIDE] = turned(&INPUT);
const WINDOW_BACK: [[f32; SIDE]; SIZE] = turned(&WINDOW);
const OUTPUT_BACK: [[f32; STEP]; SIDE] = turned(&OUTPUT);

const ZEROS: Lane = [0.0; LANES];

/// `turned = matrix * square * matrix'`, for each channel.
#[inline(always)]
fn both_ways<const FROM: usize, const TO: usize>(
    matrix: &[[f32; FROM]; TO],
    square: &[[Lane; FROM]; FROM],
    turned: &mut [[Lane; TO]; TO],
) {
    let mut half = [[ZEROS; FROM]; TO];
    for (half, factors) in half.iter_mut().zip(matrix) {
        for (factor, row) in factors.iter().zip(square).filter(|(factor, _)| **factor != 0.0) {
            add(half.as_flattened_mut(), *factor, row.as_flattened());
        }
    }
    for (row, half) in turned.iter_mut().zip(&half) {
        for (to, factors) in row.iter_mut().zip(matrix) {
            *to = ZEROS;
            for (factor, from) in factors.iter().zip(half).filter(|(factor, _)| **factor != 0.0) {
                add(to, *factor, from);
            }
        }
    }
}

#[inline(always)]
fn add(to: &mut [f32], factor: f32, from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}

/// Fills the lanes of a square with some channels of what `values` begins with each; zeros where there is nothing.
#[inline(always)]
fn load<'a, const N: usize>(
    square: &mut [[Lane; N]; N],
    channels: &Range<usize>,
    values: impl Fn(usize, usize) -> Option<&'a [f32]>,
) {
    for (row, lanes) in square.iter_mut().enumerate() {
        for (column, lane) in lanes.iter_mut().enumerate() {
            let from = values(row, column).and_then(|from| from.get(channels.clone())).unwrap_or_default();
            match from.first_chunk() {
                Some(whole) => *lane = *whole,
                None => {
                    *lane = ZEROS;
                    lane.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                }
            }
        }
    }
}

#[inline(always)]
fn put(lane: &Lane, to: Option<&mut [f32]>, channels: &Range<usize>, then: impl Fn(&mut f32, f32)) {
    let to = to.and_then(|to| to.get_mut(channels.clone())).unwrap_or_default();
    match to.first_chunk_mut::<LANES>() {
        Some(whole) => whole.iter_mut().zip(lane).for_each(|(to, value)| then(to, *value)),
        None => to.iter_mut().zip(lane).for_each(|(to, value)| then(to, *value)),
    }
}

/// Channels, as many as a lane has at a time.
fn lanes(channels: usize) -> impl Iterator<Item = Range<usize>> {
    (0..channels).step_by(LANES).map(move |first| first..(first + LANES).min(channels))
}

/// How squares lie on an image: its output has the same places as its input.
#[derive(Clone, Copy)]
struct Squares {
    rows: usize,
    columns: usize,
    across: usize,
    count: usize,
}

impl Squares {
    fn of(extent: Extent) -> Self {
        let (down, across) = (extent.rows.div_ceil(STEP), extent.columns.div_ceil(STEP));
        Self { rows: extent.rows, columns: extent.columns, across, count: down * across }
    }

    /// The place of the image at a row and a column of a square, which begins `before` places ahead of its outputs;
    /// `None` beyond the edge.
    fn place(&self, square: usize, before: usize, row: usize, column: usize) -> Option<usize> {
        let at = |square: usize, step: usize, side: usize| {
            (square * STEP + step).checked_sub(before).filter(|at| *at < side)
        };
        let row = at(square / self.across, row, self.rows)?;
        Some(row * self.columns + at(square % self.across, column, self.columns)?)
    }
}

/// Values of squares: `[images, VALUES, squares, channels]`.
struct Spread {
    /// Of an image.
    squares: usize,
    volume: Volume,
}

impl Spread {
    /// Turns every square of some images, each `FROM` places wide and beginning `before` places ahead of its outputs.
    fn of<const FROM: usize>(matrix: &'static [[f32; FROM]; SIDE], volume: &Volume, before: usize) -> Self {
        let Extent { images, channels, .. } = volume.extent;
        let squares = Squares::of(volume.extent);
        let one = VALUES * squares.count * channels;
        let mut spread = Volume::room(Extent { images, rows: VALUES, columns: squares.count, channels });
        let tasks =
            spread.values.par_chunks_mut(one.max(1)).zip(volume.values.par_chunks(volume.extent.image().max(1)));
        tasks.for_each(|(to, image)| {
            let (mut inputs, mut turned) = ([[ZEROS; FROM]; FROM], [[ZEROS; SIDE]; SIDE]);
            for square in 0..squares.count {
                for some in lanes(channels) {
                    load(&mut inputs, &some, |row, column| {
                        image.get(squares.place(square, before, row, column)? * channels..)
                    });
                    both_ways(matrix, &inputs, &mut turned);
                    for (value, lane) in turned.as_flattened().iter().enumerate() {
                        let first = (value * squares.count + square) * channels;
                        put(lane, to.get_mut(first..), &some, |to, value| *to = value);
                    }
                }
            }
        });
        Self { squares: squares.count, volume: spread }
    }

    /// Squares, all images together.
    fn rows(&self) -> usize {
        self.volume.extent.images * self.squares
    }

    /// The channels of one value of a square, counted over all images.
    fn row(&self, value: usize, square: usize) -> &[f32] {
        let (image, square) = (square / self.squares, square % self.squares);
        let channels = self.volume.extent.channels;
        let first = ((image * VALUES + value) * self.squares + square) * channels;
        self.volume.values.get(first..first + channels).unwrap_or_default()
    }
}

/// Convolution with 3x3 windows, one place apart, padded by one place; its weights are `[9, inputs, outputs]`.
#[derive(Clone, Copy)]
pub(super) struct Winograd {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

impl Winograd {
    /// Size and stride of the windows.
    pub(super) const WINDOW: (usize, usize) = (SIZE, 1);

    /// The windows' values: `[inputs, VALUES, outputs]`.
    fn spread_weights(&self, weights: &[f32]) -> Volume {
        let Self { inputs, outputs } = *self;
        let mut spread = Volume::room(Extent { images: inputs, rows: 1, columns: VALUES, channels: outputs });
        spread.values.par_chunks_mut((VALUES * outputs).max(1)).enumerate().for_each(|(input, to)| {
            let (mut window, mut turned) = ([[ZEROS; SIZE]; SIZE], [[ZEROS; SIDE]; SIDE]);
            for some in lanes(outputs) {
                load(&mut window, &some, |row, column| {
                    weights.get(((row * SIZE + column) * inputs + input) * outputs..)
                });
                both_ways(&WINDOW, &window, &mut turned);
                for (lane, to) in turned.as_flattened().iter().zip(to.chunks_exact_mut(outputs)) {
                    put(lane, Some(to), &some, |to, value| *to = value);
                }
            }
        });
        spread
    }

    /// `[n, h, w, inputs]` to `[n, h, w, outputs]`.
    pub(super) fn forward(&self, weights: &[f32], input: &Volume) -> Volume {
        let outputs = self.outputs;
        let (spread, weights) = (Spread::of(&INPUT, input, 1), self.spread_weights(weights));
        let products = self.products(&spread, outputs, |value, input, of, to| {
            let first = (input * VALUES + value) * outputs;
            copy(weights.values.get(first + of.start..first + of.end), to);
        });
        let mut output = Volume::room(Extent { channels: outputs, ..input.extent });
        gathered(&OUTPUT, &products.values, &mut output, 0, |to, value| *to = value);
        output
    }

    /// How the loss changes with the input.
    pub(super) fn input_gradient(&self, weights: &[f32], slopes: &Volume) -> Volume {
        let Self { inputs, outputs } = *self;
        let (spread, weights) = (Spread::of(&OUTPUT_BACK, slopes, 0), self.spread_weights(weights));
        let products = self.products(&spread, inputs, |value, output, of, to| {
            let from = weights.values.get((of.start * VALUES + value) * outputs + output..).unwrap_or_default();
            to.iter_mut().zip(from.iter().step_by(VALUES * outputs)).for_each(|(to, from)| *to = *from);
        });
        let mut gradient = Volume::zeros(Extent { channels: inputs, ..slopes.extent });
        gathered(&INPUT_BACK, &products.values, &mut gradient, 1, |to, value| *to += value);
        gradient
    }

    /// For each value the rows of the squares times a matrix, which `fill` gives row by row: `[VALUES, squares, columns]`.
    fn products(
        &self,
        spread: &Spread,
        columns: usize,
        fill: impl Fn(usize, usize, Range<usize>, &mut [f32]) + Sync,
    ) -> Volume {
        let (rows, depth) = (spread.rows(), spread.volume.extent.channels);
        let mut products = Volume::room(Extent { images: VALUES, rows: 1, columns: rows, channels: columns });
        products.values.par_chunks_mut((rows * columns).max(1)).enumerate().for_each(|(value, to)| {
            let right = Columns::packed((depth, columns), |row, of, to| fill(value, row, of, to));
            let left = |rows: Range<usize>, channels: Range<usize>, to: &mut [f32]| {
                for (row, to) in rows.zip(to.chunks_exact_mut(channels.len().max(1))) {
                    copy(spread.row(value, row).get(channels.clone()), to);
                }
            };
            multiply(left, &right, Sum::Anew, to);
        });
        products
    }

    /// How the loss changes with the weights.
    pub(super) fn weight_gradient(&self, input: &Volume, slopes: &Volume, gradient: &mut [f32]) {
        let Self { inputs, outputs } = *self;
        let (input, slopes) = (Spread::of(&INPUT, input, 1), Spread::of(&OUTPUT_BACK, slopes, 0));
        let rows = input.rows();
        let mut products = Volume::room(Extent { images: VALUES, rows: 1, columns: inputs, channels: outputs });
        products.values.par_chunks_mut((inputs * outputs).max(1)).enumerate().for_each(|(value, to)| {
            let right = Columns::packed((rows, outputs), |row, of, to| copy(slopes.row(value, row).get(of), to));
            let left = |channels: Range<usize>, rows: Range<usize>, to: &mut [f32]| {
                turn(rows, |row| input.row(value, row).get(channels.clone()), to);
            };
            multiply(left, &right, Sum::Anew, to);
        });
        self.gather_weights(&products.values, gradient);
    }

    /// `[VALUES, inputs, outputs]` to `[9, inputs, outputs]`.
    fn gather_weights(&self, products: &[f32], gradient: &mut [f32]) {
        let Self { inputs, outputs } = *self;
        let mut windows: Vec<Vec<&mut [f32]>> = (0..inputs).map(|_| Vec::with_capacity(SIZE * SIZE)).collect();
        for tap in gradient.chunks_exact_mut((inputs * outputs).max(1)) {
            let rows = tap.chunks_exact_mut(outputs.max(1));
            windows.iter_mut().zip(rows).for_each(|(window, row)| window.push(row));
        }
        windows.par_iter_mut().enumerate().for_each(|(input, window)| {
            let (mut square, mut turned) = ([[ZEROS; SIDE]; SIDE], [[ZEROS; SIZE]; SIZE]);
            for some in lanes(outputs) {
                load(&mut square, &some, |row, column| {
                    products.get(((row * SIDE + column) * inputs + input) * outputs..)
                });
                both_ways(&WINDOW_BACK, &square, &mut turned);
                for (lane, to) in turned.as_flattened().iter().zip(window.iter_mut()) {
                    put(lane, Some(to), &some, |to, value| *to = value);
                }
            }
        });
    }
}

fn copy(from: Option<&[f32]>, to: &mut [f32]) {
    to.iter_mut().zip(from.unwrap_or_default()).for_each(|(to, from)| *to = *from);
}

/// Turns `[VALUES, squares, channels]` into squares of `TO` places, which begin `before` places ahead of the outputs, and
/// lets them go into a volume.
fn gathered<const TO: usize>(
    matrix: &'static [[f32; SIDE]; TO],
    products: &[f32],
    volume: &mut Volume,
    before: usize,
    then: impl Fn(&mut f32, f32) + Sync + Copy,
) {
    let Extent { images, channels, .. } = volume.extent;
    let (squares, one) = (Squares::of(volume.extent), volume.extent.image());
    volume.values.par_chunks_mut(one.max(1)).enumerate().for_each(|(image, to)| {
        let (mut values, mut turned) = ([[ZEROS; SIDE]; SIDE], [[ZEROS; TO]; TO]);
        for square in 0..squares.count {
            for some in lanes(channels) {
                load(&mut values, &some, |row, column| {
                    let plane = (row * SIDE + column) * images + image;
                    products.get((plane * squares.count + square) * channels..)
                });
                both_ways(matrix, &values, &mut turned);
                for (at, lane) in turned.as_flattened().iter().enumerate() {
                    let place = squares.place(square, before, at / TO, at % TO);
                    put(lane, place.and_then(|place| to.get_mut(place * channels..)), &some, then);
                }
            }
        }
    });
}
