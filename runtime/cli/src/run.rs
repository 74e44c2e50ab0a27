//! `run`: pictures in, classes out.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use resi8::{Model, Session, softmax, top_k};
use serde::Serialize;

use crate::file::{self, Memory, ModelArgs, ThreadArgs};
use crate::{output, say};

/// Arguments of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Model to run
    #[command(flatten)]
    pub model: ModelArgs,
    /// On how many threads
    #[command(flatten)]
    pub threads: ThreadArgs,
    /// Pictures, JPEG or PNG
    #[arg(required = true)]
    pub pictures: Vec<PathBuf>,
    /// How many classes to show per picture
    #[arg(long, default_value_t = 5, value_name = "K")]
    pub top: usize,
    /// Print JSON
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

/// What a picture shows, best guess first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The picture.
    pub picture: PathBuf,
    /// Best guess first.
    pub guesses: Vec<Guess>,
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
    let pixels = resi8_picture::load(picture, model.preprocess(), input.h, input.w)?;
    Ok(Answer { picture: picture.to_owned(), guesses: classify(session, &pixels, top)? })
}

/// Runs the command.
///
/// # Errors
/// The model or a picture cannot be used.
pub fn run(args: &RunArgs) -> Result<()> {
    let bytes = file::read(&args.model.model)?;
    let plan = args.threads.plan(file::parse(&args.model.model, &bytes)?, args.model.isa())?;
    let mut memory = Memory::new(&plan)?;
    let mut session = memory.session(plan)?;
    let answers: Vec<Answer> = args
        .pictures
        .iter()
        .map(|picture| classify_picture(&mut session, picture, args.top))
        .collect::<Result<_>>()?;
    if args.json {
        return output::print_json(&answers);
    }
    for answer in answers {
        say!("{}", answer.picture.display())?;
        for guess in answer.guesses {
            say!("  {:5.1} %  {}", guess.probability * 100.0, guess.label)?;
        }
    }
    Ok(())
}
