//! Why a run ends without a model.

use std::io;
use std::path::PathBuf;

use crate::dataset::DatasetError;
use crate::model::{DraftError, ModelError, PackageError, TensorFault, WeightError};

/// A run that ended without a model, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// The trunk cannot be used.
    #[error("the trunk cannot be used: {0}; name a model package or torchvision's weights of ResNet-50 with --init")]
    Trunk(PackageError),
    /// The trunk failed on an image.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The package cannot be made.
    #[error(transparent)]
    Package(#[from] DraftError),
    /// The directory holds a finished model.
    #[error("{path} holds a finished model; name another directory with --out, or remove it first", path = .0.display())]
    Finished(PathBuf),
    /// The directory holds a run with other data, trunk or options.
    #[error(
        "{path} is of another run: data, trunk, options or version differ; repeat its command to go on with it, name \
         another directory with --out, or remove it", path = .0.display()
    )]
    OtherRun(PathBuf),
    /// There are more classes than outputs.
    #[error("{classes} classes do not fit into --outputs {outputs}")]
    Outputs {
        /// Classes of the data.
        classes: usize,
        /// Outputs that were asked for.
        outputs: usize,
    },
    /// The reported class is none of the data.
    #[error("--positive {name}: no such class; the classes are {known}")]
    Positive {
        /// What was asked for.
        name: String,
        /// The classes.
        known: String,
    },
    /// The file system has no room for what is kept of the images.
    #[error("{path}: {needed} MiB are needed for the images as the frozen layers leave them, {free} MiB are free; name \
             a directory with more room with --cache", path = .path.display())]
    Room {
        /// The directory.
        path: PathBuf,
        /// MiB that are needed.
        needed: u64,
        /// MiB that are free.
        free: u64,
    },
    /// The trained layers cannot be read.
    #[error("the trunk's layers cannot be trained: {0}; name another trunk with --init")]
    Layers(WeightError),
    /// The device cannot be used, or failed.
    #[error(
        "the device: {0}; the same command goes on after the last epoch that was kept, --device cpu trains on the processor"
    )]
    Device(TensorFault),
    /// The features cannot be kept.
    #[error("{path}: {source}; name a directory for features with --cache", path = path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The disk did not take a file.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl TrainError {
    /// Of what failed on a device.
    pub(super) fn on_device(fault: candle_core::Error) -> Self {
        Self::Device(fault.into())
    }
}
