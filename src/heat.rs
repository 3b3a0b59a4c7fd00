//! Where in an image the model sees what it reports: a map over the whole image, and the region around its maximum.
//!
//! Positions are in pixels of the image, columns first, with the upper left corner of its upper left pixel at 0, 0
//! and the lower right corner of its lower right pixel at columns, rows: as PS3.3 C.18.6.1.1 (SCOORD) and C.10.5.1
//! (graphic annotations, PIXEL) count them.

use std::ops::{Range, RangeInclusive};

/// Share of the maximum from which a place belongs to the focus.
const FOCUS_FROM: f32 = 0.5;

/// Places within a cell of the map, along one side, among which its maximum is looked for.
const FINE: usize = 8;

/// Opacity of the map over an image at its maximum.
const DENSEST: f32 = 0.6;

/// Corners of a focus region before those on top of each other are left out.
const CORNERS: u16 = 48;

/// Rows and columns of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Rows, at least 1.
    pub rows: u32,
    /// Columns, at least 1.
    pub columns: u32,
}

impl Extent {
    /// Of an image of so many rows and columns.
    pub fn of(rows: usize, columns: usize) -> Self {
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        Self { rows: side(rows), columns: side(columns) }
    }
}

/// A position in an image, in pixels; see the module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// 0..=columns, to the right.
    pub column: f32,
    /// 0..=rows, downwards.
    pub row: f32,
}

/// The centres of a map's cells along one side of the image, as fractions of the side's length.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// At least 1.
    cells: usize,
    /// Centre of the first cell.
    first: f32,
    /// Distance of two centres; below 0 where the cells run against the side.
    step: f32,
    /// What of the side the map is about; beyond it nothing was looked at.
    seen: RangeInclusive<f32>,
}

impl Axis {
    /// `cells` cells, at least 1, of which the first has its centre at `first`, and the others `step` further each.
    pub fn new(cells: usize, first: f32, step: f32) -> Self {
        Self { cells, first, step, seen: 0.0..=1.0 }
    }

    /// The same cells over a part of the side, as fractions of the part.
    pub fn part(&self, part: Range<f32>) -> Self {
        let length = part.end - part.start;
        Self::new(self.cells, (self.first - part.start) / length, self.step / length)
    }

    /// The same cells over the other direction.
    pub fn reversed(&self) -> Self {
        Self::new(self.cells, 1.0 - self.first, -self.step)
    }

    /// The same cells where their side is a part of a longer one, as fractions of that.
    pub fn within(&self, part: Range<f32>) -> Self {
        let length = part.end - part.start;
        let (first, step) = (part.start + self.first * length, self.step * length);
        Self { cells: self.cells, first, step, seen: part.start..=part.end }
    }

    /// The cells around a fraction and what each counts there, 0..=1: a quadratic B-spline, in which the outermost cells
    /// go on beyond their centres.
    fn around(&self, fraction: f32) -> [(usize, f32); 3] {
        let last = self.cells.saturating_sub(1);
        let position = ((fraction - self.first) / self.step).clamp(0.0, last as f32);
        let nearest = (position.round() as usize).min(last);
        let off = position - nearest as f32;
        [
            (nearest.saturating_sub(1), (0.5 - off).powi(2) / 2.0),
            (nearest, 0.75 - off * off),
            ((nearest + 1).min(last), (0.5 + off).powi(2) / 2.0),
        ]
    }

    /// Fractions from the first centre to the last, [`FINE`] to a cell, as far as something was looked at.
    fn finely(&self) -> impl Iterator<Item = f32> {
        let places = 0..=self.cells.saturating_sub(1) * FINE;
        let fraction = |place: usize| self.first + place as f32 / FINE as f32 * self.step;
        places.map(fraction).filter(|fraction| self.seen.contains(fraction))
    }

    /// The fraction of a cell's centre.
    fn centre(&self, cell: usize) -> f32 {
        self.first + cell as f32 * self.step
    }

    /// Whether a cell's centre lies in what the map is about.
    fn sees(&self, cell: usize) -> bool {
        self.seen.contains(&self.centre(cell))
    }
}

/// How much each place of an image speaks for the finding, relative to the place that does most.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    down: Axis,
    across: Axis,
    /// `down.cells * across.cells` values, row by row, at least 0. The map is the smooth surface over them.
    cells: Vec<f32>,
    /// Where the surface has its maximum, which is 1: fractions of the sides, down and across. `None` of a cold map.
    peak: Option<(f32, f32)>,
}

impl HeatMap {
    /// A map of `evidence`, cells down times cells across values row by row: what is below 0, no number, or beyond
    /// what the axes are about counts as none, and the largest becomes 1. `None` where the number of values is another.
    pub fn new(down: Axis, across: Axis, evidence: &[f32]) -> Option<Self> {
        let seen = |at: usize| {
            let (row, column) = (at.checked_div(across.cells), at.checked_rem(across.cells));
            row.is_some_and(|row| down.sees(row)) && column.is_some_and(|column| across.sees(column))
        };
        let counted = |(at, value): (usize, &f32)| if seen(at) { value.max(0.0) } else { 0.0 };
        let cells: Vec<f32> = evidence.iter().enumerate().map(counted).collect();
        let fits = !cells.is_empty() && cells.len() == down.cells.checked_mul(across.cells)?;
        fits.then(|| Self { down, across, cells, peak: None }.risen())
    }

    /// The same with the maximum of its surface at 1.
    fn risen(mut self) -> Self {
        let places = self.down.finely().flat_map(|down| self.across.finely().map(move |across| (down, across)));
        let heights = places.map(|place| (place, self.height(place)));
        let peak = heights.max_by(|(_, a), (_, b)| a.total_cmp(b)).filter(|(_, top)| *top > 0.0 && top.is_finite());
        let scale = peak.map_or(0.0, |(_, top)| top.recip());
        self.cells.iter_mut().for_each(|value| *value = if scale > 0.0 { *value * scale } else { 0.0 });
        self.peak = peak.map(|(place, _)| place);
        self
    }

    /// The surface at fractions of the sides, down and across.
    fn height(&self, (down, across): (f32, f32)) -> f32 {
        let cell = |row: usize, column: usize| self.cells.get(row * self.across.cells + column).copied().unwrap_or(0.0);
        let columns = self.across.around(across);
        let along = |row| columns.iter().map(|(column, weight)| cell(row, *column) * weight).sum::<f32>();
        self.down.around(down).iter().map(|(row, weight)| along(*row) * weight).sum()
    }

    /// Does any place speak for the finding?
    pub fn is_cold(&self) -> bool {
        self.peak.is_none()
    }

    /// The map at a position of an image, 0..=1: a smooth surface over the cells, constant beyond the outermost centres,
    /// and 0 where nothing was looked at.
    pub fn at(&self, point: Point, extent: Extent) -> f32 {
        let (down, across) = (point.row / extent.rows as f32, point.column / extent.columns as f32);
        let seen = self.down.seen.contains(&down) && self.across.seen.contains(&across);
        if seen { self.height((down, across)).min(1.0) } else { 0.0 }
    }

    /// Where the map has its maximum; `None` where it is cold.
    pub fn hottest(&self, extent: Extent) -> Option<Point> {
        let (down, across) = self.peak?;
        Some(Point { column: across * extent.columns as f32, row: down * extent.rows as f32 })
    }

    /// The region around the maximum in which the map has at least half of it, as far as it can be seen from there;
    /// `None` where the map is cold.
    pub fn focus(&self, extent: Extent) -> Option<Region> {
        let centre = self.hottest(extent)?;
        let mut corners: Vec<Point> = Vec::new();
        for corner in 0..CORNERS {
            let angle = f32::from(corner) / f32::from(CORNERS) * std::f32::consts::TAU;
            let point = self.edge(centre, angle, extent);
            let near = |other: &Point| (other.column - point.column).hypot(other.row - point.row) < 0.5;
            if !corners.last().is_some_and(near) && !corners.first().is_some_and(near) {
                corners.push(point);
            }
        }
        (corners.len() >= 3).then_some(Region { corners })
    }

    /// How far the focus reaches from its centre in one direction, within the image.
    fn edge(&self, centre: Point, angle: f32, extent: Extent) -> Point {
        const STEPS: u16 = 512;
        let reach = (extent.columns as f32).hypot(extent.rows as f32);
        let point = |step: u16| {
            let distance = f32::from(step) / f32::from(STEPS) * reach;
            Point { column: centre.column + distance * angle.cos(), row: centre.row + distance * angle.sin() }
        };
        let belongs = |point: &Point| {
            let inside = (0.0..=extent.columns as f32).contains(&point.column)
                && (0.0..=extent.rows as f32).contains(&point.row);
            inside && self.at(*point, extent) >= FOCUS_FROM
        };
        (0..=STEPS).map(point).take_while(belongs).last().unwrap_or(centre)
    }
}

/// A part of an image: a simple polygon.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    corners: Vec<Point>,
}

impl Region {
    /// Its outline as a closed polyline, the first corner again at the end; at least four points.
    pub fn polyline(&self) -> Vec<Point> {
        self.corners.iter().chain(self.corners.first()).copied().collect()
    }
}

/// A grey pixel under heat, 0..=1 both: red, green and blue from yellow, hardly visible, to red.
pub fn warmed(luminance: f32, heat: f32) -> [u8; 3] {
    const YELLOW: [f32; 3] = [1.0, 0.9, 0.2];
    const RED: [f32; 3] = [0.9, 0.0, 0.0];
    let opacity = heat * DENSEST;
    let mut pixel = [0; 3];
    for ((channel, yellow), red) in pixel.iter_mut().zip(YELLOW).zip(RED) {
        let colour = yellow + (red - yellow) * heat;
        let mixed = luminance * (1.0 - opacity) + colour * opacity;
        *channel = (mixed.clamp(0.0, 1.0) * 255.0).round() as u8;
    }
    pixel
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Extent = Extent { rows: 100, columns: 200 };

    fn square(axis: Axis, evidence: &[f32]) -> HeatMap {
        HeatMap::new(axis.clone(), axis, evidence).unwrap()
    }

    /// Four cells a side whose centres are at 1/8, 3/8, 5/8 and 7/8; the second from the left in the third row is hot.
    fn map() -> HeatMap {
        let mut evidence = [0.0; 16];
        evidence[9] = 4.0;
        evidence[0] = -3.0;
        evidence[15] = 1.0;
        square(Axis::new(4, 0.125, 0.25), &evidence)
    }

    #[test]
    fn the_map_is_relative_to_its_maximum_and_lies_over_the_whole_image() {
        let map = map();
        assert_eq!(map.hottest(WIDE), Some(Point { column: 75.0, row: 62.5 }));
        let at = |column, row| map.at(Point { column, row }, WIDE);
        // 4 times (3/4)^2 is the height of the maximum, and there are 1/2 and 3/4 of 4 half a cell away.
        assert_eq!([at(75.0, 62.5), at(25.0, 12.5), at(0.0, 0.0)], [1.0, 0.0, 0.0]);
        for half_a_cell_away in [at(100.0, 62.5), at(75.0, 50.0)] {
            assert!((half_a_cell_away - 2.0 / 3.0).abs() < 1e-6, "{half_a_cell_away}");
        }
        assert_eq!(at(175.0, 87.5), at(200.0, 100.0));
        assert!((at(200.0, 100.0) - 0.875 * 0.875 / 2.25).abs() < 1e-6);
    }

    #[test]
    fn the_focus_is_the_half_maximum_in_pixels_of_the_image() {
        let outline = map().focus(WIDE).unwrap().polyline();
        assert_eq!(outline.first(), outline.last());
        let columns = outline.iter().map(|point| point.column);
        let rows = outline.iter().map(|point| point.row);
        let (left, right) = (columns.clone().fold(f32::MAX, f32::min), columns.fold(f32::MIN, f32::max));
        let (top, bottom) = (rows.clone().fold(f32::MAX, f32::min), rows.fold(f32::MIN, f32::max));
        for (found, expected) in [(left, 43.3), (right, 106.7), (top, 46.7), (bottom, 78.3)] {
            assert!((found - expected).abs() < 1.0, "{outline:?}");
        }
    }

    #[test]
    fn a_focus_at_the_corner_stays_in_the_image() {
        let map = square(Axis::new(2, 0.0, 0.5), &[1.0, 0.0, 0.0, 0.0]);
        let outline = map.focus(WIDE).unwrap().polyline();
        assert!(outline.len() >= 4 && outline.iter().all(|p| p.column >= 0.0 && p.row >= 0.0), "{outline:?}");
    }

    #[test]
    fn where_nothing_speaks_for_the_finding_there_is_no_focus() {
        let axis = Axis::new(2, 0.25, 0.5);
        for cold in [[-1.0, 0.0, -2.0, 0.0], [f32::NAN; 4]] {
            let map = square(axis.clone(), &cold);
            assert!(map.is_cold() && map.focus(WIDE).is_none() && map.hottest(WIDE).is_none());
        }
        assert_eq!(HeatMap::new(axis.clone(), axis, &[1.0; 3]), None);
    }

    #[test]
    fn a_map_of_a_part_lies_on_that_part_and_nowhere_else() {
        // The left half of the side and its middle, in cells that run to the left: 0.375 and 0.125 from the left edge.
        let across = Axis::new(2, 0.25, 0.5).reversed().within(0.0..0.5);
        let down = Axis::new(2, 0.25, 0.5).within(0.5..1.0);
        let map = HeatMap::new(down, across, &[0.0, 1.0, 0.0, 0.0]).unwrap();
        assert_eq!(map.hottest(WIDE), Some(Point { column: 25.0, row: 62.5 }));
        let at = |column, row| map.at(Point { column, row }, WIDE);
        assert_eq!([at(25.0, 62.5), at(0.0, 51.0), at(25.0, 49.0), at(101.0, 62.5)], [1.0, 1.0, 0.0, 0.0]);
        assert!((at(50.0, 62.5) - 0.5 / 0.875).abs() < 1e-6);
        let lowest = map.focus(WIDE).unwrap().polyline().iter().map(|point| point.row).fold(f32::MAX, f32::min);
        assert!((50.0..51.0).contains(&lowest), "{lowest}");
    }

    #[test]
    fn what_lies_beside_the_picture_speaks_for_nothing() {
        // The picture fills the middle half of what the cells lie over.
        let across = Axis::new(4, 0.125, 0.25).part(0.25..0.75);
        let map = HeatMap::new(Axis::new(1, 0.5, 1.0), across, &[9.0, 1.0, 2.0, 9.0]).unwrap();
        let hottest = map.hottest(WIDE).unwrap();
        assert!((hottest.column - 137.5).abs() < 1e-3 && hottest.row == 50.0, "{hottest:?}");
        let at = |column| map.at(Point { column, row: 50.0 }, WIDE);
        assert!((at(50.0) / at(150.0) - 1.0 / 1.625).abs() < 1e-6);
        assert!(at(0.0) < at(50.0));
    }
}
