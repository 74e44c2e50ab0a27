//! The drivers: how a layer's geometry becomes microkernel calls. Safe Rust, no allocation, nothing here depends on
//! the instruction set.
//!
//! A driver returns `None` when a buffer is shorter than the validated model promises, which no file can cause.

pub(crate) mod conv;
pub(crate) mod dense;
pub(crate) mod pool;
