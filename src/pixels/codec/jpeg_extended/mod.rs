//! JPEG sequential DCT with Huffman coding (ITU-T T.81, processes 1, 2 and 4), one component, 8 or 12 bits.
//!
//! Written from the standard. The inverse DCT is computed in floating point, so a sample is the exact one rounded;
//! integer decoders differ from it by at most 1. Decoded coarsely, a sample is the exact mean of its pixels, rounded: it is
//! computed from the coefficients, without the pixels.

mod dct;

use dct::{Block, Means, Scale, inverse};

use super::huffman::{self, Bits, Table, find, slot};
use super::markers::{DHT, DQT, DRI, Frame, SOF_BASELINE, SOF_EXTENDED, SOS, Segment, restart_interval, segments};
use super::{Broken, Grain, Rows, Step};
use crate::pixels::grain::Place;

/// Block coordinates of the coefficients in the order of the stream (T.81 figure A.6), as row * 8 + column.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// What the marker segments before a scan set up.
#[derive(Default)]
struct Tables {
    quantization: [Option<[u16; 64]>; 4],
    huffman: huffman::Tables,
    /// Blocks between restart markers; 0 = none.
    restart: usize,
}

/// Decodes a stream whose frame header was checked, to means of `step` x `step` pixels. Its samples use `stored` bits.
pub(super) fn decode(stream: &[u8], stored: u32, step: Step, rows: &mut dyn Rows) -> Result<Grain, Broken> {
    let (mut tables, mut frame) = (Tables::default(), None);
    for segment in segments(stream)? {
        let segment = segment?;
        match segment.marker {
            DQT => tables.set_quantization(segment.body)?,
            DHT => tables.huffman.set(segment.body)?,
            DRI => tables.restart = restart_interval(segment.body)?,
            SOF_BASELINE | SOF_EXTENDED if frame.is_none() => frame = Some(Frame::parse(&segment)?),
            SOS => {
                let frame = frame.ok_or(Broken::ScanBeforeFrame)?;
                let scale = Scale::new(frame.precision, stored);
                Scan::new(&tables, &frame, &segment, scale)?.decode(&frame, step, rows)?;
                return Ok(Grain { step, place: Place::Middle });
            }
            0xc0..=0xcf => return Err(Broken::NotSequential),
            _ => {}
        }
    }
    Err(Broken::NoScan)
}

impl Tables {
    /// T.81 B.2.4.1.
    fn set_quantization(&mut self, mut body: &[u8]) -> Result<(), Broken> {
        let cut = Broken::QuantizationTableCut;
        while let [head, rest @ ..] = body {
            let mut table = [0; 64];
            let width = if head >> 4 == 0 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * width).ok_or(cut)?;
            for (value, bytes) in table.iter_mut().zip(values.chunks(width)) {
                *value = bytes.iter().fold(0, |value, byte| value << 8 | u16::from(*byte));
            }
            *slot(&mut self.quantization, head & 15)? = Some(table);
            body = rest;
        }
        Ok(())
    }
}

/// The only scan of a frame with one component.
struct Scan<'a> {
    bits: Bits<'a>,
    quantization: &'a [u16; 64],
    dc: &'a Table,
    ac: &'a Table,
    restart: usize,
    scale: Scale,
    /// The DC coefficient of the block before.
    predicted: i32,
}

impl<'a> Scan<'a> {
    fn new(tables: &'a Tables, frame: &Frame, scan: &Segment<'a>, scale: Scale) -> Result<Self, Broken> {
        let [1, _, selectors, 0, 63, 0] = *scan.body else { return Err(Broken::ScanNotSequential) };
        Ok(Self {
            bits: Bits::new(scan.tail),
            quantization: find(&tables.quantization, frame.quantization)?,
            dc: find(&tables.huffman.dc, selectors >> 4)?,
            ac: find(&tables.huffman.ac, selectors & 15)?,
            restart: tables.restart,
            scale,
            predicted: 0,
        })
    }

    fn decode(self, frame: &Frame, step: Step, rows: &mut dyn Rows) -> Result<(), Broken> {
        match step {
            Step::One => self.blocks(frame, rows, |scan| Ok(inverse(&scan.block()?, scan.scale))),
            Step::Two => self.means::<4>(frame, rows),
            Step::Four => self.means::<2>(frame, rows),
            Step::Eight => self.means::<1>(frame, rows),
        }
    }

    /// The means of the `N` x `N` parts of each block.
    fn means<const N: usize>(self, frame: &Frame, rows: &mut dyn Rows) -> Result<(), Broken> {
        let means = Means::<N>::new(self.quantization);
        self.blocks(frame, rows, |scan| {
            let mut sums = [[0.0; N]; N];
            scan.coefficients(|k, value| means.add(k, value, &mut sums))?;
            Ok(dct::samples(sums, scan.scale))
        })
    }

    /// Blocks from left to right, top to bottom (T.81 A.2.2), `N` x `N` samples of each; what lies beyond the image is
    /// dropped.
    fn blocks<const N: usize>(
        mut self,
        frame: &Frame,
        rows: &mut dyn Rows,
        samples: impl Fn(&mut Self) -> Result<[[u16; N]; N], Broken>,
    ) -> Result<(), Broken> {
        let step = 8 / N;
        let columns = (frame.columns as usize).div_ceil(step);
        let mut stripe = vec![0; N * columns];
        let mut decoded = 0;
        for top in (0..frame.rows as usize).step_by(8) {
            for left in (0..columns).step_by(N) {
                if self.restart != 0 && decoded != 0 && decoded % self.restart == 0 {
                    self.bits = self.bits.restart()?;
                    self.predicted = 0;
                }
                let block = samples(&mut self)?;
                for (line, values) in stripe.chunks_exact_mut(columns).zip(&block) {
                    line.iter_mut().skip(left).zip(values).for_each(|(sample, value)| *sample = *value);
                }
                decoded += 1;
            }
            let lines = (frame.rows as usize - top).div_ceil(step).min(N);
            rows.words(stripe.get(..lines * columns).unwrap_or_default())?;
        }
        Ok(())
    }

    /// One block's dequantized coefficients.
    fn block(&mut self) -> Result<Block, Broken> {
        let (mut block, quantization) = (Block::default(), self.quantization);
        let coefficients = block.as_flattened_mut();
        self.coefficients(|k, value| {
            let place = coefficients.get_mut(usize::from(*ZIGZAG.get(k)?))?;
            *place = value as f32 * f32::from(*quantization.get(k)?);
            Some(())
        })?;
        Ok(block)
    }

    /// One block's coefficients that are not 0, with their places in the order of the stream (T.81 F.2.2); there is none
    /// where `each` has no place for it.
    fn coefficients(&mut self, mut each: impl FnMut(usize, i32) -> Option<()>) -> Result<(), Broken> {
        let mut set = |k, value| each(k, value).ok_or(Broken::TooManyCoefficients);
        let size = self.dc.symbol(&mut self.bits)?;
        self.predicted = (self.predicted.checked_add(self.bits.signed(size)?)).ok_or(Broken::DcValue)?;
        set(0, self.predicted)?;
        let mut k = 1;
        while k < 64 {
            let symbol = self.ac.symbol(&mut self.bits)?;
            let (zeros, size) = (usize::from(symbol >> 4), symbol & 15);
            match (zeros, size) {
                (15, 0) => k += 16,
                (_, 0) => break,
                _ => {
                    k += zeros;
                    set(k, self.bits.signed(size)?)?;
                    k += 1;
                }
            }
        }
        Ok(())
    }
}
