//! From an ONNX graph to a tract plan.

use std::borrow::Cow;
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
    let parsed = framework.parse(&with_scalar_pad_values(proto), None).map_err(prepare)?;
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

/// tract wants the value that a Pad fills with as a scalar; a vector of one element, which other runtimes take too,
/// becomes one.
fn with_scalar_pad_values(proto: &pb::ModelProto) -> Cow<'_, pb::ModelProto> {
    let mut scalars = proto.graph.iter().flat_map(pad_vectors).peekable();
    if scalars.peek().is_none() {
        return Cow::Borrowed(proto);
    }
    let mut changed = proto.clone();
    let graph = changed.graph.get_or_insert_default();
    for (node, vector) in scalars {
        let name = format!("resi8.pad.{node}");
        graph.node[node].input[2].clone_from(&name);
        graph.initializer.push(pb::TensorProto { name, dims: vec![], ..vector.clone() });
    }
    Cow::Owned(changed)
}

/// The Pad nodes, by index, whose value is a constant vector of one element.
fn pad_vectors(graph: &pb::GraphProto) -> impl Iterator<Item = (usize, &pb::TensorProto)> {
    let pads = graph.node.iter().enumerate().filter(|(_, node)| node.op_type == "Pad");
    pads.filter_map(|(index, node)| Some((index, constant(graph, node.input.get(2)?)?)))
        .filter(|(_, value)| value.dims == [1])
}

/// The constant tensor called `name`: an initializer, or the value of a Constant node.
fn constant<'p>(graph: &'p pb::GraphProto, name: &str) -> Option<&'p pb::TensorProto> {
    let node =
        || graph.node.iter().find(|node| node.op_type == "Constant" && node.output.iter().any(|o| o == name));
    let initializer = graph.initializer.iter().find(|tensor| tensor.name == name);
    initializer.or_else(|| node()?.attribute.iter().find(|attribute| attribute.name == "value")?.t.as_ref())
}
