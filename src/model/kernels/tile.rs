//! The micro-kernel: a few output places by one panel of output channels, held in registers.

use super::geometry::LINE;
use super::isa::Isa;
use super::lane::Lane;
use super::winograd;

/// Marks an offset that lies in the padding, outside the input.
pub(super) const OUTSIDE: u32 = u32::MAX;

/// What a tile's sums begin with.
#[derive(Clone, Copy)]
pub(super) enum Begin {
    /// One value a channel of the panel.
    Bias(*const f32),
    /// What an earlier block of the depth left in the output.
    Output,
}

/// What becomes of a tile's sums on their way to the output.
#[derive(Clone, Copy)]
pub(in crate::model) enum Finish<T = f32> {
    /// Nothing.
    Keep,
    /// Negative ones become zero.
    Rectify,
    /// The values at the same distance from this pointer as the output's from its own are added, then negative ones
    /// become zero.
    AddAndRectify(*const T),
}

/// One call of the micro-kernel: `rows` output places by a panel's channels, over `taps` times `depth` inputs.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// Where the offsets count from.
    pub(super) input: *const f32,
    /// As many zeros as the input has channels, for places outside the input.
    pub(super) zeros: *const f32,
    /// `taps` groups of [`Micro::rows`] offsets; each names `depth` values of the input, or [`OUTSIDE`].
    pub(super) offsets: *const u32,
    pub(super) taps: usize,
    /// First of the channels that are summed over.
    pub(super) channel: usize,
    pub(super) depth: usize,
    /// `taps * depth` groups of [`Micro::columns`] weights.
    pub(super) filter: *const f32,
    /// Weights that will be wanted soon; nothing is read there, so any address will do.
    pub(super) ahead: *const f32,
    /// How far those of the next tap are behind the last one's, wrapping around where they are in front.
    pub(super) leap: usize,
    pub(super) begin: Begin,
    pub(super) finish: Finish,
    pub(super) output: *mut f32,
    /// Distance of two places in the output, and in what is added.
    pub(super) pitch: usize,
}

impl Tile {
    /// Inputs between two cache lines that are asked for ahead.
    pub(super) const STRIDE: usize = 2;
}

/// Computes a tile of as many rows as its place in [`Micro::tiles`] says.
type TileFunction = unsafe fn(&Tile);

/// Turns a square of inputs into the values of Winograd's matrices: see [`winograd::spread`].
type SpreadFunction = unsafe fn(&[*const f32; winograd::VALUES], usize, *mut f32, usize);

/// Turns the values of Winograd's matrices into a square of outputs: see [`winograd::gather`].
type GatherFunction = unsafe fn(*const f32, usize, usize, &[f32], &[Option<*mut f32>; 4]);

/// Takes the largest values of some places: see [`pooling::largest`].
type LargestFunction = unsafe fn(&[*const f32], usize, *mut f32);

/// Turns a square of a panel's columns over: see [`turn::turned`].
type TurnFunction = unsafe fn(*const f32, usize, *mut f32);

/// Widens weights of half precision: see [`widened`].
type WidenFunction = unsafe fn(*const u16, *const f32, usize, *mut f32);

/// The micro-kernels of one instruction set.
pub(super) struct Micro {
    /// What they need.
    pub(super) isa: Isa,
    /// Most output places of a tile.
    pub(super) rows: usize,
    /// Output channels of a panel.
    pub(super) columns: usize,
    tiles: &'static [TileFunction],
    pub(super) spread: SpreadFunction,
    pub(super) gather: GatherFunction,
    pub(super) largest: LargestFunction,
    pub(super) turn: TurnFunction,
    pub(super) widen: WidenFunction,
}

impl Micro {
    /// Those of an instruction set; plain ones where this program has none for it.
    pub(super) fn of(isa: Isa) -> &'static Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::AvxVnni => &AVX2,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Vnni | Isa::Avx512Bf16 | Isa::Amx => &AVX512,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => &NEON,
            _ => &PLAIN,
        }
    }

    /// Computes one tile of `rows` places.
    ///
    /// # Safety
    /// The processor has the instruction set. `rows` is from 1 to [`Micro::rows`]. Every pointer of the tile has the
    /// values that its description names, and nothing else writes to the output meanwhile.
    #[inline(always)]
    pub(super) unsafe fn run(&self, rows: usize, tile: &Tile) {
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
unsafe fn compute<L: Lane, const ROWS: usize, const MOST: usize, const LANES: usize>(tile: &Tile) {
    // SAFETY: the caller keeps the contract of `Micro::run`; every offset below stays within what it names.
    unsafe {
        let mut sums = [[L::splat(0.0); LANES]; ROWS];
        for row in 0..ROWS {
            for lane in 0..LANES {
                sums[row][lane] = match tile.begin {
                    Begin::Bias(bias) => L::load(bias.add(lane * L::WIDTH)),
                    Begin::Output => L::load(tile.output.add(row * tile.pitch + lane * L::WIDTH)),
                };
            }
            // The sums are written, and what is added is read, when all is done: ask for both now.
            for column in (0..LANES * L::WIDTH).step_by(LINE) {
                L::prefetch(tile.output.wrapping_add(row * tile.pitch + column));
                if let Finish::AddAndRectify(other) = tile.finish {
                    L::prefetch(other.wrapping_add(row * tile.pitch + column));
                }
            }
        }
        let (mut filter, mut ahead) = (tile.filter, tile.ahead);
        for tap in 0..tile.taps {
            let mut inputs = [tile.zeros; ROWS];
            for row in 0..ROWS {
                let offset = *tile.offsets.add(tap * MOST + row);
                let place = tile.input.wrapping_add(offset as usize + tile.channel);
                inputs[row] = if offset == OUTSIDE { tile.zeros } else { place };
            }
            let whole = tile.depth / Tile::STRIDE * Tile::STRIDE;
            for first in (0..whole).step_by(Tile::STRIDE) {
                L::prefetch(ahead);
                ahead = ahead.wrapping_add(LINE);
                for index in first..first + Tile::STRIDE {
                    step::<L, ROWS, LANES>(&mut sums, &inputs, index, filter);
                    filter = filter.add(LANES * L::WIDTH);
                }
            }
            for index in whole..tile.depth {
                step::<L, ROWS, LANES>(&mut sums, &inputs, index, filter);
                filter = filter.add(LANES * L::WIDTH);
            }
            ahead = ahead.wrapping_add(tile.leap);
        }
        let zero = L::splat(0.0);
        for row in 0..ROWS {
            for lane in 0..LANES {
                let at = row * tile.pitch + lane * L::WIDTH;
                let sum = sums[row][lane];
                let value = match tile.finish {
                    Finish::Keep => sum,
                    Finish::Rectify => sum.max(zero),
                    Finish::AddAndRectify(other) => sum.add(L::load(other.add(at))).max(zero),
                };
                value.store(tile.output.add(at));
            }
        }
    }
}

/// One input of each row times the panel's weights for it.
///
/// # Safety
/// `index` values follow each of `inputs`, and a panel's weights are at `filter`.
#[inline(always)]
#[allow(clippy::indexing_slicing, clippy::needless_range_loop, reason = "constant bounds, checked when compiled")]
unsafe fn step<L: Lane, const ROWS: usize, const LANES: usize>(
    sums: &mut [[L; LANES]; ROWS],
    inputs: &[*const f32; ROWS],
    index: usize,
    filter: *const f32,
) {
    // SAFETY: the caller keeps the contract.
    unsafe {
        let mut weights = [L::splat(0.0); LANES];
        for lane in 0..LANES {
            weights[lane] = L::load(filter.add(lane * L::WIDTH));
        }
        for row in 0..ROWS {
            let value = L::splat(*inputs[row].add(index));
            for lane in 0..LANES {
                sums[row][lane] = value.multiply_add(weights[lane], sums[row][lane]);
            }
        }
    }
}

/// Weights of half precision, each times the factor of its column.
///
/// # Safety
/// The processor has the register's instructions; `rows` times `LANES` registers of weights, `LANES` of factors and room for the
/// former are there.
#[inline(always)]
#[allow(clippy::indexing_slicing, clippy::needless_range_loop, reason = "constant bounds, checked when compiled")]
unsafe fn widened<L: Lane, const LANES: usize>(from: *const u16, factors: *const f32, rows: usize, to: *mut f32) {
    // SAFETY: the caller keeps the contract.
    unsafe {
        let mut by = [L::splat(0.0); LANES];
        for lane in 0..LANES {
            by[lane] = L::load(factors.add(lane * L::WIDTH));
        }
        for row in 0..rows {
            for lane in 0..LANES {
                let at = (row * LANES + lane) * L::WIDTH;
                L::load_halves(from.add(at)).multiply(by[lane]).store(to.add(at));
            }
        }
    }
}

/// The table of one instruction set: its name, a module for its functions, the set, the register, the most rows of a tile, the
/// registers of a panel, every number of rows, and the instructions to enable.
macro_rules! micro {
    ($name:ident, $module:ident, $isa:ident, $lane:ty, $most:literal, $lanes:literal, [$($rows:literal),*] $(, $features:literal)?) => {
        mod $module {
            use super::super::lane::Lane;
            use super::super::{pooling, turn, winograd};
            use super::{Tile, compute, widened};

            /// # Safety
            /// As [`super::Micro::run`].
            $(#[target_feature(enable = $features)])?
            pub(super) unsafe fn tile<const ROWS: usize>(tile: &Tile) {
                // SAFETY: the same contract.
                unsafe { compute::<$lane, ROWS, $most, $lanes>(tile) }
            }

            /// # Safety
            /// As [`winograd::spread`].
            $(#[target_feature(enable = $features)])?
            pub(super) unsafe fn spread(
                places: &[*const f32; winograd::VALUES],
                channels: usize,
                output: *mut f32,
                apart: usize,
            ) {
                // SAFETY: the same contract.
                unsafe { winograd::spread::<$lane>(places, channels, output, apart) }
            }

            /// # Safety
            /// As [`winograd::gather`].
            $(#[target_feature(enable = $features)])?
            pub(super) unsafe fn gather(
                input: *const f32,
                apart: usize,
                channels: usize,
                bias: &[f32],
                places: &[Option<*mut f32>; 4],
            ) {
                // SAFETY: the same contract.
                unsafe { winograd::gather::<$lane>(input, apart, channels, bias, places) }
            }

            /// # Safety
            /// As [`pooling::largest`].
            $(#[target_feature(enable = $features)])?
            pub(super) unsafe fn largest(places: &[*const f32], values: usize, output: *mut f32) {
                // SAFETY: the same contract.
                unsafe { pooling::largest::<$lane>(places, values, output) }
            }

            /// # Safety
            /// As [`turn::turned`].
            $(#[target_feature(enable = $features)])?
            pub(super) unsafe fn turn(from: *const f32, apart: usize, to: *mut f32) {
                // SAFETY: the same contract.
                unsafe { turn::turned::<$lane, { <$lane as Lane>::WIDTH }, $lanes>(from, apart, to) }
            }

            /// # Safety
            /// As [`widened`].
            $(#[target_feature(enable = $features)])?
            pub(super) unsafe fn widen(from: *const u16, factors: *const f32, rows: usize, to: *mut f32) {
                // SAFETY: the same contract.
                unsafe { widened::<$lane, $lanes>(from, factors, rows, to) }
            }
        }

        static $name: Micro = Micro {
            isa: Isa::$isa,
            rows: $most,
            columns: <$lane as Lane>::WIDTH * $lanes,
            tiles: &[$($module::tile::<$rows>),*],
            spread: $module::spread,
            gather: $module::gather,
            largest: $module::largest,
            turn: $module::turn,
            widen: $module::widen,
        };
    };
}

#[cfg(target_arch = "x86_64")]
micro!(AVX2, avx2, Avx2, std::arch::x86_64::__m256, 6, 2, [1, 2, 3, 4, 5, 6], "avx2,fma,f16c");
#[cfg(target_arch = "x86_64")]
micro!(
    AVX512,
    avx512,
    Avx512,
    std::arch::x86_64::__m512,
    12,
    2,
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    "avx512f,avx2,fma"
);
#[cfg(target_arch = "aarch64")]
micro!(NEON, neon, Neon, std::arch::aarch64::float32x4_t, 6, 4, [1, 2, 3, 4, 5, 6], "neon");
micro!(PLAIN, plain, Plain, crate::model::kernels::lane::Plain, 4, 2, [1, 2, 3, 4]);

#[cfg(test)]
impl Micro {
    /// Plain kernels that forget the last place of each tile.
    pub(super) fn wrong() -> &'static Self {
        static WRONG: Micro = Micro {
            isa: Isa::Avx512,
            rows: 4,
            columns: 8,
            tiles: &[plain::tile::<1>, plain::tile::<1>, plain::tile::<2>, plain::tile::<3>],
            spread: plain::spread,
            gather: plain::gather,
            largest: plain::largest,
            turn: plain::turn,
            widen: plain::widen,
        };
        &WRONG
    }
}
