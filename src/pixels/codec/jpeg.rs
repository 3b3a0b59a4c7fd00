//! JPEG (T.81): 8-bit sequential by the `zune-jpeg` crate, 12-bit sequential and lossless by our own.

use std::io::Cursor;

use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;

use super::markers::{Frame, SOF_BASELINE, SOF_EXTENDED, SOF_LOSSLESS};
use super::{Broken, Header, Rows, jpeg_extended, jpeg_lossless};

/// Decodes one frame of one component; its precision.
pub(super) fn decode(stream: &[u8], header: &Header, rows: &mut dyn Rows) -> Result<u32, Broken> {
    let frame = Frame::of(stream, header)?;
    match (frame.marker, frame.precision) {
        (SOF_BASELINE | SOF_EXTENDED, 8) => sequential(stream, header, rows)?,
        (SOF_EXTENDED, 12) => jpeg_extended::decode(stream, rows)?,
        (SOF_LOSSLESS, 2..=16) => jpeg_lossless::decode(stream, rows)?,
        _ => return Err(Broken::ForeignProcess),
    }
    Ok(frame.precision)
}

fn sequential(stream: &[u8], header: &Header, rows: &mut dyn Rows) -> Result<(), Broken> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(header.columns)
        .set_max_height(header.rows)
        .jpeg_set_out_colorspace(ColorSpace::Luma);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(Cursor::new(stream), options);
    rows.bytes(&decoder.decode().map_err(|_| Broken::Damaged)?)
}
