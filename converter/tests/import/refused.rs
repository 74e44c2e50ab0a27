//! Nodes that are refused, each with its reason.

use resi8_converter::synthetic::{float, int, ints, text};
use tract_onnx::pb::AttributeProto;
use tract_onnx::pb::tensor_proto::DataType;

use crate::support::{Net, import, refused, refused_for};

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
