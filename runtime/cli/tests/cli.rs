//! `resi8-run` as a user runs it: the built program, its exit codes and what it prints, on a small random model.

mod support;

use std::process::Command;

use serde_json::Value;
use support::{Sample, picture, run};

#[test]
fn run_names_classes_with_probabilities() {
    let model = Sample::good();
    let text = model.run("run", &[&picture(), &picture()]).succeeded();
    assert_eq!(text.lines().count(), 2 * 4, "{text}");
    let answers = model.run("run", &[&picture(), "--json"]).json();
    let guesses = answers[0]["guesses"].as_array().unwrap();
    let number = |guess: &Value, key: &str| guess[key].as_f64().unwrap();
    assert_eq!(guesses.len(), 3);
    assert!(guesses.is_sorted_by(|a, b| number(a, "logit") >= number(b, "logit")), "{answers}");
    assert!((guesses.iter().map(|guess| number(guess, "probability")).sum::<f64>() - 1.0).abs() < 1e-5);
    assert!(guesses.iter().all(|guess| ["ant", "bee", "cat"].contains(&guess["label"].as_str().unwrap())));
    let top = model.run("run", &[&picture(), "--json", "--top", "1"]).json();
    assert_eq!(top[0]["guesses"].as_array().unwrap().as_slice(), &guesses[..1]);
}

#[test]
fn run_without_labels_and_with_more_classes_than_there_are() {
    let model = Sample::new(|content| content.labels.clear());
    let largest = usize::MAX.to_string();
    let answers = model.run("run", &[&picture(), "--json", "--top", &largest]).json();
    assert_eq!(answers[0]["guesses"].as_array().unwrap().len(), 3);
    assert!(answers[0]["guesses"][0]["label"].as_str().unwrap().starts_with("class "));
}

#[test]
fn bench_reports_latency() {
    let model = Sample::good();
    let report = model.run("bench", &["--json", "--runs", "7", "--warmup", "1"]).json();
    let number = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("no {key} in {report}"));
    assert!(number("latency_ms_min") > 0.0 && number("latency_ms_median") >= number("latency_ms_min"));
    assert!(number("threads") >= 1.0 && number("runs") >= 7.0);
    assert!(!report["isa"].as_str().unwrap().is_empty());
    let portable = model.run("bench", &["--json", "--runs", "1", "--isa", "portable"]).json();
    assert_eq!(portable["isa"], "portable");
    assert!(model.run("bench", &["--runs", "3"]).succeeded().contains("ms median"));
}

#[test]
fn profile_lists_every_layer() {
    let model = Sample::good();
    let layers = model.run("profile", &["--json", "--runs", "2"]).json();
    let kinds: Vec<_> =
        layers.as_array().unwrap().iter().map(|layer| layer["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["conv", "average pool", "dense"]);
    assert!(layers.as_array().unwrap().iter().all(|layer| layer["ms"].as_f64().is_some()));
    assert!(model.run("profile", &[]).succeeded().contains("ms in all layers"));
}

#[test]
fn selftest_passes_and_names_the_layer_that_differs() {
    let text = Sample::good().run("selftest", &[]).succeeded();
    assert!(text.lines().any(|line| line == "portable: all 3 layers as at conversion"), "{text}");
    let wrong = Sample::new(|content| content.self_test_hashes[1] ^= 1);
    wrong.run("selftest", &[]).failed(&["layer 1"]);
    wrong.run("bench", &[]).failed(&["layer 1"]);
}

#[test]
fn info_describes_machine_and_model() {
    let model = Sample::good();
    let info = model.run("info", &["--json"]).json();
    assert_eq!(info["file_bytes"], model.bytes.len());
    assert_eq!(info["format_version"], resi8::format::FORMAT_VERSION);
    assert!(info["isas"].as_array().unwrap().contains(&"portable".into()));
    assert!(model.run("info", &[]).succeeded().contains("shorter side to 8"));
    let machine = run(Command::new(env!("CARGO_BIN_EXE_resi8-run")).args(["info", "--json"])).json();
    assert_eq!(machine.get("file_bytes"), None);
}

#[test]
fn damaged_models() {
    let good = Sample::good();
    let mut version = good.bytes.clone();
    version[8..10].copy_from_slice(&77u16.to_le_bytes());
    let flipped = (20..good.bytes.len()).step_by(61).map(|at| {
        let mut flipped = good.bytes.clone();
        flipped[at] ^= 0x80;
        (flipped, ["checksum", "copy it again"])
    });
    let short = good.bytes[..good.bytes.len() / 2].to_vec();
    let cases = [
        (version, ["format version 77", "convert the network again"]),
        (short, ["bytes and should have", "cut short?"]),
        (vec![], ["bytes and should have", "cut short?"]),
    ];
    for (bytes, words) in flipped.chain(cases) {
        std::fs::write(good.path(), bytes).unwrap();
        for command in ["bench", "profile", "selftest", "info"] {
            good.run(command, &[]).failed(&words);
        }
        good.run("run", &[&picture()]).failed(&words);
    }
    std::fs::remove_file(good.path()).unwrap();
    good.run("info", &[]).failed(&["cannot read the model", "check the path"]);
}

/// What cannot be read in parts, or twice.
#[cfg(target_os = "linux")]
#[test]
fn a_model_from_a_pipe() {
    use std::io::Write;

    let model = Sample::good();
    let expected = model.run("run", &[&picture()]).succeeded();
    for (bytes, works) in [(&model.bytes[..], true), (&model.bytes[..100], false), (&[], false)] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(bytes).unwrap();
        drop(writer);
        let mut command = Command::new(env!("CARGO_BIN_EXE_resi8-run"));
        let outcome = run(command.args(["run", "/dev/stdin", &picture()]).stdin(reader));
        if works {
            assert_eq!(outcome.succeeded(), expected);
        } else {
            outcome.failed(&["/dev/stdin", "bytes and should have"]);
        }
    }
    // One that has a name and is written once.
    let pipe = model.folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| std::fs::write(&pipe, &model.bytes).unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_resi8-run"));
        assert_eq!(run(command.arg("run").arg(&pipe).arg(picture())).succeeded(), expected);
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_resi8-run"));
    run(command.args(["run", "/", &picture()])).failed(&["cannot read the model /", "check the path"]);
}

#[test]
fn pictures_that_cannot_be_read() {
    let model = Sample::good();
    model.run("run", &["missing.png"]).failed(&["error: missing.png: cannot be read", "check the path"]);
    let text = model.folder.path().join("text.jpg");
    std::fs::write(&text, "This is a text.\n").unwrap();
    let words = ["text.jpg: neither a JPEG nor a PNG picture", "convert it"];
    model.run("run", &[&picture(), text.to_str().unwrap()]).failed(&words);
}

#[test]
fn wrong_arguments() {
    let model = Sample::good();
    model.run("run", &[]).refused("<PICTURES>");
    model.run("bench", &["--runs", "0"]).refused("--runs");
    model.run("profile", &["--runs", "0"]).refused("--runs");
    model.run("selftest", &["--isa", "abacus"]).refused("there are:");
    model.run("fly", &[]).refused("fly");
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let model = Sample::good();
    let picture = picture();
    let commands: [&[&str]; 6] =
        [&["info"], &["info", "--json"], &["profile"], &["bench"], &["selftest"], &["run", &picture]];
    for arguments in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_resi8-run"));
        command.arg(arguments[0]).arg(model.path()).args(&arguments[1..]).stdout(writer);
        run(&mut command).succeeded();
    }
}
