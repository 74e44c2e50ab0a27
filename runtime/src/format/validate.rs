//! Every check that a file's content must pass, with those of `products` and `streaming`. Afterwards no accessor of `Model` fails, no tensor leaves the arena,
//! no two live tensors share memory, and no accumulator can wrap.

use super::problem::{Check, Problem, ensure};
use super::products::{Used, channel, check_accumulator, check_products};
use super::records::{LayerRecord, PreprocessRecord, TensorRecord, WindowRecord};
use super::sections::{SectionKind, Sections};
use super::streaming;
use super::{MAX_KERNEL, MAX_LAYERS, MAX_STRIDE, MAX_TEXT, TENSOR_ALIGN, lines};
use crate::arith::MAX_SKIP_SHIFT;
use crate::error::LoadError;
use crate::kernels::transformed;
use crate::preprocess::{MAX_INPUT_CHANNELS, Preprocess};

/// Checks everything behind the section table and returns the preprocessing.
///
/// Not inlined, like the check of a layer: the stack that a check needs is free again when it returns.
#[inline(never)]
pub(crate) fn validate(sections: &Sections<'_>) -> Result<Preprocess, LoadError> {
    let layers = sections.layers().len();
    check_counts(sections)?;
    let activation_bytes = sections.graph().activation_bytes;
    let mut furthest = 0;
    for (index, bytes) in sections.tensors().iter().enumerate() {
        let tensor = TensorRecord::read(bytes);
        if !bytes.ends_with(&[0]) {
            return Err(LoadError::Tensor { index, problem: Problem::UnusedBytes });
        }
        check_tensor(&tensor, index, layers, activation_bytes)
            .map_err(|problem| LoadError::Tensor { index, problem })?;
        furthest = furthest.max(end(&tensor));
    }
    // The arena is exactly as long as the furthest tensor reaches.
    if furthest != activation_bytes.into() {
        return Err(SectionKind::Graph.error(Problem::ActivationBytes));
    }
    let mut used = Used::default();
    let mut group = 0..0;
    for (index, bytes) in sections.layers().iter().enumerate() {
        if index == group.end {
            group = sections.group(index);
        }
        let layer = LayerRecord::read(bytes);
        check_layer(sections, &mut used, &layer, index)
            .and_then(|()| streaming::check(sections, &group, &layer, index))
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
        return Err(SectionKind::Layers.error(Problem::LayerCount));
    }
    if sections.tensors().len() != layers + 1 {
        return Err(SectionKind::Tensors.error(Problem::TensorCount));
    }
    if sections.self_test().len() != layers + 1 {
        return Err(SectionKind::SelfTest.error(Problem::HashCount));
    }
    if sections.self_test().first() == Some(&[0; 4]) {
        return Err(SectionKind::SelfTest.error(Problem::ZeroSeed));
    }
    Ok(())
}

/// Number of values of a tensor: below 2^48, so it cannot wrap.
fn len(tensor: &TensorRecord) -> u64 {
    u64::from(tensor.h) * u64::from(row_len(tensor))
}

/// Number of values of a row of it.
pub(super) fn row_len(tensor: &TensorRecord) -> u32 {
    u32::from(tensor.w) * u32::from(tensor.c)
}

pub(super) fn is_streamed(tensor: &TensorRecord) -> bool {
    tensor.kept_rows > 0
}

/// Where the bytes end that a tensor occupies in the arena.
fn end(tensor: &TensorRecord) -> u64 {
    let element = if tensor.element == TensorRecord::I32 { 4 } else { 1 };
    let rows = if is_streamed(tensor) { tensor.kept_rows.into() } else { tensor.h };
    u64::from(tensor.offset) + u64::from(rows) * u64::from(row_len(tensor)) * element
}

fn check_tensor(tensor: &TensorRecord, index: usize, layers: usize, activation_bytes: u32) -> Check {
    ensure(len(tensor) > 0, Problem::NoValues)?;
    ensure((tensor.offset as usize).is_multiple_of(TENSOR_ALIGN), Problem::TensorAlignment)?;
    ensure(end(tensor) <= activation_bytes.into(), Problem::PastActivations)?;
    ensure(tensor.scale.is_finite() && tensor.scale > 0.0, Problem::Scale)?;
    ensure(!is_streamed(tensor) || (1..layers).contains(&index), Problem::StreamedEnd)?;
    let last_use = usize::from(tensor.last_use);
    if index == layers {
        ensure(tensor.element == TensorRecord::I32, Problem::LogitsElement)?;
        ensure(tensor.h == 1 && tensor.w == 1, Problem::LogitsSize)?;
        ensure(tensor.zero_point == 0, Problem::LogitsZeroPoint)?;
        ensure(last_use == layers, Problem::LogitsLastUse)
    } else {
        ensure(tensor.element == TensorRecord::I8, Problem::ActivationElement)?;
        ensure((index..layers).contains(&last_use), Problem::LastUse)
    }
}

#[inline(never)]
fn check_layer(sections: &Sections<'_>, used: &mut Used, layer: &LayerRecord, index: usize) -> Check {
    let input = readable(sections, layer.input, index)?;
    let output = tensor(sections, index + 1)?;
    let last = index + 1 == sections.layers().len();
    ensure(last == (layer.op == LayerRecord::DENSE), Problem::LastLayer)?;
    ensure(layer.is_conv() || layer.skip == LayerRecord::NO_SKIP, Problem::ShortcutWithoutConvolution)?;
    ensure(layer.is_conv() || layer.pool == WindowRecord::NONE, Problem::PoolingWithoutConvolution)?;
    ensure(layer.low <= layer.high, Problem::Clamp)?;
    let skip_channels = check_skip(sections, layer, index, &output)?;
    match layer.op {
        LayerRecord::CONV | LayerRecord::TRANSFORMED_CONV => {
            check_conv(sections, used, layer, [&input, &output], skip_channels)
        }
        LayerRecord::MAX_POOL => check_max_pool(layer, &input, &output),
        LayerRecord::AVERAGE_POOL => check_average_pool(sections, used, layer, [&input, &output]),
        LayerRecord::DENSE => check_products(sections, used, layer, len(&input), output.c, 0),
        _ => Err(Problem::Operation),
    }
}

pub(super) fn tensor(sections: &Sections<'_>, index: usize) -> Check<TensorRecord> {
    sections.tensors().get(index).map(TensorRecord::read).ok_or(Problem::NoTensor)
}

/// A tensor that layer `index` may read: written before, and kept until then.
fn readable(sections: &Sections<'_>, tensor_index: u16, index: usize) -> Check<TensorRecord> {
    let record = tensor(sections, tensor_index.into())?;
    ensure(usize::from(tensor_index) <= index, Problem::ReadBeforeWritten)?;
    let last_use = usize::from(record.last_use);
    ensure(last_use >= index, Problem::ReadAfterLastUse)?;
    ensure(last_use == index || !is_streamed(&record), Problem::StreamedReaders)?;
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
        Problem::ShortcutWithPooling,
    )?;
    let size = check_pool_of_conv(&layer.pool, map)?;
    ensure(size == [output.h, output.w].map(u32::from), Problem::OutputSize)?;
    ensure(layer.acc_shift == 0, Problem::ConvolutionShift)?;
    check_transformed(layer, input, output)?;
    let fan_in = u64::from(layer.window.kernel[0]) * u64::from(layer.window.kernel[1]) * u64::from(input.c);
    check_products(sections, used, layer, fan_in, output.c, skip_channels)
}

/// This build reads transformed weights, and the layer is one that can have them.
fn check_transformed(layer: &LayerRecord, input: &TensorRecord, output: &TensorRecord) -> Check {
    if layer.op != LayerRecord::TRANSFORMED_CONV {
        return Ok(());
    }
    ensure(cfg!(feature = "transformed-weights"), Problem::TransformedWeights)?;
    let window = layer.window.kernel == [3, 3] && layer.window.stride == [1, 1];
    let whole_tiles = output.h.is_multiple_of(2) && output.w.is_multiple_of(2);
    let whole_words = usize::from(input.c).is_multiple_of(transformed::CHANNELS);
    let fits = window && whole_tiles && whole_words && layer.pool == WindowRecord::NONE;
    ensure(fits, Problem::TransformedGeometry)
}

/// Rows and columns that are left of a convolution's map, which is no tensor when a pooling follows but obeys the
/// limits of one.
fn check_pool_of_conv(pool: &WindowRecord, map: [u32; 2]) -> Check<[u32; 2]> {
    if *pool == WindowRecord::NONE {
        return Ok(map);
    }
    let [Ok(h), Ok(w)] = map.map(u16::try_from) else {
        return Err(Problem::MapSize);
    };
    check_window(pool, [h, w], &POOL_PROBLEMS)
}

/// What can be wrong with a window: its size, its stride, its padding, all of them against the map.
struct WindowProblems {
    kernel: Problem,
    stride: Problem,
    pads: Problem,
    map: Problem,
}

const KERNEL_PROBLEMS: WindowProblems = WindowProblems {
    kernel: Problem::Kernel,
    stride: Problem::Stride,
    pads: Problem::Padding,
    map: Problem::KernelTooLarge,
};

const POOL_PROBLEMS: WindowProblems = WindowProblems {
    kernel: Problem::PoolingKernel,
    stride: Problem::PoolingStride,
    pads: Problem::PoolingPadding,
    map: Problem::PoolingTooLarge,
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
            Problem::ShortcutFields,
        )?;
        return Ok(0);
    }
    let skip = readable(sections, layer.skip, index)?;
    ensure((1..=MAX_STRIDE).contains(&layer.skip_stride), Problem::ShortcutStride)?;
    ensure(layer.skip_shift <= MAX_SKIP_SHIFT, Problem::ShortcutShift)?;
    let stride = u16::from(layer.skip_stride);
    let same_size = skip.h.div_ceil(stride) == output.h && skip.w.div_ceil(stride) == output.w;
    ensure(same_size, Problem::ShortcutSize)?;
    ensure(u32::from(layer.skip_channel) + u32::from(skip.c) <= output.c.into(), Problem::ShortcutChannels)?;
    Ok(skip.c)
}

fn check_max_pool(layer: &LayerRecord, input: &TensorRecord, output: &TensorRecord) -> Check {
    ensure(layer.weight_sum == 0, Problem::PoolingWeights)?;
    let size = check_window(&layer.window, [input.h, input.w], &KERNEL_PROBLEMS)?;
    ensure(size == [output.h, output.w].map(u32::from), Problem::OutputSize)?;
    ensure(input.c == output.c, Problem::PoolingChannels)?;
    let same_steps = input.zero_point == output.zero_point && input.scale == output.scale;
    ensure(same_steps, Problem::PoolingSteps)
}

fn check_average_pool(
    sections: &Sections<'_>,
    used: &mut Used,
    layer: &LayerRecord,
    [input, output]: [&TensorRecord; 2],
) -> Check {
    ensure(layer.weight_sum == 0, Problem::PoolingWeights)?;
    ensure(output.h == 1 && output.w == 1, Problem::AverageSize)?;
    ensure(input.c == output.c, Problem::PoolingChannels)?;
    let record = used.channels(sections, layer, 1)?.first().ok_or(Problem::ChannelRecords)?;
    let channel = channel(record)?;
    ensure(channel.skip_multiplier == 0, Problem::PoolingShortcut)?;
    check_accumulator(&channel, 128 * u64::from(input.h) * u64::from(input.w), layer.acc_shift)
}

/// Two tensors that live at the same time occupy different bytes, but for one that is overwritten when it has been read.
///
/// Tensor `i` lives from layer `i - 1`, which writes it, to its last use; if one of these is in a group that runs by rows, as long as
/// the whole group runs.
#[inline(never)]
fn check_overlaps(sections: &Sections<'_>) -> Result<(), LoadError> {
    let mut group = 0..0;
    for later in 1..sections.tensors().len() {
        if later > group.end {
            group = sections.group(group.end);
        }
        for earlier in 0..later {
            let (Ok(a), Ok(b)) = (tensor(sections, earlier), tensor(sections, later)) else { continue };
            let apart = end(&a) <= b.offset.into() || end(&b) <= a.offset.into();
            let dead = usize::from(a.last_use) < group.start;
            let follows = || later == group.end && streaming::follows(sections, &group, earlier, [&a, &b]);
            if !apart && !dead && !follows() {
                return Err(LoadError::Tensor { index: later, problem: Problem::Shared });
            }
        }
    }
    Ok(())
}

/// Names and labels are one a line: as many as there are layers and classes, or none. No text is so long that finding
/// each of its lines takes long, and none can send control codes to a terminal.
fn check_texts(sections: &Sections<'_>) -> Result<(), LoadError> {
    let layers = sections.layers().len();
    let classes = tensor(sections, layers).map_or(0, |logits| logits.c.into());
    let names = (layers, Problem::NameCount);
    check_text(sections.names(), Some(names)).map_err(|problem| SectionKind::Names.error(problem))?;
    let labels = (classes, Problem::LabelCount);
    check_text(sections.labels(), Some(labels)).map_err(|problem| SectionKind::Labels.error(problem))?;
    check_text(sections.info(), None).map_err(|problem| SectionKind::Info.error(problem))
}

/// One of them, and how many lines it has unless it is empty.
#[inline(never)]
fn check_text(text: &str, expected: Option<(usize, Problem)>) -> Check {
    ensure(text.len() <= MAX_TEXT, Problem::TextTooLong)?;
    ensure(!text.chars().any(|c| c.is_control() && c != '\n'), Problem::ControlCharacter)?;
    match expected {
        Some((count, problem)) => ensure(text.is_empty() || lines(text).count() == count, problem),
        None => Ok(()),
    }
}

/// The stored preprocessing, every field in range.
fn preprocess(record: &PreprocessRecord) -> Check<Preprocess> {
    let order = record.channel_order().ok_or(Problem::ChannelOrder)?;
    let resize = record.resize_rule().ok_or(Problem::Resize)?;
    let positive = |value: f32| value.is_finite() && value > 0.0;
    ensure(positive(record.pixel_scale), Problem::PixelScale)?;
    ensure(record.mean.iter().all(|value| value.is_finite()), Problem::Mean)?;
    ensure(record.std.iter().all(|value| positive(*value)), Problem::StandardDeviation)?;
    Ok(Preprocess { order, resize, pixel_scale: record.pixel_scale, mean: record.mean, std: record.std })
}

/// The input is raw pixels of the stored channel order.
fn check_input(sections: &Sections<'_>, preprocess: &Preprocess) -> Result<(), LoadError> {
    let input = tensor(sections, 0).map_err(|problem| LoadError::Tensor { index: 0, problem })?;
    if usize::from(input.c) != preprocess.order.channels() || usize::from(input.c) > MAX_INPUT_CHANNELS {
        return Err(LoadError::Tensor { index: 0, problem: Problem::InputChannels });
    }
    if input.zero_point != -128 || input.scale != 1.0 {
        return Err(LoadError::Tensor { index: 0, problem: Problem::InputSteps });
    }
    Ok(())
}
