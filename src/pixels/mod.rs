//! From a DICOM file or a picture to luminance: what a radiologist sees, as numbers.
//!
//! `decoder` goes the way of one file. `header` holds what it says of its pixels, `codec` turns the code stream into
//! `samples`, in one of the `workers`, `stored` reads cells where they lie, `grey` maps stored values to luminance
//! (PS3.3 C.7.6.3, C.11.1, C.11.2), `radiograph` is both together and `resample` brings it to another size; `grain` says
//! how coarsely it was decoded, `geometry` how it lies, `borders` finds what is beside it; `picture` reads JPEG and PNG.
//! `docs/decoders.md` lists which decoder serves which transfer syntax.

mod borders;
mod codec;
mod decoder;
mod error;
mod format;
mod geometry;
mod grain;
mod grey;
mod header;
mod jpeg_outline;
mod lut;
mod picture;
mod radiograph;
mod rendering;
mod resample;
mod samples;
mod stored;
mod workers;

pub use codec::DECODABLE;
pub use decoder::Decoder;
pub use error::PixelError;
pub use format::Format;
pub use geometry::{Area, Geometry, PixelShape, Turn};
pub use jpeg_outline::{JpegOutline, jpeg_outline};
pub use picture::picture;
pub use radiograph::Radiograph;
pub use rendering::{ModalityStep, Polarity, Rendering, VoiFunction, VoiStep};
pub use workers::{COMMAND as WORKER_COMMAND, work};

/// What one image may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Rows times columns, at most; memory and deflated data are bounded in proportion.
    pub max_pixels: u64,
}

/// What a file may hold besides its pixels: header, look-up tables, overlays, metadata; in bytes.
const HEADER_ALLOWANCE: u64 = 16 << 20;

impl Bounds {
    /// Bytes that a deflated data set may inflate to, and that a code stream may have.
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
