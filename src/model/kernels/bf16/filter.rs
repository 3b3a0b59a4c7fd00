//! The weights of one convolution in bf16, in the order in which the micro-kernel reads them.

use std::borrow::Cow;

use super::super::buffer::Buffer;
use super::super::filter::Rows;
use super::super::narrow::Narrow;
use super::super::narrow::filter::{self, Codes, Panels, Reach};
use super::super::tile::Finish;
use super::lane::{Ends, rounded};
use super::{AsIs, Bf16};

/// Inputs that a register multiplies at once for each column.
pub(super) const GROUP: usize = Bf16::GROUP;

/// Packed weights.
pub(in crate::model) struct Filter {
    weights: Panels<Bf16>,
    bias: Buffer<f32>,
}

impl filter::Filter<Bf16> for Filter {
    fn pack(raw: &impl Rows, _layer: &AsIs, reach: Reach, columns: usize, _codes: Codes<'_, Bf16>) -> Self {
        let outputs = raw.bias().len();
        let weights = Panels::new(raw, (reach, outputs), columns, |_, from, to| {
            let depth = to.len() / reach.taps();
            for (from, to) in from.chunks(reach.values()).zip(to.chunks_mut(depth)) {
                from.iter().zip(to).for_each(|(from, to)| *to = rounded(*from));
            }
        });
        let mut bias = Buffer::zeroed(outputs.next_multiple_of(columns));
        bias.values_mut().iter_mut().zip(raw.bias()).for_each(|(to, from)| *to = *from);
        Self { weights, bias }
    }

    fn weights(&self) -> &Panels<Bf16> {
        &self.weights
    }

    fn ends(&self, panel: usize, finish: Finish<u16>) -> Ends {
        let bias = self.bias.values().as_ptr().wrapping_add(panel * self.weights.columns);
        let (least, added) = match finish {
            Finish::Keep => (f32::NEG_INFINITY, None),
            Finish::Rectify => (0.0, None),
            Finish::AddAndRectify(added) => (0.0, Some(added)),
        };
        Ends { bias, least, added }
    }

    fn turn(&self, tap: usize, panel: usize, to: &mut [u16]) {
        self.weights.turn::<GROUP>((tap, panel), to, |[[a, b], [c, d]]| [[a, c], [b, d]]);
    }

    fn steps(&self) -> (Cow<'_, [f32]>, Cow<'_, [f32]>) {
        (vec![1.0; self.outputs()].into(), vec![1.0; self.reach().values()].into())
    }

    fn slope_code(&self, _largest: f32) -> (f32, f32) {
        (1.0, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::filter::Raw;
    use super::super::super::geometry::Window;
    use super::super::super::narrow::filter::Filter as _;
    use super::super::super::narrow::rig;
    use super::super::lane::single;
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
            assert_eq!(rig::unpacked(&filter, single), wanted.collect::<Vec<_>>(), "{inputs} {outputs} {size}");
            assert_eq!(filter.bias.values().get(..outputs), Some(raw.bias.as_slice()));
        }
    }
}
