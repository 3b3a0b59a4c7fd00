//! Memory for activations and weights: numbers, zeroed, aligned to cache lines.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use bytemuck::Zeroable;

/// Bytes of a cache line, and of the widest register.
const ALIGNMENT: usize = 64;

/// Bytes of the pages that large buffers are made of where the system has such.
const LARGE_PAGE: usize = 2 << 20;

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
    /// Zeros. Pages of a large buffer that nobody writes to cost no memory.
    pub(super) fn zeroed(length: usize) -> Self {
        let buffer = Self::in_small_pages(length);
        buffer.settle();
        buffer
    }

    /// The same for what is written once and read for a long time: [`Buffer::settle`] is to be called when it is written.
    /// Whoever writes then does not wait for large pages, which take long where the host of a virtual machine has to find them.
    pub(super) fn in_small_pages(length: usize) -> Self {
        let Some(layout) = Self::layout(length) else { return Self { start: NonNull::dangling(), length: 0 } };
        let start = if is_mapped(layout) {
            mapped(layout.size())
        } else {
            // SAFETY: the layout has at least one byte.
            unsafe { alloc_zeroed(layout) }
        };
        let Some(start) = NonNull::new(start.cast()) else { handle_alloc_error(layout) };
        // All bytes zero is a value of the type.
        Self { start, length }
    }

    /// Asks the system to make it of large pages as far as whole ones go: those that are not written to yet at once, others in
    /// its own time.
    pub(super) fn settle(&self) {
        if let Some(layout) = Self::layout(self.length).filter(|layout| is_mapped(*layout)) {
            advise(self.start.as_ptr().cast(), layout.size());
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
        let Some(layout) = Self::layout(self.length) else { return };
        if is_mapped(layout) {
            unmapped(self.start.as_ptr().cast(), layout.size());
        } else {
            // SAFETY: the memory came from `alloc_zeroed` with this layout, and nothing refers to it any more.
            unsafe { dealloc(self.start.as_ptr().cast(), layout) }
        }
    }
}

/// Whether a buffer is mapped by itself: the allocator would write its zeros at once, in small pages.
fn is_mapped(layout: Layout) -> bool {
    cfg!(target_os = "linux") && layout.size() >= LARGE_PAGE
}

/// Asks the system to make memory of large pages.
#[cfg(target_os = "linux")]
fn advise(start: *mut u8, bytes: usize) {
    // SAFETY: the advice changes nothing that can be read.
    unsafe { libc::madvise(start.cast(), bytes / LARGE_PAGE * LARGE_PAGE, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_start: *mut u8, _bytes: usize) {}

/// Zeros from the system, on a boundary of large pages; null where it has none.
#[cfg(target_os = "linux")]
fn mapped(bytes: usize) -> *mut u8 {
    let whole = bytes.checked_next_multiple_of(SMALL_PAGE);
    let Some((whole, room)) = whole.and_then(|whole| Some((whole, whole.checked_add(LARGE_PAGE)?))) else {
        return std::ptr::null_mut();
    };
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new memory at an address that the system chooses.
    let map = unsafe { libc::mmap(std::ptr::null_mut(), room, protection, flags, -1, 0) };
    if map == libc::MAP_FAILED {
        return std::ptr::null_mut();
    }
    let before = map.align_offset(LARGE_PAGE);
    let start = map.wrapping_byte_add(before);
    // SAFETY: what is given back lies within the map before and behind the buffer, in whole pages; without it there is more
    // memory than needed.
    unsafe {
        if before > 0 {
            libc::munmap(map, before);
        }
        if before < LARGE_PAGE {
            libc::munmap(start.wrapping_byte_add(whole), LARGE_PAGE - before);
        }
    }
    start.cast()
}

/// Bytes of a page as the system counts maps: of those that Linux can be built for, the largest.
#[cfg(target_os = "linux")]
const SMALL_PAGE: usize = 64 << 10;

#[cfg(target_os = "linux")]
fn unmapped(start: *mut u8, bytes: usize) {
    // SAFETY: `mapped` made so many bytes there, and nothing refers to them any more.
    unsafe { libc::munmap(start.cast(), bytes.next_multiple_of(SMALL_PAGE)) };
}

#[cfg(not(target_os = "linux"))]
fn mapped(_bytes: usize) -> *mut u8 {
    std::ptr::null_mut()
}

#[cfg(not(target_os = "linux"))]
fn unmapped(_start: *mut u8, _bytes: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_any_size_are_zeros_on_a_cache_line() {
        for length in [1, 17, LARGE_PAGE / 4 - 1, LARGE_PAGE / 4, LARGE_PAGE / 4 + 1, LARGE_PAGE + 4097] {
            for mut buffer in [Buffer::<f32>::zeroed(length), Buffer::in_small_pages(length)] {
                assert!(buffer.values().len() == length && buffer.values().iter().all(|value| *value == 0.0));
                assert_eq!(buffer.values().as_ptr().addr() % ALIGNMENT, 0);
                buffer.values_mut().fill(1.0);
                buffer.settle();
                assert_eq!(buffer.values().iter().sum::<f32>(), length as f32);
            }
        }
        assert!(Buffer::<f32>::zeroed(0).values().is_empty());
    }
}
