//! The network's trunk in eight bits: activations u8 in NHWC, weights s8 with a step for each output, sums i32, and what
//! becomes of a sum (its scale, bias, what is added, ReLU, rounding) done while a tile is in registers. The first
//! convolution and the Dense layers stay f32.
//!
//! Sums are exact and rounding is the same everywhere, so that every instruction set gives the same octets
//! ([`trusted`] holds it to that at start).

#[cfg(target_arch = "x86_64")]
mod amx;
mod convolution;
mod filter;
mod lane;
mod network;
mod plan;
mod pooling;
#[cfg(test)]
mod tests;
mod tile;
mod trust;

pub(in crate::model) use filter::{Code, bounded_step};
pub(in crate::model) use network::{Coded, Network};
pub use trust::trusted;
