//! The registers of eight bits: sums i32, and their way to octets.
//!
//! No step rounds or overflows differently from one processor to another: sums are exact, and their way to u8 is one or two
//! products of f32, each rounded together with what it is added to, then the nearest integer (even where two are near) from 0 to
//! 255. Weights are bounded as [`super::filter`] says.

use super::super::narrow::tile;
use super::super::narrow::tile::Lane;
use super::Int8;
use super::filter::GROUP;

/// What a panel's sums become, column by column.
#[derive(Clone, Copy)]
pub(in crate::model) struct Ends {
    /// The sum is multiplied by it.
    pub(super) scale: *const f32,
    /// And this is added.
    pub(super) shift: *const f32,
    /// And values times as many factors, if there are any.
    pub(super) added: Option<(*const u8, *const f32)>,
}

impl tile::Ends for Ends {
    #[inline(always)]
    fn at(self, column: usize, values: usize) -> Self {
        Self {
            scale: self.scale.wrapping_add(column),
            shift: self.shift.wrapping_add(column),
            added: self.added.map(|(added, factor)| (added.wrapping_add(values), factor.wrapping_add(column))),
        }
    }

    #[inline(always)]
    fn added(&self) -> Option<*const u8> {
        self.added.map(|(added, _)| added)
    }
}

/// The nearest integer from 0 to 255.
#[inline(always)]
pub(super) fn octet(value: f32) -> u8 {
    /// Added to a number from 0 to 255, it leaves the nearest integer in the lowest bits.
    const INTEGERS: f32 = 8_388_608.0;
    (value.clamp(0.0, 255.0) + INTEGERS).to_bits() as u8
}

/// Without instructions of its own: the compiler makes of it what the target has.
#[derive(Clone, Copy)]
pub(super) struct Plain([i32; 8]);

#[allow(clippy::indexing_slicing, clippy::needless_range_loop, reason = "constant bounds, checked when compiled")]
impl Lane for Plain {
    type Numbers = Int8;
    const WIDTH: usize = 8;
    type Inputs = [u8; GROUP];
    type Weights = [[i8; GROUP]; 8];

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0; 8])
    }

    #[inline(always)]
    unsafe fn inputs(from: *const u8) -> [u8; GROUP] {
        // SAFETY: the caller has so many values there.
        unsafe { from.cast::<[u8; GROUP]>().read() }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> [[i8; GROUP]; 8] {
        // SAFETY: the caller has so many values there.
        unsafe { from.cast::<[[i8; GROUP]; 8]>().read() }
    }

    #[inline(always)]
    unsafe fn add_products(mut self, inputs: [[u8; GROUP]; 2], weights: [[[i8; GROUP]; 8]; 2]) -> Self {
        for group in 0..2 {
            for column in 0..8 {
                for index in 0..GROUP {
                    self.0[column] += i32::from(inputs[group][index]) * i32::from(weights[group][column][index]);
                }
            }
        }
        self
    }

    #[inline(always)]
    unsafe fn keep(self, to: *mut i32) {
        // SAFETY: the caller has room for eight sums.
        unsafe { to.cast::<[i32; 8]>().write(self.0) }
    }

    #[inline(always)]
    unsafe fn finish(self, ends: &Ends, to: *mut u8) {
        for column in 0..8 {
            // SAFETY: the caller has `WIDTH` values everywhere.
            unsafe {
                let mut value = (self.0[column] as f32).mul_add(*ends.scale.add(column), *ends.shift.add(column));
                if let Some((added, factor)) = ends.added {
                    value = f32::from(*added.add(column)).mul_add(*factor.add(column), value);
                }
                *to.add(column) = octet(value);
            }
        }
    }

    #[inline(always)]
    unsafe fn prefetch(_at: *const u8) {}
}

/// Implements the rest of [`Lane`] for AVX2's registers; `|sums, inputs, weights|` adds the products of two groups.
#[cfg(target_arch = "x86_64")]
macro_rules! lane_of_eight {
    ($name:ident, |$sums:ident, $inputs:ident, $weights:ident| $products:expr) => {
        impl Lane for $name {
            type Numbers = Int8;
            const WIDTH: usize = 8;
            type Inputs = __m256i;
            type Weights = __m256i;

            #[inline(always)]
            unsafe fn zero() -> Self {
                // SAFETY: the caller's processor has the instruction.
                Self(unsafe { _mm256_setzero_si256() })
            }

            #[inline(always)]
            unsafe fn inputs(from: *const u8) -> __m256i {
                // SAFETY: the caller has four values there, and its processor has the instruction.
                unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
            }

            #[inline(always)]
            unsafe fn weights(from: *const i8) -> __m256i {
                // SAFETY: the caller has 32 weights there, and its processor has the instruction.
                unsafe { _mm256_loadu_si256(from.cast()) }
            }

            #[inline(always)]
            unsafe fn add_products(self, $inputs: [__m256i; 2], $weights: [__m256i; 2]) -> Self {
                let $sums = self.0;
                // SAFETY: the caller's processor has the instructions.
                Self(unsafe { $products })
            }

            #[inline(always)]
            unsafe fn keep(self, to: *mut i32) {
                // SAFETY: the caller has room for eight sums, and its processor has the instruction.
                unsafe { _mm256_storeu_si256(to.cast(), self.0) }
            }

            #[inline(always)]
            unsafe fn finish(self, ends: &Ends, to: *mut u8) {
                // SAFETY: the caller has eight values everywhere, and its processor has the instructions.
                unsafe {
                    let (scale, shift) = (_mm256_loadu_ps(ends.scale), _mm256_loadu_ps(ends.shift));
                    let mut values = _mm256_fmadd_ps(_mm256_cvtepi32_ps(self.0), scale, shift);
                    if let Some((added, factor)) = ends.added {
                        let added = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(added.cast())));
                        values = _mm256_fmadd_ps(added, _mm256_loadu_ps(factor), values);
                    }
                    let integers = _mm256_cvtps_epi32(_mm256_min_ps(values, _mm256_set1_ps(255.0)));
                    let (low, high) = (_mm256_castsi256_si128(integers), _mm256_extracti128_si256::<1>(integers));
                    let words = _mm_packs_epi32(low, high);
                    _mm_storel_epi64(to.cast(), _mm_packus_epi16(words, words));
                }
            }

            #[inline(always)]
            unsafe fn prefetch(at: *const u8) {
                ask_for(at);
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::*;

    use super::super::super::lane::ask_for;
    use super::{Ends, Int8, Lane};

    /// AVX2: products are summed up in i16 four at a time, which their bound allows.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(__m256i);

    lane_of_eight!(Avx2, |sums, inputs, weights| {
        let ([first, second], [a, b]) = (inputs, weights);
        let fours = _mm256_add_epi16(_mm256_maddubs_epi16(first, a), _mm256_maddubs_epi16(second, b));
        _mm256_add_epi32(sums, _mm256_madd_epi16(fours, _mm256_set1_epi16(1)))
    });

    /// AVX-VNNI, the form of 256 bits.
    #[derive(Clone, Copy)]
    pub(in super::super) struct AvxVnni(__m256i);

    lane_of_eight!(AvxVnni, |sums, inputs, weights| {
        let ([first, second], [a, b]) = (inputs, weights);
        _mm256_dpbusd_avx_epi32(_mm256_dpbusd_avx_epi32(sums, first, a), second, b)
    });

    /// AVX-512 VNNI.
    #[derive(Clone, Copy)]
    pub(in crate::model) struct Avx512Vnni(__m512i);

    impl Avx512Vnni {
        /// Sums from memory.
        ///
        /// # Safety
        /// There are 16, and the processor has the register's instructions.
        #[inline(always)]
        pub(in super::super) unsafe fn load(from: *const i32) -> Self {
            // SAFETY: the caller keeps the contract.
            Self(unsafe { _mm512_loadu_si512(from.cast()) })
        }
    }

    impl Lane for Avx512Vnni {
        type Numbers = Int8;
        const WIDTH: usize = 16;
        type Inputs = __m512i;
        type Weights = __m512i;

        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller's processor has the instruction.
            Self(unsafe { _mm512_setzero_si512() })
        }

        #[inline(always)]
        unsafe fn inputs(from: *const u8) -> __m512i {
            // SAFETY: the caller has four values there, and its processor has the instruction.
            unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
        }

        #[inline(always)]
        unsafe fn weights(from: *const i8) -> __m512i {
            // SAFETY: the caller has 64 weights there, and its processor has the instruction.
            unsafe { _mm512_loadu_si512(from.cast()) }
        }

        #[inline(always)]
        unsafe fn add_products(self, [first, second]: [__m512i; 2], [a, b]: [__m512i; 2]) -> Self {
            // SAFETY: the caller's processor has the instructions.
            Self(unsafe { _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(self.0, first, a), second, b) })
        }

        #[inline(always)]
        unsafe fn keep(self, to: *mut i32) {
            // SAFETY: the caller has room for 16 sums, and its processor has the instruction.
            unsafe { _mm512_storeu_si512(to.cast(), self.0) }
        }

        #[inline(always)]
        unsafe fn finish(self, ends: &Ends, to: *mut u8) {
            // SAFETY: the caller has 16 values everywhere, and its processor has the instructions.
            unsafe {
                let (scale, shift) = (_mm512_loadu_ps(ends.scale), _mm512_loadu_ps(ends.shift));
                let mut values = _mm512_fmadd_ps(_mm512_cvtepi32_ps(self.0), scale, shift);
                if let Some((added, factor)) = ends.added {
                    let added = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(added.cast())));
                    values = _mm512_fmadd_ps(added, _mm512_loadu_ps(factor), values);
                }
                // What is beyond all integers comes out as 2^31, read without a sign: 255 as all that is too large.
                let integers = _mm512_cvtps_epi32(_mm512_max_ps(values, _mm512_setzero_ps()));
                _mm_storeu_si128(to.cast(), _mm512_cvtusepi32_epi8(integers));
            }
        }

        #[inline(always)]
        unsafe fn prefetch(at: *const u8) {
            ask_for(at);
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub(super) mod arm {
    use std::arch::aarch64::*;

    use super::{Ends, Int8, Lane};

    /// NEON: four columns. The inputs are moved to -128..=127 for its products of equal signs, and what that takes away
    /// is added again.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Neon(int32x4_t);

    impl Neon {
        /// Adds the products of one group.
        ///
        /// # Safety
        /// The processor has the register's instructions.
        #[inline(always)]
        unsafe fn add_group(self, inputs: int8x16_t, weights: int8x16_t) -> Self {
            // SAFETY: the caller keeps the contract.
            Self(unsafe {
                let low = vmull_s8(vget_low_s8(inputs), vget_low_s8(weights));
                let high = vmull_high_s8(inputs, weights);
                let moved = vshlq_n_s16::<7>(vpaddlq_s8(weights));
                let sums = vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
                vaddq_s32(self.0, vpadalq_s16(sums, moved))
            })
        }
    }

    impl Lane for Neon {
        type Numbers = Int8;
        const WIDTH: usize = 4;
        type Inputs = int8x16_t;
        type Weights = int8x16_t;

        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller's processor has the instruction.
            Self(unsafe { vdupq_n_s32(0) })
        }

        #[inline(always)]
        unsafe fn inputs(from: *const u8) -> int8x16_t {
            // SAFETY: the caller has four values there, and its processor has the instructions.
            unsafe {
                let inputs = vreinterpretq_u8_u32(vdupq_n_u32(from.cast::<u32>().read_unaligned()));
                vreinterpretq_s8_u8(veorq_u8(inputs, vdupq_n_u8(128)))
            }
        }

        #[inline(always)]
        unsafe fn weights(from: *const i8) -> int8x16_t {
            // SAFETY: the caller has 16 weights there, and its processor has the instruction.
            unsafe { vld1q_s8(from) }
        }

        #[inline(always)]
        unsafe fn add_products(self, [first, second]: [int8x16_t; 2], [a, b]: [int8x16_t; 2]) -> Self {
            // SAFETY: the caller's processor has the instructions.
            unsafe { self.add_group(first, a).add_group(second, b) }
        }

        #[inline(always)]
        unsafe fn keep(self, to: *mut i32) {
            // SAFETY: the caller has room for four sums, and its processor has the instruction.
            unsafe { vst1q_s32(to, self.0) }
        }

        #[inline(always)]
        unsafe fn finish(self, ends: &Ends, to: *mut u8) {
            // SAFETY: the caller has four values everywhere, and its processor has the instructions.
            unsafe {
                let mut values = vfmaq_f32(vld1q_f32(ends.shift), vcvtq_f32_s32(self.0), vld1q_f32(ends.scale));
                if let Some((added, factor)) = ends.added {
                    let added = vcreate_u8(u64::from(added.cast::<u32>().read_unaligned()));
                    let added = vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(added))));
                    values = vfmaq_f32(values, added, vld1q_f32(factor));
                }
                let words = vqmovun_s32(vcvtnq_s32_f32(values));
                let bytes = vreinterpret_u32_u8(vqmovn_u16(vcombine_u16(words, words)));
                to.cast::<u32>().write_unaligned(vget_lane_u32::<0>(bytes));
            }
        }

        #[inline(always)]
        unsafe fn prefetch(_at: *const u8) {}
    }
}
