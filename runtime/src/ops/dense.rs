//! The classifier: one dot product per class, int32 out.

use crate::arith::rescale;
use crate::kernels::Kernels;
use crate::model::Channels;

/// `logits[n] = rescale((bias[n] + weights[n] . input) << acc_shift, multiplier[n])`.
#[inline(never)]
pub(crate) fn run(
    kernels: &Kernels,
    input: &[i8],
    weights: &[i8],
    channels: Channels<'_>,
    acc_shift: u8,
    logits: &mut [i32],
) {
    let rows = weights.chunks_exact(input.len().max(1));
    for ((logit, weights), channel) in logits.iter_mut().zip(rows).zip(channels.iter()) {
        let acc = channel.bias + (kernels.dot)(input, weights);
        *logit = rescale(acc << acc_shift, channel.multiplier);
    }
}
