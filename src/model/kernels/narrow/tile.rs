//! The micro-kernel: a few output places by one panel of output channels, held in registers until they are activations.

use super::super::geometry::OCTETS_OF_A_LINE;
use super::super::isa::Isa;
use super::super::tile::OUTSIDE;
use super::Narrow;

/// What becomes of the sums of a panel on their way to the output, as the numbers want it.
pub(in crate::model) trait Ends: Copy {
    /// The same for the sums from `column` on, whose output lies so many values behind the tile's first.
    fn at(self, column: usize, values: usize) -> Self;

    /// Where values that are added begin, if there are any; nothing is read there.
    fn added(&self) -> Option<*const u8>;
}

/// A register of `WIDTH` sums, one a column.
///
/// # Safety
/// Every function may be called only on a processor that has the type's instructions, and should be inlined into a
/// function that enables them.
#[allow(clippy::missing_safety_doc, reason = "said once, above")]
pub(in crate::model) trait Lane: Copy {
    /// The numbers that are multiplied.
    type Numbers: Narrow;
    /// Columns of a register.
    const WIDTH: usize;
    /// A group of inputs, for every column.
    type Inputs: Copy;
    /// A group of weights of every column.
    type Weights: Copy;
    /// Sums of nothing.
    unsafe fn zero() -> Self;
    /// From memory: a group of values.
    unsafe fn inputs(from: *const Value<Self>) -> Self::Inputs;
    /// From memory: a group of weights for each of `WIDTH` columns.
    unsafe fn weights(from: *const Weight<Self>) -> Self::Weights;
    /// Adds the products of two groups of inputs with their weights.
    unsafe fn add_products(self, inputs: [Self::Inputs; 2], weights: [Self::Weights; 2]) -> Self;
    /// Writes the sums as they are.
    unsafe fn keep(self, to: *mut i32);
    /// Writes `WIDTH` values.
    unsafe fn finish(self, ends: &<Self::Numbers as Narrow>::Ends, to: *mut Value<Self>);
    /// Asks for the cache line at `at`, which need not exist.
    unsafe fn prefetch(at: *const u8);
}

type Value<L> = <<L as Lane>::Numbers as Narrow>::Value;
type Weight<L> = <<L as Lane>::Numbers as Narrow>::Weight;

/// One call of the micro-kernel: `rows` output places by a panel's channels, over `taps` times `depth` inputs.
pub(in crate::model) struct Tile<N: Narrow> {
    /// Where the offsets count from.
    pub(super) input: *const N::Value,
    /// At least `depth` zeros, for places outside the input.
    pub(super) zeros: *const N::Value,
    /// `taps` groups of [`Micro::rows`] offsets; each names `depth` values of the input, or [`OUTSIDE`].
    pub(super) offsets: *const u32,
    pub(super) taps: usize,
    /// A multiple of [`Narrow::PAIR`].
    pub(super) depth: usize,
    /// `taps * depth` times [`Micro::columns`] weights.
    pub(super) filter: *const N::Weight,
    /// Weights that will be wanted soon; nothing is read there, so any address will do.
    pub(super) ahead: *const u8,
    pub(super) goal: Goal<N>,
    /// Room for the sums of a whole tile, row by row, where they are what is wanted and have no goal; else null.
    pub(super) sums: *mut i32,
}

/// Where sums go, and what becomes of them on their way.
pub(super) struct Goal<N: Narrow> {
    pub(super) ends: N::Ends,
    pub(super) output: *mut N::Value,
    /// Distance of two places in the output, and in what is added.
    pub(super) pitch: usize,
}

impl<N: Narrow> Goal<N> {
    /// Writes the values of one register.
    ///
    /// # Safety
    /// There are the row and the register of a panel in the output, and in what is added, and nothing else writes there; the
    /// processor has the register's instructions.
    #[inline(always)]
    pub(super) unsafe fn finish<L: Lane<Numbers = N>>(&self, (row, lane): (usize, usize), sums: L) {
        let column = lane * L::WIDTH;
        let at = row * self.pitch + column;
        // SAFETY: the caller keeps the contract.
        unsafe { sums.finish(&self.ends.at(column, at), self.output.add(at)) }
    }
}

/// Computes a tile of as many rows as its place in [`Micro::tiles`] says.
type TileFunction<N> = unsafe fn(&Tile<N>);

/// The micro-kernels of one instruction set.
pub(in crate::model) struct Micro<N: Narrow> {
    /// What they need.
    pub(in super::super) isa: Isa,
    /// Most output places of a tile.
    pub(in super::super) rows: usize,
    /// Output channels of a panel.
    pub(in super::super) columns: usize,
    pub(in super::super) tiles: &'static [TileFunction<N>],
}

impl<N: Narrow> Micro<N> {
    /// Computes one tile of `rows` places.
    ///
    /// # Safety
    /// The processor has the instruction set. `rows` is from 1 to [`Micro::rows`]. Every pointer of the tile has the
    /// values that its description names, and nothing else writes to the output meanwhile.
    #[inline(always)]
    pub(super) unsafe fn run(&self, rows: usize, tile: &Tile<N>) {
        if let Some(function) = self.tiles.get(rows.wrapping_sub(1)) {
            // SAFETY: the caller keeps the contract, and `function` is the one for so many rows.
            unsafe { function(tile) }
        }
    }
}

/// # Safety
/// As [`Micro::run`], with `ROWS` places, panels of `LANES` registers and at most `MOST` rows a tile.
#[inline(always)]
#[allow(clippy::indexing_slicing, clippy::needless_range_loop, reason = "constant bounds, checked when compiled")]
pub(in super::super) unsafe fn compute<L: Lane, const ROWS: usize, const MOST: usize, const LANES: usize>(
    tile: &Tile<L::Numbers>,
) {
    // SAFETY: the caller keeps the contract of `Micro::run`; every offset below stays within what it names.
    unsafe {
        let mut sums = [[L::zero(); LANES]; ROWS];
        for row in 0..ROWS {
            // The sums are written, and what is added is read, when all is done: ask for both now.
            L::prefetch(tile.goal.output.wrapping_add(row * tile.goal.pitch).cast());
            if let Some(added) = tile.goal.ends.added() {
                L::prefetch(added.wrapping_add(row * tile.goal.pitch * size_of::<Value<L>>()));
            }
        }
        let (mut filter, mut ahead) = (tile.filter, tile.ahead);
        for tap in 0..tile.taps {
            let mut inputs = [tile.zeros; ROWS];
            for row in 0..ROWS {
                let offset = *tile.offsets.add(tap * MOST + row);
                let place = tile.input.wrapping_add(offset as usize);
                inputs[row] = if offset == OUTSIDE { tile.zeros } else { place };
            }
            for first in (0..tile.depth).step_by(L::Numbers::PAIR) {
                L::prefetch(ahead);
                ahead = ahead.wrapping_add(OCTETS_OF_A_LINE);
                let mut weights = [[L::weights(filter); 2]; LANES];
                for lane in 0..LANES {
                    let at = filter.add(lane * L::WIDTH * L::Numbers::GROUP);
                    weights[lane] = [L::weights(at), L::weights(at.add(LANES * L::WIDTH * L::Numbers::GROUP))];
                }
                for row in 0..ROWS {
                    let at = inputs[row].add(first);
                    let values = [L::inputs(at), L::inputs(at.add(L::Numbers::GROUP))];
                    for lane in 0..LANES {
                        sums[row][lane] = sums[row][lane].add_products(values, weights[lane]);
                    }
                }
                filter = filter.add(L::Numbers::PAIR * LANES * L::WIDTH);
            }
        }
        // Written out: a loop that the compiler keeps would have all sums go through memory, at every step above.
        macro_rules! for_each_sum {
            (|$at:ident, $sum:ident| $end:expr, $($row:literal)*) => {
                $(if $row < ROWS {
                    for lane in 0..LANES {
                        let ($at, $sum) = (($row, lane), sums[$row][lane]);
                        $end;
                    }
                })*
            };
        }
        if tile.sums.is_null() {
            for_each_sum!(|at, sum| tile.goal.finish(at, sum), 0 1 2 3 4 5 6 7 8 9 10 11);
        } else {
            for_each_sum!(|at, sum| keep::<L, LANES>(tile, at, sum), 0 1 2 3 4 5 6 7 8 9 10 11);
        }
    }
}

/// Writes the sums of one register.
///
/// # Safety
/// As [`Goal::finish`], and there is room for the sums.
#[inline(always)]
unsafe fn keep<L: Lane, const LANES: usize>(tile: &Tile<L::Numbers>, (row, lane): (usize, usize), sums: L) {
    // SAFETY: the caller keeps the contract.
    unsafe { sums.keep(tile.sums.add((row * LANES + lane) * L::WIDTH)) }
}

/// The table of one instruction set: its name, a module for its functions, the set, the register, the most rows of a tile,
/// the registers of a panel, every number of rows, and the instructions to enable.
macro_rules! micro {
    ($name:ident, $module:ident, $isa:ident, $lane:ty, $most:literal, $lanes:literal, [$($rows:literal),*] $(, $features:literal)?) => {
        mod $module {
            use super::super::super::narrow::tile::{Lane, Tile, compute};

            /// # Safety
            /// As [`super::Micro::run`].
            $(#[target_feature(enable = $features)])?
            pub(super) unsafe fn tile<const ROWS: usize>(tile: &Tile<<$lane as Lane>::Numbers>) {
                // SAFETY: the same contract.
                unsafe { compute::<$lane, ROWS, $most, $lanes>(tile) }
            }
        }

        static $name: Micro<<$lane as Lane>::Numbers> = Micro {
            isa: Isa::$isa,
            rows: $most,
            columns: <$lane as Lane>::WIDTH * $lanes,
            tiles: &[$($module::tile::<$rows>),*],
        };
    };
}
pub(in super::super) use micro;
