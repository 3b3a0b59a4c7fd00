//! Keras' ResNet50 under torchvision's names.
//!
//! Keras has kernels as `[rows, columns, inputs, outputs]`, convolutions with a bias, an epsilon of 1.001e-5 in every batch
//! normalisation, and the network's variant [`Variant::Reduce`]. A normalisation takes its mean off again, so a bias can be
//! taken off the mean; and what epsilon has more than torchvision's can be added to the variance.

use std::collections::HashMap;

use safetensors::SafeTensors;

use super::architecture::{Architecture, Layer, Variant};
use super::unfolded::by_outputs;
use super::weights::{BATCH_NORM_EPSILON, WeightError, Weights};
use super::{Dense, Head, TrunkLayer};

/// Keras' epsilon of every batch normalisation.
const EPSILON: f64 = 1.001e-5;

/// The first convolution, by which Keras' names are known.
const FIRST: &str = "conv1_conv/kernel";

/// Tensors by the names of Keras' layers, `conv1_conv/kernel`, whatever stands before and behind.
struct Keras<'a> {
    weights: Weights<'a>,
    /// Name in the file and shape.
    tensors: HashMap<String, (String, Vec<usize>)>,
}

/// The same weights with torchvision's names, as a safetensors file in f32; `None` where the names are not Keras'. Two
/// Dense layers of the right shapes become the head.
pub(super) fn renamed(octets: &[u8]) -> Result<Option<Vec<u8>>, WeightError> {
    let Ok(file) = SafeTensors::deserialize(octets) else { return Ok(None) };
    let tensor =
        |(name, view): (String, safetensors::tensor::TensorView<'_>)| (short(&name), (name, view.shape().to_vec()));
    let keras = Keras { weights: Weights::new(octets)?, tensors: file.tensors().into_iter().map(tensor).collect() };
    if !keras.tensors.contains_key(FIRST) {
        return Ok(None);
    }
    let layers = Architecture::resnet50(Variant::Reduce, 1).layers;
    let trunk = layers.iter().filter_map(|layer| Some((layer, layer.norm.as_deref()?)));
    let trunk = trunk.map(|(layer, norm)| keras.layer(layer, norm)).collect::<Result<Vec<_>, WeightError>>()?;
    let head = keras.head()?;
    let mut tensors = Vec::new();
    for layer in &trunk {
        tensors.extend(layer.tensors()?);
    }
    if let Some(head) = &head {
        tensors.extend(head.tensors()?);
    }
    Ok(Some(safetensors::serialize(tensors, None)?))
}

/// `conv1_conv/kernel` of `resnet50/conv1_conv/kernel:0`.
fn short(name: &str) -> String {
    let plain = name.strip_suffix(":0").unwrap_or(name);
    let parts: Vec<&str> = plain.rsplitn(3, '/').take(2).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

/// What Keras calls a convolution, up to `_conv` or `_bn`: `conv3_block1_0` for `layer2.0.downsample.0`.
fn stem(layer: &Layer) -> Option<String> {
    let Some(rest) = layer.name.strip_prefix("layer") else { return Some(layer.name.clone()) };
    let mut parts = rest.split('.');
    let mut number = || parts.next()?.parse::<usize>().ok();
    let (stage, block) = (number()?, number()?);
    let place = parts.next()?.strip_prefix("conv").unwrap_or("0");
    Some(format!("conv{}_block{}_{place}", stage + 1, block + 1))
}

impl Keras<'_> {
    fn layer(&self, layer: &Layer, norm: &str) -> Result<TrunkLayer, WeightError> {
        let Layer { inputs, outputs, kernel, .. } = *layer;
        let stem = stem(layer).ok_or_else(|| WeightError::Missing(layer.name.clone()))?;
        let (size, taps) = (kernel.size, kernel.size * kernel.size);
        let kernel = self.get(&format!("{stem}_conv/kernel"), &[size, size, inputs, outputs])?;
        let each = |name: &str| self.get(&format!("{stem}_{name}"), &[outputs]);
        let bias = if self.has(&format!("{stem}_conv/bias")) { each("conv/bias")? } else { vec![0.0; outputs] };
        let (mut mean, mut variance) = (each("bn/moving_mean")?, each("bn/moving_variance")?);
        mean.iter_mut().zip(bias).for_each(|(mean, bias)| *mean -= bias);
        let more = (EPSILON - f64::from(BATCH_NORM_EPSILON)) as f32;
        variance.iter_mut().for_each(|variance| *variance += more);
        let statistics = [each("bn/gamma")?, each("bn/beta")?, mean, variance];
        Ok(TrunkLayer::new(layer, norm, by_outputs(&kernel, [taps, inputs, outputs]), statistics))
    }

    /// The Dense layers behind the trunk, whatever they are called: 2048 to 128, and 128 to the logits.
    fn head(&self) -> Result<Option<Head>, WeightError> {
        let dense = |fits: &dyn Fn(usize, usize) -> bool| -> Result<Option<Dense>, WeightError> {
            let mut fitting = self.tensors.iter().filter_map(|(name, (_, shape))| match shape.as_slice() {
                [inputs, outputs] if fits(*inputs, *outputs) => {
                    Some((name.strip_suffix("/kernel")?, *inputs, *outputs))
                }
                _ => None,
            });
            let (Some((name, inputs, outputs)), None) = (fitting.next(), fitting.next()) else { return Ok(None) };
            let kernel = self.get(&format!("{name}/kernel"), &[inputs, outputs])?;
            let bias = self.get(&format!("{name}/bias"), &[outputs])?;
            Ok(Some(Dense { weights: by_outputs(&kernel, [1, inputs, outputs]), bias }))
        };
        let hidden = dense(&|inputs, outputs| (inputs, outputs) == (Head::INPUTS, Head::HIDDEN))?;
        let logits = dense(&|inputs, _| inputs == Head::HIDDEN)?;
        Ok(hidden.zip(logits).map(|(hidden, logits)| Head { hidden, logits }))
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightError> {
        let (stored, _) = self.tensors.get(name).ok_or_else(|| WeightError::Missing(name.to_owned()))?;
        self.weights.get(stored.clone(), shape)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::model::{Depth, Trunk};

    /// Every tensor of the trunk and of a head under Keras' names, drawn by chance.
    fn drawn() -> HashMap<String, Tensor> {
        let mut state = 1_u32;
        let mut tensor = |shape: &[usize], middle: f32, width: f32| {
            let mut value = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                middle + width * (state as f32 / u32::MAX as f32 - 0.5)
            };
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| value()).collect();
            Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
        };
        let mut tensors = HashMap::new();
        for layer in Architecture::resnet50(Variant::Reduce, 1).layers.iter().filter(|layer| layer.norm.is_some()) {
            let (stem, Layer { inputs, outputs, kernel, .. }) = (stem(layer).unwrap(), layer);
            let fan = (kernel.size * kernel.size * inputs) as f32;
            let mut add = |name: &str, tensor| drop(tensors.insert(format!("resnet50/{stem}_{name}:0"), tensor));
            add("conv/kernel", tensor(&[kernel.size, kernel.size, *inputs, *outputs], 0.0, 5.0 / fan.sqrt()));
            add("conv/bias", tensor(&[*outputs], 0.0, 0.5));
            add("bn/gamma", tensor(&[*outputs], 0.5, 0.2));
            add("bn/beta", tensor(&[*outputs], 0.0, 0.2));
            add("bn/moving_mean", tensor(&[*outputs], 0.0, 0.2));
            add("bn/moving_variance", tensor(&[*outputs], 1.0, 1.9));
        }
        for (name, shape) in [("dense", [Head::INPUTS, Head::HIDDEN]), ("dense_1", [Head::HIDDEN, 3])] {
            tensors.insert(format!("{name}/kernel:0"), tensor(&shape, 0.0, 0.1));
            tensors.insert(format!("{name}/bias:0"), tensor(&shape[1..], 0.0, 0.1));
        }
        tensors
    }

    fn file(tensors: &HashMap<String, Tensor>) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        candle_core::safetensors::save(tensors, file.path()).unwrap();
        file
    }

    /// Keras' ResNet50 up to the mean of each channel, as its source has it, from Keras' own tensors.
    fn keras_features(tensors: &HashMap<String, Tensor>, image: &Tensor) -> Vec<f32> {
        let get = |name: String| tensors[&format!("resnet50/{name}:0")].clone();
        let each = |name: String| get(name).reshape((1, (), 1, 1)).unwrap();
        let conv_bn = |x: &Tensor, stem: &str, padding: usize, stride: usize| {
            let kernel = get(format!("{stem}_conv/kernel")).permute((3, 2, 0, 1)).unwrap().contiguous().unwrap();
            let sums = x.conv2d(&kernel, padding, stride, 1, 1).unwrap();
            let sums = sums.broadcast_add(&each(format!("{stem}_conv/bias"))).unwrap();
            let deviation = (each(format!("{stem}_bn/moving_variance")) + 1.001e-5).unwrap().sqrt().unwrap();
            let centred = sums.broadcast_sub(&each(format!("{stem}_bn/moving_mean"))).unwrap();
            let scaled = centred.broadcast_div(&deviation).unwrap().broadcast_mul(&each(format!("{stem}_bn/gamma")));
            scaled.unwrap().broadcast_add(&each(format!("{stem}_bn/beta"))).unwrap()
        };
        let relu = |x: Tensor| x.relu().unwrap();
        let x = relu(conv_bn(image, "conv1", 3, 2));
        let x = x.pad_with_zeros(2, 1, 1).unwrap().pad_with_zeros(3, 1, 1).unwrap();
        let mut x = x.max_pool2d_with_stride(3, 2).unwrap();
        for (stage, blocks) in (2..).zip([3, 4, 6, 3]) {
            for block in 1..=blocks {
                let stride = if block == 1 && stage > 2 { 2 } else { 1 };
                let name = |place: usize| format!("conv{stage}_block{block}_{place}");
                let around = if block == 1 { conv_bn(&x, &name(0), 0, stride) } else { x.clone() };
                let y = relu(conv_bn(&x, &name(1), 0, stride));
                let y = relu(conv_bn(&y, &name(2), 1, 1));
                x = relu((conv_bn(&y, &name(3), 0, 1) + around).unwrap());
            }
        }
        x.mean((2, 3)).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_trunk_under_keras_names_gives_what_keras_gives() {
        let tensors = drawn();
        let trunk = Trunk::open(file(&tensors).path(), 2).unwrap();
        assert_eq!(trunk.variant(), Variant::Reduce);
        let image = trunk.input().ramp().unwrap().unsqueeze(0).unwrap();
        // Keras' preprocessing: 255 times the luminance, less the means of blue, green and red.
        let first = image.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
        assert!((first + 103.939).abs() < 1e-3, "{first}");
        let image = (image / 64.0).unwrap();
        let (found, expected) = (trunk.at(Depth::Pooled, &image).unwrap(), keras_features(&tensors, &image));
        let largest = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        assert!(largest > 0.0 && largest.is_finite());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-3 * largest, "{found} for {expected} of {largest}");
        }
        let layers = trunk.unfolded(Depth::Input).unwrap().layers;
        let value = |name: &str| tensors[&format!("resnet50/{name}:0")].to_vec1::<f32>().unwrap()[0];
        assert_eq!(layers[0].mean[0], value("conv1_bn/moving_mean") - value("conv1_conv/bias"));
        assert_eq!(layers[0].variance[0], value("conv1_bn/moving_variance") + 1e-8);
        let head = trunk.head().unwrap();
        let hidden = tensors["dense/kernel:0"].to_vec2::<f32>().unwrap();
        assert_eq!((head.hidden.weights[1], head.hidden.weights[Head::INPUTS]), (hidden[1][0], hidden[0][1]));
        assert_eq!(head.logits.bias.len(), 3);
    }

    #[test]
    fn a_missing_layer_is_named_as_keras_names_it_and_a_head_of_another_kind_is_none() {
        let mut tensors = drawn();
        tensors.remove("dense/kernel:0");
        let message = Trunk::open(file(&tensors).path(), 1).unwrap().head().unwrap_err().to_string();
        assert!(message.contains("fc.2.bias is missing"), "{message}");
        tensors.remove("resnet50/conv4_block6_2_bn/gamma:0");
        let message = Trunk::open(file(&tensors).path(), 1).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("conv4_block6_2_bn/gamma is missing"), "{message}");
    }
}
