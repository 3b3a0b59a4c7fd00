//! Whether this processor's instructions give what the plain kernel gives: tried at start, before anything relies on them.

use super::super::filter::Raw;
use super::super::geometry::{Extent, Offsets, Window};
use super::super::isa::Isa;
use super::super::slots::{SLOTS, Slots, View};
use super::convolution::{Convolution, output_of};
use super::filter::{Code, Codes, Filter, PAIR};
use super::tile::Micro;

/// Channels that the trial goes from and to: neither fills its groups or panels.
const CHANNELS: (usize, usize) = (20, 41);

/// The best instructions up to `isa` that this processor has and whose kernels agree with the plain one; the log names
/// those that do not.
pub fn trusted(isa: Isa) -> Isa {
    let mut sets: Vec<Isa> = Isa::available().filter(|set| *set <= isa).collect();
    sets.sort_unstable_by(|a, b| b.cmp(a));
    first_trusted(sets.into_iter().map(|set| (set, Micro::of(set)))).unwrap_or(Isa::Plain)
}

fn first_trusted(mut sets: impl Iterator<Item = (Isa, &'static Micro)>) -> Option<Isa> {
    let plain = Micro::of(Isa::Plain);
    let (isa, _) = sets.find(|(isa, micro)| {
        let agrees = micro.isa == Isa::Plain || (1..=2 * micro.rows + 1).all(|n| trial(micro, n) == trial(plain, n));
        if !agrees {
            tracing::warn!(
                instructions = isa.name(),
                "this processor's {} give other sums than plain instructions do; int8 goes without them",
                isa.name()
            );
        }
        agrees
    })?;
    Some(isa)
}

/// A small convolution of so many places, channels last.
fn trial(micro: &'static Micro, places: usize) -> Vec<u8> {
    let (inputs, outputs) = CHANNELS;
    let window = Window { size: 3, stride: 1, padding: 1 };
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    let mut value = || random() as f32 / (1 << 23) as f32 - 1.0;
    let weights = (0..outputs * inputs * 9).map(|_| value()).collect();
    let raw = Raw { weights, bias: (0..outputs).map(|_| value()).collect() };
    let code = |channels, step, zero| Code { steps: vec![step; channels], zero };
    let (input, output, added) = (code(inputs, 0.01, 0), code(outputs, 0.02, 100), code(outputs, 0.01, 128));
    let codes = Codes { input: &input, output: &output, added: Some(&added) };
    let filter = Filter::pack(&raw, &vec![0.0001; outputs], window, micro.columns, codes);
    let view = |slot, extent| View { slot, start: 0, extent };
    let from = view(0, Extent::new(1, 1, places, inputs));
    let to = view(1, output_of(&filter, from.extent));
    let added = view(2, to.extent);
    let (mut slots, mut lengths) = (Slots::<u8>::default(), [0; SLOTS]);
    for (length, view) in lengths.iter_mut().zip([from, to, added]) {
        *length = view.end();
    }
    slots.grow(&lengths);
    for view in [from, added] {
        let octets: Vec<u8> = (0..view.extent.places() * view.extent.channels).map(|_| random() as u8).collect();
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
    use super::*;

    #[test]
    fn every_instruction_set_of_this_processor_is_trusted() {
        for isa in Isa::available() {
            assert_eq!(trusted(isa), isa);
        }
    }

    #[test]
    fn a_kernel_that_sums_up_wrongly_is_left_out() {
        let wrong = Micro::wrong();
        assert_ne!(trial(wrong, 5), trial(Micro::of(Isa::Plain), 5));
        let sets = [(Isa::Avx512Vnni, wrong), (Isa::Plain, Micro::of(Isa::Plain))];
        assert_eq!(first_trusted(sets.into_iter()), Some(Isa::Plain));
    }
}
