//! Pooling: maximum over a window, mean over the map.

use crate::arith::requantize;
use crate::kernels::Kernels;
use crate::model::{Channel, Tensor, Window};

/// Channels that are summed at a time; their sums live on the stack.
const SUM_CHANNELS: usize = 64;

/// Maximum over the part of each window that lies in the map.
pub(crate) fn max(
    kernels: &Kernels,
    window: &Window,
    input: &Tensor,
    output: &Tensor,
    values: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let ([kernel_h, kernel_w], [stride_h, stride_w], [top, left, ..]) =
        (window.kernel, window.stride, window.pads);
    let clip = |start: usize, before: usize, kernel: usize, size: usize| {
        start.saturating_sub(before)..(start + kernel).saturating_sub(before).min(size)
    };
    for (index, out) in out.chunks_exact_mut(output.c).enumerate() {
        out.fill(i8::MIN);
        for row in clip(index / output.w * stride_h, top, kernel_h, input.h) {
            for column in clip(index % output.w * stride_w, left, kernel_w, input.w) {
                (kernels.max_into)(out, values.get((row * input.w + column) * input.c..)?.get(..input.c)?);
            }
        }
    }
    Some(())
}

/// Mean over the map: sum, then one requantization.
pub(crate) fn average(
    kernels: &Kernels,
    channel: &Channel,
    acc_shift: u8,
    clamp: [i8; 2],
    output: &Tensor,
    values: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let [low, high] = clamp;
    for (block, out) in out.chunks_mut(SUM_CHANNELS).enumerate() {
        let mut sums = [0i32; SUM_CHANNELS];
        let sums = sums.get_mut(..out.len())?;
        for pixel in values.chunks_exact(output.c) {
            (kernels.sum_into)(sums, pixel.get(block * SUM_CHANNELS..)?.get(..out.len())?);
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            let acc = (channel.bias + *sum) << acc_shift;
            *out = requantize(acc, channel.multiplier, output.zero_point, low, high);
        }
    }
    Some(())
}
