//! The shape of an image's pixels, which is rarely but sometimes no square.

use std::str::FromStr;

use dicom::core::Tag;
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;

use crate::part10::attribute::texts;

/// Height and width of a pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PixelShape {
    /// In no unit: Pixel Aspect Ratio (0028,0034), or 1 and 1.
    Ratio {
        /// Height, above 0.
        vertical: u32,
        /// Width, above 0.
        horizontal: u32,
    },
    /// In millimetres: Imager Pixel Spacing (0018,1164), else Pixel Spacing (0028,0030).
    Spacing {
        /// Height, above 0.
        vertical: f64,
        /// Width, above 0.
        horizontal: f64,
    },
}

/// Square.
impl Default for PixelShape {
    fn default() -> Self {
        Self::Ratio { vertical: 1, horizontal: 1 }
    }
}

impl PixelShape {
    /// What a header says; square where it says nothing that makes sense.
    pub(super) fn of(dataset: &InMemDicomObject) -> Self {
        let spacing = [tags::IMAGER_PIXEL_SPACING, tags::PIXEL_SPACING].into_iter().find_map(|tag| {
            let [vertical, horizontal] = pair::<f64>(dataset, tag)?;
            let makes_sense = |side: f64| side.is_finite() && side > 0.0;
            let shape = Self::Spacing { vertical, horizontal };
            (makes_sense(vertical) && makes_sense(horizontal) && shape.is_plausible()).then_some(shape)
        });
        let ratio = || {
            let [vertical, horizontal] = pair::<u32>(dataset, tags::PIXEL_ASPECT_RATIO)?;
            let shape = Self::Ratio { vertical, horizontal };
            (vertical > 0 && horizontal > 0 && shape.is_plausible()).then_some(shape)
        };
        spacing.or_else(ratio).unwrap_or_default()
    }

    /// Height of a pixel by its width.
    pub fn tallness(self) -> f64 {
        match self {
            Self::Ratio { vertical, horizontal } => f64::from(vertical) / f64::from(horizontal),
            Self::Spacing { vertical, horizontal } => vertical / horizontal,
        }
    }

    /// No detector has pixels that are ten times as long as they are wide.
    fn is_plausible(self) -> bool {
        (0.1..=10.0).contains(&self.tallness())
    }
}

fn pair<T: FromStr>(dataset: &InMemDicomObject, tag: Tag) -> Option<[T; 2]> {
    let values = texts(dataset, tag);
    let [first, second] = values.as_slice() else { return None };
    Some([first.parse().ok()?, second.parse().ok()?])
}

#[cfg(test)]
mod tests {
    use dicom::core::{DataElement, PrimitiveValue, VR};

    use super::*;

    fn tallness(texts: &[(Tag, &str)]) -> f64 {
        let element = |(tag, text): &(Tag, &str)| DataElement::new(*tag, VR::DS, PrimitiveValue::from(*text));
        PixelShape::of(&InMemDicomObject::from_element_iter(texts.iter().map(element))).tallness()
    }

    #[test]
    fn spacing_goes_before_ratio_and_nonsense_is_square() {
        let ratio = (tags::PIXEL_ASPECT_RATIO, "4\\3");
        assert_eq!(tallness(&[ratio]), 4.0 / 3.0);
        assert_eq!(tallness(&[(tags::IMAGER_PIXEL_SPACING, "0.2\\0.1"), ratio]), 2.0);
        for nonsense in ["0\\1", "1", "-1\\1", "1\\x", "1\\100"] {
            assert_eq!(tallness(&[(tags::PIXEL_SPACING, nonsense)]), 1.0, "{nonsense}");
        }
    }
}
