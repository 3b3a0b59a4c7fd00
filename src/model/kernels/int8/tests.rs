//! Every kernel against a naive one, over odd shapes, with every instruction set of this processor: to the bit.

use super::super::convolution::After;
use super::super::filter::Raw;
use super::super::geometry::{Extent, Offsets, Walk, Window};
use super::super::isa::Isa;
use super::super::narrow::Narrow;
use super::super::narrow::convolution::Convolution;
use super::super::narrow::filter::{Codes, Filter as _, Reach};
use super::super::narrow::pooling::{Interleave, Maximum, Mean};
use super::super::narrow::rig::{self, run, taken};
use super::super::pooling;
use super::super::slots::{SLOTS, Shared, Slots, View};
use super::super::trust::view;
use super::filter::{Code, Filter, PAIR, bounded_step};
use super::{Coded, Int8};

#[derive(Clone, Copy, Debug)]
struct Case {
    images: usize,
    side: (usize, usize),
    channels: (usize, usize),
    window: Window,
    added: bool,
}

struct Material {
    input: Vec<u8>,
    raw: Raw,
    layer: Coded,
    added: Vec<u8>,
    codes: [Code; 3],
}

fn material(case: Case) -> Material {
    let Case { images, side: (rows, columns), channels: (inputs, outputs), window, .. } = case;
    let mut random = fastrand::Rng::with_seed((inputs * 7 + outputs) as u64);
    let octets = |random: &mut fastrand::Rng, count: usize| (0..count).map(|_| random.u8(..)).collect();
    let places = window.size * window.size;
    let weights: Vec<f32> = (0..outputs * inputs * places).map(|_| random.f32() - 0.5).collect();
    let code = |channels: usize, step: f32, zero| Code {
        steps: (0..channels).map(|channel| step * (1.0 + channel as f32 / 64.0)).collect(),
        zero,
    };
    let step = ((inputs * places) as f32).sqrt() * 0.01;
    let codes = [code(inputs, 0.02, 0), code(outputs, step, 77), code(outputs, step * 0.7, 128)];
    let reach = Reach { window, walk: Walk::Places, inputs };
    let step = |each| bounded_step(reach.by_taps(each, &mut Vec::new()), reach, &codes[0].steps);
    let steps = weights.chunks(inputs * places).map(step).collect();
    let layer = Coded { steps, bias: (0..outputs).map(|_| random.f32() - 0.5).collect() };
    let raw = Raw { weights, bias: vec![0.0; outputs] };
    let length = images * window.steps(rows) * window.steps(columns) * outputs;
    let (input, added) = (octets(&mut random, images * rows * columns * inputs), octets(&mut random, length));
    Material { input, raw, layer, added, codes }
}

/// `[images, rows, columns, outputs]`: exact sums of the weights as they are packed, and their way to octets.
fn naive(case: Case, material: &Material, filter: &Filter) -> Vec<u8> {
    let Case { images, side: (rows, columns), channels: (inputs, outputs), window, added } = case;
    let weights = rig::unpacked(filter, f32::from);
    let whole = |output: usize, index: usize| {
        let per = material.codes[0].steps[index / window.size.pow(2)] / material.layer.steps[output];
        (weights[output * inputs * window.size.pow(2) + index] * per).round() as i32
    };
    let mut all = Vec::new();
    for image in 0..images {
        for place in 0..window.steps(rows) * window.steps(columns) {
            let (row, column) = (place / window.steps(columns), place % window.steps(columns));
            for output in 0..outputs {
                let mut sum = 0;
                for tap in 0..window.size * window.size {
                    let y = (row * window.stride + tap / window.size).wrapping_sub(window.padding);
                    let x = (column * window.stride + tap % window.size).wrapping_sub(window.padding);
                    if y < rows && x < columns {
                        for channel in 0..inputs {
                            let value = material.input[((image * rows + y) * columns + x) * inputs + channel];
                            sum += i32::from(value) * whole(output, channel * window.size.pow(2) + tap);
                        }
                    }
                }
                let panel = output / filter.panel_scale(0).len();
                let column = output % filter.panel_scale(0).len();
                let mut value = sum as f32 * filter.panel_scale(panel)[column] + filter.panel_shift(panel)[column];
                if added {
                    value += f32::from(material.added[all.len()]) * filter.panel_added(panel)[column];
                }
                all.push(value.round_ties_even().clamp(0.0, 255.0) as u8);
            }
        }
    }
    all
}

/// Octets between the places of an activation are 255.
fn slots(views: &[View]) -> Slots<u8> {
    rig::slots(views, 255)
}

fn packed(case: Case, material: &Material, isa: Isa) -> Filter {
    let [input, output, added] = &material.codes;
    let codes = Codes { input, output, added: case.added.then_some(added) };
    let reach = Reach { window: case.window, walk: Walk::Places, inputs: case.channels.0 };
    Filter::pack(&material.raw, &material.layer, reach, Int8::micro(isa).columns, codes)
}

fn convolved(case: Case, isa: Isa, threads: usize) -> Vec<u8> {
    let (material, micro) = (material(case), Int8::micro(isa));
    let filter = packed(case, &material, isa);
    let from = view(0, Extent::new::<u8>(case.images, case.side.0, case.side.1, case.channels.0));
    let to = view(1, filter.output_of(from.extent));
    let added = view(2, to.extent);
    let mut slots = slots(&[from, to, added]);
    slots.write(&from, &material.input);
    slots.write(&added, &material.added);
    let zeros = vec![0; case.channels.0.next_multiple_of(PAIR)];
    let after = if case.added { After::AddAndRectify(added) } else { After::Keep };
    let step = Convolution::new((0, &filter), (from, to), after, &mut Offsets::default(), (micro, threads));
    let shared = slots.share();
    run(threads, step.tasks(), |task| {
        // SAFETY: the processor has the instructions, and the crew does each task once.
        unsafe { step.run(task, &filter, &shared, &zeros, micro) }
    });
    taken(&slots, &to)
}

fn cases() -> Vec<Case> {
    let window = |size, stride, padding| Window { size, stride, padding };
    let mut cases = Vec::new();
    for images in [1, 3] {
        for (side, channels) in
            [((1, 1), (1, 1)), ((5, 7), (3, 2)), ((9, 4), (17, 33)), ((7, 7), (70, 19)), ((13, 11), (5, 64))]
        {
            for window in [window(1, 1, 0), window(1, 2, 0), window(3, 1, 1), window(3, 2, 1), window(7, 2, 3)] {
                for added in [false, true] {
                    cases.push(Case { images, side, channels, window, added });
                }
            }
        }
    }
    for (channels, window) in
        [((300, 40), window(3, 1, 1)), ((2048, 70), window(1, 1, 0)), ((256, 16), window(3, 2, 1))]
    {
        cases.push(Case { images: 2, side: (6, 5), channels, window, added: true });
    }
    // Many tiles of many inputs: kernels that are given them in parts.
    cases.push(Case { images: 1, side: (30, 28), channels: (160, 34), window: window(3, 1, 1), added: true });
    cases.push(Case { images: 1, side: (40, 41), channels: (8, 48), window: window(1, 1, 0), added: false });
    cases
}

#[test]
fn convolutions_equal_naive_ones() {
    for isa in Isa::available() {
        for case in cases() {
            let material = material(case);
            let expected = naive(case, &material, &packed(case, &material, isa));
            assert_eq!(convolved(case, isa, 2), expected, "{isa:?} {case:?}");
        }
    }
}

#[test]
fn the_largest_inputs_and_weights_overflow_nowhere() {
    let window = Window { size: 1, stride: 1, padding: 0 };
    let case = Case { images: 1, side: (1, 7), channels: (64, 33), window, added: false };
    for isa in Isa::available() {
        for sign in [1.0, -1.0] {
            let micro = Int8::micro(isa);
            let raw = Raw { weights: vec![sign; 64 * 33], bias: vec![0.0; 33] };
            let input = Code { steps: vec![1.0; 64], zero: 0 };
            let output = Code { steps: vec![64.0 * 255.0 / 100.0; 33], zero: 128 };
            let reach = Reach { window, walk: Walk::Places, inputs: 64 };
            let steps: Vec<f32> = raw.weights.chunks(64).map(|each| bounded_step(each, reach, &input.steps)).collect();
            let codes = Codes { input: &input, output: &output, added: None };
            let layer = Coded { steps, bias: vec![0.0; 33] };
            let filter = Filter::pack(&raw, &layer, reach, micro.columns, codes);
            let from = view(0, Extent::new::<u8>(1, 1, 7, 64));
            let to = view(1, filter.output_of(from.extent));
            let mut slots = slots(&[from, to]);
            let step = Convolution::new((0, &filter), (from, to), After::Keep, &mut Offsets::default(), (micro, 1));
            let shared = slots.share();
            // SAFETY: nobody else uses these slots.
            unsafe { shared.part_mut(&from, 0, from.extent.length()) }.fill(255);
            run(1, step.tasks(), |task| {
                // SAFETY: the processor has the instructions, and the crew does each task once.
                unsafe { step.run(task, &filter, &shared, &[0; 64], micro) }
            });
            let wanted = (128.0 + sign * 100.0) as i32;
            for found in taken(&slots, &to) {
                assert!((i32::from(found) - wanted).abs() <= 2, "{isa:?} {case:?}: {found} for {wanted}");
            }
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_octets_whatever_the_threads_and_the_batch() {
    let window = Window { size: 3, stride: 1, padding: 1 };
    let case = Case { images: 3, side: (19, 17), channels: (130, 40), window, added: true };
    let plain = convolved(case, Isa::Plain, 1);
    for isa in Isa::available() {
        assert_eq!(convolved(case, isa, 3), plain, "{isa:?}");
        let one = Case { images: 1, added: false, ..case };
        let (first, all) = (convolved(one, isa, 2), convolved(Case { added: false, ..case }, isa, 2));
        assert_eq!(first, all[..first.len()]);
    }
}

/// An image of `side`, stored and padded, and what a window of seven by seven, two apart, makes of it.
#[test]
fn the_first_convolution_sees_the_padded_image_to_the_bit() {
    let window = Window { size: 7, stride: 2, padding: 0 };
    for side in [(1, 1), (9, 12), (31, 30)] {
        let mut random = fastrand::Rng::with_seed(9);
        let image: Vec<f32> = (0..3 * side.0 * side.1).map(|_| random.f32() * 4.0 - 2.0).collect();
        let (input, output) =
            (Code { steps: vec![0.0155, 0.016, 0.018], zero: 116 }, Code { steps: vec![0.1; 40], zero: 0 });
        let weights: Vec<f32> = (0..40 * 147).map(|_| random.f32() - 0.5).collect();
        let raw = Raw { weights, bias: vec![0.0; 40] };
        let reach = Reach { window, walk: Walk::Rows, inputs: 3 };
        let value_steps = reach.of_values(&input.steps);
        let step = |each| bounded_step(reach.by_taps(each, &mut Vec::new()), reach, &value_steps);
        let steps = raw.weights.chunks(147).map(step).collect();
        let layer = Coded { steps, bias: (0..40).map(|_| random.f32()).collect() };
        let codes = || Codes { input: &input, output: &output, added: None };
        let from = view(0, pooling::Interleave::output_of(side.0, side.1, 3));
        let room = View { extent: Extent { rows: from.extent.rows + 1, ..from.extent }, ..from };
        let stored = |row: usize, column: usize, colour: usize| {
            let (y, x) = (row.wrapping_sub(3), column.wrapping_sub(3));
            let inside = y < side.0 && x < side.1;
            let value = if inside { image[(colour * side.0 + y) * side.1 + x] } else { 0.0 };
            (value * (1.0 / input.steps[colour]) + 116.0).round_ties_even().clamp(0.0, 255.0) as i32
        };
        for isa in Isa::available() {
            let micro = Int8::micro(isa);
            let filter = Filter::pack(&raw, &layer, reach, micro.columns, codes());
            let to = view(1, filter.output_of(from.extent));
            let mut slots = slots(&[room, to]);
            let interleave =
                Interleave::<Int8>::new(pooling::Interleave { image: 0, output: from, padding: 3 }, &input);
            let step = Convolution::new((0, &filter), (from, to), After::Rectify, &mut Offsets::default(), (micro, 2));
            let shared = slots.share();
            // SAFETY: nobody else uses these slots; each task is done once.
            run(2, interleave.tasks(), |row| unsafe { interleave.run(row, &image, &shared) });
            // SAFETY: the processor has the instructions, and the crew does each task once.
            run(2, step.tasks(), |task| unsafe { step.run(task, &filter, &shared, &[0; 24], micro) });
            let back = rig::unpacked(&filter, f32::from);
            let mut found = taken(&slots, &to).into_iter();
            for (row, column) in (0..to.extent.rows).flat_map(|y| (0..to.extent.columns).map(move |x| (y, x))) {
                for output in 0..40 {
                    let mut sum = 0.0;
                    for (index, weight) in back[output * 147..(output + 1) * 147].iter().enumerate() {
                        let (colour, tap) = (index / 49, index % 49);
                        let value = stored(2 * row + tap / 7, 2 * column + tap % 7, colour) - 116;
                        sum += f64::from(value) * f64::from(input.steps[colour]) * f64::from(*weight);
                    }
                    let wanted = ((sum + f64::from(layer.bias[output])) / 0.1).clamp(0.0, 255.0);
                    let found = f64::from(found.next().unwrap());
                    assert!(
                        (found - wanted).abs() < 0.501,
                        "{isa:?} {side:?} {row} {column} {output}: {found} for {wanted}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_largest_neighbour_and_the_mean_are_those_of_the_octets() {
    let window = Window { size: 3, stride: 2, padding: 1 };
    for (images, side, channels) in [(1, (1, 1), 1), (2, (7, 6), 5), (3, (8, 9), 64)] {
        let from = view(0, Extent::new::<u8>(images, side.0, side.1, channels));
        let largest = view(1, pooling::Maximum::output_of::<u8>(from.extent, window));
        let mean = view(0, pooling::Mean::output_of(largest.extent));
        let mut random = fastrand::Rng::with_seed(5);
        let input: Vec<u8> = (0..from.extent.places() * channels).map(|_| random.u8(..)).collect();
        let mut octets = slots(&[from, largest]);
        octets.write(&from, &input);
        let (mut singles, mut lengths) = (Slots::<f32>::default(), [0; SLOTS]);
        lengths[0] = mean.end();
        singles.grow(&lengths);
        let code = Code { steps: vec![0.8 / 255.0; channels], zero: 0 };
        let (singles_shared, octets_shared): (Shared<'_>, Shared<'_, u8>) = (singles.share(), octets.share());
        let maximum = Maximum::<Int8>::new((from, largest), window);
        // SAFETY: the crew does each task once.
        run(2, maximum.tasks(), |task| unsafe { maximum.run(task, &octets_shared) });
        let average = Mean::<Int8>::new((largest, mean), &code);
        // SAFETY: the crew does each task once.
        run(2, average.tasks(), |task| unsafe { average.run(task, &octets_shared, &singles_shared) });
        let at = |image, row, column, channel| input[((image * side.0 + row) * side.1 + column) * channels + channel];
        let (mut wanted, mut sums) = (Vec::new(), vec![0.0; images * channels]);
        for image in 0..images {
            for (row, column) in (0..window.steps(side.0)).flat_map(|y| (0..window.steps(side.1)).map(move |x| (y, x)))
            {
                for channel in 0..channels {
                    let rows = (2 * row).saturating_sub(1)..(2 * row + 2).min(side.0);
                    let columns = (2 * column).saturating_sub(1)..(2 * column + 2).min(side.1);
                    let octet =
                        rows.flat_map(|y| columns.clone().map(move |x| at(image, y, x, channel))).max().unwrap();
                    sums[image * channels + channel] += f64::from(octet) * f64::from(code.steps[channel]);
                    wanted.push(octet);
                }
            }
        }
        assert_eq!(taken(&octets, &largest), wanted);
        let places = (window.steps(side.0) * window.steps(side.1)) as f64;
        for (found, wanted) in taken(&singles, &mean).iter().zip(sums) {
            assert!((f64::from(*found) - wanted / places).abs() < 1e-6, "{found} for {wanted}");
        }
    }
}
