//! Pooling: maximum over a window, mean over the map.

use crate::arith::requantize;
use crate::kernels::Kernels;
use crate::model::{Channel, Tensor, Window};

/// Channels that are summed at a time; their sums live on the stack.
const SUM_CHANNELS: usize = 64;

/// Maximum over the part of each window that lies in the map.
#[inline(never)]
pub(crate) fn max(
    kernels: &Kernels,
    window: &Window,
    input: &Tensor,
    output: &Tensor,
    values: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let row_len = input.w() * input.c();
    for (index, out) in out.chunks_exact_mut((output.w() * output.c()).max(1)).enumerate() {
        let rows = window.rows_seen(index, input.h());
        let seen = values.get(rows.start * row_len..rows.end * row_len)?;
        max_row(kernels, window, input.c(), seen, row_len, out)?;
    }
    Some(())
}

/// One output row, from the rows of the map that [`Window::rows_seen`] names, one behind the other.
#[inline(never)]
pub(crate) fn max_row(
    kernels: &Kernels,
    window: &Window,
    channels: usize,
    rows: &[i8],
    row_len: usize,
    out: &mut [i8],
) -> Option<()> {
    out.fill(i8::MIN);
    for row in rows.chunks_exact(row_len.max(1)) {
        for (index, out) in out.chunks_exact_mut(channels.max(1)).enumerate() {
            for column in window.columns_seen(index, row.len().checked_div(channels)?) {
                (kernels.max_into)(out, row.get(column * channels..)?.get(..channels)?);
            }
        }
    }
    Some(())
}

/// Mean over the map: sum, then one requantization.
#[inline(never)]
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
        for pixel in values.chunks_exact(output.c().max(1)) {
            (kernels.sum_into)(sums, pixel.get(block * SUM_CHANNELS..)?.get(..out.len())?);
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            let acc = (channel.bias + *sum) << acc_shift;
            *out = requantize(acc, channel.multiplier, output.zero_point(), low, high);
        }
    }
    Some(())
}
