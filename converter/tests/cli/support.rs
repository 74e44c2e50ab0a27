//! Runs the program and looks at what it did.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

/// A file that comes with the converter.
pub(crate) fn bundled(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(path)
}

/// The bundled network.
pub(crate) fn network() -> PathBuf {
    bundled("resnet8-cifar10.onnx")
}

/// The bundled calibration pictures, 128 of them.
pub(crate) fn samples() -> PathBuf {
    bundled("calibration/drawn_128.bin")
}

/// The model that `resi8 demo` makes.
pub(crate) fn model() -> &'static Path {
    static MODEL: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-demo.r8");
        run(resi8("demo").arg("-o").arg(&path)).succeeded();
        path
    });
    &MODEL
}

/// An empty folder that goes away with the value.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// One command of the program, without its arguments.
pub(crate) fn resi8(command: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_resi8"));
    program.arg(command);
    program
}

/// `convert` of a network with the bundled pictures, CIFAR-10's preprocessing and the given output.
pub(crate) fn convert(network: &Path, output: &Path) -> Command {
    let mut command = resi8("convert");
    command.arg(network).args(["--preprocess", "cifar", "--calibration"]).arg(samples());
    command.arg("-o").arg(output);
    command
}

/// What a finished program left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    #[expect(dead_code, reason = "shown with the rest when an assertion fails")]
    command: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let Output { status, stdout, stderr } = command.output().unwrap();
    Outcome {
        command: format!("{command:?}"),
        code: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

impl Outcome {
    /// Asserts success and returns what was printed.
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// Asserts success and returns what was printed, as JSON.
    pub(crate) fn json(self) -> Value {
        let text = self.succeeded();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in:\n{text}"))
    }

    /// Asserts exit code 1 and one line on standard error that holds all of `words`.
    pub(crate) fn failed(self, words: &[&str]) {
        assert_eq!(self.code, Some(1), "{self:#?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:#?}");
        self.says(words);
    }

    /// Asserts the exit code of wrong arguments, and that the message holds all of `words`.
    pub(crate) fn refused(self, words: &[&str]) {
        assert_eq!(self.code, Some(2), "{self:#?}");
        self.says(words);
    }

    fn says(&self, words: &[&str]) {
        assert!(self.stderr.starts_with("error: "), "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in what this says: {self:#?}");
        }
    }
}
