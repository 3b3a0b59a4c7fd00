//! Weights in panels, as a filter keeps them: as they are multiplied with, or in half the memory, widened block by block on their way
//! to the micro-kernel.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::buffer::Buffer;
use super::halves::narrow;
use super::tile::Micro;
use super::turn::COLUMNS;

/// Sums of a panel, the widest there is, that are widened at once: the panel's weights for them take half of a first-level cache.
pub(super) const BLOCK: usize = 256;

/// The weights of one filter, panel by panel, for each product of the sum a row of one weight a column.
pub(super) enum Panels {
    /// In f32.
    Singles(Buffer),
    /// In half precision, for layers that are stored so.
    Halves {
        /// As they are stored.
        weights: Buffer<u16>,
        /// What they are multiplied by when they are widened, a row of columns for each panel.
        scale: Buffer,
    },
}

/// Room for a block of widened weights, which costs nothing until they are.
#[repr(align(64))]
pub(super) struct Room([MaybeUninit<f32>; BLOCK * COLUMNS]);

impl Room {
    /// With nothing in it.
    pub(super) fn new() -> Self {
        Self([MaybeUninit::uninit(); BLOCK * COLUMNS])
    }
}

impl Panels {
    /// Of no weights.
    pub(super) fn none() -> Self {
        Self::Singles(Buffer::zeroed(0))
    }

    /// So many zeros in f32.
    pub(super) fn zeros(count: usize) -> Self {
        Self::Singles(Buffer::to_keep(count))
    }

    /// In half precision, `length` weights a panel and one factor for each of its columns; `fill` gives the weights of a panel in
    /// f32, which are all such numbers.
    pub(super) fn halves(
        length: usize,
        factors: &[f32],
        columns: usize,
        mut fill: impl FnMut(usize, &mut [f32]),
    ) -> Self {
        let count = factors.len().div_ceil(columns);
        let (mut weights, mut scale) = (Buffer::to_keep(count * length), Buffer::zeroed(count * columns));
        scale.values_mut().iter_mut().zip(factors).for_each(|(to, factor)| *to = *factor);
        let mut wide = vec![0.0; length];
        for (panel, to) in weights.values_mut().chunks_exact_mut(length.max(1)).enumerate() {
            fill(panel, &mut wide);
            narrow(&wide, to);
        }
        Self::Halves { weights, scale }
    }

    /// Some of those in f32, to write to.
    pub(super) fn singles_mut(&mut self, which: Range<usize>) -> &mut [f32] {
        match self {
            Self::Singles(weights) => weights.values_mut().get_mut(which).unwrap_or_default(),
            Self::Halves { .. } => &mut [],
        }
    }

    /// To be called when the weights are written.
    pub(super) fn settle(&self) {
        match self {
            Self::Singles(weights) => weights.settle(),
            Self::Halves { weights, .. } => weights.settle(),
        }
    }

    /// The octets of some of them as they are kept.
    pub(super) fn octets(&self, which: Range<usize>) -> &[u8] {
        match self {
            Self::Singles(weights) => bytemuck::cast_slice(weights.values().get(which).unwrap_or_default()),
            Self::Halves { weights, .. } => bytemuck::cast_slice(weights.values().get(which).unwrap_or_default()),
        }
    }

    /// Some of them, whole rows of one panel, to multiply with; in `room` where they have to be widened: no more than a block then.
    pub(super) fn rows<'a>(
        &'a self,
        panel: usize,
        which: Range<usize>,
        room: &'a mut Room,
        micro: &Micro,
    ) -> &'a [f32] {
        let (weights, scale) = match self {
            Self::Singles(weights) => return weights.values().get(which).unwrap_or_default(),
            Self::Halves { weights, scale } => (weights.values(), scale.values()),
        };
        let (columns, rows) = (micro.columns, which.len() / micro.columns);
        let scale = scale.get(panel * columns..(panel + 1) * columns);
        let (Some(weights), Some(scale), Some(to)) = (weights.get(which), scale, room.0.get_mut(..rows * columns))
        else {
            return &[];
        };
        // SAFETY: the instructions are those of this processor; the rows, a factor for each column and room for the rows are there,
        // and all of that room is written.
        unsafe {
            (micro.widen)(weights.as_ptr(), scale.as_ptr(), rows, to.as_mut_ptr().cast());
            to.assume_init_ref()
        }
    }
}
