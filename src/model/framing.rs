//! How a radiograph lies in the network's input, and how places of the input come back to the stored image.

use crate::heat::Axis;
use crate::pixels::{Area, Turn};

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
            200_u8.saturating_sub((distance * 10).min(180) as u8)
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
        let input = Input::new(&Manifest::parse(REFERENCE).unwrap().input);
        for turn in turns() {
            let image = spot(200, 300).lying(Geometry { turn, ..Geometry::default() });
            let Point { column, row } = found(&input, &image);
            assert!((column - 130.5).abs() < 1.5 && (row - 60.5).abs() < 1.5, "{turn}: {column}, {row}");
        }
    }

    #[test]
    fn the_input_has_the_patients_left_on_its_right() {
        let input = Input::new(&Manifest::parse(REFERENCE).unwrap().input);
        // Stored mirrored, as R\\F says: the bright spot of column 130 of 300 is right of the middle for the viewer.
        let mirrored = Turn { mirrored: true, ..Turn::default() };
        let image = spot(200, 300).lying(Geometry { turn: mirrored, ..Geometry::default() });
        let row = input.tensor(&image).unwrap().get(0).unwrap().get(67).unwrap().to_vec1::<f32>().unwrap();
        let brightest = (0..224).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        assert!((brightest as f32 - 169.5 / 300.0 * 224.0).abs() < 2.0, "{brightest}");
    }
}
