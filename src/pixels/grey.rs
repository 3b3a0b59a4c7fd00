//! Stored values to luminance: modality, value of interest, presentation (PS3.3 C.11.1, C.11.2, C.11.6).

use std::borrow::Cow;
use std::ops::RangeInclusive;

use dicom::core::Tag;
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;

use super::header::Header;
use super::lut::{Input, Lut};
use super::rendering::{ModalityStep, Polarity, Rendering, VoiFunction, VoiStep};
use super::samples::Samples;
use super::{PixelError, Radiograph};
use crate::part10::attribute::{decimal, integer, text};

/// The share of all stored values that a window must be as wide as, for means to be kept well enough: at what it cuts off,
/// they are not.
const WIDE: f64 = 0.8;

/// The grey scale transformations of one image.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grey {
    modality: Modality,
    /// `None` where the header has none: then from the smallest to the largest value that occurs.
    voi: Option<Voi>,
    polarity: Polarity,
    /// Stored values that are no image: shown black, and not counted in the range of values (C.7.5.1.1.2).
    padding: Option<RangeInclusive<i32>>,
}

/// Stored value to the modality's unit (C.11.1).
#[derive(Debug, Clone, PartialEq)]
enum Modality {
    Rescale { slope: f64, intercept: f64 },
    Table(Lut),
}

/// Modality value to a fraction of the output's range (C.11.2).
#[derive(Debug, Clone, PartialEq)]
enum Voi {
    Table(Lut),
    /// LINEAR; `width` at least 1.
    Linear {
        centre: f64,
        width: f64,
    },
    /// LINEAR_EXACT; `width` above 0.
    LinearExact {
        centre: f64,
        width: f64,
    },
    /// SIGMOID; `width` above 0.
    Sigmoid {
        centre: f64,
        width: f64,
    },
    /// From the lowest to the highest value that occurs.
    Extent {
        low: f64,
        high: f64,
    },
}

impl Grey {
    /// Reads the transformations; `signed` is the stored values' Pixel Representation.
    pub fn of(dataset: &InMemDicomObject, signed: bool) -> Result<Self, PixelError> {
        let stored = if signed { Input::Signed } else { Input::Unsigned };
        let modality = Modality::of(dataset, stored)?;
        let voi = Voi::of(dataset, modality.output(stored))?;
        let is = |tag, term| text(dataset, tag).as_deref() == Some(term);
        let inverse =
            is(tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME1") || is(tags::PRESENTATION_LUT_SHAPE, "INVERSE");
        let polarity = if inverse { Polarity::HighIsBlack } else { Polarity::LowIsBlack };
        Ok(Self { modality, voi, polarity, padding: padding(dataset, stored) })
    }

    /// The image of these samples.
    pub fn radiograph(self, samples: Samples) -> Result<Radiograph, PixelError> {
        let voi = match &self.voi {
            Some(voi) => Cow::Borrowed(voi),
            None => Cow::Owned(self.extent(&samples)?),
        };
        let luminance = |stored: i32| match self.polarity {
            _ if self.is_padding(stored) => 0.0,
            Polarity::LowIsBlack => voi.fraction(self.modality.value(stored)),
            Polarity::HighIsBlack => 1.0 - voi.fraction(self.modality.value(stored)),
        };
        let table: Vec<f32> = (0..samples.codes()).map(|code| luminance(samples.value(code)) as f32).collect();
        if table.iter().any(|luminance| luminance.is_nan()) {
            return Err(PixelError::Contradictory("rescale and window are beyond all numbers".into()));
        }
        let rendering = self.rendering(&voi);
        Ok(Radiograph::new(samples, table.into_iter(), rendering))
    }

    /// Whether the luminance of a mean of stored values is the mean of their luminances: what lies between black and white
    /// is straight, nothing is padding, and the window shows [`WIDE`] of all values or more.
    pub fn keeps_means(&self, header: &Header) -> bool {
        let (Modality::Rescale { slope, .. }, Some(voi)) = (&self.modality, &self.voi) else { return false };
        let (Voi::Linear { width, .. } | Voi::LinearExact { width, .. }) = voi else { return false };
        let all = f64::from(1_u32 << header.bits_stored) * slope.abs();
        !header.signed && self.padding.is_none() && *width >= WIDE * all
    }

    /// What [`Grey::radiograph`] does, in words that others can use.
    fn rendering(&self, applied: &Voi) -> Rendering {
        let modality = match &self.modality {
            Modality::Rescale { slope, intercept } => ModalityStep::Rescale { slope: *slope, intercept: *intercept },
            Modality::Table(_) => ModalityStep::Table,
        };
        let window = |function, centre: &f64, width: &f64| VoiStep::Window { function, centre: *centre, width: *width };
        let voi = match applied {
            Voi::Table(_) => VoiStep::Table,
            Voi::Linear { centre, width } => window(VoiFunction::Linear, centre, width),
            Voi::LinearExact { centre, width } => window(VoiFunction::LinearExact, centre, width),
            Voi::Sigmoid { centre, width } => window(VoiFunction::Sigmoid, centre, width),
            Voi::Extent { low, high } => VoiStep::Extent { low: *low, high: *high },
        };
        Rendering { modality, voi, polarity: self.polarity, padding: self.padding.clone() }
    }

    /// The window from the smallest to the largest modality value that occurs outside the padding.
    fn extent(&self, samples: &Samples) -> Result<Voi, PixelError> {
        let occurring = samples.occurring()?;
        let values = occurring.iter().enumerate().filter(|(_, occurs)| **occurs).map(|(code, _)| samples.value(code));
        let (low, high) = values
            .filter(|stored| !self.is_padding(*stored))
            .map(|stored| self.modality.value(stored))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        Ok(Voi::Extent { low, high })
    }

    fn is_padding(&self, stored: i32) -> bool {
        self.padding.as_ref().is_some_and(|range| range.contains(&stored))
    }
}

impl Modality {
    fn of(dataset: &InMemDicomObject, stored: Input) -> Result<Self, PixelError> {
        if let Some(table) = Lut::first_of(dataset, tags::MODALITY_LUT_SEQUENCE, stored)? {
            return Ok(Self::Table(table));
        }
        let slope = decimal(dataset, tags::RESCALE_SLOPE).unwrap_or(1.0);
        let intercept = decimal(dataset, tags::RESCALE_INTERCEPT).unwrap_or(0.0);
        if slope == 0.0 {
            return Err(PixelError::Contradictory("Rescale Slope is 0".into()));
        }
        Ok(Self::Rescale { slope, intercept })
    }

    fn value(&self, stored: i32) -> f64 {
        match self {
            Self::Rescale { slope, intercept } => f64::from(stored) * slope + intercept,
            Self::Table(table) => table.value(stored.into()),
        }
    }

    /// Whether the results can be negative.
    fn output(&self, stored: Input) -> Input {
        match self {
            Self::Rescale { slope, intercept } if *intercept < 0.0 || *slope < 0.0 => Input::Signed,
            Self::Rescale { .. } => stored,
            Self::Table(_) => Input::Unsigned,
        }
    }
}

impl Voi {
    /// The first VOI LUT, else the first window; a window without a usable width counts as none.
    fn of(dataset: &InMemDicomObject, input: Input) -> Result<Option<Self>, PixelError> {
        if let Some(table) = Lut::first_of(dataset, tags::VOILUT_SEQUENCE, input)? {
            return Ok(Some(Self::Table(table)));
        }
        let centre = decimal(dataset, tags::WINDOW_CENTER);
        let (Some(centre), Some(width)) = (centre, decimal(dataset, tags::WINDOW_WIDTH)) else { return Ok(None) };
        let (window, least) = match text(dataset, tags::VOILUT_FUNCTION).as_deref() {
            None | Some("LINEAR") => (Self::Linear { centre, width }, 1.0),
            Some("LINEAR_EXACT") => (Self::LinearExact { centre, width }, f64::MIN_POSITIVE),
            Some("SIGMOID") => (Self::Sigmoid { centre, width }, f64::MIN_POSITIVE),
            Some(_) => return Err(PixelError::NotDecodable("a VOI LUT Function that PS3.3 C.11.2.1.3 lacks".into())),
        };
        Ok((width >= least).then_some(window))
    }

    /// C.11.2.1.1 to C.11.2.1.3, with the output range 0..=1.
    fn fraction(&self, value: f64) -> f64 {
        match self {
            Self::Table(table) => table.fraction(value),
            Self::Linear { centre, width } => ramp(value, centre - 0.5, width - 1.0),
            Self::LinearExact { centre, width } => ramp(value, *centre, *width),
            Self::Sigmoid { centre, width } => 1.0 / (1.0 + (-4.0 * (value - centre) / width).exp()),
            Self::Extent { low, high } => ramp(value, (low + high) / 2.0, (high - low).max(f64::MIN_POSITIVE)),
        }
    }
}

/// 0 up to `width / 2` below the centre, 1 from `width / 2` above it, straight between; width 0 is a step.
fn ramp(value: f64, centre: f64, width: f64) -> f64 {
    if value <= centre - width / 2.0 {
        0.0
    } else if value > centre + width / 2.0 {
        1.0
    } else {
        ((value - centre) / width + 0.5).clamp(0.0, 1.0)
    }
}

/// Pixel Padding Value, up to Pixel Padding Range Limit where there is one (PS3.3 C.7.5.1.1.2).
fn padding(dataset: &InMemDicomObject, stored: Input) -> Option<RangeInclusive<i32>> {
    let number = |tag: Tag| {
        let number = integer(dataset, tag)??;
        Some(if stored == Input::Signed { i32::from(number as i16) } else { number })
    };
    let value = number(tags::PIXEL_PADDING_VALUE)?;
    let limit = number(tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(value);
    Some(value.min(limit)..=value.max(limit))
}

#[cfg(test)]
mod tests {
    use dicom::core::{DataElement, PrimitiveValue, VR};

    use super::super::samples::Cells;
    use super::*;

    fn samples(cells: &[u16], signed: bool) -> Samples {
        let header = Header {
            rows: 1,
            columns: cells.len(),
            pixels: cells.len(),
            bits_allocated: 16,
            bits_stored: 12,
            high_bit: 11,
            signed,
        };
        Samples::as_in_header(Cells::Words(cells.to_vec()), &header)
    }

    fn dataset(texts: &[(Tag, &str)]) -> InMemDicomObject {
        InMemDicomObject::from_element_iter(texts.iter().map(|(tag, text)| {
            DataElement::new(*tag, VR::LO, PrimitiveValue::Strs(text.split('\\').map(str::to_owned).collect()))
        }))
    }

    fn luminance(texts: &[(Tag, &str)], cells: &[u16], signed: bool) -> Vec<f32> {
        Grey::of(&dataset(texts), signed).unwrap().radiograph(samples(cells, signed)).unwrap().luminance().unwrap()
    }

    fn assert_close(ours: &[f32], expected: &[f32]) {
        let close = ours.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close && ours.len() == expected.len(), "{ours:?} instead of {expected:?}");
    }

    #[test]
    fn windows_follow_the_standards_formulas() {
        // C.11.2.1.2 example: c = 2048, w = 4096 is 0 up to 0, 1 above 4095, ((x - 2047.5) / 4095 + 0.5) between.
        let linear = Voi::Linear { centre: 2048.0, width: 4096.0 };
        assert_eq!([0.0, 4095.0, 5000.0, -1.0].map(|x| linear.fraction(x)), [0.0, 1.0, 1.0, 0.0]);
        assert!((linear.fraction(1000.0) - 1000.0 / 4095.0).abs() < 1e-12);
        let step = Voi::Linear { centre: 0.0, width: 1.0 };
        assert_eq!([-1.0, -0.5, 0.0].map(|x| step.fraction(x)), [0.0, 0.0, 1.0]);
        let exact = Voi::LinearExact { centre: 2048.0, width: 4096.0 };
        assert_eq!([0.0, 1024.0, 2048.0, 4096.0].map(|x| exact.fraction(x)), [0.0, 0.25, 0.5, 1.0]);
        let sigmoid = Voi::Sigmoid { centre: 100.0, width: 40.0 };
        assert_eq!(sigmoid.fraction(100.0), 0.5);
        // 1 / (1 + e^-1)
        assert!((sigmoid.fraction(110.0) - 0.731_058_578_630_005).abs() < 1e-12);
    }

    #[test]
    fn the_first_of_several_windows_counts() {
        let window = [(tags::WINDOW_CENTER, "2.5\\9"), (tags::WINDOW_WIDTH, "5\\1")];
        assert_close(&luminance(&window, &[0, 1, 2, 3, 4, 9], false), &[0.0, 0.25, 0.5, 0.75, 1.0, 1.0]);
    }

    #[test]
    fn without_a_usable_window_the_extent_counts() {
        let expected = [0.0, 0.5, 1.0];
        assert_close(&luminance(&[], &[10, 20, 30], false), &expected);
        let useless = [(tags::WINDOW_CENTER, "5"), (tags::WINDOW_WIDTH, "0")];
        assert_close(&luminance(&useless, &[10, 20, 30], false), &expected);
        // -100, 0, 100 of twelve bits
        assert_close(&luminance(&[], &[0xf9c, 0, 100], true), &expected);
        assert_close(&luminance(&[], &[7, 7], false), &[0.0, 0.0]);
    }

    #[test]
    fn what_was_applied_can_be_said() {
        let said = |texts: &[(Tag, &str)], cells: &[u16]| {
            let radiograph = Grey::of(&dataset(texts), false).unwrap().radiograph(samples(cells, false)).unwrap();
            radiograph.rendering.to_string()
        };
        assert_eq!(
            said(&[(tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME1"), (tags::RESCALE_SLOPE, "2")], &[10, 30]),
            "rescale slope 2, intercept 0; no window, so 20 to 60, which occur; high values black (MONOCHROME1 or INVERSE)"
        );
        assert_eq!(
            said(&[(tags::WINDOW_CENTER, "40"), (tags::WINDOW_WIDTH, "400")], &[0]),
            "rescale slope 1, intercept 0; window centre 40, width 400 (LINEAR); low values black (MONOCHROME2)"
        );
    }

    #[test]
    fn rescale_comes_before_the_window() {
        let header = [
            (tags::RESCALE_SLOPE, "2"),
            (tags::RESCALE_INTERCEPT, "-10"),
            (tags::WINDOW_CENTER, "10"),
            (tags::WINDOW_WIDTH, "20"),
            (tags::VOILUT_FUNCTION, "LINEAR_EXACT"),
        ];
        assert_close(&luminance(&header, &[5, 10, 15], false), &[0.0, 0.5, 1.0]);
    }

    #[test]
    fn monochrome1_and_inverse_shape_invert_once() {
        let mono1 = (tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME1");
        let inverse = (tags::PRESENTATION_LUT_SHAPE, "INVERSE");
        for header in [&[mono1][..], &[inverse], &[mono1, inverse]] {
            assert_close(&luminance(header, &[0, 1, 4], false), &[1.0, 0.75, 0.0]);
        }
    }

    #[test]
    fn padding_is_black_and_does_not_stretch_the_extent() {
        let mut dataset = dataset(&[(tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME1")]);
        dataset.put(DataElement::new(tags::PIXEL_PADDING_VALUE, VR::US, PrimitiveValue::from(0_u16)));
        dataset.put(DataElement::new(tags::PIXEL_PADDING_RANGE_LIMIT, VR::US, PrimitiveValue::from(9_u16)));
        let grey = Grey::of(&dataset, false).unwrap();
        let luminance = grey.radiograph(samples(&[0, 9, 10, 20], false)).unwrap().luminance().unwrap();
        assert_close(&luminance, &[0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn unknown_functions_and_a_slope_of_zero_are_refused() {
        let window = [(tags::WINDOW_CENTER, "5"), (tags::WINDOW_WIDTH, "5"), (tags::VOILUT_FUNCTION, "LOG")];
        assert!(matches!(Grey::of(&dataset(&window), false), Err(PixelError::NotDecodable(_))));
        let flat = dataset(&[(tags::RESCALE_SLOPE, "0")]);
        assert!(matches!(Grey::of(&flat, false), Err(PixelError::Contradictory(_))));
    }

    #[test]
    fn a_slope_beyond_all_numbers_is_refused() {
        let steep = Grey::of(&dataset(&[(tags::RESCALE_SLOPE, "1e308")]), false).unwrap();
        assert!(matches!(steep.radiograph(samples(&[0, 9], false)), Err(PixelError::Contradictory(_))));
    }
}
