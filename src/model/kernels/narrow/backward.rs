//! One convolution on the way back in narrow numbers: by the micro-kernel of the way forth, for a panel of inputs at a time, whose
//! weights are turned over, with slopes stored as the weights' numbers can be multiplied with.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytemuck::Zeroable;
use rayon::prelude::*;

use super::super::buffer::Buffer;
use super::super::geometry::{Extent, Walk, part_of, tiles};
use super::super::isa::Isa;
use super::super::phases::Phase;
use super::super::slopes::{After, Slopes};
use super::super::tile::{Finish, OUTSIDE};
use super::Narrow;
use super::filter::{Filter, Reach};
use super::tile::{Goal, Micro, Tile};

/// From slopes of a convolution's output to those of its input, of `side` rows and columns. None for slopes or an activation of
/// another extent, and for the walk of the first convolution.
///
/// Runs on the rayon pool that the caller is in.
pub(super) fn back<N: Narrow>(
    micro: &Micro<N>,
    filter: &N::Filter,
    slopes: &Slopes,
    side: (usize, usize),
    after: &After<'_>,
) -> Option<Slopes> {
    // AMX multiplies packed inputs only; its panels are as wide.
    let micro = if micro.isa == Isa::Amx { N::micro(Isa::Avx512Bf16) } else { micro };
    let Reach { window, walk, inputs } = filter.reach();
    let (columns, places) = (micro.columns, side.0 * side.1);
    let out = Extent::new::<N::Value>(1, window.steps(side.0), window.steps(side.1), filter.outputs());
    if walk != Walk::Places
        || !slopes.are((out.places(), out.channels), columns)
        || !after.fits((places, inputs), columns)
    {
        return None;
    }
    let stored = Stored::of::<N>(filter, slopes, out);
    let with_offsets = |phase| (offsets(&phase, out, micro.rows), phase);
    let phases = Phase::all(window, side).into_iter().map(with_offsets).collect();
    let turned = (0..rayon::current_num_threads()).map(|_| Mutex::default()).collect();
    let job = Job { micro, filter, stored, phases, turned };
    let mut found = Slopes::zeros((places, inputs), columns);
    found.values.par_chunks_exact_mut(places * columns).enumerate().with_max_len(1).for_each(|(panel, to)| {
        job.panel(panel, to);
        after.finish(panel, to, columns);
    });
    Some(found)
}

/// Slopes as values.
struct Stored<T> {
    /// Of each place of the output, as far apart as its pitch says.
    values: Buffer<T>,
    /// As many values of nothing as there are outputs, whole panels of them.
    nothing: Buffer<T>,
    /// How much a value of one step, times a weight of one step, counts for each value of a tap.
    counts: Vec<f32>,
}

impl<T: Zeroable + Copy> Stored<T> {
    fn of<N: Narrow<Value = T>>(filter: &N::Filter, slopes: &Slopes, out: Extent) -> Self {
        let (of_outputs, of_values) = filter.steps();
        let columns = slopes.columns;
        let panels = slopes.values.chunks_exact(slopes.places * columns).zip(of_outputs.chunks(columns));
        let sized = |(values, steps): (&[f32], &[f32])| {
            let places = values.chunks_exact(columns).map(|place| place.iter().zip(steps));
            places.flatten().fold(0.0_f32, |largest, (slope, step)| largest.max((slope * step).abs()))
        };
        let (step, zero) = filter.slope_code(panels.clone().map(sized).fold(0.0, f32::max));
        let mut values = Buffer::zeroed(out.length());
        for (panel, (from, steps)) in panels.enumerate() {
            let steps: Vec<f32> = steps.iter().map(|of_output| of_output / step).collect();
            for (from, to) in from.chunks_exact(columns).zip(values.values_mut().chunks_exact_mut(out.pitch)) {
                let to = to.get_mut(panel * columns..).unwrap_or_default();
                let each = to.iter_mut().zip(from.iter().zip(&steps));
                each.for_each(|(to, (slope, steps))| *to = N::value(slope * steps + zero));
            }
        }
        let mut nothing = Buffer::zeroed(out.channels.next_multiple_of(columns));
        debug_assert!(nothing.values().len() <= out.pitch);
        nothing.values_mut().fill(N::value(zero));
        let counts = of_values.iter().map(|of_value| of_value * step).collect();
        Self { values, nothing, counts }
    }
}

/// What a thread keeps from one panel to the next.
struct Turned<N: Narrow> {
    weights: Buffer<N::Weight>,
    sums: Vec<i32>,
}

impl<N: Narrow> Default for Turned<N> {
    fn default() -> Self {
        Self { weights: Buffer::zeroed(0), sums: Vec::new() }
    }
}

struct Job<'a, N: Narrow> {
    micro: &'a Micro<N>,
    filter: &'a N::Filter,
    stored: Stored<N::Value>,
    phases: Vec<(Vec<u32>, Phase)>,
    /// One a thread.
    turned: Vec<Mutex<Turned<N>>>,
}

impl<N: Narrow> Job<'_, N> {
    /// The slopes of one panel of inputs, `[places, columns]`.
    fn panel(&self, panel: usize, to: &mut [f32]) {
        let columns = self.micro.columns;
        let Some(turned) = self.turned.get(rayon::current_thread_index().unwrap_or(0)) else { return };
        let mut turned = turned.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = self.stored.counts.get(panel * columns..).unwrap_or_default();
        for (offsets, phase) in &self.phases {
            self.sum_up((phase, offsets), panel, &mut turned);
            // The sums of no place at all come last: what others have too much where nothing is stored as something.
            let Some((sums, nothing)) = turned.sums.split_at_checked(phase.places.len() * columns) else { continue };
            for (sums, place) in sums.chunks_exact(columns).zip(phase.order()) {
                let to = to.get_mut(place * columns..).unwrap_or_default();
                let each = to.iter_mut().zip(counts).zip(sums.iter().zip(nothing));
                each.for_each(|((to, count), (sum, nothing))| *to = N::beyond(*sum, *nothing) * count);
            }
        }
    }

    /// The sums of the places of a phase, and of no place, `[places + 1, columns]`.
    fn sum_up(&self, (phase, offsets): (&Phase, &[u32]), panel: usize, turned: &mut Turned<N>) {
        let Self { micro, filter, stored, .. } = self;
        let (columns, taps, places) = (micro.columns, phase.taps.len(), phase.places.len() + 1);
        let depth = stored.nothing.values().len();
        if turned.weights.values().len() < taps * depth * columns {
            turned.weights = Buffer::zeroed(taps * depth * columns);
        }
        let squares = turned.weights.values_mut().chunks_exact_mut((depth * columns).max(1));
        squares.zip(&phase.taps).for_each(|(to, tap)| filter.turn(*tap, panel, to));
        turned.sums.clear();
        turned.sums.resize(places * columns, 0);
        let count = tiles(places, micro.rows);
        for tile in 0..count {
            let rows = part_of(tile, count, places);
            let sums = turned.sums.get_mut(rows.start * columns..rows.end * columns).unwrap_or_default().as_mut_ptr();
            let weights = turned.weights.values().as_ptr();
            let tile = Tile {
                input: stored.values.values().as_ptr(),
                zeros: stored.nothing.values().as_ptr(),
                offsets: offsets.as_ptr().wrapping_add(tile * taps * micro.rows),
                taps,
                depth,
                filter: weights,
                ahead: weights.cast(),
                goal: Goal { ends: filter.ends(0, Finish::Keep), output: sums.cast(), pitch: columns },
                sums,
            };
            // SAFETY: the instructions are those of this processor. The offsets are those of so many tiles and taps, each of a place
            // of the values, which has `depth` of them; as many weights were turned over for each tap; the sums have a row of
            // `columns` for each of the places, which nobody else refers to, and the output is not written to where sums are wanted.
            unsafe { micro.run(rows.len(), &tile) }
        }
    }
}

/// For each tile of the places of a phase, and of no place behind them, for each tap, for each of `rows` places of a tile: where
/// among the values the tap leads.
fn offsets(phase: &Phase, out: Extent, rows: usize) -> Vec<u32> {
    let places = phase.places.len() + 1;
    let count = tiles(places, rows);
    let mut offsets = Vec::with_capacity(count * phase.taps.len() * rows);
    for (tile, tap) in (0..count).flat_map(|tile| phase.taps.iter().map(move |tap| (tile, *tap))) {
        let Range { start, end } = part_of(tile, count, places);
        let leads = |place: usize| phase.leads(tap, *phase.places.get(place).filter(|_| place < end)?);
        let offset = |place| leads(place).and_then(|place| u32::try_from(place * out.pitch).ok()).unwrap_or(OUTSIDE);
        offsets.extend((start..start + rows).map(offset));
    }
    offsets
}

#[cfg(test)]
mod tests {
    use super::super::super::backward;
    use super::super::super::bf16::{AsIs, Bf16};
    use super::super::super::filter::{Filter as Single, Raw};
    use super::super::super::geometry::Window;
    use super::super::super::int8::{Code, Coded, Int8, bounded_step};
    use super::super::super::slopes::Given;
    use super::super::super::tile::Micro as SingleMicro;
    use super::super::filter::Codes;
    use super::super::rig::unpacked;
    use super::*;

    fn random(seed: u64, count: usize) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..count).map(|_| random.f32() - 0.5).collect()
    }

    /// What comes of each instruction set, held against f32 with the weights as they count: how far it may be off, of the largest.
    fn held_against_f32<N: Narrow>(
        pack: impl Fn(&Raw, Reach, usize) -> N::Filter,
        number: fn(N::Weight) -> f32,
        near: f32,
    ) -> Vec<Vec<f32>> {
        let mut all = Vec::new();
        for (size, stride) in [(1, 1), (1, 2), (3, 1), (3, 2)] {
            for (inputs, outputs) in [(1, 1), (4, 33), (64, 16), (70, 300)] {
                for side in [(1, 1), (4, 7), (5, 6)] {
                    let window = Window { size, stride, padding: size / 2 };
                    let reach = Reach { window, walk: Walk::Places, inputs };
                    let weights = random(1, inputs * outputs * size * size);
                    let raw = Raw { weights, bias: vec![0.0; outputs] };
                    let (out, places) = (window.steps(side.0) * window.steps(side.1), side.0 * side.1);
                    let slopes = random(2, out * outputs);
                    let [beside, given] = [3, 4].map(|seed| random(seed, places * inputs));
                    let given = || Given { values: (&given).into(), apart: inputs };
                    for isa in Isa::available() {
                        let (micro, single) = (N::micro(isa), SingleMicro::of(Isa::Plain));
                        let filter = pack(&raw, reach, micro.columns);
                        let weights = unpacked(&filter, number);
                        let raw = Raw { weights, bias: vec![0.0; outputs] };
                        let exact = Single::pack(&raw, inputs, window, Walk::Places, single);
                        let of = |values: &[f32], places| {
                            [micro.columns, single.columns].map(|columns| Slopes::of(values, places, columns))
                        };
                        let ([slopes, exact_slopes], besides) = (of(&slopes, out), of(&beside, places));
                        let after =
                            besides.each_ref().map(|beside| After { beside: Some(beside), rectified: Some(given()) });
                        for [after, exact_after] in [[After::default(), After::default()], after] {
                            let found = back(micro, &filter, &slopes, side, &after).unwrap().by_place(inputs);
                            let wanted = backward::back(single, &exact, &exact_slopes, side, &exact_after)
                                .unwrap()
                                .by_place(inputs);
                            let largest = wanted.iter().fold(0.0_f32, |largest, slope| largest.max(slope.abs()));
                            let furthest =
                                found.iter().zip(&wanted).fold(0.0_f32, |far, (a, b)| far.max((a - b).abs()));
                            assert!(
                                found.len() == wanted.len() && furthest <= near * largest,
                                "{isa:?} {window:?} {inputs} {outputs} {side:?}: {furthest} of {largest}"
                            );
                            all.push(found);
                        }
                        let one_less = Slopes::of(&random(2, (out - 1) * outputs), out - 1, micro.columns);
                        assert!(back(micro, &filter, &one_less, side, &After::default()).is_none());
                    }
                }
            }
        }
        all
    }

    #[test]
    fn slopes_in_eight_bits_go_back_nearly_as_in_f32_and_by_all_instructions_alike() {
        let pack = |raw: &Raw, reach: Reach, columns: usize| {
            let code =
                |channels| Code { steps: (1..=channels).map(|channel| channel as f32 * 0.01).collect(), zero: 0 };
            let (input, output) = (code(reach.inputs), code(raw.bias.len()));
            let steps = reach.of_values(&input.steps);
            let each = raw.weights.chunks(raw.weights.len() / raw.bias.len());
            let step = |weights| bounded_step(reach.by_taps(weights, &mut Vec::new()), reach, &steps);
            let layer = Coded { steps: each.map(step).collect(), bias: raw.bias.clone() };
            Filter::pack(raw, &layer, reach, columns, Codes { input: &input, output: &output, added: None })
        };
        let all = held_against_f32::<Int8>(pack, f32::from, 0.05);
        // The same slopes twice of each instruction set, one set after the other.
        for each in all.chunks(2 * Isa::available().count()) {
            assert!(each.iter().skip(2).zip(each).all(|(one, other)| one == other));
        }
    }

    #[test]
    fn slopes_in_bf16_go_back_nearly_as_in_f32() {
        let codes = || Codes { input: &AsIs, output: &AsIs, added: None };
        held_against_f32::<Bf16>(
            |raw, reach, columns| Filter::pack(raw, &AsIs, reach, columns, codes()),
            Bf16::number,
            0.01,
        );
    }

    #[test]
    fn the_first_convolution_has_no_way_back() {
        let micro = Bf16::micro(Isa::Plain);
        let window = Window { size: 7, stride: 2, padding: 0 };
        let raw = Raw { weights: vec![0.1; 147], bias: vec![0.0] };
        let codes = Codes { input: &AsIs, output: &AsIs, added: None };
        let filter: <Bf16 as Narrow>::Filter =
            Filter::pack(&raw, &AsIs, Reach { window, walk: Walk::Rows, inputs: 3 }, micro.columns, codes);
        assert!(back(micro, &filter, &Slopes::of(&[1.0], 1, micro.columns), (7, 7), &After::default()).is_none());
    }
}
