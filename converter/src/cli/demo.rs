//! `resi8 demo`: the whole job on what comes with resi8: convert, run, compare with float.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use resi8::{Isa, Model, Plan, Preprocess, softmax};
use resi8_converter::calibrate::RangeMethod;
use resi8_converter::convert::{Options, convert};
use resi8_converter::float::FloatModel;
use resi8_converter::measure::to_float;
use resi8_converter::memory::Goal;
use resi8_converter::onnx::{ImportOptions, OnnxModel};
use resi8_converter::report::Report;
use resi8_picture::{Dataset, DatasetOptions, RgbPicture, from_decoded};
use resi8_run::file::Memory;
use resi8_run::output;
use resi8_run::run::{Guess, classify};
use resi8_run::say;
use serde::Serialize;

use super::convert::MemoryArgs;
use super::preprocess::{Order, PreprocessArgs, Preset};
use super::{Bar, NewFile, convert as convert_command, default_threads};

/// Arguments of `demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// Keep the model file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    memory: MemoryArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const NETWORK: &[u8] = include_bytes!("../../models/resnet8-cifar10.onnx");
const LABELS: &str = include_str!("../../models/cifar10-labels.txt");
const CALIBRATION: &[u8] = include_bytes!("../../models/calibration/drawn_128.bin");

/// The sample pictures: what each was drawn as, and the file.
macro_rules! pictures {
    ($($class:literal $number:literal),* $(,)?) => {
        &[$((
            $class,
            concat!($class, "-", $number),
            include_bytes!(concat!("../../models/pictures/", $class, "-", $number, ".png")),
        )),*]
    };
}

const PICTURES: &[(&str, &str, &[u8])] = pictures![
    "airplane" "1", "airplane" "2", "automobile" "1", "automobile" "2", "bird" "1", "bird" "2", "cat" "1",
    "cat" "2", "deer" "1", "dog" "1", "dog" "2", "frog" "1", "frog" "2", "horse" "1", "ship" "1", "ship" "2",
    "truck" "1", "truck" "2",
];

/// One picture's line.
#[derive(Debug, Serialize)]
struct Line {
    picture: &'static str,
    drawn_as: &'static str,
    float: FloatGuess,
    int8: Guess,
}

/// The float network's answer.
#[derive(Debug, Serialize)]
struct FloatGuess {
    class: usize,
    label: String,
    probability: f32,
}

/// What `demo --json` prints.
#[derive(Debug, Serialize)]
struct Demo {
    conversion: Report,
    pictures: Vec<Line>,
}

/// Runs the command.
pub(crate) fn demo(args: &DemoArgs) -> Result<()> {
    let new_file = args.output.as_deref().map(|path| NewFile::create(path, "-o")).transpose()?;
    let network = OnnxModel::from_bytes(NETWORK, Path::new("."), &ImportOptions::default())?;
    let [_, _, h, w] = network.input_shape();
    let cifar = PreprocessArgs {
        preprocess: Some(Preset::Cifar),
        mean: None,
        std: None,
        resize: None,
        crop: None,
        channel_order: Order::Rgb,
    };
    let preprocess = cifar.build(h, w)?;
    if !args.json {
        say!("ResNet-8, trained on CIFAR-10 for resi8; pictures drawn by a script of the project\n")?;
        convert_command::print_start(&network, &preprocess)?;
    }
    let (file, report) = convert_embedded(&network, preprocess, args.memory.goal())?;
    let pictures = classify_pictures(&network, &file)?;
    if let Some(new_file) = new_file {
        new_file.finish(&file)?;
    }
    if args.json {
        return output::print_json(&Demo { conversion: report, pictures });
    }
    convert_command::print_report(&report)?;
    print(&pictures)?;
    match &args.output {
        Some(path) => say!("\nwrote {}", path.display()),
        None => say!("\nkeep the model with: resi8 demo -o demo.r8"),
    }
}

fn convert_embedded(network: &OnnxModel, preprocess: Preprocess, goal: Goal) -> Result<(Vec<u8>, Report)> {
    let [_, _, height, width] = network.input_shape();
    let mut samples =
        tempfile::Builder::new().suffix(".bin").tempfile().context("cannot make a temporary file")?;
    samples.write_all(CALIBRATION).context("cannot write a temporary file")?;
    let options = DatasetOptions { preprocess, height, width, labels_csv: None };
    let dataset = Dataset::open(samples.path(), options)?;
    let method = RangeMethod::Mse;
    let options = Options {
        preprocess,
        labels: LABELS.lines().map(str::to_owned).collect(),
        method,
        calibration_samples: dataset.len(),
        measured_samples: dataset.len(),
        threads: default_threads(),
        goal,
        info: convert_command::info(Path::new("resnet8-cifar10.onnx"), Path::new("drawn_128.bin"), method),
        target: None,
    };
    let sample = |index: usize| convert_command::sample(&dataset, index);
    let conversion = convert(network, &options, dataset.len(), sample, &Bar::new())?;
    let report = Report::new(&conversion, NETWORK.len() as u64)?;
    Ok((conversion.file, report))
}

/// Float and int8 on every sample picture.
fn classify_pictures(network: &OnnxModel, file: &[u8]) -> Result<Vec<Line>> {
    let model = Model::parse(file)?;
    let input = model.input();
    let float = FloatModel::new(network.proto(), network.input_shape(), &[])?;
    let plan = Plan::new(model, Isa::best())?;
    let mut memory = Memory::new(&plan)?;
    let mut session = memory.session(plan)?;
    let mut line = |&(drawn_as, picture, png): &(&'static str, &'static str, &[u8])| {
        let pixels = from_decoded(&RgbPicture::decode(png)?, &model.preprocess(), input.h(), input.w())?;
        let logits = float.run(&to_float(&pixels, input.c(), &model.preprocess()))?.pop().unwrap_or_default();
        let int8 = classify(&mut session, &pixels, 1)?.pop().context("the network has no classes")?;
        Ok(Line { picture, drawn_as, float: float_guess(&model, &logits), int8 })
    };
    PICTURES.iter().map(&mut line).collect()
}

/// The float network's best class.
fn float_guess(model: &Model<'_>, logits: &[f32]) -> FloatGuess {
    let probabilities = softmax(logits.iter().copied());
    let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or_default();
    let probability = probabilities.get(best).copied().unwrap_or_default();
    FloatGuess { class: best, label: resi8_run::run::label(model, best), probability }
}

fn print(lines: &[Line]) -> Result<()> {
    let answer = |label: &str, probability: f32| format!("{label} {:.1} %", probability * 100.0);
    let row = |line: &Line| {
        let verdict = if line.int8.label == line.drawn_as { "right" } else { "WRONG" };
        let float = answer(&line.float.label, line.float.probability);
        let int8 = answer(&line.int8.label, line.int8.probability);
        vec![line.picture.to_owned(), float, int8, verdict.to_owned()]
    };
    say!(
        "\n{}",
        output::table(&["picture", "float", "int8", "int8 is"], 4, lines.iter().map(row).collect())
    )?;
    let right = lines.iter().filter(|line| line.int8.label == line.drawn_as).count();
    let same = lines.iter().filter(|line| line.int8.class == line.float.class).count();
    say!(
        "\nint8 names {right} of {} drawings as they were meant, and the same class as float for {same}.\n\
         Drawings are easier than photographs: on the 9,979 CIFAR-10 test photographs the float network gets 85.5 %.\n\
         The calibration pictures are variations of these drawings.",
        lines.len()
    )
}
