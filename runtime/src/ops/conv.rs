//! Convolution: rows of padded input, tiles of output.

use crate::kernels::{ConvTile, Epilogue, Kernels, SkipTile};
use crate::model::{Conv, Layer, Pad, Skip, Tensor};

/// Most kernel rows, see [`crate::format::MAX_KERNEL`].
const MAX_RUNS: usize = crate::format::MAX_KERNEL as usize;

/// How one convolution is executed, and the memory it needs for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConvPlan {
    /// Bytes of scratch.
    pub(crate) scratch_len: usize,
    /// Bytes of packed weights.
    pub(crate) packed_len: usize,
    /// Output rows; a 1x1 convolution takes the whole map as one row.
    rows: usize,
    /// Output pixels in a row.
    pixels: usize,
    /// Values of one run: kernel columns times input channels.
    run_len: usize,
    /// Distance in the input between the runs of two output pixels.
    pixel_stride: usize,
    /// Values of one row of the source that the runs point into.
    row_len: usize,
    /// Whether rows are padded into scratch first; otherwise runs point straight into the input.
    padded: bool,
}

impl ConvPlan {
    /// The one place that decides how a convolution runs. `None` when its buffers exceed the address space.
    pub(crate) fn new(conv: &Conv<'_>, input: &Tensor, output: &Tensor, kernels: &Kernels) -> Option<Self> {
        let [kernel_rows, kernel_columns] = conv.window.kernel;
        let [_, left, _, right] = conv.window.pads;
        let padded = conv.window.pads != [0; 4];
        let one_row = conv.window.kernel == [1, 1]
            && conv.window.stride == [1, 1]
            && conv.skip.is_none_or(|skip| skip.stride == 1);
        let run_len = kernel_columns * input.c;
        let row_len = (left + input.w + right).checked_mul(input.c)?;
        Some(Self {
            scratch_len: if padded { kernel_rows.checked_mul(row_len)? } else { 0 },
            packed_len: kernels.packed_len(output.c, kernel_rows, run_len)?,
            rows: if one_row { 1 } else { output.h },
            pixels: if one_row { output.h * output.w } else { output.w },
            run_len,
            pixel_stride: conv.window.stride[1] * input.c,
            row_len,
            padded,
        })
    }
}

/// The buffers of one convolution.
#[derive(Debug)]
pub(crate) struct ConvBuffers<'a> {
    pub(crate) input: &'a [i8],
    /// Shortcut values; `None` when the output holds them.
    pub(crate) skip: Option<&'a [i8]>,
    pub(crate) output: &'a mut [i8],
    pub(crate) scratch: &'a mut [i8],
    /// Packed weights, or the model's own.
    pub(crate) weights: &'a [i8],
}

/// Runs one convolution row by row.
pub(crate) fn run(
    layer: &Layer<'_>,
    conv: &Conv<'_>,
    plan: &ConvPlan,
    kernels: &Kernels,
    buffers: ConvBuffers<'_>,
) -> Option<()> {
    let ConvBuffers { input, skip, output, scratch, weights } = buffers;
    let mut padded = PaddedRows { ring: scratch, next: 0 };
    for (row, out) in output.chunks_exact_mut(plan.pixels * layer.output.c).enumerate().take(plan.rows) {
        let mut runs = [0; MAX_RUNS];
        let runs = runs.get_mut(..conv.window.kernel[0])?;
        let source = if plan.padded {
            padded.advance(layer, conv, plan, row, input, runs)?;
            &*padded.ring
        } else {
            let first_row = row * conv.window.stride[0];
            runs.iter_mut().enumerate().for_each(|(index, run)| *run = (first_row + index) * plan.row_len);
            input
        };
        let row =
            Row { layer, conv, plan, kernels, source, runs, skip: skip_row(conv, plan, row, skip)?, weights };
        row.run(out)?;
    }
    Some(())
}

/// The shortcut of one output row; see [`SkipTile`].
fn skip_row<'a>(
    conv: &Conv<'_>,
    plan: &ConvPlan,
    row: usize,
    values: Option<&'a [i8]>,
) -> Option<Option<SkipTile<'a>>> {
    let Some(Skip { tensor, stride, channel, shift }) = conv.skip else { return Some(None) };
    let row_len = if plan.rows == 1 { tensor.len() } else { tensor.w * tensor.c };
    let values = match values {
        Some(values) => Some(values.get(row * stride * row_len..)?),
        None => None,
    };
    Some(Some(SkipTile {
        values,
        pixel_stride: stride * tensor.c,
        channel_count: tensor.c,
        channel,
        zero_point: tensor.zero_point,
        shift,
    }))
}

/// The last few input rows with their padding, in a ring of as many rows as the kernel has.
///
/// Row `i` counts from the top padding and lives in slot `i % kernel rows`.
struct PaddedRows<'a> {
    ring: &'a mut [i8],
    /// First row that has not been copied yet.
    next: usize,
}

impl PaddedRows<'_> {
    /// Copies the rows that output row `row` needs and that are not there yet, and points `runs` at its kernel rows.
    fn advance(
        &mut self,
        layer: &Layer<'_>,
        conv: &Conv<'_>,
        plan: &ConvPlan,
        row: usize,
        input: &[i8],
        runs: &mut [usize],
    ) -> Option<()> {
        let slots = runs.len();
        let first = row * conv.window.stride[0];
        for needed in self.next.max(first)..first + slots {
            let slot = self.ring.get_mut(needed % slots * plan.row_len..)?.get_mut(..plan.row_len)?;
            copy_row(layer, conv, needed, input, slot)?;
        }
        self.next = first + slots;
        runs.iter_mut().enumerate().for_each(|(index, run)| *run = (first + index) % slots * plan.row_len);
        Some(())
    }
}

/// Copies one input row with its padding; `padded_row` counts from the top padding.
fn copy_row(
    layer: &Layer<'_>,
    conv: &Conv<'_>,
    padded_row: usize,
    input: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let [top, left, _, right] = conv.window.pads;
    let Tensor { h, w, c, .. } = layer.input;
    let Some(row) = padded_row.checked_sub(top).filter(|row| *row < h) else {
        fill_pad(out, conv.pad, c);
        return Some(());
    };
    let (before, rest) = out.split_at_mut_checked(left * c)?;
    let (middle, after) = rest.split_at_mut_checked(w * c)?;
    fill_pad(before, conv.pad, c);
    middle.copy_from_slice(input.get(row * w * c..)?.get(..w * c)?);
    fill_pad(after.get_mut(..right * c)?, conv.pad, c);
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

/// One output row.
struct Row<'a> {
    layer: &'a Layer<'a>,
    conv: &'a Conv<'a>,
    plan: &'a ConvPlan,
    kernels: &'a Kernels,
    source: &'a [i8],
    runs: &'a [usize],
    skip: Option<SkipTile<'a>>,
    weights: &'a [i8],
}

impl Row<'_> {
    /// Channel panels outside, pixel tiles inside: a panel's weights stay in the cache for the whole row.
    fn run(&self, out: &mut [i8]) -> Option<()> {
        let panel_len = match self.kernels.packing {
            Some(packing) => (packing.panel_len)(self.runs.len(), self.plan.run_len),
            None => self.kernels.nr * self.runs.len() * self.plan.run_len,
        };
        let panels = self.conv.channels.0.chunks(self.kernels.nr).zip(self.weights.chunks(panel_len));
        for (panel, (channels, weights)) in panels.enumerate() {
            for first_pixel in (0..self.plan.pixels).step_by(self.kernels.mr) {
                let tile = self.tile(first_pixel, panel * self.kernels.nr, channels, weights)?;
                (self.kernels.conv)(&tile, out.get_mut(first_pixel * self.layer.output.c..)?)?;
            }
        }
        Some(())
    }

    fn tile<'t>(
        &'t self,
        first_pixel: usize,
        first_channel: usize,
        channels: &'t [[u8; crate::format::records::ChannelRecord::LEN]],
        weights: &'t [i8],
    ) -> Option<ConvTile<'t>> {
        let skip = match self.skip {
            Some(SkipTile { values: Some(values), pixel_stride, .. }) => {
                let values = values.get(first_pixel * pixel_stride..)?;
                self.skip.map(|skip| SkipTile { values: Some(values), ..skip })
            }
            skip => skip,
        };
        Some(ConvTile {
            input: self.source.get(first_pixel * self.plan.pixel_stride..)?,
            runs: self.runs,
            run_len: self.plan.run_len,
            pixel_stride: self.plan.pixel_stride,
            pixels: self.kernels.mr.min(self.plan.pixels - first_pixel),
            weights,
            channels,
            first_channel,
            out_stride: self.layer.output.c,
            epilogue: Epilogue { zero_point: self.layer.output.zero_point, clamp: self.conv.clamp },
            skip,
        })
    }
}
