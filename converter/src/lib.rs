//! From a trained float network in ONNX to a checked int8 model file, one type per stage:
//!
//! ```text
//! ONNX file -> OnnxModel -> Ir -> Folded -> Calibration -> Quantized -> MemoryPlan -> bytes
//! ```
//!
//! A microcontroller's file is made from the content of the one for all processors, see [`target`].

pub mod calibrate;
pub mod convert;
pub mod emit;
pub mod export;
pub mod float;
pub mod fold;
pub mod folded;
pub mod ir;
pub mod measure;
pub mod memory;
pub mod onnx;
pub mod parallel;
pub mod quantize;
pub mod report;
pub mod synthetic;
pub mod target;
pub mod whole;
