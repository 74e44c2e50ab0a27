//! Networks with random weights, for questions of size, memory and speed where no trained network is at hand.
//!
//! The graphs look as torchvision's and the CIFAR training scripts' networks do when PyTorch exports them: same node and
//! tensor names, batch norms as nodes of their own, option A shortcuts as Slice and Pad. Weights are normally
//! distributed (He et al. 2015) and the batch norms' statistics match them, so that activations keep the size they have
//! in a trained network. What such a network says about a picture means nothing.

use prost::Message;
use rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal, Uniform};
use rand_xorshift::XorShiftRng;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};

/// Operator set of the networks made here.
pub const OPSET: i64 = 13;

/// Builds an ONNX graph node by node.
#[derive(Debug, Clone)]
pub struct GraphBuilder {
    graph: GraphProto,
}

impl GraphBuilder {
    /// A graph with one float32 input; `None` leaves a dimension open.
    #[must_use]
    pub fn new(input: &str, dims: &[Option<i64>]) -> Self {
        let graph = GraphProto { input: vec![value_info(input, Some(dims))], ..GraphProto::default() };
        Self { graph }
    }

    /// Adds a float32 initializer; `values` has as many entries as `dims` ask for.
    pub fn floats(&mut self, name: &str, dims: &[i64], values: &[f32]) -> &mut Self {
        let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer(name, dims, DataType::Float, raw_data)
    }

    /// Adds a one-dimensional int64 initializer.
    pub fn ints(&mut self, name: &str, values: &[i64]) -> &mut Self {
        let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let len = i64::try_from(values.len()).unwrap_or(i64::MAX);
        self.initializer(name, &[len], DataType::Int64, raw_data)
    }

    fn initializer(&mut self, name: &str, dims: &[i64], data_type: DataType, raw_data: Vec<u8>) -> &mut Self {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: data_type.into(),
            raw_data,
            ..TensorProto::default()
        });
        self
    }

    /// Adds a node and returns the name of its one output, `<name>_output_0`.
    pub fn node(&mut self, op: &str, name: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = format!("{name}_output_0");
        self.node_to(op, name, inputs, &output, attributes);
        output
    }

    /// Adds a node that writes the tensor `output`.
    pub fn node_to(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        output: &str,
        attributes: Vec<AttributeProto>,
    ) {
        self.graph.node.push(NodeProto {
            op_type: op.into(),
            name: name.into(),
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![output.into()],
            attribute: attributes,
            ..NodeProto::default()
        });
    }

    /// The finished model with one output.
    #[must_use]
    pub fn finish(mut self, output: &str, opset: i64) -> ModelProto {
        self.graph.name = "main_graph".into();
        self.graph.output = vec![value_info(output, None)];
        ModelProto {
            ir_version: 7,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: opset }],
            producer_name: "resi8".into(),
            graph: Some(self.graph),
            ..ModelProto::default()
        }
    }
}

/// The bytes of an ONNX file.
#[must_use]
pub fn to_bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

fn value_info(name: &str, dims: Option<&[Option<i64>]>) -> ValueInfoProto {
    let dim = |(i, length): (usize, &Option<i64>)| Dimension {
        value: Some(match length {
            Some(length) => dimension::Value::DimValue(*length),
            None => dimension::Value::DimParam(format!("open_{i}")),
        }),
        ..Dimension::default()
    };
    let shape = dims.map(|dims| TensorShapeProto { dim: dims.iter().enumerate().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: DataType::Float.into(), shape };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(r#type), ..ValueInfoProto::default() }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: kind.into(), ..AttributeProto::default() }
}

/// An integer attribute.
#[must_use]
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: value, ..attribute(name, AttributeType::Int) }
}

/// An attribute that is a list of integers.
#[must_use]
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

/// A float attribute.
#[must_use]
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..attribute(name, AttributeType::Float) }
}

/// A string attribute.
#[must_use]
pub fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: value.as_bytes().to_vec(), ..attribute(name, AttributeType::String) }
}

/// Which network of the residual-learning paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Basic blocks, 2-2-2-2.
    ResNet18,
    /// Basic blocks, 3-4-6-3.
    ResNet34,
    /// Bottleneck blocks with the stride in the 3x3 convolution (v1.5), 3-4-6-3.
    ResNet50,
    /// Bottleneck blocks as in ResNet-50, 3-4-23-3.
    ResNet101,
    /// CIFAR network with option A shortcuts and this many basic blocks in each of its three stages: 6n + 2 layers.
    Cifar {
        /// n, at least 1: 3 makes ResNet-20, 9 makes ResNet-56.
        blocks: usize,
    },
}

/// A network with random weights; the same arguments give the same weights.
///
/// `size` is the side of the square RGB input in pixels (224 for the ImageNet networks, 32 for CIFAR), `classes` the
/// number of outputs.
#[must_use]
pub fn resnet(kind: Kind, size: u32, classes: u16, seed: u64) -> ModelProto {
    let mut net = Net {
        graph: GraphBuilder::new("input", &[Some(1), Some(3), Some(size.into()), Some(size.into())]),
        rng: XorShiftRng::seed_from_u64(seed),
    };
    let input = Map { name: "input".into(), channels: 3, power: 1.0 };
    let (features, head) = match kind {
        Kind::Cifar { blocks } => (net.cifar(&input, blocks), "linear"),
        Kind::ResNet18 => (net.imagenet(&input, Block::Basic, [2, 2, 2, 2]), "fc"),
        Kind::ResNet34 => (net.imagenet(&input, Block::Basic, [3, 4, 6, 3]), "fc"),
        Kind::ResNet50 => (net.imagenet(&input, Block::Bottleneck, [3, 4, 6, 3]), "fc"),
        Kind::ResNet101 => (net.imagenet(&input, Block::Bottleneck, [3, 4, 23, 3]), "fc"),
    };
    net.classifier(&features, head, classes);
    net.graph.finish("logits", OPSET)
}

#[derive(Clone, Copy, PartialEq)]
enum Block {
    Basic,
    Bottleneck,
}

/// A feature map while the network is being built.
#[derive(Clone)]
struct Map {
    name: String,
    channels: u16,
    /// Expected mean square of its values.
    power: f64,
}

struct Net {
    graph: GraphBuilder,
    rng: XorShiftRng,
}

/// Kernel size and stride of a convolution; padding keeps the map's size at stride 1.
type Window = (u16, u16);

impl Net {
    fn normal(&mut self, count: usize, mean: f64, deviation: f64) -> Vec<f32> {
        let normal = |rng: &mut XorShiftRng| -> f64 { StandardNormal.sample(rng) };
        (0..count).map(|_| single(mean + deviation * normal(&mut self.rng))).collect()
    }

    fn uniform(&mut self, count: usize, low: f64, high: f64) -> Vec<f32> {
        match Uniform::new(low, high) {
            Ok(range) => (0..count).map(|_| single(range.sample(&mut self.rng))).collect(),
            Err(_) => vec![single(low); count],
        }
    }

    /// Convolution and batch norm; `gain` is the mean of the batch norm's factors. `names` are the two modules'.
    fn conv_bn(&mut self, input: &Map, channels: u16, window: Window, names: [&str; 2], gain: f64) -> Map {
        let (kernel, stride) = window;
        let fan_in = f64::from(input.channels) * f64::from(kernel) * f64::from(kernel);
        let dims = [channels.into(), input.channels.into(), kernel.into(), kernel.into()];
        let count = usize::from(channels) * usize::from(input.channels) * usize::from(kernel).pow(2);
        let weights = self.normal(count, 0.0, (2.0 / fan_in).sqrt());
        let weight_name = format!("{}.weight", names[0]);
        self.graph.floats(&weight_name, &dims, &weights);
        let pad = i64::from(kernel / 2);
        let attributes = vec![
            ints("dilations", &[1, 1]),
            int("group", 1),
            ints("kernel_shape", &[kernel.into(); 2]),
            ints("pads", &[pad; 4]),
            ints("strides", &[stride.into(); 2]),
        ];
        let node = format!("{}/Conv", path(names[0]));
        let convolved = self.graph.node("Conv", &node, &[&input.name, &weight_name], attributes);
        let name = self.batch_norm(&convolved, channels, names[1], gain, 2.0 * input.power);
        Map { name, channels, power: gain * gain }
    }

    /// A batch norm whose statistics fit an input of this variance.
    fn batch_norm(&mut self, input: &str, channels: u16, name: &str, gain: f64, variance: f64) -> String {
        let count = usize::from(channels);
        let parameters = [
            ("weight", self.uniform(count, 0.5 * gain, 1.5 * gain)),
            ("bias", self.normal(count, 0.0, 0.2 * gain)),
            ("running_mean", self.normal(count, 0.0, 0.1 * variance.sqrt())),
            ("running_var", self.uniform(count, 0.6 * variance, 1.4 * variance)),
        ];
        let mut inputs = vec![input.to_owned()];
        for (parameter, values) in parameters {
            inputs.push(format!("{name}.{parameter}"));
            self.graph.floats(&format!("{name}.{parameter}"), &[channels.into()], &values);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let attributes = vec![float("epsilon", 1e-5), float("momentum", 0.9)];
        self.graph.node(
            "BatchNormalization",
            &format!("{}/BatchNormalization", path(name)),
            &inputs,
            attributes,
        )
    }

    /// `name` is the node's name. Half of a symmetric distribution is cut off.
    fn relu(&mut self, input: &Map, name: &str) -> Map {
        let output = self.graph.node("Relu", name, &[&input.name], vec![]);
        Map { name: output, power: 0.5 * input.power, ..*input }
    }

    /// The end of every block: addition and ReLU.
    fn join(&mut self, branch: &Map, shortcut: &Map, block: &str, relu: &str) -> Map {
        let name = format!("{}/Add", path(block));
        let sum = self.graph.node("Add", &name, &[&branch.name, &shortcut.name], vec![]);
        let activated = self.graph.node("Relu", &format!("{}/{relu}", path(block)), &[&sum], vec![]);
        // The shortcut is positive already, so the ReLU cuts little of it.
        Map { name: activated, power: shortcut.power + 0.5 * branch.power, channels: branch.channels }
    }

    fn imagenet(&mut self, input: &Map, block: Block, stages: [u16; 4]) -> Map {
        let stem = self.conv_bn(input, 64, (7, 2), ["conv1", "bn1"], 1.0);
        let mut map = self.relu(&stem, "/relu/Relu");
        let attributes = vec![
            int("ceil_mode", 0),
            ints("kernel_shape", &[3, 3]),
            ints("pads", &[1, 1, 1, 1]),
            ints("strides", &[2, 2]),
        ];
        map.name = self.graph.node("MaxPool", "/maxpool/MaxPool", &[&map.name], attributes);
        for (stage, (blocks, width)) in (1..).zip(stages.into_iter().zip([64, 128, 256, 512])) {
            for index in 0..blocks {
                let stride = if stage > 1 && index == 0 { 2 } else { 1 };
                let name = format!("layer{stage}.{index}");
                map = match block {
                    Block::Basic => self.basic(&map, width, stride, &name),
                    Block::Bottleneck => self.bottleneck(&map, width, stride, &name),
                };
            }
        }
        map
    }

    fn basic(&mut self, input: &Map, width: u16, stride: u16, name: &str) -> Map {
        let [conv1, bn1] = [format!("{name}.conv1"), format!("{name}.bn1")];
        let [conv2, bn2] = [format!("{name}.conv2"), format!("{name}.bn2")];
        let first = self.conv_bn(input, width, (3, stride), [&conv1, &bn1], 1.0);
        let first = self.relu(&first, &format!("{}/relu/Relu", path(name)));
        let second = self.conv_bn(&first, width, (3, 1), [&conv2, &bn2], 0.5);
        let shortcut = self.projection(input, width, stride, name);
        self.join(&second, &shortcut, name, "relu_1/Relu")
    }

    fn bottleneck(&mut self, input: &Map, width: u16, stride: u16, name: &str) -> Map {
        let mut map = input.clone();
        let windows = [(width, (1, 1)), (width, (3, stride)), (4 * width, (1, 1))];
        for (index, (channels, window)) in (1..).zip(windows) {
            let [conv, bn] = [format!("{name}.conv{index}"), format!("{name}.bn{index}")];
            let gain = if index < 3 { 1.0 } else { 0.5 };
            map = self.conv_bn(&map, channels, window, [&conv, &bn], gain);
            if index < 3 {
                let suffix = if index == 1 { "relu" } else { "relu_1" };
                map = self.relu(&map, &format!("{}/{suffix}/Relu", path(name)));
            }
        }
        let shortcut = self.projection(input, 4 * width, stride, name);
        self.join(&map, &shortcut, name, "relu_2/Relu")
    }

    /// The shortcut of an ImageNet block: the input itself, or a 1x1 convolution where the shape changes.
    fn projection(&mut self, input: &Map, channels: u16, stride: u16, block: &str) -> Map {
        if input.channels == channels && stride == 1 {
            return input.clone();
        }
        let [conv, bn] = [format!("{block}.downsample.0"), format!("{block}.downsample.1")];
        self.conv_bn(input, channels, (1, stride), [&conv, &bn], 1.0)
    }

    fn cifar(&mut self, input: &Map, blocks: usize) -> Map {
        let stem = self.conv_bn(input, 16, (3, 1), ["conv1", "bn1"], 1.0);
        let mut map = self.relu(&stem, "/Relu");
        for (stage, width) in (1..).zip([16, 32, 64]) {
            for index in 0..blocks {
                let name = format!("layer{stage}.{index}");
                let stride = if stage > 1 && index == 0 { 2 } else { 1 };
                map = self.cifar_block(&map, width, stride, &name);
            }
        }
        map
    }

    fn cifar_block(&mut self, input: &Map, width: u16, stride: u16, name: &str) -> Map {
        let [conv1, bn1] = [format!("{name}.conv1"), format!("{name}.bn1")];
        let [conv2, bn2] = [format!("{name}.conv2"), format!("{name}.bn2")];
        let first = self.conv_bn(input, width, (3, stride), [&conv1, &bn1], 1.0);
        let first = self.relu(&first, &format!("{}/Relu", path(name)));
        let second = self.conv_bn(&first, width, (3, 1), [&conv2, &bn2], 0.5);
        let shortcut = if stride == 1 { input.clone() } else { self.option_a(input, width, name) };
        self.join(&second, &shortcut, name, "Relu_1")
    }

    /// Every second row and column, zero channels on both sides.
    fn option_a(&mut self, input: &Map, width: u16, block: &str) -> Map {
        let path = path(block);
        let mut name = input.name.clone();
        for (suffix, axis) in [("", 2), ("_1", 3)] {
            let values = [("starts", 0), ("ends", i64::MAX), ("axes", axis), ("steps", 2)];
            let mut inputs = vec![name];
            for (parameter, value) in values {
                inputs.push(format!("{path}/Slice{suffix}_{parameter}"));
                self.graph.ints(&format!("{path}/Slice{suffix}_{parameter}"), &[value]);
            }
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            name = self.graph.node("Slice", &format!("{path}/Slice{suffix}"), &inputs, vec![]);
        }
        let around = i64::from((width - input.channels) / 2);
        let [pads, zero] = [format!("{path}/Pad_pads"), format!("{path}/Pad_value")];
        self.graph.ints(&pads, &[0, around, 0, 0, 0, around, 0, 0]).floats(&zero, &[], &[0.0]);
        let attributes = vec![text("mode", "constant")];
        let name = self.graph.node("Pad", &format!("{path}/Pad"), &[&name, &pads, &zero], attributes);
        Map { name, channels: width, power: input.power / 2.0 }
    }

    fn classifier(&mut self, input: &Map, name: &str, classes: u16) {
        let [weight, bias] = [format!("{name}.weight"), format!("{name}.bias")];
        let features = usize::from(input.channels);
        let deviation = (1.0 / (f64::from(input.channels) * input.power)).sqrt();
        let weights = self.normal(usize::from(classes) * features, 0.0, 3.0 * deviation);
        let biases = self.normal(classes.into(), 0.0, 0.1);
        self.graph.floats(&weight, &[classes.into(), input.channels.into()], &weights);
        self.graph.floats(&bias, &[classes.into()], &biases);
        let pooled = self.graph.node("GlobalAveragePool", "/GlobalAveragePool", &[&input.name], vec![]);
        let flat = self.graph.node("Flatten", "/Flatten", &[&pooled], vec![int("axis", 1)]);
        let attributes = vec![float("alpha", 1.0), float("beta", 1.0), int("transB", 1)];
        let gemm = format!("/{name}/Gemm");
        self.graph.node_to("Gemm", &gemm, &[&flat, &weight, &bias], "logits", attributes);
    }
}

/// PyTorch's node prefix of a module: `layer1.0.conv1` becomes `/layer1/layer1.0/conv1`.
fn path(module: &str) -> String {
    let parts: Vec<&str> = module.split('.').collect();
    match parts.as_slice() {
        [stage, block] if stage.starts_with("layer") => format!("/{stage}/{stage}.{block}"),
        [stage, block, "downsample", index] => {
            format!("/{stage}/{stage}.{block}/downsample/downsample.{index}")
        }
        [stage, block, rest] => format!("/{stage}/{stage}.{block}/{rest}"),
        _ => format!("/{module}"),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounded to the precision of the file")]
fn single(value: f64) -> f32 {
    value as f32
}
