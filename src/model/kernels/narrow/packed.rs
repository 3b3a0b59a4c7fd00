//! A convolution whose inputs are packed before they are multiplied: a task's tiles become matrices of whole cache lines, which
//! every panel of the task reads. Tiles of AMX read them much faster than places that lie apart, and wait for what has
//! just been written.

use std::arch::x86_64::{_mm512_loadu_si512, _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8, _mm512_store_si512};
use std::cell::RefCell;
use std::ops::Range;

use super::super::amx::{BYTES, ROWS, Tiles};
use super::super::buffer::Buffer;
use super::super::slots::Shared;
use super::super::tile::OUTSIDE;
use super::Narrow;
use super::amx::{Begin, COLUMNS, Kept, Kernels, Packed};
use super::convolution::Convolution;
use super::filter::Filter;
use super::tile::Goal;

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
) {
    let (tiles, panels) = convolution.cut.task(task);
    let source = Source::new::<N>(convolution, filter, memory, zeros);
    let whole = source.steps() * STEP;
    let together = (TOGETHER / whole.max(1)).clamp(1, tiles.len().max(1));
    ROOM.with_borrow_mut(|room| {
        room.grow(together, whole);
        let Room { inputs, sums } = room;
        // SAFETY: the caller's processor has tiles.
        let _tiles = unsafe { Tiles::new() };
        let sums = sums.values_mut().as_mut_ptr();
        let mut work =
            Work { convolution, filter, steps: source.steps(), memory, kernels: N::matrices(), sums, kept: None };
        for first in tiles.clone().step_by(together) {
            let block = first..tiles.end.min(first + together);
            for (tile, to) in block.clone().zip(inputs.values_mut().chunks_exact_mut(whole)) {
                // SAFETY: the tile is one of the convolution's; processors with AMX have AVX-512.
                unsafe { source.pack(tile, convolution.place(tile, 0).1, to) }
            }
            for panel in panels.clone() {
                // SAFETY: the block is packed, and there is room for as many tiles' sums; the rest is the caller's promise.
                unsafe { work.multiply(block.clone(), panel, inputs.values()) }
            }
        }
        // SAFETY: the last sums are there; nobody else does this task.
        unsafe { work.finish() }
    });
}

/// A task at work: a tile's sums become activations while the next tile is multiplied.
struct Work<'a, N: Narrow> {
    convolution: &'a Convolution,
    filter: &'a N::Filter,
    /// Of a whole tile.
    steps: usize,
    memory: &'a Shared<'a, N::Value>,
    kernels: Kernels<N>,
    /// Room for those of all tiles that are packed together.
    sums: *mut i32,
    kept: Option<Kept<N>>,
}

impl<N: Narrow> Work<'_, N> {
    /// Multiplies packed tiles with a panel.
    ///
    /// # Safety
    /// As [`run`]; `inputs` are those of these tiles, and the thread has tiles of AMX.
    unsafe fn multiply(&mut self, block: Range<usize>, panel: usize, inputs: &[u8]) {
        let Self { convolution, filter, steps, memory, .. } = *self;
        let of_a_part = if block.len() < TILES_IN_PARTS { steps } else { STEPS_OF_A_PART }.max(1);
        let values_of_a_step = BYTES / size_of::<N::Value>() * COLUMNS;
        for done in (0..steps).step_by(of_a_part) {
            for (place, tile) in block.clone().enumerate() {
                let (at, rows) = convolution.place(tile, panel * COLUMNS);
                let sums = self.sums.wrapping_add(place * SUMS);
                let packed = Packed {
                    inputs: inputs.as_ptr().wrapping_add((place * steps + done) * STEP),
                    rows,
                    weights: filter.panel(panel).as_ptr().wrapping_add(done * values_of_a_step),
                    steps: of_a_part.min(steps - done),
                    begin: if done == 0 { Begin::Nothing } else { Begin::Sums },
                    sums,
                    meanwhile: self.kept.as_ref(),
                };
                // SAFETY: the inputs are packed; the panel lies within the filter, which has room behind it for a step. What is
                // kept are the sums of the tile before: they are read before those of this one are written.
                unsafe { (self.kernels.multiply)(&packed) }
                let goal = || Goal {
                    ends: filter.ends(panel, convolution.finish(memory, at)),
                    output: memory.start(&convolution.output).wrapping_add(at),
                    pitch: convolution.output.extent.pitch,
                };
                self.kept = (done + of_a_part >= steps).then(|| Kept { sums, rows, goal: goal() });
            }
        }
    }

    /// Makes activations of the last sums.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn finish(self) {
        if let Some(kept) = &self.kept {
            // SAFETY: rows and panel lie within the output, whose pitch holds whole panels; no other task has the same rows of the
            // same panel.
            unsafe { (self.kernels.finish)(kept) }
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
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn pack(&self, tile: usize, rows: usize, to: &mut [u8]) {
        if !(self.taps * self.depth).is_multiple_of(BYTES) {
            to.last_chunk_mut::<STEP>().into_iter().for_each(|last| last.fill(0));
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
    #[target_feature(enable = "avx512f,avx512bw")]
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
            let mut at = 0;
            while at < self.depth {
                let (line, within) = ((first + at) / BYTES, (first + at) % BYTES);
                let octets = (BYTES - within).min(self.depth - at);
                let those = u64::MAX >> (BYTES - octets);
                let values = _mm512_maskz_loadu_epi8(those, from.add(at).cast());
                _mm512_mask_storeu_epi8(to.add(line * STEP + within).cast(), those, values);
                at += octets;
            }
        }
    }
}
