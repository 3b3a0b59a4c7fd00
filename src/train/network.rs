//! What is trained: the head, and the part of the trunk that goes with it.

use candle_core::Result;
use fastrand::Rng;

use super::layers::{Extent, Volume};
use super::perceptron::{Loss, Perceptron, Sample, Shape, log_softmax};
use super::stage::{Place, Stage};
use crate::model::Unfolded;
use crate::performance::Scored;

/// The trained part of the trunk, none where it is frozen, and the head.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Network {
    pub(super) trunk: Option<Stage>,
    pub(super) head: Perceptron,
}

/// Images as they come into the network.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch {
    pub(super) volume: Volume,
    /// The class of each image.
    pub(super) classes: Vec<usize>,
}

/// How the mean loss of a batch changes with the parameters.
pub(super) struct Gradient {
    /// Of the trunk's; empty where it is frozen.
    pub(super) trunk: Vec<f32>,
    pub(super) head: Perceptron,
    /// What the network said of the images on the way, with the moments of the batch.
    pub(super) said: Vec<Scored>,
}

impl Network {
    /// The trunk as it is loaded, and a new head.
    pub(super) fn new(trunk: Option<&Unfolded>, shape: Shape, random: &mut Rng) -> Self {
        Self { trunk: trunk.map(Stage::new), head: Perceptron::glorot(shape, random) }
    }

    /// The logits of each image, as in service; the trunk computes at a place, or on the processor.
    ///
    /// # Errors
    /// The device failed.
    pub(super) fn logits(&self, batch: Batch, place: Option<&Place>) -> Result<Vec<Vec<f32>>> {
        let Batch { mut volume, classes } = batch;
        let pooled = match (&self.trunk, place) {
            (Some(trunk), Some(place)) => trunk.pooled_on(place, &volume)?,
            (Some(trunk), None) => trunk.pooled(volume),
            (None, _) => std::mem::take(&mut volume.values),
        };
        Ok(self.head.logits(&samples(&pooled, &classes)))
    }

    /// What the network says of images, as in service.
    ///
    /// # Errors
    /// The device failed.
    pub(super) fn scored(&self, batch: Batch, place: Option<&Place>) -> Result<Vec<Scored>> {
        let classes = batch.classes.clone();
        Ok(scored(&self.logits(batch, place)?, &classes))
    }

    /// The gradient of the mean loss of a batch; the trunk's running moments follow it.
    ///
    /// # Errors
    /// The device failed.
    pub(super) fn gradient(&mut self, batch: Batch, loss: &Loss, place: Option<&Place>) -> Result<Gradient> {
        let Batch { volume, classes } = batch;
        let Self { trunk, head } = self;
        let Some(trunk) = trunk else {
            let gradient = head.gradient(&samples(&volume.values, &classes), loss);
            return Ok(Gradient { trunk: Vec::new(), head: gradient, said: Vec::new() });
        };
        let (mut of_head, mut said) = (None, Vec::new());
        let slopes_of = |pooled: &[f32]| {
            let samples = samples(pooled, &classes);
            of_head = Some(head.gradient(&samples, loss));
            said = scored(&head.logits(&samples), &classes);
            head.slopes(&samples, loss)
        };
        let of_trunk = match place {
            Some(place) => trunk.gradient_on(place, &volume, slopes_of)?,
            None => trunk.gradient(volume, slopes_of),
        };
        Ok(Gradient { trunk: of_trunk, head: of_head.unwrap_or_else(|| head.clone()), said })
    }
}

impl Batch {
    /// Images of one extent, one after the other.
    pub(super) fn new(values: Vec<f32>, [rows, columns, channels]: [usize; 3], classes: Vec<usize>) -> Self {
        let extent = Extent { images: classes.len(), rows, columns, channels };
        Self { volume: Volume { extent, values }, classes }
    }
}

fn samples<'a>(pooled: &'a [f32], classes: &[usize]) -> Vec<Sample<'a>> {
    let width = pooled.len() / classes.len().max(1);
    let sample = |(features, class): (&'a [f32], &usize)| Sample { features, class: *class };
    pooled.chunks_exact(width.max(1)).zip(classes).map(sample).collect()
}

fn scored(logits: &[Vec<f32>], classes: &[usize]) -> Vec<Scored> {
    let probabilities = |logits: &Vec<f32>| log_softmax(logits).into_iter().map(f64::exp).collect();
    let image = |(logits, class): (&Vec<f32>, &usize)| Scored { class: *class, probabilities: probabilities(logits) };
    logits.iter().zip(classes).map(image).collect()
}
