//! JPEG 2000 (T.800) and HTJ2K (T.814) by OpenJPEG, behind a check of the stream's own size (SIZ, T.800 A.5.1).

use jpeg2k::{DecodeParameters, Image};

use super::markers::segments_behind;
use super::{Broken, Decoded, Grain, Header, Rows, Step, agrees};
use crate::pixels::grain::Place;

/// SOC followed by SIZ: where a code stream begins, also within a JP2 file.
const START: [u8; 4] = [0xff, 0x4f, 0xff, 0x51];

/// Start of tile-part: the end of the main header.
const SOT: u8 = 0x90;
/// Coding style default, and of one component (T.800 A.6.1, A.6.2).
const COD: u8 = 0x52;
const COC: u8 = 0x53;
/// The code-block style of HTJ2K (T.814 A.4).
const HT_BLOCKS: u8 = 0x40;

/// Decodes one frame of one component; of one that was transformed irreversibly as few resolution levels as are wanted.
pub(super) fn decode(stream: &[u8], header: &Header, coarsest: Step, rows: &mut dyn Rows) -> Result<Decoded, Broken> {
    let start = stream.windows(START.len()).position(|bytes| bytes == START).ok_or(Broken::NoStartOfCodestream)?;
    let codestream = stream.get(start..).unwrap_or_default();
    let size = Size::of(codestream)?;
    agrees(header, size.rows, size.columns, size.precision)?;
    if size.signed && !header.signed {
        return Err(Broken::Signed);
    }
    let levels = if size.may_be_coarse(header) { lossy_levels(codestream) } else { 0 };
    let steps = [Step::Eight, Step::Four, Step::Two].into_iter().filter(|step| step.halvings() <= levels);
    let step = steps.filter(|step| *step <= coarsest).max().unwrap_or_default();
    let image = |step: Step| {
        let parameters = DecodeParameters::new().strict(true).reduce(step.halvings());
        Image::from_bytes_with(codestream, parameters).map(|image| (image, step)).map_err(|_| Broken::Damaged)
    };
    // A tile may have fewer levels than the main header says.
    let (image, step) = image(step).or_else(|broken| if step == Step::One { Err(broken) } else { image(Step::One) })?;
    let [component] = image.components() else { return Err(Broken::Components) };
    let grain = if step == Step::One { Grain::default() } else { Grain { step, place: Place::First } };
    let header = grain.header(header);
    agrees(&header, component.height(), component.width(), component.precision())?;
    let mut row = Vec::with_capacity(header.columns);
    for samples in component.data().chunks(header.columns) {
        row.clear();
        row.extend(samples.iter().map(|sample| *sample as u16));
        rows.words(&row)?;
    }
    Ok(Decoded { precision: size.precision, grain })
}

/// How often a code stream that was transformed irreversibly (9-7) has its resolution halved, as the main header says;
/// 0 for any other, and for HTJ2K, whose blocks are decoded so fast that there is little to gain.
fn lossy_levels(codestream: &[u8]) -> u32 {
    let main = segments_behind(codestream.get(2..).unwrap_or_default());
    let mut levels = 0;
    for segment in main.take_while(|segment| segment.is_ok_and(|segment| segment.marker != SOT)).flatten() {
        match (segment.marker, segment.body) {
            (COD, [_, _, _, _, _, halvings, _, _, style, 0, ..]) if style & HT_BLOCKS == 0 => {
                levels = u32::from(*halvings)
            }
            (COD | COC, _) => return 0,
            _ => {}
        }
    }
    levels
}

/// What the SIZ marker segment says of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    rows: u32,
    columns: u32,
    /// 1..=38.
    precision: u32,
    signed: bool,
    /// Whether the image begins where the reference grid does.
    at_origin: bool,
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
            at_origin: (word(y0), word(x0)) == (0, 0),
        };
        let tiles = u64::from(word(x1).div_ceil(word(tile_columns))) * u64::from(word(y1).div_ceil(word(tile_rows)));
        if tiles > MOST_TILES { Err(Broken::TooManyTiles) } else { Ok(size) }
    }

    /// Whether resolution levels can stand for the image: they lie where [`Place::First`] says, and have nothing but the
    /// stored value in them.
    fn may_be_coarse(self, header: &Header) -> bool {
        self.at_origin && !self.signed && self.precision == header.bits_stored
    }
}

/// Tiles are numbered by 16 bits (T.800 A.4.2).
const MOST_TILES: u64 = 65_535;
