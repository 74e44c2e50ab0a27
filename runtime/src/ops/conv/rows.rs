//! Input rows with their padding.

use super::ConvRun;
use crate::model::{Pad, Tensor};

/// Copies padded input rows into `out`, one for every `row_len` values; the first one is row `first`, counted from the
/// top padding. What lies right of the right padding or below the bottom padding is padding too.
pub(super) fn copy_padded(run: &ConvRun<'_>, first: usize, row_len: usize, out: &mut [i8]) -> Option<()> {
    let ConvRun { conv, input, kernels, .. } = *run;
    let [top, left, ..] = conv.window.pads;
    let Tensor { h, w, c, .. } = run.layer.input;
    for (index, out) in out.chunks_exact_mut(row_len).enumerate() {
        let Some(row) = (first + index).checked_sub(top).filter(|row| *row < h) else {
            fill_pad(out, conv.pad, c);
            continue;
        };
        let (before, rest) = out.split_at_mut_checked(left * c)?;
        let (middle, after) = rest.split_at_mut_checked(w * c)?;
        fill_pad(before, conv.pad, c);
        (kernels.copy_into)(middle, input.get(row * w * c..)?.get(..w * c)?);
        fill_pad(after, conv.pad, c);
    }
    Some(())
}

/// Fills whole pixels with what a padded tap reads.
fn fill_pad(out: &mut [i8], pad: Pad, channels: usize) {
    match pad {
        Pad::Uniform(value) => out.fill(value),
        Pad::PerChannel(values) => {
            for pixel in out.chunks_mut(channels) {
                pixel.iter_mut().zip(values).for_each(|(out, value)| *out = value);
            }
        }
    }
}
