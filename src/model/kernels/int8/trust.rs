//! Whether this processor's instructions give the octets that the plain kernel gives: tried once, before anything relies on
//! them.

use std::sync::OnceLock;

use super::super::filter::Raw;
use super::super::geometry::{Extent, Offsets, Window};
use super::super::isa::Isa;
use super::super::slots::{SLOTS, Slots};
use super::super::trust::{CHANNELS, Numbers, best, trials, view};
use super::convolution::{Convolution, output_of};
use super::filter::{Code, Codes, Filter, PAIR};
use super::tile::Micro;

/// The instructions whose kernels compute in eight bits: the best that are available, chosen and agree with the plain ones;
/// the log names those that do not.
pub fn trusted() -> Isa {
    static TRUSTED: OnceLock<Isa> = OnceLock::new();
    *TRUSTED.get_or_init(|| best("int8", |isa| Micro::of(isa).isa, |isa| agrees(Micro::of(isa))))
}

fn agrees(micro: &'static Micro) -> bool {
    let plain = Micro::of(Isa::Plain);
    trials(micro.rows).all(|each| trial(micro, each) == trial(plain, each))
}

/// A small convolution of so many places, channels last.
fn trial(micro: &'static Micro, (window, places): (Window, usize)) -> Vec<u8> {
    let (inputs, outputs) = CHANNELS;
    let mut numbers = Numbers::new();
    let weights = numbers.values(outputs * inputs * window.size.pow(2));
    let raw = Raw { weights, bias: numbers.values(outputs) };
    let code = |channels, step, zero| Code { steps: vec![step; channels], zero };
    let (input, output, added) = (code(inputs, 0.01, 0), code(outputs, 0.02, 100), code(outputs, 0.01, 128));
    let codes = Codes { input: &input, output: &output, added: Some(&added) };
    let filter = Filter::pack(&raw, &vec![0.0001; outputs], window, micro.columns, codes);
    let from = view(0, Extent::new(1, 1, places, inputs));
    let to = view(1, output_of(&filter, from.extent));
    let added = view(2, to.extent);
    let (mut slots, mut lengths) = (Slots::<u8>::default(), [0; SLOTS]);
    for view in [from, to, added] {
        view.kept_in(&mut lengths);
    }
    slots.grow(&lengths);
    for view in [from, added] {
        let octets: Vec<u8> = (0..view.extent.places() * view.extent.channels).map(|_| numbers.next() as u8).collect();
        slots.write(&view, &octets);
    }
    let zeros = vec![0; inputs.next_multiple_of(PAIR)];
    let step = Convolution::new((0, &filter), (from, to), Some(added), &mut Offsets::default(), (micro, 1));
    let shared = slots.share();
    for task in 0..step.tasks() {
        // SAFETY: the caller names instructions of this processor; each task is done once, by this thread alone.
        unsafe { step.run(task, &filter, &shared, &zeros, micro) }
    }
    slots
        .read(&to)
        .chunks_exact(to.extent.pitch)
        .flat_map(|place| place.get(..outputs).unwrap_or_default().to_vec())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::trust::first_trusted;
    use super::*;

    #[test]
    fn every_form_that_this_processor_has_instructions_for_is_trusted() {
        for isa in Isa::available() {
            assert!(agrees(Micro::of(isa)), "{isa:?}");
        }
        assert_eq!(trusted(), Micro::of(Isa::chosen()).isa);
    }

    #[test]
    fn a_kernel_that_sums_up_wrongly_is_left_out() {
        let wrong = Micro::wrong();
        assert!(!agrees(wrong));
        assert_eq!(first_trusted(&[wrong.isa, Isa::Plain], "int8", |_| agrees(wrong)), Isa::Plain);
    }
}
