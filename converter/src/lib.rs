//! From a trained float network in ONNX to a checked int8 model file, one type per stage.

pub mod calibrate;
pub mod float;
pub mod folded;
