//! Accepted forms, one by one.

use resi8_converter::float::{FloatModel, check_folding, folded_to_onnx};
use resi8_converter::folded::{Activation, Folded, Op, Shape, TensorId};
use resi8_converter::onnx::{self, ImportOptions};
use resi8_converter::synthetic::{self, Kind, float, int, ints, resnet, text};
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{AttributeProto, ModelProto, StringStringEntryProto};

use crate::support::{
    Net, accepted, assert_same_values, computed_shape, convs, counts, finish, import, option_a, random,
    with_opset,
};

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
