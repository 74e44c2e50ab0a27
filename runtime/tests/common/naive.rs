//! Everything from the formulas, one value at a time.

use super::{ChannelRecord, Content, LayerRecord, TensorRecord, WindowRecord};

pub fn len(tensor: &TensorRecord) -> usize {
    usize::from(tensor.h) * usize::from(tensor.w) * usize::from(tensor.c)
}

/// `floor((acc * M + 2^(t-1)) / 2^t)`.
pub fn rescale(acc: i64, mantissa: i32, shift: u8) -> i64 {
    let divisor = 1i128 << (31 + shift);
    let product = i128::from(acc) * i128::from(mantissa) + divisor / 2;
    product.div_euclid(divisor) as i64
}

fn skip_term(q: i64, zero: i64, factor: i32, shift: u8) -> i64 {
    let divisor = 1i64 << shift;
    ((q - zero) * i64::from(factor) + divisor / 2).div_euclid(divisor)
}

/// The output of every layer.
pub fn run(content: &Content, input: &[i8]) -> Vec<Vec<i32>> {
    let mut tensors: Vec<Vec<i32>> = vec![input.iter().map(|&v| v.into()).collect()];
    for (index, layer) in content.layers.iter().enumerate() {
        let output = &content.tensors[index + 1];
        let mut values = Vec::new();
        for y in 0..usize::from(output.h) {
            for x in 0..usize::from(output.w) {
                for c in 0..usize::from(output.c) {
                    values.push(value(content, layer, output, &tensors, [y, x, c]));
                }
            }
        }
        tensors.push(values);
    }
    tensors.remove(0);
    tensors
}

/// CRC-32 of every layer's output on the self-test's pixels.
pub fn self_test_hashes(content: &Content) -> Vec<u32> {
    let input: Vec<i8> = resi8::format::SelfTestPixels::new(content.self_test_seed)
        .take(len(&content.tensors[0]))
        .map(|pixel| (i32::from(pixel) - 128) as i8)
        .collect();
    let mut outputs = run(content, &input);
    let logits: Vec<u8> = outputs.pop().unwrap_or_default().into_iter().flat_map(i32::to_le_bytes).collect();
    let activations =
        outputs.iter().map(|values| values.iter().map(|&value| value as u8).collect::<Vec<_>>());
    activations.chain([logits]).map(|bytes| resi8::format::crc32(&bytes)).collect()
}

fn at(record: &TensorRecord, values: &[i32], y: i64, x: i64, c: usize) -> Option<i64> {
    let inside = (0..i64::from(record.h)).contains(&y) && (0..i64::from(record.w)).contains(&x);
    inside
        .then(|| values[(y as usize * usize::from(record.w) + x as usize) * usize::from(record.c) + c].into())
}

/// The places in a map, or in its padding, of the window that makes output value (`y`, `x`).
fn places(window: &WindowRecord, [y, x]: [i64; 2]) -> impl Iterator<Item = [i64; 2]> {
    let ([top, left, ..], [h, w]) = (window.pads.map(i64::from), window.kernel.map(i64::from));
    let (first_y, first_x) = (y * i64::from(window.stride[0]) - top, x * i64::from(window.stride[1]) - left);
    (0..h).flat_map(move |ky| (0..w).map(move |kx| [first_y + ky, first_x + kx]))
}

fn requantize(layer: &LayerRecord, output: &TensorRecord, acc: i64, channel: &ChannelRecord) -> i32 {
    let acc = acc << layer.acc_shift;
    let value = rescale(acc, channel.mantissa, channel.shift) + i64::from(output.zero_point);
    value.clamp(layer.low.into(), layer.high.into()) as i32
}

fn value(
    content: &Content,
    layer: &LayerRecord,
    output: &TensorRecord,
    tensors: &[Vec<i32>],
    [y, x, c]: [usize; 3],
) -> i32 {
    let source = usize::from(layer.input);
    let (input, values) = (&content.tensors[source], &tensors[source]);
    let channel = |index: usize| -> &ChannelRecord { &content.channels[layer.channels as usize + index] };
    let place = [y as i64, x as i64];
    match layer.op {
        LayerRecord::CONV if layer.pool == WindowRecord::NONE => {
            conv(content, layer, output, tensors, place, c)
        }
        LayerRecord::CONV => {
            let map = map_size(input, &layer.window);
            places(&layer.pool, place)
                .filter(|[y, x]| (0..map[0]).contains(y) && (0..map[1]).contains(x))
                .map(|place| conv(content, layer, output, tensors, place, c))
                .max()
                .unwrap()
        }
        LayerRecord::MAX_POOL => {
            places(&layer.window, place).filter_map(|[y, x]| at(input, values, y, x, c)).max().unwrap() as i32
        }
        LayerRecord::AVERAGE_POOL => {
            let sum: i64 = values.iter().skip(c).step_by(input.c.into()).map(|&v| i64::from(v)).sum();
            requantize(layer, output, i64::from(channel(0).bias) + sum, channel(0))
        }
        _ => {
            let weights = &content.weights[layer.weights as usize + c * values.len()..];
            let sum: i64 = values.iter().zip(weights).map(|(&v, &w)| i64::from(v) * i64::from(w)).sum();
            let acc = (i64::from(channel(c).bias) + sum) << layer.acc_shift;
            rescale(acc, channel(c).mantissa, channel(c).shift) as i32
        }
    }
}

/// Rows and columns that a window makes of a map.
fn map_size(input: &TensorRecord, window: &WindowRecord) -> [i64; 2] {
    let [top, left, bottom, right] = window.pads.map(i64::from);
    let padded = [i64::from(input.h) + top + bottom, i64::from(input.w) + left + right];
    [0, 1].map(|axis| (padded[axis] - i64::from(window.kernel[axis])) / i64::from(window.stride[axis]) + 1)
}

/// One value of a convolution, before any pooling.
fn conv(
    content: &Content,
    layer: &LayerRecord,
    output: &TensorRecord,
    tensors: &[Vec<i32>],
    [y, x]: [i64; 2],
    c: usize,
) -> i32 {
    let source = usize::from(layer.input);
    let (input, values) = (&content.tensors[source], &tensors[source]);
    let channel = &content.channels[layer.channels as usize + c];
    let taps = layer.window.kernel.map(usize::from);
    let first = layer.weights as usize + c * taps[0] * taps[1] * usize::from(input.c);
    let mut weights = content.weights[first..].iter();
    let mut acc = i64::from(channel.bias);
    for [row, column] in places(&layer.window, [y, x]) {
        for ic in 0..usize::from(input.c) {
            let pad = if source == 0 { content.graph.input_pad[ic] } else { input.zero_point };
            let q = at(input, values, row, column, ic).unwrap_or(pad.into());
            acc += q * i64::from(*weights.next().unwrap());
        }
    }
    if layer.skip != LayerRecord::NO_SKIP {
        let skip = &content.tensors[usize::from(layer.skip)];
        let own = c as i64 - i64::from(layer.skip_channel);
        if (0..i64::from(skip.c)).contains(&own) {
            let stride = i64::from(layer.skip_stride);
            let values = &tensors[usize::from(layer.skip)];
            let q = at(skip, values, y * stride, x * stride, own as usize).unwrap();
            acc += skip_term(q, skip.zero_point.into(), channel.skip_multiplier, layer.skip_shift);
        }
    }
    requantize(layer, output, acc, channel)
}
