//! Convolution: which method runs a layer, and its rows.

mod direct;
#[cfg(feature = "threads")]
mod parts;
mod pooled;
mod rows;
mod transformed;
mod winograd;

use core::ops::Range;

use self::direct::DirectPlan;
#[cfg(feature = "threads")]
use self::parts::Share;
use self::pooled::PooledRows;
pub(crate) use self::rows::keep_rows;
use self::winograd::WinogradPlan;
use crate::kernels::winograd::Geometry;
use crate::kernels::{Epilogue, Grid, Kernels, LayerWeights, Shape, SkipValues};
use crate::model::{Conv, Layer, Op, Tensor};
use crate::threads::Threads;

/// How one convolution is executed, and the memory it needs for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConvPlan {
    needs: Needs,
    method: Method,
    /// The rows of the map before a pooling.
    pooled: Option<PooledRows>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Direct(DirectPlan),
    /// The rest of its plan is made again where it is carried out: stored, it would take a microcontroller's stack, which has no use
    /// for it.
    Winograd(Geometry),
    /// Of weights that the converter has transformed; the layer says all else.
    Transformed,
}

/// Memory of a method, and where its work can be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Needs {
    /// Bytes of scratch of every thread, a multiple of 64.
    scratch_len: usize,
    /// Bytes of packed weights; 0 when they are read in place.
    packed_len: usize,
    /// Rows that are convolved.
    rows: usize,
    /// Values of one of them.
    row_len: usize,
    /// Rows that are computed together: work is best cut at multiples of it.
    row_step: usize,
}

/// What is convolved: a layer's output, or the map before its pooling.
#[derive(Debug, Clone, Copy)]
struct Map {
    h: usize,
    w: usize,
    c: usize,
}

impl Map {
    fn of(conv: &Conv<'_>, input: &Tensor, output: &Tensor) -> Self {
        let [h, w] = conv.map(input);
        Self { h, w, c: output.c() }
    }
}

/// Multiply-accumulates of a convolution that are worth another thread.
#[cfg(feature = "threads")]
const MACS_PER_THREAD: u64 = 1 << 22;

/// Those of a dense layer, whose weights are read once, so that memory is what it waits for.
#[cfg(feature = "threads")]
const DENSE_MACS_PER_THREAD: u64 = 1 << 18;

/// How many of `threads` threads a layer makes use of.
#[cfg(feature = "threads")]
pub(crate) fn useful_threads(layer: &Layer<'_>, threads: usize) -> usize {
    let macs_per_thread = match layer.op {
        Op::Conv(_) if threads > 1 => MACS_PER_THREAD,
        Op::Dense { .. } if threads > 1 => DENSE_MACS_PER_THREAD,
        _ => return 1,
    };
    let paying = usize::try_from(layer.macs() / macs_per_thread).unwrap_or(usize::MAX);
    threads.min(paying).max(1)
}

/// There is one thread.
#[cfg(not(feature = "threads"))]
pub(crate) const fn useful_threads(_: &Layer<'_>, _: usize) -> usize {
    1
}

impl ConvPlan {
    /// The one place that decides how a convolution runs. `None` when its buffers exceed the address space.
    pub(crate) fn new(conv: &Conv<'_>, input: &Tensor, output: &Tensor, kernels: &Kernels) -> Option<Self> {
        let map = Map::of(conv, input, output);
        let winograd = kernels.winograd().and_then(|winograd| {
            Some((WinogradPlan::choose(conv, input, &map, winograd)?, &winograd.blocks))
        });
        let (method, mut needs, block_rows) = if conv.is_transformed() {
            (Method::Transformed, transformed::needs(input, &map)?, transformed::ROWS)
        } else if let Some((geometry, blocks)) = winograd {
            let (plan, needs) = WinogradPlan::new(geometry, &map, blocks)?;
            (Method::Winograd(geometry), needs, plan.output_rows())
        } else {
            let (plan, needs) =
                DirectPlan::new(shape(conv, input, output), conv, input, &map, &kernels.direct)?;
            (Method::Direct(plan), needs, plan.block_rows)
        };
        let pooled = match &conv.pool {
            Some(pool) => {
                let (rows, needs_of_all) = PooledRows::new(pool, &map, output, &needs, block_rows)?;
                needs = needs_of_all;
                Some(rows)
            }
            None => None,
        };
        Some(Self { needs, method, pooled })
    }

    /// Bytes of scratch when up to `parts` threads work.
    #[cfg(feature = "threads")]
    pub(crate) fn scratch_len(
        &self,
        layer: &Layer<'_>,
        conv: &Conv<'_>,
        kernels: &Kernels,
        parts: usize,
    ) -> Option<usize> {
        parts::scratch_len(self, layer, conv, kernels, parts)
    }

    /// Bytes of scratch.
    #[cfg(not(feature = "threads"))]
    #[expect(clippy::unnecessary_wraps, reason = "with threads it can be too much")]
    pub(crate) const fn scratch_len(
        &self,
        _: &Layer<'_>,
        _: &Conv<'_>,
        _: &Kernels,
        _: usize,
    ) -> Option<usize> {
        Some(self.needs.scratch_len)
    }

    /// Bytes of packed weights; 0 when they are read in place.
    pub(crate) const fn packed_len(&self) -> usize {
        self.needs.packed_len
    }

    /// Packs the layer's weights, wherever they are; nothing to do when they are read in place.
    pub(crate) fn pack(
        &self,
        layer: &Layer<'_>,
        weights: &[i8],
        kernels: &Kernels,
        packed: &mut [i8],
    ) -> Option<()> {
        let Op::Conv(conv) = &layer.op else { return None };
        let source = LayerWeights {
            shape: shape(conv, &layer.input, &layer.output),
            weights,
            channels: conv.channels.0,
            skip: conv.skip.map(|skip| (skip.tensor.zero_point(), skip.shift)),
        };
        match self.method {
            Method::Winograd(geometry) => (kernels.winograd()?.pack_weights)(&geometry, &source, packed),
            Method::Direct(_) => match kernels.direct.packing {
                Some(packing) => (packing.pack_weights)(&source, packed),
                None => Some(()),
            },
            Method::Transformed => Some(()),
        }
    }
}

/// The convolution as a matrix product.
fn shape(conv: &Conv<'_>, input: &Tensor, output: &Tensor) -> Shape {
    let [kernel_rows, kernel_columns] = conv.window.kernel();
    let run_len = kernel_columns * input.c();
    Shape { channels: output.c(), runs: kernel_rows, run_len, pixels: input.index() == 0 }
}

/// The activations that a convolution reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) values: &'a [i8],
    /// Shortcut values; `None` when the output holds them.
    pub(crate) skip: Option<&'a [i8]>,
}

/// One convolution and what it reads. Any of its output rows can be computed at any time, by any thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvRun<'a> {
    pub(crate) layer: &'a Layer<'a>,
    pub(crate) conv: &'a Conv<'a>,
    pub(crate) plan: &'a ConvPlan,
    pub(crate) kernels: &'a Kernels,
    pub(crate) inputs: &'a Inputs<'a>,
    /// Packed weights, or the model's own.
    pub(crate) weights: &'a [i8],
    /// The output channels to compute, and where they go; `None` for all, as always with a pooling and with transformed weights.
    pub(super) share: Option<Share>,
}

/// Without threads nothing is shared.
#[cfg(not(feature = "threads"))]
#[derive(Debug, Clone, Copy)]
pub(crate) enum Share {}

#[cfg(not(feature = "threads"))]
impl Share {
    const fn channels(self) -> Range<usize> {
        match self {}
    }

    const fn pixel_len(self) -> usize {
        match self {}
    }
}

impl<'a> ConvRun<'a> {
    /// Of a layer, all of whose output is computed.
    pub(crate) const fn new(
        layer: &'a Layer<'a>,
        conv: &'a Conv<'a>,
        plan: &'a ConvPlan,
        kernels: &'a Kernels,
        inputs: &'a Inputs<'a>,
        weights: &'a [i8],
    ) -> Self {
        Self { layer, conv, plan, kernels, inputs, weights, share: None }
    }

    /// The output channels that are computed, which begin and end with a tile's or panel's.
    fn channels(&self) -> Range<usize> {
        self.share.map_or(0..self.layer.output.c(), |share| share.channels())
    }

    /// Distance between output pixels. A slice of the output begins where channel 0 of its first pixel is, or would be if it is not computed.
    fn pixel_len(&self) -> usize {
        self.share.map_or(self.layer.output.c(), |share| share.pixel_len())
    }

    /// Computes all of the output, in up to `parts` parts.
    #[cfg(feature = "threads")]
    pub(crate) fn run(
        &self,
        threads: &Threads,
        parts: usize,
        out: &mut [i8],
        scratch: &mut [i8],
    ) -> Option<()> {
        match parts {
            1 => self.part(0..self.plan.needs.rows, out, scratch),
            _ => parts::run(self, threads, parts, out, scratch),
        }
    }

    /// Computes all of the output.
    #[cfg(not(feature = "threads"))]
    pub(crate) fn run(&self, _: &Threads, _: usize, out: &mut [i8], scratch: &mut [i8]) -> Option<()> {
        self.part(0..self.plan.needs.rows, out, scratch)
    }

    /// Computes some output rows.
    #[inline]
    fn part(&self, rows: Range<usize>, out: &mut [i8], scratch: &mut [i8]) -> Option<()> {
        match &self.plan.pooled {
            Some(pooled) => pooled::run(self, pooled, rows, out, scratch),
            None => self.rows(rows, out, scratch),
        }
    }

    /// Convolves the rows `rows` of the map into `out`.
    #[inline(always)]
    fn rows(&self, rows: Range<usize>, out: &mut [i8], scratch: &mut [i8]) -> Option<()> {
        match &self.plan.method {
            Method::Direct(plan) => direct::run(self, plan, rows, out, scratch),
            Method::Winograd(geometry) => winograd::run(self, *geometry, rows, out, scratch),
            Method::Transformed => transformed::run(self, rows, out, scratch),
        }
    }

    const fn epilogue(&self) -> Epilogue {
        Epilogue { zero_point: self.layer.output.zero_point(), clamp: self.conv.clamp }
    }

    /// The shortcut of the block of output pixels that starts at pixel `first`, with rows of `width` pixels; `None` when
    /// the pixels follow each other through the whole map.
    fn skip(&self, first: usize, width: Option<usize>) -> Option<SkipValues<'a>> {
        let skip = self.conv.skip?;
        let (w, c, stride) = (skip.tensor.w(), skip.tensor.c(), skip.stride());
        let (row, column) =
            (first.checked_div(self.layer.output.w())?, first.checked_rem(self.layer.output.w())?);
        let start = (row * w + column) * stride * c;
        let rows = Grid { start, width: self.layer.output.w(), row: stride * w * c, column: stride * c };
        let grid = match width {
            Some(width) => Grid { width, ..rows },
            None if stride == 1 => Grid::line(start, c),
            None => rows,
        };
        Some(SkipValues {
            values: self.inputs.skip,
            grid,
            channel_count: c,
            channel: skip.channel(),
            zero_point: skip.tensor.zero_point(),
            shift: skip.shift,
        })
    }
}
