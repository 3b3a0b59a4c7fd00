//! Memory from the system: zeros that cost nothing until they are written to, in large pages where they are to be had quickly.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Bytes of a cache line, and of the widest register: every block begins on such a boundary.
pub(super) const ALIGNMENT: usize = 64;

/// Bytes of a large page.
pub(super) const LARGE_PAGE: usize = 2 << 20;

/// Bytes of a page as the system counts maps: of those that Linux can be built for, the largest.
const SMALL_PAGE: usize = 64 << 10;

/// A large page that takes longer than its small ones would: that of a virtual machine whose host has to find memory for it.
/// Others take a third of that.
const SLOW: Duration = Duration::from_millis(1);

/// Bytes of a map that small blocks share: few of them are left over where the next block does not fit.
const SHARED: usize = 8 * LARGE_PAGE;

/// Bytes of the smallest block that is worth it.
const SMALLEST: usize = 32 << 10;

/// Whether a large page was slow to come: then others are, too, and nobody waits for more.
static ARE_SLOW: AtomicBool = AtomicBool::new(false);

/// Memory of its own, on a boundary of large pages.
pub(super) struct Map {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a map owns its memory, and gives out no more than its address.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Zeros; none where the system has no such memory.
    pub(super) fn new(bytes: usize) -> Option<Self> {
        Some(Self { start: mapped(bytes)?, bytes })
    }

    /// Bytes of its whole large pages.
    fn in_large_pages(&self) -> usize {
        self.bytes / LARGE_PAGE * LARGE_PAGE
    }

    /// Where it begins.
    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Asks the system to make it of large pages, as far as whole ones go, as they are written to; unless they are slow to come.
    pub(super) fn want_large_pages(&self) {
        if !ARE_SLOW.load(Ordering::Relaxed) {
            advise(self.start, self.in_large_pages());
        }
    }

    /// Asks the system to make large pages, in its own time, of a part of it that has been written to.
    pub(super) fn gather(&self, part: NonNull<u8>, bytes: usize) {
        let at = part.addr().get() - self.start.addr().get();
        let first = at / LARGE_PAGE * LARGE_PAGE;
        let end = (at + bytes).next_multiple_of(LARGE_PAGE).min(self.in_large_pages());
        if first < end {
            // SAFETY: the part lies within the map.
            advise(unsafe { self.start.add(first) }, end - first);
        }
    }

    /// Has the system make large pages of those that begin in a part of it that nobody has written to, as long as each is there
    /// as quickly as small ones would be. Their zeros stay.
    fn take_large_pages(&self, first: usize, end: usize) {
        for at in (first.next_multiple_of(LARGE_PAGE)..end.min(self.in_large_pages())).step_by(LARGE_PAGE) {
            if ARE_SLOW.load(Ordering::Relaxed) {
                return;
            }
            // SAFETY: the page lies within the map.
            let page = unsafe { self.start.add(at) };
            advise(page, LARGE_PAGE);
            let begun = time_of_thread();
            // SAFETY: the byte is the map's, nobody has its address yet, and zero it was before.
            unsafe { page.write_volatile(0) }
            if time_of_thread().saturating_sub(begun) > SLOW {
                ARE_SLOW.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        unmapped(self.start, self.bytes);
    }
}

/// A part of a map, with zeros, for what is written once and read for a long time; those below a large page share a map. None
/// for a few bytes, and where the system has no such memory.
pub(super) fn part(bytes: usize) -> Option<(Arc<Map>, NonNull<u8>)> {
    if bytes < SMALLEST {
        return None;
    }
    if bytes >= LARGE_PAGE {
        let map = Map::new(bytes)?;
        map.take_large_pages(0, bytes);
        let start = map.start;
        return Some((Arc::new(map), start));
    }
    /// The map that the last part is of, as long as there is a part of it, and how much of it is given away.
    static OPEN: Mutex<(Weak<Map>, usize)> = Mutex::new((Weak::new(), 0));
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let (map, first) = match open.0.upgrade() {
        Some(map) if open.1 + bytes <= map.bytes => (map, open.1),
        _ => (Arc::new(Map::new(SHARED)?), 0),
    };
    let end = first + bytes.next_multiple_of(ALIGNMENT);
    map.take_large_pages(first, end);
    *open = (Arc::downgrade(&map), end);
    // SAFETY: the part lies within the map.
    let start = unsafe { map.start.add(first) };
    Some((map, start))
}

/// Asks the system to make memory of large pages.
#[cfg(target_os = "linux")]
fn advise(start: NonNull<u8>, bytes: usize) {
    // SAFETY: the advice changes nothing that can be read.
    unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_start: NonNull<u8>, _bytes: usize) {}

/// How long this thread has had a processor.
#[cfg(target_os = "linux")]
fn time_of_thread() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: there is room for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

#[cfg(not(target_os = "linux"))]
fn time_of_thread() -> Duration {
    Duration::ZERO
}

/// Zeros from the system, on a boundary of large pages.
#[cfg(target_os = "linux")]
fn mapped(bytes: usize) -> Option<NonNull<u8>> {
    let whole = bytes.checked_next_multiple_of(SMALL_PAGE)?;
    let room = whole.checked_add(LARGE_PAGE)?;
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new memory at an address that the system chooses.
    let map = unsafe { libc::mmap(std::ptr::null_mut(), room, protection, flags, -1, 0) };
    if map == libc::MAP_FAILED {
        return None;
    }
    let before = map.align_offset(LARGE_PAGE);
    let start = map.wrapping_byte_add(before);
    // SAFETY: what is given back lies within the map before and behind the part that is kept, in whole pages; without it there
    // is more memory than needed.
    unsafe {
        if before > 0 {
            libc::munmap(map, before);
        }
        if before < LARGE_PAGE {
            libc::munmap(start.wrapping_byte_add(whole), LARGE_PAGE - before);
        }
    }
    NonNull::new(start.cast())
}

#[cfg(target_os = "linux")]
fn unmapped(start: NonNull<u8>, bytes: usize) {
    // SAFETY: `mapped` made so many bytes there, and nothing refers to them any more.
    unsafe { libc::munmap(start.as_ptr().cast(), bytes.next_multiple_of(SMALL_PAGE)) };
}

#[cfg(not(target_os = "linux"))]
fn mapped(_bytes: usize) -> Option<NonNull<u8>> {
    None
}

#[cfg(not(target_os = "linux"))]
fn unmapped(_start: NonNull<u8>, _bytes: usize) {}
