//! ResNet-50 (He et al. 2016, torchvision's layout and names) with batch normalisation folded into the
//! convolutions, global average pooling, Dense 128 ReLU and a Dense layer of logits.

use std::collections::HashMap;

use candle_core::{D, DType, Device, Module, Result, Tensor};
use candle_nn::Linear;

use super::TensorFault;

/// Torchvision's epsilon of every batch normalisation.
const BATCH_NORM_EPSILON: f64 = 1e-5;

/// Width of the Dense layer between trunk and logits.
const HIDDEN: usize = 128;

/// Blocks, width of the inner convolutions and stride of each stage.
const STAGES: [(usize, usize, usize); 4] = [(3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)];

/// A block's output is this many times as wide as its inner convolutions.
const EXPANSION: usize = 4;

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
}

impl From<candle_core::Error> for WeightError {
    fn from(error: candle_core::Error) -> Self {
        Self::Unreadable(error.into())
    }
}

/// The tensors of a safetensors file by name, in whatever precision they are stored.
pub(super) struct Weights(HashMap<String, Tensor>);

impl Weights {
    /// Reads the bytes of a safetensors file.
    pub(super) fn read(bytes: &[u8], device: &Device) -> std::result::Result<Self, WeightError> {
        Ok(Self(candle_core::safetensors::load_buffer(bytes, device)?))
    }

    /// One tensor in f32, of exactly the shape expected.
    fn get(&self, name: String, expected: &[usize]) -> std::result::Result<Tensor, WeightError> {
        let Some(tensor) = self.0.get(&name) else { return Err(WeightError::Missing(name)) };
        if tensor.dims() != expected {
            return Err(WeightError::Shape { name, expected: expected.to_vec(), found: tensor.dims().to_vec() });
        }
        Ok(tensor.to_dtype(DType::F32)?)
    }

    fn linear(&self, name: &str, inputs: usize, outputs: usize) -> std::result::Result<Linear, WeightError> {
        let weight = self.get(format!("{name}.weight"), &[outputs, inputs])?;
        let bias = self.get(format!("{name}.bias"), &[outputs])?;
        Ok(Linear::new(weight, Some(bias)))
    }
}

/// A square kernel: how wide, and how far it steps.
#[derive(Clone, Copy)]
struct Kernel {
    size: usize,
    stride: usize,
}

/// A convolution with its batch normalisation folded in.
struct Convolution {
    weight: Tensor,
    bias: Tensor,
    kernel: Kernel,
}

impl Convolution {
    /// `weight * g / sqrt(var + eps)` and `beta - mean * g / sqrt(var + eps)`.
    fn folded(
        weights: &Weights,
        convolution: &str,
        norm: &str,
        channels: (usize, usize),
        kernel: Kernel,
    ) -> std::result::Result<Self, WeightError> {
        let (inputs, outputs) = channels;
        let weight = weights.get(format!("{convolution}.weight"), &[outputs, inputs, kernel.size, kernel.size])?;
        let statistic = |name: &str| weights.get(format!("{norm}.{name}"), &[outputs]);
        let deviation = (statistic("running_var")? + BATCH_NORM_EPSILON)?.sqrt()?;
        let scale = (statistic("weight")? / deviation)?;
        let bias = (statistic("bias")? - (statistic("running_mean")? * &scale)?)?;
        Ok(Self {
            weight: weight.broadcast_mul(&scale.reshape((outputs, 1, 1, 1))?)?,
            bias: bias.reshape((1, outputs, 1, 1))?,
            kernel,
        })
    }
}

impl Module for Convolution {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.conv2d(&self.weight, self.kernel.size / 2, self.kernel.stride, 1, 1)?.broadcast_add(&self.bias)
    }
}

/// A bottleneck block: 1x1, 3x3, 1x1, and the way round them.
struct Bottleneck {
    reduce: Convolution,
    spatial: Convolution,
    expand: Convolution,
    shortcut: Option<Convolution>,
}

impl Bottleneck {
    fn new(
        weights: &Weights,
        name: &str,
        inputs: usize,
        width: usize,
        stride: usize,
    ) -> std::result::Result<Self, WeightError> {
        let outputs = width * EXPANSION;
        let convolution = |index: usize, channels, size, stride| {
            let kernel = Kernel { size, stride };
            Convolution::folded(weights, &format!("{name}.conv{index}"), &format!("{name}.bn{index}"), channels, kernel)
        };
        let shortcut = if inputs == outputs && stride == 1 {
            None
        } else {
            let (path, norm) = (format!("{name}.downsample.0"), format!("{name}.downsample.1"));
            Some(Convolution::folded(weights, &path, &norm, (inputs, outputs), Kernel { size: 1, stride })?)
        };
        Ok(Self {
            reduce: convolution(1, (inputs, width), 1, 1)?,
            spatial: convolution(2, (width, width), 3, stride)?,
            expand: convolution(3, (width, outputs), 1, 1)?,
            shortcut,
        })
    }
}

impl Module for Bottleneck {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.reduce.forward(x)?.relu()?;
        let y = self.spatial.forward(&y)?.relu()?;
        let y = self.expand.forward(&y)?;
        let around = match &self.shortcut {
            Some(convolution) => convolution.forward(x)?,
            None => x.clone(),
        };
        (y + around)?.relu()
    }
}

/// The network. Input `[n, 3, h, w] f32`, normalised; output logits `[n, outputs] f32`.
pub(super) struct ResNet50 {
    stem: Convolution,
    early: Vec<Bottleneck>,
    last: Vec<Bottleneck>,
    hidden: Linear,
    logits: Linear,
}

impl ResNet50 {
    /// Pixels of the input between two places of [`ResNet50::features`].
    pub(super) const STRIDE: u16 = 16;

    /// Builds the network from weights with torchvision's names; `fc.0` and `fc.2` are the Dense layers.
    pub(super) fn new(weights: &Weights, outputs: usize) -> std::result::Result<Self, WeightError> {
        let stem = Convolution::folded(weights, "conv1", "bn1", (3, 64), Kernel { size: 7, stride: 2 })?;
        let (mut early, mut last) = (Vec::new(), Vec::new());
        let mut inputs = 64;
        for (stage, (count, width, stride)) in (1..).zip(STAGES) {
            let blocks = if stage == STAGES.len() { &mut last } else { &mut early };
            for block in 0..count {
                let stride = if block == 0 { stride } else { 1 };
                blocks.push(Bottleneck::new(weights, &format!("layer{stage}.{block}"), inputs, width, stride)?);
                inputs = width * EXPANSION;
            }
        }
        let hidden = weights.linear("fc.0", inputs, HIDDEN)?;
        let logits = weights.linear("fc.2", HIDDEN, outputs)?;
        Ok(Self { stem, early, last, hidden, logits })
    }

    /// What the last stage but one says of each place: `[n, 3, h, w] f32` to `[n, 1024, h / 16, w / 16] f32`, rounded
    /// up, at least 0. Place `i` sees around pixel `16 i`: all strides are 2 and all padding is symmetrical.
    pub(super) fn features(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.stem.forward(x)?.relu()?;
        // After ReLU nothing is below zero, so padding with zeros does what torchvision's padding with -inf does.
        let x = x.pad_with_zeros(D::Minus1, 1, 1)?.pad_with_zeros(D::Minus2, 1, 1)?;
        let x = x.max_pool2d_with_stride(3, 2)?;
        through(&self.early, x)
    }

    /// [`ResNet50::features`] to logits `[n, outputs] f32`.
    pub(super) fn judge(&self, features: &Tensor) -> Result<Tensor> {
        let pooled = through(&self.last, features.clone())?.mean(D::Minus1)?.mean(D::Minus1)?;
        self.logits.forward(&self.hidden.forward(&pooled)?.relu()?)
    }
}

fn through(blocks: &[Bottleneck], x: Tensor) -> Result<Tensor> {
    blocks.iter().try_fold(x, |x, block| block.forward(&x))
}

impl Module for ResNet50 {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.judge(&self.features(x)?)
    }
}
