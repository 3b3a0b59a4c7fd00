//! A package's model in eight bits, in bf16 or in f16, before that is written.

use std::path::Path;

use candle_core::Device;

use super::draft::write;
use super::manifest::{HalfSpec, Int8Spec, SelfTest, SelfTestInput};
use super::package::{Package, sha256};
use super::{Calibration, Compute, DraftError, Model, ModelError, Precision};

/// How far the answer to the self-test may be from that of the machine that wrote it: octets are the same everywhere, and what
/// comes behind them is in f32.
const TOLERANCE_INT8: f64 = 1e-3;

/// The same in bf16, where the order of sums differs, too.
const TOLERANCE_BF16: f64 = 1e-2;

/// The same in f16, which has more figures.
const TOLERANCE_F16: f64 = 5e-3;

/// A package's model in eight bits, in bf16 or in f16.
pub struct Quantised {
    model: Model,
    /// The int8 part.
    octets: Option<Vec<u8>>,
}

impl Quantised {
    /// What a calibration makes of a package in eight bits; 0 threads are one a processor.
    ///
    /// # Errors
    /// The package cannot be used, or the device failed.
    pub fn int8(directory: &Path, calibration: &Calibration, threads: usize) -> Result<Self, DraftError> {
        let package = Package::open(directory)?;
        let octets = package.calibrated(calibration)?.octets(&package.manifest().network())?;
        let compute = Compute::Kernels { threads, precision: Precision::Int8 };
        // What is measured is what will be read.
        let engine = package.engine_with(&Device::Cpu, (compute, Some(package.quantisation_of(&octets)?)))?;
        Ok(Self { model: Model::of(package, engine, Device::Cpu)?, octets: Some(octets) })
    }

    /// A package in bf16; 0 threads are one a processor.
    ///
    /// # Errors
    /// The package cannot be used.
    pub fn bf16(directory: &Path, threads: usize) -> Result<Self, DraftError> {
        let package = Package::open(directory)?;
        let compute = Compute::Kernels { threads, precision: Precision::Bf16 };
        let engine = package.engine_with(&Device::Cpu, (compute, None))?;
        Ok(Self { model: Model::of(package, engine, Device::Cpu)?, octets: None })
    }

    /// A package in f16, on the first NVIDIA device.
    ///
    /// # Errors
    /// The package cannot be used, or the device.
    pub fn f16(directory: &Path) -> Result<Self, DraftError> {
        let compute = Compute::Cuda { device: 0, precision: Precision::F16 };
        let device = compute.device().map_err(|fault| ModelError::Device(fault.into()))?;
        let package = Package::open(directory)?;
        let engine = package.engine_with(&device, (compute, None))?;
        Ok(Self { model: Model::of(package, engine, device)?, octets: None })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Adds to the package in a directory: the int8 part, if it is one, and to the manifest an answer to the self-test, and
    /// `figures`.
    ///
    /// # Errors
    /// The device failed, or the disk did not take it.
    pub fn write(&self, directory: &Path, figures: toml::Table) -> Result<(), DraftError> {
        let mut manifest = Package::manifest_in(directory)?;
        let (input, probabilities) = (SelfTestInput::Ramp, self.model.ramp_probabilities()?);
        if let Some(octets) = &self.octets {
            let self_test = SelfTest { input, probabilities, tolerance: TOLERANCE_INT8 };
            manifest.int8 = Some(Int8Spec { sha256: sha256(octets), self_test });
            write(&directory.join(Package::INT8), octets)?;
        } else if self.model.precision() == Precision::F16 {
            manifest.f16 = Some(HalfSpec { self_test: SelfTest { input, probabilities, tolerance: TOLERANCE_F16 } });
        } else {
            manifest.bf16 = Some(HalfSpec { self_test: SelfTest { input, probabilities, tolerance: TOLERANCE_BF16 } });
        }
        manifest.performance.insert(self.model.precision().name().into(), figures.into());
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
    fn the_reference_package_in_bf16_answers_nearly_as_in_f32_whatever_the_batch() {
        let (bf16, f32) = (reference(Precision::Bf16), reference(Precision::F32));
        assert!(bf16.algorithm().parameters.contains(&"precision=bf16".to_owned()));
        let ramp = f32.input().ramp().unwrap();
        let images: Vec<Tensor> = (0..5).map(|image| (&ramp * (1.0 - 0.2 * f64::from(image))).unwrap()).collect();
        let batch = Tensor::stack(&images, 0).unwrap();
        let (found, wanted) = (bf16.probabilities(&batch).unwrap(), f32.probabilities(&batch).unwrap());
        for (found, wanted) in found.iter().flatten().zip(wanted.iter().flatten()) {
            assert!((found - wanted).abs() < 0.02, "{found} for {wanted}");
        }
        assert_ne!(found, wanted);
        for (image, together) in images.iter().zip(&found) {
            assert_eq!(&bf16.probabilities(&image.unsqueeze(0).unwrap()).unwrap()[0], together);
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
    fn a_package_without_numbers_and_a_damaged_part_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        for file in [Package::MANIFEST, Package::WEIGHTS, Package::GATE, Package::INT8] {
            std::fs::copy(Path::new(REFERENCE).join(file), directory.path().join(file)).unwrap();
        }
        let fault_in = |precision| {
            let compute = Compute::Kernels { threads: 1, precision };
            Model::load_with(directory.path(), compute).map(|_| ()).unwrap_err()
        };
        let fault = || fault_in(Precision::Int8);
        let path = directory.path().join(Package::INT8);
        let mut octets = std::fs::read(&path).unwrap();
        let last = octets.len() - 1;
        octets[last] ^= 1;
        std::fs::write(&path, octets).unwrap();
        let damaged = fault();
        assert!(matches!(damaged, ModelError::Package(PackageError::Digest { .. })), "{damaged}");
        let mut manifest = Package::manifest_in(directory.path()).unwrap();
        (manifest.int8, manifest.bf16) = (None, None);
        manifest.write(directory.path()).unwrap();
        for precision in [Precision::Int8, Precision::Bf16] {
            let message = fault_in(precision).to_string();
            assert!(message.contains(&format!("no [{}]", precision.name())), "{message}");
            assert!(message.contains("auscult model quantize") && message.contains("model.precision"), "{message}");
        }
    }
}
