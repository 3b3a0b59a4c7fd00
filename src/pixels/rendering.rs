//! How stored values became luminance: what was applied of a header, for those who say or repeat it.

use std::fmt;
use std::ops::RangeInclusive;

/// The grey scale transformations that were applied to one image, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendering {
    /// Stored value to the modality's unit (PS3.3 C.11.1).
    pub modality: ModalityStep,
    /// Modality value to a fraction of white (C.11.2).
    pub voi: VoiStep,
    /// Which end of the scale is black.
    pub polarity: Polarity,
    /// Stored values that are no image and so are black (C.7.5.1.1.2).
    pub padding: Option<RangeInclusive<i32>>,
}

/// The modality transformation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ModalityStep {
    /// Rescale Slope (0028,1053) and Intercept (0028,1052), 1 and 0 where absent.
    Rescale {
        /// Factor, not 0.
        slope: f64,
        /// Added afterwards.
        intercept: f64,
    },
    /// The first item of Modality LUT Sequence (0028,3000).
    Table,
}

/// The value of interest transformation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum VoiStep {
    /// The first item of VOI LUT Sequence (0028,3010).
    Table,
    /// The first window of the header.
    Window {
        /// VOI LUT Function (0028,1056).
        function: VoiFunction,
        /// Window Center (0028,1050).
        centre: f64,
        /// Window Width (0028,1051).
        width: f64,
    },
    /// None in the header: from the lowest to the highest value that occurs.
    Extent {
        /// Black, in the modality's unit.
        low: f64,
        /// White.
        high: f64,
    },
}

/// VOI LUT Function (0028,1056).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoiFunction {
    /// LINEAR
    Linear,
    /// LINEAR_EXACT
    LinearExact,
    /// SIGMOID
    Sigmoid,
}

impl VoiFunction {
    /// The defined term.
    pub fn defined_term(self) -> &'static str {
        match self {
            Self::Linear => "LINEAR",
            Self::LinearExact => "LINEAR_EXACT",
            Self::Sigmoid => "SIGMOID",
        }
    }
}

/// Which end of the scale is black.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polarity {
    /// MONOCHROME2.
    LowIsBlack,
    /// MONOCHROME1, or Presentation LUT Shape INVERSE.
    HighIsBlack,
}

/// In words, one line.
impl fmt::Display for Rendering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let polarity = match self.polarity {
            Polarity::LowIsBlack => "low values black (MONOCHROME2)",
            Polarity::HighIsBlack => "high values black (MONOCHROME1 or INVERSE)",
        };
        match self.modality {
            ModalityStep::Rescale { slope, intercept } => write!(f, "rescale slope {slope}, intercept {intercept}; ")?,
            ModalityStep::Table => write!(f, "Modality LUT; ")?,
        }
        match self.voi {
            VoiStep::Table => write!(f, "VOI LUT; ")?,
            VoiStep::Window { function, centre, width } => {
                write!(f, "window centre {centre}, width {width} ({}); ", function.defined_term())?;
            }
            VoiStep::Extent { low, high } => write!(f, "no window, so {low} to {high}, which occur; ")?,
        }
        write!(f, "{polarity}")?;
        match &self.padding {
            Some(range) => write!(f, "; padding {} to {}", range.start(), range.end()),
            None => Ok(()),
        }
    }
}
