//! The inverse discrete cosine transform of an 8 x 8 block (T.81 A.3.3).

use std::f64::consts::{FRAC_1_SQRT_2, PI};
use std::sync::LazyLock;

use super::ZIGZAG;

/// Rows of coefficients or of samples.
pub(super) type Block = [[f32; 8]; 8];

/// `BASIS[u][x] = C(u) / 2 * cos((2x + 1) u pi / 16)`.
static BASIS: LazyLock<Block> = LazyLock::new(|| {
    std::array::from_fn(|u| {
        let scale = if u == 0 { FRAC_1_SQRT_2 / 2.0 } else { 0.5 };
        std::array::from_fn(|x| (scale * ((2 * x + 1) as f64 * u as f64 * PI / 16.0).cos()) as f32)
    })
});

/// How levels around 0 become samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    middle: f32,
    most: f32,
}

impl Scale {
    /// Samples of `precision` bits, of which no more than `stored` are used: what lossy coding made of a white pixel may be
    /// more than white.
    pub fn new(precision: u32, stored: u32) -> Self {
        Self { middle: (1_u32 << (precision - 1)) as f32, most: ((1_u32 << stored.min(precision)) - 1) as f32 }
    }
}

/// Dequantized coefficients to samples.
pub(super) fn inverse(coefficients: &Block, scale: Scale) -> [[u16; 8]; 8] {
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
    self::samples(samples, scale)
}

/// Levels around 0 as samples: level shifted, rounded and clamped.
pub(super) fn samples<const N: usize>(levels: [[f32; N]; N], Scale { middle, most }: Scale) -> [[u16; N]; N] {
    // A conversion cuts off what is behind the point, and makes 0 of what is below.
    levels.map(|line| line.map(|level| (level + (middle + 0.5)).min(most) as u16))
}

/// What each coefficient of a scan adds to the means of the `N` x `N` equal parts of its block, in the order of the stream.
pub(super) struct Means<const N: usize>(Vec<[[f32; N]; N]>);

impl<const N: usize> Means<N> {
    pub fn new(quantization: &[u16; 64]) -> Self {
        let mean = |frequency: &[f32; 8]| -> [f32; N] {
            std::array::from_fn(|part| frequency.iter().skip(part * 8 / N).take(8 / N).sum::<f32>() * N as f32 / 8.0)
        };
        let means = BASIS.each_ref().map(mean);
        let of = |(place, step): (&u8, &u16)| {
            let [vertical, horizontal] =
                [place / 8, place % 8].map(|at| means.get(usize::from(at)).unwrap_or(&[0.0; N]));
            vertical.map(|down| horizontal.map(|across| down * across * f32::from(*step)))
        };
        Self(ZIGZAG.iter().zip(quantization).map(of).collect())
    }

    /// Adds a coefficient; none where a block has no such place.
    pub fn add(&self, k: usize, value: i32, sums: &mut [[f32; N]; N]) -> Option<()> {
        let (sums, of_one) = (sums.as_flattened_mut(), self.0.get(k)?.as_flattened());
        sums.iter_mut().zip(of_one).for_each(|(sum, mean)| *sum += value as f32 * mean);
        Some(())
    }
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
        assert_eq!(inverse(&coefficients, Scale::new(12, 12)), [[2148; 8]; 8]);
        coefficients[0][0] = 1e6;
        assert_eq!(inverse(&coefficients, Scale::new(12, 12)), [[4095; 8]; 8]);
        assert_eq!(inverse(&coefficients, Scale::new(12, 10)), [[1023; 8]; 8]);
    }

    #[test]
    fn the_second_coefficient_is_half_a_cosine() {
        let mut coefficients = Block::default();
        coefficients[0][1] = 1000.0;
        let line = inverse(&coefficients, Scale::new(12, 16))[3];
        // 1000 * 1/2 * 1/(2 sqrt 2) * cos((2x + 1) pi / 16)
        assert_eq!(line, [2221, 2195, 2146, 2082, 2014, 1950, 1901, 1875]);
    }
}
