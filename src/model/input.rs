//! From a radiograph's luminance to the network's input: the very same code in training and in service.

use candle_core::{Device, Tensor};

use super::framing::Framing;
use super::manifest::{Crop, Filter, InputSpec, Resize};
use super::{Picture, TensorFault};
use crate::pixels::{Geometry, PixelError, Radiograph};

/// Samples down and across for each pixel of an input, at least, where there are as many.
const SAMPLES_PER_PIXEL: usize = 2;

/// A radiograph that could not be made into an input.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The picture's file cannot be read any more.
    #[error(transparent)]
    Pixels(#[from] PixelError),
    /// The tensor could not be made.
    #[error("the input tensor could not be made: {0}")]
    Tensor(#[from] TensorFault),
}

/// A radiograph as the network's input.
#[derive(Debug, Clone)]
pub struct Framed {
    /// `[3, height, width] f32`, normalised.
    pub tensor: Tensor,
    /// How the radiograph lies in it.
    pub framing: Framing,
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

    /// Samples that a radiograph must have down and across at least, for its input to be as good as that of all its
    /// pixels ([`Decoder::decode_at_least`](crate::pixels::Decoder::decode_at_least)). Borders are looked for among all.
    pub fn least_side(&self) -> usize {
        match self.spec.crop {
            Crop::None => SAMPLES_PER_PIXEL * self.spec.width.max(self.spec.height) as usize,
            Crop::Collimation => usize::MAX,
        }
    }

    /// How a radiograph lies in the input: in display orientation (Patient Orientation), cropped and resized as the
    /// manifest says.
    ///
    /// # Errors
    /// [`PixelError::Io`] where the image's file cannot be read any more.
    pub fn framing(&self, radiograph: &Radiograph) -> Result<Framing, PixelError> {
        let Geometry { turn, shape, open } = &radiograph.geometry;
        let mut framing = Framing::whole((radiograph.rows, radiograph.columns), self.sides());
        framing.turn = *turn;
        if self.spec.crop == Crop::Collimation {
            framing.part = radiograph.within_borders(open.as_ref().unwrap_or(&framing.part))?;
        }
        Ok(match self.spec.resize {
            Resize::Stretch => framing,
            Resize::Fit => framing.fitted(*shape),
        })
    }

    /// Resamples and normalises a radiograph: `[3, height, width] f32`, three equal channels before
    /// `(v - mean) / std`.
    ///
    /// # Errors
    /// [`InputError::Pixels`] where the image's file cannot be read any more.
    pub fn tensor(&self, radiograph: &Radiograph) -> Result<Tensor, InputError> {
        Ok(self.framed(radiograph)?.tensor)
    }

    /// The same, with how the radiograph lies in it.
    ///
    /// # Errors
    /// As [`Input::tensor`].
    pub fn framed(&self, radiograph: &Radiograph) -> Result<Framed, InputError> {
        let Filter::Bilinear = self.spec.filter;
        let framing = self.framing(radiograph)?;
        let (rows, columns) = framing.turn.sides((framing.inset.rows.len(), framing.inset.columns.len()));
        // Turning the small picture is the same as turning the large one: the filter knows no direction.
        let resampled = radiograph.resampled_part(&framing.part, rows, columns)?;
        let luminance = framing.on_black(framing.turn.displayed(&resampled, columns));
        Ok(Framed { tensor: self.of_luminance(&luminance).map_err(TensorFault::from)?, framing })
    }

    /// The self-test's image: luminance `(x + y) / (width + height - 2)`, normalised, `[3, height, width] f32`.
    pub fn ramp(&self) -> candle_core::Result<Tensor> {
        let (width, height) = (self.spec.width, self.spec.height);
        let last = (width + height - 2) as f32;
        let luminance: Vec<f32> = (0..height).flat_map(|y| (0..width).map(move |x| (x + y) as f32 / last)).collect();
        self.of_luminance(&luminance)
    }

    /// A picture of one luminance, normalised: `[3, height, width] f32`.
    pub(super) fn uniform(&self, luminance: f32) -> candle_core::Result<Tensor> {
        self.of_luminance(&vec![luminance; (self.spec.width * self.spec.height) as usize])
    }

    /// The pictures that images `[n, 3, height, width] f32`, as [`Input::tensor`] makes them, are of.
    ///
    /// # Errors
    /// Images of another shape.
    pub fn pictures(&self, images: &Tensor) -> Result<Vec<Picture>, TensorFault> {
        let InputSpec { mean: [mean, ..], std: [std, ..], width, .. } = self.spec;
        let channels = images.narrow(1, 0, 1).and_then(|channel| channel.flatten_from(1)?.to_vec2::<f32>())?;
        let picture = |channel: Vec<f32>| Picture {
            values: channel.into_iter().map(|value| value * std + mean).collect(),
            columns: width as usize,
        };
        Ok(channels.into_iter().map(picture).collect())
    }

    /// Pictures of the input's own size, normalised: `[n, 3, height, width] f32`.
    ///
    /// # Errors
    /// Pictures of another size, or none.
    pub fn of_pictures(&self, pictures: &[Picture]) -> Result<Tensor, TensorFault> {
        let tensors = pictures.iter().map(|picture| self.of_luminance(&picture.values));
        let tensors = tensors.collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Tensor::stack(&tensors, 0)?)
    }

    /// Rows and columns.
    fn sides(&self) -> (usize, usize) {
        (self.spec.height as usize, self.spec.width as usize)
    }

    /// Luminance at the input's own size, row by row, normalised: `[3, height, width] f32`.
    fn of_luminance(&self, luminance: &[f32]) -> candle_core::Result<Tensor> {
        let channels = self.spec.mean.iter().zip(&self.spec.std);
        let values: Vec<f32> =
            channels.flat_map(|(mean, std)| luminance.iter().map(move |v| (v - mean) / std)).collect();
        Tensor::from_vec(values, (3, self.spec.height as usize, self.spec.width as usize), &Device::Cpu)
    }
}
