//! The layers of a trunk while they are trained: each forwards, and backwards with a gradient of its own.
//!
//! Every sum has one order, whatever the threads: the same numbers go in, the same bits come out. All run on the rayon
//! pool that the caller is in.

mod batch_norm;
mod convolution;
mod memory;
mod pooling;
mod volume;
mod winograd;

pub(super) use batch_norm::{BatchNorm, EPSILON, Moments};
pub(super) use convolution::Convolution;
pub(super) use pooling::{Maximum, mean, mean_backward};
#[cfg(test)]
pub(super) use volume::tests::noise;
pub(super) use volume::{Extent, Volume};
