//! What computes the network: the kernels on a processor, candle's graph on any other device.

use candle_core::{CpuStorage, DType, Device, Error, Result, Storage, Tensor};

use super::architecture::Architecture;
use super::graph::Graph;
use super::kernels::bf16::{self, AsIs, Bf16};
use super::kernels::int8::{self, Int8};
use super::kernels::narrow::{self, Known};
use super::kernels::{self, Features, Images, Isa, Network};
use super::manifest::Manifest;
use super::quantisation::Quantisation;
use super::unfolded::Depth;
use super::weights::{WeightError, Weights};
use crate::cuda::device;

/// The numbers that the kernels compute with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point with sums in f32, on NVIDIA's devices, for packages in whose figures `auscult model quantize` has put
    /// how far it moves.
    F16,
    /// bf16 with sums in f32, for packages in whose figures `auscult model quantize` has put how far it moves.
    Bf16,
    /// Eight-bit integers, for packages that `auscult model quantize` has prepared.
    Int8,
}

impl Precision {
    /// As the configuration and messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// How candle names the numbers of a trunk.
    pub(crate) fn numbers(self) -> DType {
        match self {
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
            Self::F32 | Self::Int8 => DType::F32,
        }
    }

    /// What a processor computes with where these numbers are wanted: f32, which is faster then, where it has no instructions
    /// for them.
    pub fn on_processor(self) -> Self {
        match self {
            Self::F16 => Self::F32,
            Self::Bf16 if !matches!(bf16::trusted(), Isa::Avx512Bf16 | Isa::Amx) => Self::F32,
            other => other,
        }
    }

    /// What `auto` stands for on this processor: bf16 where it multiplies whole matrices of it (AMX) and the manifest allows
    /// it, which has an answer to the self-test in bf16 then; else f32.
    pub fn automatic(manifest: &Manifest) -> Self {
        // Only a processor with AMX has to try its instructions for that.
        let has_matrices = || Isa::chosen() == Isa::Amx && bf16::trusted() == Isa::Amx;
        if manifest.bf16.is_some() && has_matrices() { Self::Bf16 } else { Self::F32 }
    }
}

/// What computes the network, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compute {
    /// The processor, by the kernels, with threads of their own.
    Kernels {
        /// How many; 0 for one a processor.
        threads: usize,
        /// With which numbers.
        precision: Precision,
    },
    /// The processor, by candle's own operations, with the threads of the rayon pool that the caller is in: to compare.
    Graph,
    /// An NVIDIA device, by candle's own operations.
    Cuda {
        /// Which one, as the driver counts them.
        device: usize,
        /// With which numbers: not eight-bit integers.
        precision: Precision,
    },
}

impl Compute {
    /// By the kernels in f32.
    pub fn f32(threads: usize) -> Self {
        Self::Kernels { threads, precision: Precision::F32 }
    }

    /// The device, opened. Fails where the program was built without the feature `cuda`, too.
    pub(super) fn device(self) -> Result<Device> {
        match self {
            Self::Kernels { precision: Precision::F16, .. } => Err(Error::msg("the processor does not compute in f16")),
            Self::Cuda { precision: Precision::Int8, .. } => Err(Error::msg("the device does not compute in int8")),
            Self::Kernels { .. } | Self::Graph => Ok(Device::Cpu),
            Self::Cuda { device, .. } => device::open(device),
        }
    }

    /// The numbers that it computes with.
    pub(super) fn precision(self) -> Precision {
        match self {
            Self::Kernels { precision, .. } | Self::Cuda { precision, .. } => precision,
            Self::Graph => Precision::F32,
        }
    }
}

/// What the network says of images.
pub(super) struct Seen {
    /// The mean of each channel of the last stage, `[n, 2048] f32`.
    pub(super) pooled: Tensor,
    /// `[n, outputs] f32`
    pub(super) logits: Tensor,
}

/// The network on one device.
pub(super) enum Engine {
    /// The processor, by the kernels.
    Kernels(Box<Network>),
    /// The same in bf16.
    Bf16(Box<narrow::Network<Bf16>>),
    /// The same in eight bits.
    Int8(Box<narrow::Network<Int8>>),
    /// Any device, by candle's own operations.
    Graph(Box<Graph>),
}

impl Engine {
    /// Builds the network on a device; in eight bits where it is said how.
    pub(super) fn new(
        weights: &Weights<'_>,
        architecture: Architecture,
        device: &Device,
        (compute, quantisation): (Compute, Option<Quantisation>),
    ) -> std::result::Result<Self, WeightError> {
        let threads = match compute {
            Compute::Kernels { threads, .. } if device.is_cpu() => threads,
            _ => {
                let folded = |layer: &_| weights.folded(layer);
                return Ok(Self::Graph(Box::new(Graph::new(folded, architecture, device, compute.precision())?)));
            }
        };
        let layer = |layer: &_| weights.folding(layer);
        if let Some(Quantisation(known)) = quantisation {
            let network = narrow::Network::new(architecture, layer, known, threads, int8::trusted())?;
            return Ok(Self::Int8(Box::new(network)));
        }
        if compute.precision() == Precision::Bf16 {
            let layers: Vec<_> = architecture.sources().into_iter().map(|sources| sources.map(|_| AsIs)).collect();
            let known = Known { image: AsIs, codes: vec![AsIs; layers.len()], layers };
            let network = narrow::Network::new(architecture, layer, known, threads, bf16::trusted())?;
            return Ok(Self::Bf16(Box::new(network)));
        }
        Ok(Self::Kernels(Box::new(Network::new(architecture, layer, threads, kernels::trusted())?)))
    }

    /// Images `[n, 3, h, w] f32`, normalised, to pooled features and logits.
    pub(super) fn look(&self, images: &Tensor) -> Result<Seen> {
        match self {
            Self::Graph(graph) => graph.look(images),
            Self::Kernels(network) => seen(images.dim(0)?, with_images(images, |images| network.look(images))?),
            Self::Bf16(network) => seen(images.dim(0)?, with_images(images, |images| network.look(images))?),
            Self::Int8(network) => seen(images.dim(0)?, with_images(images, |images| network.look(images))?),
        }
    }

    /// The numbers that it computes with.
    pub(super) fn precision(&self) -> Precision {
        match self {
            Self::Graph(graph) => graph.precision(),
            Self::Kernels(_) => Precision::F32,
            Self::Bf16(_) => Precision::Bf16,
            Self::Int8(_) => Precision::Int8,
        }
    }

    /// The instructions that it uses.
    pub(super) fn isa(&self) -> Isa {
        match self {
            Self::Graph(_) => kernels::trusted(),
            Self::Kernels(network) => network.isa(),
            Self::Bf16(network) => network.isa(),
            Self::Int8(network) => network.isa(),
        }
    }

    /// What [`super::Trunk::at`] gives of some images at a depth, which were of `side` rows and columns: the same bits as
    /// [`Engine::look`] gives of the images.
    pub(super) fn look_at(&self, depth: Depth, values: &[f32], images: usize, side: (usize, usize)) -> Result<Seen> {
        let (rows, columns) = side;
        let tensor = |shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu);
        let found = match (self, depth) {
            (_, Depth::Input) => return self.look(&tensor(&[images, rows, columns, 3])?.permute((0, 3, 1, 2))?),
            (Self::Graph(graph), Depth::LastStage) => {
                let (rows, columns) = (rows.div_ceil(16), columns.div_ceil(16));
                let channels = values.len() / (images * rows * columns).max(1);
                return graph.look_at_last(&tensor(&[images, rows, columns, channels])?);
            }
            (Self::Graph(graph), Depth::Pooled) => {
                return graph.look_at_pooled(&tensor(&[images, values.len() / images.max(1)])?);
            }
            (Self::Bf16(_) | Self::Int8(_), _) => return Err(Error::msg("training is done in f32")),
            (Self::Kernels(network), Depth::LastStage) => network.look_at_last(values, images, side),
            (Self::Kernels(network), Depth::Pooled) => network.look_at_pooled(values, images, side),
        };
        seen(images, found.ok_or_else(unfit)?)
    }

    /// What the last stage but one says of each place: `[n, 3, h, w] f32` to `[n, h / 16, w / 16, 1024] f32`, rounded
    /// up, at least 0. Place `i` sees around pixel `16 i`: all strides are 2 and all padding is symmetrical.
    pub(super) fn features(&self, images: &Tensor) -> Result<Tensor> {
        let Features { values, shape } = match self {
            Self::Graph(graph) => return graph.features(images),
            Self::Kernels(network) => with_images(images, |images| network.features(images))?,
            Self::Bf16(network) => with_images(images, |images| network.features(images))?,
            Self::Int8(network) => with_images(images, |images| network.features(images))?,
        };
        Tensor::from_vec(values, &shape, &Device::Cpu)
    }

    /// How a weighted sum of the logits changes with [`Engine::features`] of one image, `[1, h, w, 1024] f32`: through the last
    /// stage with the engine's weights, by its numbers. `weights` says how much each of the logits counts, given all of them.
    pub(super) fn slope(&self, features: &Tensor, weights: impl FnOnce(&[f32]) -> Vec<f32>) -> Result<Sloped> {
        match self {
            Self::Graph(graph) => graph.slope(features, weights),
            Self::Kernels(network) => sloped(features, |values, side| network.slope(values, side, weights)),
            Self::Bf16(network) => sloped(features, |values, side| network.slope(values, side, weights)),
            Self::Int8(network) => sloped(features, |values, side| network.slope(values, side, weights)),
        }
    }
}

/// What [`Engine::slope`] gives.
pub(super) struct Sloped {
    /// As many values as the features and in their order.
    pub(super) slopes: Vec<f32>,
    /// What the network says of the image, where that is what [`Engine::look`] says.
    pub(super) seen: Option<Seen>,
}

/// By the kernels, which are given the features of one image and their rows and columns.
fn sloped(features: &Tensor, slope: impl FnOnce(&[f32], (usize, usize)) -> Option<kernels::Slope>) -> Result<Sloped> {
    let (_, rows, columns, _) = features.dims4()?;
    let found = with_values(features, |values| slope(values, (rows, columns)).ok_or_else(unfit))?;
    Ok(Sloped { slopes: found.slopes, seen: Some(seen(1, found.seen)?) })
}

/// What the kernels say of so many images.
fn seen(count: usize, kernels::Seen { pooled, logits }: kernels::Seen) -> Result<Seen> {
    let rows = |values: Vec<f32>| {
        let width = values.len() / count.max(1);
        Tensor::from_vec(values, (count, width), &Device::Cpu)
    };
    Ok(Seen { pooled: rows(pooled)?, logits: rows(logits)? })
}

/// Shows a tensor `[n, 3, h, w] f32` to the kernels.
pub(super) fn with_images<T>(images: &Tensor, look: impl FnOnce(Images<'_>) -> Option<T>) -> Result<T> {
    let (n, channels, rows, columns) = images.dims4()?;
    let shape = [n, channels, rows, columns];
    let wrong = || Error::msg(format!("the network takes [n, 3, rows, columns], not {shape:?}"));
    with_values(images, |values| look(Images::new(values, shape).ok_or_else(wrong)?).ok_or_else(unfit))
}

/// Shows the values of a tensor to the kernels.
pub(super) fn with_values<T>(tensor: &Tensor, look: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(CpuStorage::F32(values)) = &*storage else {
        return Err(Error::msg("the kernels take f32 in main memory"));
    };
    let values = layout.contiguous_offsets().and_then(|(first, end)| values.get(first..end));
    look(values.ok_or_else(unfit)?)
}

fn unfit() -> Error {
    Error::msg("the layers do not fit together")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::{Input, Package};

    #[test]
    fn slopes_by_the_kernels_are_those_of_candles_backward_pass() {
        let package = Package::open(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/models/cxr-pneumonia-reference")));
        let package = package.unwrap();
        let engine = |compute| package.engine(&Device::Cpu, compute).unwrap();
        let numbers = |precision| engine(Compute::Kernels { threads: 2, precision });
        let ramp = Input::new(&package.manifest().input).ramp().unwrap().unsqueeze(0).unwrap();
        let features = numbers(Precision::F32).features(&ramp).unwrap();
        let slope = |engine: &Engine| {
            let found = engine.slope(&features, |logits| vec![logits[1], -1.0]).unwrap();
            (found.slopes, found.seen)
        };
        let (wanted, seen) = slope(&engine(Compute::Graph));
        let largest = wanted.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let looked = seen.unwrap().logits.to_vec2::<f32>().unwrap();
        for (precision, near) in [(Precision::F32, 1e-4), (Precision::Bf16, 0.05), (Precision::Int8, 0.15)] {
            let (found, seen) = slope(&numbers(precision));
            let logits = seen.unwrap().logits.to_vec2::<f32>().unwrap();
            assert!((logits[0][0] - looked[0][0]).abs() < near, "{precision:?}: {logits:?} for {looked:?}");
            let pairs = found.iter().zip(&wanted);
            let furthest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(
                found.len() == wanted.len() && furthest <= near * largest,
                "{precision:?}: {furthest} of {largest}"
            );
        }
    }
}
