//! A trunk: the network up to the mean of each channel of its last stage, from a package or a file of weights, to train
//! a head on.

use std::collections::HashSet;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::architecture::{Architecture, Layer, Variant};
use super::engine::Precision;
use super::fault::PackageError;
use super::graph::Graph;
use super::keras;
use super::kernels::{Network, Raw, trusted};
use super::manifest::{InputSpec, Output};
use super::package::{Package, read_shared_out, sha256};
use super::weights::{Stored, WeightError, Weights};
use super::{Depth, Gate, Head, Input, ModelError, TrunkLayer, Unfolded};

/// A trunk on the processor, and on a device where it was brought there.
pub struct Trunk {
    origin: String,
    input: InputSpec,
    output: Option<Output>,
    gate: Option<(Gate, f64)>,
    weights: Vec<u8>,
    digest: blake3::Hash,
    network: Network,
    on_device: Option<(Graph, Device)>,
}

impl Trunk {
    /// Loads the trunk of a model package, or of a safetensors file with torchvision's or Keras' names for ResNet-50, whose
    /// input is that of their models for ImageNet. 0 threads are one a processor.
    ///
    /// # Errors
    /// A package that cannot be used, or a file that holds no ResNet-50.
    pub fn open(path: &Path, threads: usize) -> Result<Self, PackageError> {
        if path.is_dir() {
            let package = Package::open(path)?;
            let manifest = package.manifest();
            let digest = manifest.sha256.get(..16).unwrap_or_default();
            let origin = format!("{} {} (SHA-256 {digest})", manifest.name, manifest.version);
            let gate = package.gate().cloned().zip(manifest.plausibility.as_ref().map(|spec| spec.threshold));
            let (manifest, weights) = package.into_parts();
            let file = path.join(Package::WEIGHTS);
            let trunk = Self::new(&file, origin, (manifest.architecture, manifest.input), weights, threads)?;
            return Ok(Self { gate, output: Some(manifest.output), ..trunk });
        }
        let weights = read_shared_out(path);
        let weights = weights.map_err(|source| PackageError::Unreadable { path: path.to_owned(), source })?;
        let digest = sha256(&weights);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let origin = format!("{name} (SHA-256 {})", digest.get(..16).unwrap_or_default());
        let keras = keras::renamed(&weights).map_err(|cause| PackageError::Weights {
            path: path.to_owned(),
            architecture: Variant::Reduce,
            cause,
        })?;
        match keras {
            Some(weights) => Self::new(path, origin, (Variant::Reduce, InputSpec::keras()), weights, threads),
            None => Self::new(path, origin, (Variant::Spatial, InputSpec::imagenet()), weights, threads),
        }
    }

    fn new(
        path: &Path,
        origin: String,
        (variant, input): (Variant, InputSpec),
        weights: Vec<u8>,
        threads: usize,
    ) -> Result<Self, PackageError> {
        let built = build(variant, &weights, threads);
        let (network, digest) =
            built.map_err(|cause| PackageError::Weights { path: path.to_owned(), architecture: variant, cause })?;
        // Other instructions and kernels sum up in another order, and another input is another question.
        let kernels = (env!("CARGO_PKG_VERSION"), trusted().name());
        let digest = blake3::hash(format!("{digest} {kernels:?} {variant} {input:?}").as_bytes());
        Ok(Self { origin, input, output: None, gate: None, weights, digest, network, on_device: None })
    }

    /// The same, looking at images on a device from now on, in these numbers. Its features are others then, and so is
    /// its digest.
    ///
    /// # Errors
    /// The device has no room, or failed.
    pub fn on(self, device: &Device, precision: Precision) -> Result<Self, WeightError> {
        let (weights, architecture) = (Weights::new(&self.weights)?, self.network.architecture().clone());
        let graph = Graph::new(|layer| headless(&weights, layer), architecture, device, precision)?;
        let digest = blake3::hash(format!("{} on a device in {}", self.digest, precision.name()).as_bytes());
        Ok(Self { digest, on_device: Some((graph, device.clone())), ..self })
    }

    /// Name and digest of what it was loaded from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How a radiograph becomes its input.
    pub fn input(&self) -> Input {
        Input::new(&self.input)
    }

    /// The labels of the package that it was loaded from, if it was one.
    pub fn output(&self) -> Option<&Output> {
        self.output.as_ref()
    }

    /// The gate of the package that it was loaded from, and from which score on it accepts images.
    pub fn gate(&self) -> Option<(&Gate, f64)> {
        self.gate.as_ref().map(|(gate, threshold)| (gate, *threshold))
    }

    /// What its features depend on beside the image: weights, preprocessing and the processor's instructions.
    pub fn digest(&self) -> blake3::Hash {
        self.digest
    }

    /// Images `[n, 3, height, width] f32` as [`Input::tensor`] makes them to what they are at a depth,
    /// [`Trunk::shape_at`] values each.
    pub fn at(&self, depth: Depth, images: &Tensor) -> Result<Vec<f32>, ModelError> {
        if let (Some((graph, device)), Depth::LastStage | Depth::Pooled) = (&self.on_device, depth) {
            let images = images.to_device(device);
            let found = images.and_then(|images| match depth {
                Depth::LastStage => graph.features(&images),
                _ => Ok(graph.look(&images)?.pooled),
            });
            return found
                .and_then(|found| found.flatten_all()?.to_vec1())
                .map_err(|fault| ModelError::Device(fault.into()));
        }
        let values = match depth {
            Depth::Input => images.permute((0, 2, 3, 1)).and_then(|images| images.flatten_all()?.to_vec1()),
            Depth::LastStage => super::engine::with_images(images, |images| {
                self.network.features(images).map(|features| features.values)
            }),
            Depth::Pooled => super::engine::with_images(images, |images| self.network.pooled(images)),
        };
        values.map_err(ModelError::on_processor)
    }

    /// Rows, columns and channels of an image at a depth.
    pub fn shape_at(&self, depth: Depth) -> [usize; 3] {
        let (rows, columns) = (self.input.height as usize, self.input.width as usize);
        let places = |side: usize| side.div_ceil(Architecture::STRIDE.into());
        match depth {
            Depth::Input => [rows, columns, 3],
            Depth::LastStage => [places(rows), places(columns), Architecture::FEATURES / 2],
            Depth::Pooled => [1, 1, Head::INPUTS],
        }
    }

    /// Which ResNet-50 it is.
    pub fn variant(&self) -> Variant {
        self.network.architecture().variant
    }

    /// The head that the weights came with.
    ///
    /// # Errors
    /// There is none of Dense 128 and Dense; the first tensor that is missing, or has another shape.
    pub fn head(&self) -> Result<Head, WeightError> {
        Weights::new(&self.weights)?.head()
    }

    /// The layers behind a depth.
    ///
    /// # Errors
    /// Weights in a type of number that cannot be converted.
    pub fn unfolded(&self, depth: Depth) -> Result<Unfolded, WeightError> {
        Unfolded::new(&Weights::new(&self.weights)?, self.network.architecture(), depth)
    }

    /// The trunk with a head, as a safetensors file: trained layers anew, the other tensors as they were.
    pub(super) fn with(&self, trained: &[TrunkLayer], head: &Head) -> Result<Vec<u8>, safetensors::SafeTensorError> {
        let own = safetensors::SafeTensors::deserialize(&self.weights)?;
        let mut anew = head.tensors()?;
        for layer in trained {
            anew.extend(layer.tensors()?);
        }
        let names: HashSet<&str> = anew.iter().map(|(name, _)| name.as_str()).collect();
        let mut tensors = own.tensors();
        tensors.retain(|(name, _)| !name.starts_with("fc.") && !names.contains(name.as_str()));
        tensors.extend(anew);
        safetensors::serialize(tensors, None)
    }

    /// What a package says of the input.
    pub(super) fn input_spec(&self) -> &InputSpec {
        &self.input
    }
}

/// The network with a head of zeros, and the digest of the trunk's tensors.
fn build(variant: Variant, octets: &[u8], threads: usize) -> Result<(Network, blake3::Hash), WeightError> {
    let weights = Weights::new(octets)?;
    let architecture = Architecture::resnet50(variant, 1);
    let mut hasher = blake3::Hasher::new();
    for layer in architecture.layers.iter().filter(|layer| layer.norm.is_some()) {
        for Stored { name, kind, octets } in weights.stored(layer)? {
            hasher.update(format!("{name} {kind:?}\n").as_bytes()).update(&octets);
        }
    }
    let network = Network::new(architecture, |layer| headless(&weights, layer), threads, trusted())?;
    Ok((network, hasher.finalize()))
}

/// A layer of the trunk, or zeros for one of the head.
fn headless(weights: &Weights<'_>, layer: &Layer) -> Result<Raw, WeightError> {
    if layer.norm.is_none() {
        return Ok(Raw { weights: vec![0.0; layer.inputs * layer.outputs], bias: vec![0.0; layer.outputs] });
    }
    weights.folded(layer)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::model::{Compute, Draft, Model, Naming};

    const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/cxr-pneumonia-reference");

    #[test]
    fn trunk_and_head_become_a_package_that_answers_the_same_bits() {
        let trunk = Trunk::open(Path::new(REFERENCE), 2).unwrap();
        let head = trunk.head().unwrap();
        let reference = Model::load_with(Path::new(REFERENCE), Compute::f32(1)).unwrap();
        let ramp = trunk.input().ramp().unwrap();
        let images = Tensor::stack(&[ramp.clone(), (ramp * 0.5).unwrap()], 0).unwrap();
        let features = trunk.at(Depth::Pooled, &images).unwrap();
        assert_eq!(features.len(), 2 * Head::INPUTS);

        let naming = Naming::new("again", "1").unwrap();
        let output = trunk.output().unwrap().clone();
        let draft = Draft::new(&trunk, &[], &head, naming.clone(), output.clone()).unwrap();
        let expected = reference.probabilities(&images).unwrap();
        let probabilities = |draft: &Draft, depth, values: &[f32]| -> Vec<Vec<f64>> {
            let glances = draft.glances(depth, values, 2).unwrap();
            assert_eq!(glances.iter().flat_map(|glance| glance.features.clone()).collect::<Vec<_>>(), features);
            glances.into_iter().map(|glance| glance.probabilities).collect()
        };
        assert_eq!(probabilities(&draft, Depth::Pooled, &features), expected);
        // Layers that were taken apart and put in again are the same ones, in f32.
        let apart = trunk.unfolded(Depth::LastStage).unwrap();
        let again = Draft::new(&trunk, &apart.layers, &head, naming.clone(), output.clone()).unwrap();
        for depth in [Depth::Input, Depth::LastStage] {
            let values = trunk.at(depth, &images).unwrap();
            assert_eq!(values.len(), 2 * trunk.shape_at(depth).iter().product::<usize>());
            assert_eq!(probabilities(&draft, depth, &values), expected);
            assert_eq!(probabilities(&again, depth, &values), expected);
        }

        let directory = tempfile::tempdir().unwrap();
        draft.write(directory.path(), toml::Table::new(), toml::Table::new(), "# again\n").unwrap();
        let model = Model::load(directory.path()).unwrap();
        assert_eq!(model.probabilities(&images).unwrap(), expected);
        assert_eq!(model.manifest().name, "again");
    }

    #[test]
    fn a_trunk_on_a_device_says_nearly_the_same_under_another_digest() {
        let here = Trunk::open(Path::new(REFERENCE), 2).unwrap();
        let images = here.input().ramp().unwrap().unsqueeze(0).unwrap();
        let depths = [Depth::Input, Depth::LastStage, Depth::Pooled];
        let expected = depths.map(|depth| here.at(depth, &images).unwrap());
        let digest = here.digest();
        let there = here.on(&Device::Cpu, Precision::F32).unwrap();
        assert_ne!(there.digest(), digest);
        for (depth, expected) in depths.into_iter().zip(expected) {
            let found = there.at(depth, &images).unwrap();
            assert_eq!(found.len(), expected.len());
            let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart <= 1e-4 * largest, "{depth:?}: {apart} of {largest}");
        }
    }

    #[test]
    fn a_file_that_holds_no_resnet_is_refused_by_tensor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("other.safetensors");
        let tensor = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
        candle_core::safetensors::save(&[("x".to_owned(), tensor)].into(), &path).unwrap();
        let message = Trunk::open(&path, 1).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("conv1.weight is missing"), "{message}");
    }
}
