//! A package under way: trunk and head together, the answer to its self-test, and its files.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use candle_core::Device;

use super::engine::Compute;
use super::manifest::{Manifest, Output, plain};
use super::package::{Package, sha256};
use super::reference::References;
use super::{Depth, Gate, Glance, Head, Input, Model, ModelError, PackageError, Trunk, TrunkLayer};
use crate::replace;

/// Where figures of the gate stand in `[performance]`.
pub const PLAUSIBILITY: &str = "plausibility";

/// What a package is called: a name and a version that fit into a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    name: String,
    version: String,
}

impl Naming {
    /// Each 1 to 32 ASCII characters.
    ///
    /// # Errors
    /// Which one is not, in one line.
    pub fn new(name: &str, version: &str) -> Result<Self, String> {
        plain("name", name)?;
        plain("version", version)?;
        Ok(Self { name: name.to_owned(), version: version.to_owned() })
    }
}

impl fmt::Display for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// A package that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// Trunk and head do not fit together, or the device failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// What the manifest would say is not allowed.
    #[error("the package would be wrong: {0}")]
    Manifest(String),
    /// The weights cannot be stored.
    #[error("the weights cannot be stored: {0}")]
    Weights(#[from] safetensors::SafeTensorError),
    /// The disk did not take a file.
    #[error("cannot write {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl From<PackageError> for DraftError {
    fn from(error: PackageError) -> Self {
        Self::Model(error.into())
    }
}

/// A package under way.
pub struct Draft {
    model: Model,
    weights: Vec<u8>,
}

impl Draft {
    /// Puts trunk and head together, with other layers of the trunk where some were trained, and computes the answer
    /// to the self-test.
    pub fn new(
        trunk: &Trunk,
        trained: &[TrunkLayer],
        head: &Head,
        naming: Naming,
        output: Output,
    ) -> Result<Self, DraftError> {
        let weights = trunk.with(trained, head)?;
        let Naming { name, version } = naming;
        let manifest =
            Manifest::new((name, version), (trunk.variant(), sha256(&weights)), trunk.input_spec().clone(), output);
        manifest.check().map_err(DraftError::Manifest)?;
        let device = Device::Cpu;
        let package = Package::of(manifest, weights);
        let engine = package.engine(&device, Compute::f32(0))?;
        let (manifest, weights) = package.into_parts();
        let input = Input::new(&manifest.input);
        let references = References::new(input.clone());
        let mut model = Model { manifest, input, engine, gate: None, device, staging: None, references };
        model.manifest.self_test.probabilities = model.ramp_probabilities()?;
        Ok(Self { model, weights })
    }

    /// What its manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.model.manifest
    }

    /// What the finished package makes of so many images, to the bit; `values` is what [`Trunk::at`] gave of them, and no
    /// layer before that depth may have been trained.
    pub fn glances(&self, depth: Depth, values: &[f32], images: usize) -> Result<Vec<Glance>, ModelError> {
        self.model.glances(depth, values, images).map_err(|fault| self.model.failed(fault))
    }

    /// The model as the finished package will be.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The same with a gate, which accepts images from this score on.
    ///
    /// # Errors
    /// The gate cannot be stored.
    pub fn gated(self, gate: Gate, threshold: f64) -> Result<Self, DraftError> {
        Ok(Self { model: self.model.gated(gate, threshold)?, ..self })
    }

    /// Writes the package; the manifest comes last, so that without it there is no package.
    pub fn write(
        self,
        directory: &Path,
        performance: toml::Table,
        training: toml::Table,
        card: &str,
    ) -> Result<(), DraftError> {
        let manifest = Manifest { performance, training, ..self.model.manifest };
        write(&directory.join(Package::WEIGHTS), &self.weights)?;
        if let Some(gate) = &self.model.gate {
            write(&directory.join(Package::GATE), &gate.octets()?)?;
        }
        write(&directory.join(Package::CARD), card.as_bytes())?;
        manifest.write(directory)
    }
}

impl Model {
    /// Writes the gate into the directory of the model's package: the file, and the manifest with `figures` of it.
    ///
    /// # Errors
    /// The model has no gate, or the disk did not take it.
    pub fn write_gate(&self, directory: &Path, figures: toml::Table) -> Result<(), DraftError> {
        let gate = self.gate.as_ref().ok_or_else(|| DraftError::Manifest("there is no gate".into()))?;
        let mut manifest = self.manifest.clone();
        manifest.performance.insert(PLAUSIBILITY.into(), figures.into());
        write(&directory.join(Package::GATE), &gate.octets()?)?;
        manifest.write(directory)
    }
}

impl Manifest {
    /// Replaces the manifest of a package.
    ///
    /// # Errors
    /// What it says is not allowed, or the disk did not take it.
    pub fn write(&self, directory: &Path) -> Result<(), DraftError> {
        self.check().map_err(DraftError::Manifest)?;
        let text = toml::to_string(self).map_err(|error| DraftError::Manifest(error.to_string()))?;
        write(&directory.join(Package::MANIFEST), text.as_bytes())
    }
}

pub(super) fn write(path: &Path, octets: &[u8]) -> Result<(), DraftError> {
    replace::file(path, octets).map_err(|source| DraftError::Io { path: path.to_owned(), source })
}
