//! Open sizes, and what else the interface of a network can be.

use std::path::Path;

use resi8_converter::onnx::{ImportOptions, OnnxModel};
use tract_onnx::pb::ModelProto;

use crate::support::{accepted, assert_same_values, finish, load, open, with_opset};

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
