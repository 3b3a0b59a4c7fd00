//! The weights of one convolution, in the order in which the micro-kernel reads them.

use std::ops::Range;

use super::buffer::Buffer;
use super::geometry::{Walk, Window};
use super::panels::{BLOCK, Panels, Room};
use super::tile::Micro;
use super::turn::{COLUMNS, turn};

/// What a filter is made from, some outputs at a time: so it passes through the processor's cache once.
pub(in crate::model) trait Rows {
    /// The weights of some outputs, `[outputs, inputs, size, size]`, in `room` where they are not at hand as they are; fewer
    /// where there are none.
    fn rows<'a>(&'a self, outputs: Range<usize>, room: &'a mut Vec<f32>) -> &'a [f32];

    /// `[outputs]`
    fn bias(&self) -> &[f32];

    /// One factor an output, where the weights are such products of numbers of half precision.
    fn scale(&self) -> Option<&[f32]> {
        None
    }

    /// What the factors multiply: some outputs' weights before it.
    fn unscaled<'a>(&'a self, outputs: Range<usize>, room: &'a mut Vec<f32>) -> &'a [f32] {
        self.rows(outputs, room)
    }
}

/// What a filter is made from.
pub(in crate::model) struct Raw {
    /// `[outputs, inputs, size, size]`
    pub(in crate::model) weights: Vec<f32>,
    /// `[outputs]`
    pub(in crate::model) bias: Vec<f32>,
}

impl Rows for Raw {
    fn rows<'a>(&'a self, Range { start, end }: Range<usize>, _room: &'a mut Vec<f32>) -> &'a [f32] {
        let each = self.weights.len() / self.bias.len().max(1);
        self.weights.get(start * each..end * each).unwrap_or_default()
    }

    fn bias(&self) -> &[f32] {
        &self.bias
    }
}

/// A stretch of the sum over window and input channels that is done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) tap: usize,
    pub(super) taps: usize,
    pub(super) channel: usize,
    pub(super) depth: usize,
    /// Sums of the panel before it.
    pub(super) before: usize,
}

/// Packed weights: for each panel of `columns` outputs, for each place of the window, for each input channel, the
/// weights of the panel's outputs. Outputs are filled up with zeros to whole panels.
pub(super) struct Filter {
    pub(super) window: Window,
    pub(super) walk: Walk,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    columns: usize,
    blocks: Vec<Block>,
    weights: Panels,
    bias: Buffer,
}

impl Filter {
    /// Packs for the micro-kernels' panels. Missing weights count as zero.
    pub(super) fn pack(raw: &impl Rows, inputs: usize, window: Window, walk: Walk, micro: &Micro) -> Self {
        let mut filter = Self::empty(raw.bias(), inputs, window, walk, micro.columns);
        let (mut room, places) = (Vec::new(), window.size * window.size);
        for (panel, outputs) in panels(filter.outputs, micro.columns).enumerate() {
            pack_panel(filter.panel_mut(panel), raw.rows(outputs, &mut room), (places, inputs), micro);
        }
        filter.settle();
        filter
    }

    /// The same in half precision, by the factors and what they multiply: the weights are the same bits when they are widened.
    pub(super) fn pack_halves(
        (raw, factors): (&impl Rows, &[f32]),
        inputs: usize,
        window: Window,
        micro: &Micro,
    ) -> Self {
        let filter = Self::of_extent(raw.bias(), inputs, window, Walk::Places, micro.columns);
        let (mut room, places, length) = (Vec::new(), window.size * window.size, filter.sums() * micro.columns);
        let weights = Panels::halves(length, factors, micro.columns, |panel, to| {
            let first = panel * micro.columns;
            let outputs = first..filter.outputs.min(first + micro.columns);
            pack_panel(to, raw.unscaled(outputs, &mut room), (places, inputs), micro);
        });
        weights.settle();
        Self { weights, ..filter }
    }

    /// A filter whose weights are zeros.
    pub(super) fn empty(bias: &[f32], inputs: usize, window: Window, walk: Walk, columns: usize) -> Self {
        let filter = Self::of_extent(bias, inputs, window, walk, columns);
        Self { weights: Panels::zeros(filter.panels() * columns * filter.sums()), ..filter }
    }

    /// A filter that knows its extent and bias only.
    pub(super) fn without_weights(bias: &[f32], inputs: usize, window: Window, columns: usize) -> Self {
        Self::of_extent(bias, inputs, window, Walk::Places, columns)
    }

    fn of_extent(of_outputs: &[f32], inputs: usize, window: Window, walk: Walk, columns: usize) -> Self {
        let outputs = of_outputs.len();
        let places = window.size * window.size;
        let mut bias = Buffer::zeroed(outputs.next_multiple_of(columns));
        for (to, from) in bias.values_mut().iter_mut().zip(of_outputs) {
            *to = *from;
        }
        let (taps, depth) = match walk {
            Walk::Places => (places, inputs),
            Walk::Rows => (window.size, window.size * inputs),
        };
        Self { window, walk, inputs, outputs, columns, blocks: blocks(taps, depth), weights: Panels::none(), bias }
    }

    /// The weights of one panel, to write to.
    pub(super) fn panel_mut(&mut self, panel: usize) -> &mut [f32] {
        let length = self.sums() * self.columns;
        self.weights.singles_mut(panel * length..(panel + 1) * length)
    }

    /// To be called when the weights are written.
    pub(super) fn settle(&self) {
        self.weights.settle();
    }

    /// One value an output, filled up with zeros to whole panels.
    pub(super) fn padded_bias(&self) -> &[f32] {
        self.bias.values()
    }

    /// Products that are summed up for each output.
    pub(super) fn sums(&self) -> usize {
        self.window.size * self.window.size * self.inputs
    }

    /// Panels of outputs.
    pub(super) fn panels(&self) -> usize {
        self.outputs.div_ceil(self.columns)
    }

    /// Taps of the window as the walk counts them.
    pub(super) fn taps(&self) -> usize {
        match self.walk {
            Walk::Places => self.window.size * self.window.size,
            Walk::Rows => self.window.size,
        }
    }

    /// The stretches of the sum, in order; the order is the same for every output whatever it is computed with.
    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The weights of some of a panel's sums, each a row of `columns`; in `room` where they have to be widened: no more than those of a
    /// block then.
    pub(super) fn rows<'a>(&'a self, panel: usize, sums: Range<usize>, room: &'a mut Room, micro: &Micro) -> &'a [f32] {
        debug_assert_eq!(self.columns, micro.columns);
        self.weights.rows(panel, self.place(panel, sums), room, micro)
    }

    /// The same as they are kept: what a processor reads from afar.
    pub(super) fn octets(&self, panel: usize, sums: Range<usize>) -> &[u8] {
        self.weights.octets(self.place(panel, sums))
    }

    /// Where those weights are among all.
    fn place(&self, panel: usize, sums: Range<usize>) -> Range<usize> {
        let first = panel * self.sums();
        (first + sums.start) * self.columns..(first + sums.end) * self.columns
    }

    /// The biases of one panel, `columns` of them.
    pub(super) fn panel_bias(&self, panel: usize) -> &[f32] {
        self.bias.values().get(panel * self.columns..(panel + 1) * self.columns).unwrap_or_default()
    }
}

/// The outputs of each panel.
pub(super) fn panels(outputs: usize, columns: usize) -> impl Iterator<Item = Range<usize>> {
    (0..outputs).step_by(columns.max(1)).map(move |start| start..outputs.min(start + columns))
}

/// The weights of a panel's outputs, `[outputs, inputs, places]`, into the panel, `[places, inputs, columns]`; missing outputs
/// are zeros.
pub(super) fn pack_panel(panel: &mut [f32], from: &[f32], (places, inputs): (usize, usize), micro: &Micro) {
    let (columns, sums) = (micro.columns, places * inputs);
    let mut square = [0.0; COLUMNS * COLUMNS];
    let square = square.get_mut(..columns * columns).unwrap_or_default();
    for first in (0..sums).step_by(columns) {
        let from = from.get(first..).unwrap_or_default();
        if let (1, Some(to)) = (places, panel.get_mut(first * columns..(first + columns) * columns)) {
            turn(micro, from, sums, to);
            continue;
        }
        turn(micro, from, sums, square);
        for (sum, weights) in (first..sums).zip(square.chunks_exact(columns)) {
            let at = (sum % places * inputs + sum / places) * columns;
            if let Some(to) = panel.get_mut(at..at + columns) {
                to.copy_from_slice(weights);
            }
        }
    }
}

/// Whole taps as long as they fit, else parts of one.
fn blocks(taps: usize, depth: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    if depth <= BLOCK {
        let most = BLOCK / depth.max(1);
        for tap in (0..taps).step_by(most.max(1)) {
            blocks.push(Block { tap, taps: most.min(taps - tap), channel: 0, depth, before: tap * depth });
        }
    } else {
        for tap in 0..taps {
            for channel in (0..depth).step_by(BLOCK) {
                let part = BLOCK.min(depth - channel);
                blocks.push(Block { tap, taps: 1, channel, depth: part, before: tap * depth + channel });
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::super::isa::Isa;
    use super::super::tests::Scaled;
    use super::*;

    #[test]
    fn weights_lie_by_panel_place_input_and_output() {
        for (inputs, outputs, size) in
            [(1, 1, 1), (3, 20, 7), (5, 16, 3), (300, 33, 1), (7, 2, 3), (64, 64, 1), (32, 32, 3)]
        {
            let weights: Vec<f32> = (0..inputs * outputs * size * size).map(|index| index as f32).collect();
            let bias: Vec<f32> = (0..outputs).map(|index| -(index as f32)).collect();
            let window = Window { size, stride: 1, padding: size / 2 };
            let raw = Raw { weights, bias };
            for micro in Isa::available().map(Micro::of) {
                let (filter, columns) = (Filter::pack(&raw, inputs, window, Walk::Places, micro), micro.columns);
                for (index, weight) in raw.weights.iter().enumerate() {
                    let (output, input, place) =
                        (index / (inputs * size * size), index / (size * size) % inputs, index % (size * size));
                    let at = (place * inputs + input) * columns + output % columns;
                    let found = filter.rows(output / columns, 0..filter.sums(), &mut Room::new(), micro)[at];
                    assert_eq!(found, *weight, "{:?}", micro.isa);
                }
                let others = |weights: &[f32]| weights.iter().filter(|weight| **weight != 0.0).count();
                let panel = |panel| others(filter.rows(panel, 0..filter.sums(), &mut Room::new(), micro));
                let packed: usize = (0..filter.panels()).map(panel).sum();
                assert_eq!(packed, others(&raw.weights), "missing outputs are zeros");
                assert_eq!(filter.padded_bias().get(..outputs), Some(raw.bias.as_slice()));
            }
        }
    }

    #[test]
    fn weights_of_half_precision_are_widened_to_the_same_bits_and_take_half_the_memory() {
        let mut random = fastrand::Rng::with_seed(7);
        for (inputs, outputs, size) in [(1, 1, 1), (5, 16, 3), (300, 33, 1), (7, 70, 3)] {
            let weights = (0..inputs * outputs * size * size).map(|_| random.f32() * 4.0 - 2.0).collect();
            let scaled = Scaled::of(&Raw { weights, bias: vec![0.5; outputs] }, random.f32());
            let window = Window { size, stride: 1, padding: size / 2 };
            for micro in Isa::available().map(Micro::of) {
                let wide = Filter::pack(&scaled.product, inputs, window, Walk::Places, micro);
                let narrow = Filter::pack_halves((&scaled, &scaled.scale), inputs, window, micro);
                for (panel, block) in
                    (0..wide.panels()).flat_map(|panel| wide.blocks().iter().map(move |block| (panel, block)))
                {
                    let sums = block.before..block.before + block.taps * block.depth;
                    let [mut room, mut none] = [Room::new(), Room::new()];
                    let found = narrow.rows(panel, sums.clone(), &mut room, micro);
                    assert_eq!(found.len(), sums.len() * micro.columns);
                    assert_eq!(found, wide.rows(panel, sums.clone(), &mut none, micro), "{:?}", micro.isa);
                    assert_eq!(2 * narrow.octets(panel, sums.clone()).len(), wide.octets(panel, sums).len());
                }
                assert_eq!(narrow.padded_bias(), wide.padded_bias());
            }
        }
    }

    #[test]
    fn blocks_cover_every_product_once_and_in_order() {
        for (taps, depth) in [(1, 1), (9, 64), (9, 100), (1, 2048), (9, 512), (7, 21), (4, 257)] {
            let blocks = blocks(taps, depth);
            let mut next = 0;
            for block in &blocks {
                assert_eq!(block.before, next);
                assert_eq!(block.tap * depth + block.channel, next);
                next += block.taps * block.depth;
                assert!(block.taps * block.depth <= BLOCK);
            }
            assert_eq!(next, taps * depth);
        }
    }
}
