//! JPEG-LS (ITU-T T.87, baseline): lossless and near-lossless, one component, written from the standard.
//!
//! Not read: mapping tables (palettes), a point transform, sizes above 65535 and several components; DICOM's
//! grey images have none of them. `bits` reads codes, `context` adapts them, `scan` decodes the lines.

mod bits;
mod context;
mod scan;

use super::markers::{DRI, Frame, LSE, SOF_JPEG_LS, SOS, Segment, segments};
use super::{Broken, Header, Rows};

/// Decodes one frame of one component; its precision.
pub(super) fn decode(stream: &[u8], header: &Header, rows: &mut dyn Rows) -> Result<u32, Broken> {
    let frame = Frame::of(stream, header)?;
    if frame.marker != SOF_JPEG_LS {
        return Err(Broken::NoJpegLsFrameHeader);
    }
    let (mut presets, mut restart_lines) = (Presets::default(), None);
    for segment in segments(stream)? {
        let segment = segment?;
        match segment.marker {
            LSE => presets = Presets::parse(segment.body)?,
            DRI => restart_lines = restart_interval(segment.body)?,
            SOS => {
                let near = near(&segment)?;
                let coding = presets.coding(frame.precision, near)?;
                scan::decode(segment.tail, &coding, header, restart_lines, rows)?;
                return Ok(frame.precision);
            }
            _ => {}
        }
    }
    Err(Broken::NoScan)
}

/// Lines between restart markers (T.87 C.2.5: with one component, one line is one MCU).
fn restart_interval(body: &[u8]) -> Result<Option<usize>, Broken> {
    let lines = match body {
        [a, b] => u32::from_be_bytes([0, 0, *a, *b]),
        [a, b, c] => u32::from_be_bytes([0, *a, *b, *c]),
        [a, b, c, d] => u32::from_be_bytes([*a, *b, *c, *d]),
        _ => return Err(Broken::RestartInterval),
    };
    Ok(Some(lines as usize).filter(|lines| *lines > 0))
}

/// NEAR of a scan header (T.87 C.2.3) with one component, no mapping table, no interleaving, no point transform.
fn near(scan: &Segment<'_>) -> Result<i32, Broken> {
    match *scan.body {
        [1, _, 0, near, 0, 0] => Ok(near.into()),
        _ => Err(Broken::ScanForm),
    }
}

/// Preset coding parameters (T.87 C.2.4.1.1); 0 stands for the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Presets {
    maxval: i32,
    thresholds: [i32; 3],
    reset: i32,
}

/// What a scan is coded with: T.87's MAXVAL, NEAR, T1 to T3, RESET and what follows from them (A.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Coding {
    maxval: i32,
    near: i32,
    thresholds: [i32; 3],
    reset: i32,
    range: i32,
    /// Bits of a mapped error value.
    qbpp: u32,
    /// The longest code, in bits.
    limit: u32,
}

impl Presets {
    fn parse(body: &[u8]) -> Result<Self, Broken> {
        let [1, words @ ..] = body else { return Err(Broken::OtherPresets) };
        let (words, _) = words.as_chunks::<2>();
        let [maxval, t1, t2, t3, reset] = words else { return Err(Broken::PresetsCut) };
        let word = |bytes: &[u8; 2]| i32::from(u16::from_be_bytes(*bytes));
        Ok(Self { maxval: word(maxval), thresholds: [word(t1), word(t2), word(t3)], reset: word(reset) })
    }

    /// Fills in the defaults and checks the ranges of C.2.4.1.1.
    fn coding(self, precision: u32, near: i32) -> Result<Coding, Broken> {
        let unusable = Broken::PresetsOutOfRange;
        let largest = (1 << precision.clamp(2, 16)) - 1;
        let or = |value: i32, default: i32| if value == 0 { default } else { value };
        let maxval = or(self.maxval, largest);
        if maxval > largest || near > 255.min(maxval / 2) {
            return Err(unusable);
        }
        let [d1, d2, d3] = default_thresholds(maxval, near);
        let [t1, t2, t3] = self.thresholds;
        let [t1, t2, t3] = [or(t1, d1), or(t2, d2), or(t3, d3)];
        let reset = or(self.reset, 64);
        if !(near < t1 && t1 <= t2 && t2 <= t3 && t3 <= maxval) || reset < 3 || reset > 255.max(maxval) {
            return Err(unusable);
        }
        let range = (maxval + 2 * near) / (2 * near + 1) + 1;
        let bpp = bits_of(maxval + 1).max(2);
        let qbpp = bits_of(range);
        Ok(Coding { maxval, near, thresholds: [t1, t2, t3], reset, range, qbpp, limit: 2 * (bpp + bpp.max(8)) })
    }
}

/// The least number of bits that count `n` values: ceil(log2 n).
fn bits_of(n: i32) -> u32 {
    i32::BITS - (n - 1).leading_zeros()
}

/// The defaults of T1 to T3 (T.87 C.2.4.1.1.1).
fn default_thresholds(maxval: i32, near: i32) -> [i32; 3] {
    const BASIC: [(i32, i32, i32); 3] = [(3, 2, 3), (7, 3, 5), (21, 4, 7)];
    let mut least = near + 1;
    BASIC.map(|(basic, offset, nears)| {
        let threshold = if maxval >= 128 {
            (maxval.min(4095) + 128) / 256 * (basic - offset) + offset + nears * near
        } else {
            (basic / (256 / (maxval + 1)) + nears * near).max(offset)
        };
        if (least..=maxval).contains(&threshold) {
            least = threshold;
        }
        least
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_thresholds_are_the_standards() {
        assert_eq!(default_thresholds(255, 0), [3, 7, 21]);
        assert_eq!(default_thresholds(4095, 0), [18, 67, 276]);
        assert_eq!(default_thresholds(65535, 0), [18, 67, 276]);
        assert_eq!(default_thresholds(255, 3), [12, 22, 42]);
        assert_eq!(default_thresholds(15, 0), [2, 3, 4]);
    }

    #[test]
    fn coding_follows_from_the_presets() {
        let coding = Presets::default().coding(8, 0).unwrap();
        assert_eq!((coding.range, coding.qbpp, coding.limit, coding.reset), (256, 8, 32, 64));
        let coding = Presets::default().coding(12, 2).unwrap();
        assert_eq!((coding.range, coding.qbpp, coding.limit), (820, 10, 48));
        for bad in [Presets { maxval: 256, ..Presets::default() }, Presets { reset: 2, ..Presets::default() }] {
            assert!(bad.coding(8, 0).is_err());
        }
        assert!(Presets::default().coding(8, 128).is_err());
    }
}
