//! What goes wrong when a model is loaded or runs.

use std::path::PathBuf;

use super::architecture::Variant;
use super::quantisation::QuantisationError;
use super::weights::WeightError;

/// What candle said, in one line: without the backtrace that it may carry.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TensorFault(String);

impl From<candle_core::Error> for TensorFault {
    fn from(error: candle_core::Error) -> Self {
        Self(error.to_string().lines().next().unwrap_or("unknown fault").to_owned())
    }
}

/// A package that cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file of the package is missing or cannot be read.
    #[error("model package: {path}: {source}; set model.package to the directory of a package", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Somebody wrote to the weights while they were read.
    #[error(
        "model package: {path}: the file was written to while it was read; load the package again when it is complete",
        path = path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The manifest is wrong.
    #[error("model package: {path}: {cause}", path = path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the key's name.
        cause: String,
    },
    /// The weights are not those that the manifest belongs to.
    #[error(
        "model package: {path}: SHA-256 is {found}, model.toml says {expected}; \
         the file is damaged or of another version: install the package again", path = path.display()
    )]
    Digest {
        /// The file.
        path: PathBuf,
        /// Digest in the manifest.
        expected: String,
        /// Digest of the file.
        found: String,
    },
    /// Weights that are no numbers.
    #[error("model package: {path}: {count} of the tensors hold values that are no numbers, {tensor} first; train it again, or \
             install the package again", path = path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// How many tensors.
        count: usize,
        /// The first of them.
        tensor: String,
    },
    /// The card is of another model.
    #[error("model package: {path}: {missing} of model.toml does not occur in it; the card is of another model, or of another \
             version: install the package again, or mend the card", path = path.display())]
    Card {
        /// The file.
        path: PathBuf,
        /// Name, version or digest that it does not name.
        missing: String,
    },
    /// The gate is none.
    #[error("model package: {path}: {cause}; the file is no plausibility gate: install the package again", path = path.display())]
    Gate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// It was never prepared for int8 or bf16.
    #[error(
        "model package: {path}: there is no [{precision}]; set model.precision = \"f32\", or prepare the package with \
         auscult model quantize", path = path.display()
    )]
    NotPrepared {
        /// The manifest.
        path: PathBuf,
        /// For which numbers.
        precision: &'static str,
    },
    /// The int8 part is none.
    #[error("model package: {path}: {cause}; prepare the package again with auscult model quantize", path = path.display())]
    Int8 {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: QuantisationError,
    },
    /// The weights are not those of the architecture.
    #[error("model package: {path}: {cause}; the file is not a {architecture}", path = path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// The architecture in the manifest.
        architecture: Variant,
        /// The tensor that is missing or has another shape.
        cause: WeightError,
    },
}

/// A run of the model that failed.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The package cannot be used.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The device cannot be opened.
    #[error("{0}")]
    Device(TensorFault),
    /// The input has not the model's shape, or the device failed.
    #[error("the model failed on {device}: {source}")]
    Inference {
        /// Where it ran.
        device: &'static str,
        /// What candle said.
        source: TensorFault,
    },
    /// The network gave something that is no probability.
    #[error("the model answered {0}, which is no probability; the weights are damaged: install the package again")]
    NotAProbability(f64),
    /// The self-test gave other probabilities than the package promises.
    #[error(
        "model package {name}: self-test gives {found:?}, the package promises {expected:?} within {tolerance}; \
         no image is classified with it: install the package again, or the one that belongs to this version"
    )]
    SelfTest {
        /// Name of the package.
        name: String,
        /// Probabilities in the package.
        expected: Vec<f64>,
        /// Probabilities computed here.
        found: Vec<f64>,
        /// Largest allowed difference.
        tolerance: f64,
    },
}

impl ModelError {
    /// Something that is computed on the processor, whatever the model's device, failed.
    pub fn on_processor(fault: impl Into<TensorFault>) -> Self {
        Self::Inference { device: "CPU", source: fault.into() }
    }

    /// Whether the package has to be mended first.
    pub fn is_package_fault(&self) -> bool {
        matches!(self, Self::Package(_) | Self::SelfTest { .. })
    }
}
