//! ONNX import and folding: real networks, tiny ones for every accepted form, and everything that must be refused.
//!
//! The reference for values is tract running the original graph; the folded network is evaluated here by plain loops.

mod accepted;
#[path = "../common/mod.rs"]
mod common;
mod damaged;
mod networks;
mod refused;
mod sizes;
mod support;
