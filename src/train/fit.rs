//! Fitting a head to features, epoch by epoch.

use std::time::{Duration, Instant};

use fastrand::Rng;

use super::Options;
use super::adam::Adam;
use super::checkpoint::Checkpoint;
use super::history::{Epoch, Standing};
use super::options::ClassWeights;
use super::perceptron::{Loss, Perceptron, Sample, Shape, log_softmax};
use crate::performance::Scored;

/// Images of training and validation.
pub(super) struct Lessons<'a> {
    pub(super) training: Vec<Sample<'a>>,
    pub(super) validation: Vec<Sample<'a>>,
    pub(super) classes: usize,
}

/// Random numbers of their own for each purpose of a run: 0 for the initial weights, an epoch's number for its order.
fn stream(seed: u64, purpose: u64) -> Rng {
    // Neighbouring seeds are far apart (the golden ratio in 64 bits, Knuth's multiplicative hash).
    Rng::with_seed(
        seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose.wrapping_mul(0xd1b5_4a32_d192_ed03),
    )
}

/// A run before its first epoch.
pub(super) fn begin(shape: Shape, options: &Options) -> Checkpoint {
    Checkpoint {
        network: Perceptron::glorot(shape, &mut stream(options.seed, 0)),
        optimiser: Adam::new(shape.parameters()),
        history: Vec::new(),
    }
}

/// Goes through the images of training once, and tells how long that took.
pub(super) fn epoch(run: &mut Checkpoint, lessons: &Lessons<'_>, options: &Options) -> Duration {
    let began = Instant::now();
    let loss = loss(lessons, options);
    let mut order = lessons.training.clone();
    stream(options.seed, run.history.len() as u64 + 1).shuffle(&mut order);
    for batch in order.chunks(options.batch.max(1)) {
        let gradient = run.network.gradient(batch, &loss);
        run.optimiser.step(run.network.values_mut(), gradient.values(), options.learning_rate);
    }
    let took = began.elapsed();
    run.history.push(Epoch {
        training: standing(&run.network, &lessons.training),
        validation: standing(&run.network, &lessons.validation),
    });
    took
}

fn loss(lessons: &Lessons<'_>, options: &Options) -> Loss {
    let of = |class: usize| lessons.training.iter().filter(|sample| sample.class == class).count();
    let share = |class: usize| lessons.training.len() as f64 / (lessons.classes * of(class).max(1)) as f64;
    let weights = match options.class_weights {
        ClassWeights::Equal => Vec::new(),
        ClassWeights::Balanced => (0..lessons.classes).map(share).collect(),
    };
    Loss { smoothing: options.label_smoothing, weights }
}

fn standing(network: &Perceptron, samples: &[Sample<'_>]) -> Standing {
    let logits = network.logits(samples);
    let losses = logits.iter().zip(samples).map(|(logits, sample)| Loss::plain().of(logits, sample.class).0);
    let images = samples.len().max(1) as f64;
    let right = scored(network, samples).iter().filter(|image| image.answer() == image.class).count();
    Standing { loss: losses.sum::<f64>() / images, accuracy: right as f64 / images }
}

/// What the network says of images.
pub(super) fn scored(network: &Perceptron, samples: &[Sample<'_>]) -> Vec<Scored> {
    let probabilities = |logits: &[f32]| log_softmax(logits).into_iter().map(f64::exp).collect();
    let logits = network.logits(samples);
    let image = |(logits, sample): (&Vec<f32>, &Sample<'_>)| Scored {
        class: sample.class,
        probabilities: probabilities(logits),
    };
    logits.iter().zip(samples).map(image).collect()
}
