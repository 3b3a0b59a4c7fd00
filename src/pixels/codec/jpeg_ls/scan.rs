//! Decodes the lines of a JPEG-LS scan: context, prediction, runs (T.87 annex A).

use super::super::{Broken, Header, Rows};
use super::Coding;
use super::bits::Bits;
use super::context::{Interruption, Regular, RunEnd};

/// Regular contexts after merging of signs (A.3.4).
const CONTEXTS: usize = 365;

/// The order of the run length code (A.7.1.1).
const J: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Decodes the samples of an image from the data after a scan header; `restart` is the lines between markers.
pub(super) fn decode(
    data: &[u8],
    coding: &Coding,
    header: &Header,
    restart: Option<usize>,
    rows: &mut dyn Rows,
) -> Result<(), Broken> {
    let (mut bits, regions) = (Bits::new(data), Regions::of(coding));
    let mut row = Vec::with_capacity(header.columns);
    let interval = restart.unwrap_or(header.rows).max(1);
    for first in (0..header.rows).step_by(interval) {
        if first > 0 {
            bits = bits.restart()?;
        }
        let mut scan = Scan::new(bits, coding, &regions, header.columns);
        for _ in 0..interval.min(header.rows - first) {
            scan.line()?;
            row.clear();
            row.extend(scan.decoded().iter().map(|sample| *sample as u16));
            rows.words(&row)?;
        }
        bits = scan.bits;
    }
    Ok(())
}

/// The regions that gradients lie in (A.3.3), -4..=4, from the steepest fall on.
struct Regions {
    steepest: i32,
    regions: Vec<i8>,
}

impl Regions {
    fn of(coding: &Coding) -> Self {
        let [t1, t2, t3] = coding.thresholds;
        let region = |gradient: i32| {
            let size = gradient.abs();
            let region =
                i8::from(size > coding.near) + i8::from(size >= t1) + i8::from(size >= t2) + i8::from(size >= t3);
            if gradient < 0 { -region } else { region }
        };
        Self { steepest: coding.maxval, regions: (-coding.maxval..=coding.maxval).map(region).collect() }
    }

    fn at(&self, gradient: i32) -> i32 {
        self.regions.get((gradient + self.steepest) as usize).copied().unwrap_or_default().into()
    }
}

/// The state between restart markers.
struct Scan<'a, 'c> {
    bits: Bits<'a>,
    coding: &'c Coding,
    regions: &'c Regions,
    regular: Vec<Regular>,
    edge: RunEnd,
    flat: RunEnd,
    run_index: usize,
    /// Both lines have one sample more at each end (A.2.1): see [`Scan::line`].
    above: Vec<i32>,
    line: Vec<i32>,
}

/// The reconstructed neighbours of a sample: left, above, above left, above right (figure A.1).
#[derive(Clone, Copy)]
struct Neighbours {
    a: i32,
    b: i32,
    c: i32,
    d: i32,
}

impl<'a, 'c> Scan<'a, 'c> {
    fn new(bits: Bits<'a>, coding: &'c Coding, regions: &'c Regions, columns: usize) -> Self {
        Self {
            bits,
            coding,
            regions,
            regular: vec![Regular::new(coding); CONTEXTS],
            edge: RunEnd::new(Interruption::Edge, coding),
            flat: RunEnd::new(Interruption::Flat, coding),
            run_index: 0,
            above: vec![0; columns + 2],
            line: vec![0; columns + 2],
        }
    }

    /// The samples of the line decoded last.
    fn decoded(&self) -> &[i32] {
        self.line.get(1..self.line.len() - 1).unwrap_or_default()
    }

    /// Decodes the next line. To the left of a line lies the first sample above it, to the right of the line
    /// above lies its last one.
    fn line(&mut self) -> Result<(), Broken> {
        let mut above = std::mem::take(&mut self.line);
        let mut line = std::mem::take(&mut self.above);
        let columns = above.len() - 2;
        if let [.., last, right] = above.as_mut_slice() {
            *right = *last;
        }
        if let ([left, ..], [_, first, ..]) = (line.as_mut_slice(), above.as_slice()) {
            *left = *first;
        }
        let mut x = 1;
        while x <= columns {
            let (Some(&[c, b, d]), Some(rest)) =
                (above.get(x - 1..x + 2).and_then(<[i32]>::first_chunk), line.get_mut(x - 1..=columns))
            else {
                return Err(Broken::LineEndsEarly);
            };
            let [a, rest @ ..] = rest else { return Err(Broken::LineEndsEarly) };
            let near = Neighbours { a: *a, b, c, d };
            x += match self.context(near) {
                0 => self.run(*a, above.get(x..=columns).unwrap_or_default(), rest)?,
                context => {
                    let sample = self.regular(near, context)?;
                    rest.iter_mut().take(1).for_each(|slot| *slot = sample);
                    1
                }
            };
        }
        self.above = above;
        self.line = line;
        Ok(())
    }

    /// The signed number of the gradients' context; 0 for a run (A.3).
    fn context(&self, Neighbours { a, b, c, d }: Neighbours) -> i32 {
        81 * self.regions.at(d - b) + 9 * self.regions.at(b - c) + self.regions.at(c - a)
    }

    /// A sample of the regular mode (A.4 to A.6).
    fn regular(&mut self, Neighbours { a, b, c, .. }: Neighbours, context: i32) -> Result<i32, Broken> {
        let sign = context.signum();
        let statistics = self.regular.get_mut(context.unsigned_abs() as usize).ok_or(Broken::NoSuchContext)?;
        let predicted = if c >= a.max(b) {
            a.min(b)
        } else if c <= a.min(b) {
            a.max(b)
        } else {
            a + b - c
        };
        let predicted = (predicted + sign * statistics.bias()).clamp(0, self.coding.maxval);
        let error = statistics.error(&mut self.bits, self.coding)?;
        Ok(self.coding.reconstructed(predicted, sign * error))
    }

    /// A run of `value` and the sample that ends it (A.7): how many samples of `line` were filled.
    fn run(&mut self, value: i32, above: &[i32], line: &mut [i32]) -> Result<usize, Broken> {
        let length = self.run_length(line.len())?;
        line.iter_mut().take(length).for_each(|slot| *slot = value);
        let (Some(slot), Some(&b)) = (line.get_mut(length), above.get(length)) else { return Ok(length) };
        let order = self.order();
        *slot = if (value - b).abs() <= self.coding.near {
            let error = self.flat.error(&mut self.bits, self.coding, order)?;
            self.coding.reconstructed(value, error)
        } else {
            let error = self.edge.error(&mut self.bits, self.coding, order)?;
            self.coding.reconstructed(b, if value > b { -error } else { error })
        };
        self.run_index = self.run_index.saturating_sub(1);
        Ok(length + 1)
    }

    /// The length of a run, at most `most` (A.7.1).
    fn run_length(&mut self, most: usize) -> Result<usize, Broken> {
        let mut length = 0;
        while length < most {
            let order = self.order();
            if !self.bits.bit()? {
                length += self.bits.bits(order)? as usize;
                return if length < most { Ok(length) } else { Err(Broken::RunTooLong) };
            }
            if most - length >= 1 << order {
                self.run_index = (self.run_index + 1).min(J.len() - 1);
            }
            length += 1 << order;
        }
        Ok(most)
    }

    fn order(&self) -> u32 {
        J.get(self.run_index).copied().unwrap_or_default()
    }
}

impl Coding {
    /// A prediction and its error value, put together modulo RANGE (A.4.4, A.4.5).
    fn reconstructed(&self, predicted: i32, error: i32) -> i32 {
        let step = 2 * self.near + 1;
        let value = predicted + error * step;
        let wrapped = if value < -self.near {
            value + self.range * step
        } else if value > self.maxval + self.near {
            value - self.range * step
        } else {
            value
        };
        wrapped.clamp(0, self.maxval)
    }
}
