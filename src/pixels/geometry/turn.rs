//! From stored to display orientation: what Patient Orientation says (PS3.3 C.7.6.1.1.1).
//!
//! A frontal radiograph, AP or PA, is shown as if the patient stood before the viewer: the patient's left on the
//! viewer's right, the head up. Patient Orientation names the directions of the stored rows and columns, so it alone says
//! what is left to do. Field of View Rotation (0018,7032) and Horizontal Flip (0018,7034) tell what the device has done to
//! the pixels on their way from the detector (C.8.11.4.1.1); they ask for nothing, and are not read.

use std::fmt;

use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;

use crate::part10::attribute::{text, texts};

/// One of the eight ways to lay a rectangle on another: the stored picture is transposed, then mirrored, then
/// flipped, each or not. The default leaves it as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Turn {
    /// Rows become columns.
    pub transposed: bool,
    /// Left and right change places, after that.
    pub mirrored: bool,
    /// Top and bottom change places, after that.
    pub flipped: bool,
}

impl Turn {
    /// What brings a frontal radiograph into display orientation: nothing, where Patient Orientation (0020,0020) is absent,
    /// contradicts itself or is that of no frontal view, or where the patient is no biped (0010,2210).
    pub(super) fn of(dataset: &InMemDicomObject) -> Self {
        if text(dataset, tags::ANATOMICAL_ORIENTATION_TYPE).is_some_and(|kind| kind.eq_ignore_ascii_case("QUADRUPED")) {
            return Self::default();
        }
        match texts(dataset, tags::PATIENT_ORIENTATION).as_slice() {
            [row, column] => Self::of_directions(row, column).unwrap_or_default(),
            _ => Self::default(),
        }
    }

    /// The turn of a picture whose rows run towards `row` and whose columns run towards `column`: one to three letters,
    /// the direction that counts most first.
    fn of_directions(row: &str, column: &str) -> Option<Self> {
        let (mirrored, flipped) = match (direction(row)?, direction(column)?) {
            ('L', 'F') | ('F', 'L') => (false, false),
            ('R', 'F') | ('F', 'R') => (true, false),
            ('L', 'H') | ('H', 'L') => (false, true),
            ('R', 'H') | ('H', 'R') => (true, true),
            _ => return None,
        };
        Some(Self { transposed: matches!(direction(row)?, 'F' | 'H'), mirrored, flipped })
    }

    /// Rows and columns of a stored picture in display orientation, and the other way round.
    pub fn sides(self, (rows, columns): (usize, usize)) -> (usize, usize) {
        if self.transposed { (columns, rows) } else { (rows, columns) }
    }

    /// A stored picture of `columns` columns, row by row, in display orientation.
    pub fn displayed<T: Copy>(self, stored: &[T], columns: usize) -> Vec<T> {
        let (rows, columns) = (stored.len().checked_div(columns).unwrap_or(0), columns);
        let (down, across) = self.sides((rows, columns));
        let from = |row: usize, column: usize| {
            let row = if self.flipped { down - 1 - row } else { row };
            let column = if self.mirrored { across - 1 - column } else { column };
            let (row, column) = if self.transposed { (column, row) } else { (row, column) };
            stored.get(row * columns + column).copied()
        };
        (0..down).flat_map(|row| (0..across).filter_map(move |column| from(row, column))).collect()
    }
}

/// The main one of a direction's letters (PS3.3 C.7.6.1.1.1); none where the letters name no direction of a biped.
fn direction(letters: &str) -> Option<char> {
    let axis = |letter| ["LR", "AP", "HF"].iter().position(|axis| axis.contains(letter));
    let axes: Vec<usize> = letters.to_ascii_uppercase().chars().map(axis).collect::<Option<_>>()?;
    let distinct = (1..axes.len()).all(|at| !axes.iter().take(at).any(|axis| axes.get(at) == Some(axis)));
    letters.to_ascii_uppercase().chars().next().filter(|_| distinct)
}

/// What is done to the stored picture, in words.
impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.transposed, self.mirrored, self.flipped) {
            (false, false, false) => "as stored",
            (false, true, false) => "mirrored left to right",
            (false, false, true) => "mirrored top to bottom",
            (false, true, true) => "rotated by 180 degrees",
            (true, true, false) => "rotated by 90 degrees clockwise",
            (true, false, true) => "rotated by 90 degrees counterclockwise",
            (true, false, false) => "mirrored along the diagonal from the upper left",
            (true, true, true) => "mirrored along the diagonal from the upper right",
        })
    }
}

#[cfg(test)]
mod tests {
    use dicom::core::{DataElement, PrimitiveValue, VR};
    use proptest::prelude::*;

    use super::*;

    /// The patient's upper right, upper left, lower right and lower left, as a radiologist sees them.
    const DISPLAYED: [char; 4] = ['a', 'b', 'c', 'd'];

    fn turn(orientation: &str) -> Turn {
        let value = PrimitiveValue::Strs(orientation.split('\\').map(str::to_owned).collect());
        Turn::of(&InMemDicomObject::from_element_iter([DataElement::new(tags::PATIENT_ORIENTATION, VR::CS, value)]))
    }

    #[test]
    fn every_orientation_of_a_frontal_view_is_brought_into_display_orientation() {
        // What lies at the upper left, upper right, lower left and lower right of the stored picture follows from the
        // directions: the rows of R\F begin at the patient's left, those of F\L at the head.
        for (orientation, stored, words) in [
            ("L\\F", ['a', 'b', 'c', 'd'], "as stored"),
            ("R\\F", ['b', 'a', 'd', 'c'], "mirrored left to right"),
            ("L\\H", ['c', 'd', 'a', 'b'], "mirrored top to bottom"),
            ("R\\H", ['d', 'c', 'b', 'a'], "rotated by 180 degrees"),
            ("F\\L", ['a', 'c', 'b', 'd'], "mirrored along the diagonal from the upper left"),
            ("F\\R", ['b', 'd', 'a', 'c'], "rotated by 90 degrees clockwise"),
            ("H\\L", ['c', 'a', 'd', 'b'], "rotated by 90 degrees counterclockwise"),
            ("H\\R", ['d', 'b', 'c', 'a'], "mirrored along the diagonal from the upper right"),
        ] {
            let turn = turn(orientation);
            assert_eq!(turn.displayed(&stored, 2), DISPLAYED, "{orientation}");
            assert_eq!(turn.to_string(), words, "{orientation}");
        }
    }

    #[test]
    fn the_main_direction_of_an_oblique_one_counts_whatever_its_case() {
        for (orientation, like) in [("RA\\FP", "R\\F"), ("r\\f", "R\\F"), ("HL\\RHA", "H\\R"), (" R \\F ", "R\\F")] {
            assert_eq!(turn(orientation), turn(like), "{orientation}");
        }
    }

    #[test]
    fn what_is_absent_contradictory_or_not_frontal_is_left_as_stored() {
        let odd = ["", "R", "R\\", "R\\L", "H\\F", "R\\R", "A\\F", "P\\F", "R\\P", "RL\\F", "X\\F", "R\\F\\H", "\\"];
        for orientation in odd {
            assert_eq!(turn(orientation), Turn::default(), "{orientation}");
        }
        let text = |tag, value: &str| DataElement::new(tag, VR::CS, PrimitiveValue::from(value));
        let animal = InMemDicomObject::from_element_iter([
            text(tags::ANATOMICAL_ORIENTATION_TYPE, "QUADRUPED"),
            text(tags::PATIENT_ORIENTATION, "R\\F"),
        ]);
        assert_eq!(Turn::of(&animal), Turn::default());
    }

    proptest! {
        #[test]
        fn a_turn_moves_every_pixel_and_loses_none(
            flags: [bool; 3], rows in 0..9_usize, columns in 0..9_usize,
        ) {
            let [transposed, mirrored, flipped] = flags;
            let turn = Turn { transposed, mirrored, flipped };
            let stored: Vec<usize> = (0..rows * columns).collect();
            let mut displayed = turn.displayed(&stored, columns);
            displayed.sort_unstable();
            prop_assert_eq!(displayed, stored);
        }
    }
}
