//! From a DICOM file or a picture to luminance: what a radiologist sees, as numbers.
//!
//! `header` holds what it says of its pixels, `codec` turns the code stream into
//! `samples`, `grey` maps stored values to luminance (PS3.3 C.7.6.3, C.11.1, C.11.2), `radiograph` is both together and
//! `resample` brings it to another size; `picture` reads JPEG and PNG. `docs/decoders.md` lists which decoder serves which
//! transfer syntax.

mod codec;
mod error;
mod format;
mod grey;
mod header;
mod jpeg_outline;
mod lut;
mod picture;
mod radiograph;
mod rendering;
mod resample;
mod samples;

pub use codec::DECODABLE;
pub use error::PixelError;
pub use format::Format;
pub use jpeg_outline::{JpegOutline, jpeg_outline};
pub use picture::picture;
pub use radiograph::Radiograph;
pub use rendering::{ModalityStep, Polarity, Rendering, VoiFunction, VoiStep};

use std::path::Path;

use dicom::dictionary_std::tags;

use crate::part10::{self, Extent, Location, ReadError, Values};

/// What one image may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Rows times columns, at most; memory and deflated data are bounded in proportion.
    pub max_pixels: u64,
}

/// What a file may hold besides its pixels: header, look-up tables, overlays, metadata; in bytes.
const HEADER_ALLOWANCE: u64 = 16 << 20;

impl Bounds {
    /// Bytes that a deflated data set may inflate to.
    fn inflated(&self) -> u64 {
        self.max_pixels.saturating_mul(2).saturating_add(HEADER_ALLOWANCE)
    }

    /// The number of pixels of an image that is not empty and within the bounds.
    fn admit(&self, rows: u64, columns: u64) -> Result<usize, PixelError> {
        if rows == 0 || columns == 0 {
            return Err(PixelError::Contradictory("the image has no rows or no columns".into()));
        }
        rows.checked_mul(columns)
            .filter(|pixels| *pixels <= self.max_pixels)
            .and_then(|pixels| usize::try_from(pixels).ok())
            .ok_or(PixelError::TooLarge { rows, columns, max_pixels: self.max_pixels })
    }
}

/// Reads a DICOM Part 10 file (PS3.10) with one MONOCHROME1 or MONOCHROME2 frame.
///
/// Modality LUT or rescale, the first VOI LUT or else the first window or else minimum to maximum, Presentation
/// LUT Shape and MONOCHROME1 inversion are applied; Pixel Padding is black. Overlays are not drawn. What is not compressed
/// stays in the file and is read when its luminance is asked for.
///
/// # Errors
/// Every variant of [`PixelError`].
pub fn decode(location: impl Into<Location>, bounds: &Bounds) -> Result<Radiograph, PixelError> {
    let location = location.into();
    let mut object = part10::read(&location, Extent::CodeStream, Values::Decoded, bounds.inflated()).map_err(
        |error| match error {
            ReadError::Io(source) => PixelError::Io { location: location.clone(), source },
            ReadError::NotDicom(_) => PixelError::NotDecodable(error.to_string()),
        },
    )?;
    if object.native_pixels.is_none() && object.data_set.get(tags::PIXEL_DATA).is_none() {
        return Err(PixelError::NoPixelData);
    }
    let header = header::Header::of(&object.data_set, bounds)?;
    let grey = grey::Grey::of(&object.data_set, header.signed)?;
    grey.radiograph(codec::samples(&location, &mut object, &header)?)
}

/// Reads a DICOM file, a JPEG or a PNG picture, whatever its name: as [`decode`] or [`picture`] does.
///
/// # Errors
/// Every variant of [`PixelError`].
pub fn read(path: &Path, bounds: &Bounds) -> Result<Radiograph, PixelError> {
    match Format::of(path) {
        Ok(Format::Dicom) => decode(path, bounds),
        Ok(Format::Picture) => picture(path, bounds),
        Ok(Format::Other) => Err(PixelError::NotDecodable("neither DICOM nor a JPEG or PNG picture".into())),
        Err(source) => Err(PixelError::Io { location: path.into(), source }),
    }
}
