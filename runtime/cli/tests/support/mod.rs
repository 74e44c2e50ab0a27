//! A small model, and the program run on it.

#![allow(dead_code, reason = "every test program uses a part of it")]

#[path = "../../../tests/common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{Builder, Values, WindowSpec};
use resi8::Resize;
use serde_json::{Deserializer, Value};
use tempfile::TempDir;

/// A model file in a folder of its own.
pub(crate) struct Sample {
    pub(crate) folder: TempDir,
    pub(crate) bytes: Vec<u8>,
}

impl Sample {
    /// A convolution, an average pooling and a classifier of three classes on 8 x 8 pixels; `edit` may spoil it.
    pub(crate) fn new(edit: impl FnOnce(&mut resi8::format::write::Content)) -> Self {
        Self::of_size(8, edit)
    }

    /// The same on `side` x `side` pixels.
    pub(crate) fn of_size(side: u16, edit: impl FnOnce(&mut resi8::format::write::Content)) -> Self {
        let mut builder = Builder::new([side.into(), side.into(), 3], Values::Random, 1);
        let features = builder.conv(0, 5, WindowSpec::SAME3, None);
        let pooled = builder.average_pool(features);
        builder.dense(pooled, 3);
        let mut content = builder.finish();
        content.preprocess.resize = Resize::ShorterSide(side);
        content.labels = ["ant", "bee", "cat"].map(str::to_owned).into();
        edit(&mut content);
        let sample = Self { folder: tempfile::tempdir().unwrap(), bytes: content.to_bytes().unwrap() };
        std::fs::write(sample.path(), &sample.bytes).unwrap();
        sample
    }

    pub(crate) fn good() -> Self {
        Self::new(|_| ())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("model.r8")
    }

    /// One of the commands on this model, not started yet.
    pub(crate) fn command(&self, command: &str, arguments: &[&str]) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_resi8-run"));
        program.arg(command).arg(self.path()).args(arguments);
        program
    }

    /// One of the commands on this model.
    pub(crate) fn run(&self, command: &str, arguments: &[&str]) -> Outcome {
        run(&mut self.command(command, arguments))
    }
}

/// What a finished program left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn run(command: &mut Command) -> Outcome {
    command.output().unwrap().into()
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Outcome {
    pub(crate) fn succeeded(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:#?}");
        self.stdout
    }

    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.succeeded()).unwrap()
    }

    /// Lines of JSON on standard output, whatever the exit code.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let lines: Vec<Value> =
            Deserializer::from_str(&self.stdout).into_iter().map(Result::unwrap).collect();
        assert_eq!(lines.len(), self.stdout.lines().count(), "{self:#?}");
        lines
    }

    /// Exit code 1 and one line on standard error that holds all of `words`.
    pub(crate) fn failed(self, words: &[&str]) {
        assert_eq!((self.code, self.stderr.lines().count()), (Some(1), 1), "{self:#?}");
        assert!(words.iter().all(|word| self.stderr.contains(word)), "{words:?} {self:#?}");
    }

    /// The exit code of wrong arguments and a message that holds `word`.
    pub(crate) fn refused(self, word: &str) {
        assert_eq!(self.code, Some(2), "{self:#?}");
        assert!(self.stderr.starts_with("error: ") && self.stderr.contains(word), "{word} {self:#?}");
    }
}

pub(crate) fn picture() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../converter/models/pictures/cat-1.png");
    path.to_str().unwrap().to_owned()
}
