//! Memory for activations and weights: numbers, zeroed, aligned to cache lines.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use bytemuck::Zeroable;

/// Bytes of a cache line, and of the widest register.
const ALIGNMENT: usize = 64;

/// A block of numbers that begins on a cache line.
pub(super) struct Buffer<T = f32> {
    start: NonNull<T>,
    length: usize,
}

// SAFETY: a buffer owns its memory as a Vec does, and gives it out by the same rules.
unsafe impl<T: Send> Send for Buffer<T> {}
// SAFETY: as above; a shared buffer gives out shared slices only.
unsafe impl<T: Sync> Sync for Buffer<T> {}

impl<T: Zeroable + Copy> Buffer<T> {
    /// Zeros. Pages that nobody writes to cost no memory.
    pub(super) fn zeroed(length: usize) -> Self {
        let Some(layout) = Self::layout(length) else { return Self { start: NonNull::dangling(), length: 0 } };
        // SAFETY: the layout has at least one byte; all bytes zero is a value of the type.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start.cast()) else { handle_alloc_error(layout) };
        Self { start, length }
    }

    /// The values.
    pub(super) fn values(&self) -> &[T] {
        // SAFETY: `start` has `length` initialised values, and nobody writes while `self` is shared.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    /// The values, to write to.
    pub(super) fn values_mut(&mut self) -> &mut [T] {
        // SAFETY: `start` has `length` initialised values, and `self` is borrowed by nobody else.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl<T> Buffer<T> {
    /// None for no values, or for more than an address space has.
    fn layout(length: usize) -> Option<Layout> {
        let bytes = length.checked_mul(size_of::<T>()).filter(|bytes| *bytes > 0)?;
        Layout::from_size_align(bytes, ALIGNMENT).ok()
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.length) {
            // SAFETY: the memory came from `alloc_zeroed` with this layout, and nothing refers to it any more.
            unsafe { dealloc(self.start.as_ptr().cast(), layout) }
        }
    }
}
