//! `stream` with real pipes and real signals.

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::process::{Child, Command, Stdio};

use resi8::Resize;
use resi8_picture::RgbPicture;
use serde_json::Value;
use support::{Outcome, Sample, picture, run};

const FRAME: usize = 8 * 8 * 3;

/// Frames of 8 x 8 pixels that differ from each other.
fn frames(count: usize) -> Vec<u8> {
    (0..count * FRAME).map(|index| u8::try_from((index * 31 + index / FRAME * 77) % 256).unwrap()).collect()
}

/// The command with these bytes on its standard input.
fn piped(command: &mut Command, bytes: &[u8]) -> Outcome {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // The program may end before it has read everything.
        scope.spawn(move || match input.write_all(bytes) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("{error}"),
            _ => {}
        });
        child.wait_with_output().unwrap().into()
    })
}

fn stream(model: &Sample, arguments: &[&str], bytes: &[u8]) -> Outcome {
    piped(model.command("stream", &["--size", "8x8"]).args(arguments), bytes)
}

/// Frame numbers of all lines but the summary, and the summary.
fn parts(outcome: &Outcome) -> (Vec<u64>, Value) {
    let mut lines = outcome.json_lines();
    let last = lines.pop().unwrap();
    assert!(last["summary"].is_object(), "{outcome:#?}");
    (lines.iter().map(|line| line["frame"].as_u64().unwrap()).collect(), last["summary"].clone())
}

#[test]
fn a_frame_is_what_a_picture_of_its_pixels_is() {
    let resizes = [Resize::ShorterSide(8), Resize::ShorterSide(11), Resize::Stretch, Resize::None];
    for resize in resizes {
        let model = Sample::new(|content| content.preprocess.resize = resize);
        let decoded = RgbPicture::open(picture().as_ref()).unwrap();
        let size = format!("{}x{}", decoded.width(), decoded.height());
        let arguments = ["--size", &size, "--json", "--top", "3"];
        let twice = [decoded.pixels(), decoded.pixels()].concat();
        let outcome = piped(&mut model.command("stream", &arguments), &twice);
        let lines = outcome.json_lines();
        let answers = model.run("run", &[&picture(), "--json"]).json();
        assert_eq!(lines[0]["guesses"], answers[0]["guesses"]);
        assert_eq!(lines[1]["guesses"], answers[0]["guesses"]);
        outcome.succeeded();
    }
}

#[test]
fn words_for_people_and_lines_for_scripts() {
    let model = Sample::good();
    let outcome = stream(&model, &["--top", "2"], &frames(3));
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    let numbers: Vec<_> =
        outcome.stdout.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(numbers, ["0", "1", "2"]);
    assert!(outcome.stdout.lines().all(|line| line.matches(" %  ").count() == 2), "{outcome:#?}");
    assert!(outcome.stderr.starts_with("3 frames, 3 classified, 0 dropped: "), "{outcome:#?}");
    assert!(outcome.stderr.contains("95th percentile"), "{outcome:#?}");

    let outcome = stream(&model, &["--json"], &frames(3));
    let (numbers, summary) = parts(&outcome);
    assert_eq!(numbers, [0, 1, 2]);
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{outcome:#?}"));
    assert!(number(&summary["frames_per_second"]) > 0.0 && number(&summary["seconds"]) > 0.0);
    for part in ["preprocess_ms", "inference_ms"] {
        let times = &summary[part];
        assert!(number(&times["median"]) > 0.0 && number(&times["p95"]) >= number(&times["median"]));
        assert!(number(&outcome.json_lines()[0][part]) > 0.0);
    }
    outcome.succeeded();
}

#[test]
fn some_of_the_frames() {
    let model = Sample::good();
    let all = frames(10);
    let outcome = stream(&model, &["--json", "--every", "4"], &all);
    let (numbers, summary) = parts(&outcome);
    assert_eq!((numbers, summary["frames"].as_u64()), (vec![0, 4, 8], Some(10)));
    let outcome = stream(&model, &["--json", "--every", "3", "--max-frames", "2"], &all);
    assert_eq!(parts(&outcome).0, [0, 3]);
    outcome.succeeded();
    let outcome = stream(&model, &["--json", "--latest"], &all);
    let (numbers, summary) = parts(&outcome);
    assert_eq!(numbers.last(), Some(&9), "the newest frame is never dropped");
    assert!(numbers.is_sorted());
    assert_eq!(summary["frames"], 10);
    assert_eq!(numbers.len() as u64 + summary["dropped"].as_u64().unwrap(), 10);
}

#[test]
fn a_stream_that_ends_within_a_frame() {
    let model = Sample::good();
    let outcome = stream(&model, &["--json"], &frames(3)[..2 * FRAME + 5]);
    assert_eq!(parts(&outcome).0, [0, 1]);
    outcome.failed(&["within frame 2", "5 of its 192 bytes", "--size 8x8"]);
    let text = stream(&model, &[], &frames(3)[..2 * FRAME + 5]);
    assert_eq!((text.code, text.stdout.lines().count()), (Some(1), 2), "{text:#?}");
    stream(&model, &[], &frames(1)[..7]).failed(&["within frame 0", "7 of its 192 bytes"]);
}

#[test]
fn nothing_to_read() {
    let model = Sample::good();
    stream(&model, &[], &[]).failed(&["standard input is empty"]);
}

#[cfg(unix)]
#[test]
fn an_input_that_cannot_be_read() {
    let model = Sample::good();
    let folder = std::fs::File::open(model.folder.path()).unwrap();
    run(model.command("stream", &["--size", "8x8"]).stdin(folder)).failed(&["cannot read standard input"]);
}

#[test]
fn frames_that_the_model_cannot_take() {
    let model = Sample::new(|content| content.preprocess.resize = Resize::None);
    piped(&mut model.command("stream", &["--size", "4x4"]), &frames(1)).failed(&["4 x 4 pixels"]);
}

#[test]
fn wrong_sizes_and_numbers() {
    let model = Sample::good();
    let sizes = ["", "640", "0x480", "640x0", "-1x1", "8x8x3", "100000x100000", "4294967295x4294967295"];
    for size in sizes.into_iter().chain(["99999999999999999999x1"]) {
        model.run("stream", &["--size", size]).refused("--size");
    }
    model.run("stream", &[]).refused("--size");
    for option in ["--every", "--max-frames"] {
        model.run("stream", &["--size", "8x8", option, "0"]).refused(option);
    }
}

#[test]
fn a_reader_that_has_gone_ends_an_endless_stream() {
    let model = Sample::good();
    for arguments in [&[][..], &["--json"], &["--latest"]] {
        let mut command = model.command("stream", &["--size", "8x8"]);
        let (output, writer) = std::io::pipe().unwrap();
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(command);
        let mut input = child.stdin.take().unwrap();
        let camera = std::thread::spawn(move || while input.write_all(&frames(1)).is_ok() {});
        let mut output = BufReader::new(output);
        output.read_line(&mut String::new()).unwrap();
        drop(output);
        let outcome: Outcome = child.wait_with_output().unwrap().into();
        camera.join().unwrap();
        assert_eq!(outcome.code, Some(0), "{outcome:#?}");
        assert!(!outcome.stderr.contains("panicked") && !outcome.stderr.contains("error"), "{outcome:#?}");
    }
}

#[cfg(unix)]
mod signals {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    /// A stream whose camera has sent one frame and half of the next, and then nothing more: the program waits.
    fn waiting(model: &Sample) -> (Child, std::process::ChildStdin, BufReader<std::process::ChildStdout>) {
        let mut command = model.command("stream", &["--size", "8x8", "--json"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&frames(2)[..FRAME + FRAME / 2]).unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(line.contains("\"frame\":0"), "{line}");
        (child, input, output)
    }

    fn send(child: &Child, signal: Signal) {
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    #[test]
    fn ctrl_c_and_sigterm_end_a_waiting_stream_with_its_summary() {
        let model = Sample::good();
        for signal in [Signal::INT, Signal::TERM] {
            let (child, input, mut output) = waiting(&model);
            send(&child, signal);
            let mut summary = String::new();
            output.read_line(&mut summary).unwrap();
            let outcome: Outcome = child.wait_with_output().unwrap().into();
            drop(input);
            let summary: Value = serde_json::from_str(&summary).unwrap();
            assert_eq!(summary["summary"]["classified"], 1);
            outcome.succeeded();
        }
    }

    #[test]
    fn a_second_ctrl_c_ends_a_program_that_cannot_write() {
        let model = Sample::good();
        let (mut child, mut input, output) = waiting(&model);
        // Nobody reads, but the pipe stays open: once it is full the program waits in a write, and then the camera too.
        let sent = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while input.write_all(&frames(1)).is_ok() {
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
            wait_until_constant(&sent);
            send(&child, Signal::INT);
            std::thread::sleep(Duration::from_millis(100));
            assert_eq!(child.try_wait().unwrap(), None, "the first one waits for the line");
            send(&child, Signal::INT);
            assert_eq!(child.wait().unwrap().code(), Some(130));
        });
        drop(output);
    }

    fn wait_until_constant(count: &AtomicUsize) {
        let mut before = 0;
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let now = count.load(Ordering::Relaxed);
            if now == before && now > 0 {
                return;
            }
            before = now;
        }
    }
}
