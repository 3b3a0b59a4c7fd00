//! A table of counts whose cells are the darker the larger their share of the row.

use super::svg::{Anchor, Drawing};

const CELL: f64 = 92.0;
const LEFT: f64 = 150.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 34.0;
/// Room for the names of a column, in characters.
const LONGEST: usize = 14;

/// A confusion matrix as a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix<'a> {
    /// What it shows.
    pub title: String,
    /// Names of rows and columns.
    pub names: &'a [String],
    /// A row for each name, a column for each name.
    pub counts: &'a [Vec<usize>],
}

impl Matrix<'_> {
    /// The matrix as an SVG document.
    pub fn svg(&self) -> String {
        let side = CELL * self.names.len() as f64;
        let (width, height) = (LEFT + side + 20.0, TOP + side + BOTTOM);
        let mut drawing = Drawing::new(width, height);
        drawing.text((width / 2.0, 24.0), Anchor::Middle, r#"font-size="15" font-weight="bold""#, &self.title);
        drawing.text((LEFT + side / 2.0, TOP - 32.0), Anchor::Middle, "", "Model's answer");
        drawing.upright((18.0, TOP + side / 2.0), "Truth");
        for (index, name) in self.names.iter().enumerate() {
            let (at, name) = ((index as f64 + 0.5) * CELL, shortened(name));
            drawing.text((LEFT + at, TOP - 10.0), Anchor::Middle, "", &name);
            drawing.text((LEFT - 10.0, TOP + at + 4.5), Anchor::End, "", &name);
        }
        for (row, counts) in self.counts.iter().enumerate() {
            let all = counts.iter().sum::<usize>().max(1) as f64;
            for (column, count) in counts.iter().enumerate() {
                let place = (LEFT + column as f64 * CELL, TOP + row as f64 * CELL);
                cell(&mut drawing, place, *count, *count as f64 / all);
            }
        }
        drawing.text((LEFT + side / 2.0, height - 12.0), Anchor::Middle, "", "Images, and their share of the row");
        drawing.finish(&self.title)
    }
}

fn cell(drawing: &mut Drawing, (x, y): (f64, f64), count: usize, share: f64) {
    let opacity = 0.9 * share;
    let style = format!(r##"fill="#0072b2" fill-opacity="{opacity:.2}" stroke="#444444""##);
    drawing.rectangle((x, y), (CELL, CELL), &style);
    let colour = if share > 0.55 { "#ffffff" } else { "#222222" };
    let (large, small) = (format!(r#"font-size="20" fill="{colour}""#), format!(r#"fill="{colour}""#));
    drawing.text((x + CELL / 2.0, y + CELL / 2.0), Anchor::Middle, &large, &count.to_string());
    let percent = format!("{:.1} %", 100.0 * share);
    drawing.text((x + CELL / 2.0, y + CELL / 2.0 + 22.0), Anchor::Middle, &small, &percent);
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    name.chars().take(LONGEST - 1).chain(['\u{2026}']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_hold_counts_and_shares_of_their_row() {
        let names = ["normal".to_owned(), "community-acquired pneumonia".to_owned()];
        let matrix = Matrix { title: "Test".into(), names: &names, counts: &[vec![30, 10], vec![0, 0]] };
        let svg = matrix.svg();
        for expected in [">30<", ">75.0 %<", ">25.0 %<", ">0.0 %<", "community-acq\u{2026}", "Model's answer"] {
            assert!(svg.contains(expected), "{expected}");
        }
    }
}
