//! Eight bits by AMX, whose sums are exact as everywhere else.

use std::arch::asm;

use super::super::amx::BYTES;
use super::super::narrow::amx::{APART, Kernels, Matrices, products};
use super::super::narrow::tile::Micro;
use super::Int8;
use super::lane::x86::Avx512Vnni;

pub(super) static MICRO: Micro<Int8> = Kernels::MICRO;

impl Matrices for Int8 {
    type Lane = Avx512Vnni;

    #[inline(always)]
    unsafe fn sums(from: *const i32) -> Avx512Vnni {
        // SAFETY: the caller keeps the contract.
        unsafe { Avx512Vnni::load(from) }
    }

    products!("tdpbusd");
}
