//! The network's layers on the processor, in f32, in eight bits (room `int8`) and in bf16: activations in NHWC, weights packed once,
//! bias, sum and ReLU done while a tile is still in registers.
//!
//! Micro-kernels exist for AVX-512, AVX2 with FMA and F16C, NEON, and for any processor; [`trusted`] says which are used.
//! Each output is summed up in the same order whatever the number of threads, the tile and the batch that it is in, so
//! the same input gives the same bits, with the same instructions.
#![allow(unsafe_code, reason = "vector instructions, and memory that several threads write to at once")]

#[cfg(target_arch = "x86_64")]
mod amx;
mod backward;
pub(super) mod bf16;
mod bottlenecks;
mod buffer;
mod convolution;
mod crew;
mod filter;
mod geometry;
mod halves;
pub(super) mod int8;
mod isa;
mod lane;
mod memory;
pub(super) mod narrow;
mod network;
mod pages;
mod panels;
mod phases;
mod plan;
mod pooling;
mod product;
mod slopes;
mod slots;
#[cfg(test)]
mod tests;
mod tile;
mod trust;
mod turn;
mod way_back;
mod winograd;

pub(super) use filter::{Raw, Rows};
pub(super) use halves::widen;
pub use isa::Isa;
pub(super) use network::{Features, IMAGES_OF_A_RUN, Images, Network, Seen, Slope};
pub use product::{Columns, Sum, multiply};
pub use trust::trusted;
