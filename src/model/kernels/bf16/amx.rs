//! bf16 by AMX.

use std::arch::asm;

use super::super::amx::BYTES;
use super::super::narrow::amx::{APART, Kernels, Matrices, products};
use super::super::narrow::tile::Micro;
use super::Bf16;
use super::lane::x86::Avx512Bf16;

pub(super) static MICRO: Micro<Bf16> = Kernels::MICRO;

impl Matrices for Bf16 {
    type Lane = Avx512Bf16;

    #[inline(always)]
    unsafe fn sums(from: *const i32) -> Avx512Bf16 {
        // SAFETY: the caller keeps the contract; the sums of these products are f32.
        unsafe { Avx512Bf16::load(from.cast()) }
    }

    products!("tdpbf16ps");
}
