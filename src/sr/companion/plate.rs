//! The image with its heat map as a picture: for a Secondary Capture, and for `auscult explain`.
//!
//! The picture of the patient carries the heat map and nothing else; what is written stands above and below it.

use super::glyphs::{ADVANCE, HEIGHT, dots, wrapped};
use crate::config::ContentQualification;
use crate::finding::Finding;
use crate::heat::{Extent, HeatMap, Point, warmed};
use crate::pixels::Radiograph;
use crate::sr::{Device, SrError, wording};

/// Longer side of the radiograph on a plate, in pixels: at least and at most.
const LONGER_SIDE: (f64, f64) = (512.0, 1024.0);

const WHITE: [u8; 3] = [255, 255, 255];
const GREY: [u8; 3] = [170, 170, 170];

/// A picture in RGB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plate {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
    /// `rows * columns` pixels of red, green and blue, row by row from the upper left.
    pub rgb: Vec<u8>,
}

/// What is written on a plate, in ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// The result.
    pub result: String,
    /// What it is, and for what it may be used.
    pub caution: String,
}

impl Caption {
    /// That of a finding by a device.
    pub fn new(finding: &Finding, device: &Device) -> Self {
        let caution = match device.content_qualification {
            ContentQualification::Research => "AI, research use. Not for diagnosis.",
            ContentQualification::Product => "AI. Not verified by a physician.",
        };
        Self { result: wording::conclusion(finding), caution: caution.to_owned() }
    }
}

/// A radiograph with square pixels, the heat map over it, its legend and a caption.
pub fn plate(image: &Radiograph, heat: &HeatMap, caption: &Caption) -> Result<Plate, SrError> {
    let extent = size(image);
    let luminance = image.resampled(extent.rows as usize, extent.columns as usize);
    let luminance = luminance.map_err(|error| SrError::Encoding(error.to_string()))?;
    let scale = (extent.columns as usize / 300).clamp(1, 3);
    let margin = 2 * scale;
    let line_height = (HEIGHT + 3) * scale;
    let longest = (extent.columns as usize - 2 * margin) / (ADVANCE * scale);
    let result = wrapped(&caption.result, longest);
    let caution = wrapped(&caption.caution, longest);
    let above = (result.len() + caution.len()) * line_height + 2 * margin;
    let below = line_height + 2 * margin;
    let mut canvas = Canvas::black(extent.columns as usize, above + extent.rows as usize + below);
    let lines = result.iter().map(|line| (line, WHITE)).chain(caution.iter().map(|line| (line, GREY)));
    for (index, (line, colour)) in lines.enumerate() {
        canvas.write(line, (margin, margin + index * line_height), scale, colour);
    }
    for (index, luminance) in luminance.iter().enumerate() {
        let (row, column) = (index / extent.columns as usize, index % extent.columns as usize);
        let centre = Point { column: column as f32 + 0.5, row: row as f32 + 0.5 };
        canvas.put((column, above + row), warmed(*luminance, heat.at(centre, extent)));
    }
    legend(&mut canvas, heat, (margin, above + extent.rows as usize + margin), scale);
    canvas.plate()
}

/// The radiograph's size on the plate.
fn size(image: &Radiograph) -> Extent {
    let (width, height) = (image.columns as f64, image.rows as f64 * image.geometry.shape.tallness());
    let longer = width.max(height);
    let scale = longer.clamp(LONGER_SIDE.0, LONGER_SIDE.1) / longer;
    // A strip must still hold words.
    let side = |length: f64| ((length * scale).round() as u32).max(96);
    Extent { rows: side(height), columns: side(width) }
}

/// What the colours mean.
fn legend(canvas: &mut Canvas, heat: &HeatMap, (left, top): (usize, usize), scale: usize) {
    if heat.is_cold() {
        return canvas.write("No place speaks for pneumonia.", (left, top), scale, GREY);
    }
    let bar = 24 * ADVANCE * scale / 2;
    let begin = left + 4 * ADVANCE * scale;
    canvas.write("low", (left, top), scale, GREY);
    for (column, row) in (0..bar).flat_map(|column| (0..HEIGHT * scale).map(move |row| (column, row))) {
        canvas.put((begin + column, top + row), warmed(0.5, column as f32 / bar as f32));
    }
    canvas.write("high  Speaks for pneumonia", (begin + bar + ADVANCE * scale, top), scale, GREY);
}

/// A picture in the making; what is put outside of it is lost.
struct Canvas {
    columns: usize,
    rows: usize,
    rgb: Vec<u8>,
}

impl Canvas {
    fn black(columns: usize, rows: usize) -> Self {
        Self { columns, rows, rgb: vec![0; columns * rows * 3] }
    }

    fn put(&mut self, (column, row): (usize, usize), colour: [u8; 3]) {
        let first = (row * self.columns + column) * 3;
        if column < self.columns
            && let Some(pixel) = self.rgb.get_mut(first..first + 3)
        {
            pixel.copy_from_slice(&colour);
        }
    }

    fn write(&mut self, text: &str, (left, top): (usize, usize), scale: usize, colour: [u8; 3]) {
        for (column, row) in dots(text) {
            let square = (0..scale).flat_map(|x| (0..scale).map(move |y| (x, y)));
            square.for_each(|(x, y)| self.put((left + column * scale + x, top + row * scale + y), colour));
        }
    }

    fn plate(self) -> Result<Plate, SrError> {
        let side = |pixels: usize| u16::try_from(pixels).map_err(|error| SrError::Encoding(error.to_string()));
        Ok(Plate { columns: side(self.columns)?, rows: side(self.rows)?, rgb: self.rgb })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heat::Axis;
    use crate::pixels::{Geometry, PixelShape};

    fn caption() -> Caption {
        Caption { result: "Possible pneumonia. Score 93.1 % (threshold 50.0 %).".into(), caution: "AI".into() }
    }

    /// Hot in the lower left quarter.
    fn heat() -> HeatMap {
        let axis = Axis::new(2, 0.25, 0.5);
        HeatMap::new(axis.clone(), axis, &[0.0, 0.0, 1.0, 0.0]).unwrap()
    }

    fn even(rows: usize, columns: usize) -> Radiograph {
        Radiograph::of_bytes(columns, vec![128; rows * columns])
    }

    fn tall(image: Radiograph) -> Radiograph {
        let shape = PixelShape::Ratio { vertical: 2, horizontal: 1 };
        image.lying(Geometry { shape, ..Geometry::default() })
    }

    /// Where red exceeds blue most, within the radiograph, as fractions of its sides.
    fn warmest(plate: &Plate, above: usize, rows: usize) -> (f32, f32) {
        let columns = usize::from(plate.columns);
        let warmth = |index: &usize| i32::from(plate.rgb[index * 3]) - i32::from(plate.rgb[index * 3 + 2]);
        let radiograph = above * columns..(above + rows) * columns;
        let most = radiograph.clone().map(|index| warmth(&index)).max().unwrap();
        let hot: Vec<usize> = radiograph.filter(|index| warmth(index) == most).collect();
        let mean = |of: &dyn Fn(usize) -> usize| hot.iter().map(|index| of(*index)).sum::<usize>() / hot.len();
        let row = mean(&|index| index / columns) - above;
        (mean(&|index| index % columns) as f32 / columns as f32, row as f32 / rows as f32)
    }

    #[test]
    fn the_heat_lies_where_the_map_has_it_and_pixels_become_square() {
        for (image, columns, rows) in
            [(even(1600, 800), 512, 1024), (tall(even(400, 800)), 800, 800), (even(100, 200), 512, 256)]
        {
            let plate = plate(&image, &heat(), &caption()).unwrap();
            assert_eq!(usize::from(plate.columns), columns);
            let below = if columns / 300 == 1 { 15 } else { 30 };
            let above = usize::from(plate.rows) - rows - below;
            let (x, y) = warmest(&plate, above, rows);
            assert!(x < 0.27 && (0.73..1.0).contains(&y), "{x} {y}");
        }
    }

    #[test]
    fn a_cold_map_leaves_the_radiograph_as_it_is() {
        let axis = Axis::new(1, 0.5, 1.0);
        let cold = HeatMap::new(axis.clone(), axis, &[0.0]).unwrap();
        let plate = plate(&even(600, 600), &cold, &caption()).unwrap();
        assert!(plate.rgb.chunks(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
        assert_eq!(plate.rgb.chunks(3).filter(|pixel| pixel[0] == 128).count(), 600 * 600);
    }

    #[test]
    fn a_strip_of_an_image_still_has_a_plate() {
        assert!(plate(&even(1, 3000), &heat(), &caption()).is_ok());
        assert!(plate(&even(3000, 1), &heat(), &caption()).is_ok());
    }
}
