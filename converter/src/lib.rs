//! From a trained float network in ONNX to a checked int8 model file, one type per stage.

pub mod fold;
pub mod folded;
pub mod ir;
pub mod onnx;
pub mod synthetic;
