//! The kernel of AMX: two by two tiles of sums, which its instructions make of two tiles of inputs and two of weights, while
//! vectors make activations of the sums before.
//!
//! A panel's weights lie as the products want them: 16 groups of inputs are the rows of two tiles side by side.

use std::arch::asm;

use super::super::amx::{BYTES, ROWS};
use super::super::isa::Isa;
use super::packed::{PLACES, STEP};
use super::tile::{Goal, Lane, Micro};
use super::{Narrow, OCTETS_OF_A_GROUP};

/// Columns of a panel.
pub(super) const COLUMNS: usize = 2 * BYTES / OCTETS_OF_A_GROUP;

/// Bytes from one group of a panel's weights to the next, and from one row of sums to the next.
pub(in super::super) const APART: usize = COLUMNS * OCTETS_OF_A_GROUP;

/// Numbers that AMX multiplies; [`products`] writes the functions.
#[allow(clippy::missing_safety_doc, reason = "said at each")]
pub(in crate::model) trait Matrices: Narrow {
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

/// Some steps of the products of a packed tile with a panel, and what is done beside them.
pub(super) struct Packed<'a, N: Narrow> {
    /// A line of each of [`PLACES`] places for every step.
    pub(super) inputs: *const u8,
    /// Places of the tile.
    pub(super) rows: usize,
    /// The panel's weights of the same steps.
    pub(super) weights: *const N::Weight,
    pub(super) steps: usize,
    pub(super) begin: Begin,
    /// Room for [`PLACES`] times [`COLUMNS`] sums, row by row.
    pub(super) sums: *mut i32,
    /// Earlier sums, which become activations meanwhile.
    pub(super) meanwhile: Option<&'a Kept<N>>,
}

/// What the first products are added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// Nothing: these are a tile's first steps.
    Nothing,
    /// The tile's sums of earlier steps.
    Sums,
}

/// All sums of a tile, which are to become activations.
pub(super) struct Kept<N: Narrow> {
    pub(super) sums: *const i32,
    /// Places of the tile.
    pub(super) rows: usize,
    pub(super) goal: Goal<N>,
}

/// What is done with packed tiles; [`Kernels::OF`] are those of some numbers.
pub(in crate::model) struct Kernels<N: Narrow> {
    /// Sums up [`Packed::steps`]; all of [`Packed::meanwhile`] is finished before the new sums are written.
    ///
    /// # Safety
    /// The thread has [`super::super::amx::Tiles`], and every pointer has what its description names.
    pub(super) multiply: unsafe fn(&Packed<N>),
    /// Makes activations of sums.
    ///
    /// # Safety
    /// The processor has AMX; there are so many sums, and nothing else writes to the output meanwhile.
    pub(super) finish: unsafe fn(&Kept<N>),
}

impl<N: Matrices> Kernels<N> {
    pub(in super::super) const OF: Self = Self { multiply: multiply::<N>, finish: finish::<N> };

    /// The shape of tiles and panels; products are those of [`Kernels`].
    pub(in super::super) const MICRO: Micro<N> = Micro { isa: Isa::Amx, rows: PLACES, columns: COLUMNS, tiles: &[] };
}

/// Vectors work on earlier sums between a step's products and the next one's: AMX is at each for longer than it takes to begin it.
///
/// # Safety
/// As [`Kernels::multiply`]; processors with AMX have AVX-512, which is held to at the choice of instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx512bf16,avx2")]
unsafe fn multiply<N: Matrices>(packed: &Packed<N>) {
    // SAFETY: the caller keeps the contract of `Kernels::multiply`; every offset below stays within what it names.
    unsafe {
        match packed.begin {
            Begin::Nothing => begin(),
            Begin::Sums => go_on(packed.sums),
        }
        let earlier = packed.meanwhile.map_or(0, |kept| kept.rows);
        let (at_once, mut finished) = (earlier.div_ceil(packed.steps.max(1)), 0);
        let (mut inputs, mut weights) = (packed.inputs, packed.weights);
        for _ in 0..packed.steps {
            N::add_upper(inputs, weights);
            if packed.rows > ROWS {
                N::add_lower(inputs.wrapping_add(ROWS * BYTES));
            }
            if let Some(kept) = packed.meanwhile {
                let until = (finished + at_once).min(earlier);
                while finished < until {
                    finish_row(kept, finished);
                    finished += 1;
                }
            }
            inputs = inputs.wrapping_add(STEP);
            weights = weights.wrapping_add(BYTES / size_of::<N::Value>() * COLUMNS);
        }
        end(packed.sums);
    }
}

/// # Safety
/// As [`Kernels::finish`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx512bf16,avx2")]
unsafe fn finish<N: Matrices>(kept: &Kept<N>) {
    for row in 0..kept.rows {
        // SAFETY: the caller keeps the contract.
        unsafe { finish_row(kept, row) }
    }
}

/// # Safety
/// As [`Kernels::finish`], for a row that there is; the caller enables the instructions.
#[inline(always)]
unsafe fn finish_row<N: Matrices>(kept: &Kept<N>, row: usize) {
    // SAFETY: the caller keeps the contract.
    unsafe {
        let at = kept.sums.add(row * COLUMNS);
        kept.goal.finish((row, 0), N::sums(at));
        kept.goal.finish((row, 1), N::sums(at.add(COLUMNS / 2)));
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
