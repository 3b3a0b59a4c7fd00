//! What a convolution asks of its packed weights, whatever their numbers.

use super::super::filter::Raw;
use super::super::geometry::{Extent, Window};
use super::super::tile::Finish;
use super::Narrow;

/// Octets of an input that are read at once where whole matrices are multiplied: a filter has room for as many groups of
/// weights behind its last ones, which no input counts.
pub(in super::super) const READ_AT_ONCE: usize = 64;

/// How what goes into a convolution and comes out of it is stored.
pub(in crate::model) struct Codes<'a, N: Narrow> {
    /// With zero 0.
    pub(in super::super) input: &'a N::Code,
    pub(in super::super) output: &'a N::Code,
    /// What is added to the output.
    pub(in super::super) added: Option<&'a N::Code>,
}

/// Packed weights: for each panel of outputs, for each place of the window, for each group of inputs, the group's weights
/// of each output. Outputs are filled up with zeros to whole panels, inputs to whole pairs of groups.
pub(in crate::model) trait Filter<N: Narrow>: Send + Sync {
    /// Packs weights that see a window, for panels of so many columns.
    fn pack(
        raw: &Raw,
        inputs: usize,
        layer: &N::Layer,
        window_and_columns: (Window, usize),
        codes: Codes<'_, N>,
    ) -> Self;

    /// The weights as they count, `[outputs, inputs, size, size]`, and the bias.
    fn unpack(&self) -> Raw;

    /// The window that it moves over its input.
    fn window(&self) -> Window;

    /// Channels that it reads.
    fn inputs(&self) -> usize;

    /// Channels that it makes.
    fn outputs(&self) -> usize;

    /// Panels of outputs.
    fn panels(&self) -> usize;

    /// The weights of one panel.
    fn panel(&self, panel: usize) -> &[N::Weight];

    /// What becomes of a panel's sums.
    fn ends(&self, panel: usize, finish: Finish<N::Value>) -> N::Ends;

    /// Inputs, filled up to whole pairs of groups.
    fn depth(&self) -> usize {
        self.inputs().next_multiple_of(N::PAIR)
    }

    /// Taps of the window.
    fn taps(&self) -> usize {
        self.window().size * self.window().size
    }

    /// The extent that it makes of an input.
    fn output_of(&self, input: Extent) -> Extent {
        self.window().output_of(input, self.outputs())
    }
}

/// Where the weights of each output go: a panel's groups, of which those at `column` are the output's.
pub(in super::super) fn lay<const GROUP: usize, W: Copy>(
    groups: impl Iterator<Item = [W; GROUP]>,
    panel: &mut [W],
    (column, columns): (usize, usize),
) {
    for (group, to) in groups.zip(panel.chunks_exact_mut(columns * GROUP)) {
        if let Some(to) = to.as_chunks_mut().0.get_mut(column) {
            *to = group;
        }
    }
}
