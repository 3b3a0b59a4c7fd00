//! A convolution in eight bits: tiles of output places by panels of output channels, whose inputs are found by offsets.

use std::sync::Arc;

#[cfg(target_arch = "x86_64")]
use super::super::amx::Tiles;
use super::super::convolution::Cut;
use super::super::geometry::{Extent, Offsets, Walk, begin_of};
#[cfg(target_arch = "x86_64")]
use super::super::isa::Isa;
use super::super::slots::{Shared, View};
use super::filter::{Filter, PAIR};
use super::tile::{LINE, Micro, Tile};

/// One convolution of a plan, from one view to another; negative sums become zero where the output's code has no room
/// for them.
pub(super) struct Convolution {
    /// Index of its filter.
    pub(super) filter: usize,
    offsets: Arc<[u32]>,
    input: View,
    output: View,
    /// A view of the output's extent.
    added: Option<View>,
    cut: Cut,
}

/// The extent that a filter makes of an input.
pub(super) fn output_of(filter: &Filter, input: Extent) -> Extent {
    filter.window.output_of(input, filter.outputs)
}

impl Convolution {
    /// From one view to another, whose extent is [`output_of`] the input's.
    pub(super) fn new(
        (index, filter): (usize, &Filter),
        (input, output): (View, View),
        added: Option<View>,
        offsets: &mut Offsets,
        (micro, threads): (&Micro, usize),
    ) -> Self {
        debug_assert_eq!(output.extent, output_of(filter, input.extent));
        let bytes = micro.rows * input.extent.pitch * filter.window.stride.pow(2);
        let cut = Cut::new(output.extent.places(), micro.rows, filter.panels(), bytes, threads);
        let offsets = offsets.of(input.extent, filter.window, Walk::Places, micro.rows);
        Self { filter: index, offsets, input, output, added, cut }
    }

    /// Tasks that it is cut into.
    pub(super) fn tasks(&self) -> usize {
        self.cut.tasks()
    }

    /// Does one task.
    ///
    /// # Safety
    /// The processor has the micro-kernels' instructions, which the filter is packed for. `zeros` has as many values as
    /// the filter's depth. Nobody writes to the input, nor to what is added, and nobody else does the same task.
    pub(super) unsafe fn run(
        &self,
        task: usize,
        filter: &Filter,
        memory: &Shared<'_, u8>,
        zeros: &[u8],
        micro: &Micro,
    ) {
        let (tiles, panels) = self.cut.task(task);
        let (input, output) = (memory.start(&self.input), memory.start(&self.output));
        let added = self.added.map(|view| memory.start(&view));
        let (places, pitch) = (self.output.extent.places(), self.output.extent.pitch);
        let (taps, depth) = (filter.taps(), filter.depth());
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the micro-kernels' instructions.
        let _tiles = (micro.isa == Isa::Amx).then(|| unsafe { Tiles::new() });
        for panel in panels {
            let (weights, scale, shift) = (filter.panel(panel), filter.panel_scale(panel), filter.panel_shift(panel));
            let factor = filter.panel_added(panel).as_ptr();
            for tile in tiles.clone() {
                let first = begin_of(tile, self.cut.tiles, places);
                let rows = begin_of(tile + 1, self.cut.tiles, places) - first;
                let at = first * pitch + panel * micro.columns;
                // Each tile asks for as many lines of the next panel as its own panel lets it.
                let lines = (tile - tiles.start) * (taps * depth / PAIR);
                let ahead = if lines * LINE < weights.len() { weights.len() + lines * LINE } else { 0 };
                let tile = Tile {
                    input,
                    zeros: zeros.as_ptr(),
                    offsets: self.offsets.as_ptr().wrapping_add(tile * taps * micro.rows),
                    taps,
                    depth,
                    filter: weights.as_ptr(),
                    ahead: weights.as_ptr().wrapping_add(ahead),
                    scale: scale.as_ptr(),
                    shift: shift.as_ptr(),
                    added: added.map(|added| (added.wrapping_add(at).cast_const(), factor)),
                    output: output.wrapping_add(at),
                    pitch,
                };
                // SAFETY: the offsets are those of the input's extent, whose values are all there; the panel lies within
                // the filter; rows and panel lie within the output, whose pitch holds whole panels. No other task has
                // the same rows of the same panel.
                unsafe { micro.run(rows, &tile) }
            }
        }
    }
}
