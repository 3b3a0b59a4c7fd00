//! One convolution on the way back, from slopes of its outputs to those of its inputs: by the micro-kernel of the way forth,
//! whose weights are turned over on their way to it.

use rayon::prelude::*;

use super::filter::Filter;
use super::geometry::{LINE, Window, begin_of, tiles};
use super::lane::{Lane, WIDEST};
use super::slopes::{After, Slopes};
use super::tile::{Begin, Finish, Micro, OUTSIDE, Tile};

/// Outputs whose weights are turned over at once: with the widest panel they take a first-level cache.
const DEPTH: usize = 256;

/// Most columns of a panel.
const COLUMNS: usize = 2 * WIDEST;

/// What the sums begin with, and what is outside.
static ZEROS: [f32; COLUMNS] = [0.0; COLUMNS];

/// The weights of a convolution as the way back wants them, whatever numbers they are stored in.
pub(super) trait Weights: Sync {
    /// Places of its input that it reads for one of its output.
    fn window(&self) -> Window;
    /// Channels of its input.
    fn inputs(&self) -> usize;
    /// Channels that it makes.
    fn outputs(&self) -> usize;

    /// Lays the weights of a panel of outputs for a panel of inputs by one tap into `to`: a row of inputs for each output. What
    /// fills up either panel is zero.
    fn turn(&self, micro: &Micro, tap: usize, panels: (usize, usize), to: &mut [f32]);

    /// The weights that [`Weights::turn`] reads for the same, and how far those of the next panel of outputs are behind them;
    /// none where the processor finds them by itself.
    fn read_by_turn(&self, _micro: &Micro, _tap: usize, _panels: (usize, usize)) -> (&[f32], usize) {
        (&[], 0)
    }
}

/// Weights of a panel's inputs, one row an output.
#[repr(align(64))]
struct Turned([f32; DEPTH * COLUMNS]);

/// Places of the input that the same taps of the window reach.
struct Phase {
    places: Vec<usize>,
    taps: Vec<usize>,
    /// For each tap, each tile of places, each panel of outputs that is turned over at once, and each place of a tile: where
    /// in the slopes the tap leads.
    offsets: Vec<u32>,
}

/// From slopes of a convolution's output to those of its input, of `side` rows and columns. None for slopes or an activation of
/// another extent.
///
/// Runs on the rayon pool that the caller is in.
pub(super) fn back(
    micro: &Micro,
    weights: &dyn Weights,
    slopes: &Slopes,
    side: (usize, usize),
    after: &After<'_>,
) -> Option<Slopes> {
    let (window, columns, places) = (weights.window(), micro.columns, side.0 * side.1);
    let out = window.steps(side.0) * window.steps(side.1);
    let length = weights.inputs().next_multiple_of(columns) * places;
    let fits = slopes.values.len() == weights.outputs().next_multiple_of(columns) * out
        && after.beside.is_none_or(|beside| beside.values.len() == length)
        && after.rectified.as_ref().is_none_or(|given| given.values.len() == given.apart * places);
    if !fits || out == 0 {
        return None;
    }
    let job = Job { micro, weights, slopes, phases: phases(window, side, micro) };
    let mut found = Slopes { values: vec![0.0; length], places, columns };
    found.values.par_chunks_exact_mut(places * columns).enumerate().with_max_len(1).for_each(|(panel, to)| {
        job.panel(panel, to);
        after.finish(panel, to, columns);
    });
    Some(found)
}

struct Job<'a> {
    micro: &'a Micro,
    weights: &'a dyn Weights,
    slopes: &'a Slopes,
    phases: Vec<Phase>,
}

impl Job<'_> {
    /// The slopes of one panel of inputs, `[places, columns]`.
    fn panel(&self, panel: usize, to: &mut [f32]) {
        let columns = self.micro.columns;
        let mut turned = Turned([0.0; DEPTH * COLUMNS]);
        let mut rest = &mut *to;
        for phase in &self.phases {
            let (sums, behind) = std::mem::take(&mut rest).split_at_mut(phase.places.len() * columns);
            self.phase(phase, panel, sums, &mut turned);
            rest = behind;
        }
        if self.phases.len() > 1 {
            let order = self.phases.iter().flat_map(|phase| &phase.places);
            let sums = to.to_vec();
            for (sums, place) in sums.chunks_exact(columns).zip(order) {
                let to = to.get_mut(place * columns..(place + 1) * columns);
                to.into_iter().for_each(|to| to.copy_from_slice(sums));
            }
        }
    }

    /// Those of the places of a phase.
    fn phase(&self, phase: &Phase, panel: usize, sums: &mut [f32], turned: &mut Turned) {
        let Self { micro, weights, slopes, .. } = self;
        let (columns, together) = (micro.columns, DEPTH / micro.columns);
        let (places, panels) = (phase.places.len(), weights.outputs().div_ceil(columns));
        let (tiles, groups) = (tiles(places, micro.rows), panels.div_ceil(together));
        for step in 0..phase.taps.len() * groups {
            let (tap, group) = (step / groups, step % groups);
            let outputs = panels.min((group + 1) * together) - group * together;
            for (at, to) in turned.0.chunks_exact_mut(columns * columns).take(outputs).enumerate() {
                let tap = phase.taps.get(tap).copied().unwrap_or_default();
                weights.turn(micro, tap, (group * together + at, panel), to);
            }
            let next = phase.taps.get((step + 1) / groups);
            let next = next.map(|tap| weights.read_by_turn(micro, *tap, ((step + 1) % groups * together, panel)));
            let (next, apart) = next.unwrap_or_default();
            for tile in 0..tiles {
                // Each tile asks for a part of every square that is turned over next.
                let part = columns / Tile::STRIDE * LINE;
                let (ahead, leap) = match next.get(tile * part..) {
                    Some([first, ..]) => (std::ptr::from_ref(first), apart.wrapping_sub(part)),
                    _ => (turned.0.as_ptr(), 0),
                };
                let (first, end) = (begin_of(tile, tiles, places), begin_of(tile + 1, tiles, places));
                let offsets = (tap * tiles + tile) * together * micro.rows;
                let offsets = phase.offsets.get(offsets..offsets + together * micro.rows).unwrap_or_default();
                let output = sums.get_mut(first * columns..end * columns).unwrap_or_default();
                if offsets.is_empty() || output.is_empty() {
                    continue;
                }
                let tile = Tile {
                    input: slopes.panel(group * together).as_ptr(),
                    zeros: ZEROS.as_ptr(),
                    offsets: offsets.as_ptr(),
                    taps: outputs,
                    channel: 0,
                    depth: columns,
                    filter: turned.0.as_ptr(),
                    ahead,
                    leap,
                    begin: if step == 0 { Begin::Bias(ZEROS.as_ptr()) } else { Begin::Output },
                    finish: Finish::Keep,
                    output: output.as_mut_ptr(),
                    pitch: columns,
                };
                // SAFETY: the instructions are those of this processor. The offsets are those of places of `outputs` panels of
                // slopes, each of `columns` values; as many rows of weights were turned over; the output has a row of `columns`
                // for each of the places, and nobody else refers to it.
                unsafe { micro.run(end - first, &tile) }
            }
        }
    }
}

impl Weights for Filter {
    fn window(&self) -> Window {
        self.window
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn turn(&self, micro: &Micro, tap: usize, panels: (usize, usize), to: &mut [f32]) {
        turn(micro, self.read_by_turn(micro, tap, panels).0, to);
    }

    /// A row of outputs for each input.
    fn read_by_turn(&self, micro: &Micro, tap: usize, (outputs, inputs): (usize, usize)) -> (&[f32], usize) {
        let (columns, first) = (micro.columns, tap * self.inputs + inputs * micro.columns);
        let end = (first + columns).min((tap + 1) * self.inputs);
        (self.panel(outputs).get(first * columns..end * columns).unwrap_or_default(), self.sums() * columns)
    }
}

/// Turns a square of a panel's columns over, `[inputs, outputs]` to `[outputs, inputs]`; missing inputs are zeros.
pub(super) fn turn(micro: &Micro, square: &[f32], to: &mut [f32]) {
    let side = micro.columns;
    if square.len() == side * side && to.len() == side * side {
        // SAFETY: the instructions are those of this processor, and both are squares of a panel's columns.
        return unsafe { (micro.turn)(square.as_ptr(), to.as_mut_ptr()) };
    }
    for (output, to) in to.chunks_exact_mut(side).enumerate() {
        let from = square.iter().skip(output).step_by(side).chain(std::iter::repeat(&0.0));
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
}

/// Turns a square of `LANES` registers a side over; a register has `WIDTH` values.
///
/// Rows are shuffled with those half a register's values behind them, as often as halves can be halved: so each value's row and
/// column change places (Stone, IEEE Trans. Computers 1971).
///
/// # Safety
/// The processor has the register's instructions; both squares are there, and apart from each other.
#[inline(always)]
#[allow(clippy::indexing_slicing, clippy::needless_range_loop, reason = "constant bounds, checked when compiled")]
pub(super) unsafe fn turned<L: Lane, const WIDTH: usize, const LANES: usize>(from: *const f32, to: *mut f32) {
    let side = LANES * WIDTH;
    // SAFETY: the caller keeps the contract; every offset stays within a square.
    unsafe {
        for down in 0..LANES {
            for across in 0..LANES {
                let mut rows = [L::splat(0.0); WIDTH];
                for row in 0..WIDTH {
                    rows[row] = L::load(from.add((down * WIDTH + row) * side + across * WIDTH));
                }
                for _ in 0..WIDTH.ilog2() {
                    let before = rows;
                    for row in 0..WIDTH / 2 {
                        let (first, second) = before[row].shuffled_with(before[row + WIDTH / 2]);
                        rows[2 * row] = first;
                        rows[2 * row + 1] = second;
                    }
                }
                for row in 0..WIDTH {
                    rows[row].store(to.add((across * WIDTH + row) * side + down * WIDTH));
                }
            }
        }
    }
}

/// The phases of the places of an input of `side` rows and columns.
fn phases(window: Window, (rows, columns): (usize, usize), micro: &Micro) -> Vec<Phase> {
    let out = (window.steps(rows), window.steps(columns));
    let starts = (0..window.stride).flat_map(|row| (0..window.stride).map(move |column| (row, column)));
    let phase = |(row, column): (usize, usize)| {
        let across = move |row| (column..columns).step_by(window.stride).map(move |column| (row, column));
        let places: Vec<_> = (row..rows).step_by(window.stride).flat_map(across).collect();
        let in_step = |at: usize, tap: usize| (at + window.padding) % window.stride == tap % window.stride;
        let taps = (0..window.size * window.size)
            .filter(|tap| in_step(row, tap / window.size) && in_step(column, tap % window.size))
            .collect::<Vec<_>>();
        let offsets = taps.iter().flat_map(|tap| offsets(window, (&places, *tap), out, micro)).collect();
        Phase { places: places.into_iter().map(|(row, column)| row * columns + column).collect(), taps, offsets }
    };
    starts.map(phase).filter(|phase| !phase.places.is_empty()).collect()
}

/// Those of one tap from some places, by row and column; the output has `out` rows and columns.
fn offsets(window: Window, (places, tap): (&[(usize, usize)], usize), out: (usize, usize), micro: &Micro) -> Vec<u32> {
    let along = |at: usize, tap: usize, out: usize| {
        let step = (at + window.padding).checked_sub(tap)? / window.stride;
        (step < out).then_some(step)
    };
    let leads = |(row, column): (usize, usize)| {
        let (row, column) = (along(row, tap / window.size, out.0)?, along(column, tap % window.size, out.1)?);
        Some((row * out.1 + column) * micro.columns)
    };
    let count = tiles(places.len(), micro.rows);
    let mut offsets = Vec::with_capacity(count * DEPTH / micro.columns * micro.rows);
    for tile in 0..count {
        let [first, end] = [tile, tile + 1].map(|tile| begin_of(tile, count, places.len()));
        let tile: Vec<_> = places.iter().take(end).skip(first).map(|place| leads(*place)).collect();
        for panel in 0..DEPTH / micro.columns {
            let before = panel * out.0 * out.1 * micro.columns;
            let offset = |row| Some(u32::try_from(before + (*tile.get(row)?)?).unwrap_or(OUTSIDE));
            offsets.extend((0..micro.rows).map(|row| offset(row).unwrap_or(OUTSIDE)));
        }
    }
    offsets
}

#[cfg(test)]
mod tests {
    use super::super::filter::Raw;
    use super::super::geometry::Walk;
    use super::super::isa::Isa;
    use super::super::slopes::Given;
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
            for (inputs, outputs) in [(1, 1), (4, 33), (64, 16), (70, 300)] {
                for side in [(1, 1), (4, 7), (5, 6)] {
                    let window = Window { size, stride, padding: size / 2 };
                    let mut values = |count: usize| (0..count).map(|_| random.f32() - 0.5).collect::<Vec<f32>>();
                    let raw = Raw { weights: values(inputs * outputs * size * size), bias: vec![0.0; outputs] };
                    let out = window.steps(side.0) * window.steps(side.1);
                    let slopes = values(out * outputs);
                    let [beside, given] = [0, 1].map(|_| values(side.0 * side.1 * inputs));
                    let found = naive(&raw, inputs, window, &slopes, side);
                    let all = found.iter().zip(&beside).zip(&given);
                    let finished: Vec<f32> =
                        all.map(|((found, beside), given)| if *given > 0.0 { found + beside } else { 0.0 }).collect();
                    for isa in Isa::available() {
                        let micro = Micro::of(isa);
                        let of = |values: &[f32], places| Slopes::of(values, places, micro.columns);
                        let filter = Filter::pack(&raw, inputs, window, Walk::Places, micro.columns);
                        let beside = of(&beside, side.0 * side.1);
                        let given = Given { values: (&given).into(), apart: inputs };
                        let after = After { beside: Some(&beside), rectified: Some(given) };
                        for (after, wanted) in [(After::default(), &found), (after, &finished)] {
                            let found = back(micro, &filter, &of(&slopes, out), side, &after).unwrap();
                            let found = found.by_place(inputs);
                            assert_eq!(found.len(), wanted.len());
                            for (found, wanted) in found.iter().zip(wanted) {
                                assert!(
                                    (found - wanted).abs() < 1e-4,
                                    "{isa:?} {window:?} {inputs} {outputs} {side:?}"
                                );
                            }
                        }
                        let one_less = of(&slopes[outputs..], out - 1);
                        assert!(back(micro, &filter, &one_less, side, &After::default()).is_none());
                    }
                }
            }
        }
    }
}
