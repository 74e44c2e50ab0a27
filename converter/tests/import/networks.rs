//! Real networks, and synthetic ones as exporters write them.

use std::path::Path;

use resi8_converter::folded::{Folded, Op, Shape};
use resi8_converter::onnx::{self, ImportOptions, OnnxModel};
use resi8_converter::synthetic::{self, Kind, resnet};

use crate::common::{shared, shipped};
use crate::support::{
    accepted, assert_same_values, assert_well_formed, convs, counts, evaluate, finish, import, random,
};

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
