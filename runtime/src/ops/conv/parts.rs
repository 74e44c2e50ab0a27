//! A convolution in parts, one for every thread: rows of its output, or channels.
//!
//! Parts of rows are slices of the output, and each of them reads all weights. In late layers these are more than all activations, and maps of
//! seven rows cannot be cut evenly either. Parts of channels read some of the weights each, and all of the input. They lie between each other in the
//! output, so that all but the first one write to scratch, from where they are copied.

use core::iter;
use core::ops::Range;

use super::{ConvPlan, ConvRun};
use crate::kernels::Kernels;
use crate::kernels::winograd::CHANNELS;
use crate::model::{Conv, Layer, Tensor};
use crate::threads::Threads;

/// How a layer is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Rows(Pieces),
    Channels(Pieces),
}

/// Rows or channels, in pieces of which the last one may be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pieces {
    all: usize,
    len: usize,
    count: usize,
}

impl Pieces {
    /// Up to `most` of them, that begin at multiples of `step`.
    fn new(all: usize, step: usize, most: usize) -> Self {
        let len = all.div_ceil(step).div_ceil(most).max(1) * step;
        Self { all, len, count: all.div_ceil(len) }
    }

    fn piece(&self, index: usize) -> Range<usize> {
        index * self.len..self.all.min((index + 1) * self.len)
    }
}

/// Channels are cut if the largest part of the layer is smaller by more than one of so many: about as much as fetching what other threads have
/// written takes longer than fetching weights.
const WORTH_FETCHING: u64 = 16;

impl Cut {
    /// Into `parts` parts, or fewer when there are not so many rows, or panels of channels.
    fn new(plan: &ConvPlan, layer: &Layer<'_>, conv: &Conv<'_>, kernels: &Kernels, parts: usize) -> Self {
        let rows = Pieces::new(plan.needs.rows, plan.needs.row_step, parts);
        // Whole tiles of direct convolution and whole panels of Winograd.
        let step = kernels.direct.nr.max(CHANNELS);
        let channels = Pieces::new(layer.output.c(), step, parts);
        let activations = layer.input.len() as u64 + layer.output.len() as u64;
        let reads_less = layer.weight_count() as u64 > activations;
        let [by_rows, by_channels] =
            [(rows, channels.all), (channels, rows.all)].map(|(cut, others)| cut.len as u64 * others as u64);
        let can = conv.pool.is_none() && !conv.is_transformed() && step.is_multiple_of(kernels.direct.nr);
        if can && reads_less && by_channels < by_rows - by_rows / (WORTH_FETCHING + 1) {
            Self::Channels(channels)
        } else {
            Self::Rows(rows)
        }
    }

    const fn count(&self) -> usize {
        match self {
            Self::Rows(pieces) | Self::Channels(pieces) => pieces.count,
        }
    }
}

/// The channels of a part, and where they go: the value of a channel is at `pixel * pixel_len + channel` of the part's output. That of the first part
/// is the layer's. Others have outputs of their own, which hold nothing but their channels, and begin with as many bytes that are not used as
/// there are channels before these.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    /// The first channel, at the start of a panel of weights.
    first: usize,
    /// The one behind the last one.
    end: usize,
    /// Distance between pixels.
    pixel_len: usize,
}

impl Share {
    fn new(channels: &Pieces, index: usize) -> Self {
        let Range { start: first, end } = channels.piece(index);
        Self { first, end, pixel_len: if index == 0 { channels.all } else { end - first } }
    }

    /// Its channels.
    pub(super) const fn channels(&self) -> Range<usize> {
        self.first..self.end
    }

    /// Distance between pixels.
    pub(super) const fn pixel_len(&self) -> usize {
        self.pixel_len
    }

    /// Bytes of an output of its own.
    fn own_len(&self, output: &Tensor) -> Option<usize> {
        (output.h() * output.w()).checked_mul(self.pixel_len)?.checked_add(self.first)
    }

    /// Its channels of every pixel, in its own output and in the layer's.
    fn pixels<'a>(
        &self,
        own: &'a mut [i8],
        out: &'a mut [i8],
        all: usize,
    ) -> Option<impl Iterator<Item = (&'a mut [i8], &'a mut [i8])> + use<'a>> {
        let channels = self.channels();
        let own = own.get_mut(self.first..)?.chunks_exact_mut(self.pixel_len.max(1));
        let out = out.chunks_exact_mut(all.max(1)).filter_map(move |pixel| pixel.get_mut(channels.clone()));
        Some(own.zip(out))
    }
}

/// Bytes of scratch of a layer in up to `parts` parts.
pub(super) fn scratch_len(
    plan: &ConvPlan,
    layer: &Layer<'_>,
    conv: &Conv<'_>,
    kernels: &Kernels,
    parts: usize,
) -> Option<usize> {
    let cut = Cut::new(plan, layer, conv, kernels, parts);
    let scratches = plan.needs.scratch_len.checked_mul(cut.count())?;
    match cut {
        Cut::Rows(_) => Some(scratches),
        Cut::Channels(channels) => (1..channels.count).try_fold(scratches, |sum, index| {
            sum.checked_add(Share::new(&channels, index).own_len(&layer.output)?)
        }),
    }
}

/// Computes all of a layer in up to `parts` parts.
pub(super) fn run(
    run: &ConvRun<'_>,
    threads: &Threads,
    parts: usize,
    out: &mut [i8],
    scratch: &mut [i8],
) -> Option<()> {
    let cut = Cut::new(run.plan, run.layer, run.conv, run.kernels, parts);
    let (own, count) = (run.plan.needs.scratch_len, cut.count());
    let (scratch, outputs) = scratch.split_at_mut_checked(own.checked_mul(count)?)?;
    let scratches = split(scratch, iter::repeat_n(own, count));
    match cut {
        Cut::Rows(rows) => by_rows(run, threads, &rows, out, scratches),
        Cut::Channels(channels) => by_channels(run, threads, &channels, out, scratches, outputs),
    }
}

/// Pieces of some lengths, which may be 0.
fn split(mut rest: &mut [i8], lens: impl Iterator<Item = usize>) -> impl Iterator<Item = &mut [i8]> {
    lens.map_while(move |len| {
        let (own, behind) = core::mem::take(&mut rest).split_at_mut_checked(len)?;
        rest = behind;
        Some(own)
    })
}

/// In parts of rows.
fn by_rows<'s>(
    run: &ConvRun<'_>,
    threads: &Threads,
    rows: &Pieces,
    out: &mut [i8],
    scratches: impl Iterator<Item = &'s mut [i8]>,
) -> Option<()> {
    let row_len = run.plan.needs.row_len;
    let outs = out.get_mut(..rows.all * row_len)?.chunks_mut(rows.len * row_len);
    threads.run_all(outs.zip(scratches).enumerate().map(|(index, (out, scratch))| {
        let rows = rows.piece(index);
        move || run.part(rows, out, scratch)
    }))
}

/// In parts of channels. The outputs of all but the first one lie behind each other in `own`; the shortcut is there too if it is in the layer's
/// output.
fn by_channels<'s>(
    run: &ConvRun<'_>,
    threads: &Threads,
    channels: &Pieces,
    out: &mut [i8],
    scratches: impl Iterator<Item = &'s mut [i8]>,
    own: &mut [i8],
) -> Option<()> {
    let shares = || (1..channels.count).map(|index| Share::new(channels, index));
    let lens = || shares().map_while(|share| share.own_len(&run.layer.output));
    if run.conv.skip.is_some() && run.inputs.skip.is_none() {
        for (share, own) in shares().zip(split(own, lens())) {
            share.pixels(own, out, channels.all)?.for_each(|(own, out)| own.copy_from_slice(out));
        }
    }
    let outs = iter::once(&mut *out).chain(split(own, lens()));
    threads.run_all(outs.zip(scratches).enumerate().map(|(index, (out, scratch))| {
        let run = ConvRun { share: Some(Share::new(channels, index)), ..*run };
        move || run.part(0..run.plan.needs.rows, out, scratch)
    }))?;
    for (share, own) in shares().zip(split(own, lens())) {
        share.pixels(own, out, channels.all)?.for_each(|(own, out)| out.copy_from_slice(own));
    }
    Some(())
}
