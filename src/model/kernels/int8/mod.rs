//! The network's trunk in eight bits: activations u8 in NHWC, weights s8 with a step for each output, sums i32.
//!
//! Sums are exact and rounding is the same everywhere, so that every instruction set gives the same octets
//! ([`trusted`] holds it to that at start).

#[cfg(target_arch = "x86_64")]
mod amx;
mod filter;
mod lane;
#[cfg(test)]
mod tests;
mod tile;
mod trust;

use super::isa::Isa;
use super::narrow::Narrow;
use super::narrow::tile::Micro;
pub(in crate::model) use filter::{Code, bounded_step, kept};
pub use trust::trusted;

/// Eight bits.
pub(in crate::model) struct Int8;

/// What is known of a layer that is computed in eight bits.
pub(in crate::model) struct Coded {
    /// How far apart the weights of each output are.
    pub(in crate::model) steps: Vec<f32>,
    /// Of each output, corrected for what rounding does to the mean.
    pub(in crate::model) bias: Vec<f32>,
}

impl Narrow for Int8 {
    type Value = u8;
    type Weight = i8;
    type Code = Code;
    type Layer = Coded;
    type Filter = filter::Filter;
    type Ends = lane::Ends;

    #[inline(always)]
    fn value(number: f32) -> u8 {
        lane::octet(number)
    }

    #[inline(always)]
    fn larger(one: u8, other: u8) -> u8 {
        one.max(other)
    }

    #[inline(always)]
    fn number(value: u8) -> f32 {
        f32::from(value)
    }

    fn beyond(sum: i32, other: i32) -> f32 {
        sum.wrapping_sub(other) as f32
    }

    fn zero(code: &Code) -> f32 {
        f32::from(code.zero)
    }

    fn steps(code: &Code, _channels: usize) -> Vec<f32> {
        code.steps.clone()
    }

    fn micro(isa: Isa) -> &'static Micro<Self> {
        tile::micro(isa)
    }

    #[cfg(target_arch = "x86_64")]
    fn matrices() -> super::narrow::amx::Kernels<Self> {
        super::narrow::amx::Kernels::OF
    }
}
