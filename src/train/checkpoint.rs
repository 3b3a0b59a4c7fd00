//! Where a run stands after an epoch, on disk as a whole: whoever begins it again goes on there.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::TrainError;
use super::adam::Adam;
use super::history::Epoch;
use super::network::Network;
use crate::replace;

/// The file in the model's directory while it is trained.
const FILE: &str = "checkpoint.safetensors";

/// A checkpoint is due when this many times as long has passed as the last one took: they cost a twentieth at most.
const APART: u32 = 20;

/// Which run a checkpoint belongs to.
const RUN: &str = "run";

/// The memories of the gradients so far.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Optimiser {
    /// For the trunk's parameters; for none where it is frozen.
    pub(super) trunk: Adam,
    /// For the head's.
    pub(super) head: Adam,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checkpoint {
    pub(super) network: Network,
    pub(super) optimiser: Optimiser,
    pub(super) history: Vec<Epoch>,
    /// The network after the best epoch, where that one is wanted.
    pub(super) best: Option<Network>,
}

/// The checkpoints of one run.
pub(super) struct Keeper {
    path: PathBuf,
    run: String,
    /// When the next one is due; at once where there was none.
    due: Option<Instant>,
}

/// Tensors by name.
type Tensors<'a> = Vec<(String, Dtype, &'a [u8])>;

impl Keeper {
    /// For a run, which is told by a digest of everything that its weights depend on.
    pub(super) fn new(directory: &Path, run: &blake3::Hash) -> Self {
        Self { path: directory.join(FILE), run: run.to_string(), due: None }
    }

    /// The checkpoint of this run, which began as told; `None` where there is none.
    ///
    /// # Errors
    /// It is of another run, or cannot be read.
    pub(super) fn load(&self, begun: &Checkpoint) -> Result<Option<Checkpoint>, TrainError> {
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
        restored(begun, &tensors).map(Some).ok_or_else(other)
    }

    /// Replaces the checkpoint where that is due.
    pub(super) fn save_if_due(&mut self, run: &Checkpoint) -> Result<(), TrainError> {
        let began = Instant::now();
        if self.due.is_some_and(|due| began < due) {
            return Ok(());
        }
        self.save(run)?;
        self.due = Some(Instant::now() + APART * began.elapsed());
        Ok(())
    }

    /// Replaces the checkpoint.
    fn save(&self, run: &Checkpoint) -> Result<(), TrainError> {
        let Checkpoint { network, optimiser, history, best } = run;
        let figures: Vec<f64> = history.iter().flat_map(Epoch::figures).collect();
        let steps = [optimiser.trunk.steps, optimiser.head.steps];
        let mut tensors: Tensors<'_> = vec![
            ("steps".to_owned(), Dtype::U32, bytemuck::cast_slice(&steps)),
            ("history".to_owned(), Dtype::F64, bytemuck::cast_slice(&figures)),
        ];
        add_network(&mut tensors, "network", network);
        best.iter().for_each(|best| add_network(&mut tensors, "best", best));
        for (part, Adam { first, second, .. }) in [("trunk", &optimiser.trunk), ("head", &optimiser.head)] {
            tensors.push((format!("first.{part}"), Dtype::F32, bytemuck::cast_slice(first)));
            tensors.push((format!("second.{part}"), Dtype::F32, bytemuck::cast_slice(second)));
        }
        let metadata = HashMap::from([(RUN.to_owned(), self.run.clone())]);
        let octets = tensors
            .into_iter()
            .map(|(name, kind, octets)| {
                let values = octets.len() / (kind.bitsize() / 8);
                Ok((name, TensorView::new(kind, vec![values], octets)?))
            })
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

fn add_network<'a>(tensors: &mut Tensors<'a>, prefix: &str, Network { trunk, head }: &'a Network) {
    let mut add = |part: &str, values: &'a [f32]| {
        tensors.push((format!("{prefix}.{part}"), Dtype::F32, bytemuck::cast_slice(values)));
    };
    add("head", head.values());
    if let Some(trunk) = trunk {
        add("trunk", trunk.values());
        add("moments", trunk.running());
    }
}

/// `None` where a tensor is missing or of another length than the run began with.
fn restored(begun: &Checkpoint, tensors: &SafeTensors<'_>) -> Option<Checkpoint> {
    let octets = |name: &str| tensors.tensor(name).ok().map(|view| view.data().to_vec());
    let floats = |name: String| -> Option<Vec<f32>> {
        Some(octets(&name)?.as_chunks().0.iter().map(|octets| f32::from_le_bytes(*octets)).collect())
    };
    let network = |prefix: &str| -> Option<Network> {
        let Network { trunk, head } = begun.network.clone();
        let trunk = match trunk {
            Some(trunk) => {
                Some(trunk.restored(floats(format!("{prefix}.trunk"))?, floats(format!("{prefix}.moments"))?)?)
            }
            None => None,
        };
        Some(Network { trunk, head: head.restored(floats(format!("{prefix}.head"))?)? })
    };
    let steps = octets("steps")?;
    let [of_trunk, of_head]: [u32; 2] =
        steps.as_chunks().0.iter().map(|octets| u32::from_le_bytes(*octets)).collect::<Vec<_>>().try_into().ok()?;
    let adam = |part: &str, begun: &Adam, steps: u32| -> Option<Adam> {
        let (first, second) = (floats(format!("first.{part}"))?, floats(format!("second.{part}"))?);
        let fits = first.len() == begun.first.len() && second.len() == begun.first.len();
        fits.then_some(Adam { first, second, steps })
    };
    let figures: Vec<f64> = octets("history")?.as_chunks().0.iter().map(|octets| f64::from_le_bytes(*octets)).collect();
    Some(Checkpoint {
        network: network("network")?,
        optimiser: Optimiser {
            trunk: adam("trunk", &begun.optimiser.trunk, of_trunk)?,
            head: adam("head", &begun.optimiser.head, of_head)?,
        },
        history: figures.as_chunks().0.iter().copied().map(Epoch::of).collect(),
        best: if tensors.tensor("best.head").is_ok() { Some(network("best")?) } else { None },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{TrunkLayer, Unfolded};
    use crate::train::perceptron::Shape;

    #[test]
    fn a_checkpoint_comes_back_to_the_bit_and_to_its_own_run_only() {
        let shape = Shape { inputs: 3, hidden: 2, outputs: 2 };
        let directory = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(directory.path(), &blake3::hash(b"run"));
        let layer = TrunkLayer {
            name: String::new(),
            norm: String::new(),
            inputs: 2,
            outputs: 3,
            size: 1,
            stride: 1,
            weights: vec![0.5; 6],
            gain: vec![1.0; 3],
            bias: vec![0.0; 3],
            mean: vec![0.25; 3],
            variance: vec![2.0; 3],
        };
        let trunk = Unfolded { layers: vec![layer], stem: None, blocks: Vec::new() };
        let begun = Checkpoint {
            network: Network::new(Some(&trunk), shape, &mut fastrand::Rng::with_seed(1)),
            optimiser: Optimiser { trunk: Adam::new(12), head: Adam::new(shape.parameters()) },
            history: Vec::new(),
            best: None,
        };
        assert_eq!(keeper.load(&begun).unwrap(), None);
        let mut run = begun.clone();
        run.history = vec![Epoch::of([0.1, 0.2, 0.3, 0.4]), Epoch::of([0.5, 0.6, 0.7, 0.8])];
        run.best = Some(run.network.clone());
        run.optimiser.head.step(run.network.head.values_mut(), &vec![0.3; shape.parameters()], 0.1);
        run.optimiser.trunk.step(run.network.trunk.as_mut().unwrap().values_mut(), &[0.3; 12], 0.1);
        assert_ne!(Some(&run.network), run.best.as_ref());
        keeper.save(&run).unwrap();
        assert_eq!(keeper.load(&begun).unwrap(), Some(run));
        let other = Keeper::new(directory.path(), &blake3::hash(b"other"));
        assert!(other.load(&begun).unwrap_err().to_string().contains("another run"));
        keeper.remove().unwrap();
        assert_eq!(keeper.load(&begun).unwrap(), None);
    }
}
