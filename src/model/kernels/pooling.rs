//! What the network does besides convolutions: the input into NHWC, the largest of neighbours, and the mean.

use super::geometry::{Extent, Window};
use super::slots::{Shared, View};

/// Channels that go into the network.
pub(super) const COLOURS: usize = 3;

/// One image `[3, rows, columns]` into a padded image whose channels follow each other without a gap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interleave {
    /// Which image of the run.
    pub(super) image: usize,
    pub(super) output: View,
    pub(super) padding: usize,
}

impl Interleave {
    /// The extent of its output.
    pub(super) fn output_of(rows: usize, columns: usize, padding: usize) -> Extent {
        let (rows, columns) = (rows + 2 * padding, columns + 2 * padding);
        Extent { images: 1, rows, columns, channels: COLOURS, pitch: COLOURS }
    }

    /// One task a row of the output.
    pub(super) fn tasks(&self) -> usize {
        self.output.extent.rows
    }

    /// Does one task; `images` are those of the run, `[n, 3, rows, columns]`.
    ///
    /// # Safety
    /// Nobody else uses the output's row.
    pub(super) unsafe fn run(&self, row: usize, images: &[f32], memory: &Shared<'_>) {
        let Extent { rows, columns, .. } = self.output.extent;
        let width = columns * COLOURS;
        // SAFETY: the caller keeps everybody else away from this row.
        let to = unsafe { memory.part_mut(&self.output, row * width, width) };
        to.fill(0.0);
        let (inner, across) = (rows - 2 * self.padding, columns - 2 * self.padding);
        let Some(row) = row.checked_sub(self.padding).filter(|row| *row < inner) else { return };
        for colour in 0..COLOURS {
            let first = ((self.image * COLOURS + colour) * inner + row) * across;
            let from = images.get(first..first + across).unwrap_or_default();
            let to = to.iter_mut().skip(self.padding * COLOURS + colour).step_by(COLOURS);
            to.zip(from).for_each(|(to, from)| *to = *from);
        }
    }
}

/// The largest value of each channel within a window; padding counts for nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maximum {
    pub(super) input: View,
    pub(super) output: View,
    pub(super) window: Window,
}

impl Maximum {
    /// The extent of its output.
    pub(super) fn output_of(input: Extent, window: Window) -> Extent {
        window.output_of(input, input.channels)
    }

    /// One task a row of the output.
    pub(super) fn tasks(&self) -> usize {
        self.output.extent.images * self.output.extent.rows
    }

    /// Does one task.
    ///
    /// # Safety
    /// Nobody writes to the input, and nobody else uses the output's row.
    pub(super) unsafe fn run(&self, task: usize, memory: &Shared<'_>) {
        let (from, to, window) = (self.input.extent, self.output.extent, self.window);
        let (image, row) = (task / to.rows, task % to.rows);
        // SAFETY: the caller keeps writers away from the input.
        let input = unsafe { memory.values(&self.input) };
        // SAFETY: the caller keeps everybody else away from this row.
        let output = unsafe { memory.part_mut(&self.output, task * to.columns * to.pitch, to.columns * to.pitch) };
        for (column, output) in output.chunks_exact_mut(to.pitch).enumerate() {
            let mut places = within(row, window, from.rows)
                .flat_map(|row| within(column, window, from.columns).map(move |column| (row, column)))
                .filter_map(|(row, column)| {
                    let first = ((image * from.rows + row) * from.columns + column) * from.pitch;
                    input.get(first..first + from.pitch)
                });
            if let Some(first) = places.next() {
                output.copy_from_slice(first);
            }
            for place in places {
                for (largest, value) in output.iter_mut().zip(place) {
                    *largest = if *value > *largest { *value } else { *largest };
                }
            }
        }
    }
}

/// The input's rows, or columns, that the window at one step covers.
pub(super) fn within(step: usize, window: Window, side: usize) -> std::ops::Range<usize> {
    let first = step * window.stride;
    first.saturating_sub(window.padding)..(first + window.size).saturating_sub(window.padding).min(side)
}

/// The mean of each channel over an image: `[n, rows, columns, channels]` to `[n, 1, 1, channels]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mean {
    pub(super) input: View,
    pub(super) output: View,
}

impl Mean {
    /// The extent of its output.
    pub(super) fn output_of(input: Extent) -> Extent {
        Extent::new(input.images, 1, 1, input.channels)
    }

    /// One task an image.
    pub(super) fn tasks(&self) -> usize {
        self.input.extent.images
    }

    /// Does one task.
    ///
    /// # Safety
    /// Nobody writes to the input, and nobody else uses the image's output.
    pub(super) unsafe fn run(&self, image: usize, memory: &Shared<'_>) {
        let input = self.input.image(image);
        let pitch = input.extent.pitch;
        // SAFETY: the caller keeps writers away from the input.
        let values = unsafe { memory.values(&input) };
        // SAFETY: the caller keeps everybody else away from this image's output.
        let output = unsafe { memory.part_mut(&self.output, image * pitch, pitch) };
        output.fill(0.0);
        for place in values.chunks_exact(pitch) {
            output.iter_mut().zip(place).for_each(|(sum, value)| *sum += value);
        }
        let share = 1.0 / input.extent.places() as f32;
        output.iter_mut().for_each(|sum| *sum *= share);
    }
}
