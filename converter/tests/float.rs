//! The float reference: folded networks written as ONNX against naive loops, and the published accuracies through tract.

mod common;

use common::{imagenet, raw, read, shared};
use resi8::{Preprocess, Resize};
use resi8_converter::float::{FloatError, FloatModel, check_folding, folded_to_onnx};
use resi8_converter::folded::{
    Activation, Conv, Dense, Folded, Layer, Op, Pool, Shape, Skip, Tensor, TensorId,
};
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
        pool: None,
    }
}

fn layer(name: &str, op: Op, input: usize, output: usize) -> Layer {
    Layer { name: name.into(), op, input: TensorId(input), output: TensorId(output) }
}

/// Every feature of a folded network once: asymmetric pads, ReLU, ReLU6, no activation, option A and identity
/// shortcuts, max pooling inside and outside of a convolution, global average pooling, a classifier.
fn small_network() -> Folded {
    let mut r = Random(7);
    let fused =
        Pool { kernel: [2, 3], stride: [2, 1], pads: [1, 1, 0, 1], map: tensor("stem map", 15, 6, 4) };
    let stem = Conv {
        pads: [1, 1, 1, 1],
        activation: Activation::Relu,
        pool: Some(fused),
        ..conv(&mut r, [4, 3], [3, 3], [1, 1])
    };
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
            tensor("input", 15, 6, 3),
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
    let inn = folded.tensors[layer.input.0].shape;
    let out = conv.pool.as_ref().map_or(folded.tensors[layer.output.0].shape, |pool| pool.map.shape);
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

fn naive_pool(
    map: &[f64],
    inn: Shape,
    out: Shape,
    [kh, kw]: [usize; 2],
    stride: [usize; 2],
    pads: [usize; 4],
) -> Vec<f64> {
    positions(out)
        .map(|(c, y, x)| {
            positions(Shape { h: kh, w: kw, c: 1 })
                .filter_map(|(_, ky, kx)| {
                    at(map, inn, c, y * stride[0] + ky, x * stride[1] + kx, [pads[0], pads[1]])
                })
                .fold(f64::NEG_INFINITY, f64::max)
        })
        .collect()
}

fn naive_layer(layer: &Layer, folded: &Folded, maps: &[Vec<f64>]) -> Vec<f64> {
    let input = &maps[layer.input.0];
    let (inn, out) = (folded.tensors[layer.input.0].shape, folded.tensors[layer.output.0].shape);
    match &layer.op {
        Op::Conv(conv) => {
            let map = naive_conv(conv, folded, maps, layer);
            match &conv.pool {
                Some(Pool { kernel, stride, pads, map: Tensor { shape, .. } }) => {
                    naive_pool(&map, *shape, out, *kernel, *stride, *pads)
                }
                None => map,
            }
        }
        Op::MaxPool { kernel, stride, pads } => naive_pool(input, inn, out, *kernel, *stride, *pads),
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
    assert_eq!(
        got.len(),
        expected.len() + 2,
        "the map before a pooling and the logits come behind the tensors"
    );
    let Op::Conv(stem) = &folded.layers[0].op else { panic!("the first layer is a convolution") };
    let map = naive_conv(stem, &folded, &expected, &folded.layers[0]);
    assert_eq!(model.output_names().last().unwrap(), "stem map");
    assert!(map.iter().zip(&got[expected.len()]).all(|(a, b)| (a - f64::from(*b)).abs() < 1e-4));
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
    let bare = FloatModel::new(&folded_to_onnx(&folded), [1, 3, 15, 6], &[]).unwrap();
    assert!(matches!(check_folding(&original, &bare, samples()), Err(FloatError::DifferentOutputs)));
}

#[test]
fn wrong_requests_are_errors() {
    let folded = small_network();
    let proto = folded_to_onnx(&folded);
    let shape = [1, 3, 15, 6];
    let unknown = FloatModel::new(&proto, shape, &["nobody".into()]);
    assert!(matches!(unknown, Err(FloatError::UnknownTensor(name)) if name == "nobody"));
    assert!(matches!(FloatModel::new(&proto, [1, 5, 8, 6], &[]), Err(FloatError::Prepare { .. })));
    assert!(matches!(
        FloatModel::new(&pb::ModelProto::default(), shape, &[]),
        Err(FloatError::OutputCount(0))
    ));
    let model = FloatModel::new(&proto, shape, &[]).unwrap();
    assert!(matches!(model.run(&[0.0; 3]), Err(FloatError::InputLength { expected: 270, given: 3 })));

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

/// Bytes of one record: a label, then 32 x 32 pixels of red, of green, of blue.
const RECORD: usize = 1 + 3 * 1024;

fn input(preprocess: &Preprocess, record: &[u8]) -> Vec<f32> {
    record[1..].iter().enumerate().map(|(i, &pixel)| preprocess.normalize(i / 1024, pixel)).collect()
}

#[test]
fn exposing_every_tensor_does_not_change_the_logits() {
    let (Some(models), Some(pictures)) = (shared("models"), shared("cifar10")) else { return };
    let records = std::fs::read(pictures.join("train_calib_1000.bin")).unwrap();
    for (name, preprocess) in
        [("resnet8_mlperf_cifar10.onnx", raw()), ("resnet20_cifar10.raw-export.onnx", imagenet(Resize::None))]
    {
        let network = read(&models.join(name));
        let proto = network.proto();
        let maps = ["Conv", "Relu", "Add", "BatchNormalization"];
        let nodes = proto.graph.as_ref().unwrap().node.iter();
        let all: Vec<String> = nodes
            .filter(|node| maps.contains(&node.op_type.as_str()))
            .map(|node| node.output[0].clone())
            .collect();
        let shape = [1, 3, 32, 32];
        let (bare, full) =
            (FloatModel::new(proto, shape, &[]).unwrap(), FloatModel::new(proto, shape, &all).unwrap());
        for record in records.chunks_exact(RECORD).take(20) {
            let x = input(&preprocess, record);
            let (a, b) = (bare.run(&x).unwrap(), full.run(&x).unwrap());
            assert_eq!((a.len(), b.len()), (1, all.len() + 1));
            let largest = a[0].iter().zip(b.last().unwrap()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest < 1e-4, "{name}: {largest}");
        }
    }
}
