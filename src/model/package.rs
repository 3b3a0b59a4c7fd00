//! A model package: a directory with `model.toml`, `model.safetensors` and a model card.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use candle_core::Device;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::calibration::Calibration;
use super::engine::{Compute, Engine, Precision};
use super::fault::PackageError;
use super::gate::Gate;
use super::inventory::Inventory;
use super::manifest::Manifest;
use super::octets::{Octets, WeightsFile};
use super::quantisation::Quantisation;
use super::weights::{WeightError, Weights};

/// Bytes of the weights that are read at a time.
const PART: usize = 1 << 20;

/// A package whose files are there and belong together; `W` is where the octets of its weights are.
pub struct Package<W = Vec<u8>> {
    manifest: Manifest,
    weights_path: PathBuf,
    weights: W,
    gate: Option<Gate>,
}

impl Package {
    /// The file of the manifest.
    pub const MANIFEST: &str = "model.toml";

    /// The file of the weights.
    pub const WEIGHTS: &str = "model.safetensors";

    /// The file of the plausibility gate.
    pub const GATE: &str = "gate.safetensors";

    /// The file of the int8 part.
    pub const INT8: &str = "int8.safetensors";

    /// The file of the model card.
    pub const CARD: &str = "README.md";

    /// Reads a package and checks the weights' digest.
    pub fn open(directory: &Path) -> Result<Self, PackageError> {
        let package = Self::with(directory, read_shared_out)?;
        same_digest(&package.weights_path, &package.manifest.sha256, sha256(&package.weights))?;
        Ok(package)
    }

    /// What a package says of itself, for those who do not need its weights.
    pub fn manifest_in(directory: &Path) -> Result<Manifest, PackageError> {
        let path = directory.join(Self::MANIFEST);
        let malformed = |cause| PackageError::Manifest { path: path.clone(), cause };
        let octets = std::fs::read(&path);
        let octets = octets.map_err(|source| PackageError::Unreadable { path: path.clone(), source })?;
        let text = String::from_utf8(octets).map_err(|error| malformed(error.to_string()))?;
        Manifest::parse(&text).map_err(malformed)
    }

    /// The manifest and the weights' bytes.
    pub(super) fn into_parts(self) -> (Manifest, Vec<u8>) {
        (self.manifest, self.weights)
    }

    /// A package that is not on disk yet.
    pub(super) fn of(manifest: Manifest, weights: Vec<u8>) -> Self {
        Self { manifest, weights_path: Self::WEIGHTS.into(), weights, gate: None }
    }

    /// The tensors of its weights one by one.
    ///
    /// # Errors
    /// The weights are no safetensors file.
    pub fn inventory(&self) -> Result<Inventory, PackageError> {
        Inventory::of(&self.weights).map_err(|fault| self.weight_fault(WeightError::Unreadable(fault)))
    }

    /// What calibration makes of the weights.
    pub(super) fn calibrated(&self, calibration: &Calibration) -> Result<Quantisation, PackageError> {
        let quantisation = |weights| calibration.quantisation(&weights);
        Weights::new(&self.weights).and_then(quantisation).map_err(|cause| self.weight_fault(cause))
    }
}

impl Package<WeightsFile> {
    /// A package whose weights are read when they are asked for.
    pub(super) fn in_pieces(directory: &Path) -> Result<Self, PackageError> {
        Self::with(directory, WeightsFile::open)
    }

    /// Builds the network on a device, and takes the weights' digest meanwhile, which is a third of the work.
    pub(super) fn verified_engine(&self, device: &Device, compute: Compute) -> Result<Engine, PackageError> {
        let (verified, engine) = rayon::join(|| self.verify(), || self.engine(device, compute));
        self.unchanged()?;
        verified?;
        engine
    }

    /// Checks the weights' digest.
    fn verify(&self) -> Result<(), PackageError> {
        same_digest(&self.weights_path, &self.manifest.sha256, digest(&Octets::from(&self.weights)))
    }

    /// Checks that what was read of the weights is what the digest was taken of.
    fn unchanged(&self) -> Result<(), PackageError> {
        let path = self.weights_path.clone();
        match self.weights.is_unchanged() {
            Ok(true) => Ok(()),
            Ok(false) => Err(PackageError::Changed { path }),
            Err(source) => Err(PackageError::Unreadable { path, source }),
        }
    }
}

impl<W> Package<W> {
    /// With weights that are opened like this.
    fn with(directory: &Path, open: impl FnOnce(&Path) -> std::io::Result<W>) -> Result<Self, PackageError> {
        let manifest = Package::manifest_in(directory)?;
        let weights_path = directory.join(Package::WEIGHTS);
        let weights =
            open(&weights_path).map_err(|source| PackageError::Unreadable { path: weights_path.clone(), source })?;
        let gate = gate(&manifest, directory)?;
        Ok(Self { manifest, weights_path, weights, gate })
    }

    /// What the package says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Gives up the weights.
    pub(super) fn into_manifest_and_gate(self) -> (Manifest, Option<Gate>) {
        (self.manifest, self.gate)
    }

    /// The gate, for packages that have one.
    pub fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// Checks that its card is there and speaks of this model: name, version and the weights' digest.
    ///
    /// # Errors
    /// Which of them is missing.
    pub fn verify_card(&self) -> Result<(), PackageError> {
        let path = self.weights_path.with_file_name(Package::CARD);
        let card = std::fs::read_to_string(&path);
        let card = card.map_err(|source| PackageError::Unreadable { path: path.clone(), source })?;
        let Manifest { name, version, sha256, .. } = &self.manifest;
        match [name, version, sha256].into_iter().find(|said| !card.contains(said.as_str())) {
            Some(missing) => Err(PackageError::Card { path, missing: missing.clone() }),
            None => Ok(()),
        }
    }

    /// Builds the network on a device.
    pub(super) fn engine<'a>(&'a self, device: &Device, compute: Compute) -> Result<Engine, PackageError>
    where
        &'a W: Into<Octets<'a>>,
    {
        let quantisation = match compute.precision() {
            Precision::Int8 => Some(self.quantisation()?),
            precision if self.manifest.self_test_in(precision).is_none() => return Err(self.not_prepared(precision)),
            _ => None,
        };
        self.engine_with(device, (compute, quantisation))
    }

    /// The same, in eight bits where it is said how.
    pub(super) fn engine_with<'a>(
        &'a self,
        device: &Device,
        how: (Compute, Option<Quantisation>),
    ) -> Result<Engine, PackageError>
    where
        &'a W: Into<Octets<'a>>,
    {
        let build = |weights| Engine::new(&weights, self.manifest.network(), device, how);
        Weights::new(&self.weights).and_then(build).map_err(|cause| self.weight_fault(cause))
    }

    fn weight_fault(&self, cause: WeightError) -> PackageError {
        let (path, architecture) = (self.weights_path.clone(), self.manifest.architecture);
        PackageError::Weights { path, architecture, cause }
    }

    fn not_prepared(&self, precision: Precision) -> PackageError {
        let path = self.weights_path.with_file_name(Package::MANIFEST);
        PackageError::NotPrepared { path, precision: precision.name() }
    }

    /// The int8 part.
    fn quantisation(&self) -> Result<Quantisation, PackageError> {
        let Some(spec) = &self.manifest.int8 else {
            return Err(self.not_prepared(Precision::Int8));
        };
        let path = self.weights_path.with_file_name(Package::INT8);
        let octets = std::fs::read(&path);
        let octets = octets.map_err(|source| PackageError::Unreadable { path: path.clone(), source })?;
        same_digest(&path, &spec.sha256, sha256(&octets))?;
        self.quantisation_of(&octets)
    }

    /// The int8 part, from the octets of its file.
    pub(super) fn quantisation_of(&self, octets: &[u8]) -> Result<Quantisation, PackageError> {
        let path = self.weights_path.with_file_name(Package::INT8);
        Quantisation::read(octets, &self.manifest.network()).map_err(|cause| PackageError::Int8 { path, cause })
    }
}

/// That a file has the digest that the manifest says.
fn same_digest(path: &Path, expected: &str, found: String) -> Result<(), PackageError> {
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(PackageError::Digest { path: path.to_owned(), expected: expected.to_owned(), found })
}

/// The gate that the manifest speaks of.
fn gate(manifest: &Manifest, directory: &Path) -> Result<Option<Gate>, PackageError> {
    let Some(spec) = &manifest.plausibility else { return Ok(None) };
    let path = directory.join(Package::GATE);
    let octets = std::fs::read(&path);
    let octets = octets.map_err(|source| PackageError::Unreadable { path: path.clone(), source })?;
    let found = sha256(&octets);
    if !found.eq_ignore_ascii_case(&spec.sha256) {
        return Err(PackageError::Digest { path, expected: spec.sha256.clone(), found });
    }
    Gate::parse(&octets).map(Some).map_err(|cause| PackageError::Gate { path, cause })
}

/// SHA-256, hexadecimal.
pub(super) fn sha256(octets: &[u8]) -> String {
    digest(&octets.into())
}

fn digest(octets: &Octets<'_>) -> String {
    let mut hasher = Sha256::new();
    octets.show(0..octets.length(), |piece| hasher.update(piece));
    hasher.finalize().iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A large file's bytes, read by several threads: half of the time goes into memory that is touched for the first time.
pub(super) fn read_shared_out(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).map_err(std::io::Error::other)?;
    let mut bytes = vec![0; length];
    let part = |(index, part): (usize, &mut [u8])| file.read_exact_at(part, (index * PART) as u64);
    bytes.par_chunks_mut(PART).enumerate().try_for_each(part)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/cxr-pneumonia-reference");

    fn copy_of_reference() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for file in [Package::MANIFEST, Package::WEIGHTS, Package::GATE] {
            std::fs::copy(Path::new(REFERENCE).join(file), directory.path().join(file)).unwrap();
        }
        directory
    }

    fn fault(directory: &Path) -> String {
        Package::open(directory).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn a_missing_package_names_the_key() {
        let message = fault(Path::new("/nowhere"));
        assert!(message.contains("/nowhere/model.toml") && message.contains("model.package"), "{message}");
    }

    #[test]
    fn damaged_weights_are_refused() {
        let directory = copy_of_reference();
        let path = directory.path().join("model.safetensors");
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(fault(directory.path()).contains("SHA-256"));
    }

    #[test]
    fn weights_that_change_while_they_are_read_are_refused() {
        let directory = copy_of_reference();
        let path = directory.path().join(Package::WEIGHTS);
        let octets = std::fs::read(&path).unwrap();
        let package = Package::in_pieces(directory.path()).unwrap();
        package.verify().unwrap();
        package.unchanged().unwrap();
        while package.unchanged().is_ok() {
            std::fs::write(&path, &octets).unwrap();
        }
        let message = package.unchanged().unwrap_err().to_string();
        assert!(message.contains("model.safetensors") && message.contains("written to while it was read"), "{message}");
        std::fs::write(&path, &octets[..1000]).unwrap();
        assert!(package.verify().is_err());
        assert!(matches!(package.unchanged(), Err(PackageError::Unreadable { .. })));
    }

    #[test]
    fn weights_of_another_network_are_refused_by_tensor() {
        let directory = copy_of_reference();
        let mut tensors = std::collections::HashMap::new();
        tensors.insert(
            "conv1.weight".to_owned(),
            candle_core::Tensor::zeros((1, 1), candle_core::DType::F32, &Device::Cpu).unwrap(),
        );
        let path = directory.path().join("model.safetensors");
        candle_core::safetensors::save(&tensors, &path).unwrap();
        let digest = sha256(&std::fs::read(&path).unwrap());
        let manifest = directory.path().join("model.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let reference = Manifest::parse(&text).unwrap().sha256;
        std::fs::write(&manifest, text.replace(&reference, &digest)).unwrap();
        let message = Package::open(directory.path())
            .unwrap()
            .engine(&Device::Cpu, Compute::Graph)
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(message.contains("conv1.weight") && message.contains("[64, 3, 7, 7]"), "{message}");
    }
}
