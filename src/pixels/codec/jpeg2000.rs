//! JPEG 2000 (T.800) and HTJ2K (T.814) by OpenJPEG, behind a check of the stream's own size (SIZ, T.800 A.5.1).

use jpeg2k::{DecodeParameters, Image};

use super::{Broken, Header, Rows, agrees};

/// SOC followed by SIZ: where a code stream begins, also within a JP2 file.
const START: [u8; 4] = [0xff, 0x4f, 0xff, 0x51];

/// Decodes one frame of one component; its precision.
pub(super) fn decode(stream: &[u8], header: &Header, rows: &mut dyn Rows) -> Result<u32, Broken> {
    let start = stream.windows(START.len()).position(|bytes| bytes == START).ok_or(Broken::NoStartOfCodestream)?;
    let codestream = stream.get(start..).unwrap_or_default();
    let size = Size::of(codestream)?;
    agrees(header, size.rows, size.columns, size.precision)?;
    if size.signed && !header.signed {
        return Err(Broken::Signed);
    }
    let image =
        Image::from_bytes_with(codestream, DecodeParameters::new().strict(true)).map_err(|_| Broken::Damaged)?;
    let [component] = image.components() else { return Err(Broken::Components) };
    agrees(header, component.height(), component.width(), component.precision())?;
    let mut row = Vec::with_capacity(header.columns);
    for samples in component.data().chunks(header.columns) {
        row.clear();
        row.extend(samples.iter().map(|sample| *sample as u16));
        rows.words(&row)?;
    }
    Ok(size.precision)
}

/// What the SIZ marker segment says of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    rows: u32,
    columns: u32,
    /// 1..=38.
    precision: u32,
    signed: bool,
}

impl Size {
    /// Parses SIZ at the head of a code stream with one component that is not subsampled.
    fn of(codestream: &[u8]) -> Result<Self, Broken> {
        let cut = Broken::TileSizeCut;
        let (grid, components) = codestream.get(8..).and_then(<[u8]>::split_first_chunk::<32>).ok_or(cut)?;
        let (words, _) = grid.as_chunks::<4>();
        let [x1, y1, x0, y0, tile_columns, tile_rows, _, _] = *words else { return Err(cut) };
        let word = u32::from_be_bytes;
        let [0, 1, depth, 1, 1, ..] = *components else {
            return Err(Broken::Subsampled);
        };
        if word(tile_columns) == 0 || word(tile_rows) == 0 {
            return Err(Broken::TilesOfNoSize);
        }
        let size = Self {
            rows: word(y1).checked_sub(word(y0)).ok_or(cut)?,
            columns: word(x1).checked_sub(word(x0)).ok_or(cut)?,
            precision: u32::from(depth & 0x7f) + 1,
            signed: depth & 0x80 != 0,
        };
        let tiles = u64::from(word(x1).div_ceil(word(tile_columns))) * u64::from(word(y1).div_ceil(word(tile_rows)));
        if tiles > MOST_TILES { Err(Broken::TooManyTiles) } else { Ok(size) }
    }
}

/// Tiles are numbered by 16 bits (T.800 A.4.2).
const MOST_TILES: u64 = 65_535;
