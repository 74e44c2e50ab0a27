//! resi8: exact int8 inference of residual networks, `no_std`, without a heap.
#![no_std]

pub mod preprocess;

pub use preprocess::{ChannelOrder, Preprocess, Resize};
