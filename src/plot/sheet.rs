//! A sheet of pictures with words below them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::svg::{Anchor, Drawing};

/// Side of the square that a picture lies in.
const SIDE: f64 = 220.0;
/// Pictures of a row.
const ACROSS: usize = 2;
const GAP: f64 = 16.0;
const LINE: f64 = 17.0;
const TOP: f64 = 64.0;

/// Pictures beside each other, a pair for each entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// What it shows.
    pub title: String,
    /// How it is to be read, below the title.
    pub note: String,
    /// The entries, in order.
    pub entries: Vec<Pair>,
}

/// Two pictures of one extent, side by side, and words below them.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// PNG files.
    pub pictures: [Vec<u8>; 2],
    /// Their rows and columns.
    pub extent: (u32, u32),
    /// Each a line; as many for every entry.
    pub lines: Vec<String>,
}

impl Sheet {
    /// The sheet as an SVG document that holds its pictures.
    pub fn svg(&self) -> String {
        let lines = self.entries.iter().map(|entry| entry.lines.len()).max().unwrap_or(0);
        let (wide, high) = (2.0 * SIDE + 2.0, SIDE + LINE * lines as f64 + GAP);
        let width = ACROSS as f64 * (wide + GAP) + GAP;
        let mut drawing = Drawing::new(width, TOP + self.entries.len().div_ceil(ACROSS) as f64 * (high + GAP));
        drawing.text((width / 2.0, 24.0), Anchor::Middle, r#"font-size="15" font-weight="bold""#, &self.title);
        drawing.text((width / 2.0, 46.0), Anchor::Middle, "", &self.note);
        for (index, Pair { pictures, extent, lines }) in self.entries.iter().enumerate() {
            let left = GAP + (index % ACROSS) as f64 * (wide + GAP);
            let top = TOP + (index / ACROSS) as f64 * (high + GAP);
            for (place, picture) in pictures.iter().enumerate() {
                let address = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(picture));
                let corner = (left + place as f64 * (SIDE + 2.0), top);
                drawing.rectangle(corner, (SIDE, SIDE), r##"fill="#000000""##);
                picture_within(&mut drawing, corner, *extent, &address);
            }
            for (number, line) in lines.iter().enumerate() {
                drawing.text((left, top + SIDE + LINE * (number as f64 + 1.0)), Anchor::Start, "", line);
            }
        }
        drawing.finish(&self.title)
    }
}

/// In the middle of its square, as large as it fits.
fn picture_within(drawing: &mut Drawing, (x, y): (f64, f64), (rows, columns): (u32, u32), address: &str) {
    let (rows, columns) = (f64::from(rows.max(1)), f64::from(columns.max(1)));
    let scale = SIDE / rows.max(columns);
    let (width, height) = (columns * scale, rows * scale);
    drawing.picture((x + (SIDE - width) / 2.0, y + (SIDE - height) / 2.0), (width, height), address);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_holds_its_pictures_and_their_words() {
        let pair =
            Pair { pictures: [b"one".to_vec(), b"two".to_vec()], extent: (100, 200), lines: vec!["a & b".into()] };
        let sheet = Sheet { title: "Worst".into(), note: "Left: plain".into(), entries: vec![pair.clone(), pair] };
        let svg = sheet.svg();
        for expected in [">Worst<", ">Left: plain<", ">a &amp; b<", "base64,b25l\"", "base64,dHdv\""] {
            assert!(svg.contains(expected), "{expected}: {svg}");
        }
        // Twice as wide as high: half of its square.
        assert_eq!(svg.matches(r#"width="220.0" height="110.0""#).count(), 4);
    }
}
