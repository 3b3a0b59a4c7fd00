//! Batch normalisation (Ioffe and Szegedy 2015): each channel by its mean and variance over all places of the batch.

use rayon::prelude::*;

use super::Volume;

/// Added to a variance, as torchvision's ResNet-50 does.
pub(in crate::train) const EPSILON: f64 = 1e-5;

/// Share of a batch in the running mean and variance, as PyTorch has it.
const MOMENTUM: f64 = 0.1;

/// Places that are summed up together; the sums of these follow each other.
const PLACES: usize = 64;

/// Mean and variance of each channel.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::train) struct Moments {
    pub(in crate::train) mean: Vec<f32>,
    pub(in crate::train) variance: Vec<f32>,
}

impl Moments {
    /// Those of a batch; the variance is that of the batch itself, divided by the number of places.
    pub(in crate::train) fn of(input: &Volume) -> Self {
        let places = input.extent.places().max(1) as f64;
        let [sums, squares] = sums(input.extent.channels, &input.values, &input.values, |sum, square, x, _| {
            *sum += f64::from(x);
            *square += f64::from(x) * f64::from(x);
        });
        let variance = |(sum, square): (&f64, &f64)| (square / places - (sum / places).powi(2)).max(0.0) as f32;
        Self {
            mean: sums.iter().map(|sum| (sum / places) as f32).collect(),
            variance: sums.iter().zip(&squares).map(variance).collect(),
        }
    }

    /// Lets running moments follow those of a batch of so many places; of its variance the unbiased estimate.
    pub(in crate::train) fn follow(running: [&mut [f32]; 2], batch: &Self, places: usize) {
        let [mean, variance] = running;
        let unbiased = places as f64 / (places as f64 - 1.0).max(1.0);
        for (running, batch, factor) in [(mean, &batch.mean, 1.0), (variance, &batch.variance, unbiased)] {
            for (running, batch) in running.iter_mut().zip(batch) {
                *running = (f64::from(*running) * (1.0 - MOMENTUM) + f64::from(*batch) * factor * MOMENTUM) as f32;
            }
        }
    }
}

/// Batch normalisation with a gain and a bias for each channel, then ReLU or not.
#[derive(Clone, Copy)]
pub(in crate::train) struct BatchNorm<'a> {
    pub(in crate::train) gain: &'a [f32],
    pub(in crate::train) bias: &'a [f32],
}

/// What is left of normalisation once the moments are known: `x * scale + shift`.
struct Line {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

/// How the loss changes with gain and bias.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::train) struct Slopes {
    pub(in crate::train) gain: Vec<f32>,
    pub(in crate::train) bias: Vec<f32>,
}

impl BatchNorm<'_> {
    fn line(&self, moments: &Moments) -> Line {
        let scale = |(gain, variance): (&f32, &f32)| f64::from(*gain) / (f64::from(*variance) + EPSILON).sqrt();
        let scales: Vec<f64> = self.gain.iter().zip(&moments.variance).map(scale).collect();
        let shifts = scales.iter().zip(self.bias.iter().zip(&moments.mean));
        Line {
            shift: shifts.map(|(scale, (bias, mean))| (f64::from(*bias) - f64::from(*mean) * scale) as f32).collect(),
            scale: scales.iter().map(|scale| *scale as f32).collect(),
        }
    }

    /// Normalises.
    pub(in crate::train) fn forward(&self, input: &Volume, moments: &Moments) -> Volume {
        self.apply(input, moments, |value| value)
    }

    /// Normalises, then negative values become zero.
    pub(in crate::train) fn forward_rectified(&self, input: &Volume, moments: &Moments) -> Volume {
        self.apply(input, moments, |value| value.max(0.0))
    }

    fn apply(&self, input: &Volume, moments: &Moments, then: impl Fn(f32) -> f32 + Sync) -> Volume {
        let Line { scale, shift } = self.line(moments);
        let mut output = Volume::room(input.extent);
        let channels = input.extent.channels.max(1);
        let tasks = output.values.par_chunks_mut(PLACES * channels).zip(input.values.par_chunks(PLACES * channels));
        tasks.for_each(|(output, input)| {
            for (output, input) in output.chunks_exact_mut(channels).zip(input.chunks_exact(channels)) {
                let line = scale.iter().zip(&shift);
                for ((output, input), (scale, shift)) in output.iter_mut().zip(input).zip(line) {
                    *output = then(input * scale + shift);
                }
            }
        });
        output
    }

    /// Backwards through [`BatchNorm::forward`] with the batch's own moments: the slopes of its output become those of
    /// its input.
    pub(in crate::train) fn backward(&self, input: &Volume, moments: &Moments, slopes: &mut Volume) -> Slopes {
        let places = input.extent.places().max(1) as f64;
        let [biases, products] =
            sums(input.extent.channels, &slopes.values, &input.values, |bias, product, slope, x| {
                *bias += f64::from(slope);
                *product += f64::from(slope) * f64::from(x);
            });
        let per_channel = self.gain.iter().zip(moments.mean.iter().zip(&moments.variance));
        let mut gains = Vec::with_capacity(biases.len());
        // The slope of an input is a * slope + b * x + c.
        let mut factors = [const { Vec::new() }; 3];
        for ((gain, (mean, variance)), (bias, product)) in per_channel.zip(biases.iter().zip(&products)) {
            let (mean, narrow) = (f64::from(*mean), 1.0 / (f64::from(*variance) + EPSILON).sqrt());
            let scale = f64::from(*gain) * narrow;
            let gain = narrow * (product - mean * bias);
            let b = -scale * narrow * gain / places;
            gains.push(gain as f32);
            for (list, factor) in factors.iter_mut().zip([scale, b, -scale * bias / places - b * mean]) {
                list.push(factor as f32);
            }
        }
        let channels = input.extent.channels.max(1);
        let [a, b, c] = &factors;
        let tasks = slopes.values.par_chunks_mut(PLACES * channels).zip(input.values.par_chunks(PLACES * channels));
        tasks.for_each(|(slopes, input)| {
            for (slopes, input) in slopes.chunks_exact_mut(channels).zip(input.chunks_exact(channels)) {
                let factors = a.iter().zip(b).zip(c);
                for ((slope, x), ((a, b), c)) in slopes.iter_mut().zip(input).zip(factors) {
                    *slope = a * *slope + (b * x + c);
                }
            }
        });
        Slopes { gain: gains, bias: biases.iter().map(|bias| *bias as f32).collect() }
    }

    /// Backwards through [`BatchNorm::forward_rectified`].
    pub(in crate::train) fn backward_rectified(
        &self,
        input: &Volume,
        moments: &Moments,
        slopes: &mut Volume,
    ) -> Slopes {
        let Line { scale, shift } = self.line(moments);
        let channels = input.extent.channels.max(1);
        let tasks = slopes.values.par_chunks_mut(PLACES * channels).zip(input.values.par_chunks(PLACES * channels));
        tasks.for_each(|(slopes, input)| {
            for (slopes, input) in slopes.chunks_exact_mut(channels).zip(input.chunks_exact(channels)) {
                let line = scale.iter().zip(&shift);
                for ((slope, x), (scale, shift)) in slopes.iter_mut().zip(input).zip(line) {
                    *slope = if x * scale + shift > 0.0 { *slope } else { 0.0 };
                }
            }
        });
        self.backward(input, moments, slopes)
    }
}

/// Two sums for each channel over all places, in one order.
fn sums(
    channels: usize,
    first: &[f32],
    second: &[f32],
    add: impl Fn(&mut f64, &mut f64, f32, f32) + Sync,
) -> [Vec<f64>; 2] {
    let length = PLACES * channels.max(1);
    let task = |(first, second): (&[f32], &[f32])| {
        let mut sums = [vec![0.0; channels], vec![0.0; channels]];
        let [a, b] = &mut sums;
        for (first, second) in first.chunks_exact(channels.max(1)).zip(second.chunks_exact(channels.max(1))) {
            let pairs = a.iter_mut().zip(b.iter_mut()).zip(first.iter().zip(second));
            pairs.for_each(|((a, b), (x, y))| add(a, b, *x, *y));
        }
        sums
    };
    let parts: Vec<[Vec<f64>; 2]> = first.par_chunks(length).zip(second.par_chunks(length)).map(task).collect();
    let mut total = [vec![0.0; channels], vec![0.0; channels]];
    for part in &parts {
        for (total, part) in total.iter_mut().zip(part) {
            total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::super::Extent;
    use super::super::volume::tests::{agree, noise, slope};
    use super::*;

    const INPUT: Extent = Extent { images: 3, rows: 5, columns: 6, channels: 4 };
    const GAIN: [f32; 4] = [0.5, 1.0, -1.5, 2.0];
    const BIAS: [f32; 4] = [0.1, -0.2, 0.3, 0.0];

    #[test]
    fn every_channel_has_its_bias_as_mean_and_its_gain_as_deviation() {
        let x = noise(1, INPUT);
        let norm = BatchNorm { gain: &GAIN, bias: &BIAS };
        let found = Moments::of(&norm.forward(&x, &Moments::of(&x)));
        for channel in 0..4 {
            assert!((found.mean[channel] - BIAS[channel]).abs() < 1e-6);
            assert!((found.variance[channel].sqrt() - GAIN[channel].abs()).abs() < 1e-4);
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let (x, slopes) = (noise(1, INPUT), noise(2, INPUT));
        let loss = |x: &Volume, gain: &[f32], bias: &[f32]| {
            slope(&BatchNorm { gain, bias }.forward(x, &Moments::of(x)), &slopes)
        };
        let mut gradient = slopes.clone();
        let found = BatchNorm { gain: &GAIN, bias: &BIAS }.backward(&x, &Moments::of(&x), &mut gradient);
        agree(&found.gain, &GAIN, |gain| loss(&x, gain, &BIAS));
        agree(&found.bias, &BIAS, |bias| loss(&x, &GAIN, bias));
        agree(&gradient.values, &x.values, |x| loss(&Volume { extent: INPUT, values: x.to_vec() }, &GAIN, &BIAS));
    }

    #[test]
    fn rectified_slopes_pass_where_the_output_is_above_zero() {
        let (x, slopes) = (noise(1, INPUT), noise(2, INPUT));
        let (norm, moments) = (BatchNorm { gain: &GAIN, bias: &BIAS }, Moments::of(&x));
        let mut masked = slopes.clone();
        masked.rectified_backward(&norm.forward_rectified(&x, &moments));
        let expected = norm.backward(&x, &moments, &mut masked);
        let mut found = slopes;
        assert_eq!(norm.backward_rectified(&x, &moments, &mut found), expected);
        assert_eq!(found, masked);
    }

    #[test]
    fn running_moments_follow_as_in_pytorch() {
        let x =
            Volume { extent: Extent { images: 1, rows: 1, columns: 4, channels: 1 }, values: vec![1.0, 2.0, 3.0, 6.0] };
        let (mut mean, mut variance) = ([10.0], [1.0]);
        Moments::follow([&mut mean, &mut variance], &Moments::of(&x), 4);
        // torch.nn.BatchNorm1d(1): 0.9 * 10 + 0.1 * 3, 0.9 * 1 + 0.1 * 14 / 3
        assert!((mean[0] - 9.3).abs() < 1e-6 && (variance[0] - 1.366_666_7).abs() < 1e-6, "{mean:?} {variance:?}");
    }
}
