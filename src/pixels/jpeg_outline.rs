//! The outline of a JPEG stream (ITU-T T.81 annex B): which process it uses and where it ends.

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const SOF_BASELINE: u8 = 0xc0;

/// What has to be known of a JPEG stream to take it over into a DICOM file unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JpegOutline<'a> {
    /// From the SOI marker to the EOI marker, without anything that follows.
    pub octets: &'a [u8],
    /// Baseline process, 8 bits, one component: transfer syntax JPEG Baseline with MONOCHROME2 (PS3.5 8.2.1).
    pub grey_baseline: bool,
}

/// Walks the marker segments; `None` if the stream ends before its EOI marker. Decoders fill in what a cut stream
/// lacks without a word.
pub fn jpeg_outline(octets: &[u8]) -> Option<JpegOutline<'_>> {
    let mut rest = octets.strip_prefix(&[0xff, SOI])?;
    let mut grey_baseline = false;
    loop {
        let (marker, segment, after) = segment(rest)?;
        if marker == SOF_BASELINE {
            // precision, lines (2 octets), samples a line (2), components
            grey_baseline = matches!(segment, [8, _, _, _, _, 1, ..]);
        }
        rest = after;
        if marker == SOS {
            break;
        }
    }
    // Within entropy-coded data 0xFF is never followed by EOI's code.
    let end = rest.windows(2).position(|pair| pair == [0xff, EOI])? + 2;
    let octets = octets.get(..octets.len() - rest.len() + end)?;
    Some(JpegOutline { octets, grey_baseline })
}

/// The next marker, its segment's content and what follows it.
fn segment(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [0xff, rest @ ..] = octets else { return None };
    let fill = rest.iter().take_while(|octet| **octet == 0xff).count();
    let (marker, rest) = rest.get(fill..)?.split_first()?;
    let length: [u8; 2] = rest.get(..2)?.try_into().ok()?;
    let (segment, after) = rest.split_at_checked(u16::from_be_bytes(length).into())?;
    Some((*marker, segment.get(2..)?, after))
}
