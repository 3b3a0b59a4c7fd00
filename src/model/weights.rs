//! The weights of a package by layer: looked up, checked, in f32, batch normalisation folded in.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::architecture::Layer;
use super::kernels::{Raw, Rows, widen};
use super::octets::Octets;
use super::{Dense, Head, TensorFault, TrunkLayer};

/// Torchvision's epsilon of every batch normalisation.
pub(super) const BATCH_NORM_EPSILON: f32 = 1e-5;

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
    /// They cannot be given torchvision's names.
    #[error("Keras' weights cannot be converted: {0}")]
    Conversion(#[from] safetensors::SafeTensorError),
    /// The threads that compute with them could not be started.
    #[error("cannot start the model's threads: {0}; raise the limit on processes, or set model.threads lower")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl From<candle_core::Error> for WeightError {
    fn from(error: candle_core::Error) -> Self {
        Self::Unreadable(error.into())
    }
}

/// A tensor as it is stored.
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) kind: Dtype,
    pub(super) octets: Vec<u8>,
}

/// Octets of the number that a safetensors file begins with, which says how many its header has.
const LENGTH: usize = size_of::<u64>();

/// Most octets of a header, as the format has it.
const LARGEST_HEADER: usize = 100_000_000;

/// The tensors of a safetensors file by name, in whatever precision they are stored.
pub(super) struct Weights<'a> {
    octets: Octets<'a>,
    tensors: Metadata,
    /// Where the first tensor begins.
    first: usize,
}

impl<'a> Weights<'a> {
    /// Looks into the octets of a safetensors file; tensors are copied out one by one.
    pub(super) fn new(octets: impl Into<Octets<'a>>) -> Result<Self, WeightError> {
        let octets = octets.into();
        let (tensors, first) = header(&octets).map_err(candle_core::Error::from)?;
        Ok(Self { octets, tensors, first })
    }

    /// A tensor and where its octets are.
    fn tensor(&self, name: &str) -> Option<(&TensorInfo, Range<usize>)> {
        let info = self.tensors.info(name)?;
        let (start, end) = info.data_offsets;
        Some((info, self.first + start..self.first + end))
    }

    /// One layer, to be had a few outputs at a time. Folding: `weight * g / sqrt(var + eps)` and
    /// `beta - mean * g / sqrt(var + eps)`.
    pub(super) fn folding(&self, layer: &Layer) -> Result<Folding<'_>, WeightError> {
        let Layer { inputs, outputs, kernel, .. } = *layer;
        let name = format!("{}.weight", layer.name);
        let Some(norm) = &layer.norm else {
            let (numbers, bias) = (self.numbers(name, &[outputs, inputs])?, format!("{}.bias", layer.name));
            return Ok(Folding { numbers, each: inputs, scale: None, bias: self.get(bias, &[outputs])? });
        };
        let numbers = self.numbers(name, &[outputs, inputs, kernel.size, kernel.size])?;
        let statistic = |name: &str| self.get(format!("{norm}.{name}"), &[outputs]);
        let (mut bias, mean) = (statistic("bias")?, statistic("running_mean")?);
        let (gain, variance) = (statistic("weight")?, statistic("running_var")?);
        let scale = gain.iter().zip(&variance).map(|(gain, variance)| gain / (variance + BATCH_NORM_EPSILON).sqrt());
        let scale: Vec<f32> = scale.collect();
        bias.iter_mut().zip(&mean).zip(&scale).for_each(|((bias, mean), scale)| *bias -= mean * scale);
        Ok(Folding { numbers, each: inputs * kernel.size * kernel.size, scale: Some(scale), bias })
    }

    /// The same as a whole.
    pub(super) fn folded(&self, layer: &Layer) -> Result<Raw, WeightError> {
        let folding = self.folding(layer)?;
        let mut weights = Vec::new();
        folding.put(0..layer.outputs, &mut weights);
        Ok(Raw { weights, bias: folding.bias })
    }

    /// One layer with batch normalisation, which stays apart.
    pub(super) fn apart(&self, layer: &Layer) -> Result<TrunkLayer, WeightError> {
        let Layer { inputs, outputs, kernel, .. } = *layer;
        let norm = layer.norm.as_deref().unwrap_or_default();
        let weights = self.get(format!("{}.weight", layer.name), &[outputs, inputs, kernel.size, kernel.size])?;
        let each = |name: &str| self.get(format!("{norm}.{name}"), &[outputs]);
        let statistics = [each("weight")?, each("bias")?, each("running_mean")?, each("running_var")?];
        Ok(TrunkLayer::new(layer, norm, weights, statistics))
    }

    /// The tensors of a layer with batch normalisation as they are stored.
    pub(super) fn stored(&self, layer: &Layer) -> Result<Vec<Stored>, WeightError> {
        let norm = layer.norm.as_deref().unwrap_or_default();
        let statistics = ["weight", "bias", "running_mean", "running_var"].map(|name| format!("{norm}.{name}"));
        let view = |name: String| match self.tensor(&name) {
            Some((info, place)) => Ok(Stored { kind: info.dtype, octets: self.octets.read(place), name }),
            None => Err(WeightError::Missing(name)),
        };
        std::iter::once(format!("{}.weight", layer.name)).chain(statistics).map(view).collect()
    }

    /// The Dense layers behind the trunk, with as many outputs as they have.
    pub(super) fn head(&self) -> Result<Head, WeightError> {
        let last = "fc.2.bias".to_owned();
        let outputs = self.tensors.info(&last).and_then(|info| info.shape.first().copied());
        let outputs = outputs.ok_or(WeightError::Missing(last))?;
        let dense = |name: &str, (inputs, outputs): (usize, usize)| -> Result<Dense, WeightError> {
            let weights = self.get(format!("{name}.weight"), &[outputs, inputs])?;
            Ok(Dense { weights, bias: self.get(format!("{name}.bias"), &[outputs])? })
        };
        let hidden = dense("fc.0", (Head::INPUTS, Head::HIDDEN))?;
        Ok(Head { hidden, logits: dense("fc.2", (Head::HIDDEN, outputs))? })
    }

    /// One tensor in f32, of exactly the shape expected.
    pub(super) fn get(&self, name: String, expected: &[usize]) -> Result<Vec<f32>, WeightError> {
        let mut values = Vec::new();
        self.numbers(name, expected)?.put(0..expected.iter().product(), &mut values);
        Ok(values)
    }

    /// The numbers of one tensor, of exactly the shape expected.
    fn numbers(&self, name: String, expected: &[usize]) -> Result<Numbers<'_>, WeightError> {
        let Some((info, place)) = self.tensor(&name) else { return Err(WeightError::Missing(name)) };
        if info.shape != expected {
            return Err(WeightError::Shape { name, expected: expected.to_vec(), found: info.shape.clone() });
        }
        let (octets, first) = (self.octets, place.start);
        match DType::try_from(info.dtype)? {
            DType::F16 => Ok(Numbers::Halves { octets, first }),
            DType::F32 => Ok(Numbers::Singles { octets, first }),
            other => {
                let tensor = Tensor::from_raw_buffer(&octets.read(place), other, &info.shape, &Device::Cpu)?;
                Ok(Numbers::Converted(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?))
            }
        }
    }
}

/// The header of a safetensors file, and where the first tensor begins.
fn header(octets: &Octets<'_>) -> Result<(Metadata, usize), SafeTensorError> {
    let length = octets.read(0..LENGTH.min(octets.length())).try_into().map_err(|_| SafeTensorError::HeaderTooSmall)?;
    let length = usize::try_from(u64::from_le_bytes(length)).ok().filter(|length| *length <= LARGEST_HEADER);
    let first = LENGTH + length.ok_or(SafeTensorError::HeaderTooLarge)?;
    if first > octets.length() {
        return Err(SafeTensorError::InvalidHeaderLength);
    }
    let header = octets.read(LENGTH..first);
    let tensors: Metadata = serde_json::from_slice(&header).map_err(SafeTensorError::InvalidHeaderDeserialization)?;
    if first + tensors.data_len() != octets.length() {
        return Err(SafeTensorError::MetadataIncompleteBuffer);
    }
    Ok((tensors, first))
}

/// The numbers of a tensor as they are stored, if that is simple; `first` is where its octets begin.
enum Numbers<'a> {
    Halves { octets: Octets<'a>, first: usize },
    Singles { octets: Octets<'a>, first: usize },
    Converted(Vec<f32>),
}

impl Numbers<'_> {
    /// Adds some of them in f32.
    fn put(&self, which: Range<usize>, to: &mut Vec<f32>) {
        let place = |first: usize, size: usize| first + which.start * size..first + which.end * size;
        match self {
            Self::Halves { octets, first } => octets.show(place(*first, size_of::<u16>()), |piece| widen(piece, to)),
            Self::Singles { octets, first } => octets.show(place(*first, size_of::<f32>()), |piece| {
                to.extend(piece.as_chunks().0.iter().map(|octets| f32::from_le_bytes(*octets)));
            }),
            Self::Converted(all) => to.extend(all.get(which).unwrap_or_default()),
        }
    }
}

/// A layer's weights and bias, the former folded when they are asked for.
pub(super) struct Folding<'a> {
    numbers: Numbers<'a>,
    /// Weights of each output.
    each: usize,
    /// What those of each output are multiplied by.
    scale: Option<Vec<f32>>,
    bias: Vec<f32>,
}

impl Folding<'_> {
    /// Adds the weights of some outputs as they are stored.
    fn put_unscaled(&self, outputs: Range<usize>, to: &mut Vec<f32>) {
        self.numbers.put(outputs.start * self.each..outputs.end * self.each, to);
    }

    /// Adds the weights of some outputs.
    fn put(&self, outputs: Range<usize>, to: &mut Vec<f32>) {
        let first = to.len();
        self.put_unscaled(outputs.clone(), to);
        let scale = self.scale.as_ref().and_then(|scale| scale.get(outputs)).unwrap_or_default();
        let rows = to.get_mut(first..).unwrap_or_default().chunks_exact_mut(self.each.max(1));
        rows.zip(scale).for_each(|(weights, scale)| weights.iter_mut().for_each(|weight| *weight *= scale));
    }
}

impl Rows for Folding<'_> {
    fn rows<'a>(&'a self, outputs: Range<usize>, room: &'a mut Vec<f32>) -> &'a [f32] {
        room.clear();
        self.put(outputs, room);
        room
    }

    fn bias(&self) -> &[f32] {
        &self.bias
    }

    fn scale(&self) -> Option<&[f32]> {
        self.scale.as_deref().filter(|_| matches!(self.numbers, Numbers::Halves { .. }))
    }

    fn unscaled<'a>(&'a self, outputs: Range<usize>, room: &'a mut Vec<f32>) -> &'a [f32] {
        room.clear();
        self.put_unscaled(outputs, room);
        room
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::Tensor;

    use super::*;
    use crate::model::architecture::{Architecture, Variant};

    #[test]
    fn a_layer_in_parts_is_the_layer_as_a_whole_in_whatever_numbers_it_is_stored() {
        let architecture = Architecture::resnet50(Variant::Spatial, 2);
        let layer = architecture.layers.iter().find(|layer| layer.norm.is_some()).unwrap();
        let norm = layer.norm.as_ref().unwrap();
        let statistics = ["weight", "bias", "running_mean", "running_var"].map(|name| format!("{norm}.{name}"));
        for stored in [DType::F16, DType::F32, DType::BF16] {
            let (outputs, side) = (layer.outputs, layer.kernel.size);
            let mut tensors = HashMap::new();
            let ramp = |shape: &[usize], step: f64| {
                let count: usize = shape.iter().product();
                let values: Vec<f32> = (0..count).map(|index| (1.0 + step * (index % 97) as f64) as f32).collect();
                Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(stored).unwrap()
            };
            tensors.insert(format!("{}.weight", layer.name), ramp(&[outputs, layer.inputs, side, side], 0.03));
            tensors.extend(
                statistics.iter().zip(1..).map(|(name, step)| (name.clone(), ramp(&[outputs], 0.01 * f64::from(step)))),
            );
            let file = tempfile::NamedTempFile::new().unwrap();
            candle_core::safetensors::save(&tensors, file.path()).unwrap();
            let octets = std::fs::read(file.path()).unwrap();
            let weights = Weights::new(&octets).unwrap();
            let (whole, parts) = (weights.folded(layer).unwrap(), weights.folding(layer).unwrap());
            let value = |name: &str| {
                let tensor = tensors[name].to_dtype(DType::F32).unwrap();
                tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()
            };
            let (gain, variance) = (value(&statistics[0]), value(&statistics[3]));
            let scale = gain[5] / (variance[5] + BATCH_NORM_EPSILON).sqrt();
            let each = layer.inputs * side * side;
            assert_eq!(whole.weights[5 * each + 7], value(&format!("{}.weight", layer.name))[5 * each + 7] * scale);
            let (mut room, mut together) = (vec![9.0; 3], Vec::new());
            for first in (0..outputs).step_by(24) {
                together.extend_from_slice(parts.rows(first..outputs.min(first + 24), &mut room));
            }
            assert_eq!((together, parts.bias()), (whole.weights, whole.bias.as_slice()), "{stored:?}");
        }
    }
}
