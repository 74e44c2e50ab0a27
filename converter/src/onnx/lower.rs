//! From the ONNX graph to the [`Ir`]: what every tensor name stands for, node by node.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::constant::Constant;
use super::node::{Node, extent};
use super::{ImportError, OnnxModel, Unsupported};
use crate::folded::{Shape, Tensor, TensorId};
use crate::ir::{self, Ir, Op, onnx_dims};

/// What a tensor name stands for.
#[derive(Clone)]
pub(super) enum Value<'m> {
    /// Weights are decoded where they are used, so that no second copy of them lies around.
    Initializer(&'m TensorProto),
    Constant(Rc<Constant>),
    Map(MapView),
}

/// A feature map as ONNX sees it: the values of `tensor` in the same order, under any shape.
#[derive(Clone)]
pub(super) struct MapView {
    pub(super) tensor: TensorId,
    pub(super) dims: Vec<usize>,
}

/// Why a node has no translation.
pub(super) enum Stop {
    Unsupported(String),
    /// It reads the result of such a node; only that one is worth a message.
    Downstream,
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Unsupported(reason)
    }
}

impl From<&str> for Stop {
    fn from(reason: &str) -> Self {
        Self::Unsupported(reason.into())
    }
}

pub(super) struct Lowering<'m> {
    pub(super) opset: i64,
    output: &'m str,
    /// Every name that a node reads, and the output.
    read: HashSet<&'m str>,
    values: HashMap<&'m str, Value<'m>>,
    tensors: Vec<Tensor>,
    nodes: Vec<ir::Node>,
    notes: Vec<String>,
    unsupported: Vec<Unsupported>,
}

/// Translates a model; see [`Ir::from_onnx`].
pub(crate) fn lower(model: &OnnxModel) -> Result<Ir, ImportError> {
    let graph = model.graph()?;
    let (live, ignored) = split_by_use(graph, model.output())?;
    let mut lowering = Lowering::new(model, graph, &live)?;
    if !ignored.is_empty() {
        let names: Vec<String> = ignored.iter().map(|node| format!("`{}`", node.label())).collect();
        let names = names.join(", ");
        lowering.notes.push(format!("left out what the output does not depend on: {names}"));
    }
    for node in live {
        lowering.define_outputs(node)?;
    }
    lowering.finish()
}

/// The nodes that the output depends on, in the file's order, and the others.
fn split_by_use<'m>(
    graph: &'m GraphProto,
    output: &str,
) -> Result<(Vec<Node<'m>>, Vec<Node<'m>>), ImportError> {
    let mut writers = HashMap::new();
    for (position, node) in graph.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if writers.insert(name.as_str(), position).is_some() {
                return Err(ImportError::Graph(format!("two nodes write `{name}`")));
            }
        }
    }
    let mut live = vec![false; graph.node.len()];
    let mut pending = vec![output];
    while let Some(name) = pending.pop() {
        let Some(&position) = writers.get(name) else { continue };
        if !std::mem::replace(&mut live[position], true) {
            pending.extend(graph.node[position].input.iter().map(String::as_str));
        }
    }
    let nodes = graph.node.iter().enumerate().map(|(position, proto)| Node { proto, position });
    Ok(nodes.partition(|node| live[node.position]))
}

impl<'m> Lowering<'m> {
    fn new(model: &'m OnnxModel, graph: &'m GraphProto, live: &[Node<'m>]) -> Result<Self, ImportError> {
        let [_, c, h, w] = model.input_shape();
        let input = Tensor { name: model.input().into(), shape: Shape { h, w, c } };
        let inputs = live.iter().flat_map(|node| &node.proto.input).map(String::as_str);
        let mut lowering = Self {
            opset: model.opset(),
            output: model.output(),
            read: inputs.chain([model.output()]).collect(),
            values: HashMap::new(),
            tensors: vec![input],
            nodes: Vec::new(),
            notes: model.notes().to_vec(),
            unsupported: Vec::new(),
        };
        lowering.define(
            model.input(),
            Value::Map(MapView { tensor: TensorId(0), dims: model.input_shape().to_vec() }),
        )?;
        for tensor in &graph.initializer {
            lowering.define(&tensor.name, Value::Initializer(tensor))?;
        }
        Ok(lowering)
    }

    fn define(&mut self, name: &'m str, value: Value<'m>) -> Result<(), ImportError> {
        match self.values.insert(name, value) {
            None => Ok(()),
            Some(_) => Err(ImportError::Graph(format!("`{name}` is defined twice"))),
        }
    }

    fn define_outputs(&mut self, node: Node<'m>) -> Result<(), ImportError> {
        let mut inputs = node.proto.input.iter().filter(|name| !name.is_empty());
        if let Some(missing) = inputs.find(|name| !self.values.contains_key(name.as_str())) {
            let (op, label) = (node.op(), node.label());
            return Err(ImportError::Graph(format!(
                "{op} `{label}` reads `{missing}`, which nothing before it writes"
            )));
        }
        let value = self.translate(node).unwrap_or_else(|stop| {
            if let Stop::Unsupported(reason) = stop {
                self.unsupported.push(Unsupported { node: node.origin(), reason });
            }
            self.opaque(node)
        });
        for name in node.proto.output.iter().filter(|name| !name.is_empty()) {
            self.define(name, value.clone())?;
        }
        Ok(())
    }

    fn translate(&mut self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let NodeProto { domain, output, .. } = node.proto;
        if !domain.is_empty() && domain != "ai.onnx" {
            return Err(format!("operators of `{domain}` are not known").into());
        }
        if let Some(extra) = output.iter().skip(1).find(|name| self.read.contains(name.as_str())) {
            return Err(format!("its extra output `{extra}` is used").into());
        }
        match node.op() {
            "Constant" => self.constant_node(node),
            "ConstantOfShape" => self.constant_of_shape(node),
            "Concat" => self.concat(node),
            "Gather" => self.gather(node),
            "Transpose" => self.transpose(node),
            "Shape" => self.shape(node),
            "Cast" => self.cast(node),
            "Identity" => self.value(node, 0),
            "Dropout" => self.dropout(node),
            "Softmax" | "LogSoftmax" => self.softmax(node),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => self.reshape(node),
            "Slice" => self.slice(node),
            "Pad" => self.pad(node),
            "Conv" => self.conv(node),
            "BatchNormalization" => self.batch_norm(node),
            "Relu" | "Clip" => self.activation(node),
            "Add" | "Sum" => self.add(node),
            "MaxPool" => self.max_pool(node),
            "AveragePool" | "GlobalAveragePool" | "ReduceMean" => self.global_average(node),
            "Gemm" => self.gemm(node),
            "MatMul" => self.mat_mul(node),
            op if op.contains("Quantize") || op.starts_with("QLinear") || op.ends_with("Integer") => {
                Err("the network is quantized already".into())
            }
            _ => Err("this operator has no counterpart in the int8 model".into()),
        }
    }

    /// Stands for a node without translation, so that what reads it is recognised as following from it.
    fn opaque(&mut self, node: Node<'m>) -> Value<'m> {
        let values = node.proto.input.iter().filter_map(|name| self.values.get(name.as_str()));
        let inputs = values.filter_map(|value| match value {
            Value::Map(view) => Some(view.tensor),
            Value::Initializer(_) | Value::Constant(_) => None,
        });
        let inputs = inputs.collect();
        let tensor = self.emit(node, Op::Opaque, inputs, Shape { h: 0, w: 0, c: 0 });
        Value::Map(MapView { tensor, dims: Vec::new() })
    }

    /// Adds an operator; its output takes the name of the ONNX node's first output.
    pub(super) fn emit(&mut self, node: Node<'m>, op: Op, inputs: Vec<TensorId>, shape: Shape) -> TensorId {
        let output = TensorId(self.tensors.len());
        let name = node.proto.output.first().cloned().unwrap_or_default();
        self.tensors.push(Tensor { name, shape });
        self.nodes.push(ir::Node { origin: node.origin(), op, inputs, output });
        output
    }

    /// [`Self::emit`] for an operator whose result ONNX sees as N x C x H x W.
    pub(super) fn emit_map(
        &mut self,
        node: Node<'m>,
        op: Op,
        inputs: Vec<TensorId>,
        shape: Shape,
    ) -> Value<'m> {
        let tensor = self.emit(node, op, inputs, shape);
        Value::Map(MapView { tensor, dims: onnx_dims(shape).to_vec() })
    }

    pub(super) fn shape_of(&self, tensor: TensorId) -> Shape {
        self.tensors[tensor.0].shape
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(super) fn is_output(&self, node: Node<'m>) -> bool {
        node.proto.output.first().is_some_and(|name| name == self.output)
    }

    /// Input `index`, which must be there and must not follow from an unsupported node.
    pub(super) fn value(&self, node: Node<'m>, index: usize) -> Result<Value<'m>, Stop> {
        let found = node.input(index).and_then(|name| self.values.get(name));
        match found {
            None => Err(format!("input {index} is missing").into()),
            Some(Value::Map(view)) if self.shape_of(view.tensor).is_empty() => Err(Stop::Downstream),
            Some(value) => Ok(value.clone()),
        }
    }

    pub(super) fn dims(&self, value: &Value<'m>) -> Result<Vec<usize>, Stop> {
        match value {
            Value::Initializer(t) => Ok(t.dims.iter().map(|&d| extent(d)).collect::<Result<_, _>>()?),
            Value::Constant(constant) => Ok(constant.dims()),
            Value::Map(view) => Ok(view.dims.clone()),
        }
    }

    /// Input `index`, whose values must be known now.
    pub(super) fn constant(&self, node: Node<'m>, index: usize) -> Result<Rc<Constant>, Stop> {
        match self.value(node, index)? {
            Value::Initializer(tensor) => Ok(Rc::new(Constant::from_tensor(tensor)?)),
            Value::Constant(constant) => Ok(constant),
            Value::Map(_) => {
                Err(format!("input {index} depends on the picture, a constant is needed").into())
            }
        }
    }

    pub(super) fn optional_constant(
        &self,
        node: Node<'m>,
        index: usize,
    ) -> Result<Option<Rc<Constant>>, Stop> {
        node.input(index).map(|_| self.constant(node, index)).transpose()
    }

    /// Input `index`, which must depend on the picture.
    pub(super) fn view(&self, node: Node<'m>, index: usize) -> Result<MapView, Stop> {
        match self.value(node, index)? {
            Value::Map(view) => Ok(view),
            Value::Initializer(_) | Value::Constant(_) => {
                Err(format!("input {index} is a constant, a feature map is needed").into())
            }
        }
    }

    /// Input `index`, which must be seen as N x C x H x W.
    pub(super) fn map(&self, node: Node<'m>, index: usize) -> Result<(TensorId, Shape), Stop> {
        let MapView { tensor, dims } = self.view(node, index)?;
        let shape = self.shape_of(tensor);
        if dims != onnx_dims(shape) {
            let wanted = onnx_dims(shape);
            return Err(
                format!("its input has the shape {dims:?}, the feature map {wanted:?} is needed").into()
            );
        }
        Ok((tensor, shape))
    }

    fn finish(mut self) -> Result<Ir, ImportError> {
        let Some(Value::Map(MapView { tensor: output, .. })) = self.values.get(self.output).cloned() else {
            return Err(ImportError::Graph(format!("output `{}` does not depend on the input", self.output)));
        };
        // Nodes of which only the shape was asked for are live in ONNX, but compute nothing that is needed.
        let opaque = self.nodes.iter().filter(|node| matches!(node.op, Op::Opaque)).map(|node| node.output);
        let mut needed: HashSet<TensorId> = opaque.chain([output]).collect();
        for node in self.nodes.iter().rev() {
            if needed.contains(&node.output) {
                needed.extend(&node.inputs);
            }
        }
        self.nodes.retain(|node| needed.contains(&node.output));
        let Self { tensors, nodes, notes, unsupported, .. } = self;
        Ok(Ir { tensors, nodes, output, notes, unsupported })
    }
}
