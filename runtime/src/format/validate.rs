//! Every check that a file's content must pass. Afterwards no accessor of `Model` fails, no tensor leaves the arena,
//! no two live tensors share memory, and no accumulator can wrap.

use super::records::{ChannelRecord, LayerRecord, PreprocessRecord, TensorRecord, WindowRecord};
use super::sections::{SectionKind, Sections};
use super::{MAX_KERNEL, MAX_LAYERS, MAX_STRIDE, MAX_TEXT, TENSOR_ALIGN, lines};
use crate::arith::{ACCUMULATOR_LIMIT, MAX_SHIFT, MAX_SKIP_SHIFT, MIN_SHIFT, skip_rounding};
use crate::error::LoadError;
use crate::preprocess::{MAX_INPUT_CHANNELS, Preprocess};

/// A check that fails names its problem; the caller adds the place.
type Check<T = ()> = Result<T, &'static str>;

fn ensure(condition: bool, problem: &'static str) -> Check {
    if condition { Ok(()) } else { Err(problem) }
}

/// Checks everything behind the section table and returns the preprocessing.
///
/// Not inlined, like the check of a layer: the stack that a check needs is free again when it returns.
#[inline(never)]
pub(crate) fn validate(sections: &Sections<'_>) -> Result<Preprocess, LoadError> {
    let layers = sections.layers().len();
    check_counts(sections)?;
    for (index, bytes) in sections.tensors().iter().enumerate() {
        let tensor = TensorRecord::read(bytes);
        if !bytes.ends_with(&[0; 2]) {
            return Err(LoadError::Tensor { index, problem: "its unused bytes are not 0" });
        }
        check_tensor(&tensor, index, layers, sections.graph().activation_bytes)
            .map_err(|problem| LoadError::Tensor { index, problem })?;
    }
    check_activation_bytes(sections)?;
    let mut used = Used::default();
    for (index, bytes) in sections.layers().iter().enumerate() {
        let layer = LayerRecord::read(bytes);
        check_layer(sections, &mut used, &layer, index)
            .map_err(|problem| LoadError::Layer { index, problem })?;
    }
    check_overlaps(sections)?;
    check_texts(sections)?;
    let preprocess =
        preprocess(&sections.preprocess()).map_err(|problem| SectionKind::Preprocess.error(problem))?;
    check_input(sections, &preprocess)?;
    Ok(preprocess)
}

fn check_counts(sections: &Sections<'_>) -> Result<(), LoadError> {
    let layers = sections.layers().len();
    if layers == 0 || layers > MAX_LAYERS {
        return Err(SectionKind::Layers.error("a model has 1 to 4096 layers"));
    }
    if sections.tensors().len() != layers + 1 {
        return Err(SectionKind::Tensors.error("there must be one tensor more than layers"));
    }
    if sections.self_test().len() != layers + 1 {
        return Err(SectionKind::SelfTest.error("there must be a seed and one hash a layer"));
    }
    if sections.self_test().first() == Some(&[0; 4]) {
        return Err(SectionKind::SelfTest.error("the seed must not be 0"));
    }
    Ok(())
}

/// Number of values of a tensor: below 2^48, so it cannot wrap.
fn len(tensor: &TensorRecord) -> u64 {
    u64::from(tensor.h) * u64::from(tensor.w) * u64::from(tensor.c)
}

fn end(tensor: &TensorRecord) -> u64 {
    let element = if tensor.element == TensorRecord::I32 { 4 } else { 1 };
    u64::from(tensor.offset) + len(tensor) * element
}

fn check_tensor(tensor: &TensorRecord, index: usize, layers: usize, activation_bytes: u32) -> Check {
    ensure(len(tensor) > 0, "has no values")?;
    ensure((tensor.offset as usize).is_multiple_of(TENSOR_ALIGN), "does not start at a multiple of 64")?;
    ensure(end(tensor) <= activation_bytes.into(), "ends past the activations")?;
    ensure(tensor.scale.is_finite() && tensor.scale > 0.0, "its scale is not a positive number")?;
    let last_use = usize::from(tensor.last_use);
    if index == layers {
        ensure(tensor.element == TensorRecord::I32, "the last tensor must hold int32 logits")?;
        ensure(tensor.h == 1 && tensor.w == 1, "logits have one row and one column")?;
        ensure(tensor.zero_point == 0, "logits have no zero point")?;
        ensure(last_use == layers, "the logits must outlive the run")
    } else {
        ensure(tensor.element == TensorRecord::I8, "only the last tensor may hold int32 values")?;
        ensure((index..layers).contains(&last_use), "its last use is not a layer that could read it")
    }
}

/// The arena is exactly as long as the furthest tensor reaches.
fn check_activation_bytes(sections: &Sections<'_>) -> Result<(), LoadError> {
    let furthest = sections.tensors().iter().map(|bytes| end(&TensorRecord::read(bytes))).max();
    if furthest == Some(sections.graph().activation_bytes.into()) {
        return Ok(());
    }
    Err(SectionKind::Graph.error("its size of the activations is not where the furthest tensor ends"))
}

/// How much of the weights and channel records the layers before have used. Each layer's stand behind those of the
/// layers before it, so that reading them all takes time in proportion to the file.
#[derive(Debug, Default)]
struct Used {
    weights: usize,
    channels: usize,
}

impl Used {
    fn weights<'m>(&mut self, sections: &Sections<'m>, layer: &LayerRecord, count: usize) -> Check<&'m [i8]> {
        take(
            sections.weights(),
            &mut self.weights,
            layer.weights,
            count,
            "its weights are not in the file or not in order",
        )
    }

    fn channels<'m>(
        &mut self,
        sections: &Sections<'m>,
        layer: &LayerRecord,
        count: usize,
    ) -> Check<&'m [[u8; ChannelRecord::LEN]]> {
        let problem = "its channel records are not in the file or not in order";
        take(sections.channels(), &mut self.channels, layer.channels, count, problem)
    }
}

/// `count` entries from `start` on, which must not be before `used`.
fn take<'m, T>(
    all: &'m [T],
    used: &mut usize,
    start: u32,
    count: usize,
    problem: &'static str,
) -> Check<&'m [T]> {
    let start = start as usize;
    let entries =
        all.get(start..).and_then(|rest| rest.get(..count)).filter(|_| start >= *used).ok_or(problem)?;
    *used = start + count;
    Ok(entries)
}

#[inline(never)]
fn check_layer(sections: &Sections<'_>, used: &mut Used, layer: &LayerRecord, index: usize) -> Check {
    let input = readable(sections, layer.input, index)?;
    let output = tensor(sections, index + 1)?;
    let last = index + 1 == sections.layers().len();
    ensure(last == (layer.op == LayerRecord::DENSE), "the last layer and no other must be dense")?;
    ensure(
        layer.op == LayerRecord::CONV || layer.skip == LayerRecord::NO_SKIP,
        "only a convolution can have a shortcut",
    )?;
    ensure(
        layer.op == LayerRecord::CONV || layer.pool == WindowRecord::NONE,
        "only a convolution can have a pooling",
    )?;
    ensure(layer.low <= layer.high, "its smallest output is above its largest")?;
    let skip_channels = check_skip(sections, layer, index, &output)?;
    match layer.op {
        LayerRecord::CONV => check_conv(sections, used, layer, [&input, &output], skip_channels),
        LayerRecord::MAX_POOL => check_max_pool(layer, &input, &output),
        LayerRecord::AVERAGE_POOL => check_average_pool(sections, used, layer, [&input, &output]),
        LayerRecord::DENSE => check_products(sections, used, layer, len(&input), output.c, 0),
        _ => Err("its operation is unknown to this build"),
    }
}

fn tensor(sections: &Sections<'_>, index: usize) -> Check<TensorRecord> {
    sections.tensors().get(index).map(TensorRecord::read).ok_or("names a tensor that is not there")
}

/// A tensor that layer `index` may read: written before, and kept until then.
fn readable(sections: &Sections<'_>, tensor_index: u16, index: usize) -> Check<TensorRecord> {
    let record = tensor(sections, tensor_index.into())?;
    ensure(usize::from(tensor_index) <= index, "reads a tensor that is written later")?;
    ensure(usize::from(record.last_use) >= index, "reads a tensor after its last use")?;
    Ok(record)
}

#[inline(never)]
fn check_conv(
    sections: &Sections<'_>,
    used: &mut Used,
    layer: &LayerRecord,
    [input, output]: [&TensorRecord; 2],
    skip_channels: u16,
) -> Check {
    let map = check_window(&layer.window, [input.h, input.w], &KERNEL_PROBLEMS)?;
    ensure(
        layer.pool == WindowRecord::NONE || layer.skip == LayerRecord::NO_SKIP,
        "a convolution with a pooling has no shortcut",
    )?;
    let size = check_pool_of_conv(&layer.pool, map)?;
    ensure(size == [output.h, output.w].map(u32::from), "its output has the wrong size")?;
    ensure(layer.acc_shift == 0, "a convolution does not shift its accumulator")?;
    let fan_in = u64::from(layer.window.kernel[0]) * u64::from(layer.window.kernel[1]) * u64::from(input.c);
    check_products(sections, used, layer, fan_in, output.c, skip_channels)
}

/// Rows and columns that are left of a convolution's map, which is no tensor when a pooling follows but obeys the
/// limits of one.
fn check_pool_of_conv(pool: &WindowRecord, map: [u32; 2]) -> Check<[u32; 2]> {
    if *pool == WindowRecord::NONE {
        return Ok(map);
    }
    let [Ok(h), Ok(w)] = map.map(u16::try_from) else {
        return Err("what its pooling reads has more than 65535 rows or columns");
    };
    check_window(pool, [h, w], &POOL_PROBLEMS)
}

/// What can be wrong with a window: its size, its stride, its padding, all of them against the map.
struct WindowProblems {
    kernel: &'static str,
    stride: &'static str,
    pads: &'static str,
    map: &'static str,
}

const KERNEL_PROBLEMS: WindowProblems = WindowProblems {
    kernel: "its kernel must have 1 to 16 rows and columns",
    stride: "its stride must be 1 to 16",
    pads: "its padding must be smaller than its kernel",
    map: "its kernel is larger than its padded input",
};

const POOL_PROBLEMS: WindowProblems = WindowProblems {
    kernel: "its pooling window must have 1 to 16 rows and columns",
    stride: "the stride of its pooling must be 1 to 16",
    pads: "the padding of its pooling must be smaller than the window",
    map: "its pooling window is larger than the padded map",
};

/// Kernel, stride and padding are in range; returns the rows and columns that they leave of a map of size `map`.
fn check_window(window: &WindowRecord, map: [u16; 2], problems: &WindowProblems) -> Check<[u32; 2]> {
    let [top, left, bottom, right] = window.pads;
    let sides = [(map[0], top, bottom), (map[1], left, right)];
    let mut out = [0; 2];
    for ((out, (size, before, after)), (kernel, stride)) in
        out.iter_mut().zip(sides).zip(window.kernel.into_iter().zip(window.stride))
    {
        ensure((1..=MAX_KERNEL).contains(&kernel), problems.kernel)?;
        ensure((1..=MAX_STRIDE).contains(&stride), problems.stride)?;
        ensure(before < kernel && after < kernel, problems.pads)?;
        let padded = u32::from(size) + u32::from(before) + u32::from(after);
        ensure(padded >= kernel.into(), problems.map)?;
        *out = (padded - u32::from(kernel)) / u32::from(stride) + 1;
    }
    Ok(out)
}

/// Checks the shortcut's shape and returns how many of its channels join.
fn check_skip(
    sections: &Sections<'_>,
    layer: &LayerRecord,
    index: usize,
    output: &TensorRecord,
) -> Check<u16> {
    if layer.skip == LayerRecord::NO_SKIP {
        ensure(
            layer.skip_stride == 0 && layer.skip_shift == 0 && layer.skip_channel == 0,
            "has shortcut fields but no shortcut",
        )?;
        return Ok(0);
    }
    let skip = readable(sections, layer.skip, index)?;
    ensure((1..=MAX_STRIDE).contains(&layer.skip_stride), "its shortcut's stride must be 1 to 16")?;
    ensure(layer.skip_shift <= MAX_SKIP_SHIFT, "its shortcut has more than 8 fraction bits")?;
    let stride = u16::from(layer.skip_stride);
    let same_size = skip.h.div_ceil(stride) == output.h && skip.w.div_ceil(stride) == output.w;
    ensure(same_size, "its shortcut has the wrong size")?;
    ensure(
        u32::from(layer.skip_channel) + u32::from(skip.c) <= output.c.into(),
        "its shortcut has too many channels",
    )?;
    Ok(skip.c)
}

/// Weights and channel records are there, and no accumulator of any output channel can reach the limit.
fn check_products(
    sections: &Sections<'_>,
    used: &mut Used,
    layer: &LayerRecord,
    fan_in: u64,
    channels: u16,
    skip_channels: u16,
) -> Check {
    let too_many = "has more weights than a file can hold";
    let fan_in = usize::try_from(fan_in).map_err(|_| too_many)?;
    let count = fan_in.checked_mul(channels.into()).ok_or(too_many)?;
    let channels = used.channels(sections, layer, channels.into())?;
    let weights = used.weights(sections, layer, count)?;
    let first = u32::from(layer.skip_channel);
    let skip = first..first + u32::from(skip_channels);
    let mut largest = 0;
    for ((weights, record), index) in weights.chunks_exact(fan_in.max(1)).zip(channels).zip(0u32..) {
        let channel = channel(record)?;
        let term = check_skip_multiplier(&channel, layer.skip_shift, skip.contains(&index))?;
        let sum = magnitude(weights).ok_or("a weight is -128")?;
        check_accumulator(&channel, sum.saturating_mul(128).saturating_add(term), layer.acc_shift)?;
        largest = largest.max(sum);
    }
    ensure(largest == layer.weight_sum.into(), "its weight sum is not that of its weights")
}

/// A channel record whose unused bytes are 0.
fn channel(record: &[u8; ChannelRecord::LEN]) -> Check<ChannelRecord> {
    ensure(record.ends_with(&[0; 3]), "the unused bytes of a channel record are not 0")?;
    Ok(ChannelRecord::read(record))
}

/// Sum of the weights' magnitudes; `None` when one of them is -128.
///
/// Summed in pieces whose total fits 32 bits, which compiles to vector code.
fn magnitude(weights: &[i8]) -> Option<u64> {
    weights.chunks(4096).try_fold(0, |total, piece| {
        let lowest = piece.iter().fold(0, |lowest: i8, &w| lowest.min(w));
        let sum: u32 = piece.iter().map(|&w| u32::from(w.unsigned_abs())).sum();
        (lowest > i8::MIN).then_some(total + u64::from(sum))
    })
}

/// Largest magnitude that the shortcut adds to this channel's accumulator.
fn check_skip_multiplier(channel: &ChannelRecord, shift: u8, joined: bool) -> Check<u64> {
    ensure(joined || channel.skip_multiplier == 0, "a channel without a shortcut has a shortcut multiplier")?;
    let product = 255 * u64::from(channel.skip_multiplier.unsigned_abs())
        + u64::from(skip_rounding(shift).unsigned_abs());
    ensure(product < 1 << 31, "a shortcut multiplier can wrap")?;
    Ok((product >> shift) + 1)
}

/// The requantization is in range and `(|bias| + reach) << acc_shift` stays below the limit.
fn check_accumulator(channel: &ChannelRecord, reach: u64, acc_shift: u8) -> Check {
    ensure(channel.mantissa >= 1 << 30, "a multiplier's mantissa is not in [2^30, 2^31)")?;
    ensure((MIN_SHIFT..=MAX_SHIFT).contains(&channel.shift), "a multiplier's shift is not in [2, 30]")?;
    let largest = u64::from(channel.bias.unsigned_abs()).saturating_add(reach);
    let limit = ACCUMULATOR_LIMIT.unsigned_abs();
    ensure(acc_shift < 30 && largest < limit >> acc_shift, "an accumulator can wrap")
}

fn check_max_pool(layer: &LayerRecord, input: &TensorRecord, output: &TensorRecord) -> Check {
    ensure(layer.weight_sum == 0, "a pooling has no weights to sum")?;
    let size = check_window(&layer.window, [input.h, input.w], &KERNEL_PROBLEMS)?;
    ensure(size == [output.h, output.w].map(u32::from), "its output has the wrong size")?;
    ensure(input.c == output.c, "a pooling keeps the number of channels")?;
    let same_steps = input.zero_point == output.zero_point && input.scale == output.scale;
    ensure(same_steps, "a max pooling keeps scale and zero point")
}

fn check_average_pool(
    sections: &Sections<'_>,
    used: &mut Used,
    layer: &LayerRecord,
    [input, output]: [&TensorRecord; 2],
) -> Check {
    ensure(layer.weight_sum == 0, "a pooling has no weights to sum")?;
    ensure(output.h == 1 && output.w == 1, "a global average has one row and one column")?;
    ensure(input.c == output.c, "a pooling keeps the number of channels")?;
    let [record] = used.channels(sections, layer, 1)? else {
        return Err("its channel record is not in the file");
    };
    let channel = channel(record)?;
    ensure(channel.skip_multiplier == 0, "a pooling has no shortcut")?;
    check_accumulator(&channel, 128 * u64::from(input.h) * u64::from(input.w), layer.acc_shift)
}

/// Two tensors that live at the same time occupy different bytes, but for a shortcut that is overwritten in place.
///
/// Tensor `i` lives from layer `i - 1`, which writes it, to its last use.
#[inline(never)]
fn check_overlaps(sections: &Sections<'_>) -> Result<(), LoadError> {
    let records = || sections.tensors().iter().map(TensorRecord::read).enumerate();
    for (later, b) in records() {
        for (earlier, a) in records().take(later) {
            let apart = end(&a) <= b.offset.into() || end(&b) <= a.offset.into();
            let dead = usize::from(a.last_use) + 1 < later;
            if !apart && !dead && !in_place(sections, earlier, &a, later, &b) {
                return Err(LoadError::Tensor {
                    index: later,
                    problem: "shares memory with a tensor that is still in use",
                });
            }
        }
    }
    Ok(())
}

/// Whether the layer that writes `b` consumes `a` as its shortcut, for the last time, value by value.
fn in_place(
    sections: &Sections<'_>,
    earlier: usize,
    a: &TensorRecord,
    later: usize,
    b: &TensorRecord,
) -> bool {
    let Some(layer) = later.checked_sub(1).and_then(|writer| sections.layers().get(writer)) else {
        return false;
    };
    let layer = LayerRecord::read(layer);
    let consumes = usize::from(layer.skip) == earlier && usize::from(a.last_use) + 1 == later;
    let not_input = usize::from(layer.input) != earlier;
    let same_place = a.offset == b.offset && [a.h, a.w, a.c] == [b.h, b.w, b.c];
    consumes && not_input && same_place && layer.skip_stride == 1
}

/// Names and labels are one a line: as many as there are layers and classes, or none. No text is so long that finding
/// each of its lines takes long, and none can send control codes to a terminal.
#[inline(never)]
fn check_texts(sections: &Sections<'_>) -> Result<(), LoadError> {
    let classes = sections.tensors().last().map_or(0, |bytes| TensorRecord::read(bytes).c.into());
    let texts = [
        (
            SectionKind::Names,
            sections.names(),
            Some(sections.layers().len()),
            "does not hold one name a layer",
        ),
        (SectionKind::Labels, sections.labels(), Some(classes), "does not hold one label a class"),
        (SectionKind::Info, sections.info(), None, ""),
    ];
    for (kind, text, expected, problem) in texts {
        if text.len() > MAX_TEXT {
            return Err(kind.error("is longer than 1 MiB"));
        }
        if text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(kind.error("holds a control character"));
        }
        if !text.is_empty() && expected.is_some_and(|count| lines(text).count() != count) {
            return Err(kind.error(problem));
        }
    }
    Ok(())
}

/// The stored preprocessing, every field in range.
fn preprocess(record: &PreprocessRecord) -> Check<Preprocess> {
    let order = record.channel_order().ok_or("its channel order is unknown")?;
    let resize = record.resize_rule().ok_or("its resize is unknown")?;
    let positive = |value: f32| value.is_finite() && value > 0.0;
    ensure(positive(record.pixel_scale), "its pixel scale is not a positive number")?;
    ensure(record.mean.iter().all(|value| value.is_finite()), "a mean is not a number")?;
    ensure(record.std.iter().all(|value| positive(*value)), "a standard deviation is not a positive number")?;
    Ok(Preprocess { order, resize, pixel_scale: record.pixel_scale, mean: record.mean, std: record.std })
}

/// The input is raw pixels of the stored channel order.
fn check_input(sections: &Sections<'_>, preprocess: &Preprocess) -> Result<(), LoadError> {
    let input = tensor(sections, 0).map_err(|problem| LoadError::Tensor { index: 0, problem })?;
    if usize::from(input.c) != preprocess.order.channels() || usize::from(input.c) > MAX_INPUT_CHANNELS {
        return Err(LoadError::Tensor { index: 0, problem: "has other channels than the preprocessing" });
    }
    if input.zero_point != -128 || input.scale != 1.0 {
        return Err(LoadError::Tensor {
            index: 0,
            problem: "the input must be raw pixels: scale 1, zero point -128",
        });
    }
    Ok(())
}
