//! How the stored pixels lie: which way the patient is turned, which shape a pixel has, and which part of them is open.

mod area;
mod shape;
mod shutter;
mod turn;

use dicom::object::InMemDicomObject;

pub use area::Area;
pub use shape::PixelShape;
pub use turn::Turn;

/// What a header says of the stored pixels as a whole. Decoding leaves them as they are stored; who shows them, or
/// gives them to a model, applies this.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Geometry {
    /// What brings the stored picture into display orientation.
    pub turn: Turn,
    /// Height and width of a stored pixel.
    pub shape: PixelShape,
    /// The rectangle around what shutters and collimator leave open; none where that is the whole image.
    pub open: Option<Area>,
}

impl Geometry {
    /// Reads it for an image of so many rows and columns; what is absent or makes no sense is left as stored, open, and
    /// with square pixels.
    pub(super) fn of(dataset: &InMemDicomObject, (rows, columns): (usize, usize)) -> Self {
        let shape = PixelShape::of(dataset);
        let open = shutter::open(dataset, (rows, columns), shape);
        Self { turn: Turn::of(dataset), shape, open: (open != Area::whole(rows, columns)).then_some(open) }
    }
}
