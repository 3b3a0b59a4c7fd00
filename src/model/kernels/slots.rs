//! The memory of a run: a few blocks that layers write to in turn, kept from one run to the next.

use std::marker::PhantomData;

use bytemuck::Zeroable;

use super::buffer::Buffer;
use super::geometry::Extent;

/// Blocks there are.
pub(super) const SLOTS: usize = 8;

/// A part of a block that holds one activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    /// Which block, below [`SLOTS`].
    pub(super) slot: usize,
    /// Where in it.
    pub(super) start: usize,
    pub(super) extent: Extent,
}

impl View {
    /// The first value after it.
    pub(super) fn end(&self) -> usize {
        self.start + self.extent.length()
    }

    /// The same, with lengths of blocks that hold it.
    pub(super) fn kept_in(self, lengths: &mut [usize; SLOTS]) -> Self {
        if let Some(length) = lengths.get_mut(self.slot) {
            *length = self.end().max(*length);
        }
        self
    }

    /// The part that belongs to one image.
    pub(super) fn image(&self, image: usize) -> Self {
        let extent = Extent { images: 1, ..self.extent };
        Self { start: self.start + image * extent.length(), extent, ..*self }
    }
}

/// The blocks.
pub(super) struct Slots<T = f32> {
    blocks: Vec<Buffer<T>>,
    /// Whether a run has written to all of them, and they were settled since.
    settled: bool,
}

impl<T: Zeroable + Copy> Default for Slots<T> {
    /// Blocks without memory.
    fn default() -> Self {
        Self { blocks: (0..SLOTS).map(|_| Buffer::zeroed(0)).collect(), settled: false }
    }
}

impl<T: Zeroable + Copy> Slots<T> {
    /// Makes each block at least so large. A block that grows loses what it held.
    pub(super) fn grow(&mut self, lengths: &[usize; SLOTS]) {
        for (slot, length) in self.blocks.iter_mut().zip(lengths) {
            if slot.values().len() < *length {
                // The old memory goes before the new one comes.
                *slot = Buffer::zeroed(0);
                *slot = Buffer::zeroed(*length);
                self.settled = false;
            }
        }
    }

    /// Says that a run has written to them.
    pub(super) fn settle(&mut self) {
        if !self.settled {
            self.blocks.iter().for_each(Buffer::settle);
            self.settled = true;
        }
    }

    /// What a view holds; empty where the block is smaller.
    pub(super) fn read(&self, view: &View) -> &[T] {
        self.blocks.get(view.slot).and_then(|slot| slot.values().get(view.start..view.end())).unwrap_or_default()
    }

    /// Lays values into a view, place by place; nothing where the block is smaller.
    pub(super) fn write(&mut self, view: &View, values: &[T]) {
        let block = self.blocks.get_mut(view.slot).map(Buffer::values_mut).unwrap_or_default();
        let places = block.get_mut(view.start..view.end()).unwrap_or_default().chunks_exact_mut(view.extent.pitch);
        for (to, from) in places.zip(values.chunks(view.extent.channels)) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
    }

    /// For the threads of one run.
    pub(super) fn share(&mut self) -> Shared<'_, T> {
        let mut blocks = [(std::ptr::null_mut(), 0); SLOTS];
        for (block, slot) in blocks.iter_mut().zip(&mut self.blocks) {
            let values = slot.values_mut();
            *block = (values.as_mut_ptr(), values.len());
        }
        Shared { blocks, slots: PhantomData }
    }
}

/// The blocks while several threads read and write them.
pub(super) struct Shared<'a, T = f32> {
    blocks: [(*mut T, usize); SLOTS],
    slots: PhantomData<&'a mut Slots<T>>,
}

// SAFETY: the pointers are to memory that the slots own and that outlives `'a`; every use of them is unsafe and has to
// keep writers apart.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<T> Shared<'_, T> {
    /// Where a view begins; all of its values are there.
    ///
    /// # Panics
    /// If the block is smaller than the view, which [`Slots::grow`] has prevented.
    #[allow(clippy::panic, reason = "a fault of the plan; going on would write to foreign memory")]
    pub(super) fn start(&self, view: &View) -> *mut T {
        match self.blocks.get(view.slot) {
            Some((block, length)) if view.end() <= *length => block.wrapping_add(view.start),
            _ => panic!("block {} is too small for {:?}", view.slot, view.extent),
        }
    }

    /// Values of a view.
    ///
    /// # Safety
    /// Nobody writes to the view as long as the slice is used.
    pub(super) unsafe fn values(&self, view: &View) -> &[T] {
        // SAFETY: all of the view's values are there, and the caller keeps writers away.
        unsafe { std::slice::from_raw_parts(self.start(view), view.extent.length()) }
    }

    /// `length` values of a view from `first`, to write to.
    ///
    /// # Safety
    /// Nobody else reads or writes them as long as the slice is used.
    #[allow(clippy::mut_from_ref, reason = "threads write to parts of a view of their own")]
    pub(super) unsafe fn part_mut(&self, view: &View, first: usize, length: usize) -> &mut [T] {
        let end = first.saturating_add(length).min(view.extent.length());
        let first = first.min(end);
        // SAFETY: all of the view's values are there, and the caller keeps everybody else away.
        unsafe { std::slice::from_raw_parts_mut(self.start(view).add(first), end - first) }
    }
}
