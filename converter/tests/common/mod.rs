//! The real networks and pictures that tests use where they are at hand.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "every test file uses a part of this module")]
#![allow(clippy::cast_possible_truncation, reason = "random pixels")]

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use resi8::{ChannelOrder, Preprocess, Resize};
use resi8_converter::calibrate::RangeMethod;
use resi8_converter::convert::{Conversion, Options, Progress, convert};
use resi8_converter::measure::Pixels;
use resi8_converter::memory::Goal;
use resi8_converter::onnx::{self, ImportOptions, OnnxModel};
use resi8_picture::{Dataset, DatasetOptions};

/// Prints a line that the test harness does not swallow.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A file or folder of the shared data; `None`, said loudly, when it is missing and not required.
///
/// The data is in `RESI8_DATA`, or beside the checkout. With `RESI8_REQUIRE_DATA=1` missing data is a failure.
pub fn shared(path: &str) -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let file = std::env::var_os("RESI8_DATA").map_or_else(default, PathBuf::from).join(path);
    if file.exists() {
        return Some(file);
    }
    assert!(std::env::var_os("RESI8_REQUIRE_DATA").is_none_or(|v| v != "1"), "{} is missing", file.display());
    say(&format!("SKIPPED: {} is missing; set RESI8_DATA to the folder with the test data", file.display()));
    None
}

/// A file that comes with the converter.
pub fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(path)
}

/// `(pixel / 255 - mean) / std` with ImageNet's mean and standard deviation.
pub fn imagenet(resize: Resize) -> Preprocess {
    Preprocess {
        order: ChannelOrder::Rgb,
        resize,
        pixel_scale: 1.0 / 255.0,
        mean: [0.485, 0.456, 0.406, 0.0],
        std: [0.229, 0.224, 0.225, 1.0],
    }
}

/// Pixels from 0 to 255.
pub fn raw() -> Preprocess {
    Preprocess { pixel_scale: 1.0, mean: [0.0; 4], std: [1.0; 4], ..imagenet(Resize::None) }
}

/// Mean and standard deviation of CIFAR-10.
pub fn cifar() -> Preprocess {
    Preprocess {
        mean: [0.4914, 0.4822, 0.4465, 0.0],
        std: [0.2470, 0.2435, 0.2616, 1.0],
        ..imagenet(Resize::None)
    }
}

pub fn read(path: &Path) -> OnnxModel {
    onnx::read(path, &ImportOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

pub fn threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Shows nothing.
pub struct Quiet;

impl Progress for Quiet {
    fn start(&self, _: &str, _: usize) {}
    fn step(&self) {}
    fn finish(&self) {}
}

pub fn options(preprocess: Preprocess) -> Options {
    Options {
        preprocess,
        labels: vec![],
        method: RangeMethod::Mse,
        calibration_samples: 500,
        target: None,
        measured_samples: 100,
        threads: threads(),
        goal: Goal::Speed,
        info: String::new(),
    }
}

pub fn dataset(path: &Path, preprocess: Preprocess, size: usize, labels_csv: Option<PathBuf>) -> Dataset {
    let options = DatasetOptions { preprocess, height: size, width: size, labels_csv };
    Dataset::open(path, options).unwrap_or_else(|error| panic!("{error}"))
}

pub fn pixels(dataset: &Dataset, index: usize) -> anyhow::Result<Pixels> {
    let sample = dataset.get(index)?;
    Ok(Pixels { values: sample.pixels, label: sample.label })
}

/// Converts with the command line's defaults.
pub fn convert_with(network: &OnnxModel, calibration: &Dataset, options: &Options) -> Conversion {
    convert(network, options, calibration.len(), |index| pixels(calibration, index), &Quiet).unwrap()
}

/// Converts on a few random pictures, where accuracy is not the question.
pub fn convert_roughly(network: &OnnxModel, preprocess: Preprocess) -> Conversion {
    convert_roughly_for(Goal::Speed, network, preprocess)
}

/// The same with a memory plan for some goal.
pub fn convert_roughly_for(goal: Goal, network: &OnnxModel, preprocess: Preprocess) -> Conversion {
    let [_, c, h, w] = network.input_shape();
    let sample = |index: usize| {
        let pixel = |i: usize| ((i * 2_654_435_761 + index * 40_503) >> 7) as u8;
        Ok(Pixels { values: (0..c * h * w).map(pixel).collect(), label: None })
    };
    let options = Options { calibration_samples: 2, measured_samples: 1, goal, ..options(preprocess) };
    convert(network, &options, 2, sample, &Quiet).unwrap()
}
