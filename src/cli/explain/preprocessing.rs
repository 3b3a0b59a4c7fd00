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
        let by = |to: usize, from: usize| to as f64 / from as f64;
        let (down, across) = (by(inset.rows.len(), rows), by(inset.columns.len(), columns));
        match spec.resize {
            Resize::Stretch => write!(f, "stretched")?,
            Resize::Fit => {
                write!(
                    f,
                    "fitted with its proportions into {} rows x {} columns",
                    inset.rows.len(),
                    inset.columns.len()
                )?;
                write!(f, " and black bars")?;
            }
        }
        write!(f, " to {} rows x {} columns (by {down:.3} and {across:.3})", input.0, input.1)?;
        write!(f, ", bilinear; mean {:?}, standard deviation {:?}", spec.mean, spec.std)
    }
}
