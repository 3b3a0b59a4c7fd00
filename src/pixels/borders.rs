//! Dark and white borders: what a collimator left unexposed, or a shutter blackened, without a word in the header.
//!
//! They are looked for on a small copy of the picture, so that noise does not matter and the whole costs one pass. A line
//! at an edge belongs to a border when it is even and black, or even and white, along nearly all of its length: a letter
//! burnt in there does not keep it. Rows and columns are taken off in turn until no edge is a border any more.

use std::ops::Range;

use super::{Area, PixelError, Radiograph};

/// Rows and columns of the small copy, at most. A border is found to a line of it.
const GRID: usize = 256;

/// A line's median luminance up to which it can be a dark border, and from which it can be a white one.
const DARK: f32 = 0.08;
const WHITE: f32 = 0.92;

/// How far from the median a place may be and belong to the border, and the share of the line that must.
const EVEN: f32 = 0.04;
const SHARE: f32 = 0.95;

/// Most of a side that is taken off at either end. A border that is broader is no border, and stays.
const BROADEST: f32 = 0.35;

impl Radiograph {
    /// What of a part of the image lies within its dark and white borders: at least three tenths of each side.
    ///
    /// # Errors
    /// [`PixelError::Io`] where the pixels are in a file that cannot be read any more.
    pub fn within_borders(&self, part: &Area) -> Result<Area, PixelError> {
        let part = part.within(self.rows, self.columns);
        let (rows, columns) = (part.rows.len().min(GRID), part.columns.len().min(GRID));
        let luminance = self.resampled_part(&part, rows, columns)?;
        let inside = Grid { luminance: &luminance, columns }.within_borders(rows);
        let scaled = |lines: Range<usize>, grid: usize, whole: &Range<usize>| {
            let place = |line: usize| whole.start + line * whole.len() / grid.max(1);
            place(lines.start)..place(lines.end)
        };
        let Area { rows: down, columns: across } = inside;
        Ok(Area { rows: scaled(down, rows, &part.rows), columns: scaled(across, columns, &part.columns) })
    }
}

/// A small copy of a picture.
struct Grid<'a> {
    luminance: &'a [f32],
    columns: usize,
}

impl Grid<'_> {
    fn within_borders(&self, rows: usize) -> Area {
        let mut inside = Area::whole(rows, self.columns);
        loop {
            let down = trimmed(&inside.rows, rows, |row| self.row(row, &inside.columns));
            let across = trimmed(&inside.columns, self.columns, |column| self.column(column, &down));
            let now = Area { rows: down, columns: across };
            if now == inside {
                return now;
            }
            inside = now;
        }
    }

    fn row(&self, row: usize, columns: &Range<usize>) -> Vec<f32> {
        let begin = row * self.columns;
        self.luminance.get(begin + columns.start..begin + columns.end).unwrap_or_default().to_vec()
    }

    fn column(&self, column: usize, rows: &Range<usize>) -> Vec<f32> {
        rows.clone().filter_map(|row| self.luminance.get(row * self.columns + column).copied()).collect()
    }
}

/// Lines without the borders at either end; of `side` lines that there are in all.
fn trimmed(lines: &Range<usize>, side: usize, line: impl Fn(usize) -> Vec<f32>) -> Range<usize> {
    let border = |at: &usize| is_border(line(*at));
    let most = (side as f32 * BROADEST) as usize;
    let begin = lines.start + lines.clone().take_while(border).count();
    let end = lines.end - lines.clone().rev().take_while(border).count();
    let begin = if begin > most { lines.start } else { begin };
    let end = if end < side - most { lines.end } else { end };
    begin..end
}

/// Even and black, or even and white, along nearly all of its length.
fn is_border(mut line: Vec<f32>) -> bool {
    if line.is_empty() {
        return false;
    }
    let middle = line.len() / 2;
    let median = *line.select_nth_unstable_by(middle, f32::total_cmp).1;
    let even = line.iter().filter(|value| (**value - median).abs() <= EVEN).count();
    (median <= DARK || median >= WHITE) && even as f32 >= SHARE * line.len() as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A picture of changing greys with a border of `level` around `open`, with noise of 3 levels everywhere.
    fn framed(rows: usize, columns: usize, open: &Area, level: u8) -> Radiograph {
        let grey = |at: usize| {
            let (row, column) = (at / columns, at % columns);
            let noise = ((at * 2_654_435_761) >> 7) % 4;
            let inside = open.rows.contains(&row) && open.columns.contains(&column);
            let level = if inside { 60 + (row * 3 + column) as u8 % 120 } else { level };
            level.saturating_add(noise as u8)
        };
        Radiograph::of_bytes(columns, (0..rows * columns).map(grey).collect())
    }

    fn inside(image: &Radiograph) -> Area {
        image.within_borders(&Area::whole(image.rows, image.columns)).unwrap()
    }

    /// Equal within two lines of the small copy.
    fn near(found: &Area, expected: &Area, (rows, columns): (usize, usize)) -> bool {
        let near = |a: usize, b: usize, side: usize| a.abs_diff(b) <= 2 * side.div_ceil(GRID);
        let range = |a: &Range<usize>, b: &Range<usize>, side| near(a.start, b.start, side) && near(a.end, b.end, side);
        range(&found.rows, &expected.rows, rows) && range(&found.columns, &expected.columns, columns)
    }

    #[test]
    fn dark_and_white_borders_are_taken_off() {
        for level in [0, 12, 252] {
            for open in [
                Area { rows: 90..610, columns: 40..480 },
                Area { rows: 0..700, columns: 100..500 },
                Area { rows: 150..700, columns: 0..500 },
                Area::whole(700, 500),
            ] {
                let found = inside(&framed(700, 500, &open, level));
                assert!(near(&found, &open, (700, 500)), "{level}, {open:?}: {found:?}");
            }
        }
    }

    #[test]
    fn a_letter_in_the_border_does_not_keep_it() {
        let open = Area { rows: 100..700, columns: 0..500 };
        let image = framed(700, 500, &open, 0);
        let mut levels: Vec<u8> =
            image.luminance().unwrap().iter().map(|value| (value * 255.0).round() as u8).collect();
        for row in 40..60 {
            levels[row * 500 + 450..row * 500 + 465].fill(255);
        }
        assert!(near(&inside(&Radiograph::of_bytes(500, levels)), &open, (700, 500)));
    }

    #[test]
    fn what_is_too_broad_or_grey_is_no_border() {
        let whole = Area::whole(700, 500);
        assert_eq!(inside(&framed(700, 500, &Area { rows: 300..700, columns: 0..500 }, 0)), whole);
        assert_eq!(inside(&framed(700, 500, &Area { rows: 90..610, columns: 40..480 }, 128)), whole);
        for level in [0, 255] {
            assert_eq!(inside(&Radiograph::of_bytes(500, vec![level; 350_000])), whole);
        }
    }

    #[test]
    fn only_the_part_asked_for_is_looked_at() {
        let open = Area { rows: 100..600, columns: 100..400 };
        let image = framed(700, 500, &open, 0);
        let part = Area { rows: 50..400, columns: 200..500 };
        let expected = Area { rows: 100..400, columns: 200..400 };
        assert!(near(&image.within_borders(&part).unwrap(), &expected, (700, 500)));
    }

    proptest! {
        #[test]
        fn three_tenths_of_each_side_are_left_of_any_picture(
            levels in proptest::collection::vec(prop_oneof![Just(0_u8), Just(255), any::<u8>()], 1..600), columns in 1..40_usize,
        ) {
            prop_assume!(levels.len() >= columns);
            let image = Radiograph::of_bytes(columns, levels);
            let Area { rows, columns } = inside(&image);
            prop_assert!(rows.end <= image.rows && columns.end <= image.columns);
            prop_assert!(rows.len() * 10 >= image.rows * 3 && columns.len() * 10 >= image.columns * 3);
        }
    }
}
