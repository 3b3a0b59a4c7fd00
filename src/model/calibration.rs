//! How a network's activations lie, seen on images, and how it is computed in eight bits then.

use candle_core::Tensor;

use super::architecture::{Architecture, Source, Sources};
use super::engine::{Engine, with_images};
use super::kernels::Raw;
use super::kernels::int8::{Code, Coded, bounded_step, kept};
use super::kernels::narrow::{Known, Reach};
use super::manifest::InputSpec;
use super::quantisation::{self, Quantisation};
use super::weights::{WeightError, Weights};
use super::{Model, ModelError};

/// Bars of a histogram.
const BARS: usize = 256;

/// Hundredths of the largest value at which values may be cut off.
const CUTS: std::ops::RangeInclusive<u8> = 10..=100;

/// Places of an image that are looked at in a layer, spread over all of them: neighbours are alike.
const PLACES: usize = 49;

/// How far the steps of a layer's channels go from the largest one (0) to each channel's own (1). What finer steps of
/// the outputs win, the weights behind them lose: they are rounded in one step for all inputs.
const OWN: f32 = 0.5;

/// What was seen of a channel: how large its values are, zeros apart, and their sum.
#[derive(Clone)]
struct Channel {
    /// Values up to `(index + 1) * width`.
    bars: [u32; BARS],
    width: f32,
    largest: f32,
    sum: f64,
}

impl Channel {
    const EMPTY: Self = Self { bars: [0; BARS], width: 1.0 / BARS as f32, largest: 0.0, sum: 0.0 };

    fn add(&mut self, value: f32) {
        let size = value.abs();
        if size == 0.0 || !size.is_finite() {
            return;
        }
        while size >= self.width * BARS as f32 {
            let mut wider = [0; BARS];
            wider.iter_mut().zip(self.bars.chunks(2)).for_each(|(bar, pair)| *bar = pair.iter().sum());
            self.bars = wider;
            self.width *= 2.0;
        }
        if let Some(bar) = self.bars.get_mut((size / self.width) as usize) {
            *bar += 1;
        }
        self.largest = self.largest.max(size);
        self.sum += f64::from(value);
    }

    /// The step that costs least, squared and summed up, where a value is rounded or cut off.
    fn step(&self, levels: f32) -> f32 {
        let cost = |step: f32| -> f64 {
            let (end, rounded) = (step * levels, step * step / 12.0);
            let bars = self.bars.iter().enumerate().filter(|(_, count)| **count > 0);
            let each = bars.map(|(index, count)| {
                let value = ((index as f32 + 0.5) * self.width).min(self.largest);
                let cut = (value - end).max(0.0);
                f64::from(*count) * f64::from(rounded + cut * cut)
            });
            each.sum()
        };
        let steps = CUTS.map(|share| self.largest * f32::from(share) / f32::from(*CUTS.end()) / levels);
        steps.min_by(|a, b| cost(*a).total_cmp(&cost(*b))).unwrap_or_default()
    }
}

/// What was seen of a layer's output.
struct Output {
    channels: Vec<Channel>,
    places: u64,
}

impl Output {
    fn new(channels: usize) -> Self {
        Self { channels: vec![Channel::EMPTY; channels], places: 0 }
    }

    /// Some of the values of an image, channels last.
    fn add(&mut self, values: &[f32]) {
        let channels = self.channels.len().max(1);
        // An odd distance comes by all columns.
        let apart = (values.len() / channels / PLACES) | 1;
        for place in values.chunks_exact(channels).step_by(apart) {
            self.channels.iter_mut().zip(place).for_each(|(channel, value)| channel.add(*value));
            self.places += 1;
        }
    }

    fn mean(&self, channel: usize) -> f64 {
        self.channels.get(channel).map_or(0.0, |channel| channel.sum / self.places.max(1) as f64)
    }

    /// The step of each channel.
    fn steps(&self, levels: f32) -> Vec<f32> {
        let own: Vec<f32> = self.channels.iter().map(|channel| channel.step(levels)).collect();
        let largest = own.iter().fold(f32::MIN_POSITIVE, |largest, step| largest.max(*step));
        own.iter().map(|step| largest * (step / largest).max(1e-3).powf(OWN)).collect()
    }
}

/// What was seen so far.
pub struct Calibration {
    architecture: Architecture,
    /// How the image is stored.
    code: Code,
    image: Output,
    outputs: Vec<Output>,
}

/// How normalised images are stored, whose luminance is from 0 to 1 in every channel.
fn code_of(InputSpec { mean, std, .. }: &InputSpec) -> Code {
    let levels = f32::from(u8::MAX);
    let zero = (mean.iter().sum::<f32>() / mean.len() as f32 * levels).round().clamp(0.0, levels);
    let step = |(mean, std): (&f32, &f32)| {
        // Neither black nor white is cut off, and black, of which borders are made, is so many whole steps below zero.
        let (below, above) = (mean / zero.max(1.0), (1.0 - mean) / (levels - zero).max(1.0));
        let finest = below.max(above).max(f32::MIN_POSITIVE);
        let step = if *mean > finest { mean / (mean / finest).floor() } else { finest };
        (step / std).max(f32::MIN_POSITIVE)
    };
    Code { steps: mean.iter().zip(std).map(step).collect(), zero: zero as u8 }
}

impl Calibration {
    /// For a model in f32, of which nothing was seen.
    pub fn of(model: &Model) -> Self {
        let architecture = model.manifest().network();
        let outputs = architecture.layers.iter().map(|layer| Output::new(layer.outputs)).collect();
        let code = code_of(&model.manifest().input);
        Self { architecture, image: Output::new(code.steps.len()), code, outputs }
    }

    /// Images `[n, 3, height, width] f32` as [`super::Input::tensor`] makes them.
    ///
    /// # Errors
    /// The model is not computed by the kernels in f32.
    pub fn add(&mut self, model: &Model, images: &Tensor) -> Result<(), ModelError> {
        let Engine::Kernels(network) = &model.engine else {
            return Err(model.failed(candle_core::Error::msg("only the kernels in f32 can be calibrated")));
        };
        self.look_at(images).map_err(|fault| model.failed(fault))?;
        let outputs = &mut self.outputs;
        let seen = with_images(images, |images| {
            network.watch(images, |layer, values| {
                if let Some(output) = outputs.get_mut(layer) {
                    output.add(values);
                }
            })
        });
        seen.map_err(|fault| model.failed(fault))
    }

    fn look_at(&mut self, images: &Tensor) -> candle_core::Result<()> {
        for index in 0..images.dim(0)? {
            self.image.add(&images.get(index)?.permute((1, 2, 0))?.flatten_all()?.to_vec1()?);
        }
        Ok(())
    }

    /// How the network with these weights is computed in eight bits.
    pub(super) fn quantisation(&self, weights: &Weights<'_>) -> Result<Quantisation, WeightError> {
        let Self { architecture, code: image, outputs, .. } = self;
        let codes = outputs.iter().zip(&architecture.layers).enumerate().map(|(index, (output, layer))| {
            let zero = quantisation::zero(architecture, index);
            let levels = f32::from(u8::MAX - zero);
            Code { steps: if quantisation::is_stored(layer) { output.steps(levels) } else { Vec::new() }, zero }
        });
        let codes: Vec<Code> = codes.collect();
        let input = |Sources { input, .. }| match input {
            Source::Image => Some((&self.image, image)),
            Source::Layer(layer) => Some((outputs.get(layer)?, codes.get(layer)?)),
        };
        let coded =
            architecture.layers.iter().zip(architecture.sources()).enumerate().map(|(index, (layer, sources))| {
                let input = sources.and_then(input).zip(Reach::of(architecture, index));
                let Some(((input, code), reach)) = input else { return Ok(None) };
                Ok(Some(rounded(&weights.folded(layer)?, reach, &code.steps, input)))
            });
        let layers = coded.collect::<Result<_, WeightError>>()?;
        Ok(Quantisation(Known { image: image.clone(), layers, codes }))
    }
}

/// The steps of a layer's weights, and its bias with what rounding takes from the mean of its sums.
fn rounded(folded: &Raw, reach: Reach, input_steps: &[f32], input: &Output) -> Coded {
    let (mut steps, mut bias) = (Vec::new(), Vec::new());
    let (each, mut room) = (reach.taps() * reach.values(), Vec::new());
    let value_steps = reach.of_values(input_steps);
    for (weights, value) in folded.weights.chunks(each.max(1)).zip(&folded.bias) {
        let weights = reach.by_taps(weights, &mut room);
        let step = bounded_step(weights, reach, &value_steps);
        let kept = kept(weights, reach, &value_steps, step);
        let lost = weights.iter().zip(kept).enumerate().map(|(index, (weight, kept))| {
            f64::from(weight - kept) * input.mean(reach.input(index % reach.values().max(1)))
        });
        bias.push(value + lost.sum::<f64>() as f32);
        steps.push(step);
    }
    Coded { steps, bias }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Variant;

    #[test]
    fn a_step_cuts_off_what_is_rare_and_far_and_nothing_else() {
        let mut channel = Channel::EMPTY;
        (0..2_000_000).for_each(|index| channel.add(index as f32 / 1_000_000.0));
        let end = channel.step(255.0) * 255.0;
        assert!((end - 2.0).abs() < 0.05, "{end}");
        channel.add(20.0);
        let end = channel.step(255.0) * 255.0;
        assert!(end > 1.9 && end < 10.0, "{end}");
        assert!((channel.sum - 2_000_019.0).abs() < 2.0, "{}", channel.sum);
    }

    #[test]
    fn the_bias_takes_what_rounding_takes_from_the_mean() {
        let mut input = Output::new(2);
        input.add(&[3.0, 1.0, 5.0, 1.0]);
        let folded = Raw { weights: vec![1.0, 0.0034], bias: vec![0.5] };
        let mut dense = Architecture::resnet50(Variant::Spatial, 2);
        dense.layers[1].inputs = 2;
        let reach = Reach::of(&dense, 1).unwrap();
        let Coded { steps, bias } = rounded(&folded, reach, &[1.0, 0.5], &input);
        let lost = |weight: f32, unit: f32| weight - (weight / unit).round() * unit;
        let wanted = 0.5 + 4.0 * lost(1.0, steps[0]) + lost(0.0034, steps[0] / 0.5);
        assert!((bias[0] - wanted).abs() < 1e-6, "{bias:?} for {wanted}");
    }
}
