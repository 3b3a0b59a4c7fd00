//! JPEG XL (ISO/IEC 18181) by the `jxl-oxide` crate: one grey channel, one frame, integer samples.

use jxl_oxide::image::BitDepth;
use jxl_oxide::{AllocTracker, JxlImage, PixelFormat};

use super::{Broken, Header, Rows, agrees};

/// Octets that the decoder may have for a pixel: samples and coefficients of 32 bits, before and after filters.
const MEMORY_PER_PIXEL: usize = 20;
/// And for tables, whatever the size.
const MEMORY_AT_REST: usize = 32 << 20;

/// Decodes one frame of one component; its precision.
pub(super) fn decode(stream: &[u8], header: &Header, rows: &mut dyn Rows) -> Result<u32, Broken> {
    let memory = header.pixels.saturating_mul(MEMORY_PER_PIXEL).saturating_add(MEMORY_AT_REST);
    let builder = JxlImage::builder().alloc_tracker(AllocTracker::with_limit(memory));
    let mut unread = builder.build_uninit();
    let taken = unread.feed_bytes(stream).map_err(|_| Broken::Damaged)?;
    let mut image = match unread.try_init().map_err(|_| Broken::Damaged)? {
        jxl_oxide::InitializeResult::Initialized(image) => image,
        jxl_oxide::InitializeResult::NeedMoreData(_) => return Err(Broken::EndsEarly),
    };
    // What its header says, before any pixel.
    let precision = match image.image_header().metadata.bit_depth {
        BitDepth::IntegerSample { bits_per_sample } => bits_per_sample,
        BitDepth::FloatSample { .. } => return Err(Broken::Precision),
    };
    agrees(header, image.height(), image.width(), precision)?;
    if image.pixel_format() != PixelFormat::Gray {
        return Err(Broken::Components);
    }
    image.feed_bytes(stream.get(taken..).unwrap_or_default()).map_err(|_| Broken::Damaged)?;
    if !image.is_loading_done() {
        return Err(Broken::EndsEarly);
    }
    let render = image.render_frame(0).map_err(|_| Broken::Damaged)?;
    if image.num_loaded_keyframes() != 1 || render.orientation() != 1 {
        return Err(Broken::FrameForm);
    }
    let white = ((1_u32 << precision) - 1) as f32;
    let mut samples = render.stream();
    let (mut levels, mut row) = (vec![0.0_f32; header.columns], vec![0; header.columns]);
    for _ in 0..header.rows {
        if samples.write_to_buffer(&mut levels) != header.columns {
            return Err(Broken::PixelCount);
        }
        row.iter_mut().zip(&levels).for_each(|(cell, level)| *cell = (level * white).round().clamp(0.0, white) as u16);
        rows.words(&row)?;
    }
    Ok(precision)
}
