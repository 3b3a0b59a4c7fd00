//! The micro-kernel of AMX: two by two tiles of sums, which its instructions make of two tiles of inputs and two of weights.
//!
//! A panel's weights lie as the products want them: 16 groups of inputs are the rows of two tiles side by side.

use std::arch::asm;
use std::arch::x86_64::{_mm512_maskz_loadu_epi8, _mm512_store_si512};
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::super::amx::{BYTES, ROWS};
use super::super::isa::Isa;
use super::super::lane::ask_for;
use super::super::tile::OUTSIDE;
use super::tile::{LINE, Lane, Micro, Tile, finish};
use super::{Narrow, OCTETS_OF_A_GROUP};

/// Output places of a call.
const PLACES: usize = 2 * ROWS;

/// Columns of a panel.
const COLUMNS: usize = 2 * BYTES / OCTETS_OF_A_GROUP;

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
    /// The thread has tiles; 16 rows can be read at each address, those of inputs so many bytes apart.
    unsafe fn add_upper(inputs: (*const u8, usize), weights: *const Self::Weight);

    /// Adds the products of the weights in tiles 6 and 7 with the lower inputs.
    ///
    /// # Safety
    /// As [`Matrices::add_upper`], which came before.
    unsafe fn add_lower(inputs: (*const u8, usize));
}

/// The products of [`Matrices`] by an instruction.
macro_rules! products {
    ($instruction:literal) => {
        unsafe fn add_upper((inputs, apart): (*const u8, usize), weights: *const Self::Weight) {
            // SAFETY: the caller keeps the contract.
            unsafe {
                asm!(
                    "tileloadd tmm6, [{weights} + {across}]",
                    "tileloadd tmm4, [{inputs} + {apart}]",
                    concat!($instruction, " tmm0, tmm4, tmm6"),
                    "tileloadd tmm7, [{weights} + {across} + 64]",
                    concat!($instruction, " tmm1, tmm4, tmm7"),
                    weights = in(reg) weights, across = in(reg) APART, inputs = in(reg) inputs, apart = in(reg) apart,
                    out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
                    options(nostack, readonly, preserves_flags),
                );
            }
        }

        unsafe fn add_lower((inputs, apart): (*const u8, usize)) {
            // SAFETY: the caller keeps the contract.
            unsafe {
                asm!(
                    "tileloadd tmm5, [{inputs} + {apart}]",
                    concat!($instruction, " tmm2, tmm5, tmm6"),
                    concat!($instruction, " tmm3, tmm5, tmm7"),
                    inputs = in(reg) inputs, apart = in(reg) apart,
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

/// A tile's inputs of one tap.
enum Inputs {
    /// Of places that lie so many bytes apart.
    Even(*const u8, usize),
    /// Of places anywhere.
    Scattered([*const u8; ROWS]),
}

/// Room for a tile.
#[repr(align(64))]
struct Room<T, const N: usize>(MaybeUninit<[T; N]>);

impl Inputs {
    /// # Safety
    /// There are `ROWS` offsets, and the tile's inputs are there.
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn new<N: Narrow>(tile: &Tile<N>, offsets: *const u32) -> Self {
        let octets = size_of::<N::Value>();
        let input = tile.input.cast::<u8>();
        // SAFETY: the caller has so many there.
        let offsets = unsafe { offsets.cast::<[u32; ROWS]>().read() };
        let [first, second, ..] = offsets;
        let apart = second.wrapping_sub(first);
        let even = (0..).zip(&offsets).fold(true, |even, (row, offset)| {
            even & (*offset == first.wrapping_add(apart.wrapping_mul(row))) & (*offset != OUTSIDE)
        });
        if even && first < second {
            return Self::Even(input.wrapping_add(first as usize * octets), apart as usize * octets);
        }
        Self::Scattered(offsets.map(|offset| match offset {
            OUTSIDE => tile.zeros.cast(),
            offset => input.wrapping_add(offset as usize * octets),
        }))
    }

    /// Where a tile of `part` octets of each place from `first` on is to be read, and how far apart its rows are; `room` is
    /// for those that have to be gathered.
    ///
    /// # Safety
    /// Every place has so many.
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn part(&self, first: usize, part: usize, room: &mut Room<u8, { ROWS * BYTES }>) -> (*const u8, usize) {
        let room = room.0.as_mut_ptr().cast::<u8>();
        let mask = u64::MAX >> (BYTES - part);
        // SAFETY: the mask keeps to the octets that are there, and a row of the room has 64 bytes, aligned.
        let gather = |row: usize, from: *const u8| unsafe {
            let values = _mm512_maskz_loadu_epi8(mask, from.wrapping_add(first).cast());
            _mm512_store_si512(room.add(row * BYTES).cast(), values);
        };
        match self {
            Self::Even(start, apart) if part == BYTES => return (start.wrapping_add(first), *apart),
            Self::Even(start, apart) => (0..ROWS).for_each(|row| gather(row, start.wrapping_add(row * apart))),
            Self::Scattered(places) => places.iter().enumerate().for_each(|(row, place)| gather(row, *place)),
        }
        (room, BYTES)
    }
}

/// # Safety
/// As [`tile`], with `rows` places.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx512bf16,avx2")]
unsafe fn compute<N: Matrices>(tile: &Tile<N>, rows: usize) {
    let mut rooms = [const { Room(MaybeUninit::uninit()) }; 2];
    let mut sums = Room::<i32, { PLACES * COLUMNS }>(MaybeUninit::uninit());
    let sums = sums.0.as_mut_ptr().cast::<i32>();
    let two = rows > ROWS;
    // SAFETY: the caller keeps the contract of `Micro::run` and has tiles; every offset below stays within what it names,
    // or, in weights, within what a filter has behind them for this.
    unsafe {
        for row in 0..rows {
            ask_for(tile.output.wrapping_add(row * tile.pitch).cast());
        }
        begin();
        let (mut filter, mut ahead) = (tile.filter, tile.ahead);
        for tap in 0..tile.taps {
            let offsets = tile.offsets.add(tap * PLACES);
            let (upper, lower) = (Inputs::new(tile, offsets), Inputs::new(tile, offsets.add(ROWS)));
            let depth = tile.depth * size_of::<N::Value>();
            for first in (0..depth).step_by(BYTES) {
                let part = BYTES.min(depth - first);
                for _ in 0..part / (2 * OCTETS_OF_A_GROUP) {
                    ask_for(ahead);
                    ahead = ahead.wrapping_add(LINE);
                }
                let [upper_room, lower_room] = &mut rooms;
                N::add_upper(upper.part(first, part, upper_room), filter);
                if two {
                    N::add_lower(lower.part(first, part, lower_room));
                }
                filter = filter.wrapping_add(part / size_of::<N::Value>() * COLUMNS);
            }
        }
        end(sums);
        for row in 0..rows {
            let at = sums.add(row * COLUMNS);
            finish(tile, (row, 0), N::sums(at));
            finish(tile, (row, 1), N::sums(at.add(COLUMNS / 2)));
        }
    }
}

/// Tiles 0 to 3 become the sums of nothing: upper left, upper right, lower left, lower right.
///
/// # Safety
/// The thread has tiles.
unsafe fn begin() {
    // SAFETY: the caller has tiles.
    unsafe {
        asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            options(nostack, nomem, preserves_flags));
    }
}

/// Writes the sums, row by row.
///
/// # Safety
/// The thread has tiles, and there is room for [`PLACES`] times [`COLUMNS`] sums.
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
