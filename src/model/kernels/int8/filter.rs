//! The weights of one convolution in eight bits, in the order in which the micro-kernel reads them.
//!
//! Each output has a step; its weights are -127 to 127 steps. Where AVX2 multiplies, it sums up four products in sixteen
//! bits, and so the weights of one sign among such four are 128 steps together at most: 128 times 255 is the most that fits.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::super::buffer::Buffer;
use super::super::filter::Rows;
use super::super::geometry::Walk;
use super::super::narrow::Narrow;
use super::super::narrow::filter::{self, Codes, Panels, Reach};
use super::super::tile::Finish;
use super::lane::Ends;
use super::{Coded, Int8};

/// Inputs that a register multiplies at once for each column.
pub(super) const GROUP: usize = Int8::GROUP;

/// Inputs of two groups, which are summed up together.
pub(super) const PAIR: usize = Int8::PAIR;

/// The most steps that weights of one sign may have together where their products are summed up in sixteen bits.
const BOUND: i32 = 128;

/// The largest weight, in steps.
const LARGEST: f32 = 127.0;

/// How an activation is stored: `(octet - zero) * step`, with a step for each channel.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::model) struct Code {
    /// Above 0, finite.
    pub(in crate::model) steps: Vec<f32>,
    /// 0 where nothing is below zero.
    pub(in crate::model) zero: u8,
}

/// Packed weights, with a step for each output.
pub(in crate::model) struct Filter {
    weights: Panels<Int8>,
    steps: Vec<f32>,
    /// What a weight of one step counts for each value of a tap.
    per_value: Vec<f32>,
    /// See [`Panels::most_turned`]; only the way back asks.
    most_turned: OnceLock<i32>,
    scale: Buffer<f32>,
    shift: Buffer<f32>,
    added: Buffer<f32>,
}

impl Filter {
    /// One value a column of a panel.
    fn of_panel<'a>(&self, values: &'a Buffer<f32>, panel: usize) -> &'a [f32] {
        let columns = self.weights.columns;
        values.values().get(panel * columns..(panel + 1) * columns).unwrap_or_default()
    }

    /// What the sums of a panel are multiplied by, one value a column.
    pub(super) fn panel_scale(&self, panel: usize) -> &[f32] {
        self.of_panel(&self.scale, panel)
    }

    /// What is added to them then, one value a column.
    pub(super) fn panel_shift(&self, panel: usize) -> &[f32] {
        self.of_panel(&self.shift, panel)
    }

    /// The steps of what is added last, in steps of the output, one value a column.
    pub(super) fn panel_added(&self, panel: usize) -> &[f32] {
        self.of_panel(&self.added, panel)
    }
}

impl Panels<Int8> {
    /// The most steps that weights of one sign have together among four outputs whose products with slopes are summed up in sixteen bits.
    #[allow(clippy::indexing_slicing, reason = "constant bounds")]
    fn most_turned(&self) -> i32 {
        let each = |eight: &[[i8; GROUP]; PAIR]| {
            let of_input = |input: usize| fours(eight.map(|output| i32::from(output[input])));
            let of_sign = |four: [i32; 4]| [1, -1].map(|sign| together(four, sign));
            (0..GROUP).flat_map(of_input).flat_map(of_sign).fold(0, i32::max)
        };
        let eights =
            |panel: &[i8]| panel.as_chunks::<GROUP>().0.as_chunks::<PAIR>().0.iter().map(each).fold(0, i32::max);
        self.panels().map(eights).fold(0, i32::max)
    }
}

impl filter::Filter<Int8> for Filter {
    /// One octet of an input times a weight counts so many of the layer's steps, one an output; its bias takes the place
    /// of `raw`'s.
    fn pack(
        raw: &impl Rows,
        Coded { steps, bias }: &Coded,
        reach: Reach,
        columns: usize,
        codes: Codes<'_, Int8>,
    ) -> Self {
        let input_steps = reach.of_values(&codes.input.steps);
        let mut sums = vec![0; bias.len()];
        let weights = Panels::new(raw, (reach, bias.len()), columns, |output, from, to| {
            if let Some((sum, step)) = sums.get_mut(output).zip(steps.get(output)) {
                let kept = (reach.walk == Walk::Rows).then(|| kept(from, reach, &input_steps, *step));
                whole(kept.as_deref().unwrap_or(from), (&input_steps, *step), reach, to);
                if codes.input.zero > 0 {
                    *sum = to.iter().map(|octet| i32::from(*octet)).sum();
                }
            }
        });
        let [mut scale, mut shift, mut added] = [(); 3].map(|()| Buffer::zeroed(bias.len().next_multiple_of(columns)));
        let to = scale.values_mut().iter_mut().zip(shift.values_mut()).zip(added.values_mut());
        let from = codes.output.steps.iter().zip(steps).zip(bias.iter().zip(sums)).enumerate();
        for (((scale, shift), factor), (output, ((step, weight), (bias, sum)))) in to.zip(from) {
            *factor = codes.added.and_then(|added| added.steps.get(output)).map_or(0.0, |added| added / step);
            *scale = weight / step;
            let zero = codes.added.map_or(0.0, |added| f32::from(added.zero));
            // What the sums have too much where 0 is stored as something else.
            let zeros = (sum * i32::from(codes.input.zero)) as f32;
            *shift = bias / step + f32::from(codes.output.zero) - zero * *factor - zeros * *scale;
        }
        let per_value = input_steps.iter().map(|step| 1.0 / step).collect();
        Self { weights, steps: steps.clone(), per_value, most_turned: OnceLock::new(), scale, shift, added }
    }

    fn weights(&self) -> &Panels<Int8> {
        &self.weights
    }

    /// Negative sums become zero where the output's code has no room for them.
    fn ends(&self, panel: usize, finish: Finish<u8>) -> Ends {
        let added = match finish {
            Finish::AddAndRectify(added) => Some((added, self.panel_added(panel).as_ptr())),
            Finish::Keep | Finish::Rectify => None,
        };
        Ends { scale: self.panel_scale(panel).as_ptr(), shift: self.panel_shift(panel).as_ptr(), added }
    }

    fn turn(&self, tap: usize, panel: usize, to: &mut [i8]) {
        self.weights.turn::<GROUP>((tap, panel), to, turned);
    }

    fn steps(&self) -> (Cow<'_, [f32]>, Cow<'_, [f32]>) {
        (self.steps.as_slice().into(), self.per_value.as_slice().into())
    }

    /// As many steps as products of the weights, turned over, leave room for where four are summed up in sixteen bits.
    fn slope_code(&self, largest: f32) -> (f32, f32) {
        let most = *self.most_turned.get_or_init(|| self.weights.most_turned());
        let zero = (i32::from(i16::MAX) / most.max(BOUND) / 2) as f32;
        ((largest / zero).max(f32::MIN_POSITIVE), zero)
    }
}

/// The weights of one output, `[taps, values]`, in whole steps, `[taps, depth]`; larger ones than the bound allows are made
/// smaller.
fn whole(weights: &[f32], (input_steps, step): (&[f32], f32), reach: Reach, octets: &mut [i8]) {
    /// Added to a number, it leaves the nearest integer in the lowest bits.
    const INTEGERS: f32 = 12_582_912.0;
    let (steps, depth) = (1.0 / step, octets.len() / reach.taps());
    for (from, to) in weights.chunks(reach.values()).zip(octets.chunks_mut(depth)) {
        for ((to, weight), per) in to.iter_mut().zip(from).zip(input_steps) {
            *to = ((weight * per * steps).clamp(-LARGEST, LARGEST) + INTEGERS).to_bits() as i8;
        }
        to.as_chunks_mut().0.iter_mut().for_each(keep_bound);
    }
}

/// Rows become columns, by swapping octets, then pairs of them (Warren, Hacker's Delight, 7-3).
fn turned(square: [[i8; GROUP]; GROUP]) -> [[i8; GROUP]; GROUP] {
    let in_twos = |rows: [u8; 8]| {
        let rows = u64::from_le_bytes(rows);
        let swapped = (rows ^ rows >> 24) & 0xFF00_FF00;
        rows ^ swapped ^ swapped << 24
    };
    let [upper, lower] = bytemuck::cast::<_, [[u8; 8]; 2]>(square).map(in_twos);
    let swapped = (upper >> 16 ^ lower) & 0xFFFF_0000_FFFF;
    bytemuck::cast([upper ^ swapped << 16, lower ^ swapped].map(u64::to_le_bytes))
}

/// What two groups have, by fours whose products are summed up in sixteen bits.
fn fours<T>([a, b, c, d, e, f, g, h]: [T; PAIR]) -> [[T; 4]; 2] {
    [[a, b, e, f], [c, d, g, h]]
}

/// How many steps those of one sign have together.
fn together(four: [i32; 4], sign: i32) -> i32 {
    four.into_iter().map(|weight| (weight * sign).max(0)).sum()
}

/// Makes the largest of four weights of one sign smaller until they are together within [`BOUND`].
fn keep_bound(pair: &mut [i8; PAIR]) {
    for mut four in fours(pair.each_mut()) {
        // Nearly always.
        if four.iter().map(|weight| i32::from(weight.unsigned_abs())).sum::<i32>() <= BOUND {
            continue;
        }
        for sign in [1, -1] {
            while together(four.each_ref().map(|weight| i32::from(**weight)), sign) > BOUND {
                if let Some(largest) = four.iter_mut().max_by_key(|weight| i32::from(***weight) * sign) {
                    **largest -= sign as i8;
                }
            }
        }
    }
}

/// What the weights of one output, `[taps, values]`, count when they are whole steps: each is rounded by itself, or, where an
/// image is looked at row by row, whose channels and neighbours are alike, the next one gets what rounding takes from one,
/// there in one row and back in the next (Floyd and Steinberg 1976 did so with pictures).
pub(in crate::model) fn kept(weights: &[f32], reach: Reach, input_steps: &[f32], step: f32) -> Vec<f32> {
    let (values, mut left) = (reach.values(), 0.0);
    let mut kept = weights.to_vec();
    for (tap, row) in kept.chunks_mut(values.max(1)).enumerate() {
        for at in 0..values {
            let value = if tap % 2 == 0 { at } else { values - 1 - at };
            if let Some((weight, per)) = row.get_mut(value).zip(input_steps.get(value)) {
                let wanted = *weight * per / step + left;
                let whole = wanted.round_ties_even().clamp(-LARGEST, LARGEST);
                *weight = whole * step / per;
                if reach.walk == Walk::Rows {
                    left = wanted - whole;
                }
            }
        }
    }
    kept
}

/// The smallest step with which the weights of one output, `[taps, values]`, times the steps of the values, keep the bound.
pub(in crate::model) fn bounded_step(weights: &[f32], reach: Reach, input_steps: &[f32]) -> f32 {
    // Rounding makes each larger by a half at most, and what the one before has left by another half.
    let (largest, most) = match reach.walk {
        Walk::Places => (LARGEST, BOUND - 2),
        Walk::Rows => (LARGEST - 1.0, BOUND - 4),
    };
    let values = reach.values().max(1);
    let mut step = f32::MIN_POSITIVE;
    for (weights, steps) in weights.chunks(values).flat_map(|tap| tap.chunks(PAIR).zip(input_steps.chunks(PAIR))) {
        let mut pair = [0.0; PAIR];
        pair.iter_mut().zip(weights.iter().zip(steps)).for_each(|(value, (weight, per))| *value = weight * per);
        for four in fours(pair) {
            step = four.iter().fold(step, |step, weight| step.max(weight.abs() / largest));
            for sign in [1.0, -1.0] {
                let together: f32 = four.iter().map(|weight| (weight * sign).max(0.0)).sum();
                step = step.max(together / most as f32);
            }
        }
    }
    step
}

#[cfg(test)]
mod tests {
    use super::super::super::filter::Raw;
    use super::super::super::geometry::Window;
    use super::super::super::narrow::filter::Filter as _;
    use super::super::super::narrow::rig;
    use super::*;

    #[test]
    fn weights_keep_the_bound_and_come_back_within_half_a_step() {
        let mut random = fastrand::Rng::with_seed(1);
        for (reach, outputs) in rig::filters() {
            let Reach { window: Window { size, .. }, inputs, .. } = reach;
            let places = size * size;
            let weights: Vec<f32> = (0..inputs * outputs * places).map(|_| random.f32().powi(3) - 0.3).collect();
            let input = Code { steps: (0..inputs).map(|_| 0.5 + random.f32()).collect(), zero: 0 };
            let (each, value_steps) = (weights.chunks(inputs * places), reach.of_values(&input.steps));
            let step = |each| bounded_step(reach.by_taps(each, &mut Vec::new()), reach, &value_steps);
            let layer = Coded { steps: each.map(step).collect(), bias: vec![0.5; outputs] };
            let raw = Raw { weights, bias: vec![0.0; outputs] };
            let output = Code { steps: vec![1.0; outputs], zero: 0 };
            let codes = Codes { input: &input, output: &output, added: None };
            let filter = Filter::pack(&raw, &layer, reach, 16, codes);
            let back = rig::unpacked(&filter, f32::from);
            for ((found, wanted), step) in
                back.chunks(inputs * places).zip(raw.weights.chunks(inputs * places)).zip(&layer.steps)
            {
                let steps = if reach.walk == Walk::Rows { 1.001 } else { 0.501 };
                let near = |(a, b): (&f32, &f32)| (a - b).abs() <= step * steps / 0.5;
                assert!(found.iter().zip(wanted).all(near), "{inputs} {outputs} {size}: {found:?} for {wanted:?}");
            }
        }
    }

    #[test]
    fn what_an_image_loses_by_one_weight_it_gains_by_the_next() {
        let reach = Reach { window: Window { size: 7, stride: 2, padding: 0 }, walk: Walk::Rows, inputs: 3 };
        let mut random = fastrand::Rng::with_seed(3);
        let weights: Vec<f32> = (0..147).map(|_| random.f32() - 0.3).collect();
        let steps = vec![1.0; reach.values()];
        let step = bounded_step(&weights, reach, &steps);
        let kept = kept(&weights, reach, &steps, step);
        let lost: f32 = weights.iter().zip(&kept).map(|(weight, kept)| weight - kept).sum();
        assert!(lost.abs() <= step * 0.501, "{lost} of {step}");
        let rounded = weights.iter().map(|weight| weight - (weight / step).round() * step);
        assert!(rounded.sum::<f32>().abs() > step, "the same weights, each rounded by itself, lose more");
    }

    #[test]
    fn rows_become_columns() {
        let square = std::array::from_fn(|row| std::array::from_fn(|column| (row * 16 + column) as i8));
        assert_eq!(turned(square), std::array::from_fn(|row| square.map(|values| values[row])));
        assert_eq!(turned(turned(square)), square);
    }

    #[test]
    fn too_small_a_step_cuts_weights_and_never_breaks_the_bound() {
        for weights in [[1.0; PAIR], [-1.0; PAIR], [1.0, -1.0, 0.9, 0.1, 0.8, -0.2, 0.7, 0.6]] {
            let mut octets = [0; PAIR];
            let reach = Reach { window: Window { size: 1, stride: 1, padding: 0 }, walk: Walk::Places, inputs: PAIR };
            whole(&weights, (&[1.0; PAIR], 1.0 / 127.0), reach, &mut octets);
            for four in fours(octets) {
                for sign in [1, -1] {
                    let together: i32 = four.iter().map(|weight| (i32::from(*weight) * sign).max(0)).sum();
                    assert!(together <= BOUND, "{four:?}");
                }
            }
        }
    }
}
