//! JPEG (T.81): 8-bit sequential in full by the `zune-jpeg` crate; 12-bit sequential, lossless, and whatever is decoded
//! coarsely, by our own.

use std::io::Cursor;

use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;

use super::markers::{Frame, SOF_BASELINE, SOF_EXTENDED, SOF_LOSSLESS};
use super::{Broken, Decoded, Grain, Header, Rows, Step, jpeg_extended, jpeg_lossless};

/// Decodes one frame of one component, by the discrete cosine transform as coarsely as is wanted.
pub(super) fn decode(stream: &[u8], header: &Header, coarsest: Step, rows: &mut dyn Rows) -> Result<Decoded, Broken> {
    let frame = Frame::of(stream, header)?;
    // The mean of samples that have more than the stored value in them means nothing.
    let (step, stored) = match header.high_bit + 1 == header.bits_stored {
        true => (coarsest, header.bits_stored),
        false => (Step::One, frame.precision),
    };
    let grain = match (frame.marker, frame.precision) {
        (SOF_BASELINE | SOF_EXTENDED, 8) if step == Step::One => sequential(stream, header, rows)?,
        (SOF_BASELINE, 8) | (SOF_EXTENDED, 8 | 12) => jpeg_extended::decode(stream, stored, step, rows)?,
        (SOF_LOSSLESS, 2..=16) => jpeg_lossless::decode(stream, rows).map(|()| Grain::default())?,
        _ => return Err(Broken::ForeignProcess),
    };
    Ok(Decoded { precision: frame.precision, grain })
}

fn sequential(stream: &[u8], header: &Header, rows: &mut dyn Rows) -> Result<Grain, Broken> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(header.columns)
        .set_max_height(header.rows)
        .jpeg_set_out_colorspace(ColorSpace::Luma);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(Cursor::new(stream), options);
    rows.bytes(&decoder.decode().map_err(|_| Broken::Damaged)?).map(|()| Grain::default())
}
