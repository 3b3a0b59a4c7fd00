//! What a header says of its pixels (Image Pixel module, PS3.3 C.7.6.3), held against itself.

use dicom::core::Tag;
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;
use serde::{Deserialize, Serialize};

use super::{Bounds, PixelError};
use crate::part10::attribute::{integer, text};

/// The form of one frame's stored values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub rows: usize,
    pub columns: usize,
    /// `rows * columns`, within the bounds.
    pub pixels: usize,
    /// 8 or 16.
    pub bits_allocated: u32,
    /// 1..=`bits_allocated`.
    pub bits_stored: u32,
    /// `bits_stored - 1`..`bits_allocated`.
    pub high_bit: u32,
    /// Pixel Representation 1: two's complement.
    pub signed: bool,
}

impl Header {
    /// Reads and validates the Image Pixel module of a grey image with one frame.
    pub fn of(dataset: &InMemDicomObject, bounds: &Bounds) -> Result<Self, PixelError> {
        monochrome(dataset)?;
        let number = |tag, name| required(dataset, tag, name);
        let (rows, columns) = (number(tags::ROWS, "Rows")?, number(tags::COLUMNS, "Columns")?);
        let pixels = bounds.admit(rows.into(), columns.into())?;
        let frames = optional(dataset, tags::NUMBER_OF_FRAMES, "Number of Frames")?.unwrap_or(1);
        if frames != 1 {
            return Err(PixelError::NotDecodable(format!("{frames} frames; only images of one frame are read")));
        }
        let samples = optional(dataset, tags::SAMPLES_PER_PIXEL, "Samples per Pixel")?.unwrap_or(1);
        let header = Self {
            rows: rows as usize,
            columns: columns as usize,
            pixels,
            bits_allocated: number(tags::BITS_ALLOCATED, "Bits Allocated")?,
            bits_stored: number(tags::BITS_STORED, "Bits Stored")?,
            high_bit: number(tags::HIGH_BIT, "High Bit")?,
            signed: number(tags::PIXEL_REPRESENTATION, "Pixel Representation")? == 1,
        };
        require(samples == 1, || format!("MONOCHROME with {samples} Samples per Pixel"))?;
        header.consistent()
    }

    /// Bytes of one pixel cell: 1 or 2.
    pub fn cell_bytes(&self) -> usize {
        if self.bits_allocated == 8 { 1 } else { 2 }
    }

    fn consistent(self) -> Result<Self, PixelError> {
        let Self { bits_allocated, bits_stored, high_bit, .. } = self;
        if !matches!(bits_allocated, 8 | 16) {
            return Err(PixelError::NotDecodable(format!("{bits_allocated} Bits Allocated; 8 and 16 are read")));
        }
        require((1..=bits_allocated).contains(&bits_stored), || {
            format!("Bits Stored {bits_stored} of {bits_allocated} Bits Allocated")
        })?;
        require((bits_stored - 1..bits_allocated).contains(&high_bit), || {
            format!("High Bit {high_bit} with {bits_stored} Bits Stored of {bits_allocated}")
        })?;
        Ok(self)
    }
}

/// Photometric interpretations of PS3.3 C.7.6.3.1.2 that are no grey image.
const OTHER_INTERPRETATIONS: [&str; 12] = [
    "PALETTE COLOR",
    "RGB",
    "HSV",
    "ARGB",
    "CMYK",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_PARTIAL_422",
    "YBR_PARTIAL_420",
    "YBR_ICT",
    "YBR_RCT",
    "XYB",
];

fn monochrome(dataset: &InMemDicomObject) -> Result<(), PixelError> {
    let Some(value) = text(dataset, tags::PHOTOMETRIC_INTERPRETATION) else {
        return Err(missing("Photometric Interpretation"));
    };
    if matches!(value.as_str(), "MONOCHROME1" | "MONOCHROME2") {
        return Ok(());
    }
    let known = OTHER_INTERPRETATIONS.iter().find(|known| **known == value);
    Err(PixelError::Photometric(known.copied().unwrap_or("(not a defined term)")))
}

fn required(dataset: &InMemDicomObject, tag: Tag, name: &'static str) -> Result<u32, PixelError> {
    optional(dataset, tag, name)?.ok_or_else(|| missing(name))
}

/// A whole number that may be absent or empty, but not anything else.
fn optional(dataset: &InMemDicomObject, tag: Tag, name: &'static str) -> Result<Option<u32>, PixelError> {
    let number = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
    integer(dataset, tag)
        .map(|value| number(value).ok_or_else(|| PixelError::Contradictory(format!("{name} is not a whole number"))))
        .transpose()
}

fn missing(name: &'static str) -> PixelError {
    PixelError::Contradictory(format!("{name} is missing"))
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), PixelError> {
    if holds { Ok(()) } else { Err(PixelError::Contradictory(otherwise())) }
}

#[cfg(test)]
mod tests {
    use dicom::core::{DataElement, PrimitiveValue, VR};

    use super::*;

    const BOUNDS: Bounds = Bounds { max_pixels: 100 };

    fn dataset() -> InMemDicomObject {
        let us = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
        InMemDicomObject::from_element_iter([
            us(tags::SAMPLES_PER_PIXEL, 1),
            DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, PrimitiveValue::from("MONOCHROME2 ")),
            us(tags::ROWS, 4),
            us(tags::COLUMNS, 5),
            us(tags::BITS_ALLOCATED, 16),
            us(tags::BITS_STORED, 12),
            us(tags::HIGH_BIT, 11),
            us(tags::PIXEL_REPRESENTATION, 0),
        ])
    }

    fn with(tag: Tag, value: u16) -> Result<Header, PixelError> {
        let mut dataset = dataset();
        dataset.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
        Header::of(&dataset, &BOUNDS)
    }

    #[test]
    fn a_consistent_header_is_read() {
        let header = Header::of(&dataset(), &BOUNDS).unwrap();
        assert_eq!((header.rows, header.columns, header.pixels, header.cell_bytes()), (4, 5, 20, 2));
        assert_eq!((header.bits_stored, header.high_bit, header.signed), (12, 11, false));
        assert_eq!(with(tags::HIGH_BIT, 15).unwrap().high_bit, 15);
    }

    #[test]
    fn contradictions_are_told_apart() {
        for (tag, value) in [
            (tags::BITS_STORED, 0),
            (tags::BITS_STORED, 17),
            (tags::HIGH_BIT, 10),
            (tags::HIGH_BIT, 16),
            (tags::SAMPLES_PER_PIXEL, 3),
            (tags::ROWS, 0),
        ] {
            assert!(matches!(with(tag, value), Err(PixelError::Contradictory(_))), "{tag} {value}");
        }
        for bits in [0, 1, 12, 32] {
            assert!(matches!(with(tags::BITS_ALLOCATED, bits), Err(PixelError::NotDecodable(_))));
        }
        assert!(matches!(with(tags::NUMBER_OF_FRAMES, 2), Err(PixelError::NotDecodable(_))));
        assert!(matches!(with(tags::ROWS, 21), Err(PixelError::TooLarge { rows: 21, .. })));
    }

    #[test]
    fn what_is_absent_is_named() {
        for tag in [tags::ROWS, tags::BITS_ALLOCATED, tags::PHOTOMETRIC_INTERPRETATION] {
            let mut dataset = dataset();
            dataset.remove_element(tag);
            assert!(Header::of(&dataset, &BOUNDS).unwrap_err().to_string().contains("is missing"));
        }
    }

    #[test]
    fn colour_is_declined_without_repeating_the_peers_text() {
        for (sent, told) in [("RGB", "RGB"), ("DOE^JANE", "(not a defined term)")] {
            let mut dataset = dataset();
            dataset.put(DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, PrimitiveValue::from(sent)));
            assert!(matches!(Header::of(&dataset, &BOUNDS), Err(PixelError::Photometric(word)) if word == told));
        }
    }
}
