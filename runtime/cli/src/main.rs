//! `resi8-run`: the on-device command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use resi8_run::{bench, info, output, profile, run, selftest, stream};

/// Runs int8 models made by `resi8 convert`
#[derive(Debug, Parser)]
#[command(name = "resi8-run", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  resi8-run run model.r8 cat.jpg dog.png      classes and probabilities
  resi8-run run model.r8 photos/              a folder, one after the other
  ... | resi8-run stream model.r8 --size 640x480   raw RGB frames of a camera; see stream --help
  resi8-run bench model.r8 --json             latency, for a script
  resi8-run profile model.r8                  time per layer
  resi8-run selftest model.r8                 same results as at conversion?
  resi8-run info model.r8                     sizes, preprocessing, instruction sets

Exit codes: 0 done, 1 failed (one line on standard error says why), 2 wrong arguments.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Classify pictures
    #[command(after_help = run::EXAMPLES)]
    Run(run::RunArgs),
    /// Classify raw RGB frames from standard input, as a camera sends them
    #[command(after_help = stream::EXAMPLES)]
    Stream(stream::StreamArgs),
    /// Time whole runs
    #[command(after_help = "Example: resi8-run bench model.r8 --cpu-list 4-7 --runs 200 --json")]
    Bench(bench::BenchArgs),
    /// Time every layer
    #[command(after_help = "Example: resi8-run profile model.r8")]
    Profile(profile::ProfileArgs),
    /// Compare every layer with the results stored at conversion
    #[command(after_help = "Example: resi8-run selftest model.r8")]
    Selftest(selftest::SelfTestArgs),
    /// Describe this machine and a model
    #[command(after_help = "Example: resi8-run info model.r8 --json")]
    Info(info::InfoArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Stream(args) => stream::stream(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Profile(args) => profile::profile(&args),
        Command::Selftest(args) => selftest::selftest(&args),
        Command::Info(args) => info::info(&args),
    };
    output::exit_code(result)
}
