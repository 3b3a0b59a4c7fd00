//! Memory for activations and weights: numbers, zeroed, aligned to cache lines.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;

use bytemuck::Zeroable;

use super::pages::{self, ALIGNMENT, LARGE_PAGE, Map};

/// A block of numbers that begins on a cache line.
pub(super) struct Buffer<T = f32> {
    start: NonNull<T>,
    length: usize,
    memory: Memory,
}

/// Whose memory it is.
enum Memory {
    /// The allocator's, or there is none.
    Allocated(Option<Layout>),
    /// The system's.
    Mapped(Arc<Map>),
}

// SAFETY: a buffer owns its memory as a Vec does, and gives it out by the same rules.
unsafe impl<T: Send> Send for Buffer<T> {}
// SAFETY: as above; a shared buffer gives out shared slices only.
unsafe impl<T: Sync> Sync for Buffer<T> {}

impl<T: Zeroable + Copy> Buffer<T> {
    /// Zeros. Pages of a large buffer that nobody writes to cost no memory. [`Buffer::settle`] may be called when all that will be
    /// has been written.
    pub(super) fn zeroed(length: usize) -> Self {
        // The allocator would write a large buffer's zeros at once, in small pages.
        let map = Self::layout(length).filter(|layout| layout.size() >= LARGE_PAGE / 2).and_then(|layout| {
            let map = Map::new(layout.size().checked_next_multiple_of(LARGE_PAGE)?)?;
            map.want_large_pages();
            let start = map.start();
            Some((Arc::new(map), start))
        });
        Self::in_memory(length, map)
    }

    /// The same for what is written once and read for a long time; [`Buffer::settle`] is to be called then.
    pub(super) fn to_keep(length: usize) -> Self {
        Self::in_memory(length, Self::layout(length).and_then(|layout| pages::part(layout.size())))
    }

    /// In memory of the system, or of the allocator.
    fn in_memory(length: usize, map: Option<(Arc<Map>, NonNull<u8>)>) -> Self {
        let Some(layout) = Self::layout(length) else {
            return Self { start: NonNull::dangling(), length: 0, memory: Memory::Allocated(None) };
        };
        // All bytes zero is a value of the type.
        if let Some((map, start)) = map {
            return Self { start: start.cast(), length, memory: Memory::Mapped(map) };
        }
        // SAFETY: the layout has at least one byte.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) });
        let Some(start) = start else { handle_alloc_error(layout) };
        Self { start: start.cast(), length, memory: Memory::Allocated(Some(layout)) }
    }

    /// Asks the system to make it of large pages as far as it is not: it gathers them in its own time.
    pub(super) fn settle(&self) {
        if let Memory::Mapped(map) = &self.memory {
            map.gather(self.start.cast(), self.length * size_of::<T>());
        }
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

    /// None for no values, or for more than an address space has.
    fn layout(length: usize) -> Option<Layout> {
        let bytes = length.checked_mul(size_of::<T>()).filter(|bytes| *bytes > 0)?;
        Layout::from_size_align(bytes, ALIGNMENT).ok()
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Memory::Allocated(Some(layout)) = self.memory {
            // SAFETY: the memory came from `alloc_zeroed` with this layout, and nothing refers to it any more.
            unsafe { dealloc(self.start.as_ptr().cast(), layout) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_any_size_are_zeros_on_a_cache_line() {
        for length in [1, 17, LARGE_PAGE / 4 - 1, LARGE_PAGE / 4, LARGE_PAGE / 4 + 1, LARGE_PAGE + 4097] {
            for mut buffer in [Buffer::<f32>::zeroed(length), Buffer::to_keep(length)] {
                assert!(buffer.values().len() == length && buffer.values().iter().all(|value| *value == 0.0));
                assert_eq!(buffer.values().as_ptr().addr() % ALIGNMENT, 0);
                buffer.values_mut().fill(1.0);
                buffer.settle();
                assert_eq!(buffer.values().iter().sum::<f32>(), length as f32);
            }
        }
        assert!(Buffer::<f32>::zeroed(0).values().is_empty() && Buffer::<f32>::to_keep(0).values().is_empty());
    }

    #[test]
    fn buffers_that_share_memory_are_apart_and_outlive_each_other() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut buffers: Vec<(Buffer<u8>, u8)> = Vec::new();
        for number in 0..200 {
            let mut buffer = Buffer::to_keep(random.usize(1..LARGE_PAGE / 4));
            assert!(buffer.values().iter().all(|value| *value == 0));
            buffer.values_mut().fill(number);
            buffers.push((buffer, number));
            if number % 3 == 0 {
                buffers.swap_remove(random.usize(..buffers.len()));
            }
        }
        assert!(buffers.iter().all(|(buffer, number)| buffer.values().iter().all(|value| value == number)));
    }
}
