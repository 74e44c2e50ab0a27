//! `resi8 compare`: int8 against float, layer by layer.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use resi8::{Layer, Model, Observer, Output, Plan, RunError};
use resi8_converter::convert::Progress;
use resi8_converter::float::FloatModel;
use resi8_converter::folded::{Folded, Shape};
use resi8_converter::measure::{TensorError, measure, to_float};
use resi8_converter::whole::WholeOutputs;
use resi8_run::file::{self, Memory};
use resi8_run::{output, say};
use serde::Serialize;

use super::convert::sample;
use super::eval::AgainstFloat;
use super::{Bar, NewFile};

/// Arguments of `compare`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    against: AgainstFloat,
    /// Write a layer's output for the first picture as .npy files: LAYER.int8.npy (real values that the integers
    /// stand for) and LAYER.float.npy, rows x columns x channels; LAYER is a layer's number or name
    #[arg(long, value_name = "LAYER")]
    dump: Vec<String>,
    /// Folder for these files
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    dump_to: PathBuf,
}

/// One layer's line.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Line {
    layer: usize,
    name: String,
    tensor: String,
    kind: &'static str,
    sqnr_db: f64,
    clip_rate: f64,
    /// Share of the values that equal the quantized float value.
    equal: f64,
    /// Share of the values one step away from it.
    one_off: f64,
    /// Largest distance from it in steps; absent for the logits, whose steps are arbitrarily fine.
    largest_steps: Option<u32>,
}

/// Runs the command.
pub(crate) fn compare(args: &CompareArgs) -> Result<()> {
    let against = &args.against;
    let bytes = file::read(&against.model.model)?;
    let model = file::parse(&against.model.model, &bytes)?;
    let (network, folded) = against.float_network(&model)?;
    let float = FloatModel::for_folded(network.proto(), &folded)?;
    let dataset = against.dataset(&model, None)?;
    let plan = file::plan(model, against.model.isa())?;
    for layer in &args.dump {
        let pixels = sample(&dataset, 0)?.values;
        dump(plan, &float, layer, &pixels, &args.dump_to)?;
    }
    let count = against.samples.map_or(64, NonZeroUsize::get).min(dataset.len());
    let bar = Bar::new();
    bar.start("comparing", count);
    let fetch = |index: usize| sample(&dataset, index);
    let m = measure(&model, &float, against.model.isa(), count, fetch, against.threads(), || bar.step())?;
    bar.finish();
    let lines: Vec<Line> =
        model.layers().zip(&m.layers).map(|(layer, e)| line(&model, &folded, &layer, e)).collect();
    if against.json {
        return output::print_json(&lines);
    }
    print(&lines)?;
    say!(
        "\n{count} pictures: the same class for {}, logit SQNR {:.2} dB\n\
         equal, 1 off, most off: int8 values against the float values, quantized, all layers before included",
        m.agree,
        m.logits.sqnr_db()
    )
}

fn line(model: &Model<'_>, folded: &Folded, layer: &Layer<'_>, error: &TensorError) -> Line {
    let share = |count: u64| count as f64 / error.count.max(1) as f64;
    Line {
        layer: layer.index,
        name: model.layer_name(layer.index).to_owned(),
        tensor: folded.tensors[layer.index + 1].name.clone(),
        kind: layer.kind(),
        sqnr_db: error.sqnr_db(),
        clip_rate: error.clip_rate(),
        equal: share(error.equal),
        one_off: share(error.one_off),
        largest_steps: (layer.output.element_size() == 1).then_some(error.largest_steps),
    }
}

fn print(lines: &[Line]) -> Result<()> {
    let percent = |share: f64| format!("{:.2}", share * 100.0);
    let row = |line: &Line| {
        let steps = line.largest_steps;
        let of_steps = |text: String| if steps.is_some() { text } else { String::new() };
        vec![
            line.layer.to_string(),
            line.name.clone(),
            line.kind.to_owned(),
            line.tensor.clone(),
            format!("{:.1}", line.sqnr_db),
            of_steps(format!("{:.3}", line.clip_rate * 100.0)),
            of_steps(percent(line.equal)),
            of_steps(percent(line.one_off)),
            steps.map_or_else(String::new, |steps| steps.to_string()),
        ]
    };
    let headings =
        ["", "layer", "kind", "float tensor", "SQNR dB", "clipped %", "equal %", "1 off %", "most off"];
    say!("{}", output::table(&headings, 4, lines.iter().map(row).collect()))
}

/// Keeps one layer's output as real values, rows x columns x channels.
struct Keep {
    layer: usize,
    outputs: WholeOutputs,
    values: Vec<f32>,
}

impl Observer for Keep {
    fn after(&mut self, layer: &Layer<'_>, output: Output<'_>) -> Result<(), RunError> {
        if layer.index == self.layer {
            let (scale, zero) = (f64::from(layer.output.scale()), i32::from(layer.output.zero_point()));
            #[expect(
                clippy::cast_possible_truncation,
                reason = "rounding to the nearest f32 is what is wanted"
            )]
            let real = |q: i32| (scale * f64::from(q - zero)) as f32;
            let values = self.outputs.add(layer, output).unwrap_or_default();
            self.values = values.into_iter().map(real).collect();
        }
        Ok(())
    }
}

/// Writes one layer's int8 and float output for one picture.
fn dump(plan: Plan<'_>, float: &FloatModel, wanted: &str, pixels: &[u8], folder: &Path) -> Result<()> {
    let model = plan.model();
    let by_number = wanted.parse().ok().filter(|&index: &usize| index < model.layer_count());
    let by_name = || (0..model.layer_count()).find(|&index| model.layer_name(index) == wanted);
    let layer = by_number.or_else(by_name).with_context(|| {
        format!(
            "no layer is called {wanted}: give a number from 0 to {} or a name from `resi8 inspect`",
            model.layer_count() - 1
        )
    })?;
    let mut memory = Memory::new(&plan)?;
    let mut session = memory.session(plan)?;
    session.set_pixels(pixels)?;
    let mut keep = Keep { layer, outputs: WholeOutputs::default(), values: Vec::new() };
    session.run_observed(&mut keep)?;
    let tensor = model.tensor(layer + 1).context("the layer has no output")?;
    let shape = Shape { h: tensor.h(), w: tensor.w(), c: tensor.c() };
    let outputs = float.run(&to_float(pixels, model.input().c(), &model.preprocess()))?;
    let expected = channels_last(&outputs[layer + 1], shape);
    let name = wanted.replace(['/', '\\', ':'], "_");
    ensure!(
        folder.is_dir(),
        "{} is not a folder: create it or choose another with --dump-to",
        folder.display()
    );
    for (kind, values) in [("int8", &keep.values), ("float", &expected)] {
        let path = folder.join(format!("{name}.{kind}.npy"));
        NewFile::create(&path, "--dump-to")?.finish(&npy(shape, values)?)?;
        output::tell(format_args!("wrote {}", path.display()));
    }
    Ok(())
}

/// A .npy file of rows x columns x channels.
fn npy(shape: Shape, values: &[f32]) -> Result<Vec<u8>> {
    use npyz::WriterBuilder;
    let mut bytes = Vec::new();
    let dimensions = [shape.h as u64, shape.w as u64, shape.c as u64];
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(&dimensions).writer(&mut bytes).begin_nd()?;
    writer.extend(values)?;
    writer.finish()?;
    Ok(bytes)
}

/// From channels x rows x columns to rows x columns x channels.
fn channels_last(values: &[f32], shape: Shape) -> Vec<f32> {
    let pixels = shape.h * shape.w;
    (0..values.len()).map(|index| values[index % shape.c * pixels + index / shape.c]).collect()
}
