//! What the network does in narrow numbers besides convolutions: the image into NHWC, the largest of neighbours, and the mean.

use std::marker::PhantomData;
use std::ops::Range;

use bytemuck::Zeroable;

use super::super::geometry::Window;
use super::super::pooling::{self, COLOURS, within};
use super::super::slots::{Shared, View};
use super::Narrow;

/// Channels that are done at once, whole registers of them.
const AT_ONCE: usize = 64;

/// One image `[3, rows, columns]` into a padded image in narrow numbers, whose channels follow each other without a gap.
pub(in super::super) struct Interleave<N> {
    single: pooling::Interleave,
    /// What the numbers of each channel are multiplied by, one over its step.
    scales: [f32; COLOURS],
    /// What is added then.
    zero: f32,
    numbers: PhantomData<N>,
}

impl<N: Narrow> Interleave<N> {
    /// The same as in f32, in `code`.
    pub(in super::super) fn new(single: pooling::Interleave, code: &N::Code) -> Self {
        let steps = N::steps(code, COLOURS);
        let scales = std::array::from_fn(|colour| 1.0 / steps.get(colour).copied().unwrap_or(1.0));
        Self { single, scales, zero: N::zero(code), numbers: PhantomData }
    }

    /// One task a row of the output.
    pub(in super::super) fn tasks(&self) -> usize {
        self.single.tasks()
    }

    /// Does one task; `images` are those of the run, `[n, 3, rows, columns]`.
    ///
    /// # Safety
    /// Nobody else uses the output's row.
    pub(in super::super) unsafe fn run(&self, row: usize, images: &[f32], memory: &Shared<'_, N::Value>) {
        let pooling::Interleave { output, padding, .. } = self.single;
        let width = output.extent.columns * COLOURS;
        // SAFETY: the caller keeps everybody else away from this row.
        let to = unsafe { memory.part_mut(&output, row * width, width) };
        to.fill(N::value(self.zero));
        let colours = self.single.colours(row, images).into_iter().flatten().zip(self.scales);
        for (colour, (from, scale)) in colours.enumerate() {
            let mut to = to.iter_mut().skip(padding * COLOURS + colour).step_by(COLOURS);
            // In whole registers first, then apart.
            let mut values = [N::value(0.0); AT_ONCE];
            for from in from.chunks(AT_ONCE) {
                values.iter_mut().zip(from).for_each(|(value, from)| *value = N::value(from * scale + self.zero));
                to.by_ref().zip(values.iter().take(from.len())).for_each(|(to, value)| *to = *value);
            }
        }
    }
}

/// The largest value of each channel within a window, of values that are not below zero; padding counts for nothing.
pub(in super::super) struct Maximum<N> {
    input: View,
    output: View,
    window: Window,
    numbers: PhantomData<N>,
}

impl<N: Narrow> Maximum<N> {
    /// Of values whose zero is 0.
    pub(in super::super) fn new((input, output): (View, View), window: Window) -> Self {
        Self { input, output, window, numbers: PhantomData }
    }

    /// One task a row of the output.
    pub(in super::super) fn tasks(&self) -> usize {
        self.output.extent.images * self.output.extent.rows
    }

    /// Does one task.
    ///
    /// # Safety
    /// Nobody writes to the input, and nobody else uses the output's row.
    pub(in super::super) unsafe fn run(&self, task: usize, memory: &Shared<'_, N::Value>) {
        let (from, to) = (self.input.extent, self.output.extent);
        // SAFETY: the caller keeps writers away from the input.
        let input = unsafe { memory.values(&self.input) };
        // SAFETY: the caller keeps everybody else away from this row.
        let output = unsafe { memory.part_mut(&self.output, task * to.columns * to.pitch, to.columns * to.pitch) };
        let rows = within(task % to.rows, self.window, from.rows);
        let rows = rows.map(|row| (task / to.rows * from.rows + row) * from.columns);
        for (column, output) in output.chunks_exact_mut(to.pitch).enumerate() {
            let Range { start, end } = within(column, self.window, from.columns);
            let covered = rows.clone().map(|row| (row + start) * from.pitch..(row + end) * from.pitch);
            for (part, output) in output.chunks_mut(AT_ONCE).enumerate() {
                let mut largest = [N::Value::zeroed(); AT_ONCE];
                for row in covered.clone() {
                    for place in input.get(row).unwrap_or_default().chunks_exact(from.pitch) {
                        keep_larger::<N>(&mut largest, place.get(part * AT_ONCE..).unwrap_or_default());
                    }
                }
                output.iter_mut().zip(largest).for_each(|(to, largest)| *to = largest);
            }
        }
    }
}

/// Takes the place of values that are smaller.
fn keep_larger<N: Narrow>(largest: &mut [N::Value; AT_ONCE], values: &[N::Value]) {
    let larger = |(largest, value): (&mut N::Value, &N::Value)| *largest = N::larger(*largest, *value);
    // Of as many as there are at most the compiler makes whole registers.
    match values.first_chunk::<AT_ONCE>() {
        Some(whole) => largest.iter_mut().zip(whole).for_each(larger),
        None => largest.iter_mut().zip(values).for_each(larger),
    }
}

/// The mean of each channel over an image, `[n, rows, columns, channels]` to f32 `[n, 1, 1, channels]`.
pub(in super::super) struct Mean<N> {
    input: View,
    /// f32
    output: View,
    /// Of the input's channels.
    steps: Vec<f32>,
    numbers: PhantomData<N>,
}

impl<N: Narrow> Mean<N> {
    /// From values in `code`, whose zero is 0, to f32.
    pub(in super::super) fn new((input, output): (View, View), code: &N::Code) -> Self {
        Self { input, output, steps: N::steps(code, input.extent.channels), numbers: PhantomData }
    }

    /// One task an image.
    pub(in super::super) fn tasks(&self) -> usize {
        self.input.extent.images
    }

    /// Does one task.
    ///
    /// # Safety
    /// Nobody writes to the input, and nobody else uses the image's output.
    pub(in super::super) unsafe fn run(&self, image: usize, inputs: &Shared<'_, N::Value>, outputs: &Shared<'_>) {
        let (input, output) = (self.input.image(image), self.output.image(image));
        // SAFETY: the caller keeps writers away from the input.
        let values = unsafe { inputs.values(&input) };
        // SAFETY: the caller keeps everybody else away from this image's output.
        let output = unsafe { outputs.part_mut(&output, 0, output.extent.length()) };
        let share = 1.0 / input.extent.places() as f32;
        for (part, output) in output.chunks_mut(AT_ONCE).enumerate() {
            let mut sums = [0.0_f32; AT_ONCE];
            for place in values.chunks_exact(input.extent.pitch) {
                let place = place.get(part * AT_ONCE..).unwrap_or_default();
                sums.iter_mut().zip(place).for_each(|(sum, value)| *sum += N::number(*value));
            }
            let steps = self.steps.iter().skip(part * AT_ONCE);
            output.iter_mut().zip(sums.iter().zip(steps)).for_each(|(mean, (sum, step))| *mean = sum * share * step);
        }
    }
}
