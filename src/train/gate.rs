//! The plausibility gate of a model that was trained: the trunk's own where the trunk is as it was, else one that is fitted
//! to images of training; its operating point suits the images of validation.

use std::ops::Range;
use std::path::Path;

use candle_core::Tensor;
use serde_json::{Value, json};

use super::TrainError;
use super::inputs::{Image, Inputs};
use crate::dataset::{Dataset, Division, Example, Part};
use crate::model::{
    Depth, Draft, GalleryError, Gate, Glance, Impression, Lesson, ModelError, Trial, look_through, operating_point,
};
use crate::pixels::Decoder;

/// Images of training that a gate is fitted to, evenly taken from all; each costs three classifications.
const LESSON: usize = 64;

/// What the gate is fitted to and tried on.
pub(super) struct Ground<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) division: &'a Division,
    pub(super) decoder: &'a Decoder,
    pub(super) inputs: &'a Inputs,
    /// How far the inputs are.
    pub(super) depth: Depth,
}

impl Ground<'_> {
    /// What the gate sees of images; `tensors` are the images themselves.
    fn impressions(&self, draft: &Draft, indices: &[usize], tensors: &Tensor) -> Result<Vec<Impression>, TrainError> {
        let images: Vec<Image> = indices.iter().map(|index| Image { index: *index, class: 0, copy: 0 }).collect();
        let batch = self.inputs.batch(&images)?;
        let glances = draft.glances(self.depth, &batch.volume.values, images.len())?;
        let impression = |(place, glance): (usize, Glance)| {
            let image = tensors.get(place).map_err(ModelError::on_processor)?;
            Ok(draft.model().impression(&glance.features, &image)?)
        };
        glances.into_iter().enumerate().map(impression).collect()
    }
}

/// Where the gate comes from.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    /// A package whose trunk is that of the model, and from which score on its gate accepts images.
    Trunk(&'a Gate, f64),
    /// There is none for this trunk.
    Images,
}

/// How the gate does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GateAccount {
    origin: String,
    threshold: f64,
    trials: Vec<Trial>,
}

impl GateAccount {
    /// For `metrics.json`.
    pub(super) fn json(&self) -> Value {
        let mut object = json!({ "origin": self.origin, "threshold": self.threshold });
        for trial in &self.trials {
            if let Some(object) = object.as_object_mut() {
                object.insert(trial.name.clone(), trial.json());
            }
        }
        object
    }

    /// For the manifest.
    pub(super) fn toml(&self) -> toml::Table {
        let trials = self.trials.iter().map(|trial| (trial.name.clone(), trial.toml().into()));
        std::iter::once(("origin".to_owned(), self.origin.clone().into())).chain(trials).collect()
    }

    /// For the card.
    pub(super) fn text(&self) -> String {
        let trials = self.trials.iter().map(|trial| format!("{}: {} accepted", trial.name, trial.text()));
        let trials: Vec<String> = trials.collect();
        format!(
            "The plausibility gate is {}. Images are accepted from a score of {:.3} on. {}. How it does on other pictures \
             than these has to be seen with `auscult model gate --others`.",
            self.origin,
            self.threshold,
            trials.join("; ")
        )
    }
}

/// The draft with its gate, and how it does on validation and test; `None` where a model gives no numbers.
pub(super) fn gated(
    draft: Draft,
    origin: Origin<'_>,
    ground: &Ground<'_>,
) -> Result<(Draft, Option<GateAccount>), TrainError> {
    let (gate, before, told) = match origin {
        Origin::Trunk(gate, threshold) => (gate.clone(), threshold, "that of the trunk's package".to_owned()),
        Origin::Images => {
            let indices = ground.division.of(Part::Training);
            let step = indices.len().div_ceil(LESSON).max(1);
            let chosen: Vec<usize> = indices.into_iter().step_by(step).collect();
            let files = paths(ground.dataset, &chosen);
            let chests = |range: Range<usize>, images: &Tensor| {
                ground.impressions(&draft, chosen.get(range).unwrap_or_default(), images)
            };
            let lesson = Lesson::of(&files, (draft.model(), ground.decoder), chests, |_| ());
            let lesson = lesson.map_err(|fault| told_with_line(ground.dataset, fault))?;
            let Some(gate) = lesson.gate() else { return Ok((draft, None)) };
            (gate, 0.0, format!("fitted to {} images of training and pictures made of them", files.len()))
        }
    };
    let scores = |part| scores(&gate, &draft, ground, part);
    let (validation, test) = (scores(Part::Validation)?, scores(Part::Test)?);
    let threshold = before.min(operating_point(&validation));
    let sets = [(Part::Validation, &validation), (Part::Test, &test)];
    let trials = sets.into_iter().filter(|(_, scores)| !scores.is_empty());
    let trials = trials.map(|(part, scores)| Trial::new(part.name(), scores, threshold)).collect();
    let account = GateAccount { origin: told, threshold, trials };
    Ok((draft.gated(gate, threshold)?, Some(account)))
}

fn scores(gate: &Gate, draft: &Draft, ground: &Ground<'_>, part: Part) -> Result<Vec<f64>, TrainError> {
    let indices = ground.division.of(part);
    let mut scores = Vec::with_capacity(indices.len());
    let files = paths(ground.dataset, &indices);
    let look = |range: Range<usize>, images: &Tensor| -> Result<(), TrainError> {
        let seen = ground.impressions(draft, indices.get(range).unwrap_or_default(), images)?;
        scores.extend(seen.iter().map(|impression| gate.score(impression)));
        Ok(())
    };
    look_through(&files, draft.model().input(), ground.decoder, look)
        .map_err(|fault| told_with_line(ground.dataset, fault))?;
    Ok(scores)
}

fn paths<'a>(dataset: &'a Dataset, indices: &[usize]) -> Vec<&'a Path> {
    let example = |index: &usize| dataset.examples().get(*index);
    indices.iter().filter_map(example).map(|example: &Example| example.path.as_path()).collect()
}

fn told_with_line<E: Into<TrainError>>(dataset: &Dataset, fault: GalleryError<E>) -> TrainError {
    match fault {
        GalleryError::Stopped(error) => error.into(),
        GalleryError::Image { file, cause } => dataset.undecodable(file, &cause).into(),
    }
}
