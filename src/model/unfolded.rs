//! A trunk's layers as they are trained: convolutions and their batch normalisations apart, in f32.

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::architecture::{Architecture, Bottleneck, Layer};
use super::weights::{WeightError, Weights};

/// How far an image has come into the network; its values are `[rows, columns, channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// It is the network's input: `[height, width, 3]`, normalised.
    Input,
    /// It is in front of the last stage: `[height / 16, width / 16, 1024]`, rounded up.
    LastStage,
    /// It is behind the trunk: the mean of each channel, `[1, 1, 2048]`.
    Pooled,
}

/// A convolution without a bias, and the batch normalisation behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrunkLayer {
    /// Its weights' tensor is `NAME.weight`.
    pub name: String,
    /// Its normalisation's tensors are `NORM.weight` and so on.
    pub norm: String,
    /// Channels that go in.
    pub inputs: usize,
    /// Channels that come out.
    pub outputs: usize,
    /// Rows and columns of the window, which is padded by half of it.
    pub size: usize,
    /// Places between two windows.
    pub stride: usize,
    /// `[outputs, inputs, size, size]`
    pub weights: Vec<f32>,
    /// Of the normalisation, `[outputs]`.
    pub gain: Vec<f32>,
    /// Of the normalisation, `[outputs]`.
    pub bias: Vec<f32>,
    /// The mean that is taken in service, `[outputs]`.
    pub mean: Vec<f32>,
    /// The variance that is taken in service, `[outputs]`.
    pub variance: Vec<f32>,
}

/// A bottleneck block: 1x1, 3x3 and 1x1 convolutions, and the way round them, as indices of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrunkBlock {
    /// The first convolution.
    pub reduce: usize,
    /// The second one.
    pub spatial: usize,
    /// The third one, whose normalised sums are added to what goes round.
    pub expand: usize,
    /// The convolution on the way round, if there is one.
    pub shortcut: Option<usize>,
}

/// The rest of a trunk from some depth on.
#[derive(Debug, Clone, PartialEq)]
pub struct Unfolded {
    /// The layers, each once.
    pub layers: Vec<TrunkLayer>,
    /// The first convolution with its ReLU, which a maximum of 3x3 places, two apart, follows; only from the input on.
    pub stem: Option<usize>,
    /// The blocks, one after the other.
    pub blocks: Vec<TrunkBlock>,
}

impl Unfolded {
    /// What follows a depth.
    pub(super) fn new(weights: &Weights<'_>, architecture: &Architecture, depth: Depth) -> Result<Self, WeightError> {
        let Architecture { layers, stem, early, last, .. } = architecture;
        let (stem, blocks): (Option<usize>, Vec<Bottleneck>) = match depth {
            Depth::Input => (Some(*stem), early.iter().chain(last).copied().collect()),
            Depth::LastStage => (None, last.clone()),
            Depth::Pooled => (None, Vec::new()),
        };
        let mut own = Self { layers: Vec::new(), stem: None, blocks: Vec::new() };
        let mut take = |index: usize| -> Result<usize, WeightError> {
            if let Some(layer) = layers.get(index) {
                own.layers.push(weights.apart(layer)?);
            }
            Ok(own.layers.len() - 1)
        };
        own.stem = stem.map(&mut take).transpose()?;
        for Bottleneck { reduce, spatial, expand, shortcut } in blocks {
            let block = TrunkBlock {
                reduce: take(reduce)?,
                spatial: take(spatial)?,
                expand: take(expand)?,
                shortcut: shortcut.map(&mut take).transpose()?,
            };
            own.blocks.push(block);
        }
        Ok(own)
    }
}

/// `[taps, inputs, outputs]` to `[outputs, inputs, taps]`; a tap is a row and a column of a convolution's window.
pub fn by_outputs(weights: &[f32], [taps, inputs, outputs]: [usize; 3]) -> Vec<f32> {
    let places = (0..outputs).flat_map(|output| {
        (0..inputs).flat_map(move |input| (0..taps).map(move |tap| (tap * inputs + input) * outputs + output))
    });
    places.map(|place| weights.get(place).copied().unwrap_or_default()).collect()
}

impl TrunkLayer {
    /// Of a layer's tensors; their lengths have been checked.
    pub(super) fn new(
        layer: &Layer,
        norm: &str,
        weights: Vec<f32>,
        [gain, bias, mean, variance]: [Vec<f32>; 4],
    ) -> Self {
        let Layer { name, inputs, outputs, kernel, .. } = layer.clone();
        let (size, stride) = (kernel.size, kernel.stride);
        Self { name, norm: norm.to_owned(), inputs, outputs, size, stride, weights, gain, bias, mean, variance }
    }

    /// Its tensors as a package names them.
    pub(super) fn tensors(&self) -> Result<Vec<(String, TensorView<'_>)>, safetensors::SafeTensorError> {
        let Self { name, norm, inputs, outputs, size, .. } = self;
        type Named<'a> = Result<(String, TensorView<'a>), safetensors::SafeTensorError>;
        let tensor = |name: String, shape: Vec<usize>, values| -> Named<'_> {
            Ok((name, TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(values))?))
        };
        let each = vec![*outputs];
        Ok(vec![
            tensor(format!("{name}.weight"), vec![*outputs, *inputs, *size, *size], &self.weights)?,
            tensor(format!("{norm}.weight"), each.clone(), &self.gain)?,
            tensor(format!("{norm}.bias"), each.clone(), &self.bias)?,
            tensor(format!("{norm}.running_mean"), each.clone(), &self.mean)?,
            tensor(format!("{norm}.running_var"), each, &self.variance)?,
        ])
    }
}
