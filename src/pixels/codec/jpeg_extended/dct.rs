//! The inverse discrete cosine transform of an 8 x 8 block (T.81 A.3.3).

use std::f64::consts::{FRAC_1_SQRT_2, PI};
use std::sync::LazyLock;

/// Rows of coefficients or of samples.
pub(super) type Block = [[f32; 8]; 8];

/// `BASIS[u][x] = C(u) / 2 * cos((2x + 1) u pi / 16)`.
static BASIS: LazyLock<Block> = LazyLock::new(|| {
    std::array::from_fn(|u| {
        let scale = if u == 0 { FRAC_1_SQRT_2 / 2.0 } else { 0.5 };
        std::array::from_fn(|x| (scale * ((2 * x + 1) as f64 * u as f64 * PI / 16.0).cos()) as f32)
    })
});

/// Dequantized coefficients to samples of `precision` bits, level shifted, rounded and clamped.
pub(super) fn inverse(coefficients: &Block, precision: u32) -> [[u16; 8]; 8] {
    let basis = &*BASIS;
    let mut samples = Block::default();
    for (row, vertical) in coefficients.iter().zip(basis) {
        let mut across = [0.0; 8];
        for (coefficient, horizontal) in row.iter().zip(basis).filter(|(coefficient, _)| **coefficient != 0.0) {
            add_scaled(&mut across, *coefficient, horizontal);
        }
        for (line, weight) in samples.iter_mut().zip(vertical) {
            add_scaled(line, *weight, &across);
        }
    }
    let (middle, most) = ((1_u32 << (precision - 1)) as f32, ((1_u32 << precision) - 1) as f32);
    // A conversion cuts off what is behind the point, and makes 0 of what is below.
    samples.map(|line| line.map(|sample| (sample + (middle + 0.5)).min(most) as u16))
}

fn add_scaled(sum: &mut [f32; 8], weight: f32, values: &[f32; 8]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_dc_coefficient_is_a_flat_block() {
        let mut coefficients = Block::default();
        coefficients[0][0] = 8.0 * 100.0;
        assert_eq!(inverse(&coefficients, 12), [[2148; 8]; 8]);
        coefficients[0][0] = 1e6;
        assert_eq!(inverse(&coefficients, 12), [[4095; 8]; 8]);
    }

    #[test]
    fn the_second_coefficient_is_half_a_cosine() {
        let mut coefficients = Block::default();
        coefficients[0][1] = 1000.0;
        let line = inverse(&coefficients, 12)[3];
        // 1000 * 1/2 * 1/(2 sqrt 2) * cos((2x + 1) pi / 16)
        assert_eq!(line, [2221, 2195, 2146, 2082, 2014, 1950, 1901, 1875]);
    }
}
