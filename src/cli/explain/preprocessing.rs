//! What was done to an image on its way to the model, in words and for programs.

use std::fmt;

use serde::Serialize;

use crate::model::{Framing, InputSpec, Resize};
use crate::pixels::Area;

/// How the image lies in the model's input; counted from 0, the end not included.
#[derive(Serialize)]
pub(super) struct Preprocessing {
    /// The part of the stored image that the model is shown.
    part: Corners,
    /// How that part is turned into display orientation.
    turn: String,
    /// The pixels of the input that it is resampled to; the others are black.
    inset: Corners,
    /// Rows and columns of the input.
    input: (usize, usize),
}

#[derive(Serialize)]
struct Corners {
    rows: [usize; 2],
    columns: [usize; 2],
}

impl From<&Area> for Corners {
    fn from(Area { rows, columns }: &Area) -> Self {
        Self { rows: [rows.start, rows.end], columns: [columns.start, columns.end] }
    }
}

impl From<&Framing> for Preprocessing {
    fn from(Framing { part, turn, inset, input, .. }: &Framing) -> Self {
        Self { part: part.into(), turn: turn.to_string(), inset: inset.into(), input: *input }
    }
}

/// The same in words, on one line.
pub(super) struct Words<'a>(pub(super) &'a Framing, pub(super) &'a InputSpec);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Framing { image, part, turn, inset, input }, spec) = self;
        if *part == Area::whole(image.0, image.1) {
            write!(f, "the whole image {turn}, ")?;
        } else {
            let Area { rows, columns } = part;
            write!(f, "rows {} to {}, columns {} to {} {turn}, ", rows.start, rows.end, columns.start, columns.end)?;
        }
        let (rows, columns) = turn.sides((part.rows.len(), part.columns.len()));
        let (height, width) = (inset.rows.len(), inset.columns.len());
        let (down, across) = (height as f64 / rows as f64, width as f64 / columns as f64);
        match spec.resize {
            Resize::Stretch => write!(f, "stretched to {height} rows x {width} columns")?,
            Resize::Fit => {
                write!(f, "fitted to {height} rows x {width} columns of {} x {}, black beside", input.0, input.1)?
            }
        }
        write!(f, " (by {down:.3} and {across:.3})")?;
        write!(f, ", bilinear; mean {:?}, standard deviation {:?}", spec.mean, spec.std)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Manifest;
    use crate::pixels::Turn;

    #[test]
    fn turn_crop_and_fit_are_said() {
        let reference = include_str!("../../../models/cxr-pneumonia-reference/model.toml");
        let mut spec = Manifest::parse(reference).unwrap().input;
        let mut framing = Framing::whole((400, 500), (224, 224));
        let said = Words(&framing, &spec).to_string();
        assert!(
            said.starts_with(
                "the whole image as stored, stretched to 224 rows x 224 columns (by 0.560 and 0.448), bilinear;"
            ),
            "{said}"
        );
        framing.part = Area { rows: 100..300, columns: 50..450 };
        framing.turn = Turn { mirrored: true, ..Turn::default() };
        framing.inset = Area { rows: 56..168, columns: 0..224 };
        spec.resize = Resize::Fit;
        let said = Words(&framing, &spec).to_string();
        let expected = "rows 100 to 300, columns 50 to 450 mirrored left to right, fitted to 112 rows x 224 columns of 224 x 224, black \
            beside (by 0.560 and 0.560)";
        assert!(said.starts_with(expected), "{said}");
        let facts = serde_json::to_value(Preprocessing::from(&framing)).unwrap();
        assert_eq!(facts["part"], serde_json::json!({"rows": [100, 300], "columns": [50, 450]}));
        assert_eq!(
            (&facts["turn"], &facts["inset"]["rows"]),
            (&"mirrored left to right".into(), &serde_json::json!([56, 168]))
        );
    }
}
