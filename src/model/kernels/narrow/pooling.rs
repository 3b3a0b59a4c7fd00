//! Where narrow numbers begin and end: the largest of neighbours behind the first convolution, and the mean of each channel.

use std::marker::PhantomData;

use super::super::geometry::Window;
use super::super::pooling::Covered;
use super::super::slots::{Shared, View};
use super::super::tile::Micro as SingleMicro;
use super::Narrow;

/// Channels that are done at once, whole registers of them.
const AT_ONCE: usize = 64;

/// The largest value of each channel within a window, of values that are not below zero; padding counts for nothing.
pub(in super::super) struct Maximum<N> {
    /// f32
    input: View,
    output: View,
    window: Window,
    /// Of the output's channels.
    steps: Vec<f32>,
    numbers: PhantomData<N>,
}

impl<N: Narrow> Maximum<N> {
    /// From f32 to values in `code`, whose zero is 0.
    pub(in super::super) fn new((input, output): (View, View), window: Window, code: &N::Code) -> Self {
        let steps = N::steps(code, output.extent.channels);
        Self { input, output, window, steps, numbers: PhantomData }
    }

    /// One task a row of the output.
    pub(in super::super) fn tasks(&self) -> usize {
        self.output.extent.images * self.output.extent.rows
    }

    /// Does one task.
    ///
    /// # Safety
    /// The processor has the instructions of f32's micro-kernels. Nobody writes to the input, and nobody else uses the output's
    /// row.
    pub(in super::super) unsafe fn run(
        &self,
        task: usize,
        inputs: &Shared<'_>,
        outputs: &Shared<'_, N::Value>,
        micro: &SingleMicro,
    ) {
        let (from, to) = (self.input.extent, self.output.extent);
        // SAFETY: the caller keeps writers away from the input.
        let input = unsafe { inputs.values(&self.input) };
        // SAFETY: the caller keeps everybody else away from this row.
        let output = unsafe { outputs.part_mut(&self.output, task * to.columns * to.pitch, to.columns * to.pitch) };
        for (column, output) in output.chunks_exact_mut(to.pitch).enumerate() {
            let covered = Covered::by(self.window, from, (task / to.rows, task % to.rows, column));
            for (part, output) in output.chunks_mut(AT_ONCE).enumerate() {
                let mut largest = [0.0_f32; AT_ONCE];
                let values = AT_ONCE.min(from.pitch.saturating_sub(part * AT_ONCE));
                let input = input.get(part * AT_ONCE..).unwrap_or_default();
                covered.of(input, values, |places| {
                    // SAFETY: every place has so many values from this part on, and a pitch is one of whole registers.
                    unsafe { (micro.largest)(places, values, largest.as_mut_ptr()) }
                });
                let steps = self.steps.iter().skip(part * AT_ONCE);
                output
                    .iter_mut()
                    .zip(largest.iter().zip(steps))
                    .for_each(|(to, (value, step))| *to = N::value(value / step));
            }
        }
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
