//! The converter's command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod cli;

/// Converts trained ONNX residual networks to int8 models, checks them, and runs them
#[derive(Debug, Parser)]
#[command(name = "resi8", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  resi8 demo
  resi8 convert resnet18.onnx --calibration photos/ --labels labels.txt --preprocess imagenet -o resnet18.r8
  resi8 convert net.onnx --calibration train.bin --preprocess cifar -o net.r8
  resi8 inspect resnet18.r8
  resi8 export net.r8 --c firmware/
  resi8 run resnet18.r8 cat.jpg
  resi8 eval resnet18.r8 --float resnet18.onnx --data photos/ --labels-csv classes.csv
  resi8 compare resnet18.r8 --float resnet18.onnx --data photos/

Exit codes: 0 done, 1 failed (one line on standard error says why), 2 wrong arguments.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Turn an ONNX network into an int8 model
    #[command(after_help = "\
Examples:
  resi8 convert resnet18.onnx --calibration photos/ --labels labels.txt --preprocess imagenet -o resnet18.r8
  resi8 convert net.onnx --calibration calib.npy --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 --resize 256 -o net.r8")]
    Convert(cli::convert::ConvertArgs),
    /// Show a model: layers, memory over time, preprocessing, sizes
    #[command(after_help = "Example: resi8 inspect resnet18.r8 --json")]
    Inspect(cli::inspect::InspectArgs),
    /// Write a model as C or Rust source, with its sizes as constants
    #[command(after_help = cli::export::EXAMPLES)]
    Export(cli::export::ExportArgs),
    /// Classify pictures
    #[command(after_help = "Example: resi8 run resnet18.r8 cat.jpg dog.png --top 3")]
    Run(resi8_run::run::RunArgs),
    /// Compare int8 with float, layer by layer
    #[command(after_help = "\
Examples:
  resi8 compare net.r8 --float net.onnx --data photos/ --samples 16
  resi8 compare net.r8 --float net.onnx --data photos/ --dump 3 --dump-to /tmp")]
    Compare(cli::compare::CompareArgs),
    /// Count right answers of float and int8 on labelled pictures
    #[command(after_help = "\
Examples:
  resi8 eval net.r8 --float net.onnx --data test.bin
  resi8 eval resnet18.r8 --float resnet18.onnx --data val/ --labels-csv val.csv --resize none --json")]
    Eval(cli::eval::EvalArgs),
    /// Convert the network that comes with resi8 and classify its sample pictures
    #[command(after_help = "Example: resi8 demo -o demo.r8")]
    Demo(cli::demo::DemoArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Convert(args) => cli::convert::convert(&args),
        Command::Inspect(args) => cli::inspect::inspect(&args),
        Command::Export(args) => cli::export::export(&args),
        Command::Run(args) => resi8_run::run::run(&args),
        Command::Compare(args) => cli::compare::compare(&args),
        Command::Eval(args) => cli::eval::eval(&args),
        Command::Demo(args) => cli::demo::demo(&args),
    };
    resi8_run::output::exit_code(result)
}
