//! A vector register of f32, whatever the processor calls it.

use super::halves::widened;

/// A register of `WIDTH` values.
///
/// # Safety
/// Every function may be called only on a processor that has the type's instructions, and should be inlined into a
/// function that enables them. `load`, `load_halves` and `store` need `WIDTH` values at the
/// pointer.
#[allow(clippy::missing_safety_doc, reason = "said once, above")]
pub(super) trait Lane: Copy {
    /// Values in a register.
    const WIDTH: usize;
    /// `WIDTH` times the same value.
    unsafe fn splat(value: f32) -> Self;
    /// From memory, at any alignment.
    unsafe fn load(from: *const f32) -> Self;
    /// As many numbers of half precision from memory, at any alignment.
    unsafe fn load_halves(from: *const u16) -> Self;
    /// Into memory, at any alignment.
    unsafe fn store(self, to: *mut f32);
    /// `self * factor + sum`, in one rounding where the processor can.
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self;
    /// `self + other`
    unsafe fn add(self, other: Self) -> Self;
    /// `self * other`
    unsafe fn multiply(self, other: Self) -> Self;
    /// The larger of both; `self` where `self` is no number.
    unsafe fn max(self, other: Self) -> Self;
    /// Asks for the cache line at `at`, which need not exist.
    unsafe fn prefetch(at: *const f32);
    /// The values of both in turn, those of `self` first: of their first halves, and of their second ones.
    unsafe fn shuffled_with(self, other: Self) -> (Self, Self);
}

/// Values of the widest register.
pub(super) const WIDEST: usize = 16;

/// Without instructions of its own: the compiler makes of it what the target has.
#[derive(Clone, Copy)]
pub(super) struct Plain([f32; 4]);

impl Plain {
    #[inline(always)]
    fn each(self, other: Self, of: impl Fn(f32, f32) -> f32) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([of(a, e), of(b, f), of(c, g), of(d, h)])
    }
}

impl Lane for Plain {
    const WIDTH: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller has four values there.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> Self {
        // SAFETY: the caller has four values there.
        Self(unsafe { from.cast::<[u16; 4]>().read_unaligned() }.map(widened))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller has room for four values there.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
        // A fused one would be a call into the C library on processors without it.
        self.each(factor, |a, b| a * b).each(sum, |product, sum| product + sum)
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.each(other, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn multiply(self, other: Self) -> Self {
        self.each(other, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.each(other, |a, b| if b > a { b } else { a })
    }

    #[inline(always)]
    unsafe fn prefetch(_at: *const f32) {}

    #[inline(always)]
    unsafe fn shuffled_with(self, other: Self) -> (Self, Self) {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        (Self([a, e, b, f]), Self([c, g, d, h]))
    }
}

/// Implements [`Lane`] by intrinsics; the last argument of `$max` wins where one is no number.
macro_rules! lane {
    ($register:ty, $width:literal, $splat:ident, $load:ident, |$halves:ident| $widened:expr, $store:ident, $add:ident, $multiply:ident, |$a:ident, $b:ident, $c:ident| $fma:expr, |$x:ident, $y:ident| $max:expr, |$first:ident, $second:ident| $shuffled:expr, |$at:ident| $prefetch:expr) => {
        impl Lane for $register {
            const WIDTH: usize = $width;

            #[inline(always)]
            unsafe fn splat(value: f32) -> Self {
                // SAFETY: the caller's processor has the instruction.
                unsafe { $splat(value) }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: the caller's processor has the instruction, and the values are there.
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn load_halves($halves: *const u16) -> Self {
                // SAFETY: the caller's processor has the instruction, and the values are there.
                unsafe { $widened }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: the caller's processor has the instruction, and there is room.
                unsafe { $store(to, self) }
            }

            #[inline(always)]
            unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
                let ($a, $b, $c) = (self, factor, sum);
                // SAFETY: the caller's processor has the instruction.
                unsafe { $fma }
            }

            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: the caller's processor has the instruction.
                unsafe { $add(self, other) }
            }

            #[inline(always)]
            unsafe fn multiply(self, other: Self) -> Self {
                // SAFETY: the caller's processor has the instruction.
                unsafe { $multiply(self, other) }
            }

            #[inline(always)]
            unsafe fn max(self, other: Self) -> Self {
                let ($x, $y) = (self, other);
                // SAFETY: the caller's processor has the instruction.
                unsafe { $max }
            }

            #[inline(always)]
            unsafe fn prefetch($at: *const f32) {
                $prefetch
            }

            #[inline(always)]
            unsafe fn shuffled_with(self, other: Self) -> (Self, Self) {
                let ($first, $second) = (self, other);
                // SAFETY: the caller's processor has the instructions.
                unsafe { $shuffled }
            }
        }
    };
}

/// Asks for the cache line at `at`, which need not exist.
#[inline(always)]
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(unused_variables, reason = "Rust has no such instruction of others yet")
)]
pub(super) fn ask_for(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint; it faults nowhere, and every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Lane, ask_for};

    lane!(
        __m256,
        8,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        |halves| _mm256_cvtph_ps(_mm_loadu_si128(halves.cast())),
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_mul_ps,
        |a, b, c| _mm256_fmadd_ps(a, b, c),
        |x, y| _mm256_max_ps(y, x),
        |x, y| {
            let (low, high) = (_mm256_unpacklo_ps(x, y), _mm256_unpackhi_ps(x, y));
            (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
        },
        |at| ask_for(at.cast())
    );
    lane!(
        __m512,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        |halves| _mm512_cvtph_ps(_mm256_loadu_si256(halves.cast())),
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_mul_ps,
        |a, b, c| _mm512_fmadd_ps(a, b, c),
        |x, y| _mm512_max_ps(y, x),
        |x, y| {
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
            (_mm512_permutex2var_ps(x, low, y), _mm512_permutex2var_ps(x, high, y))
        },
        |at| ask_for(at.cast())
    );
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::*;
    use std::arch::asm;

    use super::Lane;

    lane!(
        float32x4_t,
        4,
        vdupq_n_f32,
        vld1q_f32,
        |halves| {
            let (from, to): (_, float32x4_t);
            from = vld1_u16(halves);
            // Rust has no such function of stable types yet.
            asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) to, in(vreg) from, options(pure, nomem, nostack, preserves_flags));
            to
        },
        vst1q_f32,
        vaddq_f32,
        vmulq_f32,
        |a, b, c| vfmaq_f32(c, a, b),
        |x, y| vmaxq_f32(x, y),
        |x, y| (vzip1q_f32(x, y), vzip2q_f32(x, y)),
        |at| {
            let _ = at;
        }
    );
}
