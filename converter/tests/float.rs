//! The float reference: folded networks written as ONNX against naive loops, and the published accuracies through tract.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use resi8::{ChannelOrder, Preprocess, Resize};
use resi8_converter::float::{FloatError, FloatModel, check_folding, folded_to_onnx};
use resi8_converter::folded::{Activation, Conv, Dense, Folded, Layer, Op, Shape, Skip, Tensor, TensorId};
use resi8_converter::onnx::{self, ImportOptions};
use tract_onnx::pb;

/// Numbers in -1..1, the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 33).unwrap()) / f64::from(1u32 << 30) - 1.0
    }

    fn many(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.next()).collect()
    }

    #[expect(clippy::cast_possible_truncation, reason = "any f32 near the number will do")]
    fn input(&mut self, shape: Shape) -> Vec<f32> {
        self.many(shape.len()).into_iter().map(|v| v as f32).collect()
    }
}

fn tensor(name: &str, h: usize, w: usize, c: usize) -> Tensor {
    Tensor { name: name.into(), shape: Shape { h, w, c } }
}

fn conv(random: &mut Random, [out, inn]: [usize; 2], kernel: [usize; 2], stride: [usize; 2]) -> Conv {
    Conv {
        kernel,
        stride,
        pads: [0; 4],
        weights: random.many(out * inn * kernel[0] * kernel[1]),
        bias: random.many(out),
        skip: None,
        activation: Activation::None,
    }
}

fn layer(name: &str, op: Op, input: usize, output: usize) -> Layer {
    Layer { name: name.into(), op, input: TensorId(input), output: TensorId(output) }
}

/// Every feature of a folded network once: asymmetric pads, ReLU, ReLU6, no activation, option A and identity
/// shortcuts, max pooling, global average pooling, a classifier.
fn small_network() -> Folded {
    let mut r = Random(7);
    let stem =
        Conv { pads: [1, 1, 1, 1], activation: Activation::Relu, ..conv(&mut r, [4, 3], [3, 3], [1, 1]) };
    let option_a = Conv {
        pads: [0, 0, 1, 1],
        skip: Some(Skip { tensor: TensorId(2), stride: 2, channel_offset: 2 }),
        activation: Activation::Clip(0.0, 6.0),
        ..conv(&mut r, [8, 4], [3, 3], [2, 2])
    };
    let identity = Conv {
        skip: Some(Skip { tensor: TensorId(3), stride: 1, channel_offset: 0 }),
        ..conv(&mut r, [8, 8], [1, 1], [1, 1])
    };
    let dense = Dense { weights: r.many(5 * 8), bias: r.many(5) };
    let pool = Op::MaxPool { kernel: [3, 3], stride: [1, 1], pads: [1, 1, 1, 1] };
    Folded {
        tensors: vec![
            tensor("input", 8, 6, 3),
            tensor("stem", 8, 6, 4),
            tensor("pooled", 8, 6, 4),
            tensor("joined", 4, 3, 8),
            tensor("identity", 4, 3, 8),
            tensor("mean", 1, 1, 8),
            tensor("logits", 1, 1, 5),
        ],
        layers: vec![
            layer("stem", Op::Conv(stem), 0, 1),
            layer("pool", pool, 1, 2),
            layer("option-a", Op::Conv(option_a), 2, 3),
            layer("identity", Op::Conv(identity), 3, 4),
            layer("mean", Op::GlobalAveragePool, 4, 5),
            layer("classes", Op::Dense(dense), 5, 6),
        ],
    }
}

/// Value at a row and column that may lie in the padding.
fn at(map: &[f64], shape: Shape, c: usize, y: usize, x: usize, [top, left]: [usize; 2]) -> Option<f64> {
    let (y, x) = (y.checked_sub(top)?, x.checked_sub(left)?);
    (y < shape.h && x < shape.w).then(|| map[(c * shape.h + y) * shape.w + x])
}

fn naive_conv(conv: &Conv, folded: &Folded, maps: &[Vec<f64>], layer: &Layer) -> Vec<f64> {
    let (inn, out) = (folded.tensors[layer.input.0].shape, folded.tensors[layer.output.0].shape);
    let [kh, kw] = conv.kernel;
    let mut result = Vec::new();
    for (o, y, x) in positions(out) {
        let mut sum = conv.bias[o];
        for (c, ky, kx) in positions(Shape { h: kh, w: kw, c: inn.c }) {
            let (row, column) = (y * conv.stride[0] + ky, x * conv.stride[1] + kx);
            let value =
                at(&maps[layer.input.0], inn, c, row, column, [conv.pads[0], conv.pads[1]]).unwrap_or(0.0);
            sum += conv.weights[((o * inn.c + c) * kh + ky) * kw + kx] * value;
        }
        if let Some(skip) = conv.skip {
            let shape = folded.tensors[skip.tensor.0].shape;
            let channel = o.checked_sub(skip.channel_offset).filter(|&c| c < shape.c);
            let shortcut = &maps[skip.tensor.0];
            sum += channel
                .map_or(0.0, |c| at(shortcut, shape, c, y * skip.stride, x * skip.stride, [0, 0]).unwrap());
        }
        result.push(match conv.activation {
            Activation::None => sum,
            Activation::Relu => sum.max(0.0),
            Activation::Clip(lo, hi) => sum.clamp(lo.into(), hi.into()),
        });
    }
    result
}

/// Channel, row, column of every value, in this order.
fn positions(shape: Shape) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..shape.c).flat_map(move |c| (0..shape.h).flat_map(move |y| (0..shape.w).map(move |x| (c, y, x))))
}

fn naive_layer(layer: &Layer, folded: &Folded, maps: &[Vec<f64>]) -> Vec<f64> {
    let input = &maps[layer.input.0];
    let (inn, out) = (folded.tensors[layer.input.0].shape, folded.tensors[layer.output.0].shape);
    match &layer.op {
        Op::Conv(conv) => naive_conv(conv, folded, maps, layer),
        Op::MaxPool { kernel: [kh, kw], stride, pads } => positions(out)
            .map(|(c, y, x)| {
                positions(Shape { h: *kh, w: *kw, c: 1 })
                    .filter_map(|(_, ky, kx)| {
                        at(input, inn, c, y * stride[0] + ky, x * stride[1] + kx, [pads[0], pads[1]])
                    })
                    .fold(f64::NEG_INFINITY, f64::max)
            })
            .collect(),
        Op::GlobalAveragePool => {
            let area = inn.h * inn.w;
            input.chunks(area).map(|map| map.iter().sum::<f64>() / area as f64).collect()
        }
        Op::Dense(dense) => dense
            .weights
            .chunks(input.len())
            .zip(&dense.bias)
            .map(|(row, bias)| bias + row.iter().zip(input).map(|(w, v)| w * v).sum::<f64>())
            .collect(),
    }
}

/// All tensors of `folded` for one input.
fn naive(folded: &Folded, x: &[f32]) -> Vec<Vec<f64>> {
    let mut maps = vec![x.iter().map(|&v| f64::from(v)).collect()];
    for layer in &folded.layers {
        assert_eq!(layer.output.0, maps.len(), "the test network's layers are in the order of its tensors");
        maps.push(naive_layer(layer, folded, &maps));
    }
    maps
}

#[test]
fn folded_network_written_as_onnx_computes_the_same() {
    let folded = small_network();
    let model = FloatModel::for_folded(&folded_to_onnx(&folded), &folded).unwrap();
    let x = Random(1).input(folded.tensors[0].shape);
    let expected = naive(&folded, &x);
    let got = model.run(&x).unwrap();
    assert_eq!(got.len(), expected.len() + 1);
    assert_eq!(got.last(), got.get(folded.tensors.len() - 1), "the last layer makes the logits");
    for ((tensor, expected), got) in folded.tensors.iter().zip(&expected).zip(&got) {
        assert_eq!(got.len(), tensor.shape.len(), "{}", tensor.name);
        for (a, b) in expected.iter().zip(got) {
            assert!((a - f64::from(*b)).abs() < 1e-4, "{}: {a} and {b}", tensor.name);
        }
    }
}

#[test]
fn folding_check_finds_the_layer_that_differs() {
    let folded = small_network();
    let model = |folded: &Folded| FloatModel::for_folded(&folded_to_onnx(folded), folded).unwrap();
    let original = model(&folded);
    let samples: Vec<Vec<f32>> = (0..3).map(|seed| Random(seed).input(folded.tensors[0].shape)).collect();
    let samples = || samples.iter().map(Vec::as_slice);

    let same = check_folding(&original, &original, samples()).unwrap();
    assert_eq!((same.samples, same.logits.largest_difference), (3, 0.0));
    assert!(same.worst().relative() == 0.0 && same.logits.largest_magnitude > 0.0);

    let mut wrong = folded.clone();
    let Op::Dense(dense) = &mut wrong.layers[5].op else { panic!("the last layer is the classifier") };
    dense.bias[0] += 0.5;
    let check = check_folding(&original, &model(&wrong), samples()).unwrap();
    assert!((check.logits.largest_difference - 0.5).abs() < 1e-5);
    assert_eq!(check.worst().name, "logits");
    assert_eq!(check.tensors[5].largest_difference, 0.0);

    assert!(matches!(check_folding(&original, &original, []), Err(FloatError::NoSamples)));
    let bare = FloatModel::new(&folded_to_onnx(&folded), [1, 3, 8, 6], &[]).unwrap();
    assert!(matches!(check_folding(&original, &bare, samples()), Err(FloatError::DifferentOutputs)));
}

#[test]
fn wrong_requests_are_errors() {
    let folded = small_network();
    let proto = folded_to_onnx(&folded);
    let shape = [1, 3, 8, 6];
    let unknown = FloatModel::new(&proto, shape, &["nobody".into()]);
    assert!(matches!(unknown, Err(FloatError::UnknownTensor(name)) if name == "nobody"));
    assert!(matches!(FloatModel::new(&proto, [1, 5, 8, 6], &[]), Err(FloatError::Prepare { .. })));
    assert!(matches!(
        FloatModel::new(&pb::ModelProto::default(), shape, &[]),
        Err(FloatError::OutputCount(0))
    ));
    let model = FloatModel::new(&proto, shape, &[]).unwrap();
    assert!(matches!(model.run(&[0.0; 3]), Err(FloatError::InputLength { expected: 144, given: 3 })));

    for name in ["gone", ""] {
        let mut dangling = proto.clone();
        dangling.graph.as_mut().unwrap().output[0].name = name.into();
        assert!(
            matches!(FloatModel::new(&dangling, shape, &[]), Err(FloatError::UnknownTensor(_))),
            "`{name}`"
        );
    }

    let mut two_inputs = proto.clone();
    let graph = two_inputs.graph.as_mut().unwrap();
    graph.input.push(pb::ValueInfoProto { name: "second".into(), ..graph.input[0].clone() });
    assert!(matches!(FloatModel::new(&two_inputs, shape, &[]), Err(FloatError::InputCount(2))));
}

#[test]
fn symbolic_dimensions_are_bound() {
    use pb::tensor_shape_proto::dimension::Value;
    let folded = small_network();
    let fixed = folded_to_onnx(&folded);
    let mut symbolic = fixed.clone();
    let input = &mut symbolic.graph.as_mut().unwrap().input[0];
    let Some(pb::type_proto::Value::TensorType(info)) = &mut input.r#type.as_mut().unwrap().value else {
        panic!("the input is a tensor")
    };
    for (dim, name) in
        info.shape.as_mut().unwrap().dim.iter_mut().zip(["batch", "channels", "rows", "columns"])
    {
        dim.value = Some(Value::DimParam(name.into()));
    }
    let x = Random(2).input(folded.tensors[0].shape);
    let run = |proto| FloatModel::for_folded(proto, &folded).unwrap().run(&x).unwrap();
    assert_eq!(run(&symbolic), run(&fixed));
}

/// The shared data folder; `None` (said loudly) when it is missing and not required.
fn data() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = std::env::var_os("RESI8_DATA").map_or_else(default, PathBuf::from);
    if data.is_dir() {
        return Some(data);
    }
    assert!(
        std::env::var_os("RESI8_REQUIRE_DATA").is_none_or(|v| v != "1"),
        "no data folder at {}",
        data.display()
    );
    eprintln!("SKIPPED: no data folder at {}; set RESI8_DATA", data.display());
    None
}

fn load(data: &Path, name: &str) -> pb::ModelProto {
    onnx::read(&data.join("models").join(name), &ImportOptions::default()).unwrap().proto().clone()
}

/// `(pixel / 255 - mean) / std` with ImageNet's mean and standard deviation.
fn p1() -> Preprocess {
    Preprocess {
        order: ChannelOrder::Rgb,
        resize: Resize::None,
        pixel_scale: 1.0 / 255.0,
        mean: [0.485, 0.456, 0.406, 0.0],
        std: [0.229, 0.224, 0.225, 1.0],
    }
}

/// Raw pixels.
fn p0() -> Preprocess {
    Preprocess { pixel_scale: 1.0, mean: [0.0; 4], std: [1.0; 4], ..p1() }
}

/// Bytes of one record: a label, then 32 x 32 pixels of red, of green, of blue.
const RECORD: usize = 1 + 3 * 1024;

fn input(preprocess: &Preprocess, record: &[u8]) -> Vec<f32> {
    record[1..].iter().enumerate().map(|(i, &pixel)| preprocess.normalize(i / 1024, pixel)).collect()
}

/// Pictures whose largest logit is the label's.
fn correct(model: &FloatModel, preprocess: &Preprocess, records: &[u8]) -> usize {
    let next = AtomicUsize::new(0);
    let count = || {
        let mut correct = 0;
        while let Some(record) = records.chunks_exact(RECORD).nth(next.fetch_add(1, Ordering::Relaxed)) {
            let logits = model.run(&input(preprocess, record)).unwrap().remove(0);
            let best = (0..10).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
            correct += usize::from(best == usize::from(record[0]));
        }
        correct
    };
    thread::scope(|scope| {
        let threads = [scope.spawn(count), scope.spawn(count)];
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

#[test]
fn float_accuracy_is_the_published_one() {
    let Some(data) = data() else { return };
    let records = std::fs::read(data.join("cifar10/test_9979.bin")).unwrap();
    let networks = [
        ("resnet8_mlperf_cifar10.onnx", p0(), 8702),
        ("resnet20_cifar10.onnx", p1(), 9154),
        ("resnet20_cifar10.raw-export.onnx", p1(), 9154),
        ("resnet32_cifar10.onnx", p1(), 9243),
        ("resnet44_cifar10.onnx", p1(), 9290),
        ("resnet56_cifar10.onnx", p1(), 9319),
    ];
    let got = networks.map(|(name, preprocess, expected)| {
        let model = FloatModel::new(&load(&data, name), [1, 3, 32, 32], &[]).unwrap();
        (name, correct(&model, &preprocess, &records), expected)
    });
    for (name, correct, expected) in got {
        assert_eq!(correct, expected, "{name}; all: {got:?}");
    }
}

#[test]
fn exposing_every_tensor_does_not_change_the_logits() {
    let Some(data) = data() else { return };
    let records = std::fs::read(data.join("cifar10/train_calib_1000.bin")).unwrap();
    for (name, preprocess) in
        [("resnet8_mlperf_cifar10.onnx", p0()), ("resnet20_cifar10.raw-export.onnx", p1())]
    {
        let proto = load(&data, name);
        let maps = ["Conv", "Relu", "Add", "BatchNormalization"];
        let nodes = proto.graph.as_ref().unwrap().node.iter();
        let all: Vec<String> = nodes
            .filter(|node| maps.contains(&node.op_type.as_str()))
            .map(|node| node.output[0].clone())
            .collect();
        let shape = [1, 3, 32, 32];
        let (bare, full) =
            (FloatModel::new(&proto, shape, &[]).unwrap(), FloatModel::new(&proto, shape, &all).unwrap());
        for record in records.chunks_exact(RECORD).take(20) {
            let x = input(&preprocess, record);
            let (a, b) = (bare.run(&x).unwrap(), full.run(&x).unwrap());
            assert_eq!((a.len(), b.len()), (1, all.len() + 1));
            let largest = a[0].iter().zip(b.last().unwrap()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest < 1e-4, "{name}: {largest}");
        }
    }
}
