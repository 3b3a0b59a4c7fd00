//! Where eight bits begin and end: the largest of neighbours behind the first convolution, and the mean of each channel.

use super::super::geometry::Window;
use super::super::pooling::within;
use super::super::slots::{Shared, View};
use super::filter::Code;
use super::lane::octet;

/// Channels that are done at once.
const AT_ONCE: usize = 16;

/// The largest value of each channel within a window, of values that are not below zero; padding counts for nothing.
#[derive(Debug, Clone)]
pub(super) struct Maximum {
    /// f32
    pub(super) input: View,
    /// u8, in `code`
    pub(super) output: View,
    pub(super) window: Window,
    /// With zero 0.
    pub(super) code: Code,
}

impl Maximum {
    /// One task a row of the output.
    pub(super) fn tasks(&self) -> usize {
        self.output.extent.images * self.output.extent.rows
    }

    /// Does one task.
    ///
    /// # Safety
    /// Nobody writes to the input, and nobody else uses the output's row.
    pub(super) unsafe fn run(&self, task: usize, inputs: &Shared<'_>, outputs: &Shared<'_, u8>) {
        let (from, to, window) = (self.input.extent, self.output.extent, self.window);
        let (image, row) = (task / to.rows, task % to.rows);
        // SAFETY: the caller keeps writers away from the input.
        let input = unsafe { inputs.values(&self.input) };
        // SAFETY: the caller keeps everybody else away from this row.
        let output = unsafe { outputs.part_mut(&self.output, task * to.columns * to.pitch, to.columns * to.pitch) };
        for (column, output) in output.chunks_exact_mut(to.pitch).enumerate() {
            for (part, output) in output.chunks_mut(AT_ONCE).enumerate() {
                let mut largest = [0.0_f32; AT_ONCE];
                for row in within(row, window, from.rows) {
                    for column in within(column, window, from.columns) {
                        let first = ((image * from.rows + row) * from.columns + column) * from.pitch + part * AT_ONCE;
                        let place = input.get(first..first + AT_ONCE).unwrap_or_default();
                        largest.iter_mut().zip(place).for_each(|(a, b)| *a = if *b > *a { *b } else { *a });
                    }
                }
                let steps = self.code.steps.iter().skip(part * AT_ONCE);
                output
                    .iter_mut()
                    .zip(largest.iter().zip(steps))
                    .for_each(|(to, (value, step))| *to = octet(value / step));
            }
        }
    }
}

/// The mean of each channel over an image, u8 `[n, rows, columns, channels]` to f32 `[n, 1, 1, channels]`.
#[derive(Debug, Clone)]
pub(super) struct Mean {
    /// u8, in `code`
    pub(super) input: View,
    /// f32
    pub(super) output: View,
    pub(super) code: Code,
}

impl Mean {
    /// One task an image.
    pub(super) fn tasks(&self) -> usize {
        self.input.extent.images
    }

    /// Does one task.
    ///
    /// # Safety
    /// Nobody writes to the input, and nobody else uses the image's output.
    pub(super) unsafe fn run(&self, image: usize, inputs: &Shared<'_, u8>, outputs: &Shared<'_>) {
        let (input, output) = (self.input.image(image), self.output.image(image));
        // SAFETY: the caller keeps writers away from the input.
        let values = unsafe { inputs.values(&input) };
        // SAFETY: the caller keeps everybody else away from this image's output.
        let output = unsafe { outputs.part_mut(&output, 0, output.extent.length()) };
        let share = 1.0 / input.extent.places() as f32;
        for (part, output) in output.chunks_mut(AT_ONCE).enumerate() {
            let mut sums = [0_u32; AT_ONCE];
            for place in values.chunks_exact(input.extent.pitch) {
                let place = place.get(part * AT_ONCE..).unwrap_or_default();
                sums.iter_mut().zip(place).for_each(|(sum, value)| *sum += u32::from(*value));
            }
            let steps = self.code.steps.iter().skip(part * AT_ONCE);
            output
                .iter_mut()
                .zip(sums.iter().zip(steps))
                .for_each(|(mean, (sum, step))| *mean = *sum as f32 * share * step);
        }
    }
}
