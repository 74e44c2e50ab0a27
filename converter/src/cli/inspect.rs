//! `resi8 inspect`: what is in a model file.

use anyhow::Result;
use clap::Args;
use resi8::{Model, model::Op};
use resi8_run::file::{self, ModelArgs};
use resi8_run::info::Sizes;
use resi8_run::{output, say};
use serde::Serialize;

use super::memory_map;

/// Arguments of `inspect`.
#[derive(Debug, Clone, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `inspect --json` prints.
#[derive(Debug, Serialize)]
struct Inspection {
    #[serde(flatten)]
    sizes: Sizes,
    activation_bytes: usize,
    isa: &'static str,
    preprocessing: String,
    info: Vec<String>,
    classes: usize,
    labels: bool,
    layers: Vec<LayerLine>,
}

/// One layer.
#[derive(Debug, Serialize)]
struct LayerLine {
    name: String,
    kind: &'static str,
    input: usize,
    skip: Option<usize>,
    output: [usize; 3],
    kernel: Option<[usize; 2]>,
    stride: Option<[usize; 2]>,
    pool_kernel: Option<[usize; 2]>,
    pool_stride: Option<[usize; 2]>,
    kept_rows: usize,
    offset: usize,
    bytes: usize,
    scale: f32,
    zero_point: i8,
    macs: u64,
    weights: usize,
    transformed: bool,
}

/// Runs the command.
pub(crate) fn inspect(args: &InspectArgs) -> Result<()> {
    let bytes = file::read(&args.model.model)?;
    let model = file::parse(&args.model.model, &bytes)?;
    let isa = args.model.isa.or(model.target()).unwrap_or_else(resi8::Isa::best);
    let input = model.input();
    let inspection = Inspection {
        sizes: Sizes::new(&model, isa)?,
        activation_bytes: model.activation_bytes(),
        isa: isa.name(),
        preprocessing: resi8_picture::words(&model.preprocess(), input.h(), input.w()),
        info: model.info().lines().map(str::to_owned).collect(),
        classes: model.output().c(),
        labels: !model.labels().is_empty(),
        layers: layer_lines(&model),
    };
    if args.json {
        return output::print_json(&inspection);
    }
    print(&model, &inspection)
}

fn layer_lines(model: &Model<'_>) -> Vec<LayerLine> {
    let line = |layer: resi8::Layer<'_>| {
        let (window, skip, pool) = match layer.op {
            Op::Conv(conv) => (Some(conv.window), conv.skip.map(|skip| skip.tensor.index()), conv.pool),
            Op::MaxPool(window) => (Some(window), None, None),
            Op::AveragePool { .. } | Op::Dense { .. } => (None, None, None),
        };
        LayerLine {
            name: model.layer_name(layer.index).to_owned(),
            kind: layer.kind(),
            input: layer.input.index(),
            skip,
            output: [layer.output.h(), layer.output.w(), layer.output.c()],
            kernel: window.map(|window| window.kernel()),
            stride: window.map(|window| window.stride()),
            pool_kernel: pool.map(|pool| pool.kernel()),
            pool_stride: pool.map(|pool| pool.stride()),
            kept_rows: layer.output.kept_rows(),
            offset: layer.output.offset(),
            bytes: layer.output.range().len(),
            scale: layer.output.scale(),
            zero_point: layer.output.zero_point(),
            macs: layer.macs(),
            weights: layer.weight_count(),
            transformed: matches!(layer.op, Op::Conv(conv) if conv.is_transformed()),
        }
    };
    model.layers().map(line).collect()
}

fn print(model: &Model<'_>, inspection: &Inspection) -> Result<()> {
    let row = |(index, line): (usize, &LayerLine)| {
        let [h, w, c] = line.output;
        let reads =
            line.skip.map_or_else(|| line.input.to_string(), |skip| format!("{} + {skip}", line.input));
        let windows = [(line.kernel, line.stride), (line.pool_kernel, line.pool_stride)];
        let windows = windows.into_iter().filter_map(|(kernel, stride)| Some(words(kernel?, stride?)));
        let kept =
            if line.kept_rows < h { format!(", rows kept: {}", line.kept_rows) } else { String::new() };
        vec![
            (index + 1).to_string(),
            line.name.clone(),
            line.kind.to_owned(),
            windows.collect::<Vec<_>>().join(", "),
            reads,
            format!("{h}x{w}x{c}{kept}"),
            output::grouped(line.offset as u64),
            output::grouped(line.bytes as u64),
            output::count(line.macs),
            output::grouped(line.weights as u64),
            if line.transformed { "transformed".to_owned() } else { String::new() },
        ]
    };
    let rows = inspection.layers.iter().enumerate().map(row).collect();
    let headings =
        ["tensor", "layer", "kind", "window", "reads", "output", "at", "bytes", "MACs", "weights", ""];
    say!("{}\n", output::table(&headings, 6, rows))?;
    say!("Activations in the arena over time (the input is tensor 0):\n{}\n", memory_map::draw(model))?;
    say!("{}\n", inspection.sizes.words())?;
    say!("{}", inspection.preprocessing)?;
    let labels = if inspection.labels { "with labels" } else { "without labels" };
    say!("\n{} classes, {labels}", inspection.classes)?;
    inspection.info.iter().try_for_each(|line| say!("{line}"))
}

/// A window in words: `3x3`, or `3x3 /2` with a stride of 2.
fn words([rows, columns]: [usize; 2], stride: [usize; 2]) -> String {
    match stride {
        [1, 1] => format!("{rows}x{columns}"),
        [vertical, _] => format!("{rows}x{columns} /{vertical}"),
    }
}
