//! From the folded float network and its activation ranges to integers: weights, biases, multipliers.
//!
//! The formulas are those of `docs/arithmetic.md`; every choice made here (weight scales, fraction bits of the
//! shortcut, scale of the logits) keeps the accumulator below its limit, which the model loader proves again.

use resi8::Preprocess;
use resi8::arith::{ACCUMULATOR_LIMIT, MAX_SKIP_SHIFT, Multiplier};
use thiserror::Error;

use crate::calibrate::QuantParams;
use crate::folded::{Activation, Conv, Dense, Folded, Layer, Op, Pool, Shape, Skip, TensorId};

/// Why a network cannot be quantized.
#[derive(Debug, Error)]
pub enum QuantizeError {
    /// Something other than a convolution reads the input.
    #[error(
        "layer `{0}` reads the network's input other than by convolution: mean and standard deviation are folded into \
         the first convolution, so only convolutions may read the input, and it may not be a shortcut"
    )]
    InputConsumer(String),
    /// A mean cannot be represented.
    #[error("layer `{layer}`: the step of its output is too far from that of its input (factor {factor})")]
    AveragePool {
        /// Layer name.
        layer: String,
        /// Input scale over output scale and number of values.
        factor: f64,
    },
    /// A channel cannot be represented.
    #[error(
        "layer `{layer}`, output channel {channel}: weights and bias cannot be represented in int8 with a 32-bit \
         accumulator (bias {bias}, weight scale {scale})"
    )]
    Channel {
        /// Layer name.
        layer: String,
        /// Output channel.
        channel: usize,
        /// Real bias.
        bias: f64,
        /// Weight scale that was tried last.
        scale: f64,
    },
}

/// The integers of one output channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantizedChannel {
    /// Real value of one weight step.
    pub weight_scale: f64,
    /// Start of the accumulator.
    pub bias: i32,
    /// From accumulator to output.
    pub multiplier: Multiplier,
    /// Factor of the shortcut; 0 without one.
    pub skip_multiplier: i32,
}

/// Kernel or pooling window, of any size: what fits a file is seen when it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns.
    pub kernel: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Padding: top, left, bottom, right.
    pub pads: [usize; 4],
}

/// What a quantized layer computes.
#[derive(Debug, Clone, PartialEq)]
pub enum QuantizedOp {
    /// Convolution and all that is fused into it.
    Conv {
        /// Kernel, stride, padding.
        window: Window,
        /// Shortcut and its fraction bits.
        skip: Option<(Skip, u8)>,
        /// Smallest and largest output.
        clamp: [i8; 2],
        /// Max pooling of the result.
        pool: Option<Window>,
    },
    /// Maximum over a window.
    MaxPool(Window),
    /// Mean over the map.
    AveragePool {
        /// Left shift of the sum before its requantization.
        acc_shift: u8,
    },
    /// The classifier.
    Dense {
        /// Left shift of the accumulator before its requantization.
        acc_shift: u8,
    },
}

/// One layer in integers.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedLayer {
    /// Name of the ONNX node.
    pub name: String,
    /// Tensor it reads; it writes tensor `index + 1`.
    pub input: TensorId,
    /// What it computes.
    pub op: QuantizedOp,
    /// `[out][row][column][in]`; empty for pools.
    pub weights: Vec<i8>,
    /// One per output channel; one in all for an average pool; none for a max pool.
    pub channels: Vec<QuantizedChannel>,
}

/// A tensor of the quantized network.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedTensor {
    /// ONNX name of the float tensor that it stands for.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// Real value of one step.
    pub scale: f32,
    /// Stored value of a real 0.
    pub zero_point: i8,
}

/// The network in integers. Tensor 0 is the input, tensor `i + 1` the output of layer `i`.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantized {
    /// All tensors.
    pub tensors: Vec<QuantizedTensor>,
    /// All layers in execution order.
    pub layers: Vec<QuantizedLayer>,
    /// What a padded tap of the input reads, per channel.
    pub input_pad: Vec<i8>,
}

/// Quantizes a network whose tensor `i + 1` is the output of layer `i`.
///
/// `params` and `means` (the mean of every channel) have one entry per tensor of `folded`; the params of the input, of
/// the logits and of max-pool outputs are not used, because they follow from the arithmetic.
///
/// Rounding weights shifts a channel's mean wherever its inputs have a mean, as they have after a ReLU; the expected
/// shift is taken out of the bias (bias correction, Nagel et al. 2019, section 4.2, with measured means).
///
/// # Errors
/// See [`QuantizeError`].
pub fn quantize(
    folded: &Folded,
    params: &[QuantParams],
    means: &[Vec<f64>],
    preprocess: &Preprocess,
) -> Result<Quantized, QuantizeError> {
    let mut tensors: Vec<QuantizedTensor> = Vec::with_capacity(folded.tensors.len());
    for (tensor, params) in folded.tensors.iter().zip(params) {
        let QuantParams { scale, zero_point } = *params;
        tensors.push(QuantizedTensor { name: tensor.name.clone(), shape: tensor.shape, scale, zero_point });
    }
    (tensors[0].scale, tensors[0].zero_point) = (1.0, -128);
    let mut layers = Vec::with_capacity(folded.layers.len());
    for layer in &folded.layers {
        layers.push(quantize_layer(layer, &mut tensors, &means[layer.input.0], preprocess)?);
    }
    let input_pad = (0..tensors[0].shape.c).map(|c| pad_pixel(preprocess, c)).collect();
    Ok(Quantized { tensors, layers, input_pad })
}

/// The activation of the pixel value that is nearest to a real 0 of channel `c`.
fn pad_pixel(preprocess: &Preprocess, c: usize) -> i8 {
    let zero = (preprocess.mean[c] / preprocess.pixel_scale).round().clamp(0.0, 255.0);
    #[expect(clippy::cast_possible_truncation, reason = "0 to 255, less 128")]
    let activation = (zero - 128.0) as i8;
    activation
}

fn quantize_layer(
    layer: &Layer,
    tensors: &mut [QuantizedTensor],
    means: &[f64],
    preprocess: &Preprocess,
) -> Result<QuantizedLayer, QuantizeError> {
    let reads_input = layer.input.0 == 0;
    match &layer.op {
        Op::Conv(Conv { skip: Some(Skip { tensor: TensorId(0), .. }), .. }) => {
            Err(QuantizeError::InputConsumer(layer.name.clone()))
        }
        Op::Conv(conv) if reads_input => {
            let raw = fold_preprocessing(conv, tensors[0].shape.c, preprocess);
            quantize_conv(layer, &raw, &pixel_means(means, preprocess), tensors)
        }
        _ if reads_input => Err(QuantizeError::InputConsumer(layer.name.clone())),
        Op::Conv(conv) => quantize_conv(layer, conv, means, tensors),
        Op::Dense(dense) => quantize_dense(layer, dense, means, tensors),
        Op::GlobalAveragePool => quantize_average_pool(layer, tensors),
        &Op::MaxPool { kernel, stride, pads } => {
            let QuantizedTensor { scale, zero_point, .. } = tensors[layer.input.0];
            let output = &mut tensors[layer.output.0];
            (output.scale, output.zero_point) = (scale, zero_point);
            Ok(finish(layer, QuantizedOp::MaxPool(Window { kernel, stride, pads }), vec![], vec![]))
        }
    }
}

fn finish(
    layer: &Layer,
    op: QuantizedOp,
    weights: Vec<i8>,
    channels: Vec<QuantizedChannel>,
) -> QuantizedLayer {
    QuantizedLayer { name: layer.name.clone(), input: layer.input, op, weights, channels }
}

/// Rewrites a convolution of normalised pixels as one of raw pixels: `w (p * scale - mean) / std`.
fn fold_preprocessing(conv: &Conv, channels: usize, preprocess: &Preprocess) -> Conv {
    let taps = conv.kernel[0] * conv.kernel[1];
    let mut raw = conv.clone();
    for (weights, bias) in raw.weights.chunks_mut(channels * taps).zip(&mut raw.bias) {
        for (c, weights) in weights.chunks_mut(taps).enumerate() {
            let std = f64::from(preprocess.std[c]);
            *bias -= weights.iter().sum::<f64>() * f64::from(preprocess.mean[c]) / std;
            weights.iter_mut().for_each(|w| *w *= f64::from(preprocess.pixel_scale) / std);
        }
    }
    raw
}

/// Means of raw pixels from those of normalised ones.
fn pixel_means(means: &[f64], preprocess: &Preprocess) -> Vec<f64> {
    let pixel = |(c, mean): (usize, &f64)| {
        (mean * f64::from(preprocess.std[c]) + f64::from(preprocess.mean[c]))
            / f64::from(preprocess.pixel_scale)
    };
    means.iter().enumerate().map(pixel).collect()
}

/// What rounding the weights takes from a channel's mean output; weights are `[tap][in]`.
fn lost_mean(row: &[f64], weights: &[i8], weight_scale: f64, means: &[f64]) -> f64 {
    let lost = row.iter().zip(weights).zip(means.iter().cycle());
    lost.map(|((real, &rounded), mean)| (real - weight_scale * f64::from(rounded)) * mean).sum()
}

/// The scales around a layer's accumulator.
struct Scales<'a> {
    /// Mean of each input channel.
    means: &'a [f64],
    input: f64,
    input_zero: i64,
    output: f64,
    skip: Option<f64>,
    skip_shift: u8,
    acc_shift: u8,
}

fn quantize_conv(
    layer: &Layer,
    conv: &Conv,
    means: &[f64],
    tensors: &mut [QuantizedTensor],
) -> Result<QuantizedLayer, QuantizeError> {
    let input = &tensors[layer.input.0];
    let taps = conv.kernel[0] * conv.kernel[1];
    let channels_in = input.shape.c;
    let rows: Vec<Vec<f64>> =
        conv.weights.chunks(channels_in * taps).map(|row| channels_last(row, channels_in, taps)).collect();
    let mut scales = Scales {
        means,
        input: input.scale.into(),
        input_zero: input.zero_point.into(),
        output: tensors[layer.output.0].scale.into(),
        skip: conv.skip.map(|skip| tensors[skip.tensor.0].scale.into()),
        skip_shift: 0,
        acc_shift: 0,
    };
    let largest = rows.iter().map(|row| natural_scale(row)).fold(0.0, f64::max);
    widen_output(&mut tensors[layer.output.0], scales.input * largest);
    scales.output = tensors[layer.output.0].scale.into();
    if let Some(skip) = scales.skip {
        scales.skip_shift = skip_shift(&rows, scales.input, skip);
    }
    let joined = conv
        .skip
        .map_or(0..0, |skip| skip.channel_offset..skip.channel_offset + tensors[skip.tensor.0].shape.c);
    let (mut weights, mut channels) =
        (Vec::with_capacity(conv.weights.len()), Vec::with_capacity(rows.len()));
    for (index, (row, bias)) in rows.iter().zip(&conv.bias).enumerate() {
        let skip = scales.skip.filter(|_| joined.contains(&index));
        let (row, channel) = quantize_channel(row, *bias, &Scales { skip, ..scales }).map_err(|scale| {
            QuantizeError::Channel { layer: layer.name.clone(), channel: index, bias: *bias, scale }
        })?;
        weights.extend(row);
        channels.push(channel);
    }
    let op = QuantizedOp::Conv {
        window: Window { kernel: conv.kernel, stride: conv.stride, pads: conv.pads },
        skip: conv.skip.map(|skip| (skip, scales.skip_shift)),
        clamp: clamp(conv.activation, &tensors[layer.output.0]),
        pool: conv.pool.as_ref().map(|&Pool { kernel, stride, pads, .. }| Window { kernel, stride, pads }),
    };
    Ok(finish(layer, op, weights, channels))
}

/// One output channel's weights from `[in][tap]` to `[tap][in]`.
fn channels_last(row: &[f64], channels: usize, taps: usize) -> Vec<f64> {
    (0..taps).flat_map(|tap| (0..channels).map(move |c| row[c * taps + tap])).collect()
}

/// The scale at which the largest weight becomes 127.
fn natural_scale(row: &[f64]) -> f64 {
    row.iter().fold(0.0, |largest: f64, w| largest.max(w.abs())) / 127.0
}

/// Coarsens an output whose step is below four accumulator steps, which no multiplier below 1/4 can express.
///
/// Trained networks are far from that; it happens when a layer's output is a handful of its input's steps.
fn widen_output(output: &mut QuantizedTensor, accumulator_step: f64) {
    let smallest = accumulator_step * 4.0 * (1.0 + 1e-6);
    if f64::from(output.scale) > smallest {
        return;
    }
    let low = f64::from(output.scale) * f64::from(-128 - i32::from(output.zero_point));
    #[expect(clippy::cast_possible_truncation, reason = "a scale fits f32, a zero point is clamped to i8")]
    {
        output.scale = (smallest * (1.0 + 1e-6)) as f32;
        output.zero_point = (-128.0 - low / f64::from(output.scale)).round().clamp(-128.0, 127.0) as i8;
    }
}

/// Most fraction bits with which every channel's shortcut multiplier fits without coarsening its weights.
fn skip_shift(rows: &[Vec<f64>], input_scale: f64, skip_scale: f64) -> u8 {
    let smallest =
        rows.iter().map(|row| natural_scale(row)).filter(|s| *s > 0.0).fold(f64::INFINITY, f64::min);
    let ratio = skip_scale / (input_scale * smallest);
    (MIN_SKIP_SHIFT..=MAX_SKIP_SHIFT)
        .rev()
        .find(|&shift| ratio * f64::from(1u32 << shift) < LARGEST_SKIP_MULTIPLIER)
        .unwrap_or(MIN_SKIP_SHIFT)
}

/// Below this many fraction bits the weights of the smallest channels are coarsened instead: a channel whose whole
/// convolution is worth a few steps of the shortcut loses nothing by it.
const MIN_SKIP_SHIFT: u8 = 4;

/// `255 * K` stays below `2^31` with room for the rounding constant.
const LARGEST_SKIP_MULTIPLIER: f64 = 8_000_000.0;

/// Quantizes one channel at its natural scale, or at the next coarser one at which everything fits.
///
/// A dead channel (all weights 0) gets a scale that keeps its bias exact to a fraction of an output step.
fn quantize_channel(row: &[f64], bias: f64, scales: &Scales<'_>) -> Result<(Vec<i8>, QuantizedChannel), f64> {
    let finest = scales.output / scales.input * 2f64.powi(-20);
    let mut weight_scale = natural_scale(row).max(finest);
    for _ in 0..64 {
        let weights: Vec<i8> = row.iter().map(|w| round_weight(w / weight_scale)).collect();
        let bias = bias + lost_mean(row, &weights, weight_scale, scales.means);
        if let Some(channel) = channel_at(&weights, bias, weight_scale, scales) {
            return Ok((weights, channel));
        }
        weight_scale *= 2.0;
    }
    Err(weight_scale)
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to [-127, 127]")]
fn round_weight(value: f64) -> i8 {
    value.round().clamp(-127.0, 127.0) as i8
}

/// The channel's integers at this weight scale; `None` when one of them does not fit.
fn channel_at(weights: &[i8], bias: f64, weight_scale: f64, scales: &Scales<'_>) -> Option<QuantizedChannel> {
    let step = scales.input * weight_scale;
    let (sum, magnitude) = weights.iter().fold((0i64, 0i64), |(sum, magnitude), &w| {
        (sum + i64::from(w), magnitude + i64::from(w.unsigned_abs()))
    });
    let bias = round_to_i64(bias / step)? - scales.input_zero * sum;
    let skip_multiplier = match scales.skip {
        Some(skip) => {
            let real = skip / step * f64::from(1u32 << scales.skip_shift);
            (real < LARGEST_SKIP_MULTIPLIER).then(|| round_to_i64(real))??
        }
        None => 0,
    };
    let skip_reach = ((255 * skip_multiplier) >> scales.skip_shift) + 2;
    let reach = (bias.abs() + 128 * magnitude + skip_reach) << scales.acc_shift;
    let scaled_step = step / f64::from(1u32 << scales.acc_shift);
    Some(QuantizedChannel {
        weight_scale,
        bias: i32::try_from(bias).ok().filter(|_| reach < ACCUMULATOR_LIMIT)?,
        multiplier: Multiplier::from_real(scaled_step / scales.output)?,
        skip_multiplier: i32::try_from(skip_multiplier).ok()?,
    })
}

/// The nearest integer, if its magnitude is below 2^40.
fn round_to_i64(value: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "below 2^40")]
    (value.abs() < 1e12).then(|| value.round() as i64)
}

/// The activation's bounds in output steps.
fn clamp(activation: Activation, output: &QuantizedTensor) -> [i8; 2] {
    let quantized = |real: f32| {
        #[expect(clippy::cast_possible_truncation, reason = "clamped to the range of i8")]
        let value = ((f64::from(real) / f64::from(output.scale)).round() + f64::from(output.zero_point))
            .clamp(-128.0, 127.0) as i8;
        value
    };
    match activation {
        Activation::None => [-128, 127],
        Activation::Relu => [output.zero_point, 127],
        Activation::Clip(low, high) => [quantized(low), quantized(high)],
    }
}

fn quantize_average_pool(
    layer: &Layer,
    tensors: &[QuantizedTensor],
) -> Result<QuantizedLayer, QuantizeError> {
    let (input, output) = (&tensors[layer.input.0], &tensors[layer.output.0]);
    let count = input.shape.h * input.shape.w;
    let real = f64::from(input.scale) / (f64::from(output.scale) * count as f64);
    let values = i64::try_from(count).unwrap_or(i64::MAX >> 32);
    let bias = -i64::from(input.zero_point) * values;
    let shifts = (0..30u8).map(|shift| (shift, Multiplier::from_real(real / f64::from(1u32 << shift))));
    let fitting = shifts.filter_map(|(shift, multiplier)| Some((shift, multiplier?))).next();
    let fitting = fitting.filter(|(shift, _)| (bias.abs() + 128 * values) << shift < ACCUMULATOR_LIMIT);
    let (Some((acc_shift, multiplier)), Ok(bias)) = (fitting, i32::try_from(bias)) else {
        return Err(QuantizeError::AveragePool { layer: layer.name.clone(), factor: real });
    };
    let channel = QuantizedChannel { weight_scale: 1.0, bias, multiplier, skip_multiplier: 0 };
    Ok(finish(layer, QuantizedOp::AveragePool { acc_shift }, vec![], vec![channel]))
}

/// Quantizes the classifier: one weight scale per class, one scale for all logits.
///
/// The accumulator is shifted left as far as it goes and the common scale is four shifted steps of the coarsest class,
/// so that one logit step is (for all practical fan-ins) finer than an accumulator step and ranking loses nothing.
fn quantize_dense(
    layer: &Layer,
    dense: &Dense,
    means: &[f64],
    tensors: &mut [QuantizedTensor],
) -> Result<QuantizedLayer, QuantizeError> {
    let input = tensors[layer.input.0].clone();
    let shape = input.shape;
    let rows: Vec<Vec<f64>> =
        dense.weights.chunks(shape.len()).map(|row| channels_last(row, shape.c, shape.h * shape.w)).collect();
    let coarsest = f64::from(input.scale) * rows.iter().map(|row| natural_scale(row)).fold(1e-30, f64::max);
    for acc_shift in (0..=MAX_DENSE_SHIFT).rev() {
        let output = coarsest * 4.0 * (1.0 + 1e-6) / f64::from(1u32 << acc_shift);
        #[expect(clippy::cast_possible_truncation, reason = "a scale fits f32")]
        let output = output as f32;
        let scales = Scales {
            means,
            input: input.scale.into(),
            input_zero: input.zero_point.into(),
            output: output.into(),
            skip: None,
            skip_shift: 0,
            acc_shift,
        };
        let quantized = rows.iter().zip(&dense.bias).map(|(row, bias)| quantize_class(row, *bias, &scales));
        let Some(quantized) = quantized.collect::<Option<Vec<_>>>() else { continue };
        let logits = &mut tensors[layer.output.0];
        (logits.scale, logits.zero_point) = (output, 0);
        let (weights, channels): (Vec<_>, Vec<_>) = quantized.into_iter().unzip();
        return Ok(finish(layer, QuantizedOp::Dense { acc_shift }, weights.concat(), channels));
    }
    let bias = dense.bias.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
    Err(QuantizeError::Channel { layer: layer.name.clone(), channel: 0, bias, scale: coarsest })
}

/// Largest left shift of the classifier's accumulator.
const MAX_DENSE_SHIFT: u8 = 10;

/// One class at its natural scale; `None` when the accumulator would not fit.
fn quantize_class(row: &[f64], bias: f64, scales: &Scales<'_>) -> Option<(Vec<i8>, QuantizedChannel)> {
    let finest = scales.output / scales.input * 2f64.powi(-20);
    let weight_scale = natural_scale(row).max(finest);
    let weights: Vec<i8> = row.iter().map(|w| round_weight(w / weight_scale)).collect();
    let bias = bias + lost_mean(row, &weights, weight_scale, scales.means);
    let channel = channel_at(&weights, bias, weight_scale, scales)?;
    Some((weights, channel))
}
