//! int8 against float on real samples: layer by layer, and at the end of the network.

use std::num::NonZeroUsize;

use anyhow::{Context, Result};
use resi8::{Isa, Layer, Model, Observer, Output, Plan, Preprocess, RunError, Session};
use resi8_run::file::Memory;

use crate::float::FloatModel;
use crate::folded::Shape;
use crate::parallel::{Queue, in_order};
use crate::whole::WholeOutputs;

/// One picture as the network takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Raw 8-bit values, height x width x channels.
    pub values: Vec<u8>,
    /// Class, where it is known.
    pub label: Option<u32>,
}

/// The float network's input for raw pixels: normalised, channels x height x width.
#[must_use]
pub fn to_float(pixels: &[u8], channels: usize, preprocess: &Preprocess) -> Vec<f32> {
    let of_channel =
        |c: usize| pixels.iter().skip(c).step_by(channels).map(move |&p| preprocess.normalize(c, p));
    (0..channels).flat_map(of_channel).collect()
}

/// How one tensor of the int8 model differs from the float one, summed over samples.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TensorError {
    /// Values compared.
    pub count: u64,
    /// Sum of the squared float values.
    pub signal: f64,
    /// Sum of the squared differences.
    pub noise: f64,
    /// Float values outside of what int8 can hold here.
    pub clipped: u64,
    /// Values that equal the float value, quantized.
    pub equal: u64,
    /// Values one step away from it.
    pub one_off: u64,
    /// Largest distance from it, in steps.
    pub largest_steps: u32,
}

impl TensorError {
    /// Signal to quantization noise in decibels; infinite when there is no noise.
    #[must_use]
    pub fn sqnr_db(&self) -> f64 {
        if self.noise == 0.0 { f64::INFINITY } else { 10.0 * (self.signal / self.noise).log10() }
    }

    /// Share of the float values that are out of range.
    #[must_use]
    pub fn clip_rate(&self) -> f64 {
        self.clipped as f64 / self.count.max(1) as f64
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.signal += other.signal;
        self.noise += other.noise;
        self.clipped += other.clipped;
        self.equal += other.equal;
        self.one_off += other.one_off;
        self.largest_steps = self.largest_steps.max(other.largest_steps);
    }

    /// Compares a tensor, NHWC integers `values`, with its float original, NCHW.
    fn of(values: impl Iterator<Item = i32>, float: &[f32], shape: Shape, steps: &Steps) -> Self {
        let mut error = Self { count: float.len() as u64, ..Self::default() };
        for (index, q) in values.enumerate() {
            let real = f64::from(float[index % shape.c * (shape.h * shape.w) + index / shape.c]);
            let difference = real - steps.scale * f64::from(q - steps.zero_point);
            let ideal = (real / steps.scale).round() + f64::from(steps.zero_point);
            let distance = (ideal.clamp(steps.low, steps.high) - f64::from(q)).abs();
            error.signal += real * real;
            error.noise += difference * difference;
            error.clipped += u64::from(ideal < steps.low || ideal > steps.high);
            error.equal += u64::from(distance == 0.0);
            error.one_off += u64::from(distance == 1.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            {
                error.largest_steps = error.largest_steps.max(distance as u32);
            }
        }
        error
    }
}

/// What the integers of a tensor stand for.
struct Steps {
    scale: f64,
    zero_point: i32,
    low: f64,
    high: f64,
}

/// int8 against float over a set of samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measurement {
    /// Samples.
    pub total: u64,
    /// Samples whose class is known.
    pub labelled: u64,
    /// Labelled samples that float gets right.
    pub float_correct: u64,
    /// Labelled samples whose class is among float's five best.
    pub float_correct5: u64,
    /// Labelled samples that int8 gets right.
    pub int8_correct: u64,
    /// Labelled samples whose class is among int8's five best.
    pub int8_correct5: u64,
    /// Samples for which both name the same class.
    pub agree: u64,
    /// The logits.
    pub logits: TensorError,
    /// Every layer's output, when asked for; empty otherwise.
    pub layers: Vec<TensorError>,
}

impl Measurement {
    fn add(&mut self, other: &Self) {
        self.total += other.total;
        self.labelled += other.labelled;
        self.float_correct += other.float_correct;
        self.float_correct5 += other.float_correct5;
        self.int8_correct += other.int8_correct;
        self.int8_correct5 += other.int8_correct5;
        self.agree += other.agree;
        self.logits.add(&other.logits);
        self.layers.resize(other.layers.len(), TensorError::default());
        self.layers.iter_mut().zip(&other.layers).for_each(|(a, b)| a.add(b));
    }
}

/// Runs both networks on every sample.
///
/// A `float` network that exposes every tensor of the model (see [`FloatModel::for_folded`]) gives figures for every
/// layer; one that exposes the logits only gives the end of the network. `sample` fetches one by its index; `progress` is
/// called after each. The result does not depend on `threads`.
///
/// # Errors
/// A sample that cannot be read, or a network that does not run.
pub fn measure(
    model: &Model<'_>,
    float: &FloatModel,
    isa: Isa,
    count: usize,
    sample: impl Fn(usize) -> Result<Pixels> + Sync,
    threads: NonZeroUsize,
    mut progress: impl FnMut(),
) -> Result<Measurement> {
    let plan = Plan::new(*model, isa)?;
    let worker = |queue: &Queue<'_, Measurement, anyhow::Error>| {
        let mut memory = Memory::new(&plan)?;
        let mut session = memory.session(plan)?;
        queue.for_each(|index| {
            let pixels = sample(index)?;
            let x = to_float(&pixels.values, model.input().c(), &model.preprocess());
            let expected = float.run(&x).with_context(|| format!("float network, sample {index}"))?;
            session.set_pixels(&pixels.values)?;
            measure_one(&mut session, &expected, pixels.label)
        })
    };
    let mut total = Measurement::default();
    in_order(count, threads, worker, |_, one| {
        total.add(&one);
        progress();
    })?;
    Ok(total)
}

/// Compares one run with the float tensors: the logits alone, or one per tensor of the model and whatever follows them;
/// then, last, the graph's own output, which may be a softmax and is not looked at.
fn measure_one(
    session: &mut Session<'_, '_>,
    expected: &[Vec<f32>],
    label: Option<u32>,
) -> Result<Measurement> {
    let layers = session.plan().model().layer_count();
    let outputs = match expected {
        [_, _] => &[][..],
        all => all.get(1..=layers).context("the float network exposes no logits")?,
    };
    let float_logits = outputs.last().unwrap_or(&expected[0]);
    let (whole, errors) = (WholeOutputs::default(), vec![TensorError::default(); outputs.len()]);
    let model = *session.plan().model();
    let mut compare = Compare { model, expected: outputs, outputs: whole, errors };
    let scale = session.logits_scale();
    let logits = session.run_observed(&mut compare)?;
    let steps = Steps { scale: scale.into(), zero_point: 0, low: -2f64.powi(31), high: f64::from(i32::MAX) };
    let shape = Shape { h: 1, w: 1, c: logits.len() };
    let best = |classes: &[usize], k: usize| {
        u64::from(classes.iter().take(k).any(|&c| Some(c) == label.map(|l| l as usize)))
    };
    let (int8_best, float_best) = (best_five(logits), best_five(float_logits));
    Ok(Measurement {
        total: 1,
        labelled: label.is_some().into(),
        float_correct: best(&float_best, 1),
        float_correct5: best(&float_best, 5),
        int8_correct: best(&int8_best, 1),
        int8_correct5: best(&int8_best, 5),
        agree: (int8_best.first() == float_best.first()).into(),
        logits: TensorError::of(logits.iter().copied(), float_logits, shape, &steps),
        layers: compare.errors,
    })
}

/// The five classes with the largest logits, best first; equal ones in the order of their classes.
fn best_five<T: PartialOrd + Copy>(logits: &[T]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    classes.sort_by(|&a, &b| logits[b].partial_cmp(&logits[a]).unwrap_or(std::cmp::Ordering::Equal));
    classes.truncate(5);
    classes
}

/// Compares every activation with its float original.
struct Compare<'a> {
    model: Model<'a>,
    expected: &'a [Vec<f32>],
    outputs: WholeOutputs,
    errors: Vec<TensorError>,
}

impl Observer for Compare<'_> {
    fn after(&mut self, layer: &Layer<'_>, output: Output<'_>) -> Result<(), RunError> {
        let index = layer.index;
        let (Some(float), Some(tensor)) = (self.expected.get(index), self.model.tensor(index + 1)) else {
            return Ok(());
        };
        let Some(values) = self.outputs.add(layer, output) else { return Ok(()) };
        let shape = Shape { h: tensor.h(), w: tensor.w(), c: tensor.c() };
        let [low, high] = match tensor.element_size() {
            1 => [-128.0, 127.0],
            _ => [f64::from(i32::MIN), f64::from(i32::MAX)],
        };
        let (scale, zero_point) = (f64::from(tensor.scale()), i32::from(tensor.zero_point()));
        let steps = Steps { scale, zero_point, low, high };
        self.errors[index] = TensorError::of(values.into_iter(), float, shape, &steps);
        Ok(())
    }
}
