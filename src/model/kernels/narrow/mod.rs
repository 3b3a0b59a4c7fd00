//! The network's trunk in numbers narrower than f32, multiplied in groups of four octets: what becomes of a sum (its scale,
//! bias, what is added, ReLU, rounding) is done while a tile is in registers. The Dense layers stay f32.

#[cfg(target_arch = "x86_64")]
pub(super) mod amx;
mod backward;
pub(super) mod convolution;
pub(super) mod filter;
mod network;
#[cfg(target_arch = "x86_64")]
mod packed;
mod plan;
pub(super) mod pooling;
#[cfg(test)]
pub(super) mod rig;
pub(super) mod tile;
pub(super) mod trust;

use bytemuck::{AnyBitPattern, Pod};

use super::isa::Isa;
pub(in crate::model) use filter::Reach;
pub(in crate::model) use network::{Known, Network};

/// Octets that a register multiplies at once for each column.
const OCTETS_OF_A_GROUP: usize = 4;

/// The numbers that a trunk is computed with.
pub(in crate::model) trait Narrow: Sized + Send + Sync + 'static {
    /// An activation.
    type Value: AnyBitPattern + Send + Sync;
    /// A weight, as many octets as an activation.
    type Weight: Pod + Send + Sync;
    /// How the activations of a layer are stored.
    type Code: Clone + Send + Sync;
    /// What is known of a layer beside its weights.
    type Layer: Sync;
    /// The packed weights of a convolution.
    type Filter: filter::Filter<Self>;
    /// What becomes of the sums of a panel.
    type Ends: tile::Ends;

    /// Inputs of a group.
    const GROUP: usize = OCTETS_OF_A_GROUP / size_of::<Self::Value>();
    /// Inputs of two groups, which are summed up together.
    const PAIR: usize = 2 * Self::GROUP;

    /// The nearest value, of a number that was divided by its channel's step and had [`Narrow::zero`] added.
    fn value(number: f32) -> Self::Value;
    /// The larger one of two that are not below zero.
    fn larger(one: Self::Value, other: Self::Value) -> Self::Value;
    /// A value in steps of its channel.
    fn number(value: Self::Value) -> f32;
    /// What 0 is stored as, in steps.
    fn zero(code: &Self::Code) -> f32;
    /// How far a sum is beyond another, both as a kernel keeps them.
    fn beyond(sum: i32, other: i32) -> f32;
    /// The steps of so many channels.
    fn steps(code: &Self::Code, channels: usize) -> Vec<f32>;
    /// The micro-kernels of an instruction set, or of the largest part of it that this program has some for.
    fn micro(isa: Isa) -> &'static tile::Micro<Self>;
    /// What is done with packed tiles where [`Narrow::micro`] is AMX's.
    #[cfg(target_arch = "x86_64")]
    fn matrices() -> amx::Kernels<Self>;
}
