//! The plausibility gate: whether an image looks like a frontal chest radiograph at all, whatever its header claims.
//!
//! One linear function over an [`Impression`]: the trunk's pooled features, which a classification computes anyway, and
//! the image's coarse layout, which tells upside down, sideways and negative, to which averaged features are blind. It is
//! fitted to chest radiographs on one side and to pictures that are none on the other (outlier exposure, Hendrycks et al.,
//! ICLR 2019): 1 is a typical chest radiograph, -1 a typical other picture, and the fit is undecided at 0.

mod fit;
mod impression;
mod lesson;
mod others;
mod trial;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

pub use fit::operating_point;
pub use impression::Impression;
pub use lesson::Lesson;
pub use trial::Trial;

use others::{other, pattern, variation};

/// Whether an image looks like a chest radiograph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plausibility {
    /// About 1 for a typical chest radiograph, about -1 for a typical other picture.
    pub score: f64,
    /// Where the package accepts an image: from this score on.
    pub threshold: f64,
}

/// A linear function over impressions.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// [`Impression::LENGTH`]
    weights: Vec<f32>,
    bias: f32,
}

impl Gate {
    /// The score of an impression.
    pub fn score(&self, impression: &Impression) -> f64 {
        let products = self.weights.iter().zip(impression.values());
        products.map(|(weight, value)| f64::from(*weight) * f64::from(*value)).sum::<f64>() + f64::from(self.bias)
    }

    /// Reads what [`Gate::octets`] wrote; the error says what is wrong with it, in one line.
    pub(super) fn parse(octets: &[u8]) -> Result<Self, String> {
        let tensors = SafeTensors::deserialize(octets).map_err(|error| error.to_string())?;
        let values = |name: &str, length: usize| -> Result<Vec<f32>, String> {
            let tensor = tensors.tensor(name).map_err(|_| format!("tensor {name} is missing"))?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != [length] {
                return Err(format!("tensor {name} is {:?} {:?}, not [{length}] F32", tensor.shape(), tensor.dtype()));
            }
            let values: Vec<f32> =
                tensor.data().as_chunks().0.iter().map(|octets| f32::from_le_bytes(*octets)).collect();
            let finite = values.iter().all(|value| value.is_finite());
            if finite { Ok(values) } else { Err(format!("tensor {name} holds a value that is no number")) }
        };
        let weights = values(Self::WEIGHTS, Impression::LENGTH)?;
        Ok(Self { weights, bias: values(Self::BIAS, 1)?.first().copied().unwrap_or_default() })
    }

    /// The gate as a safetensors file.
    pub(super) fn octets(&self) -> Result<Vec<u8>, SafeTensorError> {
        let view = |values| {
            let octets: &[u8] = bytemuck::cast_slice(values);
            TensorView::new(Dtype::F32, vec![octets.len() / 4], octets)
        };
        let tensors = [(Self::WEIGHTS, view(&self.weights)?), (Self::BIAS, view(std::slice::from_ref(&self.bias))?)];
        safetensors::serialize(tensors, None)
    }

    const WEIGHTS: &'static str = "weights";
    const BIAS: &'static str = "bias";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_read_as_it_was_written_and_damage_is_named() {
        let weights: Vec<f32> = (0..Impression::LENGTH).map(|index| index as f32 / 1000.0).collect();
        let gate = Gate { weights: weights.clone(), bias: -0.25 };
        assert_eq!(Gate::parse(&gate.octets().unwrap()).unwrap(), gate);
        let fault = |gate: Gate| Gate::parse(&gate.octets().unwrap()).unwrap_err();
        assert!(fault(Gate { weights: vec![0.0; 3], bias: 0.0 }).contains("tensor weights is [3] F32, not [2244]"));
        assert!(fault(Gate { weights, bias: f32::NAN }).contains("tensor bias holds a value that is no number"));
        assert!(Gate::parse(b"nothing").is_err());
    }
}
