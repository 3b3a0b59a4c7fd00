//! The registers of bf16: sums f32, and their way to bf16, to the nearest (even where two are near).

use super::super::narrow::tile;
use super::super::narrow::tile::Lane;
use super::Bf16;
use super::filter::GROUP;

/// What a panel's sums become, column by column.
#[derive(Clone, Copy)]
pub(in crate::model) struct Ends {
    /// This is added.
    pub(super) bias: *const f32,
    /// And these values, if there are any.
    pub(super) added: Option<*const u16>,
    /// What is smaller than this becomes this.
    pub(super) least: f32,
}

impl tile::Ends for Ends {
    #[inline(always)]
    fn at(self, column: usize, values: usize) -> Self {
        let added = self.added.map(|added| added.wrapping_add(values));
        Self { bias: self.bias.wrapping_add(column), added, ..self }
    }

    #[inline(always)]
    fn added(&self) -> Option<*const u8> {
        self.added.map(<*const u16>::cast)
    }
}

/// The nearest bf16 of a number. What is no number may become an infinity.
#[inline(always)]
pub(super) fn rounded(value: f32) -> u16 {
    let bits = value.to_bits();
    (bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16) as u16
}

/// A bf16 as f32.
#[inline(always)]
pub(super) fn single(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}

/// Without instructions of its own: the compiler makes of it what the target has.
#[derive(Clone, Copy)]
pub(super) struct Plain([f32; 8]);

#[allow(clippy::indexing_slicing, clippy::needless_range_loop, reason = "constant bounds, checked when compiled")]
impl Lane for Plain {
    type Numbers = Bf16;
    const WIDTH: usize = 8;
    type Inputs = [f32; GROUP];
    type Weights = [[u16; GROUP]; 8];

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; 8])
    }

    #[inline(always)]
    unsafe fn inputs(from: *const u16) -> [f32; GROUP] {
        // SAFETY: the caller has so many values there.
        unsafe { from.cast::<[u16; GROUP]>().read() }.map(single)
    }

    #[inline(always)]
    unsafe fn weights(from: *const u16) -> [[u16; GROUP]; 8] {
        // SAFETY: the caller has so many values there.
        unsafe { from.cast::<[[u16; GROUP]; 8]>().read() }
    }

    #[inline(always)]
    unsafe fn add_products(mut self, inputs: [[f32; GROUP]; 2], weights: [[[u16; GROUP]; 8]; 2]) -> Self {
        for group in 0..2 {
            for column in 0..8 {
                for index in 0..GROUP {
                    self.0[column] += inputs[group][index] * single(weights[group][column][index]);
                }
            }
        }
        self
    }

    #[inline(always)]
    unsafe fn keep(self, to: *mut i32) {
        // SAFETY: the caller has room for eight sums.
        unsafe { to.cast::<[f32; 8]>().write(self.0) }
    }

    #[inline(always)]
    unsafe fn finish(self, ends: &Ends, to: *mut u16) {
        for column in 0..8 {
            // SAFETY: the caller has `WIDTH` values everywhere.
            unsafe {
                let mut value = self.0[column] + *ends.bias.add(column);
                if let Some(added) = ends.added {
                    value += single(*added.add(column));
                }
                *to.add(column) = rounded(if value < ends.least { ends.least } else { value });
            }
        }
    }

    #[inline(always)]
    unsafe fn prefetch(_at: *const u8) {}
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::*;

    use super::super::super::lane::ask_for;
    use super::{Bf16, Ends, Lane};

    /// AVX2 with FMA: two products of f32 for each group.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(__m256);

    /// The first and the second of each group, as f32.
    #[inline(always)]
    unsafe fn halves(groups: __m256i) -> [__m256; 2] {
        // SAFETY: the caller's processor has the instructions.
        unsafe {
            let second = _mm256_and_si256(groups, _mm256_set1_epi32(0xFFFF_0000_u32 as i32));
            [_mm256_castsi256_ps(_mm256_slli_epi32::<16>(groups)), _mm256_castsi256_ps(second)]
        }
    }

    impl Lane for Avx2 {
        type Numbers = Bf16;
        const WIDTH: usize = 8;
        type Inputs = [__m256; 2];
        type Weights = [__m256; 2];

        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller's processor has the instruction.
            Self(unsafe { _mm256_setzero_ps() })
        }

        #[inline(always)]
        unsafe fn inputs(from: *const u16) -> [__m256; 2] {
            // SAFETY: the caller has two values there, and its processor has the instructions.
            unsafe { halves(_mm256_set1_epi32(from.cast::<i32>().read_unaligned())) }
        }

        #[inline(always)]
        unsafe fn weights(from: *const u16) -> [__m256; 2] {
            // SAFETY: the caller has 16 weights there, and its processor has the instructions.
            unsafe { halves(_mm256_loadu_si256(from.cast())) }
        }

        #[inline(always)]
        unsafe fn add_products(self, [first, second]: [[__m256; 2]; 2], [a, b]: [[__m256; 2]; 2]) -> Self {
            // An iterator would have all of it go through memory, at a hundredth of the speed.
            // SAFETY: the caller's processor has the instruction.
            Self(unsafe {
                let sums = _mm256_fmadd_ps(first[1], a[1], _mm256_fmadd_ps(first[0], a[0], self.0));
                _mm256_fmadd_ps(second[1], b[1], _mm256_fmadd_ps(second[0], b[0], sums))
            })
        }

        #[inline(always)]
        unsafe fn keep(self, to: *mut i32) {
            // SAFETY: the caller has room for eight sums, and its processor has the instruction.
            unsafe { _mm256_storeu_ps(to.cast(), self.0) }
        }

        #[inline(always)]
        unsafe fn finish(self, ends: &Ends, to: *mut u16) {
            // SAFETY: the caller has eight values everywhere, and its processor has the instructions.
            unsafe {
                let mut values = _mm256_add_ps(self.0, _mm256_loadu_ps(ends.bias));
                if let Some(added) = ends.added {
                    let added = _mm256_cvtepu16_epi32(_mm_loadu_si128(added.cast()));
                    values = _mm256_add_ps(values, _mm256_castsi256_ps(_mm256_slli_epi32::<16>(added)));
                }
                let bits = _mm256_castps_si256(_mm256_max_ps(_mm256_set1_ps(ends.least), values));
                let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
                let up = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF));
                let words = _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, up));
                let (low, high) = (_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
                _mm_storeu_si128(to.cast(), _mm_packus_epi32(low, high));
            }
        }

        #[inline(always)]
        unsafe fn prefetch(at: *const u8) {
            ask_for(at);
        }
    }

    /// AVX-512 BF16: both products of each group at once.
    #[derive(Clone, Copy)]
    pub(in crate::model) struct Avx512Bf16(__m512);

    impl Avx512Bf16 {
        /// Sums from memory.
        ///
        /// # Safety
        /// There are 16, and the processor has the register's instructions.
        #[inline(always)]
        pub(in super::super) unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller keeps the contract.
            Self(unsafe { _mm512_loadu_ps(from) })
        }
    }

    impl Lane for Avx512Bf16 {
        type Numbers = Bf16;
        const WIDTH: usize = 16;
        type Inputs = __m512bh;
        type Weights = __m512bh;

        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller's processor has the instruction.
            Self(unsafe { _mm512_setzero_ps() })
        }

        #[inline(always)]
        unsafe fn inputs(from: *const u16) -> __m512bh {
            // SAFETY: the caller has two values there, and its processor has the instruction; both types are the same bits.
            unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(from.cast::<i32>().read_unaligned())) }
        }

        #[inline(always)]
        unsafe fn weights(from: *const u16) -> __m512bh {
            // SAFETY: the caller has 32 weights there, and its processor has the instruction; both types are the same bits.
            unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(from.cast())) }
        }

        #[inline(always)]
        unsafe fn add_products(self, [first, second]: [__m512bh; 2], [a, b]: [__m512bh; 2]) -> Self {
            // SAFETY: the caller's processor has the instruction.
            Self(unsafe { _mm512_dpbf16_ps(_mm512_dpbf16_ps(self.0, first, a), second, b) })
        }

        #[inline(always)]
        unsafe fn keep(self, to: *mut i32) {
            // SAFETY: the caller has room for 16 sums, and its processor has the instruction.
            unsafe { _mm512_storeu_ps(to.cast(), self.0) }
        }

        #[inline(always)]
        unsafe fn finish(self, ends: &Ends, to: *mut u16) {
            // SAFETY: the caller has 16 values everywhere, and its processor has the instructions; both types are the
            // same 256 bits.
            unsafe {
                let mut values = _mm512_add_ps(self.0, _mm512_loadu_ps(ends.bias));
                if let Some(added) = ends.added {
                    let added = _mm512_cvtepu16_epi32(_mm256_loadu_si256(added.cast()));
                    values = _mm512_add_ps(values, _mm512_castsi512_ps(_mm512_slli_epi32::<16>(added)));
                }
                let values = _mm512_max_ps(_mm512_set1_ps(ends.least), values);
                let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(values));
                _mm256_storeu_si256(to.cast(), rounded);
            }
        }

        #[inline(always)]
        unsafe fn prefetch(at: *const u8) {
            ask_for(at);
        }
    }
}
