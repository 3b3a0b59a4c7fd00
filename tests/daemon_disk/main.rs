//! The disk under the promise: what happens when it is full, and what is durable before a success is answered.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

mod full;
mod sync_order;
mod trace;
