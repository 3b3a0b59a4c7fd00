//! The shape of an image's pixels, which is rarely but sometimes no square.

use dicom::dictionary_std::tags;

use crate::instance::Header;

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

impl PixelShape {
    /// What a header says; square where it says nothing that makes sense.
    pub fn of(header: &Header) -> Self {
        let spacing = [tags::IMAGER_PIXEL_SPACING, tags::PIXEL_SPACING].into_iter().find_map(|tag| {
            let [vertical, horizontal] = pair::<f64>(header, tag)?;
            let makes_sense = |side: f64| side.is_finite() && side > 0.0;
            let shape = Self::Spacing { vertical, horizontal };
            (makes_sense(vertical) && makes_sense(horizontal) && shape.is_plausible()).then_some(shape)
        });
        let ratio = || {
            let [vertical, horizontal] = pair::<u32>(header, tags::PIXEL_ASPECT_RATIO)?;
            let shape = Self::Ratio { vertical, horizontal };
            (vertical > 0 && horizontal > 0 && shape.is_plausible()).then_some(shape)
        };
        spacing.or_else(ratio).unwrap_or(Self::Ratio { vertical: 1, horizontal: 1 })
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

fn pair<T: std::str::FromStr>(header: &Header, tag: dicom::core::Tag) -> Option<[T; 2]> {
    let values = header.texts(tag);
    let [first, second] = values.as_slice() else { return None };
    Some([first.parse().ok()?, second.parse().ok()?])
}

#[cfg(test)]
mod tests {
    use dicom::core::VR;

    use super::*;
    use crate::sr::attribute::element;
    use crate::sr::testimony::source;

    #[test]
    fn spacing_goes_before_ratio_and_nonsense_is_square() {
        let tallness = |elements| PixelShape::of(&source(elements).header).tallness();
        let ratio = || element(tags::PIXEL_ASPECT_RATIO, VR::IS, "4\\3");
        assert_eq!(tallness(vec![ratio()]), 4.0 / 3.0);
        assert_eq!(tallness(vec![element(tags::IMAGER_PIXEL_SPACING, VR::DS, "0.2\\0.1"), ratio()]), 2.0);
        for nonsense in ["0\\1", "1", "-1\\1", "1\\x", "1\\100"] {
            assert_eq!(tallness(vec![element(tags::PIXEL_SPACING, VR::DS, nonsense)]), 1.0, "{nonsense}");
        }
    }
}
