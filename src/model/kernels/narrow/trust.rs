//! A small convolution that tells whether instructions compute what plain ones do.

use bytemuck::Zeroable;

use super::super::convolution::After;
use super::super::geometry::{Extent, Offsets, Walk, Window};
use super::super::slots::{SLOTS, Slots, View};
use super::super::trust::{self, CHANNELS, Numbers, view};
use super::Narrow;
use super::convolution::Convolution;
use super::filter::{Filter, Reach};
use super::tile::Micro;

/// What a trial reads, and the activation that it reads it of.
pub(in super::super) type Trial = (Reach, Extent);

/// Those of [`trust::trials`], and the walk of the first convolution, row by row.
pub(in super::super) fn trials<N: Narrow>(rows: usize) -> impl Iterator<Item = Trial> {
    const ROWS: Window = Window { size: 7, stride: 2, padding: 0 };
    let inputs = CHANNELS.0;
    let by_places = trust::trials(rows).map(move |(window, places)| {
        (Reach { window, walk: Walk::Places, inputs }, Extent::new::<N::Value>(1, 1, places, inputs))
    });
    let image = Extent { images: 1, rows: 9, columns: 2 * rows + 7, channels: 3, pitch: 3 };
    by_places.chain([(Reach { window: ROWS, walk: Walk::Rows, inputs: image.channels }, image)])
}

/// What a filter makes of an activation of an extent, channels last, something added and negative values left out; `value` gives
/// inputs.
pub(in super::super) fn outputs<N: Narrow>(
    micro: &Micro<N>,
    filter: &N::Filter,
    extent: Extent,
    value: impl Fn(&mut Numbers) -> N::Value,
) -> Vec<N::Value> {
    let mut numbers = Numbers::new();
    let from = view(0, extent);
    let to = view(1, filter.output_of(from.extent));
    let added = view(2, to.extent);
    let (mut slots, mut lengths) = (Slots::<N::Value>::default(), [0; SLOTS]);
    // The last tap of a row is read in whole pairs of groups.
    let room = View { extent: Extent { rows: extent.rows + 1, ..extent }, ..from };
    for view in [room, to, added] {
        view.kept_in(&mut lengths);
    }
    slots.grow(&lengths);
    for view in [from, added] {
        let values: Vec<_> = (0..view.extent.values()).map(|_| value(&mut numbers)).collect();
        slots.write(&view, &values);
    }
    let zeros = vec![N::Value::zeroed(); filter.depth()];
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
        .flat_map(|place| place.get(..to.extent.channels).unwrap_or_default().to_vec())
        .collect()
}
