//! The micro-kernel of AMX: two by two tiles of sums, which its instructions make of two tiles of inputs and two of weights.
//!
//! A panel's weights lie as the products want them: 16 groups of inputs are the rows of two tiles side by side.

use std::arch::asm;
use std::marker::PhantomData;

use super::super::amx::{BYTES, ROWS};
use super::super::isa::Isa;
use super::packed::{PLACES, STEP};
use super::tile::{Lane, Micro, Tile, finish};
use super::{Narrow, OCTETS_OF_A_GROUP};

/// Columns of a panel.
pub(super) const COLUMNS: usize = 2 * BYTES / OCTETS_OF_A_GROUP;

/// Bytes from one group of a panel's weights to the next, and from one row of sums to the next.
pub(in super::super) const APART: usize = COLUMNS * OCTETS_OF_A_GROUP;

/// Numbers that AMX multiplies; [`products`] writes the functions.
#[allow(clippy::missing_safety_doc, reason = "said at each")]
pub(in super::super) trait Matrices: Narrow {
    /// The register that takes sums.
    type Lane: Lane<Numbers = Self>;

    /// Sums from memory.
    ///
    /// # Safety
    /// There are as many as the register has columns, and the processor has its instructions.
    unsafe fn sums(from: *const i32) -> Self::Lane;

    /// Loads the weights into tiles 6 and 7 and adds their products with the upper inputs.
    ///
    /// # Safety
    /// The thread has tiles; 16 rows can be read at each address.
    unsafe fn add_upper(inputs: *const u8, weights: *const Self::Weight);

    /// Adds the products of the weights in tiles 6 and 7 with the lower inputs.
    ///
    /// # Safety
    /// As [`Matrices::add_upper`], which came before.
    unsafe fn add_lower(inputs: *const u8);
}

/// The products of [`Matrices`] by an instruction.
macro_rules! products {
    ($instruction:literal) => {
        #[inline(always)]
        unsafe fn add_upper(inputs: *const u8, weights: *const Self::Weight) {
            // SAFETY: the caller keeps the contract.
            unsafe {
                asm!(
                    "tileloadd tmm6, [{weights} + {across}]",
                    "tileloadd tmm4, [{inputs} + {apart}]",
                    concat!($instruction, " tmm0, tmm4, tmm6"),
                    "tileloadd tmm7, [{weights} + {across} + 64]",
                    concat!($instruction, " tmm1, tmm4, tmm7"),
                    weights = in(reg) weights, across = in(reg) APART, inputs = in(reg) inputs, apart = in(reg) BYTES,
                    out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
                    options(nostack, readonly, preserves_flags),
                );
            }
        }

        #[inline(always)]
        unsafe fn add_lower(inputs: *const u8) {
            // SAFETY: the caller keeps the contract.
            unsafe {
                asm!(
                    "tileloadd tmm5, [{inputs} + {apart}]",
                    concat!($instruction, " tmm2, tmm5, tmm6"),
                    concat!($instruction, " tmm3, tmm5, tmm7"),
                    inputs = in(reg) inputs, apart = in(reg) BYTES,
                    out("tmm2") _, out("tmm3") _, out("tmm5") _,
                    options(nostack, readonly, preserves_flags),
                );
            }
        }
    };
}
pub(in super::super) use products;

/// The micro-kernels of some numbers.
pub(in super::super) struct Kernels<N>(PhantomData<N>);

macro_rules! tiles {
    ($($rows:literal)*) => {
        [$(tile::<N, $rows>),*]
    };
}

impl<N: Matrices> Kernels<N> {
    const TILES: [unsafe fn(&Tile<N>); PLACES] =
        tiles!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);

    /// For tiles of any height.
    pub(in super::super) const MICRO: Micro<N> =
        Micro { isa: Isa::Amx, rows: PLACES, columns: COLUMNS, tiles: &Self::TILES };
}

/// # Safety
/// As [`Micro::run`], and the thread has [`super::super::amx::Tiles`].
unsafe fn tile<N: Matrices, const PLACES: usize>(tile: &Tile<N>) {
    // SAFETY: the same contract; processors with AMX have AVX-512, which is held to at the choice of instructions.
    unsafe { compute(tile, PLACES) }
}

/// Of inputs that are packed: [`Tile::input`] has a line of each place for every step.
///
/// # Safety
/// As [`tile`], with `rows` places; there is room for the sums.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx512bf16,avx2")]
unsafe fn compute<N: Matrices>(tile: &Tile<N>, rows: usize) {
    // SAFETY: the caller keeps the contract of `Micro::run` and has tiles; every offset below stays within what it names,
    // or, in weights, within what a filter has behind them for this.
    unsafe {
        match tile.part.begins() {
            true => begin(),
            false => go_on(tile.sums),
        }
        let (mut inputs, mut filter) = (tile.input.cast::<u8>(), tile.filter);
        for _ in 0..tile.depth * size_of::<N::Value>() / BYTES {
            N::add_upper(inputs, filter);
            if rows > ROWS {
                N::add_lower(inputs.wrapping_add(ROWS * BYTES));
            }
            inputs = inputs.wrapping_add(STEP);
            filter = filter.wrapping_add(BYTES / size_of::<N::Value>() * COLUMNS);
        }
        end(tile.sums);
        if tile.part.ends() {
            for row in 0..rows {
                let at = tile.sums.add(row * COLUMNS).cast_const();
                finish(tile, (row, 0), N::sums(at));
                finish(tile, (row, 1), N::sums(at.add(COLUMNS / 2)));
            }
        }
    }
}

/// Tiles 0 to 3 become the sums of nothing: upper left, upper right, lower left, lower right.
///
/// # Safety
/// The thread has tiles.
#[inline(always)]
unsafe fn begin() {
    // SAFETY: the caller has tiles.
    unsafe {
        asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            options(nostack, nomem, preserves_flags));
    }
}

/// The same become the sums that [`end`] has written.
///
/// # Safety
/// The thread has tiles, and all sums are there.
#[inline(always)]
unsafe fn go_on(from: *const i32) {
    // SAFETY: the caller has the sums.
    unsafe {
        asm!(
            "tileloadd tmm0, [{upper} + {across}]",
            "tileloadd tmm1, [{upper} + {across} + 64]",
            "tileloadd tmm2, [{lower} + {across}]",
            "tileloadd tmm3, [{lower} + {across} + 64]",
            upper = in(reg) from, lower = in(reg) from.add(ROWS * COLUMNS), across = in(reg) APART,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            options(nostack, readonly, preserves_flags),
        );
    }
}

/// Writes the sums, row by row.
///
/// # Safety
/// The thread has tiles, and there is room for [`PLACES`] times [`COLUMNS`] sums.
#[inline(always)]
unsafe fn end(to: *mut i32) {
    // SAFETY: the caller has room.
    unsafe {
        asm!(
            "tilestored [{upper} + {across}], tmm0",
            "tilestored [{upper} + {across} + 64], tmm1",
            "tilestored [{lower} + {across}], tmm2",
            "tilestored [{lower} + {across} + 64], tmm3",
            upper = in(reg) to, lower = in(reg) to.add(ROWS * COLUMNS), across = in(reg) APART,
            options(nostack, preserves_flags),
        );
    }
}
