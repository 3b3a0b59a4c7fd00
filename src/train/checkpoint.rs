//! Where a run stands after an epoch, on disk as a whole: whoever begins it again goes on there.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::TrainError;
use super::adam::Adam;
use super::history::Epoch;
use super::perceptron::{Perceptron, Shape};
use crate::replace;

/// The file in the model's directory while it is trained.
const FILE: &str = "checkpoint.safetensors";

/// Which run a checkpoint belongs to.
const RUN: &str = "run";

/// Where a run stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checkpoint {
    pub(super) network: Perceptron,
    pub(super) optimiser: Adam,
    pub(super) history: Vec<Epoch>,
}

/// The checkpoints of one run.
pub(super) struct Keeper {
    path: PathBuf,
    run: String,
    shape: Shape,
}

impl Keeper {
    /// For a run, which is told by a digest of everything that its weights depend on.
    pub(super) fn new(directory: &Path, run: &blake3::Hash, shape: Shape) -> Self {
        Self { path: directory.join(FILE), run: run.to_string(), shape }
    }

    /// The checkpoint of this run; `None` where there is none.
    ///
    /// # Errors
    /// It is of another run, or cannot be read.
    pub(super) fn load(&self) -> Result<Option<Checkpoint>, TrainError> {
        let octets = match std::fs::read(&self.path) {
            Ok(octets) => octets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(TrainError::Io { path: self.path.clone(), source }),
        };
        let other = || TrainError::OtherRun(self.path.clone());
        let (_, metadata) = SafeTensors::read_metadata(&octets).map_err(|_| other())?;
        if metadata.metadata().as_ref().and_then(|data| data.get(RUN)) != Some(&self.run) {
            return Err(other());
        }
        let tensors = SafeTensors::deserialize(&octets).map_err(|_| other())?;
        self.restored(&tensors).map(Some).ok_or_else(other)
    }

    fn restored(&self, tensors: &SafeTensors<'_>) -> Option<Checkpoint> {
        let octets = |name: &str| tensors.tensor(name).ok().map(|view| view.data().to_vec());
        let floats = |name: &str| -> Option<Vec<f32>> {
            Some(octets(name)?.as_chunks().0.iter().map(|octets| f32::from_le_bytes(*octets)).collect())
        };
        let history = octets("history")?;
        let figures: Vec<f64> = history.as_chunks().0.iter().map(|octets| f64::from_le_bytes(*octets)).collect();
        let steps = u32::from_le_bytes(*octets("steps")?.first_chunk()?);
        let moments = (floats("first")?, floats("second")?);
        let fits = [&moments.0, &moments.1].iter().all(|values| values.len() == self.shape.parameters());
        Some(Checkpoint {
            network: Perceptron::restored(self.shape, floats("values")?)?,
            optimiser: Adam { first: moments.0, second: moments.1, steps },
            history: figures.as_chunks().0.iter().copied().map(Epoch::of).collect(),
        })
        .filter(|_| fits)
    }

    /// Replaces the checkpoint.
    pub(super) fn save(&self, Checkpoint { network, optimiser, history }: &Checkpoint) -> Result<(), TrainError> {
        let figures: Vec<f64> = history.iter().flat_map(Epoch::figures).collect();
        let steps = [optimiser.steps];
        let parameters = vec![self.shape.parameters()];
        let tensors: [(&str, Dtype, Vec<usize>, &[u8]); 5] = [
            ("values", Dtype::F32, parameters.clone(), bytemuck::cast_slice(network.values())),
            ("first", Dtype::F32, parameters.clone(), bytemuck::cast_slice(&optimiser.first)),
            ("second", Dtype::F32, parameters, bytemuck::cast_slice(&optimiser.second)),
            ("steps", Dtype::U32, vec![1], bytemuck::cast_slice(&steps)),
            ("history", Dtype::F64, vec![history.len(), 4], bytemuck::cast_slice(&figures)),
        ];
        let views =
            tensors.into_iter().map(|(name, kind, shape, octets)| Ok((name, TensorView::new(kind, shape, octets)?)));
        let metadata = HashMap::from([(RUN.to_owned(), self.run.clone())]);
        let octets = views
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .and_then(|views| safetensors::serialize(views, Some(metadata)))
            .map_err(|error| io::Error::other(error.to_string()));
        let written = octets.and_then(|octets| replace::file(&self.path, &octets));
        written.map_err(|source| TrainError::Io { path: self.path.clone(), source })
    }

    /// Removes the checkpoint of a run that is finished.
    pub(super) fn remove(&self) -> Result<(), TrainError> {
        match std::fs::remove_file(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(TrainError::Io { path: self.path.clone(), source })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back_to_the_bit_and_to_its_own_run_only() {
        let shape = Shape { inputs: 3, hidden: 2, outputs: 2 };
        let directory = tempfile::tempdir().unwrap();
        let run = blake3::hash(b"run");
        let keeper = Keeper::new(directory.path(), &run, shape);
        assert_eq!(keeper.load().unwrap(), None);
        let mut random = fastrand::Rng::with_seed(1);
        let mut checkpoint = Checkpoint {
            network: Perceptron::glorot(shape, &mut random),
            optimiser: Adam::new(shape.parameters()),
            history: vec![Epoch::of([0.1, 0.2, 0.3, 0.4]), Epoch::of([0.5, 0.6, 0.7, 0.8])],
        };
        let gradient = vec![0.3; shape.parameters()];
        checkpoint.optimiser.step(checkpoint.network.values_mut(), &gradient, 0.1);
        keeper.save(&checkpoint).unwrap();
        assert_eq!(keeper.load().unwrap(), Some(checkpoint));
        let other = Keeper::new(directory.path(), &blake3::hash(b"other"), shape);
        assert!(other.load().unwrap_err().to_string().contains("another run"));
        keeper.remove().unwrap();
        assert_eq!(keeper.load().unwrap(), None);
    }
}
