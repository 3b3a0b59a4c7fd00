//! A package's model in eight bits, before it is written.

use std::path::Path;

use candle_core::Device;

use super::draft::write;
use super::manifest::{Int8Spec, SelfTest, SelfTestInput};
use super::package::{Package, sha256};
use super::{Calibration, Compute, DraftError, Input, Model, Precision};

/// Where figures of int8 stand in `[performance]`.
const FIGURES: &str = "int8";

/// How far the answer to the self-test may be from that of the machine that wrote it: the first convolution is in f32, and
/// where its last bits differ, an octet behind it may be another one.
const TOLERANCE: f64 = 5e-3;

/// A package's model in eight bits.
pub struct Quantised {
    model: Model,
    octets: Vec<u8>,
}

impl Quantised {
    /// What a calibration makes of a package; 0 threads are one a processor.
    ///
    /// # Errors
    /// The package cannot be used, or the device failed.
    pub fn new(directory: &Path, calibration: &Calibration, threads: usize) -> Result<Self, DraftError> {
        let (package, device) = (Package::open(directory)?, Device::Cpu);
        let octets = package.calibrated(calibration)?.octets(&package.manifest().network())?;
        let compute = Compute::Kernels { threads, precision: Precision::Int8 };
        // What is measured is what will be read.
        let engine = package.engine_with(&device, (compute, Some(package.quantisation_of(&octets)?)))?;
        let input = Input::new(&package.manifest().input);
        let (mut manifest, gate) = package.into_manifest_and_gate();
        manifest.int8 = None;
        let mut model = Model { manifest, input, engine, gate, device };
        let probabilities = model.ramp_probabilities()?;
        let self_test = SelfTest { input: SelfTestInput::Ramp, probabilities, tolerance: TOLERANCE };
        model.manifest.int8 = Some(Int8Spec { sha256: sha256(&octets), self_test });
        Ok(Self { model, octets })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Writes the int8 part into the directory of the model's package: the file, and the manifest with `figures` of it.
    ///
    /// # Errors
    /// The disk did not take it.
    pub fn write(&self, directory: &Path, figures: toml::Table) -> Result<(), DraftError> {
        let mut manifest = self.model.manifest.clone();
        manifest.performance.insert(FIGURES.into(), figures.into());
        write(&directory.join(Package::INT8), &self.octets)?;
        manifest.write(directory)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;

    use super::*;
    use crate::model::{Framed, Framing, Isa, ModelError, PackageError};

    const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/cxr-pneumonia-reference");

    fn reference(precision: Precision) -> Model {
        Model::load_with(Path::new(REFERENCE), Compute::Kernels { threads: 2, precision }).unwrap()
    }

    #[test]
    fn the_reference_package_in_eight_bits_answers_nearly_as_in_f32_whatever_the_batch() {
        let (int8, f32) = (reference(Precision::Int8), reference(Precision::F32));
        assert!(int8.algorithm().parameters.contains(&"precision=int8".to_owned()));
        assert!(!f32.algorithm().parameters.iter().any(|parameter| parameter.starts_with("precision")));
        assert!(Isa::available().any(|isa| isa == int8.isa()));
        let ramp = f32.input().ramp().unwrap();
        let images: Vec<Tensor> = (0..5).map(|image| (&ramp * (1.0 - 0.2 * f64::from(image))).unwrap()).collect();
        let batch = Tensor::stack(&images, 0).unwrap();
        let (found, wanted) = (int8.probabilities(&batch).unwrap(), f32.probabilities(&batch).unwrap());
        for (found, wanted) in found.iter().flatten().zip(wanted.iter().flatten()) {
            assert!((found - wanted).abs() < 0.05, "{found} for {wanted}");
        }
        assert_ne!(found, wanted);
        for (image, together) in images.iter().zip(&found) {
            assert_eq!(&int8.probabilities(&image.unsqueeze(0).unwrap()).unwrap()[0], together);
        }
    }

    #[test]
    fn an_explanation_in_eight_bits_has_the_score_and_nearly_the_map() {
        let image = |model: &Model| {
            let ramp = model.input().ramp().unwrap();
            Framed { tensor: ramp, framing: Framing::whole((224, 224), (224, 224)) }
        };
        let (int8, f32) = (reference(Precision::Int8), reference(Precision::F32));
        let explained = int8.explain(&image(&int8)).unwrap();
        let scored = int8.answers(&image(&int8).tensor.unsqueeze(0).unwrap()).unwrap()[0];
        assert_eq!((explained.score, explained.plausibility), (scored.score, scored.plausibility));
        let extent = crate::heat::Extent::of(224, 224);
        let wanted = f32.explain(&image(&f32)).unwrap().heat.hottest(extent).unwrap();
        let found = explained.heat.hottest(extent).unwrap();
        assert!((found.column - wanted.column).hypot(found.row - wanted.row) <= 16.0, "{found:?} for {wanted:?}");
    }

    #[test]
    fn a_package_without_int8_and_a_damaged_part_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        for file in [Package::MANIFEST, Package::WEIGHTS, Package::GATE, Package::INT8] {
            std::fs::copy(Path::new(REFERENCE).join(file), directory.path().join(file)).unwrap();
        }
        let fault = || {
            let compute = Compute::Kernels { threads: 1, precision: Precision::Int8 };
            Model::load_with(directory.path(), compute).map(|_| ()).unwrap_err()
        };
        let path = directory.path().join(Package::INT8);
        let mut octets = std::fs::read(&path).unwrap();
        let last = octets.len() - 1;
        octets[last] ^= 1;
        std::fs::write(&path, octets).unwrap();
        let damaged = fault();
        assert!(matches!(damaged, ModelError::Package(PackageError::Digest { .. })), "{damaged}");
        let mut manifest = Package::manifest_in(directory.path()).unwrap();
        manifest.int8 = None;
        manifest.write(directory.path()).unwrap();
        let message = fault().to_string();
        assert!(message.contains("auscult model quantize") && message.contains("model.precision"), "{message}");
    }
}
