//! The weights of a package by layer: looked up, checked, in f32, batch normalisation folded in.

use candle_core::safetensors::SliceSafetensors;
use candle_core::{DType, Device, Tensor};

use super::TensorFault;
use super::architecture::Layer;

/// Torchvision's epsilon of every batch normalisation.
const BATCH_NORM_EPSILON: f64 = 1e-5;

/// Weights that are not those of the network.
#[derive(Debug, thiserror::Error)]
pub enum WeightError {
    /// A tensor is not in the file.
    #[error("tensor {0} is missing")]
    Missing(String),
    /// A tensor has another shape.
    #[error("tensor {name} is {found:?}, not {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// The shape the network needs.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// No safetensors file, or a type of number that cannot be converted.
    #[error("unreadable weights: {0}")]
    Unreadable(#[from] TensorFault),
    /// The threads that compute with them could not be started.
    #[error("cannot start the model's threads: {0}; raise the limit on processes, or set model.threads lower")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl From<candle_core::Error> for WeightError {
    fn from(error: candle_core::Error) -> Self {
        Self::Unreadable(error.into())
    }
}

/// A layer's weights `[outputs, inputs, size, size]` and bias `[outputs]`, both f32.
pub(super) struct Folded {
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
}

/// The tensors of a safetensors file by name, in whatever precision they are stored.
pub(super) struct Weights<'a> {
    tensors: SliceSafetensors<'a>,
}

impl<'a> Weights<'a> {
    /// Looks into the bytes of a safetensors file; tensors are copied out one by one.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, WeightError> {
        Ok(Self { tensors: SliceSafetensors::new(bytes)? })
    }

    /// One layer. Folding: `weight * g / sqrt(var + eps)` and `beta - mean * g / sqrt(var + eps)`.
    pub(super) fn folded(&self, layer: &Layer, device: &Device) -> Result<Folded, WeightError> {
        let Layer { inputs, outputs, kernel, .. } = *layer;
        let name = format!("{}.weight", layer.name);
        let shape = [outputs, inputs, kernel.size, kernel.size];
        let Some(norm) = &layer.norm else {
            let weight = self.get(name, &[outputs, inputs], device)?.reshape(&shape)?;
            return Ok(Folded { weight, bias: self.get(format!("{}.bias", layer.name), &[outputs], device)? });
        };
        let weight = self.get(name, &shape, device)?;
        let statistic = |name: &str| self.get(format!("{norm}.{name}"), &[outputs], device);
        let deviation = (statistic("running_var")? + BATCH_NORM_EPSILON)?.sqrt()?;
        let scale = (statistic("weight")? / deviation)?;
        let bias = (statistic("bias")? - (statistic("running_mean")? * &scale)?)?;
        Ok(Folded { weight: weight.broadcast_mul(&scale.reshape((outputs, 1, 1, 1))?)?, bias })
    }

    /// One tensor in f32, of exactly the shape expected.
    fn get(&self, name: String, expected: &[usize], device: &Device) -> Result<Tensor, WeightError> {
        let Ok(view) = self.tensors.get(&name) else { return Err(WeightError::Missing(name)) };
        if view.shape() != expected {
            return Err(WeightError::Shape { name, expected: expected.to_vec(), found: view.shape().to_vec() });
        }
        Ok(self.tensors.load(&name, device)?.to_dtype(DType::F32)?)
    }
}
