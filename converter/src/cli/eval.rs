//! `resi8 eval`: float and int8 on labelled pictures.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use resi8::{Model, Preprocess, Resize};
use resi8_converter::convert::Progress;
use resi8_converter::float::FloatModel;
use resi8_converter::fold::fold;
use resi8_converter::folded::Folded;
use resi8_converter::ir::Ir;
use resi8_converter::measure::{Measurement, measure};
use resi8_converter::onnx::{self, ImportOptions, OnnxModel};
use resi8_picture::{Dataset, DatasetOptions};
use resi8_run::file::{self, ModelArgs};
use resi8_run::{output, say};
use serde::Serialize;

use super::preprocess::parse_resize;
use super::{Bar, convert::sample, default_threads, parse_threads};

/// Where the float network and the pictures are; shared by `eval` and `compare`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AgainstFloat {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The float network that the model was made from, ONNX
    #[arg(long, value_name = "FILE")]
    pub(crate) float: PathBuf,
    /// Pictures: a folder, a CIFAR-style .bin, or a uint8 .npy
    #[arg(long, value_name = "PATH")]
    pub(crate) data: PathBuf,
    /// Scale pictures in another way than the model says: a number (shorter side), stretch, or none
    #[arg(long, value_name = "HOW", value_parser = parse_resize)]
    pub(crate) resize: Option<Resize>,
    /// Use only the first N pictures
    #[arg(long, value_name = "N")]
    pub(crate) samples: Option<NonZeroUsize>,
    /// Threads; every thread runs its own pictures
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `eval`.
#[derive(Debug, Clone, Args)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    against: AgainstFloat,
    /// Classes of the pictures of a folder: CSV with a header and the columns file and class_index
    #[arg(long, value_name = "FILE")]
    labels_csv: Option<PathBuf>,
}

impl AgainstFloat {
    /// The pictures, as the model wants them.
    pub(crate) fn dataset(&self, model: &Model<'_>, labels_csv: Option<PathBuf>) -> Result<Dataset> {
        let stored = model.preprocess();
        let preprocess = Preprocess { resize: self.resize.unwrap_or(stored.resize), ..stored };
        let input = model.input();
        let options = DatasetOptions { preprocess, height: input.h(), width: input.w(), labels_csv };
        Ok(Dataset::open(&self.data, options)?)
    }

    /// The float network, folded as at conversion, checked to be the model's.
    pub(crate) fn float_network(&self, model: &Model<'_>) -> Result<(OnnxModel, Folded)> {
        let input = model.input();
        let network = onnx::read(&self.float, &ImportOptions { input_size: Some((input.h(), input.w())) })?;
        let folded = fold(Ir::from_onnx(&network)?)?;
        let shapes = folded.tensors.iter().map(|tensor| [tensor.shape.h, tensor.shape.w, tensor.shape.c]);
        ensure!(
            shapes.eq(model.tensors().map(|tensor| [tensor.h(), tensor.w(), tensor.c()])),
            "{} is not the network that {} was made from: their layers differ",
            self.float.display(),
            self.model.model.display()
        );
        Ok((network, folded))
    }

    /// Threads to use.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        self.threads.unwrap_or_else(default_threads)
    }

    /// How many of the pictures to use.
    pub(crate) fn count(&self, dataset: &Dataset) -> usize {
        self.samples.map_or(dataset.len(), |samples| samples.get().min(dataset.len()))
    }
}

/// What `eval --json` prints. Counts of correct answers are absent when no picture has a label.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Evaluation {
    total: u64,
    labelled: u64,
    #[serde(flatten)]
    correct: Option<Correct>,
    agree: u64,
    logit_sqnr_db: f64,
    isa: &'static str,
}

/// Right answers among the labelled pictures.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Correct {
    float_correct: u64,
    int8_correct: u64,
    float_correct_top5: u64,
    int8_correct_top5: u64,
}

/// Runs the command.
pub(crate) fn eval(args: &EvalArgs) -> Result<()> {
    let against = &args.against;
    let bytes = file::read(&against.model.model)?;
    let model = file::parse(&against.model.model, &bytes)?;
    let (network, folded) = against.float_network(&model)?;
    let logits =
        folded.tensors.last().map(|tensor| tensor.name.clone()).context("the network has no output")?;
    let float = FloatModel::new(network.proto(), network.input_shape(), &[logits])?;
    let dataset = against.dataset(&model, args.labels_csv.clone())?;
    let count = against.count(&dataset);
    let bar = Bar::new();
    bar.start("evaluating", count);
    let fetch = |index: usize| sample(&dataset, index);
    let isa = against.model.isa();
    let m = measure(&model, &float, isa, count, fetch, against.threads(), || bar.step())?;
    bar.finish();
    let correct = (m.labelled > 0).then_some(Correct {
        float_correct: m.float_correct,
        int8_correct: m.int8_correct,
        float_correct_top5: m.float_correct5,
        int8_correct_top5: m.int8_correct5,
    });
    let Measurement { total, labelled, agree, logits, .. } = m;
    let evaluation =
        Evaluation { total, labelled, correct, agree, logit_sqnr_db: logits.sqnr_db(), isa: isa.name() };
    if against.json { output::print_json(&evaluation) } else { print(&evaluation) }
}

fn print(evaluation: &Evaluation) -> Result<()> {
    let share = |count: u64, of: u64| format!("{:.2} %", count as f64 / of.max(1) as f64 * 100.0);
    if let Some(correct) = &evaluation.correct {
        let row = |name: &str, top1: u64, top5: u64| {
            let n = evaluation.labelled;
            vec![name.to_owned(), top1.to_string(), share(top1, n), top5.to_string(), share(top5, n)]
        };
        let rows = vec![
            row("float", correct.float_correct, correct.float_correct_top5),
            row("int8", correct.int8_correct, correct.int8_correct_top5),
        ];
        say!("{}\n", output::table(&["", "top-1", "", "top-5", ""], 1, rows))?;
    }
    say!(
        "{} pictures ({} labelled): float and int8 name the same class for {} ({}), logit SQNR {:.2} dB",
        evaluation.total,
        evaluation.labelled,
        evaluation.agree,
        share(evaluation.agree, evaluation.total),
        evaluation.logit_sqnr_db
    )
}
