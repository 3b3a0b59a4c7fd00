//! The head while it is trained: Dense ReLU and Dense, its cross entropy and its gradient.
//!
//! Every sum has one order, whatever the threads: the same numbers go in, the same bits come out.

use fastrand::Rng;
use rayon::prelude::*;

use crate::model::{Dense, Head};

/// Rows of the first layer's gradient that one task sums up.
const ROWS: usize = 64;

/// Widths of the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) inputs: usize,
    pub(super) hidden: usize,
    pub(super) outputs: usize,
}

impl Shape {
    /// Parameters there are.
    pub(super) fn parameters(self) -> usize {
        (self.inputs + 1) * self.hidden + (self.hidden + 1) * self.outputs
    }
}

/// One image's features and class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample<'a> {
    pub(super) features: &'a [f32],
    pub(super) class: usize,
}

/// Cross entropy of softmax, with label smoothing (Szegedy et al. 2016) and a weight for each class.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Loss {
    /// This share of the truth is spread over all outputs; 0..1.
    pub(super) smoothing: f64,
    /// By class; a class without one counts once.
    pub(super) weights: Vec<f64>,
}

impl Loss {
    /// Every class counts alike, and the truth is the truth.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self { smoothing: 0.0, weights: Vec::new() }
    }

    /// The loss of one image, and how it changes with its logits.
    pub(super) fn of(&self, logits: &[f32], class: usize) -> (f64, Vec<f64>) {
        let weight = self.weights.get(class).copied().unwrap_or(1.0);
        let logarithms = log_softmax(logits);
        let even = self.smoothing / logits.len().max(1) as f64;
        let truth = |output: usize| even + if output == class { 1.0 - self.smoothing } else { 0.0 };
        let outputs = || logarithms.iter().enumerate();
        let loss = -outputs().map(|(output, logarithm)| truth(output) * logarithm).sum::<f64>();
        (weight * loss, outputs().map(|(output, logarithm)| weight * (logarithm.exp() - truth(output))).collect())
    }
}

/// Logarithms of the softmax.
pub(super) fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    logits.iter().map(|logit| f64::from(logit - largest) - sum.ln()).collect()
}

/// The two layers, and as well a gradient of their shape.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Perceptron {
    shape: Shape,
    /// First weights `[inputs, hidden]`, first bias, second weights `[hidden, outputs]`, second bias.
    values: Vec<f32>,
}

/// The layers' parameters apart.
struct Parts<T> {
    first: T,
    first_bias: T,
    second: T,
    second_bias: T,
}

/// What one image's way through the layers left.
struct Trace {
    hidden: Vec<f32>,
    /// How the loss changes with the first layer's sums.
    first: Vec<f32>,
    /// How the loss changes with the logits.
    second: Vec<f32>,
}

impl Perceptron {
    /// Uniform weights within the square root of 6 / (inputs + outputs) (Glorot and Bengio 2010), biases 0: as Keras
    /// begins.
    pub(super) fn glorot(shape: Shape, random: &mut Rng) -> Self {
        let mut begun = Self::zeros(shape);
        let Parts { first, second, .. } = begun.parts_mut();
        for (weights, ends) in [(first, shape.inputs + shape.hidden), (second, shape.hidden + shape.outputs)] {
            let limit = (6.0 / ends as f32).sqrt();
            weights.iter_mut().for_each(|weight| *weight = (2.0 * random.f32() - 1.0) * limit);
        }
        begun
    }

    fn zeros(shape: Shape) -> Self {
        Self { shape, values: vec![0.0; shape.parameters()] }
    }

    /// With other parameters; `None` where they are not as many.
    pub(super) fn restored(self, values: Vec<f32>) -> Option<Self> {
        (values.len() == self.values.len()).then_some(Self { values, ..self })
    }

    /// All parameters.
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// All parameters.
    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    fn parts(&self) -> Parts<&[f32]> {
        let Shape { inputs, hidden, outputs } = self.shape;
        let (first, rest) = self.values.split_at(inputs * hidden);
        let (first_bias, rest) = rest.split_at(hidden);
        let (second, second_bias) = rest.split_at(hidden * outputs);
        Parts { first, first_bias, second, second_bias }
    }

    fn parts_mut(&mut self) -> Parts<&mut [f32]> {
        let Shape { inputs, hidden, outputs } = self.shape;
        let (first, rest) = self.values.split_at_mut(inputs * hidden);
        let (first_bias, rest) = rest.split_at_mut(hidden);
        let (second, second_bias) = rest.split_at_mut(hidden * outputs);
        Parts { first, first_bias, second, second_bias }
    }

    /// The values between the layers, and the logits.
    fn through(&self, features: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let Parts { first, first_bias, second, second_bias } = self.parts();
        let Shape { hidden, outputs, .. } = self.shape;
        let mut between = first_bias.to_vec();
        for (feature, row) in features.iter().zip(first.chunks_exact(hidden)) {
            add(&mut between, *feature, row);
        }
        between.iter_mut().for_each(|value| *value = value.max(0.0));
        let mut logits = second_bias.to_vec();
        for (value, row) in between.iter().zip(second.chunks_exact(outputs)) {
            add(&mut logits, *value, row);
        }
        (between, logits)
    }

    /// The logits of each image.
    pub(super) fn logits(&self, samples: &[Sample<'_>]) -> Vec<Vec<f32>> {
        samples.par_iter().map(|sample| self.through(sample.features).1).collect()
    }

    /// The gradient of the mean loss of a batch.
    pub(super) fn gradient(&self, batch: &[Sample<'_>], loss: &Loss) -> Self {
        let share = 1.0 / batch.len().max(1) as f64;
        let traces: Vec<Trace> = batch.par_iter().map(|sample| self.trace(sample, loss, share)).collect();
        let hidden = self.shape.hidden;
        let mut gradient = Self::zeros(self.shape);
        let Parts { first, first_bias, second, second_bias } = gradient.parts_mut();
        first.par_chunks_mut(ROWS * hidden).enumerate().for_each(|(task, rows)| {
            for (feature, row) in rows.chunks_exact_mut(hidden).enumerate() {
                for (sample, trace) in batch.iter().zip(&traces) {
                    let feature = sample.features.get(task * ROWS + feature).copied().unwrap_or(0.0);
                    add(row, feature, &trace.first);
                }
            }
        });
        for trace in &traces {
            add(first_bias, 1.0, &trace.first);
            for (value, row) in trace.hidden.iter().zip(second.chunks_exact_mut(self.shape.outputs)) {
                add(row, *value, &trace.second);
            }
            add(second_bias, 1.0, &trace.second);
        }
        gradient
    }

    /// How the mean loss of a batch changes with its features, image by image.
    pub(super) fn slopes(&self, batch: &[Sample<'_>], loss: &Loss) -> Vec<f32> {
        let share = 1.0 / batch.len().max(1) as f64;
        let rows = self.parts().first.chunks_exact(self.shape.hidden);
        let of = |sample: &Sample<'_>| {
            let Trace { first, .. } = self.trace(sample, loss, share);
            let slope = |row: &[f32]| row.iter().zip(&first).map(|(weight, slope)| weight * slope).sum::<f32>();
            rows.clone().map(slope).collect::<Vec<f32>>()
        };
        batch.par_iter().flat_map_iter(of).collect()
    }

    fn trace(&self, sample: &Sample<'_>, loss: &Loss, share: f64) -> Trace {
        let (hidden, logits) = self.through(sample.features);
        let (_, slope) = loss.of(&logits, sample.class);
        let second: Vec<f32> = slope.into_iter().map(|slope| (slope * share) as f32).collect();
        let rows = self.parts().second.chunks_exact(self.shape.outputs);
        let first = hidden.iter().zip(rows).map(|(value, row)| {
            // ReLU lets nothing through where it is zero.
            if *value > 0.0 { row.iter().zip(&second).map(|(weight, slope)| weight * slope).sum() } else { 0.0 }
        });
        Trace { first: first.collect(), hidden, second }
    }

    /// As a package stores it, the logits divided by a temperature.
    pub(super) fn head(&self, temperature: f64) -> Head {
        let Parts { first, first_bias, second, second_bias } = self.parts();
        let Shape { hidden, outputs, .. } = self.shape;
        let cooled = |value: f32| (f64::from(value) / temperature) as f32;
        Head {
            hidden: Dense { weights: turned(first, hidden), bias: first_bias.to_vec() },
            logits: Dense {
                weights: turned(second, outputs).into_iter().map(cooled).collect(),
                bias: second_bias.iter().copied().map(cooled).collect(),
            },
        }
    }
}

/// `[rows, columns]` to `[columns, rows]`.
fn turned(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect()
}

/// Adds a multiple of a row.
fn add(to: &mut [f32], times: f32, row: &[f32]) {
    to.iter_mut().zip(row).for_each(|(to, value)| *to += times * value);
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor, Var};

    use super::*;

    const SHAPE: Shape = Shape { inputs: 7, hidden: 5, outputs: 3 };

    struct Bench {
        network: Perceptron,
        features: Vec<Vec<f32>>,
    }

    impl Bench {
        /// A network that no small step takes over the edge of a ReLU, where there is no slope to compare with.
        fn new(seed: u64) -> Self {
            let mut random = Rng::with_seed(seed);
            let benches = std::iter::repeat_with(|| Self::any(&mut random));
            benches.take(1000).find(|bench| bench.sums().iter().all(|sum| sum.abs() > 0.02)).unwrap()
        }

        fn any(random: &mut Rng) -> Self {
            let mut network = Perceptron::glorot(SHAPE, random);
            network.values_mut().iter_mut().for_each(|value| *value += 0.2 * (random.f32() - 0.5));
            Self { network, features: (0..6).map(|_| (0..SHAPE.inputs).map(|_| random.f32()).collect()).collect() }
        }

        /// What goes into the ReLUs.
        fn sums(&self) -> Vec<f32> {
            let Parts { first, first_bias, .. } = self.network.parts();
            let sum = |features: &[f32], unit: usize| {
                let products = features.iter().enumerate().map(|(i, x)| x * first[i * SHAPE.hidden + unit]);
                products.sum::<f32>() + first_bias[unit]
            };
            self.features.iter().flat_map(|x| (0..SHAPE.hidden).map(move |unit| sum(x, unit))).collect()
        }

        fn samples(&self) -> Vec<Sample<'_>> {
            self.features.iter().enumerate().map(|(i, features)| Sample { features, class: i % 3 }).collect()
        }

        fn loss(&self, network: &Perceptron, loss: &Loss) -> f64 {
            let samples = self.samples();
            let logits = network.logits(&samples);
            let each = logits.iter().zip(&samples).map(|(logits, sample)| loss.of(logits, sample.class).0);
            each.sum::<f64>() / samples.len() as f64
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let smoothed = Loss { smoothing: 0.1, weights: vec![0.5, 1.0, 2.0] };
        for (seed, loss) in [(1, Loss::plain()), (2, smoothed.clone()), (3, Loss::plain()), (4, smoothed)] {
            let bench = Bench::new(seed);
            let gradient = bench.network.gradient(&bench.samples(), &loss);
            let largest = gradient.values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            for parameter in 0..SHAPE.parameters() {
                let moved = |step: f32| {
                    let mut network = bench.network.clone();
                    network.values[parameter] += step;
                    bench.loss(&network, &loss)
                };
                let slope = (moved(4e-3) - moved(-4e-3)) / 8e-3;
                let found = f64::from(gradient.values[parameter]);
                assert!((found - slope).abs() < 1e-3 * f64::from(largest), "{seed}, {parameter}: {found} for {slope}");
            }
        }
    }

    #[test]
    fn slopes_of_the_features_agree_with_finite_differences() {
        let bench = Bench::new(7);
        let loss = Loss { smoothing: 0.1, weights: vec![0.5, 1.0, 2.0] };
        let slopes = bench.network.slopes(&bench.samples(), &loss);
        let largest = slopes.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        for (at, found) in slopes.iter().enumerate() {
            let moved = |step: f32| {
                let mut moved = Bench::new(7);
                moved.features[at / SHAPE.inputs][at % SHAPE.inputs] += step;
                moved.loss(&bench.network, &loss)
            };
            let slope = (moved(4e-3) - moved(-4e-3)) / 8e-3;
            assert!((f64::from(*found) - slope).abs() < 1e-3 * f64::from(largest), "{at}: {found} for {slope}");
        }
    }

    #[test]
    fn gradients_are_those_of_candle() {
        let bench = Bench::new(9);
        let Shape { inputs, hidden, outputs } = SHAPE;
        let Parts { first, first_bias, second, second_bias } = bench.network.parts();
        let var = |values: &[f32], shape: &[usize]| Var::from_slice(values, shape, &Device::Cpu).unwrap();
        let vars = [
            var(first, &[inputs, hidden]),
            var(first_bias, &[hidden]),
            var(second, &[hidden, outputs]),
            var(second_bias, &[outputs]),
        ];
        let x = Tensor::from_vec(bench.features.concat(), (6, inputs), &Device::Cpu).unwrap();
        let classes = Tensor::new(&[0_u32, 1, 2, 0, 1, 2], &Device::Cpu).unwrap();
        let y = x.matmul(&vars[0]).unwrap().broadcast_add(&vars[1]).unwrap().relu().unwrap();
        let y = y.matmul(&vars[2]).unwrap().broadcast_add(&vars[3]).unwrap();
        let store = candle_nn::loss::cross_entropy(&y, &classes).unwrap().backward().unwrap();
        let expected: Vec<f32> = vars
            .iter()
            .flat_map(|var| {
                let gradient = store.get(var).unwrap().to_dtype(DType::F32).unwrap();
                gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap()
            })
            .collect();
        let found = bench.network.gradient(&bench.samples(), &Loss::plain());
        for (found, expected) in found.values.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
        }
    }

    #[test]
    fn the_threads_change_no_bit() {
        let bench = Bench::new(5);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| bench.network.gradient(&bench.samples(), &Loss::plain()))
        };
        assert_eq!(with(1), with(4));
    }

    #[test]
    fn a_head_is_the_network_turned_and_cooled() {
        let bench = Bench::new(6);
        let Head { hidden, logits } = bench.network.head(2.0);
        assert_eq!((hidden.weights.len(), hidden.bias.len(), logits.bias.len()), (35, 5, 3));
        let features = &bench.features[0];
        let (_, expected) = bench.network.through(features);
        let dense = |Dense { weights, bias }: &Dense, x: &[f32]| -> Vec<f32> {
            let rows = weights.chunks_exact(x.len());
            rows.zip(bias).map(|(row, bias)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + bias).collect()
        };
        let between: Vec<f32> = dense(&hidden, features).into_iter().map(|value| value.max(0.0)).collect();
        for (found, expected) in dense(&logits, &between).iter().zip(&expected) {
            assert!((found - expected / 2.0).abs() < 1e-6);
        }
    }
}
