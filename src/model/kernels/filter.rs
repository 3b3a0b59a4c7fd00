//! The weights of one convolution, in the order in which the micro-kernel reads them.

use std::ops::Range;

use super::buffer::Buffer;
use super::geometry::{Walk, Window};

/// Inputs that are summed over before the next panel block: with a panel's columns they take half of a first-level
/// cache.
const BLOCK: usize = 256;

/// Inputs that are packed for all outputs of a panel before the next ones: so much of the panel is in the first-level
/// cache while it is written to in leaps.
const INPUTS_AT_ONCE: usize = 64;

/// What a filter is made from, some outputs at a time: so it passes through the processor's cache once.
pub(in crate::model) trait Rows {
    /// The weights of some outputs, `[outputs, inputs, size, size]`, in `room` where they are not at hand as they are; fewer
    /// where there are none.
    fn rows<'a>(&'a self, outputs: Range<usize>, room: &'a mut Vec<f32>) -> &'a [f32];

    /// `[outputs]`
    fn bias(&self) -> &[f32];
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
    weights: Buffer,
    bias: Buffer,
}

impl Filter {
    /// Packs for panels of `columns`. Missing weights count as zero.
    pub(super) fn pack(raw: &impl Rows, inputs: usize, window: Window, walk: Walk, columns: usize) -> Self {
        let mut filter = Self::empty(raw.bias(), inputs, window, walk, columns);
        let mut room = Vec::new();
        for (panel, outputs) in panels(filter.outputs, columns).enumerate() {
            filter.fill(panel, raw.rows(outputs, &mut room));
        }
        filter.weights.settle();
        filter
    }

    /// A filter whose weights are zeros.
    pub(super) fn empty(of_outputs: &[f32], inputs: usize, window: Window, walk: Walk, columns: usize) -> Self {
        let outputs = of_outputs.len();
        let padded = outputs.next_multiple_of(columns);
        let places = window.size * window.size;
        let weights = Buffer::in_small_pages(padded * places * inputs);
        let mut bias = Buffer::zeroed(padded);
        for (to, from) in bias.values_mut().iter_mut().zip(of_outputs) {
            *to = *from;
        }
        let (taps, depth) = match walk {
            Walk::Places => (places, inputs),
            Walk::Rows => (window.size, window.size * inputs),
        };
        Self { window, walk, inputs, outputs, columns, blocks: blocks(taps, depth), weights, bias }
    }

    /// Packs the weights of the outputs of one panel, `[outputs, inputs, size, size]`.
    pub(super) fn fill(&mut self, panel: usize, from: &[f32]) {
        let (inputs, columns, sums) = (self.inputs, self.columns, self.sums());
        let length = sums * columns;
        if let Some(panel) = self.weights.values_mut().get_mut(panel * length..(panel + 1) * length)
            && sums > 0
        {
            pack_panel(panel, from, (sums / inputs, inputs), columns);
        }
    }

    /// One value an output, filled up with zeros to whole panels.
    pub(super) fn padded_bias(&self) -> &[f32] {
        self.bias.values()
    }

    /// A filter that knows its extent and bias only.
    pub(super) fn without_weights(bias: &[f32], inputs: usize, window: Window, columns: usize) -> Self {
        Self { weights: Buffer::zeroed(0), ..Self::empty(bias, inputs, window, Walk::Places, columns) }
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

    /// The weights of one panel, `sums` times `columns`.
    pub(super) fn panel(&self, panel: usize) -> &[f32] {
        let length = self.sums() * self.columns;
        self.weights.values().get(panel * length..(panel + 1) * length).unwrap_or_default()
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

/// The weights of a panel's outputs, `[outputs, inputs, places]`, into the panel, `[places, inputs, columns]`.
fn pack_panel(panel: &mut [f32], from: &[f32], (places, inputs): (usize, usize), columns: usize) {
    for (place, panel) in panel.chunks_exact_mut(inputs * columns).enumerate() {
        for (block, panel) in panel.chunks_mut(INPUTS_AT_ONCE * columns).enumerate() {
            for (column, from) in from.chunks_exact(places * inputs).enumerate() {
                let from = from.get(block * INPUTS_AT_ONCE * places + place..).unwrap_or_default();
                let to = panel.iter_mut().skip(column).step_by(columns);
                to.zip(from.iter().step_by(places)).for_each(|(to, from)| *to = *from);
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
    use super::*;

    #[test]
    fn weights_lie_by_panel_place_input_and_output() {
        for (inputs, outputs, size) in [(1, 1, 1), (3, 20, 7), (5, 16, 3), (300, 33, 1), (7, 2, 3)] {
            let weights: Vec<f32> = (0..inputs * outputs * size * size).map(|index| index as f32).collect();
            let bias: Vec<f32> = (0..outputs).map(|index| -(index as f32)).collect();
            let window = Window { size, stride: 1, padding: size / 2 };
            let raw = Raw { weights, bias };
            let filter = Filter::pack(&raw, inputs, window, Walk::Places, 16);
            for (index, weight) in raw.weights.iter().enumerate() {
                let (output, input, place) =
                    (index / (inputs * size * size), index / (size * size) % inputs, index % (size * size));
                assert_eq!(filter.panel(output / 16)[(place * inputs + input) * 16 + output % 16], *weight);
            }
            assert_eq!(filter.padded_bias().get(..outputs), Some(raw.bias.as_slice()));
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
