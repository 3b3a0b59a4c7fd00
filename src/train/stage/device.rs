//! The stage on a device: forwards by candle's operations, backwards by their gradients. Parameters stay in main memory, where
//! they are stepped and kept, and go to the device for each batch.

use std::ops::Range;

use candle_core::{DType, Device, Error, Result, Tensor, Var};

use super::super::layers::{Convolution, EPSILON, Extent, Moments, Volume};
use super::{Layer, Stage};
use crate::model::Precision;

/// A device, and the numbers that convolutions are computed with there; everything else is f32.
#[derive(Debug, Clone)]
pub(in crate::train) struct Place {
    pub(in crate::train) device: Device,
    pub(in crate::train) precision: Precision,
}

/// A layer's parameters on the device.
struct Parameters {
    /// `[size, size, inputs, outputs]`, as the stage has them.
    weights: Var,
    gain: Var,
    bias: Var,
}

/// The stage with its parameters on the device.
struct Placed<'a> {
    stage: &'a Stage,
    place: &'a Place,
    parameters: Vec<Parameters>,
}

impl Stage {
    /// [`Stage::pooled`] on a device.
    ///
    /// # Errors
    /// The device failed.
    pub(in crate::train) fn pooled_on(&self, place: &Place, input: &Volume) -> Result<Vec<f32>> {
        let placed = Placed::new(self, place)?;
        let of = |range: &Range<usize>| {
            let values = self.running.get(range.clone()).unwrap_or_default();
            Tensor::from_slice(values, (1, values.len(), 1, 1), &place.device)
        };
        let pooled = placed.pooled(place.images(input)?, |index, x| {
            let layer = placed.layer(index)?;
            let centred = placed.convolved(index, x)?.broadcast_sub(&of(&layer.mean)?)?;
            placed.normalised(index, &centred, &of(&layer.variance)?)
        })?;
        pooled.flatten_all()?.to_vec1()
    }

    /// [`Stage::gradient`] on a device.
    ///
    /// # Errors
    /// The device failed, or the images are not square: candle takes both sides for one on the way back.
    pub(in crate::train) fn gradient_on(
        &mut self,
        place: &Place,
        input: &Volume,
        slopes_of: impl FnOnce(&[f32]) -> Vec<f32>,
    ) -> Result<Vec<f32>> {
        if input.extent.rows != input.extent.columns {
            return Err(Error::msg("a device trains on square images only"));
        }
        let (mut gradient, mut seen) = (vec![0.0; self.values.len()], Vec::new());
        let placed = Placed::new(self, place)?;
        let pooled = placed.pooled(place.images(input)?, |index, x| {
            let sums = placed.convolved(index, x)?;
            let mean = sums.mean_keepdim((0, 2, 3))?;
            let centred = sums.broadcast_sub(&mean)?;
            let variance = centred.sqr()?.mean_keepdim((0, 2, 3))?;
            let (images, _, rows, columns) = sums.dims4()?;
            seen.push((index, mean.detach(), variance.detach(), images * rows * columns));
            placed.normalised(index, &centred, &variance)
        })?;
        let slopes = slopes_of(&pooled.flatten_all()?.to_vec1::<f32>()?);
        let slopes = Tensor::from_vec(slopes, pooled.shape(), &place.device)?;
        let found = (&pooled * slopes)?.sum_all()?.backward()?;
        for (layer, Parameters { weights, gain, bias }) in self.layers.iter().zip(&placed.parameters) {
            for (range, parameter) in [(&layer.weights, weights), (&layer.gain, gain), (&layer.bias, bias)] {
                let own = found.get(parameter).ok_or_else(|| Error::msg("a parameter has no gradient"))?;
                if let Some(to) = gradient.get_mut(range.clone()) {
                    to.copy_from_slice(&own.flatten_all()?.to_vec1::<f32>()?);
                }
            }
        }
        for (index, mean, variance, places) in seen {
            let of = |tensor: Tensor| tensor.flatten_all()?.to_vec1();
            self.follow(index, &Moments { mean: of(mean)?, variance: of(variance)? }, places);
        }
        Ok(gradient)
    }
}

impl Place {
    /// `[n, channels, rows, columns] f32` on the device.
    fn images(&self, Volume { extent, values }: &Volume) -> Result<Tensor> {
        let Extent { images, rows, columns, channels } = *extent;
        let places = Tensor::from_slice(values, (images, rows, columns, channels), &self.device)?;
        places.permute((0, 3, 1, 2))?.contiguous()
    }
}

impl<'a> Placed<'a> {
    fn new(stage: &'a Stage, place: &'a Place) -> Result<Self> {
        let var = |range: &Range<usize>, shape: &[usize]| {
            Var::from_slice(stage.values.get(range.clone()).unwrap_or_default(), shape, &place.device)
        };
        let parameters = |layer: &Layer| {
            let Convolution { inputs, outputs, size, .. } = layer.convolution;
            Ok(Parameters {
                weights: var(&layer.weights, &[size, size, inputs, outputs])?,
                gain: var(&layer.gain, &[1, outputs, 1, 1])?,
                bias: var(&layer.bias, &[1, outputs, 1, 1])?,
            })
        };
        Ok(Self { stage, place, parameters: stage.layers.iter().map(parameters).collect::<Result<_>>()? })
    }

    fn layer(&self, index: usize) -> Result<&'a Layer> {
        self.stage.layers.get(index).ok_or_else(|| Error::msg("no such layer"))
    }

    fn parameters(&self, index: usize) -> Result<&Parameters> {
        self.parameters.get(index).ok_or_else(|| Error::msg("no such layer"))
    }

    /// A layer's convolution, in f32 again.
    fn convolved(&self, index: usize, x: &Tensor) -> Result<Tensor> {
        let Convolution { inputs, outputs, size, stride } = self.layer(index)?.convolution;
        let weights = self
            .parameters(index)?
            .weights
            .permute((3, 2, 0, 1))?
            .contiguous()?
            .to_dtype(self.place.precision.numbers())?;
        let x = x.to_dtype(self.place.precision.numbers())?;
        let sums = if size == 1 {
            // As one matrix product: the way back through a convolution is slow on a device.
            let x = every(&every(&x, 2, 0, stride)?, 3, 0, stride)?;
            let (images, _, rows, columns) = x.dims4()?;
            let places = x.permute((1, 0, 2, 3))?.reshape((inputs, images * rows * columns))?;
            let sums = weights.reshape((outputs, inputs))?.matmul(&places)?;
            sums.reshape((outputs, images, rows, columns))?.permute((1, 0, 2, 3))?.contiguous()?
        } else {
            x.conv2d(&weights, size / 2, stride, 1, 1)?
        };
        sums.to_dtype(DType::F32)
    }

    /// Normalises what is left of a layer's sums without their mean.
    fn normalised(&self, index: usize, centred: &Tensor, variance: &Tensor) -> Result<Tensor> {
        let Parameters { gain, bias, .. } = self.parameters(index)?;
        let narrow = (variance + EPSILON)?.sqrt()?;
        centred.broadcast_div(&narrow)?.broadcast_mul(gain)?.broadcast_add(bias)
    }

    /// The mean of each channel of the last block for each image, `[n, channels]`; `layer` is one without ReLU.
    fn pooled(&self, images: Tensor, mut layer: impl FnMut(usize, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let mut x = match self.stage.stem {
            Some(stem) => largest(&layer(stem, &images)?.relu()?)?,
            None => images,
        };
        for block in &self.stage.blocks {
            let y = layer(block.reduce, &x)?.relu()?;
            let y = layer(block.spatial, &y)?.relu()?;
            let y = layer(block.expand, &y)?;
            let around = block.shortcut.map_or_else(|| Ok(x.clone()), |shortcut| layer(shortcut, &x))?;
            x = (y + around)?.relu()?;
        }
        x.mean((2, 3))
    }
}

/// The largest of 3x3 places, two apart, none of which is below zero. (candle's own has no way back.)
fn largest(x: &Tensor) -> Result<Tensor> {
    [2, 3].into_iter().try_fold(x.clone(), |x, side| {
        let (length, padded) = (x.dim(side)?.div_ceil(2), x.pad_with_zeros(side, 1, 1)?);
        let taps = [0, 1, 2].map(|tap| every(&padded, side, tap, 2)?.narrow(side, 0, length));
        let [first, second, third] = taps;
        first?.maximum(&second?)?.maximum(&third?)
    })
}

/// Every `step`th place along a side, from one on.
fn every(x: &Tensor, side: usize, from: usize, step: usize) -> Result<Tensor> {
    if from == 0 && step == 1 {
        return Ok(x.clone());
    }
    let places: Vec<u32> = (from..x.dim(side)?).step_by(step).map(|place| place as u32).collect();
    let count = places.len();
    x.index_select(&Tensor::from_vec(places, count, x.device())?, side)
}
