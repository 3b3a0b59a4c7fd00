//! 3x3 convolutions of stride 1 by Winograd's F(2x2, 3x3) (Lavin and Gray, CVPR 2016): squares of 4 by 4 inputs become
//! 16 values each, which 16 matrix products turn into those of squares of 2 by 2 outputs, with 4 products for 9.

use super::convolution::output_of;
use super::filter::{Filter, Rows, pack_panel, panels};
use super::geometry::{Extent, Walk, Window};
use super::lane::Lane;
use super::slots::{Shared, View};
use super::tile::Micro;

/// Values that a square becomes.
pub(super) const VALUES: usize = 16;

/// Side of a square of outputs.
const STEP: usize = 2;

/// The window that this is for.
pub(super) const WINDOW: Window = Window { size: 3, stride: 1, padding: 1 };

/// The window of the matrix products.
const PLACE: Window = Window { size: 1, stride: 1, padding: 0 };

/// Weights that are spread at once: columns of a panel, which has a multiple of so many.
const GROUP: usize = 8;

/// As many weights at once.
type Group = [f64; GROUP];

/// The filters of the 16 matrix products, from weights `[outputs, inputs, 3, 3]`; without bias.
pub(super) fn spread_weights(raw: &impl Rows, inputs: usize, micro: &Micro) -> Vec<Filter> {
    let (outputs, places) = (raw.bias().len(), WINDOW.size * WINDOW.size);
    let no_bias = vec![0.0; outputs];
    let filter = || Filter::empty(&no_bias, inputs, PLACE, Walk::Places, micro.columns);
    let mut filters: Vec<_> = std::iter::repeat_with(filter).take(VALUES).collect();
    let (mut room, mut windows) = (Vec::new(), vec![0.0; places * inputs * micro.columns]);
    for (panel, outputs) in panels(outputs, micro.columns).enumerate() {
        pack_panel(&mut windows, raw.rows(outputs, &mut room), (places, inputs), micro);
        let mut values: Vec<_> = filters.iter_mut().map(|filter| filter.panel_mut(panel).as_chunks_mut().0).collect();
        spread_windows(&windows, &mut values);
    }
    filters.iter().for_each(Filter::settle);
    filters
}

/// The 16 values of each window of weights; windows lie place by place, values one after the other.
fn spread_windows(windows: &[f32], values: &mut [&mut [[f32; GROUP]]]) {
    let each = windows.len() / (WINDOW.size * WINDOW.size);
    let weights: Vec<&[[f32; GROUP]]> = windows.chunks_exact(each.max(1)).map(|place| place.as_chunks().0).collect();
    for index in 0..each / GROUP {
        let window = std::array::from_fn(|place| {
            let weights = weights.get(place).and_then(|weights| weights.get(index));
            weights.copied().unwrap_or_default().map(f64::from)
        });
        let spread = spread_window(window);
        for (values, spread) in values.iter_mut().zip(spread.as_flattened()) {
            if let Some(to) = values.get_mut(index) {
                *to = spread.map(|value| value as f32);
            }
        }
    }
}

/// The 16 values of one window of weights, of as many windows.
fn spread_window([a, b, c, d, e, f, g, h, i]: [Group; 9]) -> [[Group; 4]; 4] {
    let columns = [spread_side([a, d, g]), spread_side([b, e, h]), spread_side([c, f, i])];
    let [[a, b, c, d], [e, f, g, h], [i, j, k, l]] = columns;
    [[a, e, i], [b, f, j], [c, g, k], [d, h, l]].map(spread_side)
}

/// Three weights along one side of a window become four values.
fn spread_side([first, second, third]: [Group; 3]) -> [Group; 4] {
    let each = |of: fn(f64, f64, f64) -> f64| -> Group {
        let mut values = [0.0; GROUP];
        let weights = first.iter().zip(&second).zip(&third);
        values.iter_mut().zip(weights).for_each(|(to, ((first, second), third))| *to = of(*first, *second, *third));
        values
    };
    [first, each(|a, b, c| (a + c) / 2.0 + b / 2.0), each(|a, b, c| (a + c) / 2.0 - b / 2.0), third]
}

/// The extent of one of the 16 matrices for an activation: a row for each square.
pub(super) fn matrix_of(activation: Extent) -> Extent {
    let squares = activation.images * activation.rows.div_ceil(STEP) * activation.columns.div_ceil(STEP);
    Extent::new::<f32>(1, 1, squares, activation.channels)
}

/// All 16 matrices, one after the other, as one view; and one of them.
pub(super) fn matrices(slot: usize, activation: Extent) -> View {
    View { slot, start: 0, extent: Extent { images: VALUES, ..matrix_of(activation) } }
}

/// The squares of one row of one image.
#[derive(Clone, Copy)]
struct Squares {
    image: usize,
    /// Of squares.
    row: usize,
    /// Squares in a row.
    count: usize,
    /// The first one's index among all.
    first: usize,
}

impl Squares {
    /// Rows of squares of all images.
    fn rows(activation: Extent) -> usize {
        activation.images * activation.rows.div_ceil(STEP)
    }

    fn of(activation: Extent, task: usize) -> Self {
        let (down, count) = (activation.rows.div_ceil(STEP), activation.columns.div_ceil(STEP));
        Self { image: task / down, row: task % down, count, first: task * count }
    }
}

/// Turns an activation into the 16 matrices.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    pub(super) input: View,
    pub(super) output: View,
}

impl Spread {
    /// One task a row of squares.
    pub(super) fn tasks(&self) -> usize {
        Squares::rows(self.input.extent)
    }

    /// Does one task.
    ///
    /// # Safety
    /// The processor has the micro-kernels' instructions. `zeros` has as many values as a place. Nobody writes to the
    /// input, and nobody else does the same task.
    pub(super) unsafe fn run(&self, task: usize, memory: &Shared<'_>, zeros: &[f32], micro: &Micro) {
        let (input, output) = (memory.start(&self.input), memory.start(&self.output));
        let (from, to) = (self.input.extent, self.output.extent);
        let squares = Squares::of(from, task);
        for square in 0..squares.count {
            let place = |index: usize| {
                let row = (squares.row * STEP + index / 4).checked_sub(1).filter(|row| *row < from.rows);
                let column = (square * STEP + index % 4).checked_sub(1).filter(|column| *column < from.columns);
                match row.zip(column) {
                    Some((row, column)) => {
                        let index = (squares.image * from.rows + row) * from.columns + column;
                        input.wrapping_add(index * from.pitch).cast_const()
                    }
                    None => zeros.as_ptr(),
                }
            };
            let places: [*const f32; VALUES] = std::array::from_fn(place);
            let output = output.wrapping_add((squares.first + square) * to.pitch);
            // SAFETY: every place has a pitch of values, as has the square's row of each matrix; no other task has it.
            unsafe { (micro.spread)(&places, from.channels, output, to.columns * to.pitch) }
        }
    }
}

/// Turns the 16 matrices back into an activation, adds the bias, and makes negative values zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gather {
    /// Index of the filter whose bias is added.
    pub(super) filter: usize,
    pub(super) input: View,
    pub(super) output: View,
}

impl Gather {
    /// One task a row of squares.
    pub(super) fn tasks(&self) -> usize {
        Squares::rows(self.output.extent)
    }

    /// Does one task.
    ///
    /// # Safety
    /// The processor has the micro-kernels' instructions, which the filter is packed for. Nobody writes to the input, and
    /// nobody else does the same task.
    pub(super) unsafe fn run(&self, task: usize, memory: &Shared<'_>, filter: &Filter, micro: &Micro) {
        let (input, output) = (memory.start(&self.input), memory.start(&self.output));
        let (from, to) = (self.input.extent, self.output.extent);
        debug_assert_eq!(output_of(filter, to).channels, to.channels);
        let squares = Squares::of(to, task);
        for square in 0..squares.count {
            let place = |index: usize| {
                let (row, column) = (squares.row * STEP + index / STEP, square * STEP + index % STEP);
                let index = (squares.image * to.rows + row) * to.columns + column;
                (row < to.rows && column < to.columns).then(|| output.wrapping_add(index * to.pitch))
            };
            let places: [Option<*mut f32>; STEP * STEP] = std::array::from_fn(place);
            let input = input.wrapping_add((squares.first + square) * from.pitch).cast_const();
            // SAFETY: every place has a pitch of values, as has the square's row of each matrix; no other task has the
            // places.
            unsafe { (micro.gather)(input, from.columns * from.pitch, to.channels, filter.padded_bias(), &places) }
        }
    }
}

/// `a - b`
#[inline(always)]
unsafe fn less<L: Lane>(a: L, b: L) -> L {
    // SAFETY: the caller's processor has the register's instructions.
    unsafe { b.multiply_add(L::splat(-1.0), a) }
}

/// # Safety
/// The processor has the register's instructions. Each of `places`, and `output` plus 0 to 15 times `apart`, have room for
/// `channels` rounded up to whole registers.
#[inline(always)]
#[allow(clippy::indexing_slicing, clippy::needless_range_loop, reason = "constant bounds")]
pub(super) unsafe fn spread<L: Lane>(places: &[*const f32; VALUES], channels: usize, output: *mut f32, apart: usize) {
    for channel in (0..channels).step_by(L::WIDTH) {
        // SAFETY: the caller keeps the contract.
        unsafe {
            let mut half = [L::splat(0.0); VALUES];
            for column in 0..4 {
                let d0 = L::load(places[column].add(channel));
                let d1 = L::load(places[4 + column].add(channel));
                let d2 = L::load(places[8 + column].add(channel));
                let d3 = L::load(places[12 + column].add(channel));
                half[column] = less(d0, d2);
                half[4 + column] = d1.add(d2);
                half[8 + column] = less(d2, d1);
                half[12 + column] = less(d1, d3);
            }
            for row in 0..4 {
                let [d0, d1, d2, d3] = [half[4 * row], half[4 * row + 1], half[4 * row + 2], half[4 * row + 3]];
                let to = output.add(4 * row * apart + channel);
                less(d0, d2).store(to);
                d1.add(d2).store(to.add(apart));
                less(d2, d1).store(to.add(2 * apart));
                less(d1, d3).store(to.add(3 * apart));
            }
        }
    }
}

/// # Safety
/// The processor has the register's instructions. `input` plus 0 to 15 times `apart`, `bias` and each of `places` have
/// `channels` values rounded up to whole registers.
#[inline(always)]
#[allow(clippy::indexing_slicing, clippy::needless_range_loop, reason = "constant bounds")]
pub(super) unsafe fn gather<L: Lane>(
    input: *const f32,
    apart: usize,
    channels: usize,
    bias: &[f32],
    places: &[Option<*mut f32>; 4],
) {
    for channel in (0..channels).step_by(L::WIDTH) {
        // SAFETY: the caller keeps the contract.
        unsafe {
            let mut half = [L::splat(0.0); 8];
            for column in 0..4 {
                let m0 = L::load(input.add(column * apart + channel));
                let m1 = L::load(input.add((4 + column) * apart + channel));
                let m2 = L::load(input.add((8 + column) * apart + channel));
                let m3 = L::load(input.add((12 + column) * apart + channel));
                half[column] = m0.add(m1).add(m2);
                half[4 + column] = less(less(m1, m2), m3);
            }
            let bias = L::load(bias.as_ptr().add(channel));
            for row in 0..2 {
                let [m0, m1, m2, m3] = [half[4 * row], half[4 * row + 1], half[4 * row + 2], half[4 * row + 3]];
                let sums = [m0.add(m1).add(m2), less(less(m1, m2), m3)];
                for (column, sum) in sums.into_iter().enumerate() {
                    if let Some(place) = places[2 * row + column] {
                        sum.add(bias).max(L::splat(0.0)).store(place.add(channel));
                    }
                }
            }
        }
    }
}
