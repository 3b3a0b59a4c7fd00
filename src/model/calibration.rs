//! How a network's activations lie, seen on images, and how it is computed in eight bits then.

use candle_core::Tensor;

use super::architecture::Architecture;
use super::engine::{Engine, with_images};
use super::kernels::int8::{Code, Coded, bounded_step};
use super::quantisation::{self, Quantisation};
use super::weights::{Folded, WeightError, Weights};
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
    outputs: Vec<Output>,
}

impl Calibration {
    /// For a model in f32, of which nothing was seen.
    pub fn of(model: &Model) -> Self {
        let architecture = model.manifest().network();
        let outputs = architecture.layers.iter().map(|layer| Output::new(layer.outputs)).collect();
        Self { architecture, outputs }
    }

    /// Images `[n, 3, height, width] f32` as [`super::Input::tensor`] makes them.
    ///
    /// # Errors
    /// The model is not computed by the kernels in f32.
    pub fn add(&mut self, model: &Model, images: &Tensor) -> Result<(), ModelError> {
        let Engine::Kernels(network) = &model.engine else {
            return Err(model.failed(candle_core::Error::msg("only the kernels in f32 can be calibrated")));
        };
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

    /// How the network with these weights is computed in eight bits.
    pub(super) fn quantisation(&self, weights: &Weights<'_>) -> Result<Quantisation, WeightError> {
        let Self { architecture, outputs } = self;
        let codes = outputs.iter().zip(&architecture.layers).enumerate().map(|(index, (output, layer))| {
            let zero = quantisation::zero(architecture, index);
            let levels = f32::from(u8::MAX - zero);
            Code { steps: if quantisation::is_stored(layer) { output.steps(levels) } else { Vec::new() }, zero }
        });
        let codes: Vec<Code> = codes.collect();
        let coded = architecture.layers.iter().zip(architecture.sources()).map(|(layer, source)| {
            let input = source.and_then(|source| Some((outputs.get(source.input)?, codes.get(source.input)?)));
            let Some((output, code)) = input else { return Ok(None) };
            Ok(Some(rounded(&weights.folded(layer)?, &code.steps, output)))
        });
        Ok(Quantisation { coded: coded.collect::<Result<_, WeightError>>()?, codes })
    }
}

/// The steps of a layer's weights, and its bias with what rounding takes from the mean of its sums.
fn rounded(folded: &Folded, input_steps: &[f32], input: &Output) -> Coded {
    let (mut steps, mut bias) = (Vec::new(), Vec::new());
    let each = folded.weights.len() / folded.bias.len().max(1);
    let places = each / input_steps.len().max(1);
    for (weights, value) in folded.weights.chunks(each.max(1)).zip(&folded.bias) {
        let step = bounded_step(weights, input_steps);
        let channels = weights.chunks(places.max(1)).zip(input_steps).enumerate();
        let lost = channels.map(|(channel, (weights, per))| {
            let unit = step / per;
            let lost: f32 = weights.iter().map(|weight| weight - (weight / unit).round_ties_even() * unit).sum();
            f64::from(lost) * input.mean(channel)
        });
        bias.push(value + lost.sum::<f64>() as f32);
        steps.push(step);
    }
    Coded { steps, bias }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let folded = Folded { weights: vec![1.0, 0.0034], bias: vec![0.5] };
        let Coded { steps, bias } = rounded(&folded, &[1.0, 0.5], &input);
        let lost = |weight: f32, unit: f32| weight - (weight / unit).round() * unit;
        let wanted = 0.5 + 4.0 * lost(1.0, steps[0]) + lost(0.0034, steps[0] / 0.5);
        assert!((bias[0] - wanted).abs() < 1e-6, "{bias:?} for {wanted}");
    }
}
