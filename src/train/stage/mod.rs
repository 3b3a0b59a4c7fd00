//! The part of a trunk that is trained: its layers in a row, forwards in service and in training, and the gradient.

mod device;

use std::ops::Range;

use super::layers::{BatchNorm, Convolution, Extent, Maximum, Moments, Volume, mean, mean_backward};
use crate::model::{TrunkBlock, TrunkLayer, Unfolded, by_outputs};

pub(super) use device::Place;

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
            weights: by_outputs(
                &of(&self.values, &layer.weights),
                [loaded.size * loaded.size, loaded.inputs, loaded.outputs],
            ),
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
            self.follow_sums(stem, &trace.sums);
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

    fn follow_sums(&mut self, index: usize, Sums { volume, moments }: &Sums) {
        self.follow(index, moments, volume.extent.places());
    }

    /// Lets a layer's running moments follow those of a batch of so many places.
    fn follow(&mut self, index: usize, moments: &Moments, places: usize) {
        let Some(Layer { mean, variance, .. }) = self.layers.get(index) else { return };
        // A layer's variance follows its mean.
        let both = self.running.get_mut(mean.start..variance.end).unwrap_or_default();
        if let Some((mean, variance)) = both.split_at_mut_checked(mean.len()) {
            Moments::follow([mean, variance], moments, places);
        }
    }

    fn follow_all(&mut self, block: &TrunkBlock, trace: &Trace) {
        for (index, sums) in
            [(block.reduce, &trace.reduce), (block.spatial, &trace.spatial), (block.expand, &trace.expand)]
        {
            self.follow_sums(index, sums);
        }
        if let Some((index, sums)) = block.shortcut.zip(trace.shortcut.as_ref()) {
            self.follow_sums(index, sums);
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

#[cfg(test)]
mod tests;
