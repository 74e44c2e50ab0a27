//! `bench`: how long one run takes here.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::file::{self, Memory, ModelArgs, ThreadArgs, TimedInputArgs};
use crate::{output, say};

/// Arguments of `bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Model to run
    #[command(flatten)]
    pub model: ModelArgs,
    /// On how many threads
    #[command(flatten)]
    pub threads: ThreadArgs,
    /// What to time with
    #[command(flatten)]
    pub input: TimedInputArgs,
    /// Runs that are timed
    #[arg(long, default_value = "50", value_name = "N")]
    pub runs: NonZeroUsize,
    /// Runs before that
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub warmup: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `bench` reports.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchReport {
    /// Median over the runs, in milliseconds.
    pub latency_ms_median: f64,
    /// Fastest run, in milliseconds.
    pub latency_ms_min: f64,
    /// From opening the file to a session that is ready, in milliseconds.
    pub load_ms: f64,
    /// The first run, in milliseconds, of the same input as the later ones that the median is of.
    pub first_ms: f64,
    /// Threads used.
    pub threads: usize,
    /// Instruction set used.
    pub isa: String,
    /// Runs that were timed.
    pub runs: usize,
    /// Billions of multiply-accumulates per second at the median.
    pub gmac_per_second: f64,
}

/// Milliseconds, as a number.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The middle of the sorted times.
pub(crate) fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Runs the command. The answer is checked with the model's self-test before the runs whose median counts.
///
/// # Errors
/// The model cannot be used, or computes something else than at conversion.
pub fn bench(args: &BenchArgs) -> Result<()> {
    let opened = Instant::now();
    let (file, mut source) = file::open(&args.model.model, args.model.isa())?;
    let plan = args.threads.plan(file.model(), args.model.isa())?;
    let mut memory = Memory::new(&plan)?;
    let mut session = memory.load(plan, &mut source)?;
    let load = opened.elapsed();
    let input = args.input.load(plan.model())?;
    input.set(&mut session)?;
    let started = Instant::now();
    session.run()?;
    let first = started.elapsed();
    session.self_test()?;
    let mut times = Vec::new();
    for run in 0..args.warmup.saturating_add(args.runs.get()) {
        input.set(&mut session)?;
        let start = Instant::now();
        session.run()?;
        if run >= args.warmup {
            times.push(start.elapsed());
        }
    }
    let fastest = times.iter().copied().min().unwrap_or_default();
    let median = median(&mut times);
    let report = BenchReport {
        latency_ms_median: milliseconds(median),
        latency_ms_min: milliseconds(fastest),
        load_ms: milliseconds(load),
        first_ms: milliseconds(first),
        threads: plan.threads(),
        isa: args.model.isa().name().to_owned(),
        runs: args.runs.get(),
        gmac_per_second: plan.model().macs() as f64 / median.as_secs_f64() / 1e9,
    };
    if args.json {
        return output::print_json(&report);
    }
    say!(
        "{:.3} ms median, {:.3} ms fastest of {} runs ({}, {} {}, {:.1} GMAC/s); ready after {:.1} ms",
        report.latency_ms_median,
        report.latency_ms_min,
        report.runs,
        report.isa,
        report.threads,
        if report.threads == 1 { "thread" } else { "threads" },
        report.gmac_per_second,
        report.load_ms
    )
}
