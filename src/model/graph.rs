//! The network as a graph of candle's own operations: on any device.

use candle_core::{D, DType, Device, Error, Module, Result, Tensor, Var};

use super::architecture::{Architecture, Bottleneck, Kernel, Layer};
use super::engine::{Seen, Sloped};
use super::weights::{Folded, WeightError, Weights};

/// A convolution with its batch normalisation folded in.
#[derive(Clone)]
struct Convolution {
    weight: Tensor,
    /// `[1, outputs, 1, 1]`
    bias: Tensor,
    kernel: Kernel,
}

impl Convolution {
    /// From the weights of its layer.
    fn new(folded: Folded, layer: &Layer, device: &Device) -> Result<Self> {
        let Layer { inputs, outputs, kernel, .. } = *layer;
        let weight = Tensor::from_vec(folded.weights, (outputs, inputs, kernel.size, kernel.size), device)?;
        Ok(Self { weight, bias: Tensor::from_vec(folded.bias, (1, outputs, 1, 1), device)?, kernel })
    }
}

impl Module for Convolution {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.conv2d(&self.weight, self.kernel.size / 2, self.kernel.stride, 1, 1)?.broadcast_add(&self.bias)
    }
}

/// The layers by their index.
type Layers<'a> = &'a dyn Fn(usize) -> Result<Convolution>;

/// The network on a device, weights included.
pub(super) struct Graph {
    architecture: Architecture,
    layers: Vec<Convolution>,
}

impl Graph {
    /// Builds it from a package's weights.
    pub(super) fn new(
        weights: &Weights<'_>,
        architecture: Architecture,
        device: &Device,
    ) -> std::result::Result<Self, WeightError> {
        let layer = |layer: &_| Ok(Convolution::new(weights.folded(layer)?, layer, device)?);
        let layers: std::result::Result<_, WeightError> = architecture.layers.iter().map(layer).collect();
        Ok(Self { layers: layers?, architecture })
    }

    fn layer(&self, index: usize) -> Result<Convolution> {
        self.layers.get(index).cloned().ok_or_else(|| candle_core::Error::msg("no such layer"))
    }

    /// What the last stage but one says of each place: `[n, 3, h, w] f32` to `[n, 1024, h / 16, w / 16] f32`, rounded
    /// up, at least 0.
    pub(super) fn features(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.layer(self.architecture.stem)?.forward(x)?.relu()?;
        // After ReLU nothing is below zero, so padding with zeros does what torchvision's padding with -inf does.
        let x = x.pad_with_zeros(D::Minus1, 1, 1)?.pad_with_zeros(D::Minus2, 1, 1)?;
        let x = x.max_pool2d_with_stride(3, 2)?;
        through(&self.architecture.early, &|index| self.layer(index), x)
    }

    /// Images `[n, 3, h, w] f32` to pooled features and logits.
    pub(super) fn look(&self, images: &Tensor) -> Result<Seen> {
        self.look_at_last(&self.features(images)?)
    }

    /// The same of [`Graph::features`].
    pub(super) fn look_at_last(&self, features: &Tensor) -> Result<Seen> {
        let pooled = pooled(&self.architecture, &|index| self.layer(index), features)?;
        self.look_at_pooled(&pooled.flatten_from(1)?)
    }

    /// The same of the mean of each channel of the last stage, `[n, 2048] f32`.
    pub(super) fn look_at_pooled(&self, pooled: &Tensor) -> Result<Seen> {
        let places = pooled.unsqueeze(D::Minus1)?.unsqueeze(D::Minus1)?;
        let logits = judge_pooled(&self.architecture, &|index| self.layer(index), &places)?;
        Ok(Seen { logits, pooled: pooled.clone() })
    }

    /// How a weighted sum of the logits changes with the features of one image, `[1, 1024, h, w] f32`; `weights` says how much
    /// each of the logits counts, given all of them.
    pub(super) fn slope(&self, features: &Tensor, weights: impl FnOnce(&[f32]) -> Vec<f32>) -> Result<Sloped> {
        let features = Var::from_tensor(features)?;
        let Seen { pooled, logits } = self.look_at_last(&features)?;
        let found = logits.detach().to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let weights = Tensor::from_vec(weights(&found), logits.shape(), logits.device())?;
        let gradients = (&logits * weights)?.sum_all()?.backward()?;
        let slope = gradients.get(&features).ok_or_else(|| Error::msg("the features have no gradient"))?.clone();
        Ok(Sloped { slope, seen: Some(Seen { pooled: pooled.detach(), logits: logits.detach() }) })
    }
}

/// Features `[n, 1024, h, w] f32` to the mean of each channel of the last stage, `[n, 2048, 1, 1] f32`.
fn pooled(architecture: &Architecture, layers: Layers<'_>, features: &Tensor) -> Result<Tensor> {
    through(&architecture.last, layers, features.clone())?.mean_keepdim(D::Minus1)?.mean_keepdim(D::Minus2)
}

/// The mean of each channel of the last stage, `[n, 2048, 1, 1] f32`, to logits `[n, outputs] f32`, with gradients.
fn judge_pooled(architecture: &Architecture, layers: Layers<'_>, pooled: &Tensor) -> Result<Tensor> {
    let hidden = layers(architecture.hidden)?.forward(pooled)?.relu()?;
    layers(architecture.logits)?.forward(&hidden)?.flatten_from(1)
}

fn through(blocks: &[Bottleneck], layers: Layers<'_>, x: Tensor) -> Result<Tensor> {
    blocks.iter().try_fold(x, |x, block| {
        let y = layers(block.reduce)?.forward(&x)?.relu()?;
        let y = layers(block.spatial)?.forward(&y)?.relu()?;
        let y = layers(block.expand)?.forward(&y)?;
        let around = match block.shortcut {
            Some(shortcut) => layers(shortcut)?.forward(&x)?,
            None => x,
        };
        (y + around)?.relu()
    })
}
