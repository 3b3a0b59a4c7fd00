//! How a radiograph lies in the network's input, and how places of the input come back to the stored image.

use crate::heat::Axis;
use crate::pixels::{Area, PixelShape, Turn};

/// How one radiograph lies in the network's input. Fields are in the order in which they are applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framing {
    /// Rows and columns of the stored image.
    pub image: (usize, usize),
    /// The part of the stored image that is shown to the network.
    pub part: Area,
    /// How the part is turned.
    pub turn: Turn,
    /// The pixels of the input that the turned part is resampled to; the others are black.
    pub inset: Area,
    /// Rows and columns of the input.
    pub input: (usize, usize),
}

impl Framing {
    /// A whole image as stored in the whole input.
    pub fn whole(image: (usize, usize), input: (usize, usize)) -> Self {
        let [part, inset] = [image, input].map(|(rows, columns)| Area::whole(rows, columns));
        Self { image, part, turn: Turn::default(), inset, input }
    }

    /// The same with an inset of the proportions that the part has in the body, as large as fits, in the middle; of what
    /// cannot be halved more is below and to the right.
    pub(super) fn fitted(self, shape: PixelShape) -> Self {
        let (rows, columns) = (self.part.rows.len() as f64 * shape.tallness(), self.part.columns.len() as f64);
        let (down, across) = if self.turn.transposed { (columns, rows) } else { (rows, columns) };
        let scale = (self.input.0 as f64 / down).min(self.input.1 as f64 / across);
        let range = |length: f64, side: usize| {
            let length = ((length * scale).round() as usize).clamp(1, side);
            let begin = (side - length) / 2;
            begin..begin + length
        };
        let inset = Area { rows: range(down, self.input.0), columns: range(across, self.input.1) };
        Self { inset, ..self }
    }

    /// The picture of the inset, row by row, in an input that is black beside it.
    pub(super) fn on_black(&self, inset: Vec<f32>) -> Vec<f32> {
        if self.inset == Area::whole(self.input.0, self.input.1) {
            return inset;
        }
        let mut luminance = vec![0.0; self.input.0 * self.input.1];
        let rows = luminance.chunks_exact_mut(self.input.1.max(1)).skip(self.inset.rows.start);
        for (row, values) in rows.zip(inset.chunks_exact(self.inset.columns.len().max(1))) {
            if let Some(place) = row.get_mut(self.inset.columns.clone()) {
                place.copy_from_slice(values);
            }
        }
        luminance
    }

    /// Axes over the input, down and across, as axes over the stored image. Where the turn transposes, the cells must be
    /// transposed as well.
    pub(super) fn on_image(&self, [down, across]: [Axis; 2]) -> [Axis; 2] {
        let [of_inset, in_image] =
            [(&self.inset, self.input), (&self.part, self.image)].map(|(area, (rows, columns))| {
                let share = |pixels: usize, side: usize| pixels as f32 / side as f32;
                [(&area.rows, rows), (&area.columns, columns)]
                    .map(|(range, side)| share(range.start, side)..share(range.end, side))
            });
        let [rows, columns] = of_inset;
        let (down, across) = (down.part(rows), across.part(columns));
        let down = if self.turn.flipped { down.reversed() } else { down };
        let across = if self.turn.mirrored { across.reversed() } else { across };
        let (down, across) = if self.turn.transposed { (across, down) } else { (down, across) };
        let [rows, columns] = in_image;
        [down.within(rows), across.within(columns)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heat::{Extent, HeatMap, Point};
    use crate::model::{Input, Manifest};
    use crate::pixels::{Geometry, Radiograph};

    const REFERENCE: &str = include_str!("../../models/cxr-pneumonia-reference/model.toml");

    fn input(crop: &str, resize: &str) -> Input {
        let keys = format!("crop = {crop:?}\nresize = {resize:?}");
        Input::new(&Manifest::parse(&REFERENCE.replace("resize = \"stretch\"", &keys)).unwrap().input)
    }

    /// Where the place of a map that the input's brightest pixel draws lies in the stored image.
    fn found(input: &Input, image: &Radiograph) -> Point {
        let framed = input.framed(image).unwrap();
        let luminance = framed.tensor.get(0).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (height, width) = framed.framing.input;
        let brightest = (0..luminance.len()).max_by(|a, b| luminance[*a].total_cmp(&luminance[*b])).unwrap();
        let turn = framed.framing.turn;
        let at = if turn.transposed { brightest % width * height + brightest / width } else { brightest };
        let mut evidence = vec![0.0; luminance.len()];
        evidence[at] = 1.0;
        let axis = |cells: usize| Axis::new(cells, 0.5 / cells as f32, 1.0 / cells as f32);
        let [down, across] = framed.framing.on_image([axis(height), axis(width)]);
        let map = HeatMap::new(down, across, &evidence).unwrap();
        map.hottest(Extent::of(image.rows, image.columns)).unwrap()
    }

    /// An image with one bright spot in the middle of row 60 and column 130.
    fn spot(rows: usize, columns: usize) -> Radiograph {
        let level = |at: usize| {
            let distance = (at / columns).abs_diff(60).max((at % columns).abs_diff(130));
            200_u8.saturating_sub((distance * 10).min(140) as u8)
        };
        Radiograph::of_bytes(columns, (0..rows * columns).map(level).collect())
    }

    /// Every turn there is.
    fn turns() -> impl Iterator<Item = Turn> {
        (0..8).map(|flags| {
            let [transposed, mirrored, flipped] = [1, 2, 4].map(|bit| flags & bit != 0);
            Turn { transposed, mirrored, flipped }
        })
    }

    #[test]
    fn a_place_of_the_input_is_found_again_in_the_stored_image() {
        let tall = PixelShape::Ratio { vertical: 2, horizontal: 1 };
        let open = Area { rows: 20..180, columns: 40..290 };
        let shapes = turns().flat_map(|turn| [(turn, PixelShape::default()), (turn, tall)]);
        for (turn, shape) in shapes {
            let geometry = Geometry { turn, shape, open: Some(open.clone()) };
            let image = spot(200, 300).lying(geometry);
            for (crop, resize) in
                [("none", "stretch"), ("none", "fit"), ("collimation", "stretch"), ("collimation", "fit")]
            {
                let Point { column, row } = found(&input(crop, resize), &image);
                let near = (column - 130.5).abs() < 1.5 && (row - 60.5).abs() < 1.5;
                assert!(near, "{crop}, {resize}, {turn}, {shape:?}: {column}, {row}");
            }
        }
        assert_eq!(input("collimation", "fit").framing(&spot(200, 300)).unwrap().part, Area::whole(200, 300));
    }

    #[test]
    fn the_input_has_the_patients_left_on_its_right() {
        let input = input("none", "stretch");
        // Stored mirrored, as R\\F says: the bright spot of column 130 of 300 is right of the middle for the viewer.
        let mirrored = Turn { mirrored: true, ..Turn::default() };
        let image = spot(200, 300).lying(Geometry { turn: mirrored, ..Geometry::default() });
        let row = input.tensor(&image).unwrap().get(0).unwrap().get(67).unwrap().to_vec1::<f32>().unwrap();
        let brightest = (0..224).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        assert!((brightest as f32 - 169.5 / 300.0 * 224.0).abs() < 2.0, "{brightest}");
    }

    #[test]
    fn a_fitted_picture_keeps_the_proportions_of_the_body() {
        let inset = |resize, rows, columns, geometry: &Geometry| {
            let image = Radiograph::of_bytes(columns, vec![255; rows * columns]).lying(geometry.clone());
            let Area { rows, columns } = input("none", resize).framing(&image).unwrap().inset;
            (rows, columns)
        };
        let (square, tall) = (PixelShape::default(), PixelShape::Spacing { vertical: 0.4, horizontal: 0.3 });
        let lying = Turn { transposed: true, mirrored: true, flipped: false };
        for (rows, columns, turn, shape, expected) in [
            (200, 200, Turn::default(), square, (0..224, 0..224)),
            (100, 200, Turn::default(), square, (56..168, 0..224)),
            (200, 100, Turn::default(), square, (0..224, 56..168)),
            // 4 to 3 high pixels: 150 rows are as high as 200 columns are wide.
            (150, 200, Turn::default(), tall, (0..224, 0..224)),
            (75, 200, Turn::default(), tall, (56..168, 0..224)),
            (100, 200, lying, square, (0..224, 56..168)),
            (2, 2000, Turn::default(), square, (111..112, 0..224)),
        ] {
            let geometry = Geometry { turn, shape, open: None };
            assert_eq!(inset("fit", rows, columns, &geometry), expected, "{rows} x {columns}, {turn}");
            assert_eq!(inset("stretch", rows, columns, &geometry), (0..224, 0..224));
        }
    }

    #[test]
    fn the_bars_are_black_and_the_picture_is_as_it_was() {
        let tensor = input("none", "fit").tensor(&Radiograph::of_bytes(20, vec![255; 200])).unwrap();
        let channel = tensor.get(0).unwrap().to_vec2::<f32>().unwrap();
        let level = |luminance: f32| (luminance - 0.485) / 0.229;
        assert!(channel[..56].iter().chain(&channel[168..]).flatten().all(|value| *value == level(0.0)));
        assert!(channel[56..168].iter().flatten().all(|value| (value - level(1.0)).abs() < 1e-5));
    }
}
