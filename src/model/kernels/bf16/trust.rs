//! Whether this processor's instructions give nearly what the plain kernel gives: tried once, before anything relies on them.

use std::sync::OnceLock;

use super::super::filter::Raw;
use super::super::isa::Isa;
use super::super::narrow::Narrow;
use super::super::narrow::filter::{Codes, Filter as _};
use super::super::narrow::tile::Micro;
use super::super::narrow::trust::{Trial, outputs, trials};
use super::super::trust::{CHANNELS, Numbers, best};
use super::filter::Filter;
use super::lane::{rounded, single};
use super::{AsIs, Bf16};

/// How far two outputs of a trial may be apart, which were summed up in another order, as part of the larger one: two steps of
/// bf16.
const ROUNDING: f32 = 1.0 / 64.0;

/// The same for outputs below 1.
const NEAR_ZERO: f32 = 1e-3;

/// The instructions whose kernels compute in bf16: the best that are available, chosen and agree with the plain ones; the log
/// names those that do not.
pub fn trusted() -> Isa {
    static TRUSTED: OnceLock<Isa> = OnceLock::new();
    *TRUSTED.get_or_init(|| best("bf16", |isa| Bf16::micro(isa).isa, |isa| agrees(Bf16::micro(isa))))
}

fn agrees(micro: &Micro<Bf16>) -> bool {
    let plain = Bf16::micro(Isa::Plain);
    trials::<Bf16>(micro.rows).all(|trial| near(&numbers(micro, trial), &numbers(plain, trial)))
}

/// What a trial with random weights gives.
fn numbers(micro: &Micro<Bf16>, (reach, extent): Trial) -> Vec<f32> {
    let mut numbers = Numbers::new();
    let weights = numbers.values(CHANNELS.1 * reach.inputs * reach.window.size.pow(2));
    let raw = Raw { weights, bias: numbers.values(CHANNELS.1) };
    let codes = Codes { input: &AsIs, output: &AsIs, added: Some(&AsIs) };
    let filter = Filter::pack(&raw, &AsIs, reach, micro.columns, codes);
    let value = |numbers: &mut Numbers| rounded(numbers.values(1).iter().sum());
    outputs(micro, &filter, extent, value).into_iter().map(single).collect()
}

/// Nothing is near to what is no number.
fn near(found: &[f32], wanted: &[f32]) -> bool {
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= (a.max(*b) * ROUNDING).max(NEAR_ZERO);
    found.len() == wanted.len() && found.iter().zip(wanted).all(near)
}

#[cfg(test)]
mod tests {
    use super::super::super::trust::first_trusted;
    use super::super::tile::wrong;
    use super::*;

    #[test]
    fn every_form_that_this_processor_has_instructions_for_is_trusted() {
        for isa in Isa::available() {
            assert!(agrees(Bf16::micro(isa)), "{isa:?}");
        }
        assert_eq!(trusted(), Bf16::micro(Isa::chosen()).isa);
    }

    #[test]
    fn a_form_that_forgets_a_place_or_is_no_number_is_left_out() {
        let wrong = wrong();
        assert!(!agrees(wrong) && !near(&[f32::NAN], &[f32::NAN]));
        assert_eq!(first_trusted(&[wrong.isa, Isa::Plain], "bf16", |_| agrees(wrong)), Isa::Plain);
    }
}
