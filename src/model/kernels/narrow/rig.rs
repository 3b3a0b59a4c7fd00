//! What the tests of kernels in narrow numbers run them in.

use bytemuck::Zeroable;

use super::super::crew::{Crew, Run};
use super::super::geometry::{Walk, Window};
use super::super::slots::{SLOTS, Slots, View};
use super::Narrow;
use super::filter::{Filter, Reach};

/// Filters of odd shapes: what they read, and how many outputs they have.
pub(in super::super) fn filters() -> Vec<(Reach, usize)> {
    let shapes = [
        (1, 1, 1, Walk::Places),
        (20, 9, 3, Walk::Places),
        (64, 33, 1, Walk::Places),
        (5, 16, 3, Walk::Rows),
        (3, 33, 7, Walk::Rows),
        (300, 2, 1, Walk::Places),
        (301, 2, 1, Walk::Places),
    ];
    let filter = |(inputs, outputs, size, walk)| {
        (Reach { window: Window { size, stride: 1, padding: size / 2 }, walk, inputs }, outputs)
    };
    shapes.into_iter().map(filter).collect()
}

/// Memory for views, full of a value that nobody can use unnoticed.
pub(in super::super) fn slots<T: Zeroable + Copy>(views: &[View], value: T) -> Slots<T> {
    let (mut slots, mut lengths) = (Slots::default(), [0; SLOTS]);
    views.iter().for_each(|view| lengths[view.slot] = view.end());
    slots.grow(&lengths);
    let shared = slots.share();
    for view in views {
        // SAFETY: nobody else uses these slots.
        unsafe { shared.part_mut(view, 0, view.extent.length()) }.fill(value);
    }
    slots
}

/// What a view holds, without what lies between its places.
pub(in super::super) fn taken<T: Zeroable + Copy>(slots: &Slots<T>, view: &View) -> Vec<T> {
    let places = slots.read(view).chunks_exact(view.extent.pitch);
    places.flat_map(|place| place[..view.extent.channels].to_vec()).collect()
}

/// Does all tasks of a step.
pub(in super::super) fn run(threads: usize, tasks: usize, task: impl Fn(usize) + Sync) {
    Crew::new(threads).unwrap().run(&mut Run::new(vec![tasks], threads), 0..1, |_, number| task(number));
}

/// The weights of a filter as they count, `[outputs, inputs, size, size]`; `number` gives a weight in steps.
pub(in super::super) fn unpacked<N: Narrow>(filter: &impl Filter<N>, number: impl Fn(N::Weight) -> f32) -> Vec<f32> {
    let (reach, outputs, (of_outputs, of_values)) = (filter.reach(), filter.outputs(), filter.steps());
    let (columns, depth, each) = (filter.weights().columns, filter.depth(), reach.values() * reach.taps());
    let mut weights = vec![f32::NAN; outputs * each];
    for panel in 0..filter.panels() {
        for (group, of_columns) in filter.panel(panel).chunks(columns * N::GROUP).enumerate() {
            for (column, group_weights) in of_columns.chunks(N::GROUP).enumerate() {
                for (index, weight) in group_weights.iter().enumerate() {
                    let (output, at) = (panel * columns + column, group * N::GROUP + index);
                    let (tap, value, weight) = (at / depth, at % depth, number(*weight));
                    if output < outputs && value < reach.values() {
                        weights[output * each + reach.index(value, tap)] =
                            weight * of_outputs[output] * of_values[value];
                    } else {
                        assert_eq!(weight, 0.0);
                    }
                }
            }
        }
    }
    weights
}
