//! Imports networks, computes what they should give, and builds small ones.

use std::path::Path;

use rand_core::{Rng, SeedableRng};
use rand_xorshift::XorShiftRng;
use resi8_converter::fold::fold;
use resi8_converter::folded::{Activation, Conv, Folded, Op, Pool, Shape, TensorId};
use resi8_converter::ir::Ir;
use resi8_converter::onnx::{ImportError, ImportOptions, OnnxModel, Unsupported};
use resi8_converter::synthetic::{GraphBuilder, float, int, ints, text};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, ModelProto};
use tract_onnx::prelude::{Framework, InferenceModelExt, IntoRunnable, Tensor, TractResult, tvec};

pub(crate) fn load(proto: ModelProto) -> Result<OnnxModel, ImportError> {
    OnnxModel::from_proto(proto, Path::new("."), &ImportOptions::default())
}

pub(crate) fn import(proto: ModelProto) -> Result<(OnnxModel, Folded, Vec<String>), ImportError> {
    finish(load(proto)?)
}

pub(crate) fn finish(model: OnnxModel) -> Result<(OnnxModel, Folded, Vec<String>), ImportError> {
    let ir = Ir::from_onnx(&model)?;
    let notes = ir.notes.clone();
    Ok((model, fold(ir)?, notes))
}

pub(crate) fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = XorShiftRng::seed_from_u64(seed);
    (0..len).map(|_| (rng.next_u32() >> 16) as f32 / 32768.0 - 1.0).collect()
}

/// The values of the named ONNX tensors as tract computes them from the original graph.
fn reference(model: &OnnxModel, names: &[&str], input: &[f32]) -> TractResult<Vec<Vec<f32>>> {
    let graph = tract_onnx::onnx().model_for_proto_model(model.proto())?.with_outputs_by_name(names)?;
    let input = Tensor::from_shape(&model.input_shape(), input)?;
    let outputs = graph.into_optimized()?.into_runnable()?.run(tvec!(input.into()))?;
    outputs.iter().map(|t| Ok(t.to_plain_array_view::<f32>()?.iter().copied().collect())).collect()
}

/// Every tensor of the folded network, `[channel][row][column]`, by the definition of its layers.
pub(crate) fn evaluate(net: &Folded, input: &[f32]) -> Vec<Vec<f64>> {
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); net.tensors.len()];
    values[0] = input.iter().map(|&v| v.into()).collect();
    for layer in &net.layers {
        let (from, to) = (net.tensors[layer.input.0].shape, net.tensors[layer.output.0].shape);
        let x = &values[layer.input.0];
        assert_eq!(x.len(), from.len(), "{} runs before its input is there", layer.name);
        let y: Vec<f64> = match &layer.op {
            Op::Conv(conv) => {
                let map = conv.pool.as_ref().map_or(to, |pool| pool.map.shape);
                let mut y = convolve(conv, x, from, map);
                if let Some(skip) = conv.skip {
                    let (values, shape) = (&values[skip.tensor.0], net.tensors[skip.tensor.0].shape);
                    assert_eq!(values.len(), shape.len(), "{} runs before its shortcut is there", layer.name);
                    add_shortcut(&mut y, to, values, shape, skip.stride, skip.channel_offset);
                }
                let y: Vec<f64> = y.into_iter().map(|v| activate(conv.activation, v)).collect();
                match &conv.pool {
                    Some(Pool { kernel, stride, pads, map }) => {
                        pooled(&y, map.shape, to, *kernel, *stride, *pads)
                    }
                    None => y,
                }
            }
            Op::MaxPool { kernel, stride, pads } => pooled(x, from, to, *kernel, *stride, *pads),
            Op::GlobalAveragePool => {
                x.chunks(from.h * from.w).map(|map| map.iter().sum::<f64>() / map.len() as f64).collect()
            }
            Op::Dense(dense) => {
                let rows = dense.weights.chunks(x.len()).zip(&dense.bias);
                rows.map(|(row, b)| b + row.iter().zip(x).map(|(w, v)| w * v).sum::<f64>()).collect()
            }
        };
        assert_eq!(y.len(), to.len(), "{}", layer.name);
        values[layer.output.0] = y;
    }
    values
}

fn pooled(
    x: &[f64],
    from: Shape,
    to: Shape,
    kernel: [usize; 2],
    stride: [usize; 2],
    pads: [usize; 4],
) -> Vec<f64> {
    windows(from, to, kernel, stride, pads, |taps| taps.iter().map(|&(i, _)| x[i]).fold(f64::MIN, f64::max))
}

fn activate(activation: Activation, v: f64) -> f64 {
    match activation {
        Activation::None => v,
        Activation::Relu => v.max(0.0),
        Activation::Clip(low, high) => v.clamp(low.into(), high.into()),
    }
}

/// Calls `f` with (index within the input map, kernel index) of the taps of every window, per channel.
fn windows(
    from: Shape,
    to: Shape,
    kernel: [usize; 2],
    stride: [usize; 2],
    pads: [usize; 4],
    f: impl Fn(&[(usize, usize)]) -> f64,
) -> Vec<f64> {
    let mut y = Vec::with_capacity(to.len());
    for c in 0..to.c {
        for (row, column) in (0..to.h * to.w).map(|i| (i / to.w, i % to.w)) {
            let mut taps = Vec::new();
            for (i, j) in (0..kernel[0] * kernel[1]).map(|k| (k / kernel[1], k % kernel[1])) {
                let (r, s) = (row * stride[0] + i, column * stride[1] + j);
                if let (Some(r), Some(s)) = (r.checked_sub(pads[0]), s.checked_sub(pads[1]))
                    && r < from.h
                    && s < from.w
                {
                    taps.push((c % from.c * from.h * from.w + r * from.w + s, i * kernel[1] + j));
                }
            }
            y.push(f(&taps));
        }
    }
    y
}

fn convolve(conv: &Conv, x: &[f64], from: Shape, to: Shape) -> Vec<f64> {
    let area = conv.kernel[0] * conv.kernel[1];
    assert_eq!(conv.weights.len(), to.c * from.c * area);
    let (map, one) = (from.h * from.w, Shape { c: 1, ..to });
    let mut y = Vec::with_capacity(to.len());
    for (weights, bias) in conv.weights.chunks(from.c * area).zip(&conv.bias) {
        let single = Shape { c: 1, ..from };
        y.extend(windows(single, one, conv.kernel, conv.stride, conv.pads, |taps| {
            let per_tap = |&(i, k): &(usize, usize)| -> f64 {
                (0..from.c).map(|c| weights[c * area + k] * x[c * map + i]).sum()
            };
            bias + taps.iter().map(per_tap).sum::<f64>()
        }));
    }
    y
}

fn add_shortcut(y: &mut [f64], to: Shape, skip: &[f64], from: Shape, stride: usize, offset: usize) {
    assert_eq!((from.h.div_ceil(stride), from.w.div_ceil(stride)), (to.h, to.w));
    for c in 0..from.c {
        for (row, column) in (0..to.h * to.w).map(|i| (i / to.w, i % to.w)) {
            y[((c + offset) * to.h + row) * to.w + column] +=
                skip[(c * from.h + row * stride) * from.w + column * stride];
        }
    }
}

/// Every folded tensor holds what the ONNX tensor of its name holds.
pub(crate) fn assert_same_values(model: &OnnxModel, net: &Folded, seed: u64) {
    let input = random(model.input_shape().iter().product(), seed);
    let names: Vec<&str> = net.tensors.iter().skip(1).map(|t| t.name.as_str()).collect();
    let expected = reference(model, &names, &input).expect("tract runs the original graph");
    let found = evaluate(net, &input);
    for ((name, expected), found) in names.iter().zip(&expected).zip(&found[1..]) {
        assert_eq!(expected.len(), found.len(), "{name}");
        let size = expected.iter().fold(1.0_f32, |m, v| m.max(v.abs()));
        for (i, (&e, &f)) in expected.iter().zip(found).enumerate() {
            let difference = (f64::from(e) - f).abs();
            assert!(difference <= 1e-4 * f64::from(size), "{name}[{i}]: {f} instead of {e}");
        }
    }
}

/// Structure that every folded network has.
pub(crate) fn assert_well_formed(net: &Folded) {
    assert_eq!(net.tensors.len(), net.layers.len() + 1);
    let mut written = vec![TensorId(0)];
    for (i, layer) in net.layers.iter().enumerate() {
        assert!(written.contains(&layer.input), "{}", layer.name);
        if let Op::Conv(Conv { skip: Some(skip), .. }) = &layer.op {
            assert!(written.contains(&skip.tensor), "{}", layer.name);
        }
        assert!(!written.contains(&layer.output), "{}", layer.name);
        assert_eq!(matches!(layer.op, Op::Dense(_)), i + 1 == net.layers.len(), "{}", layer.name);
        written.push(layer.output);
    }
}

pub(crate) fn convs(net: &Folded) -> impl Iterator<Item = &Conv> {
    net.layers.iter().filter_map(|l| if let Op::Conv(conv) = &l.op { Some(conv) } else { None })
}

/// Numbers of layers, convolutions, shortcuts, and shortcuts by option A.
pub(crate) fn counts(net: &Folded) -> [usize; 4] {
    let skips: Vec<_> = convs(net).filter_map(|c| c.skip).collect();
    let option_a = skips.iter().filter(|s| s.stride == 2).count();
    [net.layers.len(), convs(net).count(), skips.len(), option_a]
}

pub(crate) fn accepted(proto: ModelProto) -> (OnnxModel, Folded, Vec<String>) {
    let (model, net, notes) = import(proto).unwrap_or_else(|e| panic!("{e}"));
    assert_well_formed(&net);
    assert_same_values(&model, &net, 7);
    (model, net, notes)
}

pub(crate) fn refused(proto: ModelProto) -> Vec<Unsupported> {
    match import(proto) {
        Err(ImportError::Unsupported(nodes)) => nodes,
        other => panic!("{other:?}"),
    }
}

/// The network is refused for exactly this node, for a reason that holds these words.
pub(crate) fn refused_for(proto: ModelProto, name: &str, words: &str) {
    let nodes = refused(proto);
    let [node] = nodes.as_slice() else { panic!("{nodes:?}") };
    assert_eq!(node.node.name, name, "{node}");
    assert!(node.reason.contains(words), "{node}");
}

/// A small network under construction; the input is `x`.
pub(crate) struct Net {
    pub(crate) graph: GraphBuilder,
    seed: u64,
}

impl Net {
    pub(crate) fn new(channels: i64, height: i64, width: i64) -> Self {
        let dims = [Some(1), Some(channels), Some(height), Some(width)];
        Self { graph: GraphBuilder::new("x", &dims), seed: 1 }
    }

    pub(crate) fn floats(&mut self, name: &str, dims: &[i64]) {
        self.seed += 1;
        let len = usize::try_from(dims.iter().product::<i64>()).unwrap();
        self.graph.floats(name, dims, &random(len, self.seed));
    }

    pub(crate) fn op(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        self.graph.node(op, name, inputs, attributes)
    }

    /// A convolution with bias.
    pub(crate) fn conv(
        &mut self,
        name: &str,
        input: &str,
        dims: [i64; 4],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let [weight, bias] = [format!("{name}.w"), format!("{name}.b")];
        self.floats(&weight, &dims);
        self.floats(&bias, &dims[..1]);
        self.op("Conv", name, &[input, &weight, &bias], attributes)
    }

    /// 3x3, same size.
    pub(crate) fn conv3(&mut self, name: &str, input: &str, channels: [i64; 2]) -> String {
        self.conv(name, input, [channels[0], channels[1], 3, 3], vec![ints("pads", &[1, 1, 1, 1])])
    }

    pub(crate) fn bn(&mut self, name: &str, input: &str, channels: i64) -> String {
        let names = ["gamma", "beta", "mean", "var"].map(|p| format!("{name}.{p}"));
        for parameter in &names[..3] {
            self.floats(parameter, &[channels]);
        }
        let variance: Vec<f32> = (0..channels).map(|c| 0.5 + c as f32).collect();
        self.graph.floats(&names[3], &[channels], &variance);
        let inputs = [input, &names[0], &names[1], &names[2], &names[3]];
        self.op("BatchNormalization", name, &inputs, vec![float("epsilon", 1e-3)])
    }

    pub(crate) fn relu(&mut self, name: &str, input: &str) -> String {
        self.op("Relu", name, &[input], vec![])
    }

    /// Average pool, flatten and 3 classes.
    pub(crate) fn classify(mut self, input: &str, channels: i64) -> ModelProto {
        let pooled = self.op("GlobalAveragePool", "pool", &[input], vec![]);
        let flat = self.op("Flatten", "flat", &[&pooled], vec![]);
        self.gemm(&flat, channels)
    }

    pub(crate) fn gemm(mut self, input: &str, features: i64) -> ModelProto {
        self.floats("fc.w", &[3, features]);
        self.floats("fc.b", &[3]);
        let y = self.op("Gemm", "fc", &[input, "fc.w", "fc.b"], vec![int("transB", 1)]);
        self.finish(&y)
    }

    pub(crate) fn finish(self, output: &str) -> ModelProto {
        self.graph.finish(output, 13)
    }
}

pub(crate) fn with_opset(mut proto: ModelProto, opset: i64) -> ModelProto {
    proto.opset_import[0].version = opset;
    proto
}

pub(crate) fn option_a(value_dims: &[i64]) -> ModelProto {
    let mut net = Net::new(2, 7, 8);
    net.graph.ints("starts", &[0, 0]).ints("ends", &[i64::MAX, 100]).ints("axes", &[2, -1]);
    net.graph.ints("steps", &[2, 2]).ints("pads", &[0, 1, 0, 0, 0, 2, 0, 0]).floats(
        "zero",
        value_dims,
        &[0.0],
    );
    let stem = net.conv3("stem", "x", [2, 2]);
    let stem = net.relu("r", &stem);
    let y = net.conv("c", &stem, [5, 2, 3, 3], vec![ints("pads", &[1; 4]), ints("strides", &[2, 2])]);
    let s = net.op("Slice", "slice", &[&stem, "starts", "ends", "axes", "steps"], vec![]);
    let s = net.op("Pad", "pad", &[&s, "pads", "zero"], vec![text("mode", "constant")]);
    let y = net.op("Add", "add", &[&s, &y], vec![]);
    net.classify(&y, 5)
}

/// What `x.view(x.size(0), -1)` becomes.
pub(crate) fn computed_shape() -> ModelProto {
    let mut net = Net::new(2, 3, 4);
    let y = net.conv3("c", "x", [5, 2]);
    net.graph.ints("zero", &[0]).ints("minus", &[-1]);
    let shape = net.op("Shape", "shape", &[&y], vec![]);
    let batch = net.op("Gather", "gather", &[&shape, "zero"], vec![int("axis", 0)]);
    let target = net.op("Concat", "concat", &[&batch, "minus"], vec![int("axis", 0)]);
    let target = net.op("Cast", "cast", &[&target], vec![int("to", DataType::Int64 as i64)]);
    let y = net.op("Reshape", "reshape", &[&y, &target], vec![]);
    net.gemm(&y, 60)
}

pub(crate) fn open(dims: &[Option<i64>]) -> ModelProto {
    let mut net = Net { graph: GraphBuilder::new("image", dims), seed: 1 };
    let y = net.conv3("c", "image", [4, 3]);
    net.classify(&y, 4)
}
