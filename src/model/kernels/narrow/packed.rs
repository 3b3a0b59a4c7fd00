//! A convolution whose inputs are packed before they are multiplied: a task's tiles become matrices of whole cache lines, which
//! every panel of the task reads. Tiles of AMX read them much faster than places that lie apart, and wait for what has
//! just been written.

use std::arch::x86_64::{_mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8};
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
use super::tile::{Ends, Goal};

/// Output places of a packed tile.
pub(super) const PLACES: usize = 2 * ROWS;

/// Octets from one step of a packed tile to the next: a line of each place.
pub(super) const STEP: usize = PLACES * BYTES;

/// Sums of a tile.
const SUMS: usize = PLACES * COLUMNS;

/// Octets of inputs that are packed together, if they are not those of one tile: a part of a second-level cache.
const TOGETHER: usize = 640 * 1024;

/// Most steps that are computed for all tiles that are packed together before the next ones are: of so many the weights of a panel
/// stay in the first-level cache from tile to tile, beside the tile's inputs.
const STEPS_OF_A_PART: usize = 9;

/// Panels of a single step whose weights stay there together, or fewer of more steps: a tile's inputs and outputs stay, too, while all
/// of these panels are multiplied.
const MOST_SIDE_BY_SIDE: usize = 10;

/// Fewest tiles for which inputs are taken in parts: between two parts sums go to memory and come back.
const TILES_IN_PARTS: usize = 3;

thread_local! {
    /// Kept from one task to the next.
    static ROOM: RefCell<Room> = RefCell::new(Room { inputs: Buffer::zeroed(0), sums: Buffer::zeroed(0), tiles: Vec::new() });
}

/// What a task needs beside its convolution.
struct Room {
    /// Of the tiles that are packed together.
    inputs: Buffer<u8>,
    /// Of the same tiles, with each panel that is multiplied together.
    sums: Buffer<i32>,
    /// The same tiles: where their first places begin in the output, and their rows.
    tiles: Vec<(usize, usize)>,
}

impl Room {
    /// At least for so many tiles, each of so many octets of inputs, and panels.
    fn grow(&mut self, tiles: usize, whole: usize, panels: usize) {
        if self.inputs.values().len() < tiles * whole {
            self.inputs = Buffer::zeroed(tiles * whole);
        }
        if self.sums.values().len() < tiles * panels * SUMS {
            self.sums = Buffer::zeroed(tiles * panels * SUMS);
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
    let fitting = MOST_SIDE_BY_SIDE / part(source.steps(), STEPS_OF_A_PART).max(1);
    let side_by_side = fitting.clamp(1, panels.len().max(1));
    ROOM.with_borrow_mut(|room| {
        room.grow(together, whole, side_by_side);
        let Room { inputs, sums, tiles: packed } = room;
        // SAFETY: the caller's processor has tiles.
        let _tiles = unsafe { Tiles::new() };
        let sums = sums.values_mut().as_mut_ptr();
        let mut work =
            Work { convolution, filter, steps: source.steps(), memory, kernels: N::matrices(), sums, kept: None };
        for first in tiles.clone().step_by(together) {
            packed.clear();
            packed.extend((first..tiles.end.min(first + together)).map(|tile| convolution.place(tile, 0)));
            for ((tile, (_, rows)), to) in (first..).zip(&*packed).zip(inputs.values_mut().chunks_exact_mut(whole)) {
                // SAFETY: the tile is one of the convolution's; processors with AMX have AVX-512.
                unsafe { source.pack(tile, *rows, to) }
            }
            for first in panels.clone().step_by(side_by_side) {
                let panels = first..panels.end.min(first + side_by_side);
                // SAFETY: the tiles are packed, and there is room for their sums; the rest is the caller's promise.
                unsafe { work.multiply(packed, panels, inputs.values()) }
            }
        }
        // SAFETY: the last sums are there; nobody else does this task.
        unsafe { work.finish() }
    });
}

/// Steps of a part, where so many are divided into parts of about the same length and no more than `most` each.
fn part(steps: usize, most: usize) -> usize {
    steps.div_ceil(steps.div_ceil(most.max(1)).max(1))
}

/// A task at work: a tile's sums become activations while the next tile is multiplied.
struct Work<'a, N: Narrow> {
    convolution: &'a Convolution,
    filter: &'a N::Filter,
    /// Of a whole tile.
    steps: usize,
    memory: &'a Shared<'a, N::Value>,
    kernels: Kernels<N>,
    /// Room for the sums of all tiles that are packed together, with each panel that is multiplied together.
    sums: *mut i32,
    /// Those of the tile before.
    kept: Option<Kept<N>>,
}

impl<N: Narrow> Work<'_, N> {
    /// Multiplies packed tiles, as [`Room::tiles`] has them, with panels. The last one's sums are kept.
    ///
    /// # Safety
    /// As [`run`]; `inputs` are those of these tiles, and the thread has tiles of AMX.
    unsafe fn multiply(&mut self, tiles: &[(usize, usize)], panels: Range<usize>, inputs: &[u8]) {
        let steps = self.steps;
        let most = if tiles.len() < TILES_IN_PARTS { steps } else { STEPS_OF_A_PART };
        let (first, side_by_side) = (panels.start, panels.len());
        let panels: [_; MOST_SIDE_BY_SIDE] =
            std::array::from_fn(|place| (place < side_by_side).then(|| self.panel(first + place)));
        for done in (0..steps).step_by(part(steps, most).max(1)) {
            let now = done..steps.min(done + part(steps, most));
            for (place, tile) in tiles.iter().enumerate() {
                let inputs = inputs.as_ptr().wrapping_add(place * steps * STEP);
                for (column, panel) in panels.iter().flatten().enumerate() {
                    let sums = self.sums.wrapping_add((place * side_by_side + column) * SUMS);
                    // SAFETY: the caller's promise; each tile has sums of its own with each panel.
                    unsafe { self.add_steps(now.clone(), *tile, inputs, panel, sums) }
                }
            }
        }
    }

    fn panel(&self, panel: usize) -> Panel<N> {
        let Self { convolution, filter, memory, .. } = *self;
        let (column, pitch) = (panel * COLUMNS, convolution.output.extent.pitch);
        let output = memory.start(&convolution.output).wrapping_add(column);
        let goal = Goal { ends: filter.ends(panel, convolution.finish(memory, column)), output, pitch };
        Panel { weights: filter.panel(panel).as_ptr(), goal }
    }

    /// Multiplies some steps of a tile, where it begins in the output and its rows, with those of a panel. The sums are kept when
    /// these were the last ones.
    ///
    /// # Safety
    /// As [`Work::multiply`]; `inputs` are the tile's, and the sums are those of its earlier steps.
    #[inline]
    unsafe fn add_steps(
        &mut self,
        now: Range<usize>,
        (begin, rows): (usize, usize),
        inputs: *const u8,
        panel: &Panel<N>,
        sums: *mut i32,
    ) {
        let packed = Packed {
            inputs: inputs.wrapping_add(now.start * STEP),
            rows,
            weights: panel.weights.wrapping_add(now.start * BYTES / size_of::<N::Value>() * COLUMNS),
            steps: now.len(),
            begin: if now.start == 0 { Begin::Nothing } else { Begin::Sums },
            sums,
            meanwhile: self.kept.as_ref(),
        };
        // SAFETY: the inputs are packed; the panel lies within the filter, which has room behind it for a step. What is kept are the
        // sums of the tile before: they are read before these are written.
        unsafe { (self.kernels.multiply)(&packed) }
        self.kept = (now.end == self.steps).then(|| Kept { sums, rows, goal: panel.goal_at(begin) });
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

/// A panel that tiles are multiplied with.
struct Panel<N: Narrow> {
    weights: *const N::Weight,
    /// That of a tile at the output's beginning.
    goal: Goal<N>,
}

impl<N: Narrow> Panel<N> {
    /// That of a tile that begins so many values behind the output's beginning.
    fn goal_at(&self, begin: usize) -> Goal<N> {
        let Goal { ends, output, pitch } = &self.goal;
        Goal { ends: ends.at(0, begin), output: output.wrapping_add(begin), pitch: *pitch }
    }
}

/// Where the inputs of a convolution are.
struct Source<'a> {
    input: *const u8,
    zeros: *const u8,
    /// As [`super::tile::Tile::offsets`], for all tiles, in values.
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
    /// The convolution has the tile, the input's values are all there, and the matrix begins on a cache line and has a line for each
    /// step and place; the processor has AVX-512.
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn pack(&self, tile: usize, rows: usize, to: &mut [u8]) {
        if !(self.taps * self.depth).is_multiple_of(BYTES) {
            to.last_chunk_mut::<STEP>().into_iter().for_each(|last| last.fill(0));
        }
        let to = to.as_mut_ptr();
        let offsets = self.offsets.get(tile * self.taps * PLACES..).unwrap_or_default();
        for (tap, offsets) in offsets.as_chunks::<PLACES>().0.iter().take(self.taps).enumerate() {
            let offsets = offsets.get(..rows).unwrap_or_default();
            let mut done = 0;
            while done < self.depth {
                let at = tap * self.depth + done;
                let (line, within) = (at / BYTES, at % BYTES);
                let octets = (BYTES - within).min(self.depth - done);
                // SAFETY: what the caller promises; the octets are those of one tap, and end with the line.
                unsafe { self.lay(offsets, done, to.add(line * STEP + within), octets) }
                done += octets;
            }
        }
    }

    /// Lays so many octets of places, `from` theirs on, each a line behind the last.
    ///
    /// # Safety
    /// Each place has the octets, and so have the zeros; they end within a line of `to`; the processor has AVX-512.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn lay(&self, offsets: &[u32], from: usize, mut to: *mut u8, octets: usize) {
        let those = u64::MAX >> (BYTES - octets);
        for offset in offsets {
            let place = match *offset {
                OUTSIDE => self.zeros,
                offset => self.input.wrapping_add(offset as usize * self.octets),
            };
            // SAFETY: the caller keeps the contract.
            unsafe {
                let values = _mm512_maskz_loadu_epi8(those, place.add(from).cast());
                _mm512_mask_storeu_epi8(to.cast(), those, values);
            }
            to = to.wrapping_add(BYTES);
        }
    }
}
