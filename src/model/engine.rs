//! What computes the network: the kernels on a processor, candle's graph on any other device.

use candle_core::{CpuStorage, Device, Error, Result, Storage, Tensor};

use super::architecture::Architecture;
use super::graph::{self, Convolution, Graph};
use super::kernels::int8;
use super::kernels::{self, Features, Images, Isa, Network, Raw};
use super::quantisation::Quantisation;
use super::unfolded::Depth;
use super::weights::{Folded, WeightError, Weights};

/// The numbers that the kernels compute with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floating point.
    F32,
    /// Eight-bit integers, for packages that `auscult model quantize` has prepared.
    Int8,
}

impl Precision {
    /// As the configuration and messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int8 => "int8",
        }
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
    /// The first NVIDIA device, by candle's own operations in f32.
    Cuda,
}

impl Compute {
    /// By the kernels in f32.
    pub fn f32(threads: usize) -> Self {
        Self::Kernels { threads, precision: Precision::F32 }
    }

    /// The device, opened. Fails where the program was built without the feature `cuda`, too.
    pub(super) fn device(self) -> Result<Device> {
        match self {
            Self::Kernels { .. } | Self::Graph => Ok(Device::Cpu),
            Self::Cuda => Device::new_cuda(0),
        }
    }

    /// Whether it takes a package's int8 part.
    pub(super) fn is_int8(self) -> bool {
        matches!(self, Self::Kernels { precision: Precision::Int8, .. })
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
    /// The same in eight bits.
    Int8(Box<int8::Network>),
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
            _ => return Ok(Self::Graph(Box::new(Graph::new(weights, architecture, device)?))),
        };
        let layer = |layer: &_| -> std::result::Result<Raw, WeightError> {
            let Folded { weights, bias } = weights.folded(layer)?;
            Ok(Raw { weights, bias })
        };
        if let Some(Quantisation { coded, codes }) = quantisation {
            let isa = int8::trusted();
            return Ok(Self::Int8(Box::new(int8::Network::new(architecture, layer, (&coded, codes), threads, isa)?)));
        }
        Ok(Self::Kernels(Box::new(Network::new(architecture, layer, threads, kernels::trusted())?)))
    }

    /// Images `[n, 3, h, w] f32`, normalised, to pooled features and logits.
    pub(super) fn look(&self, images: &Tensor) -> Result<Seen> {
        match self {
            Self::Graph(graph) => graph.look(images),
            Self::Kernels(network) => seen(images.dim(0)?, with_images(images, |images| network.look(images))?),
            Self::Int8(network) => seen(images.dim(0)?, with_images(images, |images| network.look(images))?),
        }
    }

    /// The numbers that it computes with.
    pub(super) fn precision(&self) -> Precision {
        match self {
            Self::Graph(_) | Self::Kernels(_) => Precision::F32,
            Self::Int8(_) => Precision::Int8,
        }
    }

    /// The instructions that it uses.
    pub(super) fn isa(&self) -> Isa {
        match self {
            Self::Graph(_) => kernels::trusted(),
            Self::Kernels(network) => network.isa(),
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
                let places = tensor(&[images, rows, columns, values.len() / (images * rows * columns).max(1)])?;
                return graph.look_at_last(&places.permute((0, 3, 1, 2))?.contiguous()?);
            }
            (Self::Graph(graph), Depth::Pooled) => {
                return graph.look_at_pooled(&tensor(&[images, values.len() / images.max(1)])?);
            }
            (Self::Int8(_), _) => return Err(Error::msg("training is done in f32")),
            (Self::Kernels(network), Depth::LastStage) => network.look_at_last(values, images, side),
            (Self::Kernels(network), Depth::Pooled) => network.look_at_pooled(values, images, side),
        };
        seen(images, found.ok_or_else(|| Error::msg("the layers do not fit together"))?)
    }

    /// What the last stage but one says of each place: `[n, 3, h, w] f32` to `[n, 1024, h / 16, w / 16] f32`, rounded
    /// up, at least 0. Place `i` sees around pixel `16 i`: all strides are 2 and all padding is symmetrical.
    pub(super) fn features(&self, images: &Tensor) -> Result<Tensor> {
        match self {
            Self::Graph(graph) => graph.features(images),
            Self::Kernels(network) => of_features(with_images(images, |images| network.features(images))?),
            Self::Int8(network) => of_features(with_images(images, |images| network.features(images))?),
        }
    }

    /// [`Engine::features`] to logits `[n, outputs] f32`, as a graph of candle's operations: with gradients, in f32, with the
    /// weights as they count in the engine.
    pub(super) fn judge(&self, features: &Tensor) -> Result<Tensor> {
        match self {
            Self::Graph(graph) => graph.judge(features),
            // Unpacked when asked for and given back afterwards: few images are explained.
            Self::Kernels(network) => {
                let architecture = network.architecture();
                graph::judge(architecture, &|index| unpacked(architecture, index, network.layer(index)), features)
            }
            Self::Int8(network) => {
                let architecture = network.architecture();
                graph::judge(architecture, &|index| unpacked(architecture, index, network.layer(index)), features)
            }
        }
    }
}

/// What the kernels say of so many images.
fn seen(count: usize, kernels::Seen { pooled, logits }: kernels::Seen) -> Result<Seen> {
    let rows = |values: Vec<f32>| {
        let width = values.len() / count.max(1);
        Tensor::from_vec(values, (count, width), &Device::Cpu)
    };
    Ok(Seen { pooled: rows(pooled)?, logits: rows(logits)? })
}

fn of_features(Features { values, shape }: Features) -> Result<Tensor> {
    Tensor::from_vec(values, &shape, &Device::Cpu)
}

/// One layer of the kernels' network for candle's operations.
fn unpacked(architecture: &Architecture, index: usize, raw: Option<Raw>) -> Result<Convolution> {
    let layer = architecture.layers.get(index).zip(raw);
    let (layer, Raw { weights, bias }) = layer.ok_or_else(|| Error::msg("no such layer"))?;
    Convolution::new(Folded { weights, bias }, layer, &Device::Cpu)
}

/// Shows a tensor `[n, 3, h, w] f32` to the kernels.
pub(super) fn with_images<T>(images: &Tensor, look: impl FnOnce(Images<'_>) -> Option<T>) -> Result<T> {
    let images = images.contiguous()?;
    let (n, channels, rows, columns) = images.dims4()?;
    let (storage, layout) = images.storage_and_layout();
    let Storage::Cpu(CpuStorage::F32(values)) = &*storage else {
        return Err(Error::msg("the kernels take f32 in main memory"));
    };
    let values = layout.contiguous_offsets().and_then(|(first, end)| values.get(first..end));
    let images = values.and_then(|values| Images::new(values, [n, channels, rows, columns]));
    let images = images.ok_or_else(|| {
        Error::msg(format!("the network takes [n, 3, rows, columns], not {:?}", [n, channels, rows, columns]))
    })?;
    look(images).ok_or_else(|| Error::msg("the layers do not fit together"))
}
