//! The part of an image that its header leaves open: Display Shutter (PS3.3 C.7.6.11) and X-Ray Collimator (C.8.7.3).
//!
//! Both have the same attributes. Places are rows and columns of the stored image, the upper left pixel being 1, 1.

use dicom::core::Tag;
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;

use super::{Area, PixelShape};
use crate::part10::attribute::texts;

/// What the header leaves open of an image must have at least this share of each side, else it is not believed.
const LEAST_SHARE: f64 = 0.125;

/// Most vertices of a polygon that are looked at.
const MOST_VERTICES: usize = 1024;

/// The attributes of one of the two modules.
struct Attributes {
    shape: Tag,
    /// Left, right, upper and lower.
    edges: [Tag; 4],
    centre: Tag,
    radius: Tag,
    vertices: Tag,
}

const SHUTTER: Attributes = Attributes {
    shape: tags::SHUTTER_SHAPE,
    edges: [
        tags::SHUTTER_LEFT_VERTICAL_EDGE,
        tags::SHUTTER_RIGHT_VERTICAL_EDGE,
        tags::SHUTTER_UPPER_HORIZONTAL_EDGE,
        tags::SHUTTER_LOWER_HORIZONTAL_EDGE,
    ],
    centre: tags::CENTER_OF_CIRCULAR_SHUTTER,
    radius: tags::RADIUS_OF_CIRCULAR_SHUTTER,
    vertices: tags::VERTICES_OF_THE_POLYGONAL_SHUTTER,
};

const COLLIMATOR: Attributes = Attributes {
    shape: tags::COLLIMATOR_SHAPE,
    edges: [
        tags::COLLIMATOR_LEFT_VERTICAL_EDGE,
        tags::COLLIMATOR_RIGHT_VERTICAL_EDGE,
        tags::COLLIMATOR_UPPER_HORIZONTAL_EDGE,
        tags::COLLIMATOR_LOWER_HORIZONTAL_EDGE,
    ],
    centre: tags::CENTER_OF_CIRCULAR_COLLIMATOR,
    radius: tags::RADIUS_OF_CIRCULAR_COLLIMATOR,
    vertices: tags::VERTICES_OF_THE_POLYGONAL_COLLIMATOR,
};

/// The rectangle around what shutters and collimator of an image leave open; all of it, where they say nothing that
/// makes sense. A shape that closes nearly all of the image is ignored.
pub(super) fn open(dataset: &InMemDicomObject, (rows, columns): (usize, usize), pixel: PixelShape) -> Area {
    let whole = Area::whole(rows, columns);
    let believable = |part: &Area| {
        let share = |part: usize, side: usize| part as f64 / side as f64 >= LEAST_SHARE;
        share(part.rows.len(), rows) && share(part.columns.len(), columns)
    };
    let shapes = [SHUTTER, COLLIMATOR].into_iter().flat_map(|module| {
        let named = texts(dataset, module.shape).into_iter();
        named.filter_map(move |shape| module.rectangle(dataset, &shape, pixel)).collect::<Vec<_>>()
    });
    shapes.fold(whole, |open, shape| Some(open.intersection(&shape)).filter(believable).unwrap_or(open))
}

impl Attributes {
    /// The rectangle around one of the shapes that are said to be there.
    fn rectangle(&self, dataset: &InMemDicomObject, shape: &str, pixel: PixelShape) -> Option<Area> {
        let numbers = |tag| -> Option<Vec<f64>> {
            let numbers = texts(dataset, tag).into_iter().map(|text| text.parse().ok().filter(|n: &f64| n.is_finite()));
            numbers.take(2 * MOST_VERTICES).collect()
        };
        match shape {
            "RECTANGULAR" => {
                let edges: Option<Vec<f64>> = self.edges.iter().map(|tag| numbers(*tag)?.first().copied()).collect();
                let [left, right, upper, lower] = *edges?.as_slice() else { return None };
                pixels((upper, lower), (left, right))
            }
            "CIRCULAR" => {
                let [row, column] = *numbers(self.centre)?.as_slice() else { return None };
                // In pixels along a row; a pixel that is taller than wide is passed the sooner going down.
                let across = *numbers(self.radius)?.first()?;
                let down = across / pixel.tallness();
                pixels((row - down, row + down), (column - across, column + across))
            }
            "POLYGONAL" => {
                let vertices = numbers(self.vertices)?;
                let (pairs, []) = vertices.as_chunks::<2>() else { return None };
                let extent = |of: fn(&[f64; 2]) -> f64| {
                    let all = pairs.iter().map(of);
                    all.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
                };
                (pairs.len() >= 3).then(|| pixels(extent(|[row, _]| *row), extent(|[_, column]| *column)))?
            }
            _ => None,
        }
    }
}

/// The pixels from one place to another, both included, counted from 1; none where the second is before the first.
fn pixels(rows: (f64, f64), columns: (f64, f64)) -> Option<Area> {
    let range = |(first, last): (f64, f64)| {
        let (begin, end) = ((first.round() - 1.0).max(0.0) as usize, last.round().max(0.0) as usize);
        (begin < end).then_some(begin..end)
    };
    Some(Area { rows: range(rows)?, columns: range(columns)? })
}

#[cfg(test)]
mod tests {
    use dicom::core::{DataElement, PrimitiveValue, VR};

    use super::*;

    const SQUARE: PixelShape = PixelShape::Ratio { vertical: 1, horizontal: 1 };

    fn open_of(texts: &[(Tag, &str)], pixel: PixelShape) -> Area {
        let element = |(tag, text): &(Tag, &str)| {
            DataElement::new(*tag, VR::IS, PrimitiveValue::Strs(text.split('\\').map(str::to_owned).collect()))
        };
        open(&InMemDicomObject::from_element_iter(texts.iter().map(element)), (100, 200), pixel)
    }

    fn rectangular(left: &str, right: &str, upper: &str, lower: &str) -> Area {
        let [a, b, c, d] = SHUTTER.edges;
        let shape = (SHUTTER.shape, "RECTANGULAR");
        open_of(&[shape, (a, left), (b, right), (c, upper), (d, lower)], SQUARE)
    }

    #[test]
    fn a_rectangle_is_from_edge_to_edge() {
        assert_eq!(rectangular("11", "150", "21", "90"), Area { rows: 20..90, columns: 10..150 });
        assert_eq!(rectangular("-5", "900", "1", "100"), Area::whole(100, 200));
    }

    #[test]
    fn of_a_circle_and_a_polygon_the_rectangle_around_them_is_open() {
        let circle = [(COLLIMATOR.shape, "CIRCULAR"), (COLLIMATOR.centre, "50\\100"), (COLLIMATOR.radius, "40")];
        assert_eq!(open_of(&circle, SQUARE), Area { rows: 9..90, columns: 59..140 });
        let tall = PixelShape::Ratio { vertical: 2, horizontal: 1 };
        assert_eq!(open_of(&circle, tall), Area { rows: 29..70, columns: 59..140 });
        let polygon = [(SHUTTER.shape, "POLYGONAL"), (SHUTTER.vertices, "11\\101\\51\\31\\91\\101\\51\\181")];
        assert_eq!(open_of(&polygon, SQUARE), Area { rows: 10..91, columns: 30..181 });
    }

    #[test]
    fn several_shapes_leave_open_what_all_of_them_leave_open() {
        let [left, right, upper, lower] = COLLIMATOR.edges;
        let both = [
            (SHUTTER.shape, "CIRCULAR"),
            (SHUTTER.centre, "50\\100"),
            (SHUTTER.radius, "40"),
            (COLLIMATOR.shape, "RECTANGULAR"),
            (left, "1"),
            (right, "120"),
            (upper, "31"),
            (lower, "100"),
        ];
        assert_eq!(open_of(&both, SQUARE), Area { rows: 30..90, columns: 59..120 });
    }

    #[test]
    fn what_makes_no_sense_closes_nothing() {
        let whole = Area::whole(100, 200);
        for edges in [["150", "11", "21", "90"], ["", "150", "21", "90"], ["x", "1", "2", "3"], ["1", "10", "1", "100"]]
        {
            let [left, right, upper, lower] = edges;
            assert_eq!(rectangular(left, right, upper, lower), whole, "{edges:?}");
        }
        assert_eq!(open_of(&[(SHUTTER.shape, "RECTANGULAR")], SQUARE), whole);
        assert_eq!(open_of(&[(SHUTTER.shape, "POLYGONAL"), (SHUTTER.vertices, "1\\1\\50\\50\\9")], SQUARE), whole);
        assert_eq!(
            open_of(
                &[(SHUTTER.shape, "CIRCULAR"), (SHUTTER.centre, "50\\9999999999"), (SHUTTER.radius, "NaN")],
                SQUARE
            ),
            whole
        );
    }
}
