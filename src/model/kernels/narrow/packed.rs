//! A convolution whose inputs are packed before they are multiplied: a task's tiles become matrices of whole cache lines, which
//! every panel of the task reads. Tiles of AMX read them much faster than places that lie apart, and wait for what has
//! just been written.

use std::arch::x86_64::{_mm512_loadu_si512, _mm512_store_si512};
use std::cell::RefCell;
use std::ops::Range;

use super::super::amx::{BYTES, ROWS, Tiles};
use super::super::buffer::Buffer;
use super::super::slots::Shared;
use super::super::tile::OUTSIDE;
use super::amx::COLUMNS;
use super::convolution::Convolution;
use super::filter::Filter;
use super::tile::{Micro, Part, Tile};
use super::{Narrow, OCTETS_OF_A_GROUP};

/// Output places of a packed tile.
pub(super) const PLACES: usize = 2 * ROWS;

/// Octets from one step of a packed tile to the next: a line of each place.
pub(super) const STEP: usize = PLACES * BYTES;

/// Sums of a tile.
const SUMS: usize = PLACES * COLUMNS;

/// Octets of inputs that are packed together, if they are not those of one tile: a part of a second-level cache.
const TOGETHER: usize = 640 * 1024;

/// Steps that are computed for all tiles that are packed together before the next ones are: of so many the weights of a panel stay
/// in the first-level cache from tile to tile.
const STEPS_OF_A_PART: usize = 12;

/// Fewest tiles for which inputs are taken in parts: between two parts sums go to memory and come back.
const TILES_IN_PARTS: usize = 3;

thread_local! {
    /// Kept from one task to the next.
    static ROOM: RefCell<Room> = RefCell::new(Room { inputs: Buffer::zeroed(0), sums: Buffer::zeroed(0) });
}

/// What a task needs beside its convolution.
struct Room {
    /// Of the tiles that are packed together.
    inputs: Buffer<u8>,
    /// Of the same tiles.
    sums: Buffer<i32>,
}

impl Room {
    /// At least for so many tiles, each of so many octets of inputs.
    fn grow(&mut self, tiles: usize, whole: usize) {
        if self.inputs.values().len() < tiles * whole {
            self.inputs = Buffer::zeroed(tiles * whole);
        }
        if self.sums.values().len() < tiles * SUMS {
            self.sums = Buffer::zeroed(tiles * SUMS);
        }
    }
}

/// Does one task of a convolution.
///
/// # Safety
/// As [`Convolution::run`], on a processor with AMX.
pub(super) unsafe fn run<N: Narrow>(
    convolution: &Convolution,
    task: usize,
    filter: &N::Filter,
    memory: &Shared<'_, N::Value>,
    zeros: &[N::Value],
    micro: &Micro<N>,
) {
    let (tiles, panels) = convolution.cut.task(task);
    let source = Source::new::<N>(convolution, filter, memory, zeros);
    let whole = source.steps() * STEP;
    let together = (TOGETHER / whole.max(1)).clamp(1, tiles.len().max(1));
    ROOM.with_borrow_mut(|room| {
        room.grow(together, whole);
        // SAFETY: the caller's processor has tiles.
        let _tiles = unsafe { Tiles::new() };
        for first in tiles.clone().step_by(together) {
            let block = first..tiles.end.min(first + together);
            for (tile, to) in block.clone().zip(room.inputs.values_mut().chunks_exact_mut(whole)) {
                // SAFETY: the tile is one of the convolution's; processors with AMX have AVX-512.
                unsafe { source.pack(tile, convolution.place(tile, 0).1, to) }
            }
            for panel in panels.clone() {
                // SAFETY: the block is packed, and the room is as large; the rest is the caller's promise.
                unsafe { multiply(convolution, (block.clone(), panel), (filter, source.steps()), memory, room, micro) }
            }
        }
    });
}

/// Multiplies packed tiles with a panel.
///
/// # Safety
/// As [`run`]; the room has the inputs of these tiles, and the thread has tiles of AMX.
unsafe fn multiply<N: Narrow>(
    convolution: &Convolution,
    (block, panel): (Range<usize>, usize),
    (filter, steps): (&N::Filter, usize),
    memory: &Shared<'_, N::Value>,
    room: &mut Room,
    micro: &Micro<N>,
) {
    let of_a_part = if block.len() < TILES_IN_PARTS { steps } else { STEPS_OF_A_PART }.max(1);
    let (parts, values) = (steps.div_ceil(of_a_part), BYTES / size_of::<N::Value>());
    let (output, weights) = (memory.start(&convolution.output), filter.panel(panel).as_ptr());
    for part in 0..parts {
        let (done, last) = (part * of_a_part, steps.min((part + 1) * of_a_part));
        let rooms = room.inputs.values().chunks_exact(steps * STEP).zip(room.sums.values_mut().chunks_exact_mut(SUMS));
        for (tile, (inputs, sums)) in block.clone().zip(rooms) {
            let (at, rows) = convolution.place(tile, panel * micro.columns);
            let tile = Tile {
                input: inputs.as_ptr().wrapping_add(done * STEP).cast(),
                zeros: std::ptr::null(),
                offsets: std::ptr::null(),
                taps: 1,
                depth: (last - done) * values,
                filter: weights.wrapping_add(done * values * micro.columns),
                ahead: std::ptr::null(),
                ends: filter.ends(panel, convolution.finish(memory, at)),
                output: output.wrapping_add(at),
                pitch: convolution.output.extent.pitch,
                part: Part::of(part, parts),
                sums: sums.as_mut_ptr(),
            };
            // SAFETY: the inputs are packed; the panel lies within the filter, which has room behind it for a step; rows and
            // panel lie within the output, whose pitch holds whole panels. No other task has the same rows of the same panel.
            unsafe { micro.run(rows, &tile) }
        }
    }
}

/// Where the inputs of a convolution are.
struct Source<'a> {
    input: *const u8,
    zeros: *const u8,
    /// As [`Tile::offsets`], for all tiles, in values.
    offsets: &'a [u32],
    taps: usize,
    /// Octets of a place that a tap reads, a multiple of two groups.
    depth: usize,
    /// Octets of a value.
    octets: usize,
}

impl<'a> Source<'a> {
    fn new<N: Narrow>(
        convolution: &'a Convolution,
        filter: &N::Filter,
        memory: &Shared<'_, N::Value>,
        zeros: &[N::Value],
    ) -> Self {
        let octets = size_of::<N::Value>();
        Self {
            input: memory.start(&convolution.input).cast_const().cast(),
            zeros: zeros.as_ptr().cast(),
            offsets: &convolution.offsets,
            taps: filter.taps(),
            depth: filter.depth() * octets,
            octets,
        }
    }

    /// Lines of each place, the last of which may not be full.
    fn steps(&self) -> usize {
        (self.taps * self.depth).div_ceil(BYTES)
    }

    /// Packs `rows` places of a tile: line after line of all places, the taps one behind the other. What is behind the last
    /// tap is zero; rows that the tile has not are left as they are.
    ///
    /// # Safety
    /// The convolution has the tile, and the input's values are all there; the processor has AVX-512.
    #[target_feature(enable = "avx512f")]
    unsafe fn pack(&self, tile: usize, rows: usize, to: &mut [u8]) {
        if !(self.taps * self.depth).is_multiple_of(BYTES) {
            to.iter_mut().rev().take(STEP).for_each(|octet| *octet = 0);
        }
        let to = to.as_mut_ptr();
        let offsets = self.offsets.get(tile * self.taps * PLACES..).unwrap_or_default();
        for (tap, offsets) in offsets.as_chunks::<PLACES>().0.iter().take(self.taps).enumerate() {
            for (row, offset) in offsets.iter().enumerate().take(rows.min(PLACES)) {
                let from = match *offset {
                    OUTSIDE => self.zeros,
                    offset => self.input.wrapping_add(offset as usize * self.octets),
                };
                // SAFETY: a place has `depth` octets, and so have the zeros; the matrix has a line for each step and place.
                unsafe { self.lay(from, to.wrapping_add(row * BYTES), tap * self.depth) }
            }
        }
    }

    /// Lays a place's octets of one tap into a matrix, `first` of the place's octets behind its beginning.
    ///
    /// # Safety
    /// There are `depth` octets at `from`, and lines for them from `to` on, each a step behind the last; the processor has
    /// AVX-512.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn lay(&self, from: *const u8, to: *mut u8, first: usize) {
        // SAFETY: the caller keeps the contract; lines begin on cache lines, as the matrix does.
        unsafe {
            if self.depth.is_multiple_of(BYTES) {
                let mut to = to.add(first / BYTES * STEP);
                for at in (0..self.depth).step_by(BYTES) {
                    _mm512_store_si512(to.cast(), _mm512_loadu_si512(from.add(at).cast()));
                    to = to.wrapping_add(STEP);
                }
                return;
            }
            for at in (0..self.depth).step_by(OCTETS_OF_A_GROUP) {
                let group = from.add(at).cast::<[u8; OCTETS_OF_A_GROUP]>().read();
                let (line, within) = ((first + at) / BYTES, (first + at) % BYTES);
                to.add(line * STEP + within).cast::<[u8; OCTETS_OF_A_GROUP]>().write(group);
            }
        }
    }
}
