//! Every kernel against a naive one, over odd shapes, with every instruction set of this processor.

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
use super::super::slots::{SLOTS, Slots, View};
use super::super::trust::view;
use super::filter::Filter;
use super::lane::{rounded, single};
use super::{AsIs, Bf16};

#[derive(Clone, Copy, Debug)]
struct Case {
    images: usize,
    side: (usize, usize),
    channels: (usize, usize),
    window: Window,
    ends: Ends,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    Keep,
    Rectify,
    Add,
}

struct Material {
    input: Vec<u16>,
    raw: Raw,
    added: Vec<u16>,
}

fn material(case: Case) -> Material {
    let Case { images, side: (rows, columns), channels: (inputs, outputs), window, .. } = case;
    let mut random = fastrand::Rng::with_seed((inputs * 7 + outputs) as u64);
    let mut values = |count: usize| (0..count).map(|_| random.f32() - 0.5).collect::<Vec<f32>>();
    let narrow = |values: Vec<f32>| values.into_iter().map(rounded).collect();
    let raw = Raw { weights: values(outputs * inputs * window.size * window.size), bias: values(outputs) };
    let input = narrow(values(images * rows * columns * inputs));
    let added = narrow(values(images * window.steps(rows) * window.steps(columns) * outputs));
    Material { input, raw, added }
}

/// `[images, rows, columns, outputs]` in f64, of weights as they are packed.
fn naive(case: Case, material: &Material) -> Vec<f64> {
    let Case { images, side: (rows, columns), channels: (inputs, outputs), window, ends } = case;
    let mut all = Vec::new();
    for image in 0..images {
        for place in 0..window.steps(rows) * window.steps(columns) {
            let (row, column) = (place / window.steps(columns), place % window.steps(columns));
            for output in 0..outputs {
                let mut sum = f64::from(material.raw.bias[output]);
                for tap in 0..window.size * window.size {
                    let y = (row * window.stride + tap / window.size).wrapping_sub(window.padding);
                    let x = (column * window.stride + tap % window.size).wrapping_sub(window.padding);
                    if y < rows && x < columns {
                        for channel in 0..inputs {
                            let value = material.input[((image * rows + y) * columns + x) * inputs + channel];
                            let weight = (output * inputs + channel) * window.size.pow(2) + tap;
                            let weight = single(rounded(material.raw.weights[weight]));
                            sum += f64::from(single(value)) * f64::from(weight);
                        }
                    }
                }
                if ends == Ends::Add {
                    sum += f64::from(single(material.added[all.len()]));
                }
                all.push(if ends == Ends::Keep { sum } else { sum.max(0.0) });
            }
        }
    }
    all
}

/// What lies between the places of an activation is no number.
fn slots(views: &[View]) -> Slots<u16> {
    rig::slots(views, 0x7FC0)
}

fn convolved(case: Case, isa: Isa, threads: usize) -> Vec<f32> {
    let (material, micro) = (material(case), Bf16::micro(isa));
    let codes = Codes { input: &AsIs, output: &AsIs, added: Some(&AsIs) };
    let reach = Reach { window: case.window, walk: Walk::Places, inputs: case.channels.0 };
    let filter = Filter::pack(&material.raw, &AsIs, reach, micro.columns, codes);
    let from = view(0, Extent::new::<u16>(case.images, case.side.0, case.side.1, case.channels.0));
    let to = view(1, filter.output_of(from.extent));
    let added = view(2, to.extent);
    let mut slots = slots(&[from, to, added]);
    // Inputs are read in whole pairs of groups: those that fill them up must be numbers, as a plan's are.
    let shared = slots.share();
    // SAFETY: nobody else uses these slots.
    unsafe { shared.part_mut(&from, 0, from.extent.length()) }.fill(rounded(3.0));
    slots.write(&from, &material.input);
    slots.write(&added, &material.added);
    let zeros = vec![0; case.channels.0.next_multiple_of(Bf16::PAIR)];
    let after = match case.ends {
        Ends::Keep => After::Keep,
        Ends::Rectify => After::Rectify,
        Ends::Add => After::AddAndRectify(added),
    };
    let step = Convolution::new((0, &filter), (from, to), after, &mut Offsets::default(), (micro, threads));
    let shared = slots.share();
    run(threads, step.tasks(), |task| {
        // SAFETY: the processor has the instructions, and the crew does each task once.
        unsafe { step.run(task, &filter, &shared, &zeros, micro) }
    });
    taken(&slots, &to).into_iter().map(single).collect()
}

fn cases() -> Vec<Case> {
    let window = |size, stride, padding| Window { size, stride, padding };
    let mut cases = Vec::new();
    for images in [1, 3] {
        for (side, channels) in
            [((1, 1), (1, 1)), ((5, 7), (3, 2)), ((9, 4), (17, 33)), ((7, 7), (70, 19)), ((13, 11), (5, 64))]
        {
            for window in [window(1, 1, 0), window(1, 2, 0), window(3, 1, 1), window(3, 2, 1), window(7, 2, 3)] {
                for ends in [Ends::Keep, Ends::Rectify, Ends::Add] {
                    cases.push(Case { images, side, channels, window, ends });
                }
            }
        }
    }
    for (channels, window) in
        [((300, 40), window(3, 1, 1)), ((2048, 70), window(1, 1, 0)), ((256, 16), window(3, 2, 1))]
    {
        cases.push(Case { images: 2, side: (6, 5), channels, window, ends: Ends::Add });
    }
    // Many tiles of many inputs: kernels that are given them in parts.
    cases.push(Case { images: 1, side: (30, 28), channels: (160, 34), window: window(3, 1, 1), ends: Ends::Add });
    cases.push(Case { images: 1, side: (40, 41), channels: (8, 48), window: window(1, 1, 0), ends: Ends::Rectify });
    cases
}

#[test]
fn convolutions_are_naive_ones_rounded() {
    for isa in Isa::available() {
        for case in cases() {
            let expected = naive(case, &material(case));
            for (found, wanted) in convolved(case, isa, 2).iter().zip(expected) {
                let off = (f64::from(*found) - wanted).abs();
                // Half a step of 8 bits, and what sums in f32 lose.
                assert!(off <= wanted.abs() / 256.0 + 1e-4, "{isa:?} {case:?}: {found} for {wanted}");
            }
        }
    }
}

#[test]
fn an_instruction_set_gives_the_same_bits_whatever_the_threads_and_the_batch() {
    let window = Window { size: 3, stride: 1, padding: 1 };
    let case = Case { images: 3, side: (19, 17), channels: (130, 40), window, ends: Ends::Rectify };
    for isa in Isa::available() {
        let all = convolved(case, isa, 3);
        assert_eq!(convolved(case, isa, 1), all, "{isa:?}");
        let first = convolved(Case { images: 1, ..case }, isa, 2);
        assert_eq!(first, all[..first.len()], "{isa:?}");
    }
}

#[test]
fn rounding_is_to_the_nearest_and_to_even_where_two_are_near() {
    for (value, wanted) in [
        (1.0, 1.0),
        (1.0 + 1.0 / 256.0, 1.0),
        (1.0 + 3.0 / 256.0, 1.015_625),
        (-1.0 - 1.01 / 256.0, -1.007_812_5),
        (0.0, 0.0),
        (f32::INFINITY, f32::INFINITY),
    ] {
        assert_eq!(single(rounded(value)), wanted, "{value}");
    }
}

#[test]
fn the_first_convolution_sees_the_padded_image() {
    let window = Window { size: 7, stride: 2, padding: 0 };
    let (rows, columns) = (9, 12);
    let image: Vec<f32> = (0..3 * rows * columns).map(|index| (index % 41) as f32 / 8.0 - 2.5).collect();
    let weights: Vec<f32> = (0..40 * 147).map(|index| (index % 29) as f32 / 64.0 - 0.2).collect();
    let raw = Raw { weights, bias: vec![0.25; 40] };
    let from = view(0, pooling::Interleave::output_of(rows, columns, 3));
    let room = View { extent: Extent { rows: from.extent.rows + 1, ..from.extent }, ..from };
    let stored = |row: usize, column: usize, colour: usize| {
        let (y, x) = (row.wrapping_sub(3), column.wrapping_sub(3));
        if y < rows && x < columns { single(rounded(image[(colour * rows + y) * columns + x])) } else { 0.0 }
    };
    for isa in Isa::available() {
        let micro = Bf16::micro(isa);
        let codes = Codes { input: &AsIs, output: &AsIs, added: None };
        let filter = Filter::pack(&raw, &AsIs, Reach { window, walk: Walk::Rows, inputs: 3 }, micro.columns, codes);
        let to = view(1, filter.output_of(from.extent));
        let mut slots = rig::slots(&[room, to], 0);
        let interleave = Interleave::<Bf16>::new(pooling::Interleave { image: 0, output: from, padding: 3 }, &AsIs);
        let step = Convolution::new((0, &filter), (from, to), After::Rectify, &mut Offsets::default(), (micro, 2));
        let shared = slots.share();
        // SAFETY: nobody else uses these slots; each task is done once.
        run(2, interleave.tasks(), |row| unsafe { interleave.run(row, &image, &shared) });
        // SAFETY: the processor has the instructions, and the crew does each task once.
        run(2, step.tasks(), |task| unsafe { step.run(task, &filter, &shared, &[0; 24], micro) });
        let back = rig::unpacked(&filter, single);
        let mut found = taken(&slots, &to).into_iter().map(single);
        for (row, column) in (0..to.extent.rows).flat_map(|y| (0..to.extent.columns).map(move |x| (y, x))) {
            for output in 0..40 {
                let products = back[output * 147..(output + 1) * 147].iter().enumerate().map(|(index, weight)| {
                    let (colour, tap) = (index / 49, index % 49);
                    weight * stored(2 * row + tap / 7, 2 * column + tap % 7, colour)
                });
                let wanted = (products.sum::<f32>() + 0.25).max(0.0);
                let found = found.next().unwrap();
                assert!((found - wanted).abs() <= wanted / 256.0 + 1e-4, "{isa:?}: {found} for {wanted}");
            }
        }
    }
}

#[test]
fn the_largest_neighbour_is_no_zero_below_zero() {
    let window = Window { size: 3, stride: 2, padding: 1 };
    let from = view(0, Extent::new::<u16>(2, 7, 6, 5));
    let largest = view(1, pooling::Maximum::output_of::<u16>(from.extent, window));
    let mean = view(0, pooling::Mean::output_of(largest.extent));
    let (mut singles, mut lengths) = (Slots::<f32>::default(), [0; SLOTS]);
    lengths[0] = mean.end();
    singles.grow(&lengths);
    let number = |index: usize| if index.is_multiple_of(3) { -0.0 } else { (index % 37) as f32 / 8.0 };
    let input: Vec<f32> = (0..from.extent.places() * 5).map(number).collect();
    let mut values = slots(&[from, largest]);
    values.write(&from, &input.iter().copied().map(rounded).collect::<Vec<_>>());
    let (singles_shared, values_shared) = (singles.share(), values.share());
    let maximum = Maximum::<Bf16>::new((from, largest), window);
    let average = Mean::<Bf16>::new((largest, mean), &AsIs);
    // SAFETY: the crew does each task once, and one step after the other.
    run(2, maximum.tasks(), |task| unsafe { maximum.run(task, &values_shared) });
    // SAFETY: as above.
    run(2, average.tasks(), |task| unsafe { average.run(task, &values_shared, &singles_shared) });
    let at = |image, row, column, channel| input[((image * 7 + row) * 6 + column) * 5 + channel];
    let mut sums = vec![0.0; 10];
    let mut found = taken(&values, &largest).into_iter().map(single);
    for image in 0..2 {
        for (row, column) in (0..4_usize).flat_map(|y| (0..3_usize).map(move |x| (y, x))) {
            for channel in 0..5 {
                let rows = (2 * row).saturating_sub(1)..(2 * row + 2).min(7);
                let columns = (2 * column).saturating_sub(1)..(2 * column + 2).min(6);
                let places = rows.flat_map(|y| columns.clone().map(move |x| at(image, y, x, channel)));
                let wanted = places.fold(0.0, f32::max);
                assert_eq!(found.next(), Some(wanted));
                sums[image * 5 + channel] += wanted;
            }
        }
    }
    for (found, wanted) in taken(&singles, &mean).iter().zip(sums) {
        assert!((found - wanted / 12.0).abs() < 1e-6, "{found} for {wanted}");
    }
}
