//! What the tests of kernels in narrow numbers run them in.

use bytemuck::Zeroable;

use super::super::crew::{Crew, Run};
use super::super::slots::{SLOTS, Slots, View};

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
