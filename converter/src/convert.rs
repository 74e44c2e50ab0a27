//! The whole conversion: from an ONNX file and sample pictures to a model file and the evidence for it.

use std::num::NonZeroUsize;

use anyhow::{Context, Result, bail, ensure};
use resi8::{Isa, Model, Preprocess};

use crate::calibrate::{Calibration, Observer, QuantParams, RangeMethod, calibrate, quant_params};
use crate::emit::{Emitted, Extras, emit};
use crate::float::{FloatModel, FoldCheck, check_folding, folded_to_onnx};
use crate::fold::fold;
use crate::folded::{Conv, Folded, Op, TensorId};
use crate::ir::Ir;
use crate::measure::{Measurement, Pixels, measure, to_float};
use crate::memory::{self, Goal, MemoryPlan};
use crate::onnx::OnnxModel;
use crate::quantize::{Quantized, quantize};
use crate::target::{Memory, Target, pack};

/// What a conversion is told beside the network.
#[derive(Debug, Clone)]
pub struct Options {
    /// How a picture becomes the input.
    pub preprocess: Preprocess,
    /// One a class, or none.
    pub labels: Vec<String>,
    /// How activation ranges are chosen.
    pub method: RangeMethod,
    /// Samples that ranges are taken from.
    pub calibration_samples: usize,
    /// Samples that int8 is compared with float on.
    pub measured_samples: usize,
    /// Threads for the float network.
    pub threads: NonZeroUsize,
    /// What the memory plan is to be good for.
    pub goal: Goal,
    /// `key: value` lines for the file.
    pub info: String,
    /// The microcontroller that the file is for, and its memory; `None` for a file for all processors.
    pub target: Option<(Target, Memory)>,
}

/// Shows how far a long piece of work is.
pub trait Progress: Sync {
    /// A piece of work of `total` steps begins.
    fn start(&self, what: &str, total: usize);
    /// One step is done.
    fn step(&self);
    /// The piece of work is done.
    fn finish(&self);
}

/// A converted network and what was learnt on the way.
#[derive(Debug)]
pub struct Conversion {
    /// The model file.
    pub file: Vec<u8>,
    /// The microcontroller that it is for.
    pub target: Option<Target>,
    /// The float network after folding.
    pub folded: Folded,
    /// The integers.
    pub quantized: Quantized,
    /// The memory plan.
    pub memory: MemoryPlan,
    /// Folded against original.
    pub fold_check: FoldCheck,
    /// int8 against float, layer by layer.
    pub measurement: Measurement,
    /// Which samples ranges were taken from, and which int8 was measured on.
    pub split: Split,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Which samples serve for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Indices that ranges are taken from.
    pub calibration: Vec<usize>,
    /// Indices that int8 is measured on.
    pub measured: Vec<usize>,
    /// Whether the two have nothing in common.
    pub held_out: bool,
}

impl Split {
    /// Every fifth of `available` samples is held out for measuring; with fewer than ten, all serve for both.
    ///
    /// More than `calibration` and `measured` are thinned out evenly.
    #[must_use]
    pub fn new(available: usize, calibration: usize, measured: usize) -> Self {
        let all: Vec<usize> = (0..available).collect();
        let held_out = available >= 10;
        let (own, kept): (Vec<usize>, Vec<usize>) =
            all.iter().partition(|&&index| held_out && index % 5 == 4);
        let measuring = if held_out { &own } else { &all };
        Self { calibration: thin(&kept, calibration), measured: thin(measuring, measured), held_out }
    }
}

/// At most `count` of the indices, evenly spread.
fn thin(indices: &[usize], count: usize) -> Vec<usize> {
    let count = count.min(indices.len());
    (0..count).map(|i| indices[i * indices.len() / count]).collect()
}

/// Samples that the folded network is compared with the original on.
const FOLD_CHECK_SAMPLES: usize = 4;

/// Largest difference that folding may make, as a share of the tensor's largest value: float32 rounding through many
/// layers stays far below it, a wrong fold far above.
const LARGEST_FOLD_DIFFERENCE: f32 = 1e-3;

/// Converts a network.
///
/// `sample` fetches one of `available` samples by its index. Memory does not grow with their number.
///
/// # Errors
/// Anything that is wrong with the network, the samples or the result, named.
pub fn convert(
    onnx: &OnnxModel,
    options: &Options,
    available: usize,
    sample: impl Fn(usize) -> Result<Pixels> + Sync,
    progress: &dyn Progress,
) -> Result<Conversion> {
    ensure!(
        available > 0,
        "there is no calibration sample: give a folder of pictures, a CIFAR-style .bin or a .npy"
    );
    let ir = Ir::from_onnx(onnx)?;
    let notes = ir.notes.clone();
    let folded = fold(ir)?;
    check_options(&folded, options)?;
    let channels = folded.tensors[0].shape.c;
    let input = |index: usize| sample(index).map(|p| to_float(&p.values, channels, &options.preprocess));
    let split = Split::new(available, options.calibration_samples, options.measured_samples);
    let float = FloatModel::for_folded(onnx.proto(), &folded).context("the float network does not run")?;

    let fold_check = check_fold(&float, &folded, &split, &input)?;
    progress.start("calibrating", split.calibration.len());
    let samples = split.calibration.iter().map(|&index| input(index));
    let calibration = calibrate(&folded, &float, samples, options.threads, |_| progress.step())?;
    progress.finish();

    let params = tensor_params(&folded, &calibration, options.method);
    let means: Vec<Vec<f64>> = calibration.observers().iter().map(Observer::channel_means).collect();
    let quantized = quantize(&folded, &params, &means, &options.preprocess)?;
    let memory = memory::plan(&quantized, options.goal);
    let extras =
        Extras { preprocess: options.preprocess, labels: options.labels.clone(), info: options.info.clone() };
    let Emitted { content, file } = emit(&quantized, &memory, &extras)?;
    let packed =
        options.target.map(|(target, memory)| pack(&content, target, memory, options.goal)).transpose()?;

    progress.start("measuring", split.measured.len());
    let model = Model::parse(&file)?;
    let measured = |index: usize| sample(split.measured[index]);
    let measurement =
        measure(&model, &float, Isa::best(), split.measured.len(), measured, options.threads, || {
            progress.step()
        })?;
    progress.finish();
    let warnings = warnings(notes, &folded, &calibration, &split);
    let file = packed.map_or(file, |packed| packed.file);
    let target = options.target.map(|(target, _)| target);
    Ok(Conversion { file, target, folded, quantized, memory, fold_check, measurement, split, warnings })
}

fn check_options(folded: &Folded, options: &Options) -> Result<()> {
    let input = folded.tensors[0].shape;
    let channels = options.preprocess.order.channels();
    ensure!(
        input.c == channels,
        "the network's input has {} channels and the preprocessing gives {channels}: choose --channel-order gray, rgb or bgr to match",
        input.c
    );
    let classes = folded.tensors.last().map_or(0, |tensor| tensor.shape.c);
    ensure!(
        options.labels.is_empty() || options.labels.len() == classes,
        "the label file has {} lines and the network {classes} classes: one line a class is needed",
        options.labels.len()
    );
    Ok(())
}

/// Runs original and folded network on a few samples; a difference beyond rounding is an error.
fn check_fold(
    float: &FloatModel,
    folded: &Folded,
    split: &Split,
    input: &impl Fn(usize) -> Result<Vec<f32>>,
) -> Result<FoldCheck> {
    let samples: Vec<Vec<f32>> = split
        .calibration
        .iter()
        .take(FOLD_CHECK_SAMPLES)
        .map(|&index| input(index))
        .collect::<Result<_>>()?;
    let rewritten =
        FloatModel::for_folded(&folded_to_onnx(folded), folded).context("the folded network does not run")?;
    let check = check_folding(float, &rewritten, samples.iter().map(Vec::as_slice))?;
    let worst = check.worst();
    if worst.relative() > LARGEST_FOLD_DIFFERENCE {
        bail!(
            "folding changed the network: tensor `{}` differs by {} where values reach {}; please report this network",
            worst.name,
            worst.largest_difference,
            worst.largest_magnitude
        );
    }
    Ok(check)
}

/// Scale and zero point of every tensor.
fn tensor_params(folded: &Folded, calibration: &Calibration, method: RangeMethod) -> Vec<QuantParams> {
    let ranges = calibration.ranges(method);
    debug_assert_eq!(ranges.len(), folded.tensors.len());
    ranges.into_iter().map(|(low, high)| quant_params(low, high)).collect()
}

/// What is odd about the samples or the preprocessing.
fn warnings(
    mut warnings: Vec<String>,
    folded: &Folded,
    calibration: &Calibration,
    split: &Split,
) -> Vec<String> {
    if !split.held_out {
        warnings.push(format!(
            "only {} samples: int8 is measured on the very samples that the ranges come from",
            split.measured.len()
        ));
    }
    if split.calibration.len() < 32 {
        warnings.push(format!(
            "ranges come from {} samples; 100 or more that look like those on the device give safer ranges",
            split.calibration.len()
        ));
    }
    warnings.extend(first_layer_warning(folded, calibration));
    warnings
}

/// A first layer that is trained with batch norm answers its pictures with values of a few units. One that is fed
/// pixels of 255 where it was trained on 1 answers with hundreds; one that is fed 1 where it was trained on 255 hardly
/// answers at all.
fn first_layer_warning(folded: &Folded, calibration: &Calibration) -> Option<String> {
    let first = folded.layers.iter().find(|layer| layer.input == TensorId(0))?;
    let Op::Conv(conv) = &first.op else { return None };
    let (low, high) = calibration.observers()[0].extremes()?;
    let reach = f64::from(high.max(-low)) * largest_weight_sum(conv);
    let (answer_low, answer_high) = calibration.rounded(first.output).extremes()?;
    let answer = answer_high.max(-answer_low);
    let what = if answer > LARGEST_FIRST_ANSWER {
        format!("the first layer's output reaches {answer:.0}, as if its input were far too large")
    } else if reach < LEAST_FIRST_REACH {
        format!(
            "the first layer hardly reacts to its input (at most {reach:.2}), as if that were far too small"
        )
    } else {
        return None;
    };
    Some(format!(
        "the network's input spans {low:.2} to {high:.2} and {what}: is the preprocessing the one it was trained with?"
    ))
}

/// Trained networks stay below about 30 here.
const LARGEST_FIRST_ANSWER: f32 = 64.0;

/// Trained networks are above about 10 here.
const LEAST_FIRST_REACH: f64 = 1.5;

/// The largest sum of weight magnitudes of any output channel: the most that it answers to an input of 1.
fn largest_weight_sum(conv: &Conv) -> f64 {
    let sums = conv
        .weights
        .chunks(conv.weights.len() / conv.bias.len().max(1))
        .map(|row| row.iter().map(|w| w.abs()).sum());
    sums.fold(0.0, f64::max)
}
