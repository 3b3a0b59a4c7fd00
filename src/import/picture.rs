//! Pictures as they come from disk: JPEG or PNG, any colour, turned into what a radiograph's pixel data may hold.

use std::io::Cursor;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::ImportError;
use crate::pixels::jpeg_outline;

/// How the pixel data is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// A greyscale 8-bit baseline JPEG as the JPEG stream it is, all else uncompressed.
    AsIs,
    /// Decoded samples in every case.
    Uncompressed,
}

/// Grey samples, 0 = black, in one of the forms that go into Pixel Data (7FE0,0010).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Samples {
    /// One octet a pixel.
    Grey8(Vec<u8>),
    /// Sixteen bits a pixel.
    Grey16(Vec<u16>),
    /// A greyscale 8-bit baseline JPEG stream, from SOI to EOI.
    Jpeg(Vec<u8>),
}

/// A greyscale picture, ready to become a DICOM image.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub(super) columns: u16,
    pub(super) rows: u16,
    pub(super) samples: Samples,
    /// Size before lossy compression by size after it; `None` for a picture that never lost anything.
    pub(super) lossy_ratio: Option<f64>,
}

impl Picture {
    /// Reads a JPEG or PNG file. Colour becomes Rec.601 luma, transparency is ignored, an Exif rotation is applied.
    pub fn open(path: &Path, encoding: Encoding) -> Result<Self, ImportError> {
        let octets = std::fs::read(path).map_err(|source| ImportError::Io { path: path.to_owned(), source })?;
        let broken =
            |cause: String| ImportError::Picture { path: path.to_owned(), cause: cause.replace(['\n', '\r'], " ") };
        let (image, format, orientation) = decode(&octets).map_err(|error| broken(error.to_string()))?;
        let (columns, rows) = (image.width().try_into(), image.height().try_into());
        let (Ok(columns), Ok(rows)) = (columns, rows) else {
            return Err(broken("more than 65535 pixels wide or high".into()));
        };

        let is_jpeg = format == Some(ImageFormat::Jpeg);
        let lossy_ratio = is_jpeg.then(|| image.as_bytes().len() as f64 / octets.len() as f64);
        let samples = if is_jpeg {
            let stream = jpeg_outline(&octets).ok_or_else(|| broken("the JPEG data ends early".into()))?;
            match encoding {
                Encoding::AsIs if stream.grey_baseline && orientation == Orientation::NoTransforms => {
                    Samples::Jpeg(stream.octets.to_vec())
                }
                _ => grey(image),
            }
        } else {
            grey(image)
        };
        Ok(Self { columns, rows, samples, lossy_ratio })
    }

    /// A picture of 8-bit samples computed elsewhere, row by row from the top left; `None` if they do not fill it.
    pub fn grey8(columns: u16, rows: u16, samples: Vec<u8>) -> Option<Self> {
        let pixels = usize::from(columns) * usize::from(rows);
        let filled = pixels > 0 && samples.len() == pixels;
        filled.then_some(Self { columns, rows, samples: Samples::Grey8(samples), lossy_ratio: None })
    }

    /// Columns and rows.
    pub fn size(&self) -> (u16, u16) {
        (self.columns, self.rows)
    }
}

fn decode(octets: &[u8]) -> image::ImageResult<(DynamicImage, Option<ImageFormat>, Orientation)> {
    let reader = ImageReader::new(Cursor::new(octets)).with_guessed_format()?;
    let format = reader.format();
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok((image, format, orientation))
}

/// Grey samples at the picture's own depth; equal channels keep their value exactly.
fn grey(image: DynamicImage) -> Samples {
    let deep = image.color().bytes_per_pixel() > image.color().channel_count();
    if deep {
        Samples::Grey16(image.into_rgb16().pixels().map(|pixel| luma(pixel.0) as u16).collect())
    } else {
        Samples::Grey8(image.into_rgb8().pixels().map(|pixel| luma(pixel.0) as u8).collect())
    }
}

/// Luma by ITU-R BT.601, rounded to nearest; never larger than the largest channel.
fn luma<T: Into<u32>>([red, green, blue]: [T; 3]) -> u32 {
    (299 * red.into() + 587 * green.into() + 114 * blue.into() + 500) / 1000
}
