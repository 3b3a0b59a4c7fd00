//! The micro-kernel: a few output places by one panel of output channels, held in registers until they are u8.

use super::super::isa::Isa;
use super::super::tile::OUTSIDE;
use super::filter::{GROUP, PAIR};
use super::lane::{Finish, Lane};

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

/// One call of the micro-kernel: `rows` output places by a panel's channels, over `taps` times `depth` inputs.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// Where the offsets count from.
    pub(super) input: *const u8,
    /// At least `depth` zeros, for places outside the input.
    pub(super) zeros: *const u8,
    /// `taps` groups of [`Micro::rows`] offsets; each names `depth` values of the input, or [`OUTSIDE`].
    pub(super) offsets: *const u32,
    pub(super) taps: usize,
    /// A multiple of [`PAIR`].
    pub(super) depth: usize,
    /// `taps * depth / GROUP` times [`Micro::columns`] times [`GROUP`] weights.
    pub(super) filter: *const i8,
    /// Weights that will be wanted soon; nothing is read there, so any address will do.
    pub(super) ahead: *const i8,
    /// As many values as the panel has columns.
    pub(super) scale: *const f32,
    /// As many.
    pub(super) shift: *const f32,
    /// What is added, as far apart as the output, and as many factors of it as the panel has columns.
    pub(super) added: Option<(*const u8, *const f32)>,
    pub(super) output: *mut u8,
    /// Distance of two places in the output, and in what is added.
    pub(super) pitch: usize,
}

/// Computes a tile of as many rows as its place in [`Micro::tiles`] says.
type TileFunction = unsafe fn(&Tile);

/// The micro-kernels of one instruction set.
pub(super) struct Micro {
    /// What they need.
    pub(super) isa: Isa,
    /// Most output places of a tile.
    pub(super) rows: usize,
    /// Output channels of a panel.
    pub(super) columns: usize,
    pub(super) tiles: &'static [TileFunction],
}

impl Micro {
    /// Those of an instruction set, or of the largest part of it that this program has some for.
    pub(super) fn of(isa: Isa) -> &'static Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::Avx512 => &AVX2,
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => &AVX_VNNI,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => &AVX512_VNNI,
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => &super::amx::MICRO,
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
        let mut sums = [[L::zero(); LANES]; ROWS];
        for row in 0..ROWS {
            L::prefetch(tile.output.wrapping_add(row * tile.pitch).cast());
        }
        let (mut filter, mut ahead) = (tile.filter, tile.ahead);
        for tap in 0..tile.taps {
            let mut inputs = [tile.zeros; ROWS];
            for row in 0..ROWS {
                let offset = *tile.offsets.add(tap * MOST + row);
                let place = tile.input.wrapping_add(offset as usize);
                inputs[row] = if offset == OUTSIDE { tile.zeros } else { place };
            }
            for first in (0..tile.depth).step_by(PAIR) {
                L::prefetch(ahead);
                ahead = ahead.wrapping_add(LINE);
                for row in 0..ROWS {
                    let at = inputs[row].add(first);
                    let values = [L::inputs(at), L::inputs(at.add(GROUP))];
                    for lane in 0..LANES {
                        let weights = filter.add(lane * L::WIDTH * GROUP);
                        let weights = [weights, weights.add(LANES * L::WIDTH * GROUP)];
                        sums[row][lane] = sums[row][lane].add_products(values, weights);
                    }
                }
                filter = filter.add(PAIR * LANES * L::WIDTH);
            }
        }
        for row in 0..ROWS {
            finish(tile, row, sums[row]);
        }
    }
}

/// Writes the octets of one place.
///
/// # Safety
/// As [`Micro::run`], for a tile that has the row; the processor has the register's instructions.
#[inline(always)]
pub(super) unsafe fn finish<L: Lane, const LANES: usize>(tile: &Tile, row: usize, sums: [L; LANES]) {
    for (lane, sums) in sums.into_iter().enumerate() {
        let (at, column) = (row * tile.pitch + lane * L::WIDTH, lane * L::WIDTH);
        // SAFETY: the caller keeps the contract; the lanes are those of the panel.
        unsafe {
            let finish = Finish {
                scale: tile.scale.add(column),
                shift: tile.shift.add(column),
                added: tile.added.map(|(added, factor)| (added.add(at), factor.add(column))),
            };
            sums.finish(&finish, tile.output.add(at));
        }
    }
}

/// The table of one instruction set: its name, a module for its functions, the set, the register, the most rows of a tile,
/// the registers of a panel, every number of rows, and the instructions to enable.
macro_rules! micro {
    ($name:ident, $module:ident, $isa:ident, $lane:ty, $most:literal, $lanes:literal, [$($rows:literal),*] $(, $features:literal)?) => {
        mod $module {
            use super::{Tile, compute};

            /// # Safety
            /// As [`super::Micro::run`].
            $(#[target_feature(enable = $features)])?
            pub(super) unsafe fn tile<const ROWS: usize>(tile: &Tile) {
                // SAFETY: the same contract.
                unsafe { compute::<$lane, ROWS, $most, $lanes>(tile) }
            }
        }

        static $name: Micro = Micro {
            isa: Isa::$isa,
            rows: $most,
            columns: <$lane as Lane>::WIDTH * $lanes,
            tiles: &[$($module::tile::<$rows>),*],
        };
    };
}

#[cfg(target_arch = "x86_64")]
micro!(AVX2, avx2, Avx2, crate::model::kernels::int8::lane::x86::Avx2, 8, 1, [1, 2, 3, 4, 5, 6, 7, 8], "avx2");
#[cfg(target_arch = "x86_64")]
micro!(
    AVX_VNNI,
    avx_vnni,
    AvxVnni,
    crate::model::kernels::int8::lane::x86::AvxVnni,
    5,
    2,
    [1, 2, 3, 4, 5],
    "avx2,avxvnni"
);
#[cfg(target_arch = "x86_64")]
micro!(
    AVX512_VNNI,
    avx512_vnni,
    Avx512Vnni,
    crate::model::kernels::int8::lane::x86::Avx512Vnni,
    12,
    2,
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    "avx512f,avx512bw,avx512vnni,avx2"
);
#[cfg(target_arch = "aarch64")]
micro!(NEON, neon, Neon, crate::model::kernels::int8::lane::arm::Neon, 4, 4, [1, 2, 3, 4], "neon");
micro!(PLAIN, plain, Plain, crate::model::kernels::int8::lane::Plain, 4, 1, [1, 2, 3, 4]);

#[cfg(test)]
impl Micro {
    /// Plain kernels that forget the last place of each tile.
    pub(super) fn wrong() -> &'static Self {
        static WRONG: Micro = Micro {
            isa: Isa::Avx512Vnni,
            rows: 4,
            columns: 8,
            tiles: &[plain::tile::<1>, plain::tile::<1>, plain::tile::<2>, plain::tile::<3>],
        };
        &WRONG
    }
}
