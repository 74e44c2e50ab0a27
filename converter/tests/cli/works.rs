//! What must work.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::shared;
use crate::support::{bundled, convert, folder, model, names, network, resi8, run, samples};

#[test]
fn demo_classifies_its_pictures_and_keeps_the_model() {
    let folder = folder();
    let path = folder.path().join("demo.r8");
    let text = run(resi8("demo").arg("-o").arg(&path)).succeeded();
    let verdicts =
        text.lines().filter(|line| line.trim_end().ends_with("right") || line.trim_end().ends_with("WRONG"));
    assert_eq!(verdicts.count(), 18);
    assert!(text.contains("demo.r8"));
    assert_eq!(names(folder.path()), ["demo.r8"]);
    run(resi8("inspect").arg(&path)).succeeded();
}

#[test]
fn demo_prints_json_and_leaves_nothing() {
    let folder = folder();
    let demo = run(resi8("demo").arg("--json").current_dir(&folder)).json();
    let pictures = demo["pictures"].as_array().unwrap();
    assert_eq!(pictures.len(), 18);
    let same = pictures.iter().filter(|picture| picture["float"]["class"] == picture["int8"]["class"]);
    assert!(same.count() >= 17);
    assert_eq!(demo["conversion"]["held_out"], true);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn inspect_shows_layers_memory_and_sizes() {
    let text = run(resi8("inspect").arg(model())).succeeded();
    for word in
        ["conv+add", "average pool", "layers 0 to 10", "arena", "normalise", "10 classes, with labels"]
    {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
    let inspection = run(resi8("inspect").arg(model()).arg("--json")).json();
    for key in ["arena_bytes", "macs", "parameters"] {
        assert!(inspection[key].as_u64().unwrap() > 0, "{key}");
    }
    assert_eq!(inspection["file_bytes"], std::fs::metadata(model()).unwrap().len());
    assert_eq!(inspection["layers"].as_array().unwrap().len(), 11);
}

/// Converts the bundled network for a target and returns the report.
fn convert_for(target: &[&str], output: &Path) -> Value {
    run(convert(&network(), output).args(["--json", "--target"]).args(target)).json()
}

/// Layers of a report whose weights are transformed.
fn transformed(report: &Value) -> Vec<usize> {
    let layers = report["layers"].as_array().unwrap().iter().enumerate();
    layers.filter(|(_, layer)| layer["transformed"] == true).map(|(index, _)| index).collect()
}

#[test]
fn weights_are_transformed_for_a_target() {
    let folder = folder();
    let path = folder.path().join("m7.r8");
    let report = convert_for(&["cortex-m7"], &path);
    assert_eq!((&report["target"], &report["isa"]), (&"cortex-m7".into(), &"cortexm-dsp".into()));
    assert_eq!(transformed(&report), [1, 2, 5, 8]);
    let inspection = run(resi8("inspect").arg(&path).arg("--json")).json();
    for key in ["arena_bytes", "file_bytes", "macs", "parameters", "isa"] {
        assert_eq!(inspection[key], report[key], "{key}");
    }
    assert_eq!(transformed(&inspection), [1, 2, 5, 8]);
    let text = run(resi8("inspect").arg(&path)).succeeded();
    assert_eq!(text.lines().filter(|line| line.contains("3x3") && line.contains("transformed")).count(), 4);

    let neutral = folder.path().join("neutral.r8");
    run(&mut convert(&network(), &neutral)).succeeded();
    let picture = bundled("pictures/cat-1.png");
    let answer =
        |model: &Path| run(resi8("run").arg(model).arg(&picture).args(["--isa", "portable"])).succeeded();
    assert_eq!(answer(&path), answer(&neutral));

    run(resi8("export").arg(&path).args(["--rust", "."]).current_dir(&folder)).succeeded();
    let module = std::fs::read_to_string(folder.path().join("model.rs")).unwrap();
    assert!(module.contains(&format!("ARENA_LEN: usize = {};", report["arena_bytes"])), "{module}");
}

#[test]
fn a_target_has_limits_and_may_want_nothing() {
    let folder = folder();
    let path = folder.path().join("small.r8");
    let report = convert_for(&["cortex-m4", "--flash", "120K"], &path);
    assert!((1..4).contains(&transformed(&report).len()));
    assert!(report["file_bytes"].as_u64().unwrap() <= 120 << 10);
    let report = convert_for(&["cortex-m33", "--ram", "34880"], &path);
    assert!((1..4).contains(&transformed(&report).len()));
    assert_eq!(report["arena_bytes"], 34880);

    let neutral = folder.path().join("neutral.r8");
    run(&mut convert(&network(), &neutral)).succeeded();
    for target in ["cortex-m0", "cortex-m3", "cortex-m55", "riscv32"] {
        assert!(transformed(&convert_for(&[target], &path)).is_empty(), "{target}");
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&neutral).unwrap(), "{target}");
    }
}

/// All layers that could have transformed weights run by rows then, which keep theirs.
#[test]
fn little_memory_comes_before_transformed_weights() {
    let folder = folder();
    let report = convert_for(&["cortex-m4", "--low-memory"], &folder.path().join("low.r8"));
    assert!(transformed(&report).is_empty());
    assert!(report["arena_bytes"].as_u64().unwrap() < 24 << 10);
}

#[test]
fn run_names_the_bundled_pictures() {
    let pictures: Vec<PathBuf> =
        names(&bundled("pictures")).iter().map(|name| bundled("pictures").join(name)).collect();
    assert_eq!(pictures.len(), 18);
    let text = run(resi8("run").arg(model()).args(&pictures).args(["--top", "2"])).succeeded();
    assert_eq!(text.lines().count(), 18 * 3);
    let answers = run(resi8("run").arg(model()).args(&pictures).arg("--json")).json();
    let right = answers.as_array().unwrap().iter().filter(|answer| {
        let file = Path::new(answer["picture"].as_str().unwrap()).file_name().unwrap().to_str().unwrap();
        file.starts_with(answer["guesses"][0]["label"].as_str().unwrap())
    });
    assert!(right.count() >= 16);
    assert_eq!(answers[0]["guesses"].as_array().unwrap().len(), 5);
}

#[test]
fn run_shows_at_most_the_classes_that_there_are() {
    let largest = usize::MAX.to_string();
    let picture = bundled("pictures/cat-1.png");
    let answers = run(resi8("run").arg(model()).arg(picture).args(["--json", "--top", &largest])).json();
    let guesses = answers[0]["guesses"].as_array().unwrap();
    let sum: f64 = guesses.iter().map(|guess| guess["probability"].as_f64().unwrap()).sum();
    assert_eq!(guesses.len(), 10);
    assert!((sum - 1.0).abs() < 1e-5);
}

#[test]
fn convert_gives_the_same_file_each_time_and_with_any_number_of_threads() {
    let folder = folder();
    let file = |name: &str, threads: &[&str]| {
        let path = folder.path().join(name);
        let labels = bundled("cifar10-labels.txt");
        run(convert(&network(), &path).args(threads).arg("--labels").arg(labels)).succeeded();
        std::fs::read(path).unwrap()
    };
    let first = file("first.r8", &[]);
    assert!(first == file("second.r8", &[]), "the second conversion differs");
    for threads in ["1", "3"] {
        assert!(first == file("threads.r8", &["--threads", threads]), "differs with {threads} threads");
    }
    assert_eq!(names(folder.path()), ["first.r8", "second.r8", "threads.r8"]);
}

#[test]
fn convert_replaces_an_older_file_and_prints_json() {
    let folder = folder();
    let path = folder.path().join("model.r8");
    std::fs::write(&path, "an older file").unwrap();
    let report = run(convert(&network(), &path).arg("--json")).json();
    assert_eq!(report["file_bytes"], std::fs::metadata(&path).unwrap().len());
    assert_eq!(report["layers"].as_array().unwrap().len(), 11);
    assert!(report["agreement"].as_f64().unwrap() > 0.9);
    run(convert(&network(), Path::new("here.r8")).current_dir(&folder)).succeeded();
    assert_eq!(names(folder.path()), ["here.r8", "model.r8"]);
}

#[test]
fn eval_counts_in_json_and_in_words() {
    let eval = || {
        let mut command = resi8("eval");
        command.arg(model()).arg("--float").arg(network()).arg("--data").arg(samples());
        command
    };
    let evaluation = run(eval().arg("--json")).json();
    let count = |key: &str| evaluation[key].as_u64().unwrap_or_else(|| panic!("no {key} in {evaluation}"));
    assert_eq!(count("total"), 128);
    assert!(count("float_correct") <= 128 && count("int8_correct") <= 128);
    assert!(count("agree") >= 115);
    assert!(evaluation["logit_sqnr_db"].as_f64().unwrap() > 25.0);
    let one_thread = run(eval().args(["--json", "--threads", "1"])).json();
    assert_eq!(one_thread["agree"], evaluation["agree"]);
    let text = run(eval().args(["--samples", "10"])).succeeded();
    assert!(text.contains("10 pictures (10 labelled)"), "{text}");
}

#[test]
fn eval_without_labels_compares_int8_with_float() {
    let pictures = bundled("pictures");
    let mut eval = resi8("eval");
    eval.arg(model()).arg("--float").arg(network()).arg("--data").arg(pictures).arg("--json");
    let evaluation = run(&mut eval).json();
    assert_eq!((&evaluation["total"], &evaluation["labelled"]), (&18.into(), &0.into()));
    assert_eq!(evaluation.get("float_correct"), None);
}

/// `compare` of the demo's model on the bundled pictures.
fn compare(arguments: &[&str]) -> std::process::Command {
    let mut command = resi8("compare");
    command.arg(model()).arg("--float").arg(network()).arg("--data").arg(samples());
    command.args(["--samples", "4"]).args(arguments);
    command
}

#[test]
fn compare_shows_every_layer() {
    let lines = run(&mut compare(&["--json"])).json();
    assert_eq!(lines.as_array().unwrap().len(), 11);
    assert!(lines.as_array().unwrap().iter().all(|line| line["sqnr_db"].as_f64().unwrap() > 20.0));
    let text = run(&mut compare(&[])).succeeded();
    assert!(text.contains("4 pictures"), "{text}");
}

#[test]
fn compare_dumps_layers_as_numpy_files() {
    let folder = folder();
    let layers = run(resi8("inspect").arg(model()).arg("--json")).json();
    let last = layers["layers"][10]["name"].as_str().unwrap();
    let to = folder.path().to_str().unwrap();
    let outcome = run(&mut compare(&["--json", "--dump", "3", "--dump", last, "--dump-to", to]));
    assert_eq!(outcome.json().as_array().unwrap().len(), 11);
    let read = |name: &str| {
        let npy = npyz::NpyFile::new(std::fs::File::open(folder.path().join(name)).unwrap()).unwrap();
        (npy.shape().to_vec(), npy.into_vec::<f32>().unwrap())
    };
    let (shape, int8) = read("3.int8.npy");
    let (float_shape, float) = read("3.float.npy");
    assert_eq!((shape.as_slice(), float_shape.as_slice()), ([16, 16, 32].as_slice(), shape.as_slice()));
    let error: f32 = int8.iter().zip(&float).map(|(a, b)| (a - b).powi(2)).sum();
    let power: f32 = float.iter().map(|value| value.powi(2)).sum();
    assert!(error < power / 100.0, "error {error} of {power}");
    let file = last.replace('/', "_");
    assert_eq!(read(&format!("{file}.int8.npy")).0, [1, 1, 10]);
    assert_eq!(names(folder.path()).len(), 4);
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let commands: [&[&str]; 4] = [&["inspect"], &["inspect", "--json"], &["demo"], &["--help"]];
    for arguments in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = resi8(arguments[0]);
        command.args(&arguments[1..]).stdout(writer);
        if arguments[0] == "inspect" {
            command.arg(model());
        }
        let outcome = run(&mut command);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_has_gone_does_not_keep_the_file_from_being_written() {
    let folder = folder();
    let path = folder.path().join("model.r8");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    run(convert(&network(), &path).stdout(writer)).succeeded();
    assert_eq!(names(folder.path()), ["model.r8"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    run(resi8("inspect").arg(model()).stdout(full)).failed(&["cannot write to standard output"]);
}

/// The float network's three answers are those of the data folder's README, section 5.
#[test]
fn resnet18_names_the_demo_photos() {
    let Some(data) = shared("models/resnet18_imagenet.onnx").and_then(|_| shared("")) else { return };
    let folder = folder();
    let path = folder.path().join("resnet18.r8");
    let mut convert = resi8("convert");
    convert.arg(data.join("models/resnet18_imagenet.onnx")).arg("-o").arg(&path);
    convert.arg("--calibration").arg(data.join("imagenet/calib256"));
    convert.arg("--labels").arg(data.join("imagenet/synset_words.txt"));
    convert.args(["--preprocess", "imagenet", "--samples", "24", "--measure", "4"]);
    run(&mut convert).succeeded();
    let photos = ["chelsea.png", "coffee.png", "rocket.jpg"].map(|name| data.join("demo").join(name));
    let answers = run(resi8("run").arg(&path).args(photos).arg("--json")).json();
    let best = |index: usize| &answers[index]["guesses"][0];
    let label = |guess: &Value| guess["label"].as_str().unwrap().to_owned();
    assert!(["tiger cat", "Egyptian cat"].iter().any(|cat| label(best(0)).contains(cat)), "{answers}");
    for (index, (word, float)) in
        [("cat", 0.44), ("espresso", 0.82), ("obelisk", 0.67)].into_iter().enumerate()
    {
        let probability = best(index)["probability"].as_f64().unwrap();
        assert!(label(best(index)).contains(word), "{answers}");
        assert!((probability - float).abs() < 0.1, "{word}: {probability}, float {float}");
    }
}
