//! What a conversion tells its user, as one value that is printed as tables or as JSON.

use resi8::model::Op;
use resi8::{Isa, Layer, Model, Plan};
use serde::Serialize;

use crate::convert::Conversion;
use crate::measure::{Measurement, TensorError};
use crate::quantize::{QuantizedLayer, QuantizedTensor};

/// The evidence of a conversion.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Samples that ranges were taken from.
    pub calibration_samples: usize,
    /// Samples that int8 was measured on.
    pub measured_samples: u64,
    /// Whether none of those was among the former.
    pub held_out: bool,
    /// Tensor with the largest relative difference between the original and the folded float network.
    pub fold_check_tensor: String,
    /// That difference.
    pub fold_check_difference: f32,
    /// Largest value of that tensor.
    pub fold_check_magnitude: f32,
    /// One per layer.
    pub layers: Vec<LayerReport>,
    /// Index of the layer with the lowest SQNR.
    pub worst_layer: usize,
    /// Share of the measured samples for which int8 and float name the same class, 0 to 1.
    pub agreement: f64,
    /// Signal to quantization noise of the logits, in decibels.
    pub logit_sqnr_db: f64,
    /// Bytes of the model file.
    pub file_bytes: usize,
    /// Bytes of the ONNX file.
    pub float_bytes: u64,
    /// The microcontroller that the file is for.
    pub target: Option<&'static str>,
    /// The kernels that the arena is for: the target's, or the portable ones; other instruction sets are within their scratch of it.
    pub isa: &'static str,
    /// Bytes of the arena with them.
    pub arena_bytes: usize,
    /// Bytes of it that hold activations.
    pub activation_bytes: usize,
    /// No placement can need fewer bytes for activations when the layers run in this order.
    pub activation_bytes_bound: usize,
    /// Multiply-accumulates of one run.
    pub macs: u64,
    /// Weights and biases.
    pub parameters: u64,
}

/// One layer's line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerReport {
    /// Name of the ONNX node.
    pub name: String,
    /// What it computes.
    pub kind: &'static str,
    /// Output rows, columns, channels.
    pub output: [usize; 3],
    /// Whether its weights are transformed for the target.
    pub transformed: bool,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Smallest and largest weight scale of its channels; none for pools.
    pub weight_scale: Option<[f64; 2]>,
    /// Real values that its output can hold; none for logits.
    pub activation_range: Option<[f64; 2]>,
    /// Signal to quantization noise in decibels, all layers before it included.
    pub sqnr_db: f64,
    /// Share of its float values that are out of range, 0 to 1.
    pub clip_rate: f64,
}

impl Report {
    /// Collects the evidence.
    ///
    /// # Errors
    /// The model file does not load, which a finished conversion rules out.
    pub fn new(conversion: &Conversion, float_bytes: u64) -> anyhow::Result<Self> {
        let model = Model::parse(&conversion.file)?;
        let Measurement { layers: errors, logits, total, agree, .. } = &conversion.measurement;
        let layers: Vec<LayerReport> = model
            .layers()
            .zip(&conversion.quantized.layers)
            .zip(errors)
            .map(|((layer, quantized), error)| {
                let tensor = &conversion.quantized.tensors[layer.index + 1];
                layer_report(&layer, quantized, tensor, error)
            })
            .collect();
        let worst = layers.iter().enumerate().min_by(|(_, a), (_, b)| a.sqnr_db.total_cmp(&b.sqnr_db));
        let fold = conversion.fold_check.worst();
        let isa = conversion.target.map_or(Isa::Portable, |target| target.isa);
        Ok(Self {
            warnings: conversion.warnings.clone(),
            calibration_samples: conversion.split.calibration.len(),
            measured_samples: *total,
            held_out: conversion.split.held_out,
            fold_check_tensor: fold.name.clone(),
            fold_check_difference: fold.largest_difference,
            fold_check_magnitude: fold.largest_magnitude,
            worst_layer: worst.map_or(0, |(index, _)| index),
            layers,
            agreement: *agree as f64 / (*total).max(1) as f64,
            logit_sqnr_db: logits.sqnr_db(),
            file_bytes: conversion.file.len(),
            float_bytes,
            target: conversion.target.map(|target| target.name),
            isa: isa.name(),
            arena_bytes: Plan::buffer_lens(&model, isa)?.arena_len,
            activation_bytes: conversion.memory.activation_bytes,
            activation_bytes_bound: conversion.memory.lower_bound,
            macs: model.macs(),
            parameters: model.parameters(),
        })
    }
}

fn layer_report(
    layer: &Layer<'_>,
    quantized: &QuantizedLayer,
    tensor: &QuantizedTensor,
    error: &TensorError,
) -> LayerReport {
    let scales = quantized.channels.iter().map(|channel| channel.weight_scale);
    let range = scales.fold([f64::INFINITY, 0.0], |[low, high], s| [low.min(s), high.max(s)]);
    let real = |q: i32| f64::from(tensor.scale) * f64::from(q - i32::from(tensor.zero_point));
    let is_logits = layer.output.element_size() == 4;
    LayerReport {
        name: quantized.name.clone(),
        kind: layer.kind(),
        output: layer.output.size(),
        transformed: matches!(&layer.op, Op::Conv(conv) if conv.is_transformed()),
        macs: layer.macs(),
        weight_scale: (!quantized.weights.is_empty()).then_some(range),
        activation_range: (!is_logits).then(|| [real(-128), real(127)]),
        sqnr_db: error.sqnr_db(),
        clip_rate: error.clip_rate(),
    }
}
