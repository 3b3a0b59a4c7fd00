//! Where values lie: activations in NHWC, the windows of convolutions, and the offsets that a convolution reads at.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::tile::OUTSIDE;

/// The distance of two places is a multiple of so many values, so that every panel of channels can be written whole.
const CHANNEL_STEP: usize = 32;

/// Values at this distance, or a multiple of it, compete for the same few places of a first-level cache; so neighbouring
/// places are a cache line further apart.
const ALIASING: usize = 128;

/// Octets of a cache line.
pub(super) const OCTETS_OF_A_LINE: usize = 64;

/// Values of f32 in a cache line.
pub(super) const LINE: usize = OCTETS_OF_A_LINE / size_of::<f32>();

/// The extent of an activation `[images, rows, columns, channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::model) struct Extent {
    pub(super) images: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) channels: usize,
    /// Values from one place to the next; those beyond the channels mean nothing.
    pub(super) pitch: usize,
}

impl Extent {
    /// With the pitch that the kernels write values of `T` with.
    pub(super) fn new<T>(images: usize, rows: usize, columns: usize, channels: usize) -> Self {
        let pitch = channels.next_multiple_of(CHANNEL_STEP);
        let apart = if pitch.is_multiple_of(ALIASING) { OCTETS_OF_A_LINE / size_of::<T>() } else { 0 };
        Self { images, rows, columns, channels, pitch: pitch + apart }
    }

    /// Places, all images together.
    pub(super) fn places(&self) -> usize {
        self.images * self.rows * self.columns
    }

    /// Values of all places, padding channels left out.
    pub(super) fn values(&self) -> usize {
        self.places() * self.channels
    }

    /// Values, padding channels included.
    pub(super) fn length(&self) -> usize {
        self.places() * self.pitch
    }
}

/// A square window that moves over an image, with as much padding on all four sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::model) struct Window {
    pub(super) size: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

impl Window {
    /// Places along a side of so many; none where the window does not fit.
    pub(super) fn steps(&self, side: usize) -> usize {
        (side + 2 * self.padding).checked_sub(self.size).map_or(0, |room| room / self.stride + 1)
    }

    /// The extent of so many channels of `T` that it makes of an input.
    pub(super) fn output_of<T>(&self, input: Extent, channels: usize) -> Extent {
        Extent::new::<T>(input.images, self.steps(input.rows), self.steps(input.columns), channels)
    }
}

/// How a convolution walks over its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Walk {
    /// Place by place of the window; the padding is left out.
    Places,
    /// Row by row of the window: the input is padded already, and its channels follow each other without a gap.
    Rows,
}

/// Splits `whole` into `parts` that differ by at most one: part `index`.
pub(super) fn part_of(index: usize, parts: usize, whole: usize) -> Range<usize> {
    index * whole / parts..(index + 1) * whole / parts
}

/// A table of offsets that convolutions of the same geometry share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    input: Extent,
    window: Window,
    walk: Walk,
    rows: usize,
}

/// Offsets by geometry: for each tile, for each tap, for each of `rows` places, where the input's values begin.
#[derive(Default)]
pub(super) struct Offsets(HashMap<Key, Arc<[u32]>>);

impl Offsets {
    /// The table for tiles of at most `rows` places; made when first asked for. [`tiles`] says how many there are.
    /// The input has fewer than 2^32 values.
    pub(super) fn of(&mut self, input: Extent, window: Window, walk: Walk, rows: usize) -> Arc<[u32]> {
        let key = Key { input, window, walk, rows };
        Arc::clone(self.0.entry(key).or_insert_with(|| key.table().into()))
    }
}

/// Tiles of at most `rows` that `places` are split into.
pub(super) fn tiles(places: usize, rows: usize) -> usize {
    places.div_ceil(rows)
}

impl Key {
    fn table(&self) -> Vec<u32> {
        let Self { input, window, walk, rows } = *self;
        let (down, across) = (window.steps(input.rows), window.steps(input.columns));
        let taps = match walk {
            Walk::Places => window.size * window.size,
            Walk::Rows => window.size,
        };
        let places = input.images * down * across;
        let tiles = tiles(places, rows);
        let of_image = |image| (0..down).flat_map(move |row| (0..across).map(move |column| (image, (row, column))));
        let of_output: Vec<(usize, (usize, usize))> = (0..input.images).flat_map(of_image).collect();
        let mut table = Vec::with_capacity(tiles * taps * rows);
        for tile in 0..tiles {
            let of_tile = of_output.get(part_of(tile, tiles, places)).unwrap_or_default();
            for tap in 0..taps {
                let tap = match walk {
                    Walk::Places => (tap / window.size, tap % window.size),
                    Walk::Rows => (tap, 0),
                };
                table.extend(of_tile.iter().map(|(image, place)| self.offset(*image, *place, tap)));
                table.extend(std::iter::repeat_n(OUTSIDE, rows - of_tile.len().min(rows)));
            }
        }
        table
    }

    /// Where the values of one tap of the window at `place` (row, column of the output) begin; a tap is so far down and across.
    fn offset(&self, image: usize, place: (usize, usize), (down, across): (usize, usize)) -> u32 {
        let Self { input, window, .. } = *self;
        let row = (place.0 * window.stride + down).checked_sub(window.padding).filter(|row| *row < input.rows);
        let column = (place.1 * window.stride + across).checked_sub(window.padding).filter(|at| *at < input.columns);
        let (Some(row), Some(column)) = (row, column) else { return OUTSIDE };
        let index = ((image * input.rows + row) * input.columns + column) * input.pitch;
        u32::try_from(index).unwrap_or(OUTSIDE)
    }
}
