//! A convolution as a matrix product without a matrix: tiles of output places by panels of output channels, whose
//! inputs are found by offsets.

use std::ops::Range;
use std::sync::Arc;

use super::filter::Filter;
use super::geometry::{Extent, LINE, Offsets, part_of, tiles};
use super::slots::{Shared, View};
use super::tile::{Begin, Finish, Micro, Tile};

/// Bytes of input that one task goes over: half of a second-level cache.
const INPUT_OF_A_TASK: usize = 256 * 1024;

/// Fewest tiles of a task where there are as many: so often is a block of weights used that came from far away.
const TILES_OF_A_TASK: usize = 16;

/// Tasks that each thread may expect of a convolution, so that the last one is short.
const TASKS_OF_A_THREAD: usize = 10;

/// The same where every task packs its inputs.
#[cfg(target_arch = "x86_64")]
const PACKING_TASKS_OF_A_THREAD: usize = 4;

/// Fewest panels that inputs are packed for where there are as many.
#[cfg(target_arch = "x86_64")]
const PANELS_OF_A_PACKING: usize = 4;

/// Fewer tiles than that are packed by every task.
#[cfg(target_arch = "x86_64")]
const FEW_TILES: usize = 4;

/// What becomes of the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// They are the output.
    Keep,
    /// Negative ones become zero.
    Rectify,
    /// A view of the output's extent is added, then negative ones become zero.
    AddAndRectify(View),
}

/// One convolution of a plan.
pub(super) struct Convolution {
    /// Index of its filter.
    pub(super) filter: usize,
    offsets: Arc<[u32]>,
    input: View,
    pub(super) output: View,
    after: After,
    cut: Cut,
}

/// How a convolution is cut into tasks: `stretches` of the tiles times `groups` of the panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) tiles: usize,
    panels: usize,
    stretches: usize,
    groups: usize,
}

impl Cut {
    /// Tiles of at most `rows` places, each of which reads about so many bytes.
    pub(super) fn new(places: usize, rows: usize, panels: usize, bytes_of_a_tile: usize, threads: usize) -> Self {
        let tiles = tiles(places, rows);
        let wanted = (TASKS_OF_A_THREAD * threads).max(2);
        let fitting = (INPUT_OF_A_TASK / bytes_of_a_tile.max(1)).max(1);
        let stretch = tiles.div_ceil(wanted.max(1)).max(TILES_OF_A_TASK).min(fitting.max(TILES_OF_A_TASK / 2));
        let stretches = tiles.div_ceil(stretch).max(1);
        let groups = wanted.div_ceil(stretches).clamp(1, panels.max(1));
        Self::with_even_groups(tiles, panels, stretches, groups)
    }

    /// All groups but the last have the same number of panels.
    fn with_even_groups(tiles: usize, panels: usize, stretches: usize, groups: usize) -> Self {
        let groups = panels.div_ceil(panels.div_ceil(groups.max(1)).max(1)).max(1);
        Self { tiles, panels, stretches, groups }
    }

    /// The same where every task packs the inputs of its tiles first: panels are divided as little as keeps all threads at work,
    /// unless there are so few tiles that the weights, which every stretch reads, are what takes the time.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn packed(places: usize, rows: usize, panels: usize, threads: usize) -> Self {
        let tiles = tiles(places, rows);
        let wanted = (PACKING_TASKS_OF_A_THREAD * threads).max(2);
        let stretches = if tiles < FEW_TILES { 1 } else { tiles.min(wanted) };
        let most = (panels / PANELS_OF_A_PACKING).max(threads.div_ceil(stretches)).clamp(1, panels.max(1));
        let groups = if stretches == 1 { wanted.min(panels) } else { wanted.div_ceil(stretches).min(most) };
        Self::with_even_groups(tiles, panels, stretches, groups)
    }

    /// Tasks.
    pub(super) fn tasks(&self) -> usize {
        self.stretches * self.groups
    }

    /// The tiles and panels of one task.
    pub(super) fn task(&self, task: usize) -> (Range<usize>, Range<usize>) {
        let (stretch, group) = (task / self.groups, task % self.groups);
        (part_of(stretch, self.stretches, self.tiles), part_of(group, self.groups, self.panels))
    }
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
        after: After,
        offsets: &mut Offsets,
        (micro, threads): (&Micro, usize),
    ) -> Self {
        debug_assert_eq!(output.extent, output_of(filter, input.extent));
        let bytes = micro.rows * input.extent.pitch * filter.window.stride.pow(2) * size_of::<f32>();
        let cut = Cut::new(output.extent.places(), micro.rows, filter.panels(), bytes, threads);
        let offsets = offsets.of(input.extent, filter.window, filter.walk, micro.rows);
        Self { filter: index, offsets, input, output, after, cut }
    }

    /// Tasks that it is cut into.
    pub(super) fn tasks(&self) -> usize {
        self.cut.tasks()
    }

    /// Does one task.
    ///
    /// # Safety
    /// The processor has the micro-kernels' instructions, which the filter is packed for. `zeros` has as many values as
    /// the input has channels. Nobody writes to the input, nor to what is added, and nobody else does the same task.
    pub(super) unsafe fn run(&self, task: usize, filter: &Filter, memory: &Shared<'_>, zeros: &[f32], micro: &Micro) {
        let (tiles, panels) = self.cut.task(task);
        let (input, output) = (memory.start(&self.input), memory.start(&self.output));
        let places = self.output.extent.places();
        let pitch = self.output.extent.pitch;
        for panel in panels {
            let weights = filter.panel(panel);
            let bias = filter.panel_bias(panel);
            let last = filter.blocks().len().saturating_sub(1);
            for (index, block) in filter.blocks().iter().enumerate() {
                let begin = if index == 0 { Begin::Bias(bias.as_ptr()) } else { Begin::Output };
                for tile in tiles.clone() {
                    let rows = part_of(tile, self.cut.tiles, places);
                    let at = rows.start * pitch + panel * micro.columns;
                    let finish = match self.after {
                        _ if index < last => Finish::Keep,
                        After::Keep => Finish::Keep,
                        After::Rectify => Finish::Rectify,
                        After::AddAndRectify(other) => Finish::AddAndRectify(memory.start(&other).wrapping_add(at)),
                    };
                    let offsets = self.offsets.as_ptr().wrapping_add((tile * filter.taps() + block.tap) * micro.rows);
                    let weights_here = weights.as_ptr().wrapping_add(block.before * micro.columns);
                    // Each tile asks for as many lines of the next block as its own block lets it.
                    let lines = (tile - tiles.start) * (block.taps * block.depth / Tile::STRIDE);
                    let length = block.taps * block.depth * micro.columns;
                    let ahead = if lines * LINE < length { length + lines * LINE } else { 0 };
                    let tile = Tile {
                        input,
                        zeros: zeros.as_ptr(),
                        offsets,
                        taps: block.taps,
                        channel: block.channel,
                        depth: block.depth,
                        filter: weights_here,
                        ahead: weights_here.wrapping_add(ahead),
                        leap: 0,
                        begin,
                        finish,
                        output: output.wrapping_add(at),
                        pitch,
                    };
                    // SAFETY: the offsets are those of the input's extent, whose values are all there; blocks and panels
                    // lie within the filter; rows and panel lie within the output, whose pitch holds whole panels. No
                    // other task has the same rows of the same panel.
                    unsafe { micro.run(rows.len(), &tile) }
                }
            }
        }
    }
}
