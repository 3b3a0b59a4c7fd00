//! JPEG (T.81): 8-bit sequential and lossless by the `jpeg-decoder` crate, 12-bit sequential by our own.

use jpeg_decoder::{Decoder, PixelFormat};

use super::markers::{Frame, SOF_BASELINE, SOF_EXTENDED, SOF_LOSSLESS};
use super::{Broken, Cells, Header, Samples, jpeg_extended};

/// Decodes one frame of one component.
pub(super) fn decode(stream: &[u8], header: &Header) -> Result<Samples, Broken> {
    let frame = Frame::of(stream, header)?;
    let cells = match (frame.marker, frame.precision) {
        (SOF_BASELINE | SOF_EXTENDED, 8) | (SOF_LOSSLESS, 2..=16) => by_library(stream, header)?,
        (SOF_EXTENDED, 12) => Cells::Words(jpeg_extended::decode(stream)?),
        _ => return Err(Broken("a JPEG process that DICOM does not use")),
    };
    Ok(Samples::of_stream(cells, frame.precision, header))
}

fn by_library(stream: &[u8], header: &Header) -> Result<Cells, Broken> {
    let mut decoder = Decoder::new(stream);
    decoder.set_max_decoding_buffer_size(2 * header.pixels);
    let bytes = decoder.decode().map_err(|_| Broken("the code stream is damaged"))?;
    match decoder.info().map(|info| info.pixel_format) {
        Some(PixelFormat::L8) => Ok(Cells::Bytes(bytes)),
        Some(PixelFormat::L16) => {
            let (pairs, _) = bytes.as_chunks::<2>();
            Ok(Cells::Words(pairs.iter().map(|pair| u16::from_ne_bytes(*pair)).collect()))
        }
        _ => Err(Broken("the code stream has more than one component")),
    }
}
