//! A small convolution that tells whether instructions compute what plain ones do.

use bytemuck::Zeroable;

use super::super::convolution::After;
use super::super::geometry::{Extent, Offsets};
use super::super::slots::{SLOTS, Slots};
use super::super::trust::{CHANNELS, Numbers, view};
use super::Narrow;
use super::convolution::Convolution;
use super::filter::Filter;
use super::tile::Micro;

/// What a filter for [`CHANNELS`] makes of so many places in a row, channels last, something added and negative values left out;
/// `value` gives inputs.
pub(in super::super) fn trial<N: Narrow>(
    micro: &Micro<N>,
    filter: &N::Filter,
    places: usize,
    value: impl Fn(&mut Numbers) -> N::Value,
) -> Vec<N::Value> {
    let (inputs, outputs) = CHANNELS;
    let mut numbers = Numbers::new();
    let from = view(0, Extent::new(1, 1, places, inputs));
    let to = view(1, filter.output_of(from.extent));
    let added = view(2, to.extent);
    let (mut slots, mut lengths) = (Slots::<N::Value>::default(), [0; SLOTS]);
    for view in [from, to, added] {
        view.kept_in(&mut lengths);
    }
    slots.grow(&lengths);
    for view in [from, added] {
        let values: Vec<_> = (0..view.extent.places() * view.extent.channels).map(|_| value(&mut numbers)).collect();
        slots.write(&view, &values);
    }
    let zeros = vec![N::Value::zeroed(); inputs.next_multiple_of(N::PAIR)];
    let after = After::AddAndRectify(added);
    let step = Convolution::new((0, filter), (from, to), after, &mut Offsets::default(), (micro, 1));
    let shared = slots.share();
    for task in 0..step.tasks() {
        // SAFETY: the caller names instructions of this processor; each task is done once, by this thread alone.
        unsafe { step.run(task, filter, &shared, &zeros, micro) }
    }
    slots
        .read(&to)
        .chunks_exact(to.extent.pitch)
        .flat_map(|place| place.get(..outputs).unwrap_or_default().to_vec())
        .collect()
}
