//! The new size by sums of codes, where luminance is a straight line between two of them: its means are those of the codes.
//!
//! The triangle over a new row ends where those of its neighbours have their middle, so the old rows between two middles
//! count with weights that fall along a straight line for the one above, and rise by as much for the one below. Both
//! follow from two sums of each column: that of the values, and that of all sums on the way to it.

use super::super::radiograph::Line;
use super::super::samples::{OverCells, Samples};
use super::{ResampledPart, Window};
use crate::pixels::Area;

/// Old rows between two middles at most: so the sums stay below 2^31.
const MOST_ROWS: usize = 250;

/// Old rows that are summed up at once.
const AT_ONCE: usize = 4;

/// Where the old rows lie under the new ones.
#[derive(Debug, Clone, Copy)]
struct Ladder {
    /// Samples of the part, and new rows.
    old: usize,
    new: usize,
    /// The place of the first sample, and the way from one to the next and from one middle to the next, in pixels.
    first: f64,
    apart: f64,
    step: f64,
}

impl Ladder {
    fn of(part: &ResampledPart) -> Self {
        let (rows, grain) = (&part.part.rows, part.grain);
        let old = grain.range(rows);
        let first = grain.position(old.start) - rows.start as f64;
        let step = rows.len() as f64 / part.rows as f64;
        Self { old: old.len(), new: part.rows, first, apart: grain.step.pixels() as f64, step }
    }

    /// The middle of a new row; -1 is one above the first.
    fn middle(self, new: f64) -> f64 {
        (new + 0.5) * self.step
    }

    /// How many samples lie above the middle of a new row; all, behind the last one.
    fn above(self, new: usize) -> usize {
        let above = ((self.middle(new as f64) - self.first) / self.apart).ceil().max(0.0) as usize;
        if new < self.new { above.min(self.old) } else { self.old }
    }
}

/// A picture in the making, from the top.
pub(super) struct Sums {
    ladder: Ladder,
    /// The samples of the part.
    part: Area,
    /// Samples of a row of the image.
    width: usize,
    across: Vec<Window>,
    line: Line,
    /// Codes below and above count as these.
    turns: (u16, u16),
    /// The sample row that comes next.
    row: usize,
    /// The new row whose middle comes next, and the first sample behind the middle before.
    next: usize,
    begin: usize,
    /// Of each column since the middle before: the sum of how far the codes are above the first turn, and that of all
    /// sums.
    sums: Vec<u32>,
    sums_of_sums: Vec<u32>,
    /// What the new row whose middle comes next has from above it, with its weight.
    risen: Vec<f32>,
    weight: f64,
    values: Vec<f32>,
    resampled: Vec<f32>,
}

impl Sums {
    /// None where the line turns between two codes, the picture grows, or shrinks so much that sums could overflow.
    pub(super) fn of(part: &ResampledPart, line: Line, samples: &Samples) -> Option<Self> {
        let (ladder, (low, high)) = (Ladder::of(part), line.turns()?);
        let high = if usize::from(high) + 1 < samples.codes() { high } else { u16::MAX };
        let shrinks = ladder.apart <= ladder.step && ladder.step < MOST_ROWS as f64 * ladder.apart;
        let area = part.samples();
        let columns = area.columns.len();
        shrinks.then(|| Self {
            ladder,
            width: samples.columns(),
            across: Window::all(&part.part.columns, part.grain, part.columns),
            line,
            turns: (low, high),
            row: 0,
            next: 0,
            begin: 0,
            sums: vec![0; columns],
            sums_of_sums: vec![0; columns],
            risen: vec![0.0; columns],
            weight: 0.0,
            values: vec![0.0; columns],
            resampled: Vec::with_capacity(part.rows * part.columns),
            part: area,
        })
    }

    /// The picture, once all rows were taken.
    pub(super) fn resampled(self) -> Vec<f32> {
        self.resampled
    }

    /// Adds rows that lie between the same two middles.
    #[inline(always)]
    fn add<C: Copy>(&mut self, rows: &[C], value: impl Fn(C) -> u32) {
        let columns = self.part.columns.clone();
        let mut rows = rows.chunks_exact(self.width).map(|row| row.get(columns.clone()).unwrap_or_default());
        let places = self.sums.iter_mut().zip(&mut self.sums_of_sums);
        match [(); AT_ONCE].map(|()| rows.next().unwrap_or_default()) {
            [a, b, c, d] if !d.is_empty() => {
                for (((((sum, all), a), b), c), d) in places.zip(a).zip(b).zip(c).zip(d) {
                    let first = *sum + value(*a);
                    let second = first + value(*b);
                    let third = second + value(*c);
                    *sum = third + value(*d);
                    *all += first + second + third + *sum;
                }
            }
            [a, b, c, _] => {
                for row in [a, b, c] {
                    for ((sum, all), cell) in self.sums.iter_mut().zip(&mut self.sums_of_sums).zip(row) {
                        *sum += value(*cell);
                        *all += *sum;
                    }
                }
            }
        }
    }

    /// At the middle of a new row: the one above is complete, and this one has what rose up to it.
    fn turn(&mut self) {
        let Ladder { apart, step, first, .. } = self.ladder;
        let end = self.ladder.above(self.next);
        let (rows, fall) = ((end - self.begin) as f64, apart / step);
        let before = self.ladder.middle(self.next as f64 - 1.0);
        let highest = 1.0 - (first + self.begin as f64 * apart - before) / step;
        // Row i counts with highest - i * fall; the sum of all sums is that of (rows - i) * value.
        let weight = rows * highest - fall * rows * (rows - 1.0) / 2.0;
        let (of_sum, of_all) = ((highest - rows * fall) as f32, fall as f32);
        let whole = (1.0 / (self.weight + weight)) as f32;
        let sums = self.sums.iter_mut().zip(&mut self.sums_of_sums);
        for (((sum, all), risen), value) in sums.zip(&mut self.risen).zip(&mut self.values) {
            // Below 2^31, and quicker than from u32.
            let (values, sums) = (*sum as i32 as f32, *all as i32 as f32);
            let fallen = of_sum * values + of_all * sums;
            *value = (*risen + fallen) * whole;
            *risen = values - fallen;
            (*sum, *all) = (0, 0);
        }
        if self.next > 0 {
            let (line, low) = (self.line, self.turns.0);
            self.resampled.extend(self.across.iter().map(|window| line.above(low, window.mean(&self.values))));
        }
        (self.begin, self.weight, self.next) = (end, rows - weight, self.next + 1);
    }

    #[inline(always)]
    fn take_values<C: Copy>(&mut self, cells: &[C], value: impl Fn(C) -> u32 + Copy) {
        let mut cells = cells;
        while self.next <= self.ladder.new && cells.len() >= self.width {
            let outside = self.part.rows.start.saturating_sub(self.row);
            let rows = match outside {
                0 => {
                    let at = self.row - self.part.rows.start;
                    (self.ladder.above(self.next) - at).min(AT_ONCE).min(cells.len() / self.width)
                }
                outside => outside.min(cells.len() / self.width),
            };
            let (now, then) = cells.split_at(rows * self.width);
            if outside == 0 {
                self.add(now, value);
            }
            (self.row, cells) = (self.row + rows, then);
            while self.next <= self.ladder.new && self.row >= self.part.rows.start + self.ladder.above(self.next) {
                self.turn();
            }
        }
    }
}

impl OverCells for Sums {
    fn take<C: Copy>(&mut self, cells: &[C], code: impl Fn(C) -> u16 + Copy) {
        match self.turns {
            (0, u16::MAX) => self.take_values(cells, move |cell| code(cell).into()),
            (low, high) => self.take_values(cells, move |cell| code(cell).saturating_sub(low).min(high - low).into()),
        }
    }
}
