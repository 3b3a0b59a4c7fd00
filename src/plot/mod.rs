//! Charts as SVG: readable in print, on white, with colours that also differ in grey (Okabe and Ito 2008).

mod chart;
mod matrix;
mod scale;
mod sheet;
mod svg;

pub use chart::{Chart, Corner, Mark, Series, Stroke};
pub use matrix::Matrix;
pub use scale::Axis;
pub use sheet::{Pair, Sheet};
pub use svg::{Colour, escaped};
