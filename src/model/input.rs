//! From a radiograph's luminance to the network's input: the very same code in training and in service.

use candle_core::{Device, Tensor};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::TensorFault;
use super::manifest::{Filter, InputSpec, Resize};
use crate::pixels::Radiograph;

/// A radiograph that could not be made into an input.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The picture could not be resampled.
    #[error("the picture could not be resampled: {0}")]
    Resample(String),
    /// The tensor could not be made.
    #[error("the input tensor could not be made: {0}")]
    Tensor(#[from] TensorFault),
}

/// The preprocessing of one model package.
#[derive(Debug, Clone)]
pub struct Input {
    spec: InputSpec,
}

impl Input {
    /// The preprocessing that a manifest asks for.
    pub fn new(spec: &InputSpec) -> Self {
        Self { spec: spec.clone() }
    }

    /// What the manifest asks for.
    pub fn spec(&self) -> &InputSpec {
        &self.spec
    }

    /// Resamples and normalises a radiograph: `[3, height, width] f32`, three equal channels before
    /// `(v - mean) / std`.
    pub fn tensor(&self, radiograph: &Radiograph) -> Result<Tensor, InputError> {
        let resampled = self.resample(radiograph)?;
        Ok(self.normalised(&resampled).map_err(TensorFault::from)?)
    }

    /// The self-test's image: luminance `(x + y) / (width + height - 2)`, normalised, `[3, height, width] f32`.
    pub fn ramp(&self) -> candle_core::Result<Tensor> {
        let (width, height) = (self.spec.width, self.spec.height);
        let last = (width + height - 2) as f32;
        let luminance: Vec<f32> = (0..height).flat_map(|y| (0..width).map(move |x| (x + y) as f32 / last)).collect();
        self.normalised(&luminance)
    }

    fn resample(&self, radiograph: &Radiograph) -> Result<Vec<f32>, InputError> {
        let Resize::Stretch = self.spec.resize;
        let Filter::Bilinear = self.spec.filter;
        let fail = |cause: &dyn std::fmt::Display| InputError::Resample(cause.to_string());
        let side = |pixels: usize| u32::try_from(pixels).map_err(|error| fail(&error));
        let bytes = bytemuck::cast_slice(&radiograph.luminance);
        let source = ImageRef::new(side(radiograph.columns)?, side(radiograph.rows)?, bytes, PixelType::F32)
            .map_err(|error| fail(&error))?;
        let mut target = Image::new(self.spec.width, self.spec.height, PixelType::F32);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        Resizer::new().resize(&source, &mut target, &options).map_err(|error| fail(&error))?;
        Ok(bytemuck::pod_collect_to_vec(target.buffer()))
    }

    fn normalised(&self, luminance: &[f32]) -> candle_core::Result<Tensor> {
        let channels = self.spec.mean.iter().zip(&self.spec.std);
        let values: Vec<f32> =
            channels.flat_map(|(mean, std)| luminance.iter().map(move |v| (v - mean) / std)).collect();
        Tensor::from_vec(values, (3, self.spec.height as usize, self.spec.width as usize), &Device::Cpu)
    }
}
