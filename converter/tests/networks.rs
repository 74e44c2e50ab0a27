//! Whole networks: the memory plan, proved by running, and the memory that a conversion takes.

#![allow(clippy::cast_possible_truncation, reason = "random pixels")]

mod common;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{
    cifar, convert_roughly, convert_roughly_for, convert_with, dataset, imagenet, raw, read, say, shared,
    shipped,
};
use resi8::{AlignedBuf, Buffers, Isa, Model, Plan, Preprocess, Resize, RunError, Session};
use resi8_converter::memory::Goal;
use resi8_converter::onnx::{ImportOptions, OnnxModel};
use resi8_converter::synthetic::{self, Kind, resnet};

/// Every network of the shared data, the shipped one, and what torchvision's larger ones add.
fn networks() -> Vec<(String, OnnxModel)> {
    let mut networks = vec![("shipped resnet8".to_owned(), read(&shipped("resnet8-cifar10.onnx")))];
    for name in ["resnet8_mlperf", "resnet20", "resnet32", "resnet44", "resnet56"] {
        if let Some(path) = shared(&format!("models/{name}_cifar10.onnx")) {
            networks.push((name.to_owned(), read(&path)));
        }
    }
    if let Some(path) = shared("models/resnet18_imagenet.onnx") {
        networks.push(("resnet18".to_owned(), read(&path)));
    }
    for (name, kind) in [("resnet34", Kind::ResNet34), ("resnet50", Kind::ResNet50)] {
        let model =
            OnnxModel::from_proto(resnet(kind, 224, 1000, 1), Path::new("."), &ImportOptions::default());
        networks.push((name.to_owned(), model.unwrap()));
    }
    networks
}

/// Logits of a run in memory that was filled with `canary`, of exactly the planned size, and the bytes behind it.
fn run(plan: Plan<'_>, canary: u8) -> (Vec<i32>, bool) {
    let mut memory = AlignedBuf::new(plan.arena_len() + 64).unwrap();
    memory.as_mut().fill(canary);
    let (arena, behind) = memory.as_mut().split_at_mut(plan.arena_len());
    let mut packed = AlignedBuf::new(plan.packed_len()).unwrap();
    let mut session = Session::new(plan, Buffers { arena, packed: packed.as_mut() }).unwrap();
    session.self_test().unwrap();
    let logits = session.logits().to_vec();
    (logits, behind.iter().all(|byte| *byte == canary))
}

/// No two tensors that are in use at the same time share a byte, but for a shortcut that its layer overwrites.
fn check_overlaps(name: &str, model: &Model<'_>) -> usize {
    let tensors: Vec<_> = model.tensors().collect();
    let mut in_place = 0;
    for layer in model.layers() {
        let live: Vec<_> =
            tensors.iter().filter(|t| t.index() <= layer.index + 1 && layer.index <= t.last_use()).collect();
        for (position, a) in live.iter().enumerate() {
            for b in live.get(position + 1..).unwrap_or_default() {
                let apart = a.range().end <= b.range().start || b.range().end <= a.range().start;
                if !apart {
                    let resi8::model::Op::Conv(conv) = layer.op else {
                        panic!("{name}: layer {}", layer.index)
                    };
                    assert_eq!(conv.skip.unwrap().tensor.index(), a.index(), "{name}: layer {}", layer.index);
                    assert_eq!((layer.output.index(), a.range()), (b.index(), b.range()), "{name}");
                    in_place += 1;
                }
            }
        }
    }
    in_place
}

#[test]
fn memory_plans_hold() {
    for (name, network) in networks() {
        let preprocess = if name == "resnet8_mlperf" { raw() } else { imagenet(Resize::None) };
        let conversion = convert_roughly(&network, preprocess);
        let model = Model::parse(&conversion.file).unwrap();
        let in_place = check_overlaps(&name, &model);
        assert!(in_place > 0, "{name} overwrites no shortcut");
        for isa in Isa::available() {
            let plan = Plan::new(model, isa).unwrap();
            let needed = plan.arena_len();
            let mut short = AlignedBuf::new(needed - 1).unwrap();
            let mut packed = AlignedBuf::new(plan.packed_len()).unwrap();
            let buffers = Buffers { arena: short.as_mut(), packed: packed.as_mut() };
            let error = Session::new(plan, buffers).unwrap_err();
            assert_eq!(error, RunError::ArenaTooSmall { needed, found: needed - 1 }, "{name}");
            let runs = [0x00, 0xa5].map(|canary| run(plan, canary));
            assert!(runs.iter().all(|(_, untouched)| *untouched), "{name} wrote behind its arena");
            assert_eq!(runs[0].0, runs[1].0, "{name} read memory that it had not written");
            say(&format!(
                "memory: {name:<16} {isa}, arena {needed}, activations {} (least possible {}), {in_place} overwritten in place",
                conversion.memory.activation_bytes, conversion.memory.lower_bound
            ));
        }
    }
}

/// Plans for low memory need less, and compute the same: the loader has proved them, and every layer of the self-test is compared with what
/// the plan for speed computed.
#[test]
fn plans_for_low_memory_need_less_and_compute_the_same() {
    for (name, network) in networks().into_iter().filter(|(name, _)| name != "resnet34") {
        let preprocess = if name == "resnet8_mlperf" { raw() } else { imagenet(Resize::None) };
        let conversions =
            [Goal::Speed, Goal::LowMemory].map(|goal| convert_roughly_for(goal, &network, preprocess));
        let models = conversions.each_ref().map(|conversion| Model::parse(&conversion.file).unwrap());
        let hashes = models.map(|model| {
            (0..model.layer_count()).map(|layer| model.self_test_hash(layer).unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(hashes[0], hashes[1], "{name}");
        for isa in Isa::available() {
            let plan = Plan::new(models[1], isa).unwrap();
            let runs = [0x00, 0xa5].map(|canary| run(plan, canary));
            assert!(runs.iter().all(|(_, untouched)| *untouched), "{name} wrote behind its arena");
            assert_eq!(runs[0].0, runs[1].0, "{name} read memory that it had not written");
        }
        let [speed, low] = conversions.map(|conversion| conversion.memory.activation_bytes);
        say(&format!("memory: {name:<16} activations {speed}, for low memory {low}"));
        assert!(low < speed, "{name}: {low} is not less than {speed}");
    }
}

/// ResNet-34 at 224 x 224 begins with a convolution to 112 x 112 x 64, pooled to 56 x 56 x 64. The larger map is no tensor:
/// the most that is in use at a time are two of the smaller ones.
#[test]
fn the_map_before_a_pool_has_no_room_in_the_arena() {
    let network =
        OnnxModel::from_proto(resnet(Kind::ResNet34, 224, 10, 1), Path::new("."), &ImportOptions::default());
    let conversion = convert_roughly(&network.unwrap(), imagenet(Resize::None));
    let model = Model::parse(&conversion.file).unwrap();
    let stem = model.layer(0).unwrap();
    assert_eq!((stem.kind(), stem.macs()), ("conv+pool", 112 * 112 * 64 * 7 * 7 * 3));
    assert_eq!(stem.output.size(), [56, 56, 64]);
    assert_eq!(conversion.memory.activation_bytes, 2 * 56 * 56 * 64);
}

/// The input's mean and deviation are inside the first convolution, so it cannot be added as it is.
#[test]
fn the_input_as_a_shortcut_is_refused() {
    let mut graph = synthetic::GraphBuilder::new("x", &[1, 3, 8, 8].map(Some));
    graph.floats("w", &[3, 3, 3, 3], &[0.1; 81]).floats("fc", &[5, 3], &[0.2; 15]);
    let conv = graph.node("Conv", "conv", &["x", "w"], vec![synthetic::ints("pads", &[1, 1, 1, 1])]);
    let sum = graph.node("Add", "add", &[&conv, "x"], vec![]);
    let mean = graph.node("GlobalAveragePool", "mean", &[&sum], vec![]);
    let flat = graph.node("Flatten", "flat", &[&mean], vec![]);
    let logits = graph.node("Gemm", "gemm", &[&flat, "fc"], vec![synthetic::int("transB", 1)]);
    let model = OnnxModel::from_proto(graph.finish(&logits, 17), Path::new("."), &ImportOptions::default());
    let sample = |_: usize| Ok(resi8_converter::measure::Pixels { values: vec![7; 8 * 8 * 3], label: None });
    let options = common::options(imagenet(Resize::None));
    let error =
        resi8_converter::convert::convert(&model.unwrap(), &options, 2, sample, &common::Quiet).unwrap_err();
    assert!(error.to_string().contains("it may not be a shortcut"), "{error}");
}

/// Pixels of 255 where the network was trained on 1, and the other way round, are noticed.
#[test]
fn wrong_preprocessing_is_warned_of() {
    let warnings = |network: &OnnxModel, preprocess: Preprocess| {
        let pictures = dataset(&shipped("calibration/drawn_128.bin"), preprocess, 32, None);
        convert_with(network, &pictures, &common::options(preprocess)).warnings
    };
    let own = read(&shipped("resnet8-cifar10.onnx"));
    assert_eq!(warnings(&own, cifar()), [""; 0]);
    let found = warnings(&own, raw());
    assert!(found.len() == 1 && found[0].contains("its input were far too large"), "{found:?}");
    let Some(path) = shared("models/resnet8_mlperf_cifar10.onnx") else { return };
    let mlperf = read(&path);
    assert_eq!(warnings(&mlperf, raw()), [""; 0]);
    let found = warnings(&mlperf, cifar());
    assert!(found.len() == 1 && found[0].contains("hardly reacts"), "{found:?}");
}

/// Largest resident memory of a child process, in KiB, watched until it ends.
fn peak_memory(command: &mut Command) -> u64 {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let exit = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(now.unwrap_or(0));
        if let Some(exit) = child.try_wait().unwrap() {
            break exit;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert!(exit.success(), "{errors}");
    peak
}

/// A .npy file of `count` random pictures of 224 x 224 x 3.
fn write_pictures(path: &Path, count: usize) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({count}, 224, 224, 3), }}");
    let padded = format!("{header:<117}\n");
    file.write_all(b"\x93NUMPY\x01\x00\x76\x00").unwrap();
    file.write_all(padded.as_bytes()).unwrap();
    for index in 0..count * 224 * 224 * 3 {
        let value = (index.wrapping_mul(2_654_435_761) >> 13) as u8;
        file.write_all(&[value]).unwrap();
    }
    file.flush().unwrap();
}

#[test]
fn conversion_of_resnet50_stays_small_however_many_samples() {
    let folder = tempfile::tempdir().unwrap();
    let network = folder.path().join("resnet50.onnx");
    std::fs::write(&network, synthetic::to_bytes(&resnet(Kind::ResNet50, 224, 1000, 2))).unwrap();
    let peaks = [12, 48].map(|samples: usize| {
        let pictures = folder.path().join(format!("pictures{samples}.npy"));
        write_pictures(&pictures, samples);
        let mut command = Command::new(env!("CARGO_BIN_EXE_resi8"));
        command.arg("convert").arg(&network).arg("--calibration").arg(&pictures);
        command
            .args(["--preprocess", "imagenet", "--measure", "2", "-o"])
            .arg(folder.path().join("resnet50.r8"));
        peak_memory(&mut command)
    });
    say(&format!(
        "memory: convert of ResNet-50 peaks at {} MiB with 12 samples, {} MiB with 48",
        peaks[0] >> 10,
        peaks[1] >> 10
    ));
    assert!(peaks[1] < 2 << 20, "{} KiB", peaks[1]);
    // One sample's activations are 45 MB in float; what the allocator keeps between samples varies by some tens.
    assert!(peaks[1] < peaks[0] + (128 << 10), "grew from {} to {} KiB", peaks[0], peaks[1]);
}
