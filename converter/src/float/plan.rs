//! From an ONNX graph to a tract plan.

use std::sync::Arc;

use tract_onnx::pb;
use tract_onnx::prelude::*;

use super::FloatError;

/// Plans `proto` for one input of shape `shape`; output `i` of the plan is the tensor named `outputs[i]`.
pub(super) fn plan(
    proto: &pb::ModelProto,
    shape: [usize; 4],
    outputs: &[&str],
) -> Result<Arc<TypedRunnableModel>, FloatError> {
    check_made(proto, outputs)?;
    let prepare = |source| FloatError::Prepare { shape, source };
    // Declared shapes of intermediate tensors may hold another batch size or a symbol: tract infers its own.
    let framework = tract_onnx::onnx().with_ignore_value_info(true);
    let parsed = framework.parse(proto, None).map_err(prepare)?;
    let mut model = parsed.model;
    if model.inputs.len() != 1 {
        return Err(FloatError::InputCount(model.inputs.len()));
    }
    let outlets: Vec<OutletId> = outputs.iter().map(|&name| parsed.outlets_by_name[name]).collect();
    model
        .select_output_outlets(&outlets)
        .and_then(|()| model.set_input_fact(0, f32::fact(shape).into()))
        .and_then(|()| model.into_optimized()?.into_runnable())
        .map_err(prepare)
}

/// tract panics on an output that nothing makes; the empty name stands for a value that is left out.
fn check_made(proto: &pb::ModelProto, outputs: &[&str]) -> Result<(), FloatError> {
    let graph = proto.graph.as_ref().ok_or(FloatError::InputCount(0))?;
    let made = |name: &str| {
        graph.node.iter().any(|node| node.output.iter().any(|made| made == name))
            || graph.input.iter().any(|input| input.name == name)
            || graph.initializer.iter().any(|tensor| tensor.name == name)
    };
    match outputs.iter().find(|name| name.is_empty() || !made(name)) {
        Some(missing) => Err(FloatError::UnknownTensor((*missing).to_owned())),
        None => Ok(()),
    }
}
