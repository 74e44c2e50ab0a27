//! Wrong input: the exit code, one line that says what is wrong, and no file left behind.

use std::path::{Path, PathBuf};

use resi8_converter::synthetic::{self, GraphBuilder, OPSET};

use crate::support::{bundled, convert, folder, model, names, network, resi8, run, samples};

/// A folder with one file in it.
fn folder_with(name: &str, content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = folder();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

/// Converts a network and expects a failure that leaves the output's folder empty.
fn network_fails(network: &Path, words: &[&str]) {
    let out = folder();
    run(&mut convert(network, &out.path().join("x.r8"))).failed(words);
    assert!(names(out.path()).is_empty(), "{:?}", names(out.path()));
}

/// Converts the bundled network with these arguments and expects a failure that leaves the output's folder empty.
fn arguments_fail(arguments: &[&str], words: &[&str]) {
    let out = folder();
    let mut command = resi8("convert");
    command.arg(network()).args(arguments).arg("-o").arg(out.path().join("x.r8"));
    if !arguments.contains(&"--calibration") {
        command.arg("--calibration").arg(samples());
    }
    run(&mut command).failed(words);
    assert!(names(out.path()).is_empty(), "{:?}", names(out.path()));
}

fn calibration_fails(path: &Path, words: &[&str]) {
    arguments_fail(&["--preprocess", "cifar", "--calibration", path.to_str().unwrap()], words);
}

#[test]
fn networks_that_cannot_be_read() {
    network_fails(Path::new("missing.onnx"), &["cannot read missing.onnx"]);
    let export = "give a float network exported to ONNX";
    let onnx = std::fs::read(network()).unwrap();
    let contents: [&[u8]; 3] = [b"This is a text.\n", b"", &onnx[..onnx.len() / 2]];
    for content in contents {
        let (_folder, path) = folder_with("net.onnx", content);
        network_fails(&path, &["net.onnx: not a complete ONNX file", export]);
    }
}

#[test]
fn every_unsupported_node_is_named() {
    let mut graph = GraphBuilder::new("input", &[Some(1), Some(3), Some(32), Some(32)]);
    let a = graph.node("Sigmoid", "gate", &["input"], vec![]);
    let b = graph.node("HardSwish", "swish", &[&a], vec![]);
    let c = graph.node("LSTM", "memory", &[&b], vec![]);
    let bytes = synthetic::to_bytes(&graph.finish(&c, OPSET));
    let (_folder, path) = folder_with("net.onnx", bytes);
    let out = folder();
    let outcome = run(&mut convert(&path, &out.path().join("x.r8")));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("3 nodes"), "{outcome:?}");
    for node in ["Sigmoid `gate`", "HardSwish `swish`", "LSTM `memory`"] {
        assert_eq!(outcome.stderr.lines().filter(|line| line.contains(node)).count(), 1, "{outcome:?}");
    }
    assert!(names(out.path()).is_empty());
}

#[test]
fn calibration_that_cannot_be_used() {
    let check = "check the path and the permissions";
    calibration_fails(Path::new("missing"), &["missing: cannot be read", check]);
    let empty = folder();
    calibration_fails(empty.path(), &["no picture in this folder", "put .jpg, .jpeg or .png files there"]);
    let (text, _) = folder_with("photo.jpg", "This is a text.\n");
    calibration_fails(text.path(), &["photo.jpg: neither a JPEG nor a PNG picture", "convert it"]);
    let (_folder, records) = folder_with("samples.bin", [0; 5000]);
    calibration_fails(&records, &["samples.bin: 5000 bytes", "records of 3073 bytes", "give a file"]);
}

#[test]
fn labels_that_do_not_fit() {
    let labels = |path: &Path, words: &[&str]| {
        arguments_fail(&["--preprocess", "cifar", "--labels", path.to_str().unwrap()], words);
    };
    let (_folder, two) = folder_with("labels.txt", "cat\ndog\n");
    labels(&two, &["2 lines", "10 classes", "one line a class"]);
    labels(Path::new("missing.txt"), &["missing.txt: cannot be read"]);
}

#[test]
fn preprocessing_that_does_not_fit() {
    arguments_fail(&[], &["--preprocess imagenet, cifar or raw", "--mean and --std"]);
    arguments_fail(&["--mean", "0.5,0.5,0.5"], &["--mean and --std together"]);
    arguments_fail(&["--mean", "0.5,0.5", "--std", "1,1,1"], &["--mean has 2 values", "one value a channel"]);
    arguments_fail(&["--mean", "0,0,0", "--std", "0,1,1"], &["--std must be above 0"]);
    arguments_fail(&["--mean", "0,0,0", "--std", "NaN,1,1"], &["--std must be above 0"]);
    arguments_fail(&["--preprocess", "raw", "--mean", "0,0,0"], &["raw has no mean", "leave out"]);
    arguments_fail(&["--preprocess", "cifar", "--crop", "28"], &["32", "28", "export the network again"]);
}

#[test]
fn places_that_cannot_be_written_to() {
    let (out, file) = folder_with("file.txt", "content");
    let fails = |path: &Path, words: &[&str]| {
        run(&mut convert(&network(), path)).failed(words);
        run(resi8("demo").arg("-o").arg(path)).failed(words);
    };
    fails(&out.path().join("missing/x.r8"), &["there is no folder", "missing: create it or choose another"]);
    fails(&file.join("x.r8"), &["there is no folder", "file.txt"]);
    fails(out.path(), &["is a folder: give the name of a file with -o"]);
    assert_eq!(names(out.path()), ["file.txt"]);
    assert_eq!(std::fs::read(file).unwrap(), b"content");
}

/// The file takes its name by renaming, which would put it in the place of whatever bears that name.
#[cfg(unix)]
#[test]
fn links_and_devices_stay_what_they_are() {
    let (out, file) = folder_with("file.txt", "content");
    let (link, socket) = (out.path().join("link"), out.path().join("socket"));
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for path in [&link, &socket] {
        let kind = path.symlink_metadata().unwrap().file_type();
        let words = ["is a link or a device", "give the name of a regular file with -o"];
        run(&mut convert(&network(), path)).failed(&words);
        run(resi8("demo").arg("-o").arg(path)).failed(&words);
        assert_eq!(path.symlink_metadata().unwrap().file_type(), kind);
    }
    assert_eq!(names(out.path()), ["file.txt", "link", "socket"]);
    assert_eq!(std::fs::read(file).unwrap(), b"content");
}

/// Permissions do not bind the superuser; the output below a regular file, tested above, stands for this case there.
#[cfg(unix)]
#[test]
fn a_read_only_folder() {
    use std::os::unix::fs::PermissionsExt;
    let out = folder();
    std::fs::set_permissions(out.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(out.path().join("probe"), "").is_ok() {
        eprintln!("root may write to read-only folders; an output below a file is tested instead");
        return;
    }
    let outcome = run(&mut convert(&network(), &out.path().join("x.r8")));
    outcome.failed(&["cannot write to the folder", "choose another place with -o"]);
    assert!(names(out.path()).is_empty());
}

#[test]
fn damaged_models() {
    let good = std::fs::read(model()).unwrap();
    let changed = |at: usize, bits: u8| {
        let mut bytes = good.clone();
        bytes[at] ^= bits;
        bytes
    };
    let other_version = format!("format version {}", resi8::format::FORMAT_VERSION ^ 0x40);
    let cases: [(Vec<u8>, &[&str]); 5] = [
        (changed(8, 0x40), &[&other_version, "convert the network again"]),
        (changed(good.len() / 2, 1), &["checksum", "damaged, copy it again"]),
        (good[..good.len() - 1].to_vec(), &["cut short?"]),
        (Vec::new(), &["0 bytes", "cut short?"]),
        (std::fs::read(network()).unwrap(), &["not a resi8 model"]),
    ];
    for (content, words) in cases {
        let (folder, path) = folder_with("model.r8", content);
        run(resi8("inspect").arg(&path)).failed(words);
        run(resi8("run").arg(&path).arg(bundled("pictures/cat-1.png"))).failed(words);
        assert_eq!(names(folder.path()), ["model.r8"]);
    }
    run(resi8("inspect").arg("missing.r8")).failed(&["cannot read the model missing.r8", "check the path"]);
}

#[test]
fn pictures_that_cannot_be_read() {
    let picture = |path: &Path, words: &[&str]| run(resi8("run").arg(model()).arg(path)).failed(words);
    picture(Path::new("missing.png"), &["error: missing.png: cannot be read", "check the path"]);
    let (_folder, text) = folder_with("photo.jpg", "This is a text.\n");
    picture(&text, &["photo.jpg: neither a JPEG nor a PNG picture", "convert it"]);
    let half = &std::fs::read(bundled("pictures/cat-1.png")).unwrap()[..200];
    let (_folder, png) = folder_with("half.png", half);
    picture(&png, &["half.png: damaged or unusual PNG picture", "save it again"]);
}

#[test]
fn a_float_network_that_is_another() {
    let other = synthetic::resnet(synthetic::Kind::Cifar { blocks: 1 }, 32, 10, 1);
    let (_folder, path) = folder_with("other.onnx", synthetic::to_bytes(&other));
    for command in ["eval", "compare"] {
        let mut command = resi8(command);
        command.arg(model()).arg("--float").arg(&path).arg("--data").arg(samples());
        run(&mut command).failed(&["other.onnx is not the network", "their layers differ"]);
    }
}

#[test]
fn dumps_that_cannot_be_made() {
    let compare = |arguments: &[&str], words: &[&str]| {
        let mut command = resi8("compare");
        command.arg(model()).arg("--float").arg(network()).arg("--data").arg(samples());
        run(command.args(arguments)).failed(words);
    };
    compare(&["--dump", "conv9"], &["no layer is called conv9", "0 to 10"]);
    compare(&["--dump", "0", "--dump-to", "missing"], &["missing is not a folder: create it"]);
}

#[test]
fn wrong_arguments() {
    let out = folder();
    let path = out.path().join("x.r8");
    run(&mut resi8("convert")).refused(&["--calibration", "--output"]);
    run(&mut resi8("fly")).refused(&["fly"]);
    run(resi8("inspect").arg(model()).args(["--isa", "abacus"]))
        .refused(&["called abacus; there are:", "portable"]);
    let cases = [
        (["--ranges", "percentile:200"], "percentile:P"),
        (["--resize", "big"], "shorter side, stretch, or none"),
        (["--preprocess", "mnist"], "imagenet"),
        (["--samples", "0"], "--samples"),
        (["--threads", "0"], "from 1 to 256"),
        (["--threads", "100000"], "from 1 to 256"),
    ];
    for (arguments, word) in cases {
        let mut command = resi8("convert");
        command.arg(network()).arg("--calibration").arg(samples()).arg("-o").arg(&path).args(arguments);
        run(&mut command).refused(&[word]);
    }
    let mut eval = resi8("eval");
    eval.arg(model()).arg("--float").arg(network()).arg("--data").arg(samples()).args(["--samples", "0"]);
    run(&mut eval).refused(&["--samples"]);
    assert!(names(out.path()).is_empty());
}

#[test]
fn targets_and_their_memory() {
    let folder = folder();
    let path = folder.path().join("net.r8");
    let convert_for = |arguments: &[&str]| run(convert(&network(), &path).args(arguments));
    convert_for(&["--target", "cortex-m9"]).refused(&["`cortex-m9` is no target", "cortex-m7"]);
    convert_for(&["--flash", "1M"]).refused(&["--target"]);
    convert_for(&["--target", "cortex-m7", "--flash", "much"]).refused(&["such as 36864, 36K or 1M"]);
    convert_for(&["--target", "cortex-m7", "--flash", "80K"]).failed(&["bytes and --flash allows 81920"]);
    convert_for(&["--target", "cortex-m7", "--ram", "32K"])
        .failed(&["bytes on cortex-m7 and --ram allows 32768"]);
    assert!(names(folder.path()).is_empty());
    // Only its own kernels and the portable ones run such a model.
    convert_for(&["--target", "cortex-m7"]).succeeded();
    let others = resi8::Isa::available().filter(|isa| *isa != resi8::Isa::Portable);
    for isa in others {
        let mut command = resi8("run");
        command.arg(&path).arg(bundled("pictures/cat-1.png")).args(["--isa", isa.name()]);
        run(&mut command).failed(&["convert without --target", "--isa portable"]);
    }
}
