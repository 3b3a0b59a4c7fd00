//! `int8.safetensors` of a package: how its trunk is computed in eight bits.
//!
//! For each convolution behind the first one `NAME.weight_step` and `NAME.bias`, `[outputs] f32`: how far apart the weights
//! of each output are, and the bias, batch normalisation folded in, corrected for what rounding does to the mean. For each
//! convolution `NAME.output_step`, `[outputs] f32`: how far apart the values of each channel of its output are. Weights count
//! times the step of their input. The weights themselves are those of the package, rounded when it is loaded.

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::architecture::{Architecture, Layer};
use super::kernels::int8::{Code, Coded};

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
pub(super) struct Quantisation {
    /// Of the layers that are computed in eight bits.
    pub(super) coded: Vec<Option<Coded>>,
    /// How the output of each layer is stored.
    pub(super) codes: Vec<Code>,
}

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
        let (mut coded, mut codes) = (Vec::new(), Vec::new());
        for (index, layer) in architecture.layers.iter().enumerate() {
            if !is_stored(layer) {
                coded.push(None);
                codes.push(Code { steps: Vec::new(), zero: 0 });
                continue;
            }
            let each = |name: &str, length: usize| values(&tensors, format!("{}.{name}", layer.name), length);
            let output = steps(&format!("{}.output_step", layer.name), each("output_step", layer.outputs)?)?;
            codes.push(Code { steps: output, zero: zero(architecture, index) });
            coded.push(match index == architecture.stem {
                true => None,
                false => Some(Coded {
                    steps: steps(&format!("{}.weight_step", layer.name), each("weight_step", layer.outputs)?)?,
                    bias: each("bias", layer.outputs)?,
                }),
            });
        }
        Ok(Self { coded, codes })
    }

    /// The file.
    pub(super) fn octets(&self, architecture: &Architecture) -> Result<Vec<u8>, SafeTensorError> {
        let mut tensors = Vec::new();
        for ((layer, coded), code) in architecture.layers.iter().zip(&self.coded).zip(&self.codes) {
            let mut add = |name: &str, values: &[f32]| {
                let octets: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                tensors.push((format!("{}.{name}", layer.name), vec![values.len()], octets));
            };
            if is_stored(layer) {
                add("output_step", &code.steps);
            }
            if let Some(Coded { steps, bias }) = coded {
                add("weight_step", steps);
                add("bias", bias);
            }
        }
        let mut views = Vec::new();
        for (name, shape, octets) in &tensors {
            views.push((name, TensorView::new(Dtype::F32, shape.clone(), octets)?));
        }
        safetensors::serialize(views, None)
    }
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
        let coded = layers.clone().map(|(index, layer)| {
            let coded = Coded { steps: vec![0.5; layer.outputs], bias: vec![-1.0; layer.outputs] };
            (is_stored(layer) && index != architecture.stem).then_some(coded)
        });
        let codes = layers.map(|(index, layer)| match is_stored(layer) {
            true => Code { steps: vec![0.25; layer.outputs], zero: zero(architecture, index) },
            false => Code { steps: Vec::new(), zero: 0 },
        });
        Quantisation { coded: coded.collect(), codes: codes.collect() }
    }

    #[test]
    fn it_comes_back_from_its_file() {
        let architecture = Architecture::resnet50(Variant::Spatial, 2);
        let octets = quantisation(&architecture).octets(&architecture).unwrap();
        let found = Quantisation::read(&octets, &architecture).unwrap();
        assert_eq!(found.codes, quantisation(&architecture).codes);
        assert_eq!(found.codes.iter().filter(|code| code.zero == MIDDLE).count(), 4);
        assert_eq!(found.coded.iter().flatten().count(), 52);
        let coded = found.coded.iter().flatten().next().unwrap();
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
        broken.codes[3].steps[5] = 0.0;
        assert!(fault(&broken, &architecture).contains("layer1.0.conv3.output_step"));
        broken.codes[3].steps[5] = f32::NAN;
        assert!(fault(&broken, &architecture).contains("layer1.0.conv3.output_step"));
        let mut other = architecture.clone();
        other.layers[1].name = "another".into();
        assert!(fault(&quantisation(&architecture), &other).contains("layer1.0.conv1.output_step is not there"));
    }
}
