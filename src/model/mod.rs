//! The model: a package on disk, what it wants as input, the network, and the answer.

mod architecture;
mod calibration;
mod draft;
mod engine;
mod fault;
mod framing;
mod gallery;
mod gate;
mod graph;
mod head;
mod heat;
mod input;
mod inventory;
mod keras;
mod kernels;
mod manifest;
mod octets;
mod package;
mod picture;
mod quantisation;
mod quantised;
mod reference;
mod trunk;
mod unfolded;
mod weights;

use std::path::Path;

use candle_core::{DType, Device, Tensor};

pub use architecture::Variant;
pub use calibration::Calibration;
pub use draft::{Draft, DraftError, Naming, PLAUSIBILITY};
pub use engine::{Compute, Precision};
pub use fault::{ModelError, PackageError, TensorFault};
pub use framing::Framing;
pub use gallery::{GalleryError, look_through};
pub use gate::{Gate, Impression, Lesson, Plausibility, Trial, operating_point};
pub use head::{Dense, Head};
pub use heat::Explanation;
pub use input::{Framed, Input, InputError};
pub use inventory::{Change, Inventory, TensorFacts};
pub use kernels::{Columns, Isa, Sum, multiply};
pub use manifest::{
    Crop, Filter, HalfSpec, InputSpec, Int8Spec, Manifest, Output, PlausibilitySpec, Qualification, Resize, SelfTest,
    SelfTestInput,
};
pub use package::Package;
pub use picture::Picture;
pub use quantisation::QuantisationError;
pub use quantised::Quantised;
pub use trunk::Trunk;
pub use unfolded::{Depth, TrunkBlock, TrunkLayer, Unfolded, by_outputs};
pub use weights::WeightError;

use crate::cuda::device::Staging;
use crate::finding::{AgeRange, Algorithm, OperatingPoint, Probability};
use crate::heat::HeatMap;
use engine::{Engine, Seen};
use reference::References;

/// Most images that a device is given together.
const LARGEST_BATCH: usize = 16;

/// A loaded model that has passed its self-test.
pub struct Model {
    manifest: Manifest,
    input: Input,
    engine: Engine,
    gate: Option<Gate>,
    device: Device,
    /// By way of which images come to the device, if it is not the processor.
    staging: Option<Staging>,
    /// What images are held against when they are explained.
    references: References,
}

/// What a model says of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// Of every label, in the order of `output.labels`; they sum to 1.
    pub probabilities: Vec<f64>,
    /// Whether it looks like a chest radiograph; `None` from a package without a gate.
    pub plausibility: Option<Plausibility>,
}

/// What a model makes of one image that has come to some depth.
#[derive(Debug, Clone, PartialEq)]
pub struct Glance {
    /// The mean of each channel of the last stage, [`Head::INPUTS`].
    pub features: Vec<f32>,
    /// Of every label, as in [`Said`].
    pub probabilities: Vec<f64>,
}

/// The score for *pneumonia* of one image, and whether it looks like a chest radiograph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// The score.
    pub score: Probability,
    /// `None` from a package without a gate.
    pub plausibility: Option<Plausibility>,
}

impl Model {
    /// Loads a package and runs its self-test, which is also the warm-up. In f32, with one thread a processor.
    pub fn load(directory: &Path) -> Result<Self, ModelError> {
        Self::load_with(directory, Compute::f32(0))
    }

    /// The same, computed as wished.
    pub fn load_with(directory: &Path, compute: Compute) -> Result<Self, ModelError> {
        let device = compute.device().map_err(|fault| ModelError::Device(fault.into()))?;
        let package = Package::in_pieces(directory)?;
        let engine = package.verified_engine(&device, compute)?;
        let model = Self::of(package, engine, device)?;
        model.self_test()?;
        Ok(model)
    }

    /// A package's model, before its self-test.
    fn of<W>(package: Package<W>, engine: Engine, device: Device) -> Result<Self, ModelError> {
        let input = Input::new(&package.manifest().input);
        let (manifest, gate) = package.into_manifest_and_gate();
        let InputSpec { width, height, channels, .. } = manifest.input;
        let values = LARGEST_BATCH * (width * height * channels) as usize;
        let staging = Staging::new(&device, values).map_err(|fault| ModelError::Device(fault.into()))?;
        let references = References::new(input.clone());
        Ok(Self { manifest, input, engine, gate, device, staging, references })
    }

    /// What the package says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How a radiograph becomes this model's input.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// The name that messages give the device.
    pub fn device(&self) -> &'static str {
        match self.device {
            Device::Cpu => "CPU",
            Device::Cuda(_) => "CUDA",
            Device::Metal(_) => "Metal",
        }
    }

    /// The numbers that it computes with.
    pub fn precision(&self) -> Precision {
        self.engine.precision()
    }

    /// The instructions that it uses.
    pub fn isa(&self) -> Isa {
        self.engine.isa()
    }

    /// The same model behind another preprocessing.
    #[cfg(test)]
    fn with_input(&mut self, crop: Crop, resize: Resize) {
        self.input = Input::new(&InputSpec { crop, resize, ..self.manifest.input.clone() });
    }

    /// Whether it runs on a device, which may fail by itself.
    pub fn is_on_device(&self) -> bool {
        !self.device.is_cpu()
    }

    /// Most images that it is worth giving it together: a processor takes no more than so many at a time.
    pub fn largest_batch(&self) -> usize {
        if self.is_on_device() { LARGEST_BATCH } else { kernels::IMAGES_OF_A_RUN }
    }

    /// Where a score turns into a statement.
    pub fn operating_point(&self) -> OperatingPoint {
        self.manifest.output.operating_point()
    }

    /// The patients' ages that it is made for; `None` for all.
    pub fn intended_age(&self) -> Option<AgeRange> {
        self.manifest.intended_age_years
    }

    /// What a report says of this model.
    pub fn algorithm(&self) -> Algorithm {
        let input = &self.manifest.input;
        Algorithm {
            name: self.manifest.name.clone(),
            version: self.manifest.version.clone(),
            weights_sha256: self.manifest.sha256.clone(),
            parameters: [
                format!("architecture={}", self.manifest.architecture),
                format!("input={}x{}", input.width, input.height),
            ]
            .into_iter()
            // Reports of f32 stay what they were.
            .chain((self.precision() != Precision::F32).then(|| format!("precision={}", self.precision().name())))
            .collect(),
        }
    }

    /// Probability of every label for every image. Input `[n, 3, height, width] f32` as [`Input::tensor`] makes
    /// them, output `n` rows in the order of `output.labels`, each summing to 1.
    pub fn probabilities(&self, images: &Tensor) -> Result<Vec<Vec<f64>>, ModelError> {
        Ok(self.look(images)?.into_iter().map(|said| said.probabilities).collect())
    }

    /// The same with the plausibility of every image, from the same run.
    pub fn look(&self, images: &Tensor) -> Result<Vec<Said>, ModelError> {
        self.said(images).map_err(|fault| self.failed(fault))
    }

    /// What the gate sees of every image; input as for [`Model::probabilities`].
    pub fn impressions(&self, images: &Tensor) -> Result<Vec<Impression>, ModelError> {
        let seen = self.placed(images).and_then(|images| self.engine.look(&images));
        seen.and_then(|seen| self.impressions_of(images, &seen)).map_err(|fault| self.failed(fault))
    }

    /// What the gate sees of one image `[3, height, width] f32` whose features are known.
    pub fn impression(&self, features: &[f32], image: &Tensor) -> Result<Impression, ModelError> {
        let channel = image.narrow(0, 0, 1).and_then(|channel| channel.flatten_all()?.to_vec1::<f32>());
        let (columns, [std, ..]) = (self.manifest.input.width as usize, self.manifest.input.std);
        Ok(Impression::new(features, &channel.map_err(|fault| self.failed(fault))?, columns, std))
    }

    /// The gate, for packages that have one.
    pub fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// The same model with another gate, which accepts images from this score on.
    pub fn gated(mut self, gate: Gate, threshold: f64) -> Result<Self, DraftError> {
        let sha256 = package::sha256(&gate.octets()?);
        self.manifest.plausibility = Some(PlausibilitySpec { sha256, threshold });
        self.gate = Some(gate);
        Ok(self)
    }

    /// The score for *pneumonia* and the plausibility of every image; input as for [`Model::probabilities`].
    pub fn answers(&self, images: &Tensor) -> Result<Vec<Answer>, ModelError> {
        let answer =
            |said: Said| Ok(Answer { score: self.score(&said.probabilities)?, plausibility: said.plausibility });
        self.look(images)?.into_iter().map(answer).collect()
    }

    /// The reported one of the probabilities of one image.
    fn score(&self, probabilities: &[f64]) -> Result<Probability, ModelError> {
        let value = probabilities.get(self.manifest.output.positive_index()).copied().unwrap_or(f64::NAN);
        Probability::try_from(value).map_err(|error| ModelError::NotAProbability(error.0))
    }

    /// The score of one image, as [`Input::framed`] makes it, and where in the stored image it comes from. Costs about
    /// one and a half classifications in f32, the first ones three.
    pub fn explain(&self, image: &Framed) -> Result<Explanation, ModelError> {
        let (said, heat) = self.explained(image).map_err(|fault| self.failed(fault))?;
        Ok(Explanation { score: self.score(&said.probabilities)?, plausibility: said.plausibility, heat })
    }

    fn explained(&self, image: &Framed) -> candle_core::Result<(Said, HeatMap)> {
        let images = image.tensor.unsqueeze(0)?;
        let on_device = Framed { tensor: self.placed(&image.tensor)?, framing: image.framing.clone() };
        let positive = self.manifest.output.positive_index();
        let (heat, seen) = heat::heat_map(&self.engine, positive, &on_device, &self.references)?;
        let said = seen.map_or_else(|| self.said(&images), |seen| self.said_of(&images, &seen))?;
        said.into_iter().next().map(|said| (said, heat)).ok_or_else(|| candle_core::Error::msg("no answer"))
    }

    fn said(&self, images: &Tensor) -> candle_core::Result<Vec<Said>> {
        self.said_of(images, &self.engine.look(&self.placed(images)?)?)
    }

    /// Images on the model's device.
    fn placed(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        match &self.staging {
            Some(staging) => staging.upload(images),
            None => Ok(images.clone()),
        }
    }

    fn said_of(&self, images: &Tensor, seen: &Seen) -> candle_core::Result<Vec<Said>> {
        let probabilities = softmax(&seen.logits)?.into_iter();
        let (Some(gate), Some(spec)) = (&self.gate, &self.manifest.plausibility) else {
            return Ok(probabilities.map(|probabilities| Said { probabilities, plausibility: None }).collect());
        };
        let impressions = self.impressions_of(images, seen)?;
        let said = |(probabilities, impression)| {
            let plausibility = Plausibility { score: gate.score(&impression), threshold: spec.threshold };
            Said { probabilities, plausibility: Some(plausibility) }
        };
        Ok(probabilities.zip(impressions).map(said).collect())
    }

    fn impressions_of(&self, images: &Tensor, seen: &Seen) -> candle_core::Result<Vec<Impression>> {
        let channels = images.narrow(1, 0, 1)?.flatten_from(1)?.to_vec2::<f32>()?;
        let pooled = seen.pooled.to_vec2::<f32>()?;
        let (columns, [std, ..]) = (images.dim(3)?, self.manifest.input.std);
        let impression = |(pooled, channel): (&Vec<f32>, &Vec<f32>)| Impression::new(pooled, channel, columns, std);
        Ok(pooled.iter().zip(&channels).map(impression).collect())
    }

    /// What it says of so many images that have come to some depth.
    fn glances(&self, depth: Depth, values: &[f32], images: usize) -> candle_core::Result<Vec<Glance>> {
        let side = (self.manifest.input.height as usize, self.manifest.input.width as usize);
        let Seen { pooled, logits } = self.engine.look_at(depth, values, images, side)?;
        let glance = |(features, probabilities)| Glance { features, probabilities };
        Ok(pooled.to_vec2()?.into_iter().zip(softmax(&logits)?).map(glance).collect())
    }

    fn failed(&self, fault: candle_core::Error) -> ModelError {
        ModelError::Inference { device: self.device(), source: fault.into() }
    }

    /// What it answers to the image of the self-test.
    fn ramp_probabilities(&self) -> Result<Vec<f64>, ModelError> {
        Ok(self.ramps_probabilities(1)?.pop().unwrap_or_default())
    }

    /// The same for as many of it at once.
    fn ramps_probabilities(&self, images: usize) -> Result<Vec<Vec<f64>>, ModelError> {
        let ramp = self.input.ramp().and_then(|ramp| Tensor::stack(&vec![ramp; images], 0));
        self.probabilities(&ramp.map_err(|fault| self.failed(fault))?)
    }

    fn self_test(&self) -> Result<(), ModelError> {
        let test = self.manifest.self_test_in(self.precision()).unwrap_or(&self.manifest.self_test);
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= test.tolerance;
        let passes = |found: &Vec<f64>| {
            found.len() == test.probabilities.len() && found.iter().zip(&test.probabilities).all(near)
        };
        let mut answers = Vec::new();
        if self.is_on_device() {
            // As many at once as there will ever be: it has its memory, and what it computes with, from then on.
            answers = self.ramps_probabilities(self.largest_batch())?;
            // An answer that is missing is a wrong one.
            answers.resize(answers.len().max(self.largest_batch()), Vec::new());
        }
        answers.push(self.ramp_probabilities()?);
        match answers.into_iter().find(|found| !passes(found)) {
            None => Ok(()),
            Some(found) => {
                let (name, expected) = (self.manifest.name.clone(), test.probabilities.clone());
                Err(ModelError::SelfTest { name, expected, found, tolerance: test.tolerance })
            }
        }
    }
}

fn softmax(logits: &Tensor) -> candle_core::Result<Vec<Vec<f64>>> {
    let logits = logits.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    candle_nn::ops::softmax(&logits, 1)?.to_vec2()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/cxr-pneumonia-reference");

    #[test]
    fn the_reference_package_passes_its_self_test() {
        let model = Model::load(Path::new(REFERENCE)).unwrap();
        let ramp = model.input().ramp().unwrap().unsqueeze(0).unwrap();
        // PyTorch's figures for the same weights: models/cxr-pneumonia-reference/reference.json
        let score = model.answers(&ramp).unwrap()[0].score;
        assert!((score.fraction() - 0.274_760_900_097_286_5).abs() < 1e-5, "{score:?}");
        assert_eq!(model.algorithm().version_with_digest(), "0.1.0+sha256:bf253d463ce462c6");
    }

    #[test]
    fn the_kernels_answer_as_candles_graph_does_whatever_the_threads_and_the_batch() {
        let load = |compute| Model::load_with(Path::new(REFERENCE), compute).unwrap();
        let graph = load(Compute::Graph);
        let ramp = graph.input().ramp().unwrap();
        let images: Vec<Tensor> = (0..6).map(|image| (&ramp * (1.0 - 0.3 * f64::from(image))).unwrap()).collect();
        let batch = Tensor::stack(&images, 0).unwrap();
        let expected = graph.probabilities(&batch).unwrap();
        let alone = load(Compute::f32(1));
        let found = alone.probabilities(&batch).unwrap();
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
        }
        let several = load(Compute::f32(3));
        assert_eq!(several.probabilities(&batch).unwrap(), found);
        let third = several.probabilities(&images[2].unsqueeze(0).unwrap()).unwrap();
        assert_eq!(third[0], found[2]);
    }

    #[test]
    fn another_answer_refuses_service() {
        let mut model = Model::load(Path::new(REFERENCE)).unwrap();
        model.manifest.self_test.probabilities = vec![0.5, 0.5];
        let message = model.self_test().unwrap_err().to_string();
        assert!(message.contains("self-test") && message.contains("install the package again"), "{message}");
    }
}
