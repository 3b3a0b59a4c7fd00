//! A convolution in narrow numbers: tiles of output places by panels of output channels, whose inputs are found by offsets.

use std::sync::Arc;

use super::super::convolution::{After, Cut};
use super::super::geometry::{OCTETS_OF_A_LINE, Offsets, part_of};
#[cfg(target_arch = "x86_64")]
use super::super::isa::Isa;
use super::super::slots::{Shared, View};
use super::super::tile::Finish;
use super::Narrow;
use super::filter::{Filter, Reach};
#[cfg(target_arch = "x86_64")]
use super::packed;
use super::tile::{Goal, Micro, Tile};

/// One convolution of a plan, from one view to another.
pub(in super::super) struct Convolution {
    /// Index of its filter.
    pub(super) filter: usize,
    pub(super) offsets: Arc<[u32]>,
    pub(super) input: View,
    pub(super) output: View,
    after: After,
    pub(super) cut: Cut,
}

impl Convolution {
    /// From one view to another, whose extent is [`Filter::output_of`] the input's.
    pub(in super::super) fn new<N: Narrow>(
        (index, filter): (usize, &N::Filter),
        (input, output): (View, View),
        after: After,
        offsets: &mut Offsets,
        (micro, threads): (&Micro<N>, usize),
    ) -> Self {
        debug_assert_eq!(output.extent, filter.output_of(input.extent));
        let Reach { window, walk, .. } = filter.reach();
        let octets = micro.rows * input.extent.pitch * size_of::<N::Value>() * window.stride.pow(2);
        let cut = match micro.isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => {
                let panels = (filter.panels(), filter.panels() * size_of_val(filter.panel(0)));
                Cut::packed(output.extent.places(), micro.rows, panels, threads)
            }
            _ => Cut::new(output.extent.places(), micro.rows, filter.panels(), octets, threads),
        };
        let offsets = offsets.of(input.extent, window, walk, micro.rows);
        Self { filter: index, offsets, input, output, after, cut }
    }

    /// Tasks that it is cut into.
    pub(in super::super) fn tasks(&self) -> usize {
        self.cut.tasks()
    }

    /// Does one task.
    ///
    /// # Safety
    /// The processor has the micro-kernels' instructions, which the filter is packed for. `zeros` has as many values as
    /// the filter's depth. Nobody writes to the input, nor to what is added, and nobody else does the same task.
    pub(in super::super) unsafe fn run<N: Narrow>(
        &self,
        task: usize,
        filter: &N::Filter,
        memory: &Shared<'_, N::Value>,
        zeros: &[N::Value],
        micro: &Micro<N>,
    ) {
        #[cfg(target_arch = "x86_64")]
        if micro.isa == Isa::Amx {
            // SAFETY: the same contract.
            return unsafe { packed::run::<N>(self, task, filter, memory, zeros) };
        }
        let (tiles, panels) = self.cut.task(task);
        let (input, output) = (memory.start(&self.input), memory.start(&self.output));
        let pitch = self.output.extent.pitch;
        let (taps, depth) = (filter.taps(), filter.depth());
        for panel in panels {
            let weights = filter.panel(panel);
            for tile in tiles.clone() {
                let (at, rows) = self.place(tile, panel * micro.columns);
                // Each tile asks for as many lines of the next panel as its own panel lets it.
                let (lines, whole) = ((tile - tiles.start) * (taps * depth / N::PAIR), size_of_val(weights));
                let asked = lines * OCTETS_OF_A_LINE;
                let ahead = if asked < whole { whole + asked } else { 0 };
                let tile = Tile {
                    input,
                    zeros: zeros.as_ptr(),
                    offsets: self.offsets.as_ptr().wrapping_add(tile * taps * micro.rows),
                    taps,
                    depth,
                    filter: weights.as_ptr(),
                    ahead: weights.as_ptr().cast::<u8>().wrapping_add(ahead),
                    goal: Goal {
                        ends: filter.ends(panel, self.finish(memory, at)),
                        output: output.wrapping_add(at),
                        pitch,
                    },
                    sums: std::ptr::null_mut(),
                };
                // SAFETY: the offsets are those of the input's extent, whose values are all there; the panel lies within
                // the filter; rows and panel lie within the output, whose pitch holds whole panels. No other task has
                // the same rows of the same panel.
                unsafe { micro.run(rows, &tile) }
            }
        }
    }

    /// Where in the output a tile's columns begin, and its rows.
    pub(super) fn place(&self, tile: usize, column: usize) -> (usize, usize) {
        let rows = part_of(tile, self.cut.tiles, self.output.extent.places());
        (rows.start * self.output.extent.pitch + column, rows.len())
    }

    /// What becomes of the sums whose output lies so far in its view.
    pub(super) fn finish<T>(&self, memory: &Shared<'_, T>, at: usize) -> Finish<T> {
        match self.after {
            After::Keep => Finish::Keep,
            After::Rectify => Finish::Rectify,
            After::AddAndRectify(view) => Finish::AddAndRectify(memory.start(&view).wrapping_add(at).cast_const()),
        }
    }
}
