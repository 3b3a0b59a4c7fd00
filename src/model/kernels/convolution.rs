//! A convolution as a matrix product without a matrix: tiles of output places by panels of output channels, whose
//! inputs are found by offsets.

use std::ops::Range;
use std::sync::Arc;

use super::filter::Filter;
use super::geometry::{Extent, OCTETS_OF_A_LINE, Offsets, part_of, tiles};
use super::panels::Room;
use super::slots::{Shared, View};
use super::tile::{Begin, Finish, Micro, Tile};

/// Bytes of input that one task goes over: half of a second-level cache.
const INPUT_OF_A_TASK: usize = 256 * 1024;

/// Fewest tiles of a task where there are as many: so often is a block of weights used that came from far away.
const TILES_OF_A_TASK: usize = 16;

/// Tasks that each thread may expect of a convolution, so that the last one is short.
const TASKS_OF_A_THREAD: usize = 10;

/// What a step costs where inputs are packed, in ticks of a processor with AMX: the products of a tile with a panel, packing a tile's
/// inputs, and a panel's weights that come from afar or are at hand.
#[cfg(target_arch = "x86_64")]
mod ticks {
    pub(super) const PRODUCTS: usize = 64;
    pub(super) const PACKING: usize = 160;
    pub(super) const FROM_AFAR: usize = 256;
    pub(super) const AT_HAND: usize = 64;
}

/// Octets of a convolution's weights that a second-level cache keeps from task to task.
#[cfg(target_arch = "x86_64")]
const KEPT_AT_HAND: usize = 1024 * 1024;

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

    /// The same where every task packs the inputs of its tiles and reads the weights of its panels, `octets` in all: so that all
    /// threads are done soonest, one of which may have begun its last task when the others have ended theirs.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn packed(places: usize, rows: usize, (panels, octets): (usize, usize), threads: usize) -> Self {
        let (tiles, threads) = (tiles(places, rows), threads.max(1));
        let weights = if octets > KEPT_AT_HAND { ticks::FROM_AFAR } else { ticks::AT_HAND };
        let half_ticks = |cut: &Self| {
            let (tiles, panels) = (tiles.div_ceil(cut.stretches), panels.div_ceil(cut.groups));
            let task = tiles * panels * ticks::PRODUCTS + tiles * ticks::PACKING + panels * weights;
            (2 * cut.tasks().div_ceil(threads) + 1) * task
        };
        let most = TASKS_OF_A_THREAD * threads;
        let groups = |stretches| (1..=panels.clamp(1, most)).map(move |groups| (stretches, groups));
        (1..=tiles.clamp(1, most))
            .flat_map(groups)
            .map(|(stretches, groups)| Self::with_even_groups(tiles, panels, stretches, groups))
            .min_by_key(half_ticks)
            .unwrap_or(Self { tiles, panels, stretches: 1, groups: 1 })
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
    filter.window.output_of::<f32>(input, filter.outputs)
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
        let mut room = Room::new();
        for panel in panels {
            let bias = filter.panel_bias(panel);
            let last = filter.blocks().len().saturating_sub(1);
            for (index, block) in filter.blocks().iter().enumerate() {
                let sums = block.before..block.before + block.taps * block.depth;
                let kept = filter.octets(panel, sums.clone());
                let weights = filter.rows(panel, sums, &mut room, micro).as_ptr();
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
                    // Each tile asks for as many lines of the next block as its own block lets it.
                    let lines = (tile - tiles.start) * (block.taps * block.depth / Tile::STRIDE);
                    let asked = lines * OCTETS_OF_A_LINE;
                    let next = kept.as_ptr_range().end.wrapping_add(asked).cast();
                    let tile = Tile {
                        input,
                        zeros: zeros.as_ptr(),
                        offsets,
                        taps: block.taps,
                        channel: block.channel,
                        depth: block.depth,
                        filter: weights,
                        ahead: if asked < kept.len() { next } else { weights },
                        leap: 0,
                        begin,
                        finish,
                        output: output.wrapping_add(at),
                        pitch,
                    };
                    // SAFETY: the offsets are those of the input's extent, whose values are all there; blocks and panels
                    // lie within the filter, and a block that is widened has room; rows and panel lie within the output,
                    // whose pitch holds whole panels. No other task has the same rows of the same panel.
                    unsafe { micro.run(rows.len(), &tile) }
                }
            }
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// Octets of weights that stay at hand, and that do not.
    const FEW: usize = 100_000;
    const MANY: usize = 2_000_000;

    #[test]
    fn tasks_with_packed_inputs_do_every_tile_of_every_panel_once() {
        for (places, panels, octets, threads) in [
            (3136, 2, FEW, 2),
            (196, 8, FEW, 2),
            (49, 16, MANY, 16),
            (196, 64, MANY, 3),
            (1, 1, FEW, 4),
            (33, 5, FEW, 1),
        ] {
            let cut = Cut::packed(places, 32, (panels, octets), threads);
            let both = |task| {
                let (tiles, panels) = cut.task(task);
                tiles.flat_map(move |tile| panels.clone().map(move |panel| (tile, panel)))
            };
            let mut done: Vec<_> = (0..cut.tasks()).flat_map(both).collect();
            done.sort_unstable();
            let wanted: Vec<_> =
                (0..places.div_ceil(32)).flat_map(|tile| (0..panels).map(move |panel| (tile, panel))).collect();
            assert_eq!(done, wanted, "{places} places, {panels} panels, {threads} threads");
        }
    }

    #[test]
    fn weights_from_afar_are_read_once_and_places_are_packed_once_where_weights_are_few() {
        for threads in [1, 2] {
            assert_eq!(Cut::packed(49, 32, (16, MANY), threads).stretches, 1);
            assert_eq!(Cut::packed(3136, 32, (2, FEW), threads).groups, 1);
        }
    }

    #[test]
    fn most_of_many_threads_have_a_task() {
        for (places, panels, octets) in [(3136, 2, FEW), (196, 8, FEW), (49, 16, MANY), (49, 64, MANY)] {
            assert!(Cut::packed(places, 32, (panels, octets), 16).tasks() >= 14, "{places} places");
        }
    }
}
