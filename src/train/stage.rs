//! The part of a trunk that is trained: its layers in a row, forwards in service and in training, and the gradient.

use std::ops::Range;

use super::layers::{BatchNorm, Convolution, Extent, Maximum, Moments, Volume, mean, mean_backward};
use crate::model::{TrunkBlock, TrunkLayer, Unfolded};

/// Bytes of activations that are kept for the way back; where a batch has more, each block is computed again.
const KEPT: usize = 1 << 30;

/// One convolution with its batch normalisation; ranges of the stage's parameters and running moments.
#[derive(Debug, Clone, PartialEq)]
struct Layer {
    convolution: Convolution,
    weights: Range<usize>,
    gain: Range<usize>,
    bias: Range<usize>,
    mean: Range<usize>,
    variance: Range<usize>,
}

/// The trained part of a trunk.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stage {
    stem: Option<usize>,
    blocks: Vec<TrunkBlock>,
    layers: Vec<Layer>,
    /// Weights `[taps, inputs, outputs]`, gain and bias of each layer, one after the other.
    values: Vec<f32>,
    /// Mean and variance of each layer, as they are taken in service.
    running: Vec<f32>,
}

/// What a layer's convolution made of a batch, and its moments.
struct Sums {
    volume: Volume,
    moments: Moments,
}

/// What a block's layers made of a batch.
struct Trace {
    reduce: Sums,
    spatial: Sums,
    expand: Sums,
    shortcut: Option<Sums>,
}

/// What the stem made of a batch.
struct StemTrace {
    sums: Sums,
    maximum: Maximum,
}

impl Stage {
    /// As it is loaded.
    pub(super) fn new(unfolded: &Unfolded) -> Self {
        let Unfolded { layers: loaded, stem, blocks } = unfolded;
        let (mut layers, mut values, mut running) = (Vec::new(), Vec::new(), Vec::new());
        for TrunkLayer { inputs, outputs, size, stride, weights, gain, bias, mean, variance, .. } in loaded {
            let convolution = Convolution { inputs: *inputs, outputs: *outputs, size: *size, stride: *stride };
            let add = |list: &mut Vec<f32>, more: &[f32]| {
                list.extend_from_slice(more);
                list.len() - more.len()..list.len()
            };
            layers.push(Layer {
                convolution,
                weights: add(&mut values, &by_taps(weights, convolution)),
                gain: add(&mut values, gain),
                bias: add(&mut values, bias),
                mean: add(&mut running, mean),
                variance: add(&mut running, variance),
            });
        }
        Self { stem: *stem, blocks: blocks.clone(), layers, values, running }
    }

    /// The layers as a package stores them; `loaded` is what the stage was made of.
    pub(super) fn trained(&self, loaded: &Unfolded) -> Vec<TrunkLayer> {
        let of = |values: &[f32], range: &Range<usize>| values.get(range.clone()).unwrap_or_default().to_vec();
        let layer = |(layer, loaded): (&Layer, &TrunkLayer)| TrunkLayer {
            weights: by_outputs(&of(&self.values, &layer.weights), layer.convolution),
            gain: of(&self.values, &layer.gain),
            bias: of(&self.values, &layer.bias),
            mean: of(&self.running, &layer.mean),
            variance: of(&self.running, &layer.variance),
            ..loaded.clone()
        };
        self.layers.iter().zip(&loaded.layers).map(layer).collect()
    }

    /// All parameters.
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// All parameters.
    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// All running moments.
    pub(super) fn running(&self) -> &[f32] {
        &self.running
    }

    /// With other parameters and running moments; `None` where they are not as many.
    pub(super) fn restored(self, values: Vec<f32>, running: Vec<f32>) -> Option<Self> {
        let fits = values.len() == self.values.len() && running.len() == self.running.len();
        fits.then_some(Self { values, running, ..self })
    }

    /// The mean of each channel of the last block for each image, with the running moments: as in service.
    pub(super) fn pooled(&self, input: Volume) -> Vec<f32> {
        let mut x = match self.stem {
            Some(stem) => Maximum::forward(&self.in_service(stem, &input)).0,
            None => input,
        };
        for block in &self.blocks {
            let y = self.in_service(block.spatial, &self.in_service(block.reduce, &x));
            let mut output = self.unrectified_in_service(block.expand, &y);
            match block.shortcut {
                Some(shortcut) => output.add_and_rectify(&self.unrectified_in_service(shortcut, &x)),
                None => output.add_and_rectify(&x),
            }
            x = output;
        }
        mean(&x)
    }

    /// The gradient of a batch's loss; `slopes_of` says how the loss changes with the mean of each channel of the last
    /// block for each image. Batch normalisation is by the moments of the batch, and the running ones follow.
    pub(super) fn gradient(&mut self, input: Volume, slopes_of: impl FnOnce(&[f32]) -> Vec<f32>) -> Vec<f32> {
        let kept = self.sums(input.extent) * size_of::<f32>() <= KEPT;
        let mut volumes = vec![input];
        let stem = self.stem.map(|stem| {
            let (output, trace) = self.stem_forward(stem, volumes.first());
            self.follow(stem, &trace.sums);
            volumes.push(output);
            trace
        });
        let mut traces = Vec::new();
        for block in self.blocks.clone() {
            let Some(x) = volumes.last() else { break };
            let (output, trace) = self.forward(&block, x);
            self.follow_all(&block, &trace);
            volumes.push(output);
            traces.push(kept.then_some(trace));
        }
        let mut gradient = vec![0.0; self.values.len()];
        let Some(mut output) = volumes.pop() else { return gradient };
        let mut slopes = mean_backward(&slopes_of(&mean(&output)), output.extent);
        for (number, block) in self.blocks.iter().enumerate().rev() {
            let Some(x) = volumes.pop() else { break };
            let trace = traces.pop().flatten().unwrap_or_else(|| self.forward(block, &x).1);
            slopes.rectified_backward(&output);
            // Before the first layer nothing is trained.
            let wanted = number > 0 || self.stem.is_some();
            slopes = self.backward(block, (&x, trace), slopes, wanted, &mut gradient);
            output = x;
        }
        if let (Some(stem), Some(StemTrace { sums, maximum }), Some(input)) = (self.stem, stem, volumes.pop()) {
            let slopes = maximum.backward(&slopes);
            self.layer_backward::<true>(stem, &sums, slopes, &input, &mut gradient);
        }
        gradient
    }

    /// Values that the convolutions make of a batch of this extent.
    fn sums(&self, input: Extent) -> usize {
        let of = |index: usize, x: Extent| self.layers.get(index).map_or(x, |layer| layer.convolution.output_of(x));
        let (mut x, mut sums) = (input, 0);
        if let Some(stem) = self.stem {
            let output = of(stem, x);
            sums += output.values();
            x = Extent { rows: output.rows.div_ceil(2), columns: output.columns.div_ceil(2), ..output };
        }
        for TrunkBlock { reduce, spatial, expand, shortcut } in &self.blocks {
            let reduced = of(*reduce, x);
            let spatial = of(*spatial, reduced);
            let output = of(*expand, spatial);
            sums += reduced.values() + spatial.values() + output.values();
            sums += shortcut.map_or(0, |_| output.values());
            x = output;
        }
        sums
    }

    fn parts<'a>(&'a self, index: usize) -> Option<(&'a Layer, &'a [f32], BatchNorm<'a>)> {
        let layer = self.layers.get(index)?;
        let of = |range: &Range<usize>| self.values.get(range.clone()).unwrap_or_default();
        Some((layer, of(&layer.weights), BatchNorm { gain: of(&layer.gain), bias: of(&layer.bias) }))
    }

    /// A layer with its running moments and ReLU.
    fn in_service(&self, index: usize, x: &Volume) -> Volume {
        self.by_running(index, x, |norm, x, moments| norm.forward_rectified(x, moments))
    }

    fn unrectified_in_service(&self, index: usize, x: &Volume) -> Volume {
        self.by_running(index, x, |norm, x, moments| norm.forward(x, moments))
    }

    fn by_running(
        &self,
        index: usize,
        x: &Volume,
        norm: impl Fn(&BatchNorm<'_>, &Volume, &Moments) -> Volume,
    ) -> Volume {
        let Some((layer, weights, own)) = self.parts(index) else { return x.clone() };
        let of = |range: &Range<usize>| self.running.get(range.clone()).unwrap_or_default().to_vec();
        let moments = Moments { mean: of(&layer.mean), variance: of(&layer.variance) };
        norm(&own, &layer.convolution.forward(weights, x), &moments)
    }

    /// A layer's convolution, and the moments of what it made.
    fn convolved(&self, index: usize, x: &Volume) -> Sums {
        let volume = self.parts(index).map(|(layer, weights, _)| layer.convolution.forward(weights, x));
        let volume = volume.unwrap_or_else(|| x.clone());
        Sums { moments: Moments::of(&volume), volume }
    }

    /// What a layer gives to the next one.
    fn rectified(&self, index: usize, Sums { volume, moments }: &Sums) -> Volume {
        self.parts(index).map_or_else(|| volume.clone(), |(.., norm)| norm.forward_rectified(volume, moments))
    }

    fn unrectified(&self, index: usize, Sums { volume, moments }: &Sums) -> Volume {
        self.parts(index).map_or_else(|| volume.clone(), |(.., norm)| norm.forward(volume, moments))
    }

    fn stem_forward(&self, stem: usize, input: Option<&Volume>) -> (Volume, StemTrace) {
        let nothing = Volume::zeros(Extent { images: 0, rows: 0, columns: 0, channels: 0 });
        let sums = self.convolved(stem, input.unwrap_or(&nothing));
        let (output, maximum) = Maximum::forward(&self.rectified(stem, &sums));
        (output, StemTrace { sums, maximum })
    }

    fn forward(&self, block: &TrunkBlock, x: &Volume) -> (Volume, Trace) {
        let reduce = self.convolved(block.reduce, x);
        let spatial = self.convolved(block.spatial, &self.rectified(block.reduce, &reduce));
        let expand = self.convolved(block.expand, &self.rectified(block.spatial, &spatial));
        let shortcut = block.shortcut.map(|shortcut| self.convolved(shortcut, x));
        let mut output = self.unrectified(block.expand, &expand);
        match block.shortcut.zip(shortcut.as_ref()) {
            Some((index, sums)) => output.add_and_rectify(&self.unrectified(index, sums)),
            None => output.add_and_rectify(x),
        }
        (output, Trace { reduce, spatial, expand, shortcut })
    }

    /// From the slopes of a block's sum to those of its input, where they are wanted.
    fn backward(
        &self,
        block: &TrunkBlock,
        (x, trace): (&Volume, Trace),
        slopes: Volume,
        wanted: bool,
        gradient: &mut [f32],
    ) -> Volume {
        let around = match block.shortcut.zip(trace.shortcut) {
            Some((index, sums)) => {
                let slopes = self.layer_backward::<false>(index, &sums, slopes.clone(), x, gradient);
                if wanted { self.input_gradient(index, &slopes, x) } else { slopes }
            }
            None => slopes.clone(),
        };
        let y = self.rectified(block.spatial, &trace.spatial);
        let slopes = self.layer_backward::<false>(block.expand, &trace.expand, slopes, &y, gradient);
        let slopes = self.input_gradient(block.expand, &slopes, &y);
        let y = self.rectified(block.reduce, &trace.reduce);
        let slopes = self.layer_backward::<true>(block.spatial, &trace.spatial, slopes, &y, gradient);
        let slopes = self.input_gradient(block.spatial, &slopes, &y);
        let slopes = self.layer_backward::<true>(block.reduce, &trace.reduce, slopes, x, gradient);
        if !wanted {
            return slopes;
        }
        let mut slopes = self.input_gradient(block.reduce, &slopes, x);
        slopes.add(&around);
        slopes
    }

    /// Backwards through normalisation, and ReLU where `RECTIFIED`: the slopes of the convolution's sums; the layer's
    /// parameters get their gradient. `x` went into the convolution.
    fn layer_backward<const RECTIFIED: bool>(
        &self,
        index: usize,
        Sums { volume, moments }: &Sums,
        mut slopes: Volume,
        x: &Volume,
        gradient: &mut [f32],
    ) -> Volume {
        let Some((layer, _, norm)) = self.parts(index) else { return slopes };
        let backward = if RECTIFIED { BatchNorm::backward_rectified } else { BatchNorm::backward };
        let own = backward(&norm, volume, moments, &mut slopes);
        for (range, values) in [(&layer.gain, &own.gain), (&layer.bias, &own.bias)] {
            let to = gradient.get_mut(range.clone()).unwrap_or_default();
            to.iter_mut().zip(values).for_each(|(to, value)| *to = *value);
        }
        if let Some(to) = gradient.get_mut(layer.weights.clone()) {
            layer.convolution.weight_gradient(x, &slopes, to);
        }
        slopes
    }

    fn input_gradient(&self, index: usize, slopes: &Volume, x: &Volume) -> Volume {
        match self.parts(index) {
            Some((layer, weights, _)) => layer.convolution.input_gradient(weights, slopes, x.extent),
            None => slopes.clone(),
        }
    }

    fn follow(&mut self, index: usize, Sums { volume, moments }: &Sums) {
        let Some(Layer { mean, variance, .. }) = self.layers.get(index) else { return };
        // A layer's variance follows its mean.
        let both = self.running.get_mut(mean.start..variance.end).unwrap_or_default();
        if let Some((mean, variance)) = both.split_at_mut_checked(mean.len()) {
            Moments::follow([mean, variance], moments, volume.extent.places());
        }
    }

    fn follow_all(&mut self, block: &TrunkBlock, trace: &Trace) {
        for (index, sums) in
            [(block.reduce, &trace.reduce), (block.spatial, &trace.spatial), (block.expand, &trace.expand)]
        {
            self.follow(index, sums);
        }
        if let Some((index, sums)) = block.shortcut.zip(trace.shortcut.as_ref()) {
            self.follow(index, sums);
        }
    }
}

/// `[outputs, inputs, taps]` to `[taps, inputs, outputs]`.
fn by_taps(weights: &[f32], Convolution { inputs, outputs, size, .. }: Convolution) -> Vec<f32> {
    let taps = size * size;
    let places = (0..taps).flat_map(|tap| (0..inputs).map(move |input| input * taps + tap));
    let of = |place: usize| weights.iter().skip(place).step_by((inputs * taps).max(1)).take(outputs).copied();
    places.flat_map(of).collect()
}

/// `[taps, inputs, outputs]` to `[outputs, inputs, taps]`.
fn by_outputs(weights: &[f32], Convolution { inputs, outputs, size, .. }: Convolution) -> Vec<f32> {
    let taps = size * size;
    let places = (0..outputs).flat_map(|output| {
        (0..inputs).flat_map(move |input| (0..taps).map(move |tap| (tap * inputs + input) * outputs + output))
    });
    places.map(|place| weights.get(place).copied().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Result, Tensor, Var};

    use super::super::layers::noise;
    use super::*;

    // Square: candle's way back through a step of two takes both sides for one.
    const INPUT: Extent = Extent { images: 3, rows: 6, columns: 6, channels: 6 };

    /// A block with a step of two, and one with nothing on the way round; before them a stem, or not.
    fn unfolded(with_stem: bool) -> Unfolded {
        let mut random = fastrand::Rng::with_seed(4);
        let mut values = |count: usize, low: f32, high: f32| -> Vec<f32> {
            (0..count).map(|_| low + (high - low) * random.f32()).collect()
        };
        let mut layer = |(inputs, outputs, size, stride): (usize, usize, usize, usize)| TrunkLayer {
            name: String::new(),
            norm: String::new(),
            inputs,
            outputs,
            size,
            stride,
            weights: values(outputs * inputs * size * size, -0.5, 0.5),
            gain: values(outputs, 0.5, 1.5),
            bias: values(outputs, -0.2, 0.2),
            mean: values(outputs, -0.1, 0.1),
            variance: values(outputs, 0.5, 2.0),
        };
        let shapes = [(6, 4, 1, 1), (4, 4, 3, 2), (4, 8, 1, 1), (6, 8, 1, 2), (8, 4, 1, 1), (4, 4, 3, 1), (4, 8, 1, 1)];
        let mut layers: Vec<TrunkLayer> = shapes.into_iter().map(&mut layer).collect();
        let blocks = vec![
            TrunkBlock { reduce: 0, spatial: 1, expand: 2, shortcut: Some(3) },
            TrunkBlock { reduce: 4, spatial: 5, expand: 6, shortcut: None },
        ];
        if with_stem {
            layers.push(layer((3, 6, 7, 2)));
        }
        Unfolded { layers, stem: with_stem.then_some(7), blocks }
    }

    fn turned(x: &Volume) -> Result<Tensor> {
        let Extent { images, rows, columns, channels } = x.extent;
        let x = Tensor::from_slice(&x.values, (images, rows, columns, channels), &Device::Cpu)?;
        x.permute((0, 3, 1, 2))?.contiguous()
    }

    /// One layer by candle's operations; with running moments, or those of the batch.
    fn by_candle(layer: &TrunkLayer, [weights, gain, bias]: &[Var; 3], x: &Tensor, batch: bool) -> Result<Tensor> {
        let x = x.conv2d(weights, layer.size / 2, layer.stride, 1, 1)?;
        let each = |values: &[f32]| Tensor::from_slice(values, (1, values.len(), 1, 1), &Device::Cpu);
        let (mean, variance) = if batch {
            let mean = x.mean_keepdim((0, 2, 3))?;
            let variance = x.broadcast_sub(&mean)?.sqr()?.mean_keepdim((0, 2, 3))?;
            (mean, variance)
        } else {
            (each(&layer.mean)?, each(&layer.variance)?)
        };
        let x = x.broadcast_sub(&mean)?.broadcast_div(&(variance + 1e-5)?.sqrt()?)?;
        let shaped = |var: &Var| var.reshape((1, (), 1, 1));
        x.broadcast_mul(&shaped(gain)?)?.broadcast_add(&shaped(bias)?)
    }

    fn pooled_by_candle(own: &Unfolded, vars: &[[Var; 3]], x: &Tensor, batch: bool) -> Result<Tensor> {
        let layer = |index: usize, x: &Tensor| by_candle(&own.layers[index], &vars[index], x, batch);
        let last = own.blocks.iter().try_fold(x.clone(), |x, block| -> Result<Tensor> {
            let y = layer(block.reduce, &x)?.relu()?;
            let y = layer(block.expand, &layer(block.spatial, &y)?.relu()?)?;
            let around = block.shortcut.map_or(Ok(x.clone()), |shortcut| layer(shortcut, &x))?;
            (y + around)?.relu()
        })?;
        last.mean((2, 3))
    }

    fn vars(own: &Unfolded) -> Vec<[Var; 3]> {
        let var = |values: &[f32], shape: &[usize]| Var::from_slice(values, shape, &Device::Cpu).unwrap();
        let each = own.layers.iter().map(|layer| {
            let TrunkLayer { inputs, outputs, size, weights, gain, bias, .. } = layer;
            [var(weights, &[*outputs, *inputs, *size, *size]), var(gain, &[*outputs]), var(bias, &[*outputs])]
        });
        each.collect()
    }

    fn near(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() <= 1e-4 * largest, "{at}: {found} for {expected}");
        }
    }

    #[test]
    fn gradients_and_answers_are_those_of_candle() {
        let (own, x) = (unfolded(false), noise(1, INPUT));
        let mut stage = Stage::new(&own);
        let (vars, images) = (vars(&own), turned(&x).unwrap());
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        near(&stage.pooled(x.clone()), &flat(&pooled_by_candle(&own, &vars, &images, false).unwrap()));

        let wanted = noise(2, Extent { rows: 1, columns: 1, channels: 8, ..INPUT });
        let pooled = pooled_by_candle(&own, &vars, &images, true).unwrap();
        let slopes = Tensor::from_slice(&wanted.values, pooled.shape(), &Device::Cpu).unwrap();
        let store = (&pooled * slopes).unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = stage.gradient(x, |found| {
            near(found, &flat(&pooled));
            wanted.values.clone()
        });
        for (layer, [weights, gain, bias]) in stage.layers.iter().zip(&vars) {
            let of = |var: &Var| flat(store.get(var).unwrap());
            near(&gradient[layer.weights.clone()], &by_taps(&of(weights), layer.convolution));
            near(&gradient[layer.gain.clone()], &of(gain));
            near(&gradient[layer.bias.clone()], &of(bias));
        }
    }

    #[test]
    fn slopes_reach_the_stem_through_the_pooling() {
        let (own, x) = (unfolded(true), noise(1, Extent { images: 2, rows: 21, columns: 18, channels: 3 }));
        let wanted: Vec<f32> = noise(2, Extent { images: 2, rows: 1, columns: 1, channels: 8 }).values;
        let stage = Stage::new(&own);
        let gradient = stage.clone().gradient(x.clone(), |_| wanted.clone());
        let loss = |stem: &[f32]| {
            let mut stage = stage.clone();
            let weights = stage.layers[7].weights.clone();
            stage.values[weights].copy_from_slice(stem);
            let mut loss = 0.0;
            stage.gradient(x.clone(), |pooled| {
                loss = pooled.iter().zip(&wanted).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                wanted.clone()
            });
            loss
        };
        // Every layer has been held against finite differences by itself. Here they go together, over the edges of
        // ReLU and of the largest place, which a step of any size now and then crosses.
        let of = stage.layers[7].weights.clone();
        let (gradient, weights) = (&gradient[of.clone()], &stage.values[of]);
        let largest = gradient.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        for at in (0..weights.len()).step_by(17) {
            let moved = |step: f32| {
                let mut weights = weights.to_vec();
                weights[at] += step;
                loss(&weights)
            };
            let (found, expected) = (f64::from(gradient[at]), (moved(2e-3) - moved(-2e-3)) / 4e-3);
            assert!((found - expected).abs() < 2e-2 * f64::from(largest), "{at}: {found} for {expected}");
        }
    }

    #[test]
    fn layers_go_out_as_they_came_in_until_they_are_trained() {
        let own = unfolded(true);
        let mut stage = Stage::new(&own);
        assert_eq!(stage.trained(&own), own.layers);
        let before = stage.running.clone();
        stage.gradient(noise(3, Extent { images: 2, rows: 16, columns: 16, channels: 3 }), |pooled| pooled.to_vec());
        assert!(
            stage.running.iter().zip(&before).all(|(after, before)| after != before),
            "every running moment follows"
        );
    }
}
