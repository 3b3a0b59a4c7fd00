//! Whether this processor's instructions give the octets that the plain kernel gives: tried once, before anything relies on
//! them.

use std::sync::OnceLock;

use super::super::filter::Raw;
use super::super::isa::Isa;
use super::super::narrow::Narrow;
use super::super::narrow::filter::{Codes, Filter as _, Reach};
use super::super::narrow::tile::Micro;
use super::super::narrow::trust::{outputs, trials};
use super::super::trust::{CHANNELS, Numbers, best};
use super::filter::{Code, Filter};
use super::{Coded, Int8};

/// The instructions whose kernels compute in eight bits: the best that are available, chosen and agree with the plain ones;
/// the log names those that do not.
pub fn trusted() -> Isa {
    static TRUSTED: OnceLock<Isa> = OnceLock::new();
    *TRUSTED.get_or_init(|| best("int8", |isa| Int8::micro(isa).isa, |isa| agrees(Int8::micro(isa))))
}

fn agrees(micro: &Micro<Int8>) -> bool {
    let plain = Int8::micro(Isa::Plain);
    let octet = |numbers: &mut Numbers| numbers.next() as u8;
    trials::<Int8>(micro.rows).all(|(reach, extent)| {
        let octets = |micro| outputs(micro, &filter(micro, reach), extent, octet);
        octets(micro) == octets(plain)
    })
}

/// Random weights.
fn filter(micro: &Micro<Int8>, reach: Reach) -> Filter {
    let (inputs, outputs) = (reach.inputs, CHANNELS.1);
    let mut numbers = Numbers::new();
    let weights = numbers.values(outputs * inputs * reach.window.size.pow(2));
    let raw = Raw { weights, bias: vec![0.0; outputs] };
    let layer = Coded { steps: vec![0.0001; outputs], bias: numbers.values(outputs) };
    let code = |channels, step, zero| Code { steps: vec![step; channels], zero };
    let (input, output, added) = (code(inputs, 0.01, 0), code(outputs, 0.02, 100), code(outputs, 0.01, 128));
    let codes = Codes { input: &input, output: &output, added: Some(&added) };
    Filter::pack(&raw, &layer, reach, micro.columns, codes)
}

#[cfg(test)]
mod tests {
    use super::super::super::trust::first_trusted;
    use super::super::tile::wrong;
    use super::*;

    #[test]
    fn every_form_that_this_processor_has_instructions_for_is_trusted() {
        for isa in Isa::available() {
            assert!(agrees(Int8::micro(isa)), "{isa:?}");
        }
        assert_eq!(trusted(), Int8::micro(Isa::chosen()).isa);
    }

    #[test]
    fn a_kernel_that_sums_up_wrongly_is_left_out() {
        let wrong = wrong();
        assert!(!agrees(wrong));
        assert_eq!(first_trusted(&[wrong.isa, Isa::Plain], "int8", |_| agrees(wrong)), Isa::Plain);
    }
}
