//! What a convolution asks of its packed weights, whatever their numbers.

#[cfg(doc)]
use super::super::backward::Weights;
use super::super::filter::Rows;
use super::super::geometry::{Extent, Walk, Window};
use super::super::tile::Finish;
use super::Narrow;
use crate::model::architecture::{Architecture, Kernel, Layer};

/// Octets of an input that are read at once where whole matrices are multiplied: a filter has room for as many groups of
/// weights behind its last ones, which no input counts.
pub(in super::super) const READ_AT_ONCE: usize = 64;

/// What a convolution reads of its input for one place of its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) struct Reach {
    pub(in super::super) window: Window,
    pub(in super::super) walk: Walk,
    /// Channels of the input.
    pub(in super::super) inputs: usize,
}

impl Reach {
    /// What a layer of a network reads; the image is padded when it is interleaved.
    pub(in crate::model) fn of(architecture: &Architecture, index: usize) -> Option<Self> {
        let Layer { inputs, kernel: Kernel { size, stride }, .. } = *architecture.layers.get(index)?;
        let (walk, padding) = if index == architecture.stem { (Walk::Rows, 0) } else { (Walk::Places, size / 2) };
        Some(Self { window: Window { size, stride, padding }, walk, inputs })
    }

    /// Taps of the window as the walk counts them.
    pub(in crate::model) fn taps(&self) -> usize {
        match self.walk {
            Walk::Places => self.window.size * self.window.size,
            Walk::Rows => self.window.size,
        }
    }

    /// Values of a tap.
    pub(in crate::model) fn values(&self) -> usize {
        match self.walk {
            Walk::Places => self.inputs,
            Walk::Rows => self.window.size * self.inputs,
        }
    }

    /// The channel of the input that a value of a tap is of.
    pub(in crate::model) fn input(&self, value: usize) -> usize {
        value % self.inputs.max(1)
    }

    /// Where the weight of a value of a tap is among those of an output, `[inputs, size, size]`.
    pub(in super::super) fn index(&self, value: usize, tap: usize) -> usize {
        let size = self.window.size;
        match self.walk {
            Walk::Places => value * size * size + tap,
            Walk::Rows => (self.input(value) * size + tap) * size + value / self.inputs.max(1),
        }
    }

    /// The weights of an output, `[inputs, size, size]`, as `[taps, values]`, in `room` where they do not lie so.
    pub(in crate::model) fn by_taps<'a>(&self, weights: &'a [f32], room: &'a mut Vec<f32>) -> &'a [f32] {
        let taps = self.taps();
        if taps == 1 {
            return weights;
        }
        room.clear();
        for tap in 0..taps {
            match self.walk {
                Walk::Places => room.extend(weights.iter().skip(tap).step_by(taps)),
                Walk::Rows => room.extend((0..self.values()).filter_map(|value| weights.get(self.index(value, tap)))),
            }
        }
        room
    }

    /// What there is one of for each channel of the input, for each value of a tap.
    pub(in crate::model) fn of_values(&self, of_inputs: &[f32]) -> Vec<f32> {
        of_inputs.iter().cycle().take(self.values()).copied().collect()
    }
}

/// How what goes into a convolution and comes out of it is stored.
pub(in crate::model) struct Codes<'a, N: Narrow> {
    /// With zero 0 where the walk leaves padding out.
    pub(in super::super) input: &'a N::Code,
    pub(in super::super) output: &'a N::Code,
    /// What is added to the output.
    pub(in super::super) added: Option<&'a N::Code>,
}

/// Packed weights: for each panel of outputs, for each place of the window, for each group of inputs, the group's weights
/// of each output. Outputs are filled up with zeros to whole panels, inputs to whole pairs of groups.
pub(in crate::model) trait Filter<N: Narrow>: Send + Sync {
    /// Packs weights that reach so far, for panels of so many columns.
    fn pack(raw: &impl Rows, layer: &N::Layer, reach: Reach, columns: usize, codes: Codes<'_, N>) -> Self;

    /// Lays some weights, as they count, of a square of panels of so many columns: see [`Weights::turn`].
    fn turn(&self, tap: usize, panels: (usize, usize), columns: usize, to: &mut [f32]);

    /// What it reads.
    fn reach(&self) -> Reach;

    /// Channels that it makes.
    fn outputs(&self) -> usize;

    /// Panels of outputs.
    fn panels(&self) -> usize;

    /// The weights of one panel.
    fn panel(&self, panel: usize) -> &[N::Weight];

    /// What becomes of a panel's sums.
    fn ends(&self, panel: usize, finish: Finish<N::Value>) -> N::Ends;

    /// Values of a tap, filled up to whole pairs of groups.
    fn depth(&self) -> usize {
        self.reach().values().next_multiple_of(N::PAIR)
    }

    /// Taps of the window as the walk counts them.
    fn taps(&self) -> usize {
        self.reach().taps()
    }

    /// The extent that it makes of an input.
    fn output_of(&self, input: Extent) -> Extent {
        self.reach().window.output_of(input, self.outputs())
    }
}

/// A square of panels of so many columns, by [`Weights::turn`]: `widen` makes numbers of a group of weights, given the first of its
/// inputs and its output.
pub(in super::super) fn turned<N: Narrow, const GROUP: usize>(
    filter: &impl Filter<N>,
    tap: usize,
    (outputs, inputs): (usize, usize),
    (columns, own): (usize, usize),
    (to, widen): (&mut [f32], impl Fn(usize, usize, &[N::Weight; GROUP]) -> [f32; GROUP]),
) {
    to.fill(0.0);
    let (depth, first) = (filter.depth(), inputs * columns);
    let groups = depth.saturating_sub(first).min(columns) / GROUP;
    let mut done = 0;
    while done < columns {
        let output = outputs * columns + done;
        let rows = (own - output % own).min(columns - done);
        let weights = filter.panel(output / own).get((tap * depth + first) * own..).unwrap_or_default();
        let to = to.get_mut(done * columns..(done + rows) * columns).unwrap_or_default();
        for (at, group) in weights.chunks_exact(own * GROUP).take(groups).enumerate() {
            let each = group.as_chunks::<GROUP>().0.iter().skip(output % own);
            for (row, (weights, to)) in each.zip(to.chunks_exact_mut(columns)).enumerate() {
                if let Some(to) = to.as_chunks_mut().0.get_mut(at) {
                    *to = widen(first + at * GROUP, output + row, weights);
                }
            }
        }
        done += rows;
    }
}

/// Lays the weights of an output, `[taps, depth]`, where they go: of each of the panel's groups those at `column` are its.
pub(in super::super) fn lay<const GROUP: usize, W: Copy>(
    weights: &[W],
    panel: &mut [W],
    (column, columns): (usize, usize),
) {
    for (group, to) in weights.as_chunks::<GROUP>().0.iter().zip(panel.chunks_exact_mut(columns * GROUP)) {
        if let Some(to) = to.as_chunks_mut().0.get_mut(column) {
            *to = *group;
        }
    }
}
