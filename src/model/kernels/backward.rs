//! One convolution on the way back, from slopes of its outputs to those of its inputs: by the micro-kernel of the way forth,
//! whose weights are turned over on their way to it.

use std::ops::Range;

use rayon::prelude::*;

use super::filter::Filter;
use super::geometry::{OCTETS_OF_A_LINE, part_of, tiles};
use super::panels::Room;
use super::phases::Phase;
use super::slopes::{After, Slopes};
use super::tile::{Begin, Finish, Micro, OUTSIDE, Tile};
use super::turn::{COLUMNS, turn};

/// Outputs whose weights are turned over at once: with the widest panel they take a first-level cache.
const DEPTH: usize = 256;

/// What the sums begin with, and what is outside.
static ZEROS: [f32; COLUMNS] = [0.0; COLUMNS];

/// Octets of a value.
const VALUE: usize = size_of::<f32>();

/// Weights of a panel's inputs, one row an output.
#[repr(align(64))]
struct Turned([f32; DEPTH * COLUMNS]);

/// From slopes of a convolution's output to those of its input, of `side` rows and columns. None for slopes or an activation of
/// another extent.
///
/// Runs on the rayon pool that the caller is in.
pub(super) fn back(
    micro: &Micro,
    filter: &Filter,
    slopes: &Slopes,
    side: (usize, usize),
    after: &After<'_>,
) -> Option<Slopes> {
    let (columns, places) = (micro.columns, side.0 * side.1);
    let out = filter.window.steps(side.0) * filter.window.steps(side.1);
    if !slopes.are((out, filter.outputs), columns) || !after.fits((places, filter.inputs), columns) {
        return None;
    }
    let with_offsets = |phase| (offsets(&phase, out, micro), phase);
    let phases = Phase::all(filter.window, side).into_iter().map(with_offsets).collect();
    let job = Job { micro, filter, slopes, phases };
    let mut found = Slopes::zeros((places, filter.inputs), columns);
    found.values.par_chunks_exact_mut(places * columns).enumerate().with_max_len(1).for_each(|(panel, to)| {
        job.panel(panel, to);
        after.finish(panel, to, columns);
    });
    Some(found)
}

struct Job<'a> {
    micro: &'a Micro,
    filter: &'a Filter,
    slopes: &'a Slopes,
    phases: Vec<(Vec<u32>, Phase)>,
}

impl Job<'_> {
    /// The slopes of one panel of inputs, `[places, columns]`.
    fn panel(&self, panel: usize, to: &mut [f32]) {
        let columns = self.micro.columns;
        let mut turned = Turned([0.0; DEPTH * COLUMNS]);
        let mut rest = &mut *to;
        for (offsets, phase) in &self.phases {
            let (sums, behind) = std::mem::take(&mut rest).split_at_mut(phase.places.len() * columns);
            self.phase((phase, offsets), panel, sums, &mut turned);
            rest = behind;
        }
        if self.phases.len() > 1 {
            let order = self.phases.iter().flat_map(|(_, phase)| phase.order());
            let sums = to.to_vec();
            for (sums, place) in sums.chunks_exact(columns).zip(order) {
                let to = to.get_mut(place * columns..(place + 1) * columns);
                to.into_iter().for_each(|to| to.copy_from_slice(sums));
            }
        }
    }

    /// Those of the places of a phase.
    fn phase(&self, (phase, offsets): (&Phase, &[u32]), panel: usize, sums: &mut [f32], turned: &mut Turned) {
        let Self { micro, filter, slopes, .. } = self;
        let (columns, together) = (micro.columns, DEPTH / micro.columns);
        let (places, panels) = (phase.places.len(), filter.outputs.div_ceil(columns));
        let (tiles, groups) = (tiles(places, micro.rows), panels.div_ceil(together));
        let sums_of = |tap: usize| phase.taps.get(tap).map(|tap| filter.sums_of(*tap, panel, columns));
        // How far the panels of outputs are behind each other.
        let apart = filter.octets(0, 0..filter.sums()).len();
        let mut room = Room::new();
        for step in 0..phase.taps.len() * groups {
            let (tap, group) = (step / groups, step % groups);
            let outputs = panels.min((group + 1) * together) - group * together;
            let weights = sums_of(tap).unwrap_or_default();
            for (at, to) in turned.0.chunks_exact_mut(columns * columns).take(outputs).enumerate() {
                turn(micro, filter.rows(group * together + at, weights.clone(), &mut room, micro), columns, to);
            }
            let next = sums_of((step + 1) / groups);
            let next = next.map(|sums| filter.octets((step + 1) % groups * together, sums)).unwrap_or_default();
            for tile in 0..tiles {
                // Each tile asks for a part of every square that is turned over next.
                let part = columns / Tile::STRIDE * OCTETS_OF_A_LINE;
                let (ahead, leap) = match next.get(tile * part..) {
                    Some([first, ..]) => (std::ptr::from_ref(first).cast(), (apart / VALUE).wrapping_sub(part / VALUE)),
                    _ => (turned.0.as_ptr(), 0),
                };
                let rows = part_of(tile, tiles, places);
                let at = (tap * tiles + tile) * together * micro.rows;
                let offsets = offsets.get(at..at + together * micro.rows).unwrap_or_default();
                let output = sums.get_mut(rows.start * columns..rows.end * columns).unwrap_or_default();
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
                unsafe { micro.run(rows.len(), &tile) }
            }
        }
    }
}

impl Filter {
    /// Which of a panel's sums are those of a panel of inputs by one tap.
    fn sums_of(&self, tap: usize, inputs: usize, columns: usize) -> Range<usize> {
        let first = tap * self.inputs + inputs * columns;
        first..(first + columns).min((tap + 1) * self.inputs)
    }
}

/// For each tap, each tile of places, each panel of outputs that is turned over at once, and each place of a tile: where in the
/// slopes, of so many places, the tap leads.
fn offsets(phase: &Phase, places: usize, micro: &Micro) -> Vec<u32> {
    let (count, together) = (tiles(phase.places.len(), micro.rows), DEPTH / micro.columns);
    let mut offsets = Vec::with_capacity(phase.taps.len() * count * together * micro.rows);
    for (tap, tile) in phase.taps.iter().flat_map(|tap| (0..count).map(move |tile| (*tap, tile))) {
        let tile = phase.places.get(part_of(tile, count, phase.places.len())).unwrap_or_default();
        let tile: Vec<_> = tile.iter().map(|place| phase.leads(tap, *place)).collect();
        for panel in 0..together {
            let offset = |row| Some((panel * places + (*tile.get(row)?)?) * micro.columns);
            let offset = |row| offset(row).and_then(|offset| u32::try_from(offset).ok()).unwrap_or(OUTSIDE);
            offsets.extend((0..micro.rows).map(offset));
        }
    }
    offsets
}

#[cfg(test)]
mod tests {
    use super::super::filter::Raw;
    use super::super::geometry::{Walk, Window};
    use super::super::isa::Isa;
    use super::super::slopes::Given;
    use super::super::tests::Scaled;
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
    fn weights_of_half_precision_change_no_bit_on_the_way_back() {
        let mut random = fastrand::Rng::with_seed(5);
        for (size, stride, inputs, outputs) in [(1, 1, 64, 300), (1, 2, 70, 33), (3, 1, 40, 70), (3, 2, 33, 48)] {
            let (window, side) = (Window { size, stride, padding: size / 2 }, (5, 6));
            let mut values = |count: usize| (0..count).map(|_| random.f32() - 0.5).collect::<Vec<f32>>();
            let raw = Raw { weights: values(inputs * outputs * size * size), bias: vec![0.0; outputs] };
            let scaled = Scaled::of(&raw, 0.7);
            let out = window.steps(side.0) * window.steps(side.1);
            let slopes = values(out * outputs);
            for micro in Isa::available().map(Micro::of) {
                let wide = Filter::pack(&scaled.product, inputs, window, Walk::Places, micro);
                let narrow = Filter::pack_halves((&scaled, &scaled.scale), inputs, window, micro);
                let slopes = Slopes::of(&slopes, out, micro.columns);
                let of = |filter| back(micro, filter, &slopes, side, &After::default()).unwrap().by_place(inputs);
                assert_eq!(of(&narrow), of(&wide), "{:?} {window:?}", micro.isa);
            }
        }
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
                        let filter = Filter::pack(&raw, inputs, window, Walk::Places, micro);
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
