//! The marker segments that JPEG (T.81 annex B) and JPEG-LS (T.87 annex C) streams are made of.

use super::{Broken, Header, agrees};

pub(super) const SOF_BASELINE: u8 = 0xc0;
pub(super) const SOF_EXTENDED: u8 = 0xc1;
pub(super) const SOF_LOSSLESS: u8 = 0xc3;
pub(super) const SOF_JPEG_LS: u8 = 0xf7;
pub(super) const DHT: u8 = 0xc4;
pub(super) const SOI: u8 = 0xd8;
pub(super) const EOI: u8 = 0xd9;
pub(super) const SOS: u8 = 0xda;
pub(super) const DQT: u8 = 0xdb;
pub(super) const DRI: u8 = 0xdd;
pub(super) const LSE: u8 = 0xf8;

/// One marker segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment<'a> {
    pub marker: u8,
    /// The parameters, without their length field.
    pub body: &'a [u8],
    /// Everything after the segment: entropy-coded data after [`SOS`].
    pub tail: &'a [u8],
}

/// The marker segments after SOI; ends at EOI, and the reader ends it at SOS.
pub(super) struct Segments<'a>(Option<&'a [u8]>);

/// The segments of a stream, which begins with SOI.
pub(super) fn segments(stream: &[u8]) -> Result<Segments<'_>, Broken> {
    match stream {
        [0xff, SOI, rest @ ..] => Ok(segments_behind(rest)),
        _ => Err(Broken::NoStartOfImage),
    }
}

/// The segments behind a marker without parameters that a stream begins with.
pub(super) fn segments_behind(rest: &[u8]) -> Segments<'_> {
    Segments(Some(rest))
}

impl<'a> Iterator for Segments<'a> {
    type Item = Result<Segment<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0.take()?;
        let segment = match next_segment(rest) {
            Ok(segment) => segment?,
            Err(broken) => return Some(Err(broken)),
        };
        self.0 = Some(segment.tail);
        Some(Ok(segment))
    }
}

fn next_segment(rest: &[u8]) -> Result<Option<Segment<'_>>, Broken> {
    let cut = Broken::MarkersCut;
    let [0xff, rest @ ..] = rest else { return Err(Broken::NoMarker) };
    let fill = rest.iter().take_while(|byte| **byte == 0xff).count();
    let (&marker, rest) = rest.get(fill..).and_then(<[u8]>::split_first).ok_or(cut)?;
    if marker == EOI {
        return Ok(None);
    }
    let length = usize::from(u16::from_be_bytes(*rest.first_chunk().ok_or(cut)?));
    let (segment, tail) = rest.split_at_checked(length).ok_or(cut)?;
    Ok(Some(Segment { marker, body: segment.get(2..).ok_or(cut)?, tail }))
}

/// The restart interval of a DRI segment (T.81 B.2.4.4), in MCUs; 0 = none.
pub(super) fn restart_interval(body: &[u8]) -> Result<usize, Broken> {
    let [high, low] = *body else { return Err(Broken::RestartInterval) };
    Ok(u16::from_be_bytes([high, low]).into())
}

/// The frame header (T.81 B.2.2) of a stream with one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Which SOF marker.
    pub marker: u8,
    /// Bits of a sample, 2..=16.
    pub precision: u32,
    pub rows: u32,
    pub columns: u32,
    /// The component's quantization table.
    pub quantization: u8,
}

impl Frame {
    /// A frame header's segment.
    pub fn parse(segment: &Segment<'_>) -> Result<Self, Broken> {
        let [precision, y1, y0, x1, x0, components, _id, _sampling, quantization, ..] = *segment.body else {
            return Err(Broken::FrameHeaderCut);
        };
        if components != 1 || segment.body.len() != 9 {
            return Err(Broken::Components);
        }
        Ok(Self {
            marker: segment.marker,
            precision: precision.into(),
            rows: u16::from_be_bytes([y1, y0]).into(),
            columns: u16::from_be_bytes([x1, x0]).into(),
            quantization,
        })
    }

    /// The stream's frame header, checked against the image header.
    pub fn of(stream: &[u8], header: &Header) -> Result<Self, Broken> {
        for segment in segments(stream)? {
            let segment = segment?;
            if is_frame_header(segment.marker) {
                let frame = Self::parse(&segment)?;
                agrees(header, frame.rows, frame.columns, frame.precision)?;
                return Ok(frame);
            }
            if segment.marker == SOS {
                break;
            }
        }
        Err(Broken::NoFrameHeader)
    }
}

/// SOF0 to SOF15 of T.81 and SOF55 of T.87.
fn is_frame_header(marker: u8) -> bool {
    (matches!(marker, 0xc0..=0xcf) && !matches!(marker, DHT | 0xc8 | 0xcc)) || marker == SOF_JPEG_LS
}
