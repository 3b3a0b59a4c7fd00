//! The packed weights of a convolution, whatever their numbers, and what it asks of them.

use bytemuck::{Pod, Zeroable};

#[cfg(doc)]
use super::super::backward::Weights;
use super::super::buffer::Buffer;
use super::super::filter::{Rows, panels};
use super::super::geometry::{Extent, Walk, Window};
use super::super::tile::Finish;
use super::{Narrow, OCTETS_OF_A_GROUP};
use crate::model::architecture::{Architecture, Kernel, Layer};

/// Octets of an input that are read at once where whole matrices are multiplied: a filter has room for as many groups of
/// weights behind its last ones, which no input counts.
const READ_AT_ONCE: usize = 64;

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

/// The packed weights of one convolution, and what becomes of its sums.
pub(in crate::model) trait Filter<N: Narrow>: Sized + Send + Sync {
    /// Packs weights that reach so far, for panels of so many columns.
    fn pack(raw: &impl Rows, layer: &N::Layer, reach: Reach, columns: usize, codes: Codes<'_, N>) -> Self;

    /// The weights.
    fn weights(&self) -> &Panels<N>;

    /// What becomes of a panel's sums.
    fn ends(&self, panel: usize, finish: Finish<N::Value>) -> N::Ends;

    /// Lays some weights, as they count, of a square of panels of so many columns: see [`Weights::turn`].
    fn turn(&self, tap: usize, panels: (usize, usize), columns: usize, to: &mut [f32]);

    /// What it reads.
    fn reach(&self) -> Reach {
        self.weights().reach
    }

    /// Channels that it makes.
    fn outputs(&self) -> usize {
        self.weights().outputs
    }

    /// Panels of outputs.
    fn panels(&self) -> usize {
        self.outputs().div_ceil(self.weights().columns)
    }

    /// The weights of one panel.
    fn panel(&self, panel: usize) -> &[N::Weight] {
        self.weights().panel(panel)
    }

    /// Values of a tap, filled up to whole pairs of groups.
    fn depth(&self) -> usize {
        depth::<N>(self.reach())
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

/// Packed weights: for each panel of outputs, for each tap, for each group of values, the group's weights of each output. Outputs are
/// filled up with zeros to whole panels, values to whole pairs of groups.
pub(in crate::model) struct Panels<N: Narrow> {
    reach: Reach,
    outputs: usize,
    pub(in super::super) columns: usize,
    weights: Buffer<N::Weight>,
}

impl<N: Narrow> Panels<N> {
    /// For panels of so many columns. `narrow` is given each output, its weights, `[taps, values]`, and where they go, `[taps,
    /// depth]`, which is zeros behind the values.
    pub(in super::super) fn new(
        raw: &impl Rows,
        (reach, outputs): (Reach, usize),
        columns: usize,
        mut narrow: impl FnMut(usize, &[f32], &mut [N::Weight]),
    ) -> Self {
        let each = reach.taps() * depth::<N>(reach);
        let padded = outputs.next_multiple_of(columns);
        let mut weights = Buffer::in_small_pages(padded * each + READ_AT_ONCE * columns);
        let to = weights.values_mut().chunks_exact_mut((each * columns).max(1));
        let (mut rows, mut by_taps, mut narrowed) = (Vec::new(), Vec::new(), vec![N::Weight::zeroed(); each]);
        for (panel, outputs) in to.zip(panels(outputs, columns)) {
            let from = raw.rows(outputs.clone(), &mut rows).chunks_exact((reach.taps() * reach.values()).max(1));
            for ((column, output), from) in outputs.enumerate().zip(from) {
                narrow(output, reach.by_taps(from, &mut by_taps), &mut narrowed);
                lay(&narrowed, panel, (column, columns));
            }
        }
        weights.settle();
        Self { reach, outputs, columns, weights }
    }

    /// Those of one panel.
    fn panel(&self, panel: usize) -> &[N::Weight] {
        let length = self.reach.taps() * depth::<N>(self.reach) * self.columns;
        self.weights.values().get(panel * length..(panel + 1) * length).unwrap_or_default()
    }

    /// A square of panels of so many columns, by [`Weights::turn`]: `widen` makes numbers of a group of weights, given the
    /// first of its inputs and its output.
    pub(in super::super) fn turn<const GROUP: usize>(
        &self,
        tap: usize,
        (outputs, inputs): (usize, usize),
        columns: usize,
        (to, widen): (&mut [f32], impl Fn(usize, usize, &[N::Weight; GROUP]) -> [f32; GROUP]),
    ) {
        to.fill(0.0);
        let (own, depth, first) = (self.columns, depth::<N>(self.reach), inputs * columns);
        let groups = depth.saturating_sub(first).min(columns) / GROUP;
        let mut done = 0;
        while done < columns {
            let output = outputs * columns + done;
            let rows = (own - output % own).min(columns - done);
            let weights = self.panel(output / own).get((tap * depth + first) * own..).unwrap_or_default();
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
}

/// Values of a tap, filled up to whole pairs of groups.
fn depth<N: Narrow>(reach: Reach) -> usize {
    reach.values().next_multiple_of(N::PAIR)
}

/// Lays the weights of an output, `[taps, depth]`, where they go: of each of the panel's groups those at `column` are its.
fn lay<W: Pod>(weights: &[W], panel: &mut [W], (column, columns): (usize, usize)) {
    let (groups, panel) = (by_groups(weights), by_groups_mut(panel));
    for (group, to) in groups.iter().zip(panel.iter_mut().skip(column).step_by(columns)) {
        *to = *group;
    }
}

/// Whole groups of weights.
fn by_groups<W: Pod>(weights: &[W]) -> &[[u8; OCTETS_OF_A_GROUP]] {
    bytemuck::cast_slice::<_, u8>(weights).as_chunks().0
}

/// Whole groups of weights, to write to.
fn by_groups_mut<W: Pod>(weights: &mut [W]) -> &mut [[u8; OCTETS_OF_A_GROUP]] {
    bytemuck::cast_slice_mut::<_, u8>(weights).as_chunks_mut().0
}
