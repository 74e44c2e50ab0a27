//! Damaged graphs and files.

use std::path::Path;

use resi8_converter::onnx::{self, ImportOptions, OnnxModel};
use resi8_converter::synthetic;

use crate::support::{Net, computed_shape, finish, import, open, option_a, refused};

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
