//! The folded network as an ONNX graph again.

use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};

use crate::folded::{Activation, Conv, Dense, Folded, Layer, Op, Pool, Shape, Skip, Tensor, TensorId};

/// The ONNX operator set and IR version of the graphs written here.
const OPSET: i64 = 13;
const IR_VERSION: i64 = 7;

/// Writes a folded network as ONNX (operator set 13, weights rounded to f32, batch 1).
///
/// Every tensor keeps the name it has in `folded`, so that both graphs can be run and compared tensor by tensor.
/// `folded` must be consistent as the importer makes it: tensor ids inside the list, shapes that fit.
#[must_use]
pub fn folded_to_onnx(folded: &Folded) -> pb::ModelProto {
    let mut writer = Writer { folded, graph: pb::GraphProto { name: "folded".into(), ..Default::default() } };
    writer.graph.input = folded.tensors.first().map(value_info).into_iter().collect();
    for (index, layer) in folded.layers.iter().enumerate() {
        writer.layer(index, layer);
    }
    let last = folded.layers.last().map(|layer| writer.tensor(layer.output).name.clone());
    writer.graph.output =
        last.map(|name| pb::ValueInfoProto { name, ..Default::default() }).into_iter().collect();
    pb::ModelProto {
        ir_version: IR_VERSION,
        producer_name: "resi8".into(),
        opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: OPSET }],
        graph: Some(writer.graph),
        ..Default::default()
    }
}

struct Writer<'f> {
    folded: &'f Folded,
    graph: pb::GraphProto,
}

impl<'f> Writer<'f> {
    fn tensor(&self, id: TensorId) -> &'f Tensor {
        &self.folded.tensors[id.0]
    }

    fn layer(&mut self, index: usize, layer: &Layer) {
        let prefix = format!("resi8.{index}");
        let input = &self.tensor(layer.input).name;
        let output = &self.tensor(layer.output).name;
        match &layer.op {
            Op::Conv(conv) => self.conv(&prefix, layer, conv),
            Op::MaxPool { kernel, stride, pads } => {
                self.node("MaxPool", &[input], output, window_attributes(*kernel, *stride, *pads));
            }
            Op::GlobalAveragePool => self.node("GlobalAveragePool", &[input], output, vec![]),
            Op::Dense(dense) => self.dense(&prefix, input, output, dense),
        }
    }

    /// Convolution, shortcut, activation and pooling are up to four nodes; the last of them makes the layer's output.
    fn conv(&mut self, prefix: &str, layer: &Layer, conv: &Conv) {
        let (input, output) = (self.tensor(layer.input), self.tensor(layer.output));
        let map = conv.pool.as_ref().map_or(output, |pool| &pool.map);
        let activated = conv.activation != Activation::None;
        let name =
            |stage: &str, last: bool| if last { map.name.clone() } else { format!("{prefix}.{stage}") };

        let dims = [output.shape.c, input.shape.c, conv.kernel[0], conv.kernel[1]];
        let weights = self.floats(format!("{prefix}.weight"), &dims, &conv.weights);
        let bias = self.floats(format!("{prefix}.bias"), &[conv.bias.len()], &conv.bias);
        let mut value = name("conv", conv.skip.is_none() && !activated);
        let attributes = window_attributes(conv.kernel, conv.stride, conv.pads);
        self.node("Conv", &[&input.name, &weights, &bias], &value, attributes);
        if let Some(skip) = conv.skip {
            let shortcut = self.shortcut(prefix, skip, output.shape.c);
            let sum = name("sum", !activated);
            self.node("Add", &[&value, &shortcut], &sum, vec![]);
            value = sum;
        }
        self.activation(prefix, conv.activation, &value, &map.name);
        if let Some(Pool { kernel, stride, pads, map }) = &conv.pool {
            self.node("MaxPool", &[&map.name], &output.name, window_attributes(*kernel, *stride, *pads));
        }
    }

    /// Name of the tensor that holds the shortcut with the stride and the zero channels of option A applied.
    fn shortcut(&mut self, prefix: &str, skip: Skip, out_channels: usize) -> String {
        let Tensor { name, shape: Shape { c, .. } } = self.tensor(skip.tensor);
        let mut value = name.clone();
        if skip.stride != 1 {
            let strided = format!("{prefix}.strided");
            let starts = self.integers(format!("{prefix}.starts"), vec![0, 0]);
            let ends = self.integers(format!("{prefix}.ends"), vec![i64::from(i32::MAX); 2]);
            let axes = self.integers(format!("{prefix}.axes"), vec![2, 3]);
            let steps = self.integers(format!("{prefix}.steps"), vec![int(skip.stride); 2]);
            self.node("Slice", &[&value, &starts, &ends, &axes, &steps], &strided, vec![]);
            value = strided;
        }
        let after = out_channels.saturating_sub(skip.channel_offset + c);
        if skip.channel_offset + after != 0 {
            let padded = format!("{prefix}.padded");
            let pads = vec![0, int(skip.channel_offset), 0, 0, 0, int(after), 0, 0];
            let pads = self.integers(format!("{prefix}.pads"), pads);
            self.node("Pad", &[&value, &pads], &padded, vec![]);
            value = padded;
        }
        value
    }

    fn activation(&mut self, prefix: &str, activation: Activation, input: &str, output: &str) {
        match activation {
            Activation::None => {}
            Activation::Relu => self.node("Relu", &[input], output, vec![]),
            Activation::Clip(lo, hi) => {
                let lo = self.floats(format!("{prefix}.lo"), &[], &[lo.into()]);
                let hi = self.floats(format!("{prefix}.hi"), &[], &[hi.into()]);
                self.node("Clip", &[input, &lo, &hi], output, vec![]);
            }
        }
    }

    fn dense(&mut self, prefix: &str, input: &str, output: &str, dense: &Dense) {
        let outputs = dense.bias.len();
        let flat = format!("{prefix}.flat");
        self.node("Flatten", &[input], &flat, vec![integer("axis", 1)]);
        let dims = [outputs, dense.weights.len().checked_div(outputs).unwrap_or(0)];
        let weights = self.floats(format!("{prefix}.weight"), &dims, &dense.weights);
        let bias = self.floats(format!("{prefix}.bias"), &[outputs], &dense.bias);
        self.node("Gemm", &[&flat, &weights, &bias], output, vec![integer("transB", 1)]);
    }

    fn node(&mut self, op: &str, inputs: &[&str], output: &str, attribute: Vec<pb::AttributeProto>) {
        self.graph.node.push(pb::NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: format!("resi8.{}.{op}", self.graph.node.len()),
            op_type: op.to_owned(),
            attribute,
            ..Default::default()
        });
    }

    fn floats(&mut self, name: String, dims: &[usize], values: &[f64]) -> String {
        self.graph.initializer.push(pb::TensorProto {
            name: name.clone(),
            dims: dims.iter().copied().map(int).collect(),
            data_type: DataType::Float.into(),
            float_data: values.iter().copied().map(single).collect(),
            ..Default::default()
        });
        name
    }

    fn integers(&mut self, name: String, values: Vec<i64>) -> String {
        self.graph.initializer.push(pb::TensorProto {
            name: name.clone(),
            dims: vec![int(values.len())],
            data_type: DataType::Int64.into(),
            int64_data: values,
            ..Default::default()
        });
        name
    }
}

fn window_attributes(kernel: [usize; 2], stride: [usize; 2], pads: [usize; 4]) -> Vec<pb::AttributeProto> {
    vec![integers("kernel_shape", &kernel), integers("strides", &stride), integers("pads", &pads)]
}

fn integers(name: &str, values: &[usize]) -> pb::AttributeProto {
    pb::AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Ints.into(),
        ints: values.iter().copied().map(int).collect(),
        ..Default::default()
    }
}

fn integer(name: &str, value: i64) -> pb::AttributeProto {
    pb::AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Int.into(),
        i: value,
        ..Default::default()
    }
}

fn value_info(tensor: &Tensor) -> pb::ValueInfoProto {
    let Shape { h, w, c } = tensor.shape;
    let dim = |n| Dimension { value: Some(dimension::Value::DimValue(int(n))), ..Default::default() };
    let shape = pb::TensorShapeProto { dim: [1, c, h, w].map(dim).to_vec() };
    let tensor_type = pb::type_proto::Tensor { elem_type: DataType::Float.into(), shape: Some(shape) };
    pb::ValueInfoProto {
        name: tensor.name.clone(),
        r#type: Some(pb::TypeProto {
            value: Some(pb::type_proto::Value::TensorType(tensor_type)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// ONNX integers are 64 bits; nothing that fits in memory exceeds them.
fn int(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the float graph is f32; rounding to nearest is what is wanted"
)]
fn single(value: f64) -> f32 {
    value as f32
}
