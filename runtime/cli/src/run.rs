//! `run`: pictures in, classes out.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use indicatif::ProgressBar;
use resi8::{Model, Session, softmax, top_k};
use serde::{Serialize, Serializer};

use crate::file::{self, Memory, ModelArgs, ThreadArgs};
use crate::output;

/// The end of `run --help`.
pub const EXAMPLES: &str = "\
Examples:
  resi8-run run model.r8 photos/*.jpg --top 3
  resi8-run run model.r8 photos/ --json       one line of JSON per picture, at once

A picture in a folder that cannot be read is named on standard error, the others are classified all the same, and the \
exit code is 1. A picture that was named itself ends the command.";

/// Arguments of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Model to run
    #[command(flatten)]
    pub model: ModelArgs,
    /// On how many threads
    #[command(flatten)]
    pub threads: ThreadArgs,
    /// Pictures, JPEG or PNG, and folders of such; those in and below a folder in the order of their paths
    #[arg(required = true)]
    pub pictures: Vec<PathBuf>,
    /// How many classes to show per picture
    #[arg(long, default_value_t = 5, value_name = "K")]
    pub top: usize,
    /// Print JSON: one array at the end, or with a folder one line per picture as soon as it is classified
    #[arg(long)]
    pub json: bool,
}

/// One class that a picture may show.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guess {
    /// Class index.
    pub class: usize,
    /// Its label; the index as text when the model has no labels.
    pub label: String,
    /// Integer logit.
    pub logit: i32,
    /// Softmax of the logits, 0 to 1.
    pub probability: f32,
}

/// Probability and label, as every command shows them.
impl std::fmt::Display for Guess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:5.1} %  {}", self.probability * 100.0, self.label)
    }
}

/// What a picture shows, best guess first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The picture.
    #[serde(serialize_with = "as_text")]
    pub picture: PathBuf,
    /// Best guess first.
    pub guesses: Vec<Guess>,
}

/// A path as JSON; what is no Unicode in it is replaced, so that such a name does not cost the answer.
fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// Label of a class, or its index as text.
#[must_use]
pub fn label(model: &Model<'_>, class: usize) -> String {
    model.label(class).map_or_else(|| format!("class {class}"), str::to_owned)
}

/// Classifies raw pixels.
///
/// # Errors
/// The number of pixels is not that of the input.
pub fn classify(session: &mut Session<'_, '_>, pixels: &[u8], top: usize) -> Result<Vec<Guess>> {
    let model = *session.plan().model();
    let scale = session.logits_scale();
    let logits = session.classify(pixels)?;
    #[expect(clippy::cast_precision_loss, reason = "a probability needs no more digits")]
    let probabilities = softmax(logits.iter().map(|&logit| logit as f32 * scale));
    let mut best = vec![(0, 0); top.min(logits.len())];
    let guess = |&(class, logit): &(usize, i32)| {
        let probability = probabilities.get(class).copied().unwrap_or_default();
        Guess { class, label: label(&model, class), logit, probability }
    };
    Ok(top_k(logits, &mut best).iter().map(guess).collect())
}

/// Loads a picture as the model's stored preprocessing says and classifies it.
///
/// # Errors
/// The picture cannot be read; the message names it.
pub fn classify_picture(session: &mut Session<'_, '_>, picture: &Path, top: usize) -> Result<Answer> {
    let model = *session.plan().model();
    let input = model.input();
    let pixels = resi8_picture::load(picture, &model.preprocess(), input.h(), input.w())?;
    Ok(Answer { picture: picture.to_owned(), guesses: classify(session, &pixels, top)? })
}

/// A picture to classify.
struct Input {
    path: PathBuf,
    /// Found in a folder, not named by the user: one that cannot be read does not end the command.
    found: bool,
}

/// The pictures that the arguments stand for: those of a folder in the place of the folder.
fn inputs(arguments: &[PathBuf]) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for argument in arguments {
        if argument.is_dir() {
            let found = resi8_picture::pictures_below(argument)?;
            inputs.extend(found.into_iter().map(|path| Input { path, found: true }));
        } else {
            inputs.push(Input { path: argument.clone(), found: false });
        }
    }
    Ok(inputs)
}

/// Prints what a picture shows; false when nobody reads it any more.
fn show(answer: &Answer, json: bool) -> Result<bool> {
    if json {
        return output::print_json_line(answer);
    }
    let mut text = answer.picture.display().to_string();
    for guess in &answer.guesses {
        // Writing to a string does not fail.
        let _ = write!(text, "\n  {guess}");
    }
    output::print_line_if_read(format_args!("{text}"))
}

/// Classifies one picture after the other and prints each answer at once.
fn show_each(session: &mut Session<'_, '_>, inputs: &[Input], args: &RunArgs) -> Result<()> {
    let folder = inputs.iter().any(|input| input.found);
    let bar = if folder { output::progress(Some(inputs.len())) } else { ProgressBar::hidden() };
    let mut failed = 0;
    for input in inputs {
        match classify_picture(session, &input.path, args.top) {
            Ok(answer) => {
                if !bar.suspend(|| show(&answer, args.json))? {
                    return Ok(());
                }
            }
            Err(error) if input.found => {
                failed += 1;
                bar.suspend(|| output::tell(format_args!("skipped: {error:#}")));
            }
            Err(error) => return Err(error),
        }
        bar.inc(1);
    }
    let all = inputs.len();
    anyhow::ensure!(failed == 0, "{failed} of {all} pictures failed; the others are classified");
    Ok(())
}

/// Runs the command.
///
/// # Errors
/// The model or a picture cannot be used.
pub fn run(args: &RunArgs) -> Result<()> {
    let (file, mut source) = file::open(&args.model.model, args.model.isa())?;
    let plan = args.threads.plan(file.model(), args.model.isa())?;
    let mut memory = Memory::new(&plan)?;
    let mut session = memory.load(plan, &mut source)?;
    let inputs = inputs(&args.pictures)?;
    if !args.json || inputs.iter().any(|input| input.found) {
        return show_each(&mut session, &inputs, args);
    }
    let answer = |input: &Input| classify_picture(&mut session, &input.path, args.top);
    output::print_json(&inputs.iter().map(answer).collect::<Result<Vec<_>>>()?)
}
