//! The weights of one convolution in bf16, in the order in which the micro-kernel reads them.

use super::super::buffer::Buffer;
use super::super::filter::{Rows, panels};
use super::super::narrow::Narrow;
use super::super::narrow::filter::{Codes, Filter as Packed, READ_AT_ONCE, Reach, lay, turned};
use super::super::tile::Finish;
use super::lane::{Ends, rounded, single};
use super::{AsIs, Bf16};

/// Inputs that a register multiplies at once for each column.
pub(super) const GROUP: usize = Bf16::GROUP;

/// Packed weights.
pub(in crate::model) struct Filter {
    reach: Reach,
    outputs: usize,
    columns: usize,
    weights: Buffer<u16>,
    bias: Buffer<f32>,
}

impl Packed<Bf16> for Filter {
    fn pack(raw: &impl Rows, _layer: &AsIs, reach: Reach, columns: usize, _codes: Codes<'_, Bf16>) -> Self {
        let (outputs, taps, values) = (raw.bias().len(), reach.taps(), reach.values());
        let (padded, depth) = (outputs.next_multiple_of(columns), values.next_multiple_of(Bf16::PAIR));
        let mut weights = Buffer::in_small_pages(padded * taps * depth + READ_AT_ONCE * columns);
        let to = weights.values_mut().chunks_exact_mut((taps * depth * columns).max(1));
        let (mut rows, mut by_taps, mut narrow) = (Vec::new(), Vec::new(), vec![0; taps * depth]);
        for (panel, outputs) in to.zip(panels(outputs, columns)) {
            for (column, from) in raw.rows(outputs, &mut rows).chunks_exact(taps * values).enumerate() {
                let from = reach.by_taps(from, &mut by_taps).chunks(values);
                for (from, to) in from.zip(narrow.chunks_mut(depth)) {
                    from.iter().zip(to).for_each(|(from, to)| *to = rounded(*from));
                }
                lay::<GROUP, _>(&narrow, panel, (column, columns));
            }
        }
        weights.settle();
        let mut bias = Buffer::zeroed(padded);
        bias.values_mut().iter_mut().zip(raw.bias()).for_each(|(to, from)| *to = *from);
        Self { reach, outputs, columns, weights, bias }
    }

    fn turn(&self, tap: usize, panels: (usize, usize), columns: usize, to: &mut [f32]) {
        let widen = |_, _, weights: &[u16; GROUP]| weights.map(single);
        turned::<Bf16, GROUP>(self, tap, panels, (columns, self.columns), (to, widen));
    }

    fn reach(&self) -> Reach {
        self.reach
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn panels(&self) -> usize {
        self.outputs.div_ceil(self.columns)
    }

    fn panel(&self, panel: usize) -> &[u16] {
        let length = self.taps() * self.depth() * self.columns;
        self.weights.values().get(panel * length..(panel + 1) * length).unwrap_or_default()
    }

    fn ends(&self, panel: usize, finish: Finish<u16>) -> Ends {
        let bias = self.bias.values().as_ptr().wrapping_add(panel * self.columns);
        let (least, added) = match finish {
            Finish::Keep => (f32::NEG_INFINITY, None),
            Finish::Rectify => (0.0, None),
            Finish::AddAndRectify(added) => (0.0, Some(added)),
        };
        Ends { bias, least, added }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::filter::Raw;
    use super::super::super::geometry::Window;
    use super::super::super::narrow::rig;
    use super::*;

    #[test]
    fn weights_come_back_rounded() {
        let mut random = fastrand::Rng::with_seed(1);
        for (reach, outputs) in rig::filters() {
            let Reach { window: Window { size, .. }, inputs, .. } = reach;
            let weights: Vec<f32> = (0..inputs * outputs * size * size).map(|_| random.f32() - 0.3).collect();
            let raw = Raw { weights, bias: vec![0.3; outputs] };
            let codes = Codes { input: &AsIs, output: &AsIs, added: None };
            let filter = Filter::pack(&raw, &AsIs, reach, 16, codes);
            let wanted = raw.weights.iter().map(|weight| single(rounded(*weight)));
            assert_eq!(rig::unpacked(&filter), wanted.collect::<Vec<_>>(), "{inputs} {outputs} {size}");
            assert_eq!(filter.bias.values().get(..outputs), Some(raw.bias.as_slice()));
        }
    }
}
