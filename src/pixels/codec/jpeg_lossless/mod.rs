//! JPEG lossless with Huffman coding (ITU-T T.81 annex H, process 14), one component, 2 to 16 bits, written from the
//! standard: every predictor, point transform, restart intervals of whole lines.
//!
//! `difference` reads what the stream has, `predictor` puts it to what was decoded before.

mod difference;
mod predictor;
#[cfg(test)]
mod tests;

use difference::Differences;
use predictor::Predictor;

use super::huffman::{Bits, Tables, find};
use super::markers::{DHT, DRI, Frame, SOF_LOSSLESS, SOS, Segment, restart_interval, segments};
use super::{Broken, Rows};

/// Decodes a stream whose frame header was checked.
pub(super) fn decode(stream: &[u8], rows: &mut dyn Rows) -> Result<(), Broken> {
    let (mut tables, mut frame, mut restart) = (Tables::default(), None, 0);
    for segment in segments(stream)? {
        let segment = segment?;
        match segment.marker {
            DHT => tables.set(segment.body)?,
            DRI => restart = restart_interval(segment.body)?,
            SOF_LOSSLESS if frame.is_none() => frame = Some(Frame::parse(&segment)?),
            SOS => {
                let frame = frame.ok_or(Broken::ScanBeforeFrame)?;
                return Scan::new(&tables, &frame, restart, &segment)?.decode(rows);
            }
            0xc0..=0xcf => return Err(Broken::ForeignProcess),
            _ => {}
        }
    }
    Err(Broken::NoScan)
}

/// The only scan of a frame with one component.
struct Scan<'a> {
    bits: Bits<'a>,
    differences: Differences<'a>,
    predictor: Predictor,
    rows: usize,
    columns: usize,
    /// Rows between restart markers.
    restart: usize,
    /// The prediction of the first sample, half of the range (H.1.2.1).
    middle: u16,
    /// Low bits that were left out of the samples.
    point_transform: u8,
}

impl<'a> Scan<'a> {
    fn new(tables: &'a Tables, frame: &Frame, restart: usize, scan: &Segment<'a>) -> Result<Self, Broken> {
        // One component, its tables; the predictor in Ss, 0 in Se and Ah, the point transform in Al (B.2.3, table B.3).
        let [1, _, selectors, predictor, 0, point_transform @ 0..16] = *scan.body else { return Err(Broken::ScanForm) };
        let (rows, columns) = (frame.rows as usize, frame.columns as usize);
        let bits_left = frame.precision.checked_sub(point_transform.into()).filter(|bits| *bits > 0);
        let restart = match (restart, restart.checked_rem(columns)) {
            (0, _) => rows,
            (samples, Some(0)) => samples / columns,
            _ => return Err(Broken::RestartInterval),
        };
        Ok(Self {
            bits: Bits::new(scan.tail),
            differences: Differences::of(find(&tables.dc, selectors >> 4)?),
            predictor: Predictor::of(predictor).ok_or(Broken::ScanForm)?,
            rows,
            columns,
            restart,
            middle: 1 << (bits_left.ok_or(Broken::ScanForm)? - 1),
            point_transform,
        })
    }

    fn decode(mut self, rows: &mut dyn Rows) -> Result<(), Broken> {
        let [mut above, mut line] = [vec![0; self.columns], vec![0; self.columns]];
        let mut whole = Vec::new();
        for row in 0..self.rows {
            if row % self.restart == 0 {
                if row > 0 {
                    self.bits = self.bits.restart()?;
                }
                self.differences.first_line(&mut self.bits, self.middle, &mut line)?;
            } else {
                std::mem::swap(&mut above, &mut line);
                self.predictor.line(&self.differences, &mut self.bits, &above, &mut line)?;
            }
            match self.point_transform {
                0 => rows.words(&line)?,
                bits => {
                    whole.clear();
                    whole.extend(line.iter().map(|sample| sample << bits));
                    rows.words(&whole)?;
                }
            }
        }
        Ok(())
    }
}
