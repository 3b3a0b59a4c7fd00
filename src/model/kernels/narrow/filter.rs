//! The packed weights of a convolution, whatever their numbers, and what it asks of them.

use std::borrow::Cow;

use bytemuck::{Pod, Zeroable};

use super::super::buffer::Buffer;
use super::super::filter::{Rows, panels};
use super::super::geometry::{Extent, OCTETS_OF_A_LINE, Walk, Window};
use super::super::lane::ask_for;
use super::super::tile::Finish;
use super::{Narrow, OCTETS_OF_A_GROUP};
use crate::model::architecture::{Architecture, Kernel, Layer};

/// Octets of an input that are read at once where whole matrices are multiplied: a filter has room for as many groups of
/// weights behind its last ones, which no input counts.
const READ_AT_ONCE: usize = 64;

/// Panels that are asked for before one is turned over: they lie too far apart for the processor to see it coming.
const TURNED_AHEAD: usize = 6;

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

    /// The weights of a panel of inputs, turned over: see [`Panels::turn`].
    fn turn(&self, tap: usize, panel: usize, to: &mut [N::Weight]);

    /// What a weight of one step counts, for each output, and for each value of a tap.
    fn steps(&self) -> (Cow<'_, [f32]>, Cow<'_, [f32]>);

    /// How slopes are stored of which none is larger than this, multiplied with the step of its output: their step, and what 0 is
    /// stored as.
    fn slope_code(&self, largest: f32) -> (f32, f32);

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
        self.reach().window.output_of::<N::Value>(input, self.outputs())
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
        let mut weights = Buffer::to_keep(padded * each + READ_AT_ONCE * columns);
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

    /// Those of one panel after the other.
    pub(in super::super) fn panels(&self) -> impl Iterator<Item = &[N::Weight]> {
        (0..self.outputs.div_ceil(self.columns)).map(|panel| self.panel(panel))
    }

    /// Those of one panel.
    fn panel(&self, panel: usize) -> &[N::Weight] {
        let length = self.reach.taps() * depth::<N>(self.reach) * self.columns;
        self.weights.values().get(panel * length..(panel + 1) * length).unwrap_or_default()
    }

    /// The weights of a panel's inputs by a tap for all outputs, turned over: for each group of outputs, the group's weights of each of the
    /// inputs. Inputs that there are not leave what is there. `square` turns the weights of a group of inputs and a group of outputs.
    pub(in super::super) fn turn<const GROUP: usize>(
        &self,
        (tap, panel): (usize, usize),
        to: &mut [N::Weight],
        square: impl Fn([[N::Weight; GROUP]; GROUP]) -> [[N::Weight; GROUP]; GROUP],
    ) {
        let (columns, depth) = (self.columns, depth::<N>(self.reach));
        let (first, end) = ((tap * depth + panel * columns) * columns, (tap + 1) * depth * columns);
        let of_inputs =
            |outputs| self.panel(outputs).get(first..end.min(first + columns * columns)).unwrap_or_default();
        for (outputs, to) in to.chunks_exact_mut(columns * columns).enumerate() {
            of_inputs(outputs + TURNED_AHEAD)
                .chunks(OCTETS_OF_A_LINE / OCTETS_OF_A_GROUP * GROUP)
                .for_each(|line| ask_for(line.as_ptr().cast()));
            // One group of inputs after the other, and of each the groups of outputs; then the other way round.
            let from = of_inputs(outputs).as_chunks::<GROUP>().0.as_chunks::<GROUP>().0;
            let (to, across) = (to.as_chunks_mut::<GROUP>().0.as_chunks_mut::<GROUP>().0, columns / GROUP);
            for (outputs, to) in to.chunks_exact_mut(across).enumerate() {
                for (to, from) in to.iter_mut().zip(from.iter().skip(outputs).step_by(across)) {
                    *to = square(*from);
                }
            }
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
