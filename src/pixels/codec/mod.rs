//! Which decoder serves which transfer syntax, and what is checked around it.

mod broken;
mod fragments;
mod huffman;
mod jpeg;
mod jpeg2000;
mod jpeg_extended;
mod jpeg_lossless;
mod jpeg_ls;
mod jpeg_xl;
mod markers;
mod rle;
mod rows;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

use super::grain::{Grain, Step};
use super::header::Header;
use super::samples::Cells;
use rows::Exactly;

use crate::part10::{Content, DEFLATED, EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN};

pub(super) use broken::Broken;
pub(super) use rows::{Kept, Rows};

/// Transfer syntax UIDs that [`decode`](super::decode) reads, those that need no decoder first.
pub const DECODABLE: &[&str] = &[
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    EXPLICIT_BIG_ENDIAN,
    DEFLATED,
    "1.2.840.10008.1.2.5",     // RLE lossless
    "1.2.840.10008.1.2.4.70",  // JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.57",  // JPEG lossless, process 14
    "1.2.840.10008.1.2.4.80",  // JPEG-LS lossless
    "1.2.840.10008.1.2.4.201", // HTJ2K lossless
    "1.2.840.10008.1.2.4.202", // HTJ2K lossless with RPCL options
    "1.2.840.10008.1.2.4.90",  // JPEG 2000 lossless
    "1.2.840.10008.1.2.4.110", // JPEG XL lossless
    "1.2.840.10008.1.2.4.81",  // JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.203", // HTJ2K
    "1.2.840.10008.1.2.4.91",  // JPEG 2000
    "1.2.840.10008.1.2.4.51",  // JPEG extended, processes 2 and 4
    "1.2.840.10008.1.2.4.50",  // JPEG baseline, process 1
    "1.2.840.10008.1.2.4.111", // JPEG XL of JPEG baseline
    "1.2.840.10008.1.2.4.112", // JPEG XL
];

/// How a transfer syntax codes the pixel data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Codec {
    Native,
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
    JpegXl,
}

/// What was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Decoded {
    /// Bits of a sample of the stream, from Bits Stored to Bits Allocated.
    pub precision: u32,
    /// Which samples of it.
    pub grain: Grain,
}

impl Decoded {
    /// All samples of a stream of this precision.
    fn in_full(precision: u32) -> Self {
        Self { precision, grain: Grain::default() }
    }
}

impl Codec {
    /// The coding of a transfer syntax that is read here.
    pub fn of(transfer_syntax: &str) -> Option<Self> {
        Some(match transfer_syntax.strip_prefix("1.2.840.10008.1.2")? {
            "" | ".1" | ".2" | ".1.99" => Self::Native,
            ".5" => Self::Rle,
            ".4.50" | ".4.51" | ".4.57" | ".4.70" => Self::Jpeg,
            ".4.80" | ".4.81" => Self::JpegLs,
            ".4.90" | ".4.91" | ".4.201" | ".4.202" | ".4.203" => Self::Jpeg2000,
            ".4.110" | ".4.111" | ".4.112" => Self::JpegXl,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Rle => "RLE",
            Self::Jpeg => "JPEG",
            Self::JpegLs => "JPEG-LS",
            Self::Jpeg2000 => "JPEG 2000",
            Self::JpegXl => "JPEG XL",
        }
    }

    /// Decodes the one frame that these items of encapsulated Pixel Data hold, of `longest` octets at most: gives `rows` a
    /// cell for each pixel of the image, or as few as `coarsest` allows where that is faster and the stream is lossy.
    pub fn decode(
        self,
        items: &mut Content,
        longest: u64,
        header: &Header,
        coarsest: Step,
        rows: &mut dyn Rows,
    ) -> Result<Decoded, Broken> {
        if self == Self::Native {
            return Err(Broken::Encapsulated);
        }
        self.stream(&fragments::joined(items, longest)?, header, coarsest, rows)
    }

    /// Runs the decoder; a panic of a library is an error of the stream.
    fn stream(self, stream: &[u8], header: &Header, coarsest: Step, rows: &mut dyn Rows) -> Result<Decoded, Broken> {
        let mut rows = Exactly::new(rows, header.pixels);
        let decode = || match self {
            Self::Native => Err(Broken::Encapsulated),
            Self::Rle => rle::decode(stream, header, &mut rows).map(Decoded::in_full),
            Self::Jpeg => jpeg::decode(stream, header, coarsest, &mut rows),
            Self::JpegLs => jpeg_ls::decode(stream, header, &mut rows).map(Decoded::in_full),
            Self::Jpeg2000 => jpeg2000::decode(stream, header, coarsest, &mut rows),
            Self::JpegXl => jpeg_xl::decode(stream, header, &mut rows).map(Decoded::in_full),
        };
        let decoded = catch_unwind(AssertUnwindSafe(decode)).unwrap_or(Err(Broken::GaveUp))?;
        rows.finish(decoded.grain.header(header).pixels).map(|()| decoded)
    }
}

/// That the stream's own size and depth are the header's, before anything is decoded.
fn agrees(header: &Header, rows: u32, columns: u32, precision: u32) -> Result<(), Broken> {
    if (rows as usize, columns as usize) != (header.rows, header.columns) {
        return Err(Broken::Size);
    }
    if !(header.bits_stored..=header.bits_allocated).contains(&precision) {
        return Err(Broken::Precision);
    }
    Ok(())
}
