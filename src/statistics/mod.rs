//! How well scores fit the truth: proportions, ROC and precision-recall, calibration, confusion; with 95 % intervals.

mod calibration;
mod confusion;
mod curve;
mod discrimination;
mod estimate;

pub use calibration::{BINS, Bin, Calibration, temperature};
pub use confusion::Confusion;
pub use curve::{Aim, AimError, Counts, Cut, Cuts};
pub use discrimination::{Difference, Discrimination};
pub use estimate::Estimate;
