//! Numbers of half precision (IEEE 754 binary16), as weights are stored, to f32 and back.

/// Adds the numbers that are stored in these octets, the lower octet of each first.
pub(in crate::model) fn widen(octets: &[u8], to: &mut Vec<f32>) {
    let halves = octets.as_chunks().0;
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx") && is_x86_feature_detected!("f16c") {
        // SAFETY: the processor has the instructions.
        return unsafe { by_registers(halves, to) };
    }
    one_by_one(halves, to);
}

/// The same with the instructions that there are for it, which compilers use only where they are told of them.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
fn by_registers(halves: &[[u8; 2]], to: &mut Vec<f32>) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};

    const WIDTH: usize = 8;
    let (registers, rest) = halves.as_chunks::<WIDTH>();
    let length = to.len() + registers.len() * WIDTH;
    to.reserve(halves.len());
    let room = to.spare_capacity_mut().as_chunks_mut::<WIDTH>().0;
    for (room, register) in room.iter_mut().zip(registers) {
        // SAFETY: a register's octets are there, and there is room for its values.
        unsafe {
            _mm256_storeu_ps(room.as_mut_ptr().cast(), _mm256_cvtph_ps(_mm_loadu_si128(register.as_ptr().cast())))
        }
    }
    // SAFETY: there is room for so many, and all of them are written.
    unsafe { to.set_len(length) }
    one_by_one(rest, to);
}

fn one_by_one(halves: &[[u8; 2]], to: &mut Vec<f32>) {
    to.extend(halves.iter().map(|octets| widened(u16::from_le_bytes(*octets))));
}

/// The bits of numbers that half precision has, given in f32.
pub(super) fn narrow(values: &[f32], to: &mut [u16]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx") && is_x86_feature_detected!("f16c") {
        // SAFETY: the processor has the instructions.
        return unsafe { narrow_by_registers(values, to) };
    }
    narrow_one_by_one(values, to);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
fn narrow_by_registers(values: &[f32], to: &mut [u16]) {
    use std::arch::x86_64::{_mm_storeu_si128, _mm256_cvtps_ph, _mm256_loadu_ps};

    const WIDTH: usize = 8;
    let ((registers, rest), (room, behind)) = (values.as_chunks::<WIDTH>(), to.as_chunks_mut::<WIDTH>());
    for (room, register) in room.iter_mut().zip(registers) {
        // SAFETY: a register's values are there, and there is room for as many.
        unsafe { _mm_storeu_si128(room.as_mut_ptr().cast(), _mm256_cvtps_ph::<0>(_mm256_loadu_ps(register.as_ptr()))) }
    }
    narrow_one_by_one(rest, behind);
}

fn narrow_one_by_one(values: &[f32], to: &mut [u16]) {
    to.iter_mut().zip(values).for_each(|(to, value)| *to = narrowed(*value));
}

/// The bits of a number that half precision has.
fn narrowed(value: f32) -> u16 {
    let (sign, magnitude) = ((value.to_bits() >> 16) as u16 & 0x8000, value.to_bits() & 0x7fff_ffff);
    // The exponent's bias differs by 112; subnormal numbers come out right, too.
    let finite = f32::from_bits(magnitude) * f32::from_bits((127 - 112) << 23);
    let bits = if magnitude < 0x7f80_0000 { finite.to_bits() } else { magnitude - (112 << 23 << 1) };
    sign | (bits >> 13) as u16
}

/// The value of a number, given by its bits.
#[inline(always)]
pub(super) fn widened(half: u16) -> f32 {
    let (sign, magnitude) = (u32::from(half & 0x8000) << 16, u32::from(half & 0x7fff) << 13);
    // The exponent's bias differs by 112; the product is right for subnormal numbers, too.
    let value = f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23);
    let infinite = if half & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(value.to_bits() | infinite | sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_widened_exactly() {
        for (half, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65_504.0),
            (0x0001, 5.960_464_5e-8),
            (0x83ff, -6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(widened(half), value, "{half:#06x}");
        }
        assert!(widened(0x7e01).is_nan() && widened(0x8000).is_sign_negative());
    }

    #[test]
    fn every_number_is_the_same_however_it_is_widened() {
        // At an odd address, and no whole registers.
        let numbers = || 0..=u16::MAX - 3;
        let octets: Vec<u8> = std::iter::once(0).chain(numbers().flat_map(u16::to_le_bytes)).collect();
        let mut values = vec![7.0];
        widen(&octets[1..], &mut values);
        assert_eq!((values.len(), values[0]), (1 + numbers().count(), 7.0));
        for (half, value) in numbers().zip(&values[1..]) {
            let wanted = widened(half);
            assert!(value.to_bits() == wanted.to_bits() || value.is_nan() && wanted.is_nan(), "{half:#06x}");
        }
        let mut back = vec![0; values.len() - 1];
        narrow(&values[1..], &mut back);
        for ((half, value), back) in numbers().zip(&values[1..]).zip(back) {
            let same = |found: u16| if value.is_nan() { widened(found).is_nan() } else { found == half };
            assert!(same(back) && same(narrowed(*value)), "{half:#06x}");
        }
    }
}
