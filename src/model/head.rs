//! The Dense layers behind the trunk, as they are trained and stored.

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::architecture::{Architecture, HIDDEN};

/// A Dense layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// `[outputs, inputs]`, row by row.
    pub weights: Vec<f32>,
    /// `[outputs]`
    pub bias: Vec<f32>,
}

/// Dense 128 ReLU and a Dense layer of logits, behind the mean of each of the trunk's channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// From the trunk's features to 128 values.
    pub hidden: Dense,
    /// From these to the logits.
    pub logits: Dense,
}

impl Head {
    /// Features that go into it: channels of the trunk's last stage.
    pub const INPUTS: usize = Architecture::FEATURES;

    /// Values between its layers.
    pub const HIDDEN: usize = HIDDEN;

    /// Its tensors as a package names them.
    pub(super) fn tensors(&self) -> Result<Vec<(String, TensorView<'_>)>, safetensors::SafeTensorError> {
        let mut tensors = Vec::new();
        for (name, Dense { weights, bias }) in [("fc.0", &self.hidden), ("fc.2", &self.logits)] {
            let inputs = weights.len() / bias.len().max(1);
            for (end, values, shape) in
                [("weight", weights, vec![bias.len(), inputs]), ("bias", bias, vec![bias.len()])]
            {
                let octets = bytemuck::cast_slice(values);
                tensors.push((format!("{name}.{end}"), TensorView::new(Dtype::F32, shape, octets)?));
            }
        }
        Ok(tensors)
    }
}
