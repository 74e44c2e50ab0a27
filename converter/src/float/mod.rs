//! The float reference: an ONNX graph run by tract, with intermediate tensors exposed.
//!
//! Calibration and every comparison of int8 against float run on this. The folded network is written back to ONNX
//! ([`folded_to_onnx`]) and run by the same code, so that folding is checked ([`check_folding`]) before anything is
//! quantized.

mod check;
mod export;
mod plan;

use std::collections::HashMap;
use std::sync::Arc;

use tract_onnx::pb;
use tract_onnx::prelude::*;

use crate::folded::Folded;

pub use check::{Difference, FoldCheck, check_folding};
pub use export::folded_to_onnx;

/// Why a float network could not be built or run.
#[derive(Debug, thiserror::Error)]
pub enum FloatError {
    /// The ONNX graph has not exactly one input that is not an initializer.
    #[error("the ONNX graph has {0} inputs; export the network with exactly one, the picture")]
    InputCount(usize),
    /// The ONNX graph has not exactly one output.
    #[error("the ONNX graph has {0} outputs; export the network with exactly one, the logits")]
    OutputCount(usize),
    /// A tensor that was asked for, or that the graph declares as its output, is made by no node.
    #[error("no node of the ONNX graph makes a tensor named `{0}`")]
    UnknownTensor(String),
    /// tract cannot plan the graph.
    #[error(
        "tract cannot prepare the float network for an input of shape {shape:?}; check the network and its input shape"
    )]
    Prepare {
        /// Input shape that was tried, NCHW.
        shape: [usize; 4],
        /// What tract says.
        source: TractError,
    },
    /// The input has the wrong number of values.
    #[error("the float network takes {expected} values, but was given {given}")]
    InputLength {
        /// Values of one input.
        expected: usize,
        /// Values given.
        given: usize,
    },
    /// tract failed while running the network.
    #[error("tract failed to run the float network")]
    Run {
        /// What tract says.
        source: TractError,
    },
    /// Two networks that should be compared expose different tensors.
    #[error("the two float networks expose different tensors; build both for the same folded network")]
    DifferentOutputs,
    /// A tensor holds NaN or an infinity.
    #[error("tensor `{0}` holds a value that is not finite; check the weights and the preprocessing")]
    NotFinite(String),
    /// There was no sample to compare on.
    #[error("no sample was given to check the folded network on")]
    NoSamples,
}

/// A float network ready to run: an optimised tract plan with batch 1. Can be shared between threads.
#[derive(Debug, Clone)]
pub struct FloatModel {
    plan: Arc<TypedRunnableModel>,
    input_shape: [usize; 4],
    names: Vec<String>,
    /// For every name, then for the graph's own output: which of the plan's outputs holds it.
    slots: Vec<usize>,
}

impl FloatModel {
    /// Plans `proto` for one input of shape `input_shape` (`[1, C, H, W]`, in place of whatever the graph declares,
    /// symbolic or not) with the tensors named `outputs` exposed.
    ///
    /// # Errors
    ///
    /// More than one input or output, a name that the graph does not make, or whatever tract cannot plan.
    pub fn new(
        proto: &pb::ModelProto,
        input_shape: [usize; 4],
        outputs: &[String],
    ) -> Result<Self, FloatError> {
        let logits = sole_output(proto)?;
        let (slots, unique) = slots(outputs.iter().map(String::as_str).chain([logits]));
        let plan = plan::plan(proto, input_shape, &unique)?;
        Ok(Self { plan, input_shape, names: outputs.to_vec(), slots })
    }

    /// Plans `proto`, the network `folded` was made from or [`folded_to_onnx`] of it, so that output `i` of
    /// [`run`](Self::run) is tensor `i` of `folded` (the input is tensor 0); the maps before poolings come behind the
    /// tensors, in the order of [`Folded::feature_maps`].
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn for_folded(proto: &pb::ModelProto, folded: &Folded) -> Result<Self, FloatError> {
        let Some(input) = folded.tensors.first() else { return Err(FloatError::InputCount(0)) };
        let names: Vec<String> = folded.feature_maps().map(|tensor| tensor.name.clone()).collect();
        Self::new(proto, [1, input.shape.c, input.shape.h, input.shape.w], &names)
    }

    /// Names of the exposed tensors, in the order of [`run`](Self::run)'s results; the graph's own output, which
    /// comes last there, is not among them unless it was asked for.
    #[must_use]
    pub fn output_names(&self) -> &[String] {
        &self.names
    }

    /// Shape of the input, `[1, C, H, W]`.
    #[must_use]
    pub fn input_shape(&self) -> [usize; 4] {
        self.input_shape
    }

    /// Runs the network on one input, C x H x W values in this order, and returns one flattened tensor per name in
    /// [`output_names`](Self::output_names) and, last, the graph's own output (the logits).
    ///
    /// # Errors
    ///
    /// An input of the wrong length, or a failure inside tract.
    pub fn run(&self, x: &[f32]) -> Result<Vec<Vec<f32>>, FloatError> {
        let expected = self.input_shape.iter().product();
        if x.len() != expected {
            return Err(FloatError::InputLength { expected, given: x.len() });
        }
        self.run_plan(x).map_err(|source| FloatError::Run { source })
    }

    fn run_plan(&self, x: &[f32]) -> TractResult<Vec<Vec<f32>>> {
        let results = self.plan.run(tvec!(Tensor::from_shape(&self.input_shape, x)?.into_tvalue()))?;
        let values = |&slot: &usize| Ok(results[slot].try_as_plain_ram()?.as_slice::<f32>()?.to_vec());
        self.slots.iter().map(values).collect()
    }
}

/// Name of the graph's only output, which some node, initializer or input must make.
fn sole_output(proto: &pb::ModelProto) -> Result<&str, FloatError> {
    match proto.graph.as_ref().map_or(&[][..], |graph| &graph.output) {
        [output] => Ok(&output.name),
        outputs => Err(FloatError::OutputCount(outputs.len())),
    }
}

/// For every name its index among the different names, and the different names: tract gets no output twice.
fn slots<'a>(names: impl Iterator<Item = &'a str>) -> (Vec<usize>, Vec<&'a str>) {
    let mut unique = Vec::new();
    let mut seen = HashMap::new();
    let slots = names
        .map(|name| {
            *seen.entry(name).or_insert_with(|| {
                unique.push(name);
                unique.len() - 1
            })
        })
        .collect();
    (slots, unique)
}
