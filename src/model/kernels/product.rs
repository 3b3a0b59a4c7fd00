//! The product of two matrices of any size, by the micro-kernels: what training is made of.
//!
//! Every value of the product is summed up in one order, block of the depth by block, whatever the threads.

use std::ops::Range;

use rayon::prelude::*;

use super::buffer::Buffer;
use super::geometry::LINE;
use super::tile::{Begin, Finish, Micro, Tile};
use super::trust::trusted;

/// Depth that is summed up before the next block: with a panel's columns it takes half of a first-level cache.
const DEPTH: usize = 256;

/// Most rows of a task, a multiple of those of every tile: with [`DEPTH`] they take a part of a second-level cache.
const ROWS: usize = 96;

/// Columns of the widest panel.
const WIDEST: usize = 32;

/// Rows of the highest tile.
const HIGHEST: usize = 12;

/// Where the sums of a product begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// At zero: what the output held is lost.
    Anew,
    /// At what the output holds.
    Onto,
}

/// The right factor of a product, `[depth, columns]`, in the order in which the micro-kernel reads it.
pub struct Columns {
    depth: usize,
    columns: usize,
    /// `[panels, depth, columns of a panel]`, filled up with zeros.
    values: Buffer,
}

impl Columns {
    /// Packs a matrix of `depth` rows; `fill` gives some of the columns of one row.
    pub fn packed((depth, columns): (usize, usize), fill: impl Fn(usize, Range<usize>, &mut [f32]) + Sync) -> Self {
        let width = micro().columns;
        let mut values = Buffer::zeroed(depth * columns.next_multiple_of(width));
        let panels = values.values_mut().par_chunks_exact_mut((depth * width).max(1)).enumerate();
        panels.for_each(|(panel, to)| {
            let of = panel * width..((panel + 1) * width).min(columns);
            for (row, to) in to.chunks_exact_mut(width).enumerate() {
                if let Some(to) = to.get_mut(..of.len()) {
                    fill(row, of.clone(), to);
                }
            }
        });
        Self { depth, columns, values }
    }
}

fn micro() -> &'static Micro {
    Micro::of(trusted())
}

/// `output = left * right`, or added to it: `[rows, depth] * [depth, columns]`, row by row, as many rows as the output
/// has. `fill` gives a block of the left factor: some rows, of each some of its depth, row by row without a gap.
///
/// Runs on the rayon pool that the caller is in.
pub fn multiply(
    fill: impl Fn(Range<usize>, Range<usize>, &mut [f32]) + Sync,
    right: &Columns,
    sum: Sum,
    output: &mut [f32],
) {
    let Columns { depth, columns, .. } = *right;
    if columns == 0 {
        return;
    }
    if depth == 0 {
        if sum == Sum::Anew {
            output.fill(0.0);
        }
        return;
    }
    // As many tasks for each thread, as far as the rows go: their sums are the same wherever they are cut.
    let rows = output.len() / columns;
    let tasks = rows.div_ceil(ROWS).next_multiple_of(rayon::current_num_threads());
    let of_task = rows.div_ceil(tasks.max(1)).max(1).next_multiple_of(micro().rows).min(ROWS);
    output.par_chunks_mut(of_task * columns).enumerate().for_each_init(
        || Buffer::zeroed(ROWS * DEPTH),
        |left, (task, output)| {
            let first = task * of_task;
            let rows = first..first + output.len() / columns;
            for from in (0..depth).step_by(DEPTH) {
                let block = from..(from + DEPTH).min(depth);
                let Some(left) = left.values_mut().get_mut(..rows.len() * block.len()) else { continue };
                fill(rows.clone(), block.clone(), left);
                let sum = if from == 0 { sum } else { Sum::Onto };
                add_block(left, right, &block, sum, output);
            }
        },
    );
}

/// Adds what one block of the depth gives: `left` is `[rows, block]`, `output` `[rows, columns]`.
fn add_block(left: &[f32], right: &Columns, block: &Range<usize>, sum: Sum, output: &mut [f32]) {
    let (micro, columns, depth) = (micro(), right.columns, block.len());
    let (rows, width) = (output.len() / columns, micro.columns);
    debug_assert_eq!(left.len(), rows * depth);
    let offsets: [u32; HIGHEST] = std::array::from_fn(|row| (row * depth) as u32);
    let panels = right.values.values().chunks_exact((right.depth * width).max(1));
    for (panel, panel_values) in panels.enumerate() {
        let Some(filter) = panel_values.get(block.start * width..block.end * width) else { continue };
        let first = panel * width;
        let whole = first + width <= columns;
        let next = panel_values.as_ptr().wrapping_add(panel_values.len() + block.start * width);
        for row in (0..rows).step_by(micro.rows) {
            let high = micro.rows.min(rows - row);
            let (Some(input), Some(output)) =
                (left.get(row * depth..(row + high) * depth), output.get_mut(row * columns + first..))
            else {
                continue;
            };
            // The next panel's block comes closer while this one is used.
            let asked = row / micro.rows * (depth / Tile::STRIDE) * LINE;
            let ahead = if asked < filter.len() { next.wrapping_add(asked) } else { filter.as_ptr() };
            let tile = |output: &mut [f32], pitch: usize| {
                debug_assert!(output.len() >= (high - 1) * pitch + width);
                let tile = Tile {
                    input: input.as_ptr(),
                    zeros: input.as_ptr(),
                    offsets: offsets.as_ptr(),
                    taps: 1,
                    channel: 0,
                    depth,
                    filter: filter.as_ptr(),
                    ahead,
                    leap: 0,
                    begin: match sum {
                        Sum::Anew => Begin::Bias(ZEROS.as_ptr()),
                        Sum::Onto => Begin::Output,
                    },
                    finish: Finish::Keep,
                    output: output.as_mut_ptr(),
                    pitch,
                };
                // SAFETY: the instructions are those of this processor; `input` has `depth` values for each of `high`
                // rows, `filter` as many groups of a panel's columns, and `output` a panel's columns for each row,
                // `pitch` apart, which nobody else refers to.
                unsafe { micro.run(high, &tile) }
            };
            if whole {
                tile(output, columns);
            } else {
                at_the_edge(output, (high, columns, columns - first), width, tile);
            }
        }
    }
}

/// What the sums of a panel begin with.
static ZEROS: [f32; WIDEST] = [0.0; WIDEST];

/// Does a tile aside, because the output has only `wide` of a panel's columns.
fn at_the_edge(
    output: &mut [f32],
    (high, pitch, wide): (usize, usize, usize),
    width: usize,
    tile: impl FnOnce(&mut [f32], usize),
) {
    let mut aside = [0.0; HIGHEST * WIDEST];
    let rows = |output: &mut [f32], aside: &mut [f32], copy: fn(&mut [f32], &mut [f32])| {
        for (output, aside) in output.chunks_mut(pitch).zip(aside.chunks_mut(width)).take(high) {
            if let (Some(output), Some(aside)) = (output.get_mut(..wide), aside.get_mut(..wide)) {
                copy(output, aside);
            }
        }
    };
    rows(output, &mut aside, |output, aside| aside.copy_from_slice(output));
    tile(&mut aside, width);
    rows(output, &mut aside, |output, aside| output.copy_from_slice(aside));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: u64, length: usize) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..length).map(|_| random.f32() - 0.5).collect()
    }

    fn product(rows: usize, depth: usize, columns: usize, threads: usize, sum: Sum) -> Vec<f32> {
        let (left, right) = (random(1, rows * depth), random(2, depth * columns));
        let mut output = random(3, rows * columns);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let right = Columns::packed((depth, columns), |row, of, to| {
                to.copy_from_slice(&right[row * columns + of.start..row * columns + of.end]);
            });
            let fill = |rows: Range<usize>, block: Range<usize>, to: &mut [f32]| {
                for (row, to) in rows.zip(to.chunks_exact_mut(block.len())) {
                    to.copy_from_slice(&left[row * depth + block.start..row * depth + block.end]);
                }
            };
            multiply(fill, &right, sum, &mut output);
        });
        output
    }

    #[test]
    fn products_are_those_of_the_sums_whatever_the_shape_and_the_threads() {
        for (rows, depth, columns) in
            [(1, 1, 1), (7, 3, 5), (97, 300, 33), (13, 513, 16), (200, 20, 64), (5, 0, 3), (192, 256, 32)]
        {
            let (left, right) = (random(1, rows * depth), random(2, depth * columns));
            for sum in [Sum::Anew, Sum::Onto] {
                let found = product(rows, depth, columns, 1, sum);
                assert_eq!(found, product(rows, depth, columns, 3, sum), "{rows} {depth} {columns}");
                let before = if sum == Sum::Onto { random(3, rows * columns) } else { vec![0.0; rows * columns] };
                for (at, found) in found.iter().enumerate() {
                    let (row, column) = (at / columns, at % columns);
                    let products = (0..depth).map(|k| f64::from(left[row * depth + k] * right[k * columns + column]));
                    let expected = f64::from(before[at]) + products.sum::<f64>();
                    assert!((f64::from(*found) - expected).abs() < 1e-4, "{rows} {depth} {columns} at {at}");
                }
            }
        }
    }
}
