//! Fitting a network to images, epoch by epoch.

use std::time::{Duration, Instant};

use fastrand::Rng;

use super::adam::Adam;
use super::checkpoint::{Checkpoint, Optimiser};
use super::history::{Epoch, Standing, best};
use super::inputs::{Image, Inputs};
use super::network::{Gradient, Network};
use super::options::{ClassWeights, Keep};
use super::perceptron::{Loss, Shape};
use super::stage::Place;
use super::{Options, TrainError};
use crate::model::Unfolded;
use crate::performance::Scored;

/// Images that are looked at together where nothing is learned of them: weights are prepared for each time.
const TOGETHER: usize = 64;

/// Images of training and validation.
pub(super) struct Lessons<'a> {
    pub(super) inputs: &'a Inputs,
    /// Where the trunk computes, if not on the processor.
    pub(super) place: Option<&'a Place>,
    pub(super) training: Vec<Image>,
    pub(super) validation: Vec<Image>,
    pub(super) classes: usize,
}

/// What an epoch left beside the network.
pub(super) struct Passed {
    /// What was said of the images of training: after the epoch by a head, on the way where the trunk is trained.
    pub(super) training: Vec<Scored>,
    /// What is said of those of validation after the epoch.
    pub(super) validation: Vec<Scored>,
    /// How long the images of training took.
    pub(super) took: Duration,
}

/// Random numbers of their own for each purpose of a run: 0 for the initial weights, an epoch's number for its order.
fn stream(seed: u64, purpose: u64) -> Rng {
    // Neighbouring seeds are far apart (the golden ratio in 64 bits, Knuth's multiplicative hash).
    Rng::with_seed(
        seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose.wrapping_mul(0xd1b5_4a32_d192_ed03),
    )
}

/// A run before its first epoch.
pub(super) fn begin(trunk: Option<&Unfolded>, shape: Shape, options: &Options) -> Checkpoint {
    let network = Network::new(trunk, shape, &mut stream(options.seed, 0));
    let parameters = network.trunk.as_ref().map_or(0, |trunk| trunk.values().len());
    let optimiser = Optimiser { trunk: Adam::new(parameters), head: Adam::new(shape.parameters()) };
    Checkpoint { network, optimiser, history: Vec::new(), best: None }
}

/// Goes through the images of training once; `tell` learns how many have been seen.
pub(super) fn epoch(
    run: &mut Checkpoint,
    lessons: &Lessons<'_>,
    options: &Options,
    tell: &mut dyn FnMut(usize, Duration),
) -> Result<Passed, TrainError> {
    let began = Instant::now();
    let (loss, rate) = (loss(lessons, options), options.rate(run.history.len()));
    let order = order(lessons, options, run.history.len());
    let (mut training, mut seen) = (Vec::new(), 0);
    for images in order.chunks(options.batch.max(1)) {
        let batch = lessons.inputs.batch(images)?;
        let Gradient { trunk, head, said } =
            run.network.gradient(batch, &loss, lessons.place).map_err(TrainError::on_device)?;
        let Optimiser { trunk: of_trunk, head: of_head } = &mut run.optimiser;
        of_head.step(run.network.head.values_mut(), head.values(), rate);
        if let Some(own) = &mut run.network.trunk {
            of_trunk.step(own.values_mut(), &trunk, rate);
        }
        training.extend(said);
        seen += images.len();
        tell(seen, began.elapsed());
    }
    let took = began.elapsed();
    if run.network.trunk.is_none() {
        training = scored(&run.network, lessons, &lessons.training)?;
    }
    let validation = scored(&run.network, lessons, &lessons.validation)?;
    run.history.push(Epoch { training: standing(&training), validation: standing(&validation) });
    if options.keep == Keep::Best && best(&run.history) == Some(run.history.len() - 1) {
        run.best = Some(run.network.clone());
    }
    Ok(Passed { training, validation, took })
}

/// The images of training in the order of an epoch, from 0; each as it is or as one of its augmented copies.
fn order(lessons: &Lessons<'_>, options: &Options, epoch: usize) -> Vec<Image> {
    let (mut order, mut random) = (lessons.training.clone(), stream(options.seed, epoch as u64 + 1));
    random.shuffle(&mut order);
    if let Some(augmentation) = &options.augmentation {
        order.iter_mut().for_each(|image| image.copy = random.usize(0..=augmentation.copies));
    }
    order
}

fn loss(lessons: &Lessons<'_>, options: &Options) -> Loss {
    let of = |class: usize| lessons.training.iter().filter(|image| image.class == class).count();
    let share = |class: usize| lessons.training.len() as f64 / (lessons.classes * of(class).max(1)) as f64;
    let weights = match options.class_weights {
        ClassWeights::Equal => Vec::new(),
        ClassWeights::Balanced => (0..lessons.classes).map(share).collect(),
    };
    Loss { smoothing: options.label_smoothing, weights }
}

fn standing(said: &[Scored]) -> Standing {
    let own = |image: &Scored| image.probabilities.get(image.class).copied().unwrap_or(f64::NAN);
    let losses = said.iter().map(|image| -own(image).max(f64::MIN_POSITIVE).ln());
    let images = said.len().max(1) as f64;
    let right = said.iter().filter(|image| image.answer() == image.class).count();
    Standing { loss: losses.sum::<f64>() / images, accuracy: right as f64 / images }
}

/// What a network says of images, as in service.
fn scored(network: &Network, lessons: &Lessons<'_>, images: &[Image]) -> Result<Vec<Scored>, TrainError> {
    let mut said = Vec::new();
    for images in images.chunks(TOGETHER) {
        let batch = lessons.inputs.batch(images)?;
        said.extend(network.scored(batch, lessons.place).map_err(TrainError::on_device)?);
    }
    Ok(said)
}

/// The logits of images, as in service on the processor, each with the image's class.
pub(super) fn logits(
    network: &Network,
    inputs: &Inputs,
    images: &[Image],
) -> Result<Vec<(Vec<f64>, usize)>, TrainError> {
    let mut all = Vec::new();
    for images in images.chunks(TOGETHER) {
        let logits = network.logits(inputs.batch(images)?, None).map_err(TrainError::on_device)?;
        let each = |(logits, image): (Vec<f32>, &Image)| (logits.into_iter().map(f64::from).collect(), image.class);
        all.extend(logits.into_iter().zip(images).map(each));
    }
    Ok(all)
}
