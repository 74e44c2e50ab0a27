//! Convolution: rows of padded input, tiles of output; rows of the map before a pooling.

use crate::kernels::{ConvTile, Epilogue, Kernels, SkipTile};
use crate::model::{Conv, Layer, Pad, Pool, Skip, Tensor};
use crate::ops::pool;

/// Most kernel rows, see [`crate::format::MAX_KERNEL`].
const MAX_RUNS: usize = crate::format::MAX_KERNEL as usize;

/// How one convolution is executed, and the memory it needs for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConvPlan {
    /// Bytes of scratch.
    pub(crate) scratch_len: usize,
    /// Bytes of packed weights.
    pub(crate) packed_len: usize,
    /// Bytes of scratch that hold padded rows; 0 when runs point straight into the input. Those behind them hold rows of
    /// the map before a pooling.
    padded_len: usize,
    /// Rows that are convolved; a 1x1 convolution takes the whole map as one row.
    rows: usize,
    /// Pixels in such a row.
    pixels: usize,
    /// Values of one run: kernel columns times input channels.
    run_len: usize,
    /// Distance in the input between the runs of two output pixels.
    pixel_stride: usize,
    /// Values of one row of the source that the runs point into.
    row_len: usize,
}

impl ConvPlan {
    /// The one place that decides how a convolution runs. `None` when its buffers exceed the address space.
    pub(crate) fn new(conv: &Conv<'_>, input: &Tensor, output: &Tensor, kernels: &Kernels) -> Option<Self> {
        let [kernel_rows, kernel_columns] = conv.window.kernel;
        let [_, left, _, right] = conv.window.pads;
        let padded = conv.window.pads != [0; 4];
        let one_row = conv.window.kernel == [1, 1]
            && conv.window.stride == [1, 1]
            && conv.skip.is_none_or(|skip| skip.stride == 1)
            && conv.pool.is_none();
        let [rows, pixels] = match conv.pool {
            Some(Pool { rows, columns, .. }) => [rows, columns],
            None if one_row => [1, output.h * output.w],
            None => [output.h, output.w],
        };
        let run_len = kernel_columns * input.c;
        let row_len = (left + input.w + right).checked_mul(input.c)?;
        let padded_len = if padded { kernel_rows.checked_mul(row_len)? } else { 0 };
        let pool_len = match conv.pool {
            Some(pool) => pixels.checked_mul(output.c)?.checked_mul(pool.window.kernel[0])?,
            None => 0,
        };
        Some(Self {
            scratch_len: padded_len.checked_add(pool_len)?,
            packed_len: kernels.packed_len(output.c, kernel_rows, run_len)?,
            padded_len,
            rows,
            pixels,
            run_len,
            pixel_stride: conv.window.stride[1] * input.c,
            row_len,
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
    let (padding, map) = scratch.split_at_mut_checked(plan.padded_len)?;
    let padded = PaddedRows { ring: padding, next: 0 };
    let rows = Rows { layer, conv, plan, kernels, input, skip, weights, padded };
    match &conv.pool {
        Some(pool) => run_pooled(rows, pool, map, output),
        None => run_plain(rows, output),
    }
}

/// Every row goes to the output.
fn run_plain(mut rows: Rows<'_>, output: &mut [i8]) -> Option<()> {
    let plan = rows.plan;
    let row_len = plan.pixels * rows.layer.output.c;
    output
        .chunks_exact_mut(row_len)
        .take(plan.rows)
        .enumerate()
        .try_for_each(|(index, out)| rows.run(index, out))
}

/// The rows that a row of pooling windows sees go to a ring, row `i` to slot `i % pool kernel rows`, and their maximum
/// goes to the output. Rows that no window sees are not computed.
fn run_pooled(mut rows: Rows<'_>, pool: &Pool, ring: &mut [i8], output: &mut [i8]) -> Option<()> {
    let Rows { plan, kernels, layer, .. } = rows;
    let row_len = plan.pixels * layer.output.c;
    let slots = pool.window.kernel[0];
    let slot = |row: usize| row % slots * row_len..(row % slots + 1) * row_len;
    let mut next = 0;
    for (index, out) in output.chunks_exact_mut(layer.output.w * layer.output.c).enumerate() {
        let seen = pool::window_rows(&pool.window, index, plan.rows);
        for row in seen.start.max(next)..seen.end {
            rows.run(row, ring.get_mut(slot(row))?)?;
        }
        next = seen.end;
        let seen = seen.map(|row| ring.get(slot(row)));
        pool::max_row(kernels, &pool.window, layer.output.c, seen, out)?;
    }
    Some(())
}

/// Computes the rows of a convolution's map, in rising order.
struct Rows<'a> {
    layer: &'a Layer<'a>,
    conv: &'a Conv<'a>,
    plan: &'a ConvPlan,
    kernels: &'a Kernels,
    input: &'a [i8],
    skip: Option<&'a [i8]>,
    weights: &'a [i8],
    padded: PaddedRows<'a>,
}

impl Rows<'_> {
    fn run(&mut self, index: usize, out: &mut [i8]) -> Option<()> {
        let Self { layer, conv, plan, kernels, input, skip, weights, .. } = *self;
        let mut runs = [0; MAX_RUNS];
        let runs = runs.get_mut(..conv.window.kernel[0])?;
        let source = if plan.padded_len > 0 {
            self.padded.advance(layer, conv, plan, index, input, runs)?;
            &*self.padded.ring
        } else {
            let first_row = index * conv.window.stride[0];
            runs.iter_mut().enumerate().for_each(|(index, run)| *run = (first_row + index) * plan.row_len);
            input
        };
        let skip = skip_row(conv, plan, index, skip)?;
        Row { layer, conv, plan, kernels, source, runs, skip, weights }.run(out)
    }
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
