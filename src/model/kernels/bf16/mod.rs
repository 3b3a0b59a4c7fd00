//! The network's trunk in bf16, a number of f32's range and 8 bits of precision: activations and weights rounded to it,
//! to the nearest, sums in f32.
//!
//! Instruction sets add products in another order and round them differently, so that two of them may differ in the last
//! bit of an activation ([`trusted`] holds them to that at start).

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
pub use trust::trusted;

/// bf16.
pub(in crate::model) struct Bf16;

/// How activations are stored: as they are.
#[derive(Clone, Copy)]
pub(in crate::model) struct AsIs;

impl Narrow for Bf16 {
    type Value = u16;
    type Weight = u16;
    type Code = AsIs;
    type Layer = AsIs;
    type Filter = filter::Filter;
    type Ends = lane::Ends;

    #[inline(always)]
    fn value(number: f32) -> u16 {
        lane::rounded(number)
    }

    /// In the order of integers with a sign, which is that of numbers with one: a zero below zero is not the larger one.
    #[inline(always)]
    fn larger(one: u16, other: u16) -> u16 {
        one.cast_signed().max(other.cast_signed()).cast_unsigned()
    }

    #[inline(always)]
    fn number(value: u16) -> f32 {
        lane::single(value)
    }

    fn beyond(sum: i32, other: i32) -> f32 {
        let [sum, other] = [sum, other].map(|sum| f32::from_bits(sum.cast_unsigned()));
        sum - other
    }

    fn zero(_code: &AsIs) -> f32 {
        0.0
    }

    fn steps(_code: &AsIs, channels: usize) -> Vec<f32> {
        vec![1.0; channels]
    }

    fn micro(isa: Isa) -> &'static Micro<Self> {
        tile::micro(isa)
    }

    #[cfg(target_arch = "x86_64")]
    fn matrices() -> super::narrow::amx::Kernels<Self> {
        super::narrow::amx::Kernels::OF
    }
}
