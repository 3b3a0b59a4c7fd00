//! How the stored pixels lie: which way the patient is turned and which shape a pixel has.

mod area;
mod shape;
mod turn;

use dicom::object::InMemDicomObject;

pub use area::Area;
pub use shape::PixelShape;
pub use turn::Turn;

/// What a header says of the stored pixels as a whole. Decoding leaves them as they are stored; who shows them, or
/// gives them to a model, applies this.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Geometry {
    /// What brings the stored picture into display orientation.
    pub turn: Turn,
    /// Height and width of a stored pixel.
    pub shape: PixelShape,
}

impl Geometry {
    /// Reads it; what is absent or makes no sense is left as stored, with square pixels.
    pub(super) fn of(dataset: &InMemDicomObject) -> Self {
        Self { turn: Turn::of(dataset), shape: PixelShape::of(dataset) }
    }
}
