//! Pictures that are no DICOM: JPEG and PNG, as training sets and screenshots have them.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{Bounds, HEADER_ALLOWANCE, PixelError, Radiograph, jpeg_outline};

/// Bytes of a pixel in the widest form (four channels of 16 bits).
const WIDEST_PIXEL: u64 = 8;

/// Reads a JPEG or PNG file, 8 or 16 bit. Colour becomes Rec. 601 luma, rounded as Pillow's `convert("L")` does;
/// an alpha channel is ignored.
///
/// # Errors
/// [`PixelError::Io`], [`PixelError::TooLarge`], and [`PixelError::NotDecodable`] for anything else.
pub fn picture(path: &Path, bounds: &Bounds) -> Result<Radiograph, PixelError> {
    let io = |source| PixelError::Io { location: path.into(), source };
    let not_decodable =
        |error: image::ImageError| PixelError::NotDecodable(error.to_string().replace(['\n', '\r'], " "));
    let most = bounds.max_pixels.saturating_mul(WIDEST_PIXEL).saturating_add(HEADER_ALLOWANCE);
    let mut octets = Vec::new();
    File::open(path).and_then(|file| file.take(most).read_to_end(&mut octets)).map_err(io)?;
    let mut reader = ImageReader::new(Cursor::new(&octets)).with_guessed_format().map_err(io)?;
    if reader.format() == Some(ImageFormat::Jpeg) && jpeg_outline(&octets).is_none() {
        return Err(PixelError::NotDecodable("the JPEG data ends early".into()));
    }
    if !matches!(reader.format(), Some(ImageFormat::Jpeg | ImageFormat::Png)) {
        return Err(PixelError::NotDecodable("neither a JPEG nor a PNG file".into()));
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(bounds.max_pixels.saturating_mul(WIDEST_PIXEL).saturating_mul(2));
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(not_decodable)?;
    let (columns, rows) = decoder.dimensions();
    bounds.admit(rows.into(), columns.into())?;
    let image = DynamicImage::from_decoder(decoder).map_err(not_decodable)?;
    Ok(radiograph(image))
}

fn radiograph(image: DynamicImage) -> Radiograph {
    let columns = image.width() as usize;
    match image {
        DynamicImage::ImageLuma8(grey) => Radiograph::of_bytes(columns, grey.into_raw()),
        DynamicImage::ImageLuma16(grey) => Radiograph::of_words(columns, grey.into_raw()),
        DynamicImage::ImageLumaA8(grey) => {
            Radiograph::of_bytes(columns, grey.pixels().map(|pixel| pixel.0[0]).collect())
        }
        DynamicImage::ImageLumaA16(grey) => {
            Radiograph::of_words(columns, grey.pixels().map(|pixel| pixel.0[0]).collect())
        }
        deep if deep.color().bytes_per_pixel() > ColorType::Rgba8.bytes_per_pixel() => {
            let levels = deep.into_rgb16().pixels().map(|pixel| luma(pixel.0.map(u32::from)) as u16).collect();
            Radiograph::of_words(columns, levels)
        }
        colour => {
            let levels = colour.into_rgb8().pixels().map(|pixel| luma(pixel.0.map(u32::from)) as u8).collect();
            Radiograph::of_bytes(columns, levels)
        }
    }
}

/// Rec. 601 luma in 16-bit fixed point.
fn luma([red, green, blue]: [u32; 3]) -> u32 {
    // At most 65535 * 65536 + 32768, which 32 bits hold.
    (red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16
}

#[cfg(test)]
mod tests {
    use image::{ImageBuffer, Luma, Rgb};

    use super::*;

    const BOUNDS: Bounds = Bounds { max_pixels: 6 };

    #[test]
    fn colour_becomes_rec_601_luma() {
        // Pillow 11: Image.new("RGB", (1, 1), colour).convert("L")
        let colours = [([255, 0, 0], 76), ([0, 255, 0], 150), ([0, 0, 255], 29), ([255; 3], 255), ([10, 20, 30], 18)];
        for (colour, grey) in colours {
            assert_eq!(luma(colour), grey);
        }
        assert_eq!(luma([65_535; 3]), 65_535);
    }

    #[test]
    fn both_depths_are_fractions_of_their_white() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep.png");
        ImageBuffer::from_fn(3, 2, |x, y| Luma([(x * 257 + y * 65_278) as u16])).save(&path).unwrap();
        let image = picture(&path, &BOUNDS).unwrap();
        let luminance = image.luminance().unwrap();
        assert_eq!((image.rows, image.columns, luminance.len()), (2, 3, 6));
        assert!((luminance[1] - 257.0 / 65_535.0).abs() < 1e-6);
        ImageBuffer::from_pixel(3, 2, Rgb([255_u8, 0, 0])).save(&path).unwrap();
        assert_eq!(picture(&path, &BOUNDS).unwrap().luminance().unwrap(), [76.0 / 255.0; 6]);
        assert!(matches!(picture(&path, &Bounds { max_pixels: 5 }), Err(PixelError::TooLarge { .. })));
    }

    #[test]
    fn a_cut_jpeg_is_declined_also_where_a_thumbnail_ends_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut.jpeg");
        ImageBuffer::from_fn(64, 64, |x, y| Luma([(x * 5 + y * 7) as u8])).save(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert!(picture(&path, &Bounds { max_pixels: 4096 }).is_ok());
        // A comment segment with an end marker in it, as a thumbnail has, then half of the picture.
        let comment = [0xff, 0xfe, 0x00, 0x04, 0xff, 0xd9];
        let cut = [&whole[..2], &comment, &whole[2..whole.len() / 2 + 200]].concat();
        std::fs::write(&path, cut).unwrap();
        let message = picture(&path, &Bounds { max_pixels: 4096 }).unwrap_err().to_string();
        assert!(message.contains("the JPEG data ends early"), "{message}");
    }

    #[test]
    fn other_files_are_declined() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.png");
        assert!(matches!(picture(&path, &BOUNDS), Err(PixelError::Io { .. })));
        std::fs::write(&path, "no picture").unwrap();
        assert!(matches!(picture(&path, &BOUNDS), Err(PixelError::NotDecodable(_))));
    }
}
