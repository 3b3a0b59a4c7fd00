//! Activations of several images, and what is done value by value.

use rayon::prelude::*;

use super::memory;

/// Values that one task goes over.
const TASK: usize = 1 << 15;

/// The extent of activations `[images, rows, columns, channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::train) struct Extent {
    pub(in crate::train) images: usize,
    pub(in crate::train) rows: usize,
    pub(in crate::train) columns: usize,
    pub(in crate::train) channels: usize,
}

impl Extent {
    /// Places, all images together.
    pub(in crate::train) fn places(&self) -> usize {
        self.images * self.rows * self.columns
    }

    /// Values of one image.
    pub(in crate::train) fn image(&self) -> usize {
        self.rows * self.columns * self.channels
    }

    /// Values, all images together.
    pub(in crate::train) fn values(&self) -> usize {
        self.images * self.image()
    }
}

/// Activations of several images in NHWC, or how the loss changes with them.
#[derive(Debug, PartialEq)]
pub(in crate::train) struct Volume {
    pub(in crate::train) extent: Extent,
    pub(in crate::train) values: Vec<f32>,
}

impl Volume {
    /// Values of which nothing is known: each has to be written before it is read.
    pub(in crate::train) fn room(extent: Extent) -> Self {
        Self { extent, values: memory::room(extent.values()) }
    }

    /// Zeros.
    pub(in crate::train) fn zeros(extent: Extent) -> Self {
        let mut volume = Self::room(extent);
        volume.values.par_chunks_mut(TASK).for_each(|values| values.fill(0.0));
        volume
    }

    /// Adds another one of the same extent.
    pub(in crate::train) fn add(&mut self, other: &Self) {
        self.with(other, |own, other| *own += other);
    }

    /// Adds another one of the same extent, then negative values become zero.
    pub(in crate::train) fn add_and_rectify(&mut self, other: &Self) {
        self.with(other, |own, other| *own = (*own + other).max(0.0));
    }

    /// Backwards through [`Volume::add_and_rectify`]: slopes are kept where its `output` is above zero.
    pub(in crate::train) fn rectified_backward(&mut self, output: &Self) {
        self.with(output, |slope, output| {
            if output <= 0.0 {
                *slope = 0.0;
            }
        });
    }

    fn with(&mut self, other: &Self, change: impl Fn(&mut f32, f32) + Sync) {
        let pairs = self.values.par_chunks_mut(TASK).zip(other.values.par_chunks(TASK));
        pairs.for_each(|(own, other)| own.iter_mut().zip(other).for_each(|(own, other)| change(own, *other)));
    }
}

impl Clone for Volume {
    fn clone(&self) -> Self {
        let mut volume = Self::room(self.extent);
        volume.with(self, |to, from| *to = from);
        volume
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        memory::give_back(std::mem::take(&mut self.values));
    }
}

#[cfg(test)]
pub(in crate::train) mod tests {
    use super::*;

    /// Values from -1 to 1.
    pub(in crate::train) fn noise(seed: u64, extent: Extent) -> Volume {
        let mut random = fastrand::Rng::with_seed(seed);
        Volume { extent, values: (0..extent.values()).map(|_| 2.0 * random.f32() - 1.0).collect() }
    }

    /// A loss with the given slopes.
    pub(in crate::train) fn slope(output: &Volume, slopes: &Volume) -> f64 {
        output.values.iter().zip(&slopes.values).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    /// The gradient is that of finite differences, to 1e-3 of its largest value.
    pub(in crate::train) fn agree(gradient: &[f32], values: &[f32], loss: impl Fn(&[f32]) -> f64) {
        let largest = gradient.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        assert_eq!(gradient.len(), values.len());
        for (at, found) in gradient.iter().enumerate() {
            let moved = |step: f32| {
                let mut values = values.to_vec();
                values[at] += step;
                loss(&values)
            };
            let expected = (moved(2e-3) - moved(-2e-3)) / 4e-3;
            assert!((f64::from(*found) - expected).abs() < 1e-3 * f64::from(largest), "{at}: {found} for {expected}");
        }
    }

    #[test]
    fn a_sum_lets_slopes_through_where_it_is_above_zero() {
        let extent = Extent { images: 1, rows: 1, columns: 3, channels: 1 };
        let volume = |values: [f32; 3]| Volume { extent, values: values.to_vec() };
        let mut sum = volume([1.0, -2.0, 0.5]);
        sum.add_and_rectify(&volume([1.0, 1.0, -0.5]));
        assert_eq!(sum.values, [2.0, 0.0, 0.0]);
        let mut slopes = volume([3.0, 4.0, 5.0]);
        slopes.rectified_backward(&sum);
        assert_eq!(slopes.values, [3.0, 0.0, 0.0]);
    }
}
