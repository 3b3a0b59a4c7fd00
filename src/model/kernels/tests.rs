//! Every kernel against a naive one, over odd shapes, with every instruction set of this processor.

use std::ops::Range;

use super::buffer::Buffer;
use super::convolution::{After, Convolution, output_of};
use super::crew::{Crew, Run};
use super::filter::{Filter, Raw, Rows};
use super::geometry::{Extent, Offsets, Walk, Window};
use super::isa::Isa;
use super::pooling::{Interleave, Maximum, Mean};
use super::slots::{Shared, Slots, View};
use super::tile::Micro;
use super::winograd::{self, Gather, Spread};

/// Values from -1 to 1 that repeat in no shape's period.
fn values(count: usize, seed: usize) -> Vec<f32> {
    let mut state = (seed as u32).wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Memory with one activation in a slot, from values `[images, rows, columns, channels]`; what lies between them is
/// no number, so that nobody can use it unnoticed.
fn put(slots: &mut Slots, view: &View, channels_last: &[f32]) {
    let shared = slots.share();
    let extent = view.extent;
    // SAFETY: nobody else uses these slots.
    let memory = unsafe { shared.part_mut(view, 0, extent.length()) };
    memory.fill(f32::NAN);
    for (place, from) in memory.chunks_exact_mut(extent.pitch).zip(channels_last.chunks_exact(extent.channels)) {
        place[..extent.channels].copy_from_slice(from);
    }
}

/// The values of an activation without what lies between them.
fn taken(slots: &Slots, view: &View) -> Vec<f32> {
    let places = slots.read(view).chunks_exact(view.extent.pitch);
    places.flat_map(|place| place[..view.extent.channels].to_vec()).collect()
}

fn view(slot: usize, extent: Extent) -> View {
    View { slot, start: 0, extent }
}

fn slots(views: &[View]) -> Slots {
    let mut slots = Slots::default();
    let mut lengths = [0; super::slots::SLOTS];
    views.iter().for_each(|view| lengths[view.slot] = view.end());
    slots.grow(&lengths);
    slots
}

fn run(threads: usize, tasks: usize, slots: &mut Slots, task: impl Fn(usize, &Shared<'_>) + Sync) {
    let shared = slots.share();
    Crew::new(threads).unwrap().run(&mut Run::new(vec![tasks], threads), 0..1, |_, number| task(number, &shared));
}

#[derive(Clone, Copy, Debug)]
struct Case {
    images: usize,
    side: (usize, usize),
    channels: (usize, usize),
    window: Window,
}

/// `[images, rows, columns, outputs]`, summed up in f64.
fn naive(case: Case, input: &[f32], raw: &Raw) -> Vec<f64> {
    let Case { images, side: (rows, columns), channels: (inputs, outputs), window } = case;
    let mut all = Vec::new();
    for image in 0..images {
        for place in 0..window.steps(rows) * window.steps(columns) {
            let (row, column) = (place / window.steps(columns), place % window.steps(columns));
            for output in 0..outputs {
                let mut sum = f64::from(raw.bias[output]);
                for tap in 0..window.size * window.size {
                    let (down, across) = (tap / window.size, tap % window.size);
                    let y = (row * window.stride + down).wrapping_sub(window.padding);
                    let x = (column * window.stride + across).wrapping_sub(window.padding);
                    if y < rows && x < columns {
                        for channel in 0..inputs {
                            let value = input[((image * rows + y) * columns + x) * inputs + channel];
                            let weight = raw.weights[(output * inputs + channel) * window.size * window.size + tap];
                            sum += f64::from(value) * f64::from(weight);
                        }
                    }
                }
                all.push(sum);
            }
        }
    }
    all
}

/// Input, weights, and what is added at the end.
fn material(case: Case) -> (Vec<f32>, Raw, Vec<f32>) {
    let Case { images, side: (rows, columns), channels: (inputs, outputs), window } = case;
    let input = values(images * rows * columns * inputs, 1);
    let raw = Raw { weights: values(outputs * inputs * window.size.pow(2), 2), bias: values(outputs, 3) };
    let added = values(images * window.steps(rows) * window.steps(columns) * outputs, 4);
    (input, raw, added)
}

/// Weights that are products of numbers of half precision and one factor an output.
pub(super) struct Scaled {
    unscaled: Raw,
    pub(super) scale: Vec<f32>,
    pub(super) product: Raw,
}

impl Scaled {
    /// From weights of which none is as much as 2; factors go on from this one.
    pub(super) fn of(raw: &Raw, factor: f32) -> Self {
        let each = raw.weights.len() / raw.bias.len();
        let unscaled: Vec<f32> = raw.weights.iter().map(|weight| (weight * 1024.0).round() / 1024.0).collect();
        let scale: Vec<f32> = (0..raw.bias.len()).map(|output| factor + 0.1 * output as f32).collect();
        let rows = unscaled.chunks(each).zip(&scale);
        let product = rows.flat_map(|(row, factor)| row.iter().map(move |weight| weight * factor)).collect();
        let raw = |weights| Raw { weights, bias: raw.bias.clone() };
        Self { unscaled: raw(unscaled), scale, product: raw(product) }
    }
}

impl Rows for Scaled {
    fn rows<'a>(&'a self, outputs: Range<usize>, room: &'a mut Vec<f32>) -> &'a [f32] {
        self.product.rows(outputs, room)
    }

    fn bias(&self) -> &[f32] {
        self.product.bias()
    }

    fn unscaled<'a>(&'a self, outputs: Range<usize>, room: &'a mut Vec<f32>) -> &'a [f32] {
        self.unscaled.rows(outputs, room)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Keep,
    Rectify,
    Add,
}

fn convolved(case: Case, isa: Isa, end: End, threads: usize) -> Vec<f32> {
    let (_, raw, _) = material(case);
    let filter = Filter::pack(&raw, case.channels.0, case.window, Walk::Places, Micro::of(isa));
    convolved_by(&filter, case, isa, end, threads)
}

fn convolved_by(filter: &Filter, case: Case, isa: Isa, end: End, threads: usize) -> Vec<f32> {
    let ((input, _, added), micro) = (material(case), Micro::of(isa));
    let from = view(0, Extent::new::<f32>(case.images, case.side.0, case.side.1, case.channels.0));
    let to = view(1, output_of(filter, from.extent));
    let other = view(2, to.extent);
    let mut slots = slots(&[from, to, other]);
    put(&mut slots, &from, &input);
    put(&mut slots, &other, &added);
    let after = match end {
        End::Keep => After::Keep,
        End::Rectify => After::Rectify,
        End::Add => After::AddAndRectify(other),
    };
    let zeros = Buffer::zeroed(case.channels.0);
    let step = Convolution::new((0, filter), (from, to), after, &mut Offsets::default(), (micro, threads));
    run(threads, step.tasks(), &mut slots, |task, shared| {
        // SAFETY: the processor has the instructions, and the crew does each task once.
        unsafe { step.run(task, filter, shared, zeros.values(), micro) }
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
                cases.push(Case { images, side, channels, window });
            }
        }
    }
    for (channels, window) in [((300, 40), window(3, 1, 1)), ((600, 70), window(1, 1, 0)), ((256, 16), window(3, 2, 1))]
    {
        cases.push(Case { images: 2, side: (6, 5), channels, window });
    }
    cases.push(Case { images: 1, side: (40, 41), channels: (8, 48), window: window(1, 1, 0) });
    cases
}

#[test]
fn convolutions_equal_naive_ones() {
    for isa in Isa::available() {
        for case in cases() {
            let (input, raw, added) = material(case);
            let expected = naive(case, &input, &raw);
            let scale = ((case.channels.0 * case.window.size.pow(2)) as f64).sqrt();
            for end in [End::Keep, End::Rectify, End::Add] {
                let found = convolved(case, isa, end, 1);
                assert_eq!(found.len(), expected.len(), "{case:?}");
                for ((found, sum), added) in found.iter().zip(&expected).zip(&added) {
                    let wanted = match end {
                        End::Keep => *sum,
                        End::Rectify => sum.max(0.0),
                        End::Add => (sum + f64::from(*added)).max(0.0),
                    };
                    let difference = (f64::from(*found) - wanted).abs();
                    assert!(difference <= 4e-6 * scale, "{isa:?} {case:?} {end:?}: {found} for {wanted}");
                }
            }
        }
    }
}

/// The same by Winograd's matrices, with negative values made zero.
fn by_matrices(case: Case, isa: Isa, threads: usize) -> Vec<f32> {
    let (input, raw, _) = material(case);
    let micro = Micro::of(isa);
    let filter = Filter::without_weights(&raw.bias, case.channels.0, case.window, micro.columns);
    let filters = winograd::spread_weights(&raw, case.channels.0, micro);
    let from = view(0, Extent::new::<f32>(case.images, case.side.0, case.side.1, case.channels.0));
    let to = view(1, output_of(&filter, from.extent));
    let (spread, products) = (winograd::matrices(2, from.extent), winograd::matrices(3, to.extent));
    let mut slots = slots(&[from, to, spread, products]);
    put(&mut slots, &from, &input);
    let zeros = Buffer::zeroed(from.extent.pitch);
    let step = Spread { input: from, output: spread };
    run(threads, step.tasks(), &mut slots, |task, shared| {
        // SAFETY: the processor has the instructions, and the crew does each task once.
        unsafe { step.run(task, shared, zeros.values(), micro) }
    });
    for (value, filter) in filters.iter().enumerate() {
        let views = (spread.image(value), products.image(value));
        let step = Convolution::new((0, filter), views, After::Keep, &mut Offsets::default(), (micro, threads));
        run(threads, step.tasks(), &mut slots, |task, shared| {
            // SAFETY: the processor has the instructions, and the crew does each task once.
            unsafe { step.run(task, filter, shared, zeros.values(), micro) }
        });
    }
    let step = Gather { filter: 0, input: products, output: to };
    run(threads, step.tasks(), &mut slots, |task, shared| {
        // SAFETY: the processor has the instructions, and the crew does each task once.
        unsafe { step.run(task, shared, &filter, micro) }
    });
    taken(&slots, &to)
}

#[test]
fn convolutions_by_matrices_equal_naive_ones() {
    for isa in Isa::available() {
        for case in cases().into_iter().filter(|case| case.window == winograd::WINDOW) {
            let (input, raw, _) = material(case);
            let scale = ((case.channels.0 * 9) as f64).sqrt();
            let found = by_matrices(case, isa, 2);
            let expected = naive(case, &input, &raw);
            assert_eq!(found.len(), expected.len(), "{case:?}");
            for (found, sum) in found.iter().zip(expected) {
                let difference = (f64::from(*found) - sum.max(0.0)).abs();
                assert!(difference <= 4e-6 * scale, "{isa:?} {case:?}: {found} for {sum}");
            }
            assert_eq!(found, by_matrices(case, isa, 1));
        }
    }
}

#[test]
fn weights_of_half_precision_change_no_bit() {
    let window = |size, stride| Window { size, stride, padding: size / 2 };
    for (side, channels, window) in
        [((9, 7), (300, 40), window(1, 1)), ((8, 5), (64, 33), window(3, 2)), ((13, 13), (40, 70), window(3, 1))]
    {
        let case = Case { images: 2, side, channels, window };
        let scaled = Scaled::of(&material(case).1, 0.3);
        for isa in Isa::available() {
            let micro = Micro::of(isa);
            let wide = Filter::pack(&scaled.product, channels.0, window, Walk::Places, micro);
            let narrow = Filter::pack_halves((&scaled, &scaled.scale), channels.0, window, micro);
            let wanted = convolved_by(&wide, case, isa, End::Add, 2);
            assert_eq!(convolved_by(&narrow, case, isa, End::Add, 2), wanted, "{isa:?} {case:?}");
        }
    }
}

#[test]
fn the_number_of_threads_and_the_batch_change_no_bit() {
    let window = Window { size: 3, stride: 1, padding: 1 };
    let case = Case { images: 3, side: (19, 17), channels: (130, 40), window };
    for isa in Isa::available() {
        let alone = convolved(case, isa, End::Add, 1);
        assert_eq!(alone, convolved(case, isa, End::Add, 3));
        let first = convolved(Case { images: 1, ..case }, isa, End::Rectify, 2);
        assert_eq!(first, convolved(case, isa, End::Rectify, 2)[..first.len()]);
    }
}

#[test]
fn the_first_convolution_walks_by_rows_over_an_interleaved_image() {
    for isa in Isa::available() {
        for (side, outputs) in [((9, 12), 64), ((1, 1), 5), ((20, 7), 17)] {
            let window = Window { size: 7, stride: 2, padding: 3 };
            let case = Case { images: 1, side, channels: (3, outputs), window };
            let (input, raw, _) = material(case);
            let planes: Vec<f32> = (0..3).flat_map(|colour| input.iter().skip(colour).step_by(3).copied()).collect();
            let micro = Micro::of(isa);
            let filter = Filter::pack(&raw, 3, Window { padding: 0, ..window }, Walk::Rows, micro);
            let from = view(0, Interleave::output_of(side.0, side.1, window.padding));
            let to = view(1, output_of(&filter, from.extent));
            let mut slots = slots(&[from, to]);
            let interleave = Interleave { image: 0, output: from, padding: window.padding };
            run(2, interleave.tasks(), &mut slots, |task, shared| {
                // SAFETY: the crew does each task once.
                unsafe { interleave.run(task, &planes, shared) }
            });
            let step = Convolution::new((0, &filter), (from, to), After::Keep, &mut Offsets::default(), (micro, 2));
            run(2, step.tasks(), &mut slots, |task, shared| {
                // SAFETY: the processor has the instructions, and the crew does each task once.
                unsafe { step.run(task, &filter, shared, &[0.0; 21], micro) }
            });
            for (found, wanted) in taken(&slots, &to).iter().zip(naive(case, &input, &raw)) {
                assert!((f64::from(*found) - wanted).abs() < 2e-5, "{isa:?} {side:?}: {found} for {wanted}");
            }
        }
    }
}

#[test]
fn pooling_takes_the_largest_neighbour_and_the_mean_of_all() {
    for micro in Isa::available().map(Micro::of) {
        for case in [(1, (1, 1), 1), (2, (7, 6), 5), (3, (8, 9), 64)] {
            pooling_of(micro, case);
        }
    }
}

fn pooling_of(micro: &Micro, (images, side, channels): (usize, (usize, usize), usize)) {
    let window = Window { size: 3, stride: 2, padding: 1 };
    let from = view(0, Extent::new::<f32>(images, side.0, side.1, channels));
    let (largest, mean) =
        (view(1, Maximum::output_of::<f32>(from.extent, window)), view(2, Mean::output_of(from.extent)));
    let input = values(from.extent.places() * channels, 5);
    let mut slots = slots(&[from, largest, mean]);
    put(&mut slots, &from, &input);
    let maximum = Maximum { input: from, output: largest, window };
    run(2, maximum.tasks(), &mut slots, |task, shared| {
        // SAFETY: the instructions are this processor's; the crew does each task once.
        unsafe { maximum.run(task, shared, micro) }
    });
    let average = Mean { input: from, output: mean };
    run(2, average.tasks(), &mut slots, |task, shared| {
        // SAFETY: the crew does each task once.
        unsafe { average.run(task, shared) }
    });
    let at = |image, row, column, channel| input[((image * side.0 + row) * side.1 + column) * channels + channel];
    let (mut wanted, mut means) = (Vec::new(), Vec::new());
    for image in 0..images {
        for (row, column) in (0..window.steps(side.0)).flat_map(|y| (0..window.steps(side.1)).map(move |x| (y, x))) {
            for channel in 0..channels {
                let rows = (2 * row).saturating_sub(1)..(2 * row + 2).min(side.0);
                let columns = (2 * column).saturating_sub(1)..(2 * column + 2).min(side.1);
                let places = rows.flat_map(|y| columns.clone().map(move |x| at(image, y, x, channel)));
                wanted.push(places.fold(f32::NEG_INFINITY, f32::max));
            }
        }
        for channel in 0..channels {
            let places = (0..side.0).flat_map(|y| (0..side.1).map(move |x| at(image, y, x, channel)));
            means.push(places.map(f64::from).sum::<f64>() / (side.0 * side.1) as f64);
        }
    }
    assert_eq!(taken(&slots, &largest), wanted);
    for (found, wanted) in taken(&slots, &mean).iter().zip(means) {
        assert!((f64::from(*found) - wanted).abs() < 1e-6, "{found} for {wanted}");
    }
}
