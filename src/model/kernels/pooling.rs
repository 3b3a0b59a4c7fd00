//! What the network does besides convolutions: the input into NHWC, the largest of neighbours, and the mean.

use super::geometry::{Extent, Window};
use super::lane::Lane;
use super::slots::{Shared, View};
use super::tile::Micro;

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

    /// What the image has in a row of the output, colour by colour; none where that is padding.
    pub(super) fn colours<'a>(&self, row: usize, images: &'a [f32]) -> Option<[&'a [f32]; COLOURS]> {
        let Extent { rows, columns, .. } = self.output.extent;
        let (inner, across) = (rows - 2 * self.padding, columns - 2 * self.padding);
        let row = row.checked_sub(self.padding).filter(|row| *row < inner)?;
        Some(std::array::from_fn(|colour| {
            let first = ((self.image * COLOURS + colour) * inner + row) * across;
            images.get(first..first + across).unwrap_or_default()
        }))
    }

    /// Does one task; `images` are those of the run, `[n, 3, rows, columns]`.
    ///
    /// # Safety
    /// Nobody else uses the output's row.
    pub(super) unsafe fn run(&self, row: usize, images: &[f32], memory: &Shared<'_>) {
        let width = self.output.extent.columns * COLOURS;
        // SAFETY: the caller keeps everybody else away from this row.
        let to = unsafe { memory.part_mut(&self.output, row * width, width) };
        to.fill(0.0);
        for (colour, from) in self.colours(row, images).into_iter().flatten().enumerate() {
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
    pub(super) fn output_of<T>(input: Extent, window: Window) -> Extent {
        window.output_of::<T>(input, input.channels)
    }

    /// One task a row of the output.
    pub(super) fn tasks(&self) -> usize {
        self.output.extent.images * self.output.extent.rows
    }

    /// Does one task.
    ///
    /// # Safety
    /// The processor has the micro-kernels' instructions. Nobody writes to the input, and nobody else uses the output's row.
    pub(super) unsafe fn run(&self, task: usize, memory: &Shared<'_>, micro: &Micro) {
        let to = self.output.extent;
        // SAFETY: the caller keeps writers away from the input.
        let input = unsafe { memory.values(&self.input) };
        // SAFETY: the caller keeps everybody else away from this row.
        let output = unsafe { memory.part_mut(&self.output, task * to.columns * to.pitch, to.columns * to.pitch) };
        for (column, output) in output.chunks_exact_mut(to.pitch).enumerate() {
            let covered = Covered::by(self.window, self.input.extent, (task / to.rows, task % to.rows, column));
            // SAFETY: every place has a pitch of values, as many as the output's, which is one of whole registers.
            covered.of(input, to.pitch, |places| unsafe { (micro.largest)(places, to.pitch, output.as_mut_ptr()) });
        }
    }
}

/// The places of an input that a window covers at one step.
struct Covered {
    /// Indices of their first values.
    firsts: [usize; MOST_COVERED],
    count: usize,
}

/// Most places that are pooled.
const MOST_COVERED: usize = 9;

impl Covered {
    /// By a window of at most three by three places at `(image, row, column)` of its output.
    fn by(window: Window, input: Extent, (image, row, column): (usize, usize, usize)) -> Self {
        let Extent { rows, columns, pitch, .. } = input;
        debug_assert!(window.size.pow(2) <= MOST_COVERED);
        let places = within(row, window, rows)
            .flat_map(|row| within(column, window, columns).map(move |column| (image * rows + row) * columns + column));
        let (mut firsts, mut count) = ([0; MOST_COVERED], 0);
        for (first, place) in firsts.iter_mut().zip(places) {
            *first = place * pitch;
            count += 1;
        }
        Self { firsts, count }
    }

    /// Shows where so many values of each of them are, which the input has.
    #[inline(always)]
    fn of(&self, input: &[f32], values: usize, show: impl FnOnce(&[*const f32])) {
        let (mut places, mut there) = ([std::ptr::null(); MOST_COVERED], 0);
        let firsts = self.firsts.iter().take(self.count);
        let whole = firsts.filter_map(|first| input.get(*first..first + values));
        for (place, values) in places.iter_mut().zip(whole) {
            *place = values.as_ptr();
            there += 1;
        }
        show(places.get(..there).unwrap_or_default());
    }
}

/// The largest values of some places; nothing of no places.
///
/// # Safety
/// The processor has the register's instructions. Each of `places`, and `output`, have so many values, whole registers of them.
#[inline(always)]
pub(super) unsafe fn largest<L: Lane>(places: &[*const f32], values: usize, output: *mut f32) {
    let Some((first, others)) = places.split_first() else { return };
    for at in (0..values).step_by(L::WIDTH) {
        // SAFETY: the caller keeps the contract.
        unsafe {
            let mut largest = L::load(first.wrapping_add(at));
            for place in others {
                largest = largest.max(L::load(place.wrapping_add(at)));
            }
            largest.store(output.wrapping_add(at));
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
        Extent::new::<f32>(input.images, 1, 1, input.channels)
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
