//! The network as a graph of candle's own operations: on any device.

use candle_core::{D, DType, Device, Error, Module, Result, Tensor, Var};

use super::architecture::{Architecture, Bottleneck, Kernel, Layer};
use super::engine::{Precision, Seen, Sloped};
use super::kernels::Raw;
use super::weights::WeightError;

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
    fn new(folded: Raw, layer: &Layer, device: &Device, numbers: DType) -> Result<Self> {
        let Layer { inputs, outputs, kernel, .. } = *layer;
        let tensor = |values, shape: &[usize]| Tensor::from_vec(values, shape, device)?.to_dtype(numbers);
        let weight = tensor(folded.weights, &[outputs, inputs, kernel.size, kernel.size])?;
        Ok(Self { weight, bias: tensor(folded.bias, &[1, outputs, 1, 1])?, kernel })
    }

    /// The same in f32.
    fn single(&self) -> Result<Self> {
        let (weight, bias) = (self.weight.to_dtype(DType::F32)?, self.bias.to_dtype(DType::F32)?);
        Ok(Self { weight, bias, kernel: self.kernel })
    }

    /// A convolution of single places as one matrix product an image, which a device need not lay anything out for.
    fn of_places(&self, x: &Tensor) -> Result<Tensor> {
        let (images, inputs, rows, columns) = x.dims4()?;
        let outputs = self.weight.dim(0)?;
        let weight = self.weight.reshape((1, outputs, inputs))?.broadcast_as((images, outputs, inputs))?;
        let places = x.contiguous()?.reshape((images, inputs, rows * columns))?;
        weight.matmul(&places)?.reshape((images, outputs, rows, columns))
    }
}

impl Module for Convolution {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let single_places = self.kernel.size == 1 && self.kernel.stride == 1;
        let sums = if single_places && x.device().is_cuda() {
            self.of_places(x)?
        } else {
            x.conv2d(&self.weight, self.kernel.size / 2, self.kernel.stride, 1, 1)?
        };
        sums.broadcast_add(&self.bias)
    }
}

/// The layers by their index.
type Layers<'a> = &'a dyn Fn(usize) -> Result<Convolution>;

/// The network on a device, weights included. Features and what comes behind the last stage are f32, whatever the trunk is
/// computed with.
pub(super) struct Graph {
    architecture: Architecture,
    layers: Vec<Convolution>,
    precision: Precision,
}

impl Graph {
    /// Builds it from what each layer's weights are.
    pub(super) fn new(
        folded: impl Fn(&Layer) -> std::result::Result<Raw, WeightError>,
        architecture: Architecture,
        device: &Device,
        precision: Precision,
    ) -> std::result::Result<Self, WeightError> {
        let behind = [architecture.hidden, architecture.logits];
        let layer = |(index, layer)| {
            let numbers = if behind.contains(&index) { DType::F32 } else { precision.numbers() };
            Ok(Convolution::new(folded(layer)?, layer, device, numbers)?)
        };
        let layers: std::result::Result<_, WeightError> = architecture.layers.iter().enumerate().map(layer).collect();
        Ok(Self { layers: layers?, architecture, precision })
    }

    /// The numbers that the trunk is computed with.
    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    fn layer(&self, index: usize) -> Result<Convolution> {
        self.layers.get(index).cloned().ok_or_else(|| candle_core::Error::msg("no such layer"))
    }

    /// What the last stage but one says of each place: `[n, 3, h, w] f32` to `[n, h / 16, w / 16, 1024] f32`, rounded
    /// up, at least 0.
    pub(super) fn features(&self, x: &Tensor) -> Result<Tensor> {
        self.early(x)?.to_dtype(DType::F32)?.permute((0, 2, 3, 1))?.contiguous()
    }

    /// The same in the trunk's numbers.
    fn early(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.layer(self.architecture.stem)?.forward(&x.to_dtype(self.precision.numbers())?)?.relu()?;
        // After ReLU nothing is below zero, so padding with zeros does what torchvision's padding with -inf does.
        let x = x.pad_with_zeros(D::Minus1, 1, 1)?.pad_with_zeros(D::Minus2, 1, 1)?;
        let x = x.max_pool2d_with_stride(3, 2)?;
        through(&self.architecture.early, &|index| self.layer(index), x)
    }

    /// Images `[n, 3, h, w] f32` to pooled features and logits.
    pub(super) fn look(&self, images: &Tensor) -> Result<Seen> {
        self.look_behind(&self.early(images)?, &|index| self.layer(index))
    }

    /// The same of [`Graph::features`].
    pub(super) fn look_at_last(&self, features: &Tensor) -> Result<Seen> {
        let features = features.permute((0, 3, 1, 2))?.contiguous()?;
        self.look_behind(&features.to_dtype(self.precision.numbers())?, &|index| self.layer(index))
    }

    /// The same in whatever numbers features and layers have.
    fn look_behind(&self, features: &Tensor, layers: Layers<'_>) -> Result<Seen> {
        self.look_at_pooled(&pooled(&self.architecture, layers, features)?.flatten_from(1)?)
    }

    /// The same of the mean of each channel of the last stage, `[n, 2048] f32`.
    pub(super) fn look_at_pooled(&self, pooled: &Tensor) -> Result<Seen> {
        let places = pooled.unsqueeze(D::Minus1)?.unsqueeze(D::Minus1)?;
        let logits = judge_pooled(&self.architecture, &|index| self.layer(index), &places)?;
        Ok(Seen { logits, pooled: pooled.clone() })
    }

    /// How a weighted sum of the logits changes with the features of one image, `[1, h, w, 1024] f32`; `weights` says how much
    /// each of the logits counts, given all of them.
    pub(super) fn slope(&self, features: &Tensor, weights: impl FnOnce(&[f32]) -> Vec<f32>) -> Result<Sloped> {
        let features = Var::from_tensor(&features.permute((0, 3, 1, 2))?.contiguous()?)?;
        let Seen { pooled, logits } = self.look_behind(&features, &|index| self.layer(index)?.single())?;
        let found = logits.detach().to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let weights = Tensor::from_vec(weights(&found), logits.shape(), logits.device())?;
        let gradients = (&logits * weights)?.sum_all()?.backward()?;
        let slope = gradients.get(&features).ok_or_else(|| Error::msg("the features have no gradient"))?;
        let slopes = slope.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1()?;
        let seen = Seen { pooled: pooled.detach(), logits: logits.detach() };
        Ok(Sloped { slopes, seen: (self.precision == Precision::F32).then_some(seen) })
    }
}

/// Features `[n, 1024, h, w]` to the mean of each channel of the last stage, `[n, 2048, 1, 1] f32`.
fn pooled(architecture: &Architecture, layers: Layers<'_>, features: &Tensor) -> Result<Tensor> {
    let last = through(&architecture.last, layers, features.clone())?.to_dtype(DType::F32)?;
    last.mean_keepdim(D::Minus1)?.mean_keepdim(D::Minus2)
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

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cuda::device;
    use crate::heat::Extent;
    use crate::model::{Compute, Framed, Framing, Model, Quantised};

    const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/cxr-pneumonia-reference");

    /// The reference model on the first device; None, and a line that says so, where there is no device.
    fn on_device(precision: Precision) -> Option<Model> {
        if device::count() == 0 {
            eprintln!("skipped: no NVIDIA device here");
            return None;
        }
        Some(Model::load_with(Path::new(REFERENCE), Compute::Cuda { device: 0, precision }).unwrap())
    }

    fn on_processor() -> Model {
        Model::load(Path::new(REFERENCE)).unwrap()
    }

    /// The ramp in several brightnesses.
    fn images(model: &Model, count: usize) -> Tensor {
        let ramp = model.input().ramp().unwrap();
        let images: Vec<Tensor> = (0..count).map(|image| (&ramp * (1.0 - 0.1 * image as f64)).unwrap()).collect();
        Tensor::stack(&images, 0).unwrap()
    }

    /// How far two models' probabilities are apart at most, whatever goes together.
    fn apart(one: &Model, other: &Model) -> f64 {
        let wanted = other.probabilities(&images(other, 20)).unwrap();
        let mut furthest = 0.0_f64;
        for count in [1, 2, 7, 16, 20] {
            let found = one.probabilities(&images(one, count)).unwrap();
            assert_eq!(found.len(), count);
            for (found, wanted) in found.iter().flatten().zip(wanted.iter().flatten()) {
                furthest = furthest.max((found - wanted).abs());
            }
        }
        furthest
    }

    #[test]
    fn a_device_answers_as_the_processor_does() {
        let Some(model) = on_device(Precision::F32) else { return };
        let apart = apart(&model, &on_processor());
        assert!(apart < 2e-5, "{apart}");
    }

    #[test]
    fn a_device_answers_in_half_the_size_nearly_as_the_processor_does() {
        let Some(bf16) = on_device(Precision::Bf16) else { return };
        let processor = on_processor();
        let in_bf16 = apart(&bf16, &processor);
        assert!(in_bf16 > 0.0 && in_bf16 < 0.02, "{in_bf16}");
        let f16 = Quantised::f16(Path::new(REFERENCE)).unwrap();
        let in_f16 = apart(f16.model(), &processor);
        assert!(in_f16 > 0.0 && in_f16 < 0.01, "{in_f16}");
        assert_eq!(f16.model().algorithm().parameters.last().unwrap(), "precision=f16");
    }

    #[test]
    fn a_device_explains_as_the_processor_does() {
        let hottest = |model: &Model| {
            let ramp = model.input().ramp().unwrap();
            let framed = Framed { tensor: ramp, framing: Framing::whole((224, 224), (224, 224)) };
            model.explain(&framed).unwrap().heat.hottest(Extent::of(224, 224)).unwrap()
        };
        for (precision, near) in [(Precision::F32, 1.0), (Precision::Bf16, 16.0)] {
            let Some(model) = on_device(precision) else { return };
            let (found, wanted) = (hottest(&model), hottest(&on_processor()));
            assert!((found.column - wanted.column).hypot(found.row - wanted.row) <= near, "{found:?} for {wanted:?}");
        }
    }
}
