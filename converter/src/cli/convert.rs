//! `resi8 convert`: an ONNX file and sample pictures become a model file.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use resi8::Preprocess;
use resi8_converter::calibrate::RangeMethod;
use resi8_converter::convert::{Options, convert as convert_network};
use resi8_converter::measure::Pixels;
use resi8_converter::memory::Goal;
use resi8_converter::onnx::{self, ImportOptions, OnnxModel};
use resi8_converter::report::Report;
use resi8_converter::target::{Memory, Target};
use resi8_picture::{Dataset, DatasetOptions};
use resi8_run::{output, say};

use super::preprocess::PreprocessArgs;
use super::{Bar, NewFile, default_threads, parse_threads};

/// Arguments of `convert`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConvertArgs {
    /// Trained float network, ONNX
    model: PathBuf,
    /// Sample pictures for the activation ranges: a folder of JPEG or PNG, a CIFAR-style .bin, or a uint8 .npy
    #[arg(long, value_name = "PATH")]
    calibration: PathBuf,
    /// Text file with one class label a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Where the model goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    preprocess: PreprocessArgs,
    /// How activation ranges are chosen: mse, min-max, or percentile:P
    #[arg(long, value_name = "METHOD", default_value = "mse")]
    ranges: RangeMethod,
    /// Most samples that ranges are taken from
    #[arg(long, value_name = "N", default_value = "500")]
    samples: NonZeroUsize,
    /// Most samples, other than those, that int8 is compared with float on
    #[arg(long, value_name = "N", default_value_t = 100)]
    measure: usize,
    #[command(flatten)]
    memory: MemoryArgs,
    /// Threads for the float network
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    threads: Option<NonZeroUsize>,
    /// Microcontroller that the file is for: cortex-m0, -m3, -m4, -m7, -m33, -m55, -m85 or riscv32. For M4, M7 and M33, 3x3 weights are
    /// transformed for kernels with fewer multiplications (more flash; the runtime's feature `transformed-weights`); the others
    /// read the weights in the order that every file has. With --low-memory only where the arena does not grow. Tells the arena of that
    /// processor
    #[arg(long, value_name = "NAME")]
    target: Option<Target>,
    /// Largest model file, in bytes, or with K or M: layers are transformed while it suffices
    #[arg(long, value_name = "SIZE", requires = "target", value_parser = parse_size)]
    flash: Option<usize>,
    /// Largest arena, likewise
    #[arg(long, value_name = "SIZE", requires = "target", value_parser = parse_size)]
    ram: Option<usize>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Reads a number of bytes, of 1024 or of 1024 * 1024.
fn parse_size(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.char_indices().next_back() {
        Some((end, 'K' | 'k')) => (&text[..end], 1 << 10),
        Some((end, 'M' | 'm')) => (&text[..end], 1 << 20),
        _ => (text, 1),
    };
    let size = digits.parse().ok().and_then(|number: usize| number.checked_mul(unit));
    size.ok_or_else(|| "give a number of bytes, such as 36864, 36K or 1M".to_owned())
}

impl ConvertArgs {
    /// The microcontroller that the file is for, and its memory.
    fn target(&self) -> Option<(Target, Memory)> {
        let unlimited = Memory::UNLIMITED;
        let memory =
            Memory { flash: self.flash.unwrap_or(unlimited.flash), ram: self.ram.unwrap_or(unlimited.ram) };
        self.target.map(|target| (target, memory))
    }
}

/// How the arena is planned.
#[derive(Debug, Clone, Args)]
pub(crate) struct MemoryArgs {
    /// Run layers together by rows where that takes less memory: for microcontrollers; slower on other processors
    #[arg(long)]
    low_memory: bool,
}

impl MemoryArgs {
    pub(crate) const fn goal(&self) -> Goal {
        if self.low_memory { Goal::LowMemory } else { Goal::Speed }
    }
}

/// Runs the command.
pub(crate) fn convert(args: &ConvertArgs) -> Result<()> {
    let new_file = NewFile::create(&args.output, "-o")?;
    let input_size = args.preprocess.crop.map(|side| (side, side));
    let network = onnx::read(&args.model, &ImportOptions { input_size })?;
    let [_, _, h, w] = network.input_shape();
    let preprocess = args.preprocess.build(h, w)?;
    let labels = args.labels.as_deref().map(resi8_picture::labels::read).transpose()?.unwrap_or_default();
    let options = DatasetOptions { preprocess, height: h, width: w, labels_csv: None };
    let dataset = Dataset::open(&args.calibration, options)?;
    let options = Options {
        preprocess,
        labels,
        method: args.ranges,
        calibration_samples: args.samples.get(),
        measured_samples: args.measure,
        threads: args.threads.unwrap_or_else(default_threads),
        goal: args.memory.goal(),
        info: info(&args.model, &args.calibration, args.ranges),
        target: args.target(),
    };
    let sample = |index: usize| sample(&dataset, index);
    if !args.json {
        print_start(&network, &preprocess)?;
    }
    let conversion = convert_network(&network, &options, dataset.len(), sample, &Bar::new())?;
    let float_bytes = std::fs::metadata(&args.model).map_or(0, |metadata| metadata.len());
    let report = Report::new(&conversion, float_bytes)?;
    new_file.finish(&conversion.file)?;
    if args.json {
        return output::print_json(&report);
    }
    print_report(&report)?;
    say!("wrote {}", args.output.display())
}

/// One sample of a dataset.
pub(crate) fn sample(dataset: &Dataset, index: usize) -> Result<Pixels> {
    let sample = dataset.get(index).with_context(|| format!("sample {index}"))?;
    Ok(Pixels { values: sample.pixels, label: sample.label })
}

/// Where the model comes from, for the file.
pub(crate) fn info(model: &Path, calibration: &Path, ranges: RangeMethod) -> String {
    let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    format!(
        "converter: resi8 {}\nsource: {}\ncalibration: {}, ranges by {ranges}",
        env!("CARGO_PKG_VERSION"),
        name(model),
        name(calibration)
    )
}

/// What is known before the work begins.
pub(crate) fn print_start(network: &OnnxModel, preprocess: &Preprocess) -> Result<()> {
    let [_, c, h, w] = network.input_shape();
    say!("network  input `{}` {h} x {w} x {c}, opset {}", network.input(), network.opset())?;
    say!("{}\n", resi8_picture::words(preprocess, h, w))
}

/// The evidence, as tables and sentences.
pub(crate) fn print_report(report: &Report) -> Result<()> {
    let rows = report.layers.iter().enumerate().map(|(index, layer)| {
        let [h, w, c] = layer.output;
        let pair = |range: Option<[f64; 2]>| match range {
            Some([low, high]) => format!("{} .. {}", number(low), number(high)),
            None => String::new(),
        };
        vec![
            index.to_string(),
            layer.name.clone(),
            layer.kind.to_owned(),
            format!("{h}x{w}x{c}"),
            output::count(layer.macs),
            pair(layer.weight_scale),
            pair(layer.activation_range),
            format!("{:.1}", layer.sqnr_db),
            format!("{:.3}", layer.clip_rate * 100.0),
            if index == report.worst_layer { "< worst".to_owned() } else { String::new() },
        ]
    });
    let headings = [
        "",
        "layer",
        "kind",
        "output",
        "MACs",
        "weight scales",
        "activation range",
        "SQNR dB",
        "clipped %",
        "",
    ];
    say!("{}\n", output::table(&headings, 4, rows.collect()))?;
    print_summary(report)
}

fn print_summary(report: &Report) -> Result<()> {
    report.warnings.iter().try_for_each(|warning| say!("note: {warning}"))?;
    say!(
        "folding   largest difference {} where values reach {} (`{}`)",
        number(report.fold_check_difference.into()),
        number(report.fold_check_magnitude.into()),
        report.fold_check_tensor
    )?;
    let whose = if report.held_out { "held-out samples" } else { "calibration samples" };
    say!(
        "accuracy  int8 and float agree on {:.2} % of {} {whose}, logit SQNR {:.1} dB",
        report.agreement * 100.0,
        report.measured_samples,
        report.logit_sqnr_db
    )?;
    #[expect(clippy::cast_possible_truncation, reason = "a file's size fits memory")]
    let float_bytes = report.float_bytes as usize;
    say!(
        "file      {}, {:.1} % of the float network's {}",
        output::bytes(report.file_bytes),
        report.file_bytes as f64 / report.float_bytes.max(1) as f64 * 100.0,
        output::bytes(float_bytes)
    )?;
    if let Some(target) = report.target {
        let transformed = report.layers.iter().filter(|layer| layer.transformed).count();
        match transformed {
            0 => say!("target    {target}: all weights in the order that every file has")?,
            _ => say!(
                "target    {target}: weights of {transformed} layers transformed, for a runtime with the feature `transformed-weights`"
            )?,
        }
    }
    say!(
        "arena     {} with {} ({} bytes of activations, the least possible in this order is {})",
        output::bytes(report.arena_bytes),
        report.isa,
        output::grouped(report.activation_bytes as u64),
        output::grouped(report.activation_bytes_bound as u64)
    )?;
    say!("work      {} MACs, {} parameters", output::count(report.macs), output::grouped(report.parameters))
}

/// Four significant digits, without an exponent where that is readable.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        0.001..10_000.0 => {
            let digits = (3.0 - value.abs().log10().floor()).max(0.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 6")]
            let digits = digits as usize;
            format!("{value:.digits$}")
        }
        _ => format!("{value:.2e}"),
    }
}
