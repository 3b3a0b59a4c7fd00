//! JPEG (T.81): 8-bit sequential by the `zune-jpeg` crate, lossless by `jpeg-decoder`, 12-bit sequential by our own.

use std::io::Cursor;

use jpeg_decoder::PixelFormat;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;

use super::markers::{Frame, SOF_BASELINE, SOF_EXTENDED, SOF_LOSSLESS};
use super::{Broken, Cells, Decoded, Header, jpeg_extended};

/// Decodes one frame of one component.
pub(super) fn decode(stream: &[u8], header: &Header) -> Result<Decoded, Broken> {
    let frame = Frame::of(stream, header)?;
    let cells = match (frame.marker, frame.precision) {
        (SOF_BASELINE | SOF_EXTENDED, 8) => sequential(stream, header)?,
        (SOF_EXTENDED, 12) => Cells::Words(jpeg_extended::decode(stream)?),
        (SOF_LOSSLESS, 2..=16) => lossless(stream, header)?,
        _ => return Err(Broken::ForeignProcess),
    };
    Ok(Decoded { cells, precision: frame.precision })
}

fn sequential(stream: &[u8], header: &Header) -> Result<Cells, Broken> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(header.columns)
        .set_max_height(header.rows)
        .jpeg_set_out_colorspace(ColorSpace::Luma);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(Cursor::new(stream), options);
    decoder.decode().map(Cells::Bytes).map_err(|_| Broken::Damaged)
}

fn lossless(stream: &[u8], header: &Header) -> Result<Cells, Broken> {
    let mut decoder = jpeg_decoder::Decoder::new(stream);
    decoder.set_max_decoding_buffer_size(2 * header.pixels);
    let bytes = decoder.decode().map_err(|_| Broken::Damaged)?;
    match decoder.info().map(|info| info.pixel_format) {
        Some(PixelFormat::L8) => Ok(Cells::Bytes(bytes)),
        Some(PixelFormat::L16) => {
            let (pairs, _) = bytes.as_chunks::<2>();
            Ok(Cells::Words(pairs.iter().map(|pair| u16::from_ne_bytes(*pair)).collect()))
        }
        _ => Err(Broken::Components),
    }
}
