//! How the logits of one image change with the values in front of the last stage: back through the Dense layers, ReLU and
//! the last stage's convolutions, by the packed weights of the way forth.

use std::ops::Range;

use rayon::prelude::*;

use super::buffer::Buffer;
use super::crew::Crew;
use super::filter::Filter;
use super::geometry::Window;
use super::lane::{Lane, ask_for};
use super::tile::Micro;
use crate::model::architecture::{Architecture, Bottleneck};

/// Places that a kernel does at once.
pub(super) const ROWS: usize = 3;

/// Inputs that a kernel does at once.
pub(super) const INPUTS: usize = 4;

/// Places that are turned over at once, so that their values stay in the first-level cache.
const BLOCK: usize = 8;

/// Values of a cache line.
const LINE: usize = 16;

/// Inputs of a task.
const INPUTS_OF_A_TASK: usize = 16 * INPUTS;

/// Where in the slopes of a convolution's outputs those of one tap of the window lie, for each place of a kernel.
#[derive(Clone, Copy)]
pub(super) struct Tap {
    tap: usize,
    places: [usize; ROWS],
}

/// One call of the kernel: the slopes of some places by some inputs, each a sum over taps and outputs.
pub(super) struct Dots<'a> {
    /// Of the outputs, `pitch` for each place, whole panels of them.
    slopes: *const f32,
    pitch: usize,
    taps: &'a [Tap],
    /// Of the first panel, from the first of the inputs on: for each tap those of each input, one an output.
    weights: *const f32,
    /// From one panel to the next.
    panel: usize,
    panels: usize,
    /// From one tap to the next.
    tap: usize,
}

/// The sums of a call, for each input of its places. `IN` is [`INPUTS`], or 1 at the end.
///
/// # Safety
/// The processor has the register's instructions; slopes and weights are there; a panel has `LANES` registers.
#[inline(always)]
#[allow(clippy::indexing_slicing, clippy::needless_range_loop, reason = "constant bounds, checked when compiled")]
pub(super) unsafe fn dots<L: Lane, const LANES: usize, const IN: usize>(job: &Dots<'_>) -> [[f32; ROWS]; IN] {
    let columns = LANES * L::WIDTH;
    // SAFETY: the caller keeps the contract; every offset stays within what the job names.
    unsafe {
        let mut sums = [[L::splat(0.0); ROWS]; IN];
        for panel in 0..job.panels {
            for Tap { tap, places } in job.taps {
                let weights = job.weights.add(panel * job.panel + tap * job.tap);
                let slopes = job.slopes.add(panel * columns);
                for lane in 0..LANES {
                    let mut values = [L::splat(0.0); ROWS];
                    for row in 0..ROWS {
                        values[row] = L::load(slopes.add(places[row] * job.pitch + lane * L::WIDTH));
                    }
                    for input in 0..IN {
                        let weights = L::load(weights.add(input * columns + lane * L::WIDTH));
                        for row in 0..ROWS {
                            sums[input][row] = values[row].multiply_add(weights, sums[input][row]);
                        }
                    }
                }
            }
        }
        // Loops, not `map`: what a closure does is compiled for any processor.
        let mut totals = [[0.0; ROWS]; IN];
        for input in 0..IN {
            for row in 0..ROWS {
                totals[input][row] = sums[input][row].total();
            }
        }
        totals
    }
}

/// What the way back needs of a network, and of the way forth.
pub(super) struct Back<'a> {
    pub(super) architecture: &'a Architecture,
    pub(super) filters: &'a [Filter],
    pub(super) micro: &'static Micro,
    pub(super) crew: &'a Crew,
    /// What each layer gave, channels last, where that is known.
    pub(super) given: &'a [Vec<f32>],
}

impl Back<'_> {
    /// From the slopes of the logits to those of what the last stage was given, of `side` rows and columns, channels last.
    /// None where the filters are not the architecture's.
    pub(super) fn through_all(&self, of_logits: &[f32], side: (usize, usize)) -> Option<Vec<f32>> {
        let Architecture { last, hidden, logits, .. } = self.architecture;
        let mut sides = vec![side];
        for block in last {
            sides.push(self.steps(block.spatial, self.steps(block.reduce, *sides.last()?)?)?);
        }
        let of_hidden = self.masked(self.through(*logits, of_logits, (1, 1))?, *hidden)?;
        let of_mean = self.through(*hidden, &of_hidden, (1, 1))?;
        let places = sides.last().map(|(rows, columns)| rows * columns)?;
        let each: Vec<f32> = of_mean.iter().map(|slope| slope / places as f32).collect();
        let mut slopes = each.repeat(places);
        for (block, side) in last.iter().zip(&sides).rev() {
            slopes = self.through_block(block, slopes, *side)?;
        }
        Some(slopes)
    }

    fn through_block(&self, block: &Bottleneck, slopes: Vec<f32>, side: (usize, usize)) -> Option<Vec<f32>> {
        let slopes = self.masked(slopes, block.expand)?;
        let reduced = self.steps(block.reduce, side)?;
        let spatial =
            self.masked(self.through(block.expand, &slopes, self.steps(block.spatial, reduced)?)?, block.spatial)?;
        let reduce = self.masked(self.through(block.spatial, &spatial, reduced)?, block.reduce)?;
        let mut sum = self.through(block.reduce, &reduce, side)?;
        let around = match block.shortcut {
            Some(shortcut) => self.through(shortcut, &slopes, side)?,
            None => slopes,
        };
        sum.iter_mut().zip(around).for_each(|(sum, around)| *sum += around);
        Some(sum)
    }

    /// Rows and columns that a layer makes of some.
    fn steps(&self, layer: usize, (rows, columns): (usize, usize)) -> Option<(usize, usize)> {
        let window = self.filters.get(layer)?.window;
        Some((window.steps(rows), window.steps(columns)))
    }

    /// Slopes of what ReLU made of a layer's output as those of the output.
    fn masked(&self, mut slopes: Vec<f32>, layer: usize) -> Option<Vec<f32>> {
        let given = self.given.get(layer).filter(|given| given.len() == slopes.len())?;
        slopes.iter_mut().zip(given).for_each(|(slope, given)| *slope = if *given > 0.0 { *slope } else { 0.0 });
        Some(slopes)
    }

    /// From slopes of a layer's output to those of its input, of `side` rows and columns.
    fn through(&self, layer: usize, slopes: &[f32], side: (usize, usize)) -> Option<Vec<f32>> {
        let filter = self.filters.get(layer)?;
        self.crew.install(|| through(self.micro, filter, slopes, side))
    }
}

/// From slopes of a filter's output, channels last, to those of its input, of `side` rows and columns. None for a filter
/// without weights and for slopes of another length.
pub(super) fn through(
    micro: &Micro,
    filter: &Filter,
    slopes: &[f32],
    (rows, columns): (usize, usize),
) -> Option<Vec<f32>> {
    let Filter { window, inputs, outputs, .. } = *filter;
    let out = (window.steps(rows), window.steps(columns));
    if slopes.len() != out.0 * out.1 * outputs || !filter.has_weights() {
        return None;
    }
    let pitch = filter.panels() * micro.columns;
    // The last place has no slope: those of a kernel that are none, or outside, read it.
    let mut padded = Buffer::zeroed((out.0 * out.1 + 1) * pitch);
    for (to, from) in padded.values_mut().chunks_exact_mut(pitch).zip(slopes.chunks_exact(outputs)) {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
    let order = order(window, (rows, columns));
    let taps: Vec<Vec<Tap>> = order.chunks(ROWS).map(|places| taps(window, places, (columns, out))).collect();
    // For each input the slopes of all places, in the order of the kernels.
    let (slopes, room) = (padded.values(), order.len().next_multiple_of(ROWS));
    let mut found = vec![0.0; inputs * room];
    found.par_chunks_mut((INPUTS_OF_A_TASK * room).max(1)).enumerate().for_each(|(task, found)| {
        for (input, found) in found.chunks_mut(INPUTS * room).enumerate() {
            let first = task * INPUTS_OF_A_TASK + input * INPUTS;
            some_inputs(micro, filter, (slopes, &taps), first, found, room);
        }
    });
    Some(by_place(&found, (inputs, room), &order))
}

/// What was found for each input, `room` places each in this order, as each place's values, one an input.
fn by_place(found: &[f32], (inputs, room): (usize, usize), order: &[usize]) -> Vec<f32> {
    let mut in_order = vec![0.0; order.len() * inputs];
    in_order.par_chunks_mut((BLOCK * inputs).max(1)).enumerate().for_each(|(block, places)| {
        for first in (0..inputs).step_by(2 * BLOCK) {
            for (place, values) in places.chunks_mut(inputs).enumerate() {
                let from = found.get(first * room + block * BLOCK + place..).unwrap_or_default();
                let to = values.iter_mut().skip(first).take(2 * BLOCK);
                to.zip(from.iter().step_by(room)).for_each(|(to, from)| *to = *from);
            }
        }
    });
    if order.is_sorted() {
        return in_order;
    }
    let mut values = vec![0.0; in_order.len()];
    for (from, place) in in_order.chunks_exact(inputs.max(1)).zip(order) {
        let to = values.chunks_exact_mut(inputs.max(1)).nth(*place);
        to.into_iter().for_each(|to| to.copy_from_slice(from));
    }
    values
}

/// The slopes of a few inputs from `first` on, `room` for each.
fn some_inputs(
    micro: &Micro,
    filter: &Filter,
    (slopes, taps): (&[f32], &[Vec<Tap>]),
    first: usize,
    found: &mut [f32],
    room: usize,
) {
    let inputs = found.len() / room;
    let (weights, block) = (together(filter, first..first + inputs, micro.columns), inputs * micro.columns);
    if weights.len() != filter.panels() * filter.taps() * block {
        return;
    }
    let job = |taps, input: usize| Dots {
        slopes: slopes.as_ptr(),
        pitch: filter.panels() * micro.columns,
        taps,
        weights: weights.as_ptr().wrapping_add(input * micro.columns),
        panel: filter.taps() * block,
        panels: filter.panels(),
        tap: block,
    };
    let next = Ahead { filter, first: first + inputs, columns: micro.columns };
    let pieces = filter.panels() * filter.taps();
    let groups = taps.len();
    for (group, taps) in taps.iter().enumerate() {
        next.ask_for(group * pieces / groups..(group + 1) * pieces / groups);
        let mut put = |input: usize, sums: [f32; ROWS]| {
            let to = found.get_mut(input * room + group * ROWS..).unwrap_or_default();
            to.iter_mut().zip(sums).for_each(|(to, sum)| *to = sum);
        };
        if inputs == INPUTS {
            // SAFETY: the instructions are those of this processor, and the filter is packed for them; the weights are those
            // of so many inputs; every place of the taps is one of the slopes'.
            let sums = unsafe { (micro.dots.0)(&job(taps, 0)) };
            sums.into_iter().enumerate().for_each(|(input, sums)| put(input, sums));
        } else {
            for input in 0..inputs {
                // SAFETY: as above, for one input.
                let [sums] = unsafe { (micro.dots.1)(&job(taps, input)) };
                put(input, sums);
            }
        }
    }
}

/// The weights of the inputs that come next, which are far away in memory.
struct Ahead<'a> {
    filter: &'a Filter,
    first: usize,
    columns: usize,
}

impl Ahead<'_> {
    /// Asks for a part of them, by panel and tap.
    fn ask_for(&self, pieces: Range<usize>) {
        let taps = self.filter.taps();
        for piece in pieces {
            let from = ((piece % taps) * self.filter.inputs + self.first) * self.columns;
            let weights = self.filter.panel(piece / taps).get(from..from + INPUTS * self.columns).unwrap_or_default();
            weights.iter().step_by(LINE).for_each(|weight| ask_for(std::ptr::from_ref(weight).cast()));
        }
    }
}

/// The weights of a few inputs, panel by panel and tap by tap: in the filter they lie so far apart that a cache holds few of
/// them, and every place wants them all.
fn together(filter: &Filter, inputs: Range<usize>, columns: usize) -> Vec<f32> {
    let mut weights = Vec::with_capacity(filter.panels() * filter.taps() * inputs.len() * columns);
    for panel in 0..filter.panels() {
        for tap in 0..filter.taps() {
            let [first, end] = [inputs.start, inputs.end].map(|input| (tap * filter.inputs + input) * columns);
            weights.extend_from_slice(filter.panel(panel).get(first..end).unwrap_or_default());
        }
    }
    weights
}

/// The places of an input, those that the same taps of the window reach one after the other.
fn order(window: Window, (rows, columns): (usize, usize)) -> Vec<usize> {
    let stride = window.stride;
    let starts = (0..stride).flat_map(|row| (0..stride).map(move |column| (row, column)));
    starts
        .flat_map(|(row, column)| {
            let across = move |row| (column..columns).step_by(stride).map(move |column| row * columns + column);
            (row..rows).step_by(stride).flat_map(across)
        })
        .collect()
}

/// The taps by which some places of an input, of so many columns, reach the output.
fn taps(window: Window, places: &[usize], (columns, out): (usize, (usize, usize))) -> Vec<Tap> {
    let nowhere = out.0 * out.1;
    let reached = |place: usize, tap: usize| {
        let along = |at: usize, step: usize, out: usize| {
            let at = (at + window.padding).checked_sub(step)?;
            Some(at / window.stride).filter(|step| at.is_multiple_of(window.stride) && *step < out)
        };
        let row = along(place / columns, tap / window.size, out.0)?;
        Some(row * out.1 + along(place % columns, tap % window.size, out.1)?)
    };
    let all = (0..window.size * window.size).map(|tap| {
        let mut each = [nowhere; ROWS];
        for (to, place) in each.iter_mut().zip(places) {
            *to = reached(*place, tap).unwrap_or(nowhere);
        }
        Tap { tap, places: each }
    });
    all.filter(|tap| tap.places.iter().any(|place| *place != nowhere)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::filter::Raw;
    use super::super::geometry::Walk;
    use super::super::isa::Isa;
    use super::*;

    /// `[rows, columns, inputs]`: each weight that a value goes through on its way to an output, times the output's slope.
    fn naive(raw: &Raw, inputs: usize, window: Window, slopes: &[f32], (rows, columns): (usize, usize)) -> Vec<f32> {
        let (outputs, out) = (raw.bias.len(), (window.steps(rows), window.steps(columns)));
        let mut found = vec![0.0; rows * columns * inputs];
        for (place, slopes) in slopes.chunks(outputs).enumerate() {
            for tap in 0..window.size * window.size {
                let y = (place / out.1 * window.stride + tap / window.size).wrapping_sub(window.padding);
                let x = (place % out.1 * window.stride + tap % window.size).wrapping_sub(window.padding);
                if y < rows && x < columns {
                    for (output, slope) in slopes.iter().enumerate() {
                        for input in 0..inputs {
                            let weight = raw.weights[(output * inputs + input) * window.size.pow(2) + tap];
                            found[(y * columns + x) * inputs + input] += slope * weight;
                        }
                    }
                }
            }
        }
        found
    }

    #[test]
    fn slopes_go_back_by_the_weights_that_values_came_by() {
        let mut random = fastrand::Rng::with_seed(3);
        for (size, stride) in [(1, 1), (1, 2), (3, 1), (3, 2)] {
            for (inputs, outputs) in [(1, 1), (4, 33), (7, 16), (70, 40)] {
                for side in [(1, 1), (4, 7), (5, 6)] {
                    let window = Window { size, stride, padding: size / 2 };
                    let mut values = |count: usize| (0..count).map(|_| random.f32() - 0.5).collect::<Vec<f32>>();
                    let raw = Raw { weights: values(inputs * outputs * size * size), bias: vec![0.0; outputs] };
                    let slopes = values(window.steps(side.0) * window.steps(side.1) * outputs);
                    let wanted = naive(&raw, inputs, window, &slopes, side);
                    for isa in Isa::available() {
                        let micro = Micro::of(isa);
                        let filter = Filter::pack(&raw, inputs, window, Walk::Places, micro.columns);
                        let found = through(micro, &filter, &slopes, side).unwrap();
                        assert_eq!(found.len(), wanted.len());
                        for (found, wanted) in found.iter().zip(&wanted) {
                            assert!((found - wanted).abs() < 1e-4, "{isa:?} {window:?} {inputs} {outputs} {side:?}");
                        }
                        assert_eq!(through(micro, &filter, &slopes[1..], side), None);
                    }
                }
            }
        }
    }
}
