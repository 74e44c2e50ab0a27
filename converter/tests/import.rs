//! ONNX import and folding: real networks, tiny ones for every accepted form, and everything that must be refused.
//!
//! The reference for values is tract running the original graph; the folded network is evaluated here by plain loops.

mod common;

use std::path::Path;

use common::{shared, shipped};
use rand_core::{Rng, SeedableRng};
use rand_xorshift::XorShiftRng;
use resi8_converter::float::{FloatModel, check_folding, folded_to_onnx};
use resi8_converter::fold::fold;
use resi8_converter::folded::{Activation, Conv, Folded, Op, Pool, Shape, TensorId};
use resi8_converter::ir::Ir;
use resi8_converter::onnx::{self, ImportError, ImportOptions, OnnxModel, Unsupported};
use resi8_converter::synthetic::{self, GraphBuilder, Kind, float, int, ints, resnet, text};
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{AttributeProto, ModelProto, StringStringEntryProto};
use tract_onnx::prelude::{Framework, InferenceModelExt, IntoRunnable, Tensor, TractResult, tvec};

// ---- Helpers ----

fn load(proto: ModelProto) -> Result<OnnxModel, ImportError> {
    OnnxModel::from_proto(proto, Path::new("."), &ImportOptions::default())
}

fn import(proto: ModelProto) -> Result<(OnnxModel, Folded, Vec<String>), ImportError> {
    finish(load(proto)?)
}

fn finish(model: OnnxModel) -> Result<(OnnxModel, Folded, Vec<String>), ImportError> {
    let ir = Ir::from_onnx(&model)?;
    let notes = ir.notes.clone();
    Ok((model, fold(ir)?, notes))
}

fn random(len: usize, seed: u64) -> Vec<f32> {
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
fn evaluate(net: &Folded, input: &[f32]) -> Vec<Vec<f64>> {
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
fn assert_same_values(model: &OnnxModel, net: &Folded, seed: u64) {
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
fn assert_well_formed(net: &Folded) {
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

fn convs(net: &Folded) -> impl Iterator<Item = &Conv> {
    net.layers.iter().filter_map(|l| if let Op::Conv(conv) = &l.op { Some(conv) } else { None })
}

/// Numbers of layers, convolutions, shortcuts, and shortcuts by option A.
fn counts(net: &Folded) -> [usize; 4] {
    let skips: Vec<_> = convs(net).filter_map(|c| c.skip).collect();
    let option_a = skips.iter().filter(|s| s.stride == 2).count();
    [net.layers.len(), convs(net).count(), skips.len(), option_a]
}

fn accepted(proto: ModelProto) -> (OnnxModel, Folded, Vec<String>) {
    let (model, net, notes) = import(proto).unwrap_or_else(|e| panic!("{e}"));
    assert_well_formed(&net);
    assert_same_values(&model, &net, 7);
    (model, net, notes)
}

fn refused(proto: ModelProto) -> Vec<Unsupported> {
    match import(proto) {
        Err(ImportError::Unsupported(nodes)) => nodes,
        other => panic!("{other:?}"),
    }
}

/// The network is refused for exactly this node, for a reason that holds these words.
fn refused_for(proto: ModelProto, name: &str, words: &str) {
    let nodes = refused(proto);
    let [node] = nodes.as_slice() else { panic!("{nodes:?}") };
    assert_eq!(node.node.name, name, "{node}");
    assert!(node.reason.contains(words), "{node}");
}

/// A small network under construction; the input is `x`.
struct Net {
    graph: GraphBuilder,
    seed: u64,
}

impl Net {
    fn new(channels: i64, height: i64, width: i64) -> Self {
        let dims = [Some(1), Some(channels), Some(height), Some(width)];
        Self { graph: GraphBuilder::new("x", &dims), seed: 1 }
    }

    fn floats(&mut self, name: &str, dims: &[i64]) {
        self.seed += 1;
        let len = usize::try_from(dims.iter().product::<i64>()).unwrap();
        self.graph.floats(name, dims, &random(len, self.seed));
    }

    fn op(&mut self, op: &str, name: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        self.graph.node(op, name, inputs, attributes)
    }

    /// A convolution with bias.
    fn conv(&mut self, name: &str, input: &str, dims: [i64; 4], attributes: Vec<AttributeProto>) -> String {
        let [weight, bias] = [format!("{name}.w"), format!("{name}.b")];
        self.floats(&weight, &dims);
        self.floats(&bias, &dims[..1]);
        self.op("Conv", name, &[input, &weight, &bias], attributes)
    }

    /// 3x3, same size.
    fn conv3(&mut self, name: &str, input: &str, channels: [i64; 2]) -> String {
        self.conv(name, input, [channels[0], channels[1], 3, 3], vec![ints("pads", &[1, 1, 1, 1])])
    }

    fn bn(&mut self, name: &str, input: &str, channels: i64) -> String {
        let names = ["gamma", "beta", "mean", "var"].map(|p| format!("{name}.{p}"));
        for parameter in &names[..3] {
            self.floats(parameter, &[channels]);
        }
        let variance: Vec<f32> = (0..channels).map(|c| 0.5 + c as f32).collect();
        self.graph.floats(&names[3], &[channels], &variance);
        let inputs = [input, &names[0], &names[1], &names[2], &names[3]];
        self.op("BatchNormalization", name, &inputs, vec![float("epsilon", 1e-3)])
    }

    fn relu(&mut self, name: &str, input: &str) -> String {
        self.op("Relu", name, &[input], vec![])
    }

    /// Average pool, flatten and 3 classes.
    fn classify(mut self, input: &str, channels: i64) -> ModelProto {
        let pooled = self.op("GlobalAveragePool", "pool", &[input], vec![]);
        let flat = self.op("Flatten", "flat", &[&pooled], vec![]);
        self.gemm(&flat, channels)
    }

    fn gemm(mut self, input: &str, features: i64) -> ModelProto {
        self.floats("fc.w", &[3, features]);
        self.floats("fc.b", &[3]);
        let y = self.op("Gemm", "fc", &[input, "fc.w", "fc.b"], vec![int("transB", 1)]);
        self.finish(&y)
    }

    fn finish(self, output: &str) -> ModelProto {
        self.graph.finish(output, 13)
    }
}

fn with_opset(mut proto: ModelProto, opset: i64) -> ModelProto {
    proto.opset_import[0].version = opset;
    proto
}

// ---- Real networks ----

fn import_file(file: &Path) -> (OnnxModel, Folded, Vec<String>) {
    let model = onnx::read(file, &ImportOptions::default()).unwrap_or_else(|e| panic!("{e}"));
    let imported = finish(model).unwrap_or_else(|e| panic!("{e}"));
    assert_well_formed(&imported.1);
    imported
}

fn check_file(file: &Path, expected: [usize; 4], logits: usize) {
    let (model, net, notes) = import_file(file);
    assert_eq!(counts(&net), expected, "{}", file.display());
    assert_eq!(net.tensors.last().unwrap().shape, Shape { h: 1, w: 1, c: logits });
    assert_eq!(notes, Vec::<String>::new());
    assert_same_values(&model, &net, 3);
}

fn check_shared(path: &str, expected: [usize; 4], logits: usize) {
    if let Some(file) = shared(path) {
        check_file(&file, expected, logits);
    }
}

#[test]
fn cifar_networks_import() {
    check_shared("models/resnet8_mlperf_cifar10.onnx", [11, 9, 3, 0], 10);
    for (name, blocks) in [("20", 9), ("32", 15), ("44", 21), ("56", 27)] {
        let convs = 2 * blocks + 1;
        check_shared(&format!("models/resnet{name}_cifar10.onnx"), [convs + 2, convs, blocks, 2], 10);
    }
}

#[test]
fn imagenet_network_imports() {
    check_shared("models/resnet18_imagenet.onnx", [22, 20, 8, 0], 1000);
}

#[test]
fn own_network_imports_from_untouched_export() {
    check_file(&shipped("resnet8-cifar10.onnx"), [11, 9, 3, 0], 10);
}

#[test]
fn untouched_export_folds_to_the_same_network() {
    let raw = shared("models/resnet20_cifar10.raw-export.onnx");
    let cleaned = shared("models/resnet20_cifar10.onnx");
    if let (Some(raw), Some(cleaned)) = (raw, cleaned) {
        assert_eq!(import_file(&raw).1, import_file(&cleaned).1);
        check_file(&raw, [21, 19, 9, 2], 10);
    }
}

#[test]
fn asymmetric_keras_padding_is_kept() {
    let Some(file) = shared("models/resnet8_mlperf_cifar10.onnx") else { return };
    let (_, net, _) = import_file(&file);
    let strided: Vec<_> = convs(&net).filter(|c| c.stride == [2, 2] && c.kernel == [3, 3]).collect();
    assert_eq!(strided.len(), 2);
    assert!(strided.iter().all(|c| c.pads == [0, 0, 1, 1]));
}

// ---- Synthetic networks ----

#[test]
fn synthetic_imagenet_networks_import() {
    for (kind, convs, shortcuts) in [
        (Kind::ResNet18, 20, 8),
        (Kind::ResNet34, 36, 16),
        (Kind::ResNet50, 53, 16),
        (Kind::ResNet101, 104, 33),
    ] {
        let (model, net, _) = import(resnet(kind, 32, 10, 5)).unwrap_or_else(|e| panic!("{e}"));
        assert_well_formed(&net);
        assert_eq!(counts(&net), [convs + 2, convs, shortcuts, 0], "{kind:?}");
        assert_same_values(&model, &net, 3);
    }
}

#[test]
fn bottleneck_takes_the_shortcut_into_its_last_convolution() {
    let (_, net, _) = import(resnet(Kind::ResNet50, 224, 1000, 5)).unwrap_or_else(|e| panic!("{e}"));
    let shapes = |c: usize, side: usize| Shape { h: side, w: side, c };
    for (stage, side) in [(1, 56), (2, 28), (3, 14), (4, 7)] {
        let add = format!("/layer{stage}/layer{stage}.0/relu_2/Relu_output_0");
        let layer = net.layers.iter().find(|l| net.tensors[l.output.0].name == add).unwrap();
        // The projection has more multiply-accumulates than the 1x1 expansion, so it is the one that absorbs.
        let skip = if let Op::Conv(conv) = &layer.op { conv.skip.unwrap() } else { panic!() };
        assert!(layer.name.ends_with("downsample.0/Conv"), "{}", layer.name);
        assert!(net.tensors[skip.tensor.0].name.ends_with("bn3/BatchNormalization_output_0"));
        assert_eq!(net.tensors[layer.output.0].shape, shapes(256 << (stage - 1), side));
    }
    let macs: usize = net.layers.iter().map(|l| macs(&net, l)).sum();
    assert_eq!(macs, 4_089_184_256, "multiply-accumulates of ResNet-50 v1.5");
}

fn macs(net: &Folded, layer: &resi8_converter::folded::Layer) -> usize {
    let out = net.tensors[layer.output.0].shape;
    match &layer.op {
        Op::Conv(conv) => {
            let map = conv.pool.as_ref().map_or(out, |pool| pool.map.shape);
            conv.weights.len() * map.h * map.w
        }
        Op::Dense(dense) => dense.weights.len(),
        _ => 0,
    }
}

#[test]
fn synthetic_cifar_networks_stay_in_range() {
    let (model, net, _) = accepted(resnet(Kind::Cifar { blocks: 3 }, 32, 10, 5));
    assert_eq!(counts(&net), [21, 19, 9, 2]);
    let values = evaluate(&net, &random(model.input_shape().iter().product(), 11));
    for (tensor, values) in net.tensors.iter().zip(values) {
        let power = values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64;
        assert!((0.01..100.0).contains(&power), "{}: mean square {power}", tensor.name);
    }
    let (_, deep, _) = import(resnet(Kind::Cifar { blocks: 18 }, 32, 10, 5)).unwrap();
    assert_eq!(counts(&deep), [111, 109, 54, 2]);
}

#[test]
fn same_seed_gives_the_same_file() {
    let file = |seed| synthetic::to_bytes(&resnet(Kind::Cifar { blocks: 1 }, 32, 10, seed));
    assert_eq!(file(1), file(1));
    assert_ne!(file(1), file(2));
}

// ---- Accepted forms, one by one ----

#[test]
fn batch_norm_and_relu_fold_into_the_convolution() {
    let mut net = Net::new(2, 5, 6);
    let y = net.conv3("c", "x", [4, 2]);
    let y = net.bn("bn", &y, 4);
    let y = net.relu("r", &y);
    let (_, net, _) = accepted(net.classify(&y, 4));
    assert_eq!(counts(&net), [3, 1, 0, 0]);
    assert_eq!(net.tensors[1].name, "r_output_0");
    assert_eq!(net.layers[0].name, "c");
}

#[test]
fn padding_forms() {
    for (height, attributes) in [
        (7, vec![ints("pads", &[0, 2, 1, 0]), ints("strides", &[2, 1])]),
        (7, vec![text("auto_pad", "SAME_UPPER"), ints("strides", &[2, 2])]),
        (8, vec![text("auto_pad", "SAME_UPPER"), ints("strides", &[2, 2])]),
        (8, vec![text("auto_pad", "SAME_LOWER"), ints("strides", &[2, 2])]),
        (8, vec![text("auto_pad", "VALID"), ints("strides", &[2, 3]), ints("kernel_shape", &[3, 3])]),
        (8, vec![text("auto_pad", "NOTSET"), ints("dilations", &[1, 1]), int("group", 1)]),
    ] {
        let mut net = Net::new(2, height, 8);
        let y = net.conv("c", "x", [3, 2, 3, 3], attributes);
        let (_, net, _) = accepted(net.classify(&y, 3));
        assert_eq!(net.layers.len(), 3);
    }
}

#[test]
fn same_padding_puts_the_odd_row_where_it_belongs() {
    for (mode, pads) in [("SAME_UPPER", [0, 0, 1, 1]), ("SAME_LOWER", [1, 1, 0, 0])] {
        let mut net = Net::new(2, 8, 8);
        let y = net.conv("c", "x", [3, 2, 3, 3], vec![text("auto_pad", mode), ints("strides", &[2, 2])]);
        let (_, net, _) = accepted(net.classify(&y, 3));
        assert_eq!(convs(&net).next().unwrap().pads, pads);
    }
}

#[test]
fn spatial_pad_merges_into_convolution_and_pool() {
    let mut net = Net::new(2, 6, 6);
    net.graph.ints("p", &[0, 0, 1, 2, 0, 0, 0, 1]);
    let y = net.op("Pad", "pad", &["x", "p"], vec![]);
    let y = net.conv3("c", &y, [3, 2]);
    let y = net.relu("r", &y);
    let y = net.op("Pad", "pad2", &[&y, "p"], vec![]);
    let y = net.op("MaxPool", "m", &[&y], vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2])]);
    let (_, net, _) = accepted(net.classify(&y, 3));
    assert_eq!(convs(&net).next().unwrap().pads, [2, 3, 1, 2]);
    let pool = convs(&net).next().unwrap().pool.as_ref().unwrap();
    assert_eq!((pool.kernel, pool.stride, pool.pads), ([3, 3], [2, 2], [1, 2, 0, 1]));
}

/// A max pooling of 2x2 windows.
fn pool2(net: &mut Net, name: &str, input: &str) -> String {
    net.op("MaxPool", name, &[input], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])])
}

fn pools(net: &Folded) -> [usize; 2] {
    let alone = net.layers.iter().filter(|layer| matches!(layer.op, Op::MaxPool { .. })).count();
    [convs(net).filter(|conv| conv.pool.is_some()).count(), alone]
}

#[test]
fn a_pool_behind_a_convolution_becomes_part_of_it() {
    let mut net = Net::new(2, 8, 9);
    let y = net.conv3("c", "x", [3, 2]);
    let y = net.bn("bn", &y, 3);
    let y = net.relu("r", &y);
    let y = pool2(&mut net, "m", &y);
    let y = net.conv3("d", &y, [4, 3]);
    let y = pool2(&mut net, "m2", &y);
    let y = pool2(&mut net, "m3", &y);
    let (model, net, _) = accepted(net.classify(&y, 4));
    assert_eq!(pools(&net), [2, 1], "the pool of a pool is a layer of its own");
    let [stem, .., logits] = net.layers.as_slice() else { panic!("{net:?}") };
    assert_eq!((stem.name.as_str(), logits.output), ("c", TensorId(net.layers.len())));
    assert_eq!(net.tensors[1].shape, Shape { h: 4, w: 4, c: 3 });
    let maps: Vec<_> = net.maps_before_pools().map(|(id, map)| (id.0, map.shape)).collect();
    assert_eq!(maps, [(1, Shape { h: 8, w: 9, c: 3 }), (2, Shape { h: 4, w: 4, c: 4 })]);

    let [original, folded] = [model.proto(), &folded_to_onnx(&net)]
        .map(|proto| FloatModel::for_folded(proto, &net).unwrap_or_else(|e| panic!("{e}")));
    let check = check_folding(&original, &folded, [random(2 * 8 * 9, 3).as_slice()]).unwrap();
    assert_eq!(check.tensors.len(), net.tensors.len() + 2, "the maps are compared, too");
    assert!(check.worst().relative() < 1e-5, "{:?}", check.worst());
}

/// The map is read by something else, or a shortcut joins in it: then it must exist.
#[test]
fn pools_that_stay_layers_of_their_own() {
    let mut net = Net::new(2, 8, 8);
    let shared = net.conv3("c", "x", [3, 2]);
    let y = pool2(&mut net, "m", &shared);
    let other = net.conv("s", &shared, [3, 3, 1, 1], vec![ints("strides", &[2, 2])]);
    let y = net.op("Add", "add", &[&other, &y], vec![]);
    let (_, net, _) = accepted(net.classify(&y, 3));
    assert_eq!(pools(&net), [0, 1], "another convolution reads the map");

    let mut net = Net::new(2, 8, 8);
    let shared = net.conv3("c", "x", [3, 2]);
    let (y, z) = (pool2(&mut net, "m", &shared), pool2(&mut net, "n", &shared));
    let z = net.conv3("d", &z, [3, 3]);
    let y = net.op("Add", "add", &[&y, &z], vec![]);
    let (_, net, _) = accepted(net.classify(&y, 3));
    assert_eq!(pools(&net), [0, 2], "two pools read the map");

    let mut net = Net::new(2, 8, 8);
    let y = net.conv3("c", "x", [3, 2]);
    let y = net.relu("r", &y);
    let z = net.conv3("d", &y, [3, 3]);
    let y = net.op("Add", "add", &[&z, &y], vec![]);
    let y = pool2(&mut net, "m", &y);
    let (_, net, _) = accepted(net.classify(&y, 3));
    assert_eq!(pools(&net), [0, 1], "the map is a sum");

    let mut net = Net::new(2, 8, 8);
    let y = net.conv3("c", "x", [2, 2]);
    let y = pool2(&mut net, "m", &y);
    let z = net.conv3("d", &y, [2, 2]);
    let y = net.op("Add", "add", &[&y, &z], vec![]);
    let (_, net, _) = accepted(net.classify(&y, 2));
    assert_eq!(pools(&net), [1, 0], "what is read twice is the pooled map");
}

#[test]
fn spatial_pad_in_older_and_newer_operator_sets() {
    let mut net = Net::new(2, 6, 6);
    let y = net.op("Pad", "pad", &["x"], vec![ints("pads", &[0, 0, 1, 1, 0, 0, 1, 1])]);
    let y = net.conv("c", &y, [3, 2, 3, 3], vec![]);
    accepted(with_opset(net.classify(&y, 3), 9));

    let mut net = Net::new(2, 6, 6);
    net.graph.ints("p", &[1, 1, 1, 1]).ints("axes", &[-2, -1]);
    let y = net.op("Pad", "pad", &["x", "p", "", "axes"], vec![]);
    let y = net.conv("c", &y, [3, 2, 3, 3], vec![]);
    let (_, net, _) = import(with_opset(net.classify(&y, 3), 18)).unwrap();
    assert_eq!(convs(&net).next().unwrap().pads, [1, 1, 1, 1]);
}

#[test]
fn clip_forms() {
    let mut net = Net::new(2, 5, 5);
    net.graph.floats("zero", &[], &[0.0]).floats("six", &[], &[0.5]);
    let y = net.conv3("c", "x", [4, 2]);
    let y = net.op("Clip", "clip", &[&y, "zero", "six"], vec![]);
    let y = net.conv3("c2", &y, [4, 4]);
    let y = net.op("Clip", "low", &[&y, "zero"], vec![]);
    let y = net.conv3("c3", &y, [4, 4]);
    let y = net.op("Clip", "nothing", &[&y], vec![]);
    let (_, net, _) = accepted(net.classify(&y, 4));
    let activations: Vec<_> = convs(&net).map(|c| c.activation).collect();
    assert_eq!(activations, [Activation::Clip(0.0, 0.5), Activation::Relu, Activation::None]);

    let mut net = Net::new(2, 5, 5);
    let y = net.conv3("c", "x", [4, 2]);
    let y = net.op("Clip", "clip", &[&y], vec![float("min", -0.25), float("max", 0.5)]);
    let y = net.relu("r", &y);
    let (_, net, _) = accepted(with_opset(net.classify(&y, 4), 9));
    assert_eq!(convs(&net).next().unwrap().activation, Activation::Clip(0.0, 0.5));
}

#[test]
fn identity_shortcut_in_both_operand_orders() {
    for (op, swapped) in [("Add", false), ("Add", true), ("Sum", false)] {
        let mut net = Net::new(2, 5, 5);
        let stem = net.conv3("stem", "x", [4, 2]);
        let stem = net.relu("r0", &stem);
        let y = net.conv3("c", &stem, [4, 4]);
        let y = net.bn("bn", &y, 4);
        let operands = if swapped { [stem.as_str(), &y] } else { [y.as_str(), &stem] };
        let y = net.op(op, "add", &operands, vec![]);
        let y = net.relu("r1", &y);
        let (_, net, _) = accepted(net.classify(&y, 4));
        let conv = convs(&net).nth(1).unwrap();
        assert_eq!(conv.skip.map(|s| (s.tensor, s.stride, s.channel_offset)), Some((TensorId(1), 1, 0)));
        assert_eq!(conv.activation, Activation::Relu);
        assert_eq!(net.tensors[2].name, "r1_output_0");
    }
}

#[test]
fn projection_shortcut_with_and_without_batch_norm_in_any_order() {
    for projection_first in [false, true] {
        for with_bn in [false, true] {
            let mut net = Net::new(4, 6, 6);
            let half = || vec![ints("strides", &[2, 2])];
            let main = |net: &mut Net| {
                let y =
                    net.conv("a", "x", [6, 4, 3, 3], vec![ints("pads", &[1; 4]), ints("strides", &[2, 2])]);
                let y = net.relu("ra", &y);
                let y = net.conv3("b", &y, [6, 6]);
                net.bn("bnb", &y, 6)
            };
            let projection = |net: &mut Net| {
                let y = net.conv("p", "x", [6, 4, 1, 1], half());
                if with_bn { net.bn("bnp", &y, 6) } else { y }
            };
            let (left, right) = if projection_first {
                let p = projection(&mut net);
                (p, main(&mut net))
            } else {
                let m = main(&mut net);
                (m, projection(&mut net))
            };
            let y = net.op("Add", "add", &[&left, &right], vec![]);
            let (_, net, _) = accepted(net.classify(&y, 6));
            assert_eq!(counts(&net), [5, 3, 1, 0]);
            let last = net.layers.iter().rfind(|l| matches!(l.op, Op::Conv(_))).unwrap();
            assert_eq!(last.name, "b", "the larger convolution runs last and takes the shortcut in");
            let shortcut = if with_bn { "bnp_output_0" } else { "p_output_0" };
            assert!(net.tensors.iter().any(|t| t.name == shortcut));
        }
    }
}

#[test]
fn shared_convolution_does_not_take_the_addition_in() {
    // `big` has more multiply-accumulates, but its value is needed elsewhere too.
    let mut net = Net::new(2, 5, 5);
    let big = net.conv3("big", "x", [4, 2]);
    let small = net.conv("small", &big, [4, 4, 1, 1], vec![]);
    let y = net.op("Add", "add", &[&big, &small], vec![]);
    let (_, net, _) = accepted(net.classify(&y, 4));
    assert!(convs(&net).next().unwrap().skip.is_none());
    assert!(convs(&net).nth(1).unwrap().skip.is_some());
}

#[test]
fn addition_may_be_read_twice_without_activation() {
    let mut net = Net::new(2, 5, 5);
    let a = net.conv3("a", "x", [4, 2]);
    let b = net.conv3("b", &a, [4, 4]);
    let sum = net.op("Add", "add", &[&b, &a], vec![]);
    let c = net.conv3("c", &sum, [4, 4]);
    let y = net.op("Add", "add2", &[&sum, &c], vec![]);
    let (_, net, _) = accepted(net.classify(&y, 4));
    assert_eq!(counts(&net), [5, 3, 2, 0]);
}

fn option_a(value_dims: &[i64]) -> ModelProto {
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

#[test]
fn option_a_shortcut() {
    // A scalar as the standard has it, and a list of one as some exporters write it.
    for value_dims in [&[][..], &[1]] {
        let (_, net, _) = accepted(option_a(value_dims));
        let skip = convs(&net).nth(1).unwrap().skip.unwrap();
        assert_eq!((skip.tensor, skip.stride, skip.channel_offset), (TensorId(1), 2, 1));
    }
}

#[test]
fn every_global_mean() {
    let stem = || {
        let mut net = Net::new(2, 5, 6);
        let y = net.conv3("c", "x", [4, 2]);
        (net, y)
    };
    let (mut net, y) = stem();
    let y = net.op("ReduceMean", "mean", &[&y], vec![ints("axes", &[-1, 2]), int("keepdims", 0)]);
    accepted(net.gemm(&y, 4));

    let (mut net, y) = stem();
    net.graph.ints("axes", &[2, 3]);
    let y = net.op("ReduceMean", "mean", &[&y, "axes"], vec![]);
    let y = net.op("Flatten", "flat", &[&y], vec![]);
    accepted(with_opset(net.gemm(&y, 4), 18));

    let (mut net, y) = stem();
    let y = net.op("AveragePool", "mean", &[&y], vec![ints("kernel_shape", &[5, 6])]);
    net.graph.ints("axes", &[2, 3]);
    let y = net.op("Squeeze", "flat", &[&y, "axes"], vec![]);
    let (_, net, _) = accepted(net.gemm(&y, 4));
    assert_eq!(net.layers[1].op, Op::GlobalAveragePool);
}

#[test]
fn flattening_keeps_the_order_of_the_features() {
    let mut net = Net::new(2, 3, 4);
    let y = net.conv3("c", "x", [5, 2]);
    net.graph.ints("flat", &[1, -1]);
    let y = net.op("Reshape", "reshape", &[&y, "flat"], vec![]);
    let (_, net, _) = accepted(net.gemm(&y, 60));
    assert_eq!(net.layers.len(), 2);
}

/// What `x.view(x.size(0), -1)` becomes.
fn computed_shape() -> ModelProto {
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

#[test]
fn flattening_by_a_computed_shape() {
    accepted(computed_shape());
}

#[test]
fn classifier_forms() {
    for (attributes, dims, bias) in [
        (vec![], [4, 3], Some(vec![3])),
        (vec![float("alpha", 0.5), float("beta", 2.0)], [4, 3], Some(vec![1, 3])),
        (vec![int("transB", 1)], [3, 4], Some(vec![1])),
        (vec![int("transB", 1)], [3, 4], None),
    ] {
        let mut net = Net::new(2, 3, 4);
        let y = net.conv3("c", "x", [4, 2]);
        let y = net.op("ReduceMean", "mean", &[&y], vec![ints("axes", &[2, 3]), int("keepdims", 0)]);
        net.floats("w", &dims);
        let mut inputs = vec![y.as_str(), "w"];
        if let Some(dims) = bias {
            net.floats("b", &dims);
            inputs.push("b");
        }
        let y = net.op("Gemm", "fc", &inputs, attributes);
        accepted(net.finish(&y));
    }
}

#[test]
fn matmul_with_bias_and_batch_norm() {
    let mut net = Net::new(2, 3, 4);
    let y = net.conv3("c", "x", [4, 2]);
    let y = net.op("ReduceMean", "mean", &[&y], vec![ints("axes", &[2, 3]), int("keepdims", 0)]);
    net.floats("w", &[4, 3]);
    net.floats("b", &[3]);
    let y = net.op("MatMul", "fc", &[&y, "w"], vec![]);
    let y = net.op("Add", "bias", &["b", &y], vec![]);
    let y = net.bn("bn", &y, 3);
    let (_, net, _) = accepted(net.finish(&y));
    assert_eq!(net.layers.len(), 3);
    assert_eq!(net.tensors[3].name, "bn_output_0");
}

#[test]
fn bias_of_a_convolution_as_a_node() {
    let mut net = Net::new(2, 3, 4);
    net.floats("w", &[4, 2, 1, 1]);
    net.floats("b", &[4, 1, 1]);
    let y = net.op("Conv", "c", &["x", "w"], vec![]);
    let y = net.op("Add", "bias", &[&y, "b"], vec![]);
    accepted(net.classify(&y, 4));
}

#[test]
fn last_softmax_is_left_out_with_a_note() {
    for op in ["Softmax", "LogSoftmax"] {
        let mut net = Net::new(2, 3, 4);
        let y = net.conv3("c", "x", [4, 2]);
        let y = net.op("ReduceMean", "mean", &[&y], vec![ints("axes", &[2, 3]), int("keepdims", 0)]);
        net.floats("w", &[4, 3]);
        let y = net.op("MatMul", "fc", &[&y, "w"], vec![]);
        let y = net.op(op, "soft", &[&y], vec![int("axis", -1)]);
        let (model, net, notes) = accepted(net.finish(&y));
        assert_eq!((model.output(), net.tensors[3].name.as_str()), ("soft_output_0", "fc_output_0"));
        assert_eq!(notes.len(), 1);
        assert!(notes[0].contains("soft"), "{notes:?}");
    }
}

#[test]
fn nodes_without_effect_vanish() {
    let mut net = Net::new(2, 3, 4);
    let y = net.op("Identity", "i", &["x"], vec![]);
    let y = net.conv3("c", &y, [4, 2]);
    let y = net.op("Dropout", "d", &[&y], vec![]);
    let y = net.op("Cast", "cast", &[&y], vec![int("to", DataType::Float as i64)]);
    let dead = net.op("Sigmoid", "dead", &[&y], vec![]);
    net.op("Exp", "deader", &[&dead], vec![]);
    let y = net.relu("r", &y);
    let (_, folded, notes) = accepted(net.classify(&y, 4));
    assert_eq!(folded.layers.len(), 3);
    assert_eq!(notes, ["left out what the output does not depend on: `dead`, `deader`"]);
}

#[test]
fn asking_for_the_shape_is_not_reading() {
    let mut net = Net::new(2, 3, 4);
    let y = net.conv3("c", "x", [5, 2]);
    net.graph.ints("zero", &[0]).ints("minus", &[-1]);
    let shape = net.op("Shape", "shape", &[&y], vec![]);
    let y = net.bn("bn", &y, 5);
    let batch = net.op("Gather", "gather", &[&shape, "zero"], vec![]);
    let target = net.op("Concat", "concat", &[&batch, "minus"], vec![int("axis", 0)]);
    let y = net.op("Reshape", "reshape", &[&y, &target], vec![]);
    accepted(net.gemm(&y, 60));
}

#[test]
fn weights_in_other_types_and_places() {
    let mut net = Net::new(1, 3, 4);
    net.floats("w", &[2, 1, 1, 1]);
    let y = net.op("Conv", "c", &["x", "w"], vec![]);
    let mut plain = net.classify(&y, 2);
    let weights = |proto: &mut ModelProto| -> usize {
        proto.graph.as_ref().unwrap().initializer.iter().position(|t| t.name == "w").unwrap()
    };
    let index = weights(&mut plain);
    let set = |change: &dyn Fn(&mut tract_onnx::pb::TensorProto)| {
        let mut proto = plain.clone();
        let tensor = &mut proto.graph.as_mut().unwrap().initializer[index];
        tensor.raw_data.clear();
        change(tensor);
        let (_, net, _) = import(proto).unwrap_or_else(|e| panic!("{e}"));
        convs(&net).next().unwrap().weights.clone()
    };
    assert_eq!(set(&|t| t.float_data = vec![0.5, -2.0]), [0.5, -2.0]);
    assert_eq!(set(&|t| (t.data_type, t.double_data) = (11, vec![0.1, -2.0])), [0.1, -2.0]);
    assert_eq!(set(&|t| (t.data_type, t.int32_data) = (10, vec![0x3800, 0xC000])), [0.5, -2.0]);
    assert_eq!(set(&|t| (t.data_type, t.raw_data) = (10, vec![0, 0x38, 0, 0xC0])), [0.5, -2.0]);
}

#[test]
fn weights_in_constant_nodes() {
    let mut net = Net::new(1, 3, 4);
    let tensor = tract_onnx::pb::TensorProto {
        dims: vec![2, 1, 1, 1],
        data_type: DataType::Float.into(),
        float_data: vec![0.5, -2.0],
        ..Default::default()
    };
    let value = AttributeProto { name: "value".into(), r#type: 4, t: Some(tensor), ..Default::default() };
    let w = net.op("Constant", "const", &[], vec![value]);
    let w = net.op("Identity", "same", &[&w], vec![]);
    let y = net.op("Conv", "c", &["x", &w], vec![]);
    accepted(net.classify(&y, 2));
}

#[test]
fn external_data_is_embedded_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut proto = resnet(Kind::Cifar { blocks: 1 }, 32, 10, 1);
    let inline = import(proto.clone()).unwrap().1;
    let mut data = Vec::new();
    for tensor in &mut proto.graph.as_mut().unwrap().initializer {
        let entry =
            |key: &str, value: usize| StringStringEntryProto { key: key.into(), value: value.to_string() };
        tensor.external_data = vec![entry("offset", data.len()), entry("length", tensor.raw_data.len())];
        tensor.external_data.push(StringStringEntryProto { key: "location".into(), value: "w.bin".into() });
        tensor.data_location = Some(DataLocation::External as i32);
        data.append(&mut tensor.raw_data);
    }
    let file = folder.path().join("net.onnx");
    std::fs::write(&file, synthetic::to_bytes(&proto)).unwrap();
    let missing = onnx::read(&file, &ImportOptions::default()).unwrap_err().to_string();
    assert!(missing.contains("net.onnx") && missing.contains("beside the ONNX file"), "{missing}");
    std::fs::write(folder.path().join("w.bin"), data).unwrap();
    let (model, net, _) = finish(onnx::read(&file, &ImportOptions::default()).unwrap()).unwrap();
    assert_eq!(net, inline);
    assert_same_values(&model, &net, 3);
}

// ---- Open sizes ----

fn open(dims: &[Option<i64>]) -> ModelProto {
    let mut net = Net { graph: GraphBuilder::new("image", dims), seed: 1 };
    let y = net.conv3("c", "image", [4, 3]);
    net.classify(&y, 4)
}

#[test]
fn open_batch_is_bound_to_one_and_said() {
    let (model, _, notes) = accepted(open(&[None, Some(3), Some(5), Some(6)]));
    assert_eq!(model.input_shape(), [1, 3, 5, 6]);
    assert_eq!(notes, ["input `image`: dimension `open_0` bound to 1"]);
    let (_, _, notes) = accepted(open(&[Some(16), Some(3), Some(5), Some(6)]));
    assert_eq!(notes, ["input `image`: dimension `16` bound to 1"]);
}

#[test]
fn open_size_must_be_given() {
    let proto = open(&[None, Some(3), None, None]);
    let error = load(proto.clone()).unwrap_err().to_string();
    assert!(error.contains("`image`") && error.contains("height and width"), "{error}");
    let options = ImportOptions { input_size: Some((5, 7)) };
    let model = OnnxModel::from_proto(proto, Path::new("."), &options).unwrap();
    assert_eq!(model.input_shape(), [1, 3, 5, 7]);
    assert_eq!(model.notes().len(), 3);
    let (model, net, _) = finish(model).unwrap();
    assert_same_values(&model, &net, 3);
    let fixed = OnnxModel::from_proto(open(&[Some(1), Some(3), Some(5), Some(6)]), Path::new("."), &options);
    assert!(fixed.unwrap_err().to_string().contains("fixed to 6, not 7"));
}

#[test]
fn other_interfaces_are_named() {
    let error = |proto: ModelProto| load(proto).unwrap_err().to_string();
    assert!(error(open(&[None, None, Some(5), Some(6)])).contains("channels"));
    assert!(error(open(&[None, Some(5)])).contains("2 dimensions"));
    let mut proto = open(&[Some(1), Some(3), Some(5), Some(6)]);
    let graph = proto.graph.as_mut().unwrap();
    let mut second = graph.input[0].clone();
    second.name = "mask".into();
    graph.input.push(second);
    assert!(error(proto.clone()).contains("2 inputs (`image`, `mask`)"));
    let graph = proto.graph.as_mut().unwrap();
    graph.input.pop();
    let mut second = graph.output[0].clone();
    second.name = "c_output_0".into();
    graph.output.push(second);
    assert!(error(proto.clone()).contains("2 outputs (`fc_output_0`, `c_output_0`)"));
    proto.graph.as_mut().unwrap().output.clear();
    assert!(error(proto).contains("0 outputs"));
    let old = with_opset(open(&[Some(1), Some(3), Some(5), Some(6)]), 6);
    assert!(error(old).contains("operator set 6 is too old"));
}

#[test]
fn weights_listed_as_inputs_are_not_inputs() {
    let mut proto = open(&[Some(1), Some(3), Some(5), Some(6)]);
    let graph = proto.graph.as_mut().unwrap();
    let mut weight = graph.input[0].clone();
    weight.name = "c.w".into();
    graph.input.insert(0, weight);
    assert_eq!(load(proto).unwrap().input(), "image");
}

// ---- Refused nodes ----

#[test]
fn all_offending_nodes_are_listed_at_once() {
    let mut net = Net::new(2, 8, 8);
    net.floats("dw", &[2, 1, 3, 3]);
    let y = net.op("Conv", "depthwise", &["x", "dw"], vec![int("group", 2)]);
    let y = net.op("HardSwish", "swish", &[&y], vec![]);
    let y = net.conv("dilated", &y, [4, 2, 3, 3], vec![ints("dilations", &[2, 2])]);
    let y = net.bn("bn", &y, 4);
    let y = net.relu("r", &y);
    let stem = net.conv3("stem", "x", [4, 2]);
    let stem = net.relu("r2", &stem);
    let bad = net.bn("late", &stem, 4);
    let z = net.conv3("fine", &bad, [4, 4]);
    let pooled = net.op("GlobalAveragePool", "p1", &[&z], vec![]);
    let other = net.op("GlobalAveragePool", "p2", &[&y], vec![]);
    let y = net.op("Mul", "mul", &[&pooled, &other], vec![]);
    let y = net.op("Flatten", "flat", &[&y], vec![]);
    let proto = net.gemm(&y, 4);
    let nodes = refused(proto.clone());
    let names: Vec<&str> = nodes.iter().map(|n| n.node.name.as_str()).collect();
    assert_eq!(names, ["depthwise", "swish", "dilated", "late", "mul"]);
    assert_eq!(nodes[0].node.attributes, "group=2");
    let message = import(proto).unwrap_err().to_string();
    assert!(
        message.starts_with(
            "5 nodes of the network cannot be converted:\n  Conv `depthwise` (group=2): 2 groups"
        )
    );
    assert!(message.contains("accepted: 2-D convolution, group 1"), "{message}");
}

#[test]
fn quantized_networks_get_a_hint() {
    let mut net = Net::new(2, 8, 8);
    net.graph.floats("s", &[], &[0.1]).ints("z", &[0]);
    let y = net.op("QuantizeLinear", "q", &["x", "s", "z"], vec![]);
    let y = net.op("DequantizeLinear", "dq", &[&y, "s", "z"], vec![]);
    let y = net.op("QLinearConv", "qc", &[&y], vec![]);
    let message = import(net.classify(&y, 2)).unwrap_err().to_string();
    assert!(message.contains("3 nodes") && message.contains("the float network"), "{message}");
}

#[test]
fn branches_between_convolution_and_batch_norm() {
    let mut net = Net::new(2, 5, 5);
    let a = net.conv3("a", "x", [2, 2]);
    let b = net.bn("bn", &a, 2);
    let c = net.conv3("c", &b, [2, 2]);
    let y = net.op("Add", "add", &[&a, &c], vec![]);
    refused_for(net.classify(&y, 2), "bn", "`a_output_0` is also read without it, by `add`");
}

#[test]
fn value_read_before_and_after_relu() {
    // The pre-activation form: the sum goes on unclamped and clamped.
    let mut net = Net::new(2, 5, 5);
    let a = net.conv3("a", "x", [2, 2]);
    let b = net.relu("r", &a);
    let c = net.conv3("c", &b, [2, 2]);
    let y = net.op("Add", "add", &[&a, &c], vec![]);
    refused_for(net.classify(&y, 2), "r", "also read without it, by `add`");
}

#[test]
fn output_in_the_middle_counts_as_a_reader() {
    let mut net = Net::new(2, 5, 5);
    let y = net.conv3("a", "x", [2, 2]);
    let y = net.op("ReduceMean", "mean", &[&y], vec![ints("axes", &[2, 3]), int("keepdims", 0)]);
    refused_for(net.finish(&y), "mean", "the network ends here");
}

#[test]
fn additions_that_no_convolution_can_take_in() {
    let mut net = Net::new(2, 5, 5);
    let a = net.conv3("a", "x", [2, 2]);
    let y = net.op("Add", "add", &[&a, &a], vec![]);
    refused_for(net.classify(&y, 2), "add", "neither input");

    let mut net = Net::new(2, 5, 5);
    let a = net.conv3("a", "x", [2, 2]);
    let a = net.relu("ra", &a);
    let b = net.conv3("b", "x", [2, 2]);
    let b = net.relu("rb", &b);
    let y = net.op("Add", "add", &[&a, &b], vec![]);
    refused_for(net.classify(&y, 2), "add", "neither input");

    // A convolution takes in one shortcut, not two.
    let mut net = Net::new(2, 5, 5);
    let a = net.conv3("a", "x", [2, 2]);
    let y = net.op("Add", "add", &["x", &a], vec![]);
    let y = net.op("Add", "add2", &["x", &y], vec![]);
    refused_for(net.classify(&y, 2), "add2", "neither input");

    let mut net = Net::new(2, 5, 5);
    let a = net.conv("a", "x", [2, 2, 1, 5], vec![]);
    let y = net.op("Add", "add", &["x", &a], vec![]);
    refused_for(net.classify(&y, 2), "add", "different shapes");

    let mut net = Net::new(2, 5, 5);
    let a = net.conv3("a", "x", [2, 2]);
    let y = net.op("Sum", "sum", &["x", &a, &a], vec![]);
    refused_for(net.classify(&y, 2), "sum", "3 inputs");
}

fn refused_node(op: &str, attributes: Vec<AttributeProto>, words: &str) {
    let mut net = Net::new(2, 6, 6);
    let y = net.conv3("c", "x", [2, 2]);
    let y = net.op(op, "bad", &[&y], attributes);
    refused_for(net.classify(&y, 2), "bad", words);
}

#[test]
fn single_nodes_that_are_refused() {
    let window = || ints("kernel_shape", &[3, 3]);
    let stride = || ints("strides", &[2, 2]);
    refused_node("MaxPool", vec![window(), stride(), int("ceil_mode", 1)], "ceil_mode");
    refused_node("MaxPool", vec![window(), ints("dilations", &[2, 2])], "dilations");
    refused_node("MaxPool", vec![window(), ints("pads", &[3, 0, 0, 0])], "not smaller");
    refused_node("MaxPool", vec![], "kernel_shape is missing");
    refused_node("MaxPool", vec![ints("kernel_shape", &[7, 7])], "a window of 7");
    refused_node("MaxPool", vec![window(), ints("strides", &[0, 1])], "stride of 0");
    refused_node("MaxPool", vec![ints("kernel_shape", &[3])], "1 entries, not 2");
    refused_node("MaxPool", vec![int("kernel_shape", 3)], "not of type INTS");
    refused_node("MaxPool", vec![window(), ints("pads", &[i64::MAX; 4])], "outside 0 to");
    refused_node("MaxPool", vec![window(), text("auto_pad", "WIDE")], "auto_pad WIDE");
    refused_node("AveragePool", vec![window()], "a window of [3, 3] on a map of [6, 6]");
    refused_node("ReduceMean", vec![ints("axes", &[1])], "reduces the axes [1]");
    refused_node("ReduceMean", vec![], "reduces the axes []");
    refused_node("ReduceMean", vec![ints("axes", &[i64::MIN, 2])], "does not exist");
    refused_node("Softmax", vec![int("axis", 1)], "classes");
    refused_node("LeakyRelu", vec![float("alpha", 0.1)], "no counterpart");
    refused_node("Sigmoid", vec![], "no counterpart");
    refused_node("Transpose", vec![ints("perm", &[0, 2, 3, 1])], "depends on the picture");
    refused_node("Cast", vec![int("to", DataType::Float16 as i64)], "float32");
    refused_node("BatchNormalization", vec![int("training_mode", 1)], "training mode");
    refused_node("BatchNormalization", vec![], "input 1 is missing");
    refused_node("Conv", vec![], "input 1 is missing");
    refused_node("Add", vec![], "1 inputs");
    refused_node("Slice", vec![], "starts are missing");
    refused_node("Pad", vec![text("mode", "reflect")], "reflect");
    refused_node("Reshape", vec![], "input 1 is missing");
    refused_node("Unsqueeze", vec![], "axes are missing");
}

#[test]
fn activations_that_do_not_include_zero() {
    for (low, high) in [(0.5, 6.0), (-6.0, -1.0), (1.0, 0.0), (0.0, 0.0), (f32::NAN, 6.0)] {
        let mut net = Net::new(2, 6, 6);
        net.graph.floats("low", &[], &[low]).floats("high", &[], &[high]);
        let y = net.conv3("c", "x", [2, 2]);
        let y = net.op("Clip", "clip", &[&y, "low", "high"], vec![]);
        refused_for(net.classify(&y, 2), "clip", "do not include 0");
    }
}

#[test]
fn activations_that_nothing_takes_in() {
    let mut net = Net::new(2, 6, 6);
    let y = net.relu("r", "x");
    refused_for(net.classify(&y, 2), "r", "neither a convolution nor an addition");

    let mut net = Net::new(2, 6, 6);
    let y = net.conv3("c", "x", [2, 2]);
    let y = net.op("MaxPool", "m", &[&y], vec![ints("kernel_shape", &[2, 2])]);
    let y = net.relu("r", &y);
    refused_for(net.classify(&y, 2), "r", "neither a convolution nor an addition");

    let mut net = Net::new(2, 6, 6);
    net.floats("w", &[72, 3]);
    let y = net.op("Flatten", "flat", &["x"], vec![]);
    let y = net.op("MatMul", "fc", &[&y, "w"], vec![]);
    let y = net.relu("r", &y);
    refused_for(net.finish(&y), "r", "follows a fully connected layer");
}

#[test]
fn batch_norms_that_nothing_takes_in() {
    let mut net = Net::new(2, 6, 6);
    let y = net.bn("bn", "x", 2);
    refused_for(net.classify(&y, 2), "bn", "does not follow a convolution");

    let mut net = Net::new(2, 6, 6);
    let y = net.conv3("c", "x", [2, 2]);
    let y = net.op("Add", "add", &["x", &y], vec![]);
    let y = net.bn("bn", &y, 2);
    refused_for(net.classify(&y, 2), "bn", "follows an activation or an addition");
}

#[test]
fn batch_norm_exported_while_training() {
    let mut net = Net::new(2, 6, 6);
    let y = net.conv3("c", "x", [2, 2]);
    let y = net.bn("bn", &y, 2);
    let mut proto = net.classify(&y, 2);
    proto.graph.as_mut().unwrap().node[1].output.push("mean".into());
    refused_for(proto, "bn", "training mode");
}

#[test]
fn parameters_of_the_wrong_size() {
    let mut net = Net::new(2, 6, 6);
    let y = net.conv3("c", "x", [4, 2]);
    let y = net.bn("bn", &y, 3);
    refused_for(net.classify(&y, 4), "bn", "3 values for 4 channels");

    let mut net = Net::new(2, 6, 6);
    let y = net.conv3("c", "x", [4, 3]);
    refused_for(net.classify(&y, 4), "c", "weights for 3 channels on an input of 2");

    let mut net = Net::new(2, 6, 6);
    net.floats("w", &[4, 2, 1, 1]);
    net.floats("b", &[5]);
    let y = net.op("Conv", "c", &["x", "w", "b"], vec![]);
    refused_for(net.classify(&y, 4), "c", "`b` holds 5 values for 4 channels");

    let mut net = Net::new(2, 6, 6);
    let y = net.conv3("c", "x", [4, 2]);
    refused_for(net.classify(&y, 5), "fc", "the weights need [1, 5]");

    let mut net = Net::new(2, 6, 6);
    net.floats("w", &[4, 2, 3]);
    let y = net.op("Conv", "c", &["x", "w"], vec![]);
    refused_for(net.classify(&y, 4), "c", "not a 2-D convolution");

    let mut net = Net::new(2, 6, 6);
    net.graph.floats("w", &[4, 2, 1, 1], &[0.0; 7]);
    let y = net.op("Conv", "c", &["x", "w"], vec![]);
    refused_for(net.classify(&y, 4), "c", "tensor `w`");
}

#[test]
fn weights_that_are_not_finite() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut net = Net::new(1, 6, 6);
        net.graph.floats("w", &[2, 1, 1, 1], &[bad, 1.0]);
        let y = net.op("Conv", "c", &["x", "w"], vec![]);
        refused_for(net.classify(&y, 2), "c", "`w` holds 1 values that are infinite or not a number");
    }
    let mut net = Net::new(1, 6, 6);
    let y = net.conv3("c", "x", [2, 1]);
    net.graph.floats("v", &[2], &[1.0, -1.0]);
    net.floats("p", &[2]);
    let y = net.op("BatchNormalization", "bn", &[&y, "p", "p", "p", "v"], vec![]);
    refused_for(net.classify(&y, 2), "bn", "not positive");
}

#[test]
fn shortcuts_that_are_not_option_a() {
    let shortcut = |starts: i64, steps: i64, axis: i64| {
        let mut net = Net::new(2, 6, 6);
        net.graph.ints("s", &[starts]).ints("e", &[i64::MAX]).ints("a", &[axis]).ints("t", &[steps]);
        let y = net.op("Slice", "slice", &["x", "s", "e", "a", "t"], vec![]);
        let y = net.conv3("c", &y, [2, 2]);
        net.classify(&y, 2)
    };
    refused_for(shortcut(1, 2, 2), "slice", "every n-th entry of axis 2");
    refused_for(shortcut(0, 2, 1), "slice", "cuts channels");
    refused_for(shortcut(-1, -1, 2), "slice", "every n-th entry");
    refused_for(shortcut(0, 0, 2), "slice", "step of 0");
    refused_for(shortcut(0, 2, 2), "c", "a part of a map");

    let mut net = Net::new(2, 6, 6);
    net.graph.ints("s", &[0]).ints("e", &[i64::MAX]).ints("a", &[2]).ints("t", &[2]);
    let y = net.op("Slice", "slice", &["x", "s", "e", "a", "t"], vec![]);
    let z = net.conv("c", "x", [2, 2, 1, 1], vec![ints("strides", &[2, 1])]);
    let y = net.op("Add", "add", &[&z, &y], vec![]);
    refused_for(net.classify(&y, 2), "add", "every 2. row and 1. column");

    let padded = |pads: [i64; 8]| {
        let mut net = Net::new(2, 6, 6);
        net.graph.ints("p", &pads);
        let y = net.op("Pad", "pad", &["x", "p"], vec![]);
        net.classify(&y, pads[1] + 2)
    };
    refused_for(padded([0, 1, 1, 0, 0, 0, 0, 0]), "pad", "channels together with rows");
    refused_for(padded([1, 0, 0, 0, 0, 0, 0, 0]), "pad", "pads the batch");
    refused_for(padded([0, 0, -1, 0, 0, 0, 0, 0]), "pad", "outside 0 to");
    refused_for(padded([0, 0, 1, 0, 0, 0, 0, 0]), "pool", "a padded one");
}

#[test]
fn pool_over_zeros_that_could_win() {
    let mut net = Net::new(2, 6, 6);
    net.graph.ints("p", &[0, 0, 1, 1, 0, 0, 1, 1]);
    let y = net.conv3("c", "x", [2, 2]);
    let y = net.op("Pad", "pad", &[&y, "p"], vec![]);
    let y = net.op("MaxPool", "m", &[&y], vec![ints("kernel_shape", &[3, 3])]);
    refused_for(net.classify(&y, 2), "m", "maximum in the zeros");
}

#[test]
fn classifiers_that_are_refused() {
    let mut net = Net::new(2, 2, 2);
    net.floats("w1", &[8, 5]);
    net.floats("w2", &[5, 3]);
    let y = net.op("Flatten", "flat", &["x"], vec![]);
    let y = net.op("MatMul", "hidden", &[&y, "w1"], vec![]);
    let y = net.op("MatMul", "fc", &[&y, "w2"], vec![]);
    refused_for(net.finish(&y), "hidden", "not the last layer");

    let mut net = Net::new(2, 2, 2);
    net.floats("w", &[8, 5]);
    let y = net.op("Flatten", "flat", &["x"], vec![]);
    let y = net.op("Gemm", "fc", &[&y, "w"], vec![int("transA", 1)]);
    refused_for(net.finish(&y), "fc", "transA");

    let mut net = Net::new(2, 2, 2);
    let y = net.conv3("c", "x", [2, 2]);
    let y = net.op("Softmax", "soft", &[&y], vec![]);
    refused_for(net.finish(&y), "soft", "classes");

    let mut net = Net::new(2, 2, 2);
    let y = net.op("Flatten", "flat", &["x"], vec![]);
    let error = import(net.finish(&y)).unwrap_err().to_string();
    assert!(error.contains("does not come from a classifier"), "{error}");
}

#[test]
fn foreign_operators_and_extra_outputs() {
    let mut net = Net::new(2, 6, 6);
    let y = net.conv3("c", "x", [2, 2]);
    let mut proto = net.classify(&y, 2);
    proto.graph.as_mut().unwrap().node[0].domain = "com.example".into();
    refused_for(proto, "c", "com.example");

    let mut net = Net::new(2, 6, 6);
    let y = net.op("MaxPool", "m", &["x"], vec![ints("kernel_shape", &[2, 2])]);
    let z = net.op("Add", "add", &[&y, "indices"], vec![]);
    let mut proto = net.classify(&z, 2);
    proto.graph.as_mut().unwrap().node[0].output.push("indices".into());
    refused_for(proto, "m", "extra output `indices` is used");
}

// ---- Damaged graphs and files ----

#[test]
fn graphs_that_contradict_themselves() {
    let error = |change: &dyn Fn(&mut tract_onnx::pb::GraphProto)| {
        let mut proto = open(&[Some(1), Some(3), Some(5), Some(6)]);
        change(proto.graph.as_mut().unwrap());
        import(proto).unwrap_err().to_string()
    };
    assert!(error(&|g| g.node[1].input[0] = "ghost".into()).contains("reads `ghost`"));
    assert!(error(&|g| g.node.swap(0, 1)).contains("which nothing before it writes"));
    assert!(error(&|g| g.node[1].output[0] = "c_output_0".into()).contains("two nodes write `c_output_0`"));
    assert!(error(&|g| g.initializer[1].name = "c.w".into()).contains("`c.w` is defined twice"));
    assert!(error(&|g| g.output[0].name = "c.w".into()).contains("does not depend on the input"));
    assert!(error(&|g| g.output[0].name = "ghost".into()).contains("does not depend on the input"));
    assert!(error(&|g| g.output[0].name = "image".into()).contains("classifier"));
    assert!(error(&|g| g.node[0].input[0] = "fc_output_0".into()).contains("nothing before it writes"));
    assert!(error(&|g| g.input[0].r#type = None).contains("has no type"));
    assert!(error(&|g| g.initializer[0].dims = vec![i64::MAX; 4]).contains("tensor `c.w`"));
    assert!(error(&|g| g.initializer[0].dims = vec![-1, 3, 3, 3]).contains("tensor `c.w`"));
    assert!(error(&|g| g.initializer[0].data_type = 8).contains("STRING is not supported"));
    assert!(error(&|g| g.initializer[0].data_type = 77).contains("77 is unknown"));
}

#[test]
fn constants_too_large_to_compute() {
    let mut net = Net::new(2, 6, 6);
    net.graph.ints("huge", &[1 << 20, 1 << 20]);
    let shape = net.op("ConstantOfShape", "fill", &["huge"], vec![]);
    let y = net.op("Reshape", "reshape", &["x", &shape], vec![]);
    let nodes = refused(net.gemm(&y, 72));
    assert_eq!(nodes[0].node.name, "fill", "{nodes:?}");
}

#[test]
fn files_that_are_not_onnx() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, content: &[u8]| {
        let file = folder.path().join(name);
        std::fs::write(&file, content).unwrap();
        onnx::read(&file, &ImportOptions::default()).unwrap_err().to_string()
    };
    let text = read("labels.txt", b"airplane\nautomobile\nbird\n");
    assert!(text.contains("labels.txt: not a complete ONNX file"), "{text}");
    let empty = read("empty.onnx", b"");
    assert!(empty.contains("it holds no graph"), "{empty}");
    let missing = onnx::read(&folder.path().join("none.onnx"), &ImportOptions::default()).unwrap_err();
    assert!(missing.to_string().starts_with("cannot read"), "{missing}");
    assert!(onnx::read(folder.path(), &ImportOptions::default()).is_err());
}

#[test]
fn truncated_files() {
    let bytes = synthetic::to_bytes(&open(&[Some(1), Some(3), Some(5), Some(6)]));
    for length in 0..bytes.len() {
        let cut = OnnxModel::from_bytes(&bytes[..length], Path::new("."), &ImportOptions::default());
        assert!(cut.is_err(), "{length} of {} bytes", bytes.len());
    }
}

#[test]
fn changed_bytes_never_panic() {
    let plain = open(&[Some(1), Some(3), Some(5), Some(6)]);
    for bytes in [plain, option_a(&[]), computed_shape()].map(|proto| synthetic::to_bytes(&proto)) {
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xFF] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                let model = OnnxModel::from_bytes(&damaged, Path::new("."), &ImportOptions::default());
                // An error or a network: a changed weight is as good as any other weight.
                drop(model.and_then(finish));
            }
        }
    }
}
