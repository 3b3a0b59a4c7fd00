//! `int8.safetensors` of a package: how its trunk is computed in eight bits.
//!
//! For each convolution `NAME.weight_step` and `NAME.bias`, `[outputs] f32`: how far apart the weights of each output are, and
//! the bias, batch normalisation folded in, corrected for what rounding does to the mean; and `NAME.output_step`, `[outputs]
//! f32`: how far apart the values of each channel of its output are. `image.step`, `[3] f32`, and `image.zero`, `[1] f32`, a
//! whole number from 0 to 255, say the same of the normalised image. Weights count times the step of their input. The weights
//! themselves are those of the package, rounded when it is loaded.

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::architecture::{Architecture, Layer};
use super::kernels::int8::{Code, Coded, Int8};
use super::kernels::narrow::Known;

/// The zero of outputs that may lie below it: those of the convolutions that go round a block.
const MIDDLE: u8 = 128;

/// What is wrong with the file, in one line.
#[derive(Debug, thiserror::Error)]
pub enum QuantisationError {
    /// It is no safetensors file.
    #[error("{0}")]
    Unreadable(#[from] SafeTensorError),
    /// A tensor is not there, or has another type or length.
    #[error("tensor {name} is not there as {length} f32")]
    Tensor {
        /// Its name.
        name: String,
        /// How many values it should have.
        length: usize,
    },
    /// A tensor holds something else than what it is for.
    #[error("tensor {0} holds a value that is no step, or no number")]
    Value(String),
}

/// What the file says, by layer of the architecture.
pub(super) struct Quantisation(pub(super) Known<Int8>);

/// Names of the tensors that are of the image.
const IMAGE: [&str; 2] = ["image.step", "image.zero"];

/// The octet that means 0 in the output of a layer.
pub(super) fn zero(architecture: &Architecture, index: usize) -> u8 {
    let mut blocks = architecture.early.iter().chain(&architecture.last);
    if blocks.any(|block| block.shortcut == Some(index)) { MIDDLE } else { 0 }
}

/// Whether a layer is one of the trunk's, whose outputs are stored in eight bits.
pub(super) fn is_stored(layer: &Layer) -> bool {
    layer.norm.is_some()
}

impl Quantisation {
    /// Reads the file.
    pub(super) fn read(octets: &[u8], architecture: &Architecture) -> Result<Self, QuantisationError> {
        let tensors = SafeTensors::deserialize(octets)?;
        let (mut layers, mut codes) = (Vec::new(), Vec::new());
        for (index, layer) in architecture.layers.iter().enumerate() {
            if !is_stored(layer) {
                layers.push(None);
                codes.push(Code { steps: Vec::new(), zero: 0 });
                continue;
            }
            let each = |name: &str, length: usize| values(&tensors, format!("{}.{name}", layer.name), length);
            let output = steps(&format!("{}.output_step", layer.name), each("output_step", layer.outputs)?)?;
            codes.push(Code { steps: output, zero: zero(architecture, index) });
            layers.push(Some(Coded {
                steps: steps(&format!("{}.weight_step", layer.name), each("weight_step", layer.outputs)?)?,
                bias: each("bias", layer.outputs)?,
            }));
        }
        Ok(Self(Known { image: image(&tensors, architecture)?, layers, codes }))
    }

    /// The file.
    pub(super) fn octets(&self, architecture: &Architecture) -> Result<Vec<u8>, SafeTensorError> {
        let Self(Known { image, layers, codes }) = self;
        let mut tensors = Vec::new();
        let mut add = |name: String, values: &[f32]| {
            let octets: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensors.push((name, vec![values.len()], octets));
        };
        for (name, values) in IMAGE.into_iter().zip([image.steps.as_slice(), &[f32::from(image.zero)]]) {
            add(name.to_owned(), values);
        }
        for ((layer, coded), code) in architecture.layers.iter().zip(layers).zip(codes) {
            if let Some(Coded { steps, bias }) = coded {
                add(format!("{}.output_step", layer.name), &code.steps);
                add(format!("{}.weight_step", layer.name), steps);
                add(format!("{}.bias", layer.name), bias);
            }
        }
        let mut views = Vec::new();
        for (name, shape, octets) in &tensors {
            views.push((name, TensorView::new(Dtype::F32, shape.clone(), octets)?));
        }
        safetensors::serialize(views, None)
    }
}

/// How the image is stored.
fn image(tensors: &SafeTensors<'_>, architecture: &Architecture) -> Result<Code, QuantisationError> {
    let channels = architecture.layers.get(architecture.stem).map_or(0, |layer| layer.inputs);
    let [step, zero] = IMAGE;
    let octet = |value: f32| (value.fract() == 0.0 && (0.0..=255.0).contains(&value)).then_some(value as u8);
    let zeros = values(tensors, zero.to_owned(), 1)?;
    let zero = zeros.first().copied().and_then(octet).ok_or_else(|| QuantisationError::Value(zero.to_owned()))?;
    Ok(Code { steps: steps(step, values(tensors, step.to_owned(), channels)?)?, zero })
}

fn values(tensors: &SafeTensors<'_>, name: String, length: usize) -> Result<Vec<f32>, QuantisationError> {
    let view = tensors.tensor(&name).ok().filter(|view| view.dtype() == Dtype::F32 && view.shape() == [length]);
    let Some(view) = view else { return Err(QuantisationError::Tensor { name, length }) };
    let values: Vec<f32> = view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    if values.iter().all(|value| value.is_finite()) { Ok(values) } else { Err(QuantisationError::Value(name)) }
}

/// That values are steps.
fn steps(name: &str, values: Vec<f32>) -> Result<Vec<f32>, QuantisationError> {
    if values.iter().all(|step| *step >= f32::MIN_POSITIVE) {
        Ok(values)
    } else {
        Err(QuantisationError::Value(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Variant;

    fn quantisation(architecture: &Architecture) -> Quantisation {
        let layers = architecture.layers.iter().enumerate();
        let coded = layers.clone().map(|(_, layer)| {
            let coded = Coded { steps: vec![0.5; layer.outputs], bias: vec![-1.0; layer.outputs] };
            is_stored(layer).then_some(coded)
        });
        let codes = layers.map(|(index, layer)| match is_stored(layer) {
            true => Code { steps: vec![0.25; layer.outputs], zero: zero(architecture, index) },
            false => Code { steps: Vec::new(), zero: 0 },
        });
        let image = Code { steps: vec![0.1, 0.2, 0.3], zero: 116 };
        Quantisation(Known { image, layers: coded.collect(), codes: codes.collect() })
    }

    #[test]
    fn it_comes_back_from_its_file() {
        let architecture = Architecture::resnet50(Variant::Spatial, 2);
        let octets = quantisation(&architecture).octets(&architecture).unwrap();
        let Quantisation(found) = Quantisation::read(&octets, &architecture).unwrap();
        let Quantisation(wanted) = quantisation(&architecture);
        assert_eq!((&found.codes, &found.image), (&wanted.codes, &wanted.image));
        assert_eq!(found.codes.iter().filter(|code| code.zero == MIDDLE).count(), 4);
        assert_eq!(found.layers.iter().flatten().count(), 53);
        let coded = found.layers.iter().flatten().next().unwrap();
        assert_eq!((coded.steps.len(), coded.bias[0], coded.steps[63]), (64, -1.0, 0.5));
    }

    #[test]
    fn a_step_of_nothing_and_a_missing_tensor_are_named() {
        let architecture = Architecture::resnet50(Variant::Spatial, 2);
        let fault = |quantisation: &Quantisation, architecture: &Architecture| {
            let octets = quantisation.octets(architecture).unwrap();
            Quantisation::read(&octets, &Architecture::resnet50(Variant::Spatial, 2))
                .map(|_| ())
                .unwrap_err()
                .to_string()
        };
        let mut broken = quantisation(&architecture);
        broken.0.codes[3].steps[5] = 0.0;
        assert!(fault(&broken, &architecture).contains("layer1.0.conv3.output_step"));
        broken.0.codes[3].steps[5] = f32::NAN;
        assert!(fault(&broken, &architecture).contains("layer1.0.conv3.output_step"));
        let mut other = architecture.clone();
        other.layers[1].name = "another".into();
        assert!(fault(&quantisation(&architecture), &other).contains("layer1.0.conv1.output_step is not there"));
    }
}
