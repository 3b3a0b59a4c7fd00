//! What goes wrong when a model is loaded or runs.

use super::PackageError;

/// What candle said, in one line: without the backtrace that it may carry.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TensorFault(String);

impl From<candle_core::Error> for TensorFault {
    fn from(error: candle_core::Error) -> Self {
        Self(error.to_string().lines().next().unwrap_or("unknown fault").to_owned())
    }
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
