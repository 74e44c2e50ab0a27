//! `profile`: where the time goes, layer by layer.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use resi8::{Layer, Observer, Output, RunError};
use serde::Serialize;

use crate::bench::{median, milliseconds};
use crate::file::{self, Memory, ModelArgs, ThreadArgs, TimedInputArgs};
use crate::{output, say};

/// Arguments of `profile`.
#[derive(Debug, Clone, Args)]
pub struct ProfileArgs {
    /// Model to run
    #[command(flatten)]
    pub model: ModelArgs,
    /// On how many threads
    #[command(flatten)]
    pub threads: ThreadArgs,
    /// What to time with
    #[command(flatten)]
    pub input: TimedInputArgs,
    /// Runs; each layer shows its median
    #[arg(long, default_value = "20", value_name = "N")]
    pub runs: NonZeroUsize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// One layer's share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerTime {
    /// Layer number.
    pub layer: usize,
    /// Layer name.
    pub name: String,
    /// What it computes.
    pub kind: String,
    /// Output rows, columns, channels.
    pub output: [usize; 3],
    /// Multiply-accumulates.
    pub macs: u64,
    /// Median time in milliseconds.
    pub ms: f64,
}

/// Times every layer of every run.
struct Stopwatch {
    start: Instant,
    times: Vec<Vec<Duration>>,
}

impl Observer for Stopwatch {
    fn before(&mut self, _: &Layer<'_>) {
        self.start = Instant::now();
    }

    fn after(&mut self, layer: &Layer<'_>, output: Output<'_>) -> Result<(), RunError> {
        let elapsed = self.start.elapsed();
        let times = &mut self.times[layer.index];
        match (output, times.last_mut()) {
            (Output::Row { row: 1.., .. }, Some(time)) => *time += elapsed,
            _ => times.push(elapsed),
        }
        Ok(())
    }
}

/// Runs the command.
///
/// # Errors
/// The model cannot be used.
pub fn profile(args: &ProfileArgs) -> Result<()> {
    let (file, mut source) = file::open(&args.model.model, args.model.isa())?;
    let plan = args.threads.plan(file.model(), args.model.isa())?;
    let model = plan.model();
    let mut memory = Memory::new(&plan)?;
    let mut session = memory.load(plan, &mut source)?;
    let input = args.input.load(model)?;
    let mut stopwatch = Stopwatch { start: Instant::now(), times: vec![Vec::new(); model.layer_count()] };
    for _ in 0..args.runs.get() {
        input.set(&mut session)?;
        session.run_observed(&mut stopwatch)?;
    }
    let time = |(layer, times): (Layer<'_>, &mut Vec<Duration>)| LayerTime {
        layer: layer.index,
        name: model.layer_name(layer.index).to_owned(),
        kind: layer.kind().to_owned(),
        output: [layer.output.h(), layer.output.w(), layer.output.c()],
        macs: layer.macs(),
        ms: milliseconds(median(times)),
    };
    let layers: Vec<LayerTime> = model.layers().zip(&mut stopwatch.times).map(time).collect();
    if args.json {
        return output::print_json(&layers);
    }
    print_table(&layers)
}

fn print_table(layers: &[LayerTime]) -> Result<()> {
    let total: f64 = layers.iter().map(|layer| layer.ms).sum();
    let row = |layer: &LayerTime| {
        let [h, w, c] = layer.output;
        let rate = layer.macs as f64 / layer.ms / 1e6;
        vec![
            layer.layer.to_string(),
            layer.name.clone(),
            layer.kind.clone(),
            format!("{h}x{w}x{c}"),
            output::count(layer.macs),
            format!("{:.3}", layer.ms),
            format!("{:.1}", layer.ms / total * 100.0),
            format!("{rate:.1}"),
        ]
    };
    let headings = ["", "layer", "kind", "output", "MACs", "ms", "%", "GMAC/s"];
    say!("{}", output::table(&headings, 4, layers.iter().map(row).collect()))?;
    say!("\n{total:.3} ms in all layers")
}
