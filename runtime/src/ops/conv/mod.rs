//! Convolution: which method runs a layer, and its rows.

mod direct;
mod rows;
mod winograd;

use core::ops::Range;

use self::direct::DirectPlan;
use self::winograd::WinogradPlan;
use crate::kernels::{Epilogue, Grid, Kernels, LayerWeights, Shape, SkipValues};
use crate::model::{Conv, Layer, Tensor};

/// How one convolution is executed, and the memory it needs for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConvPlan {
    /// Bytes of scratch, a multiple of 64.
    pub(crate) scratch_len: usize,
    /// Bytes of packed weights; 0 when they are read in place.
    pub(crate) packed_len: usize,
    method: Method,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Direct(DirectPlan),
    Winograd(WinogradPlan),
}

impl ConvPlan {
    /// The one place that decides how a convolution runs. `None` when its buffers exceed the address space.
    pub(crate) fn new(conv: &Conv<'_>, input: &Tensor, output: &Tensor, kernels: &Kernels) -> Option<Self> {
        if let Some(winograd) = &kernels.winograd
            && WinogradPlan::pays(conv, input, output, &winograd.costs)
        {
            let (plan, scratch_len, packed_len) = WinogradPlan::new(input, output)?;
            return Some(Self { scratch_len, packed_len, method: Method::Winograd(plan) });
        }
        let (plan, scratch_len, packed_len) = DirectPlan::new(conv, input, output, &kernels.direct)?;
        Some(Self { scratch_len, packed_len, method: Method::Direct(plan) })
    }

    /// Packs the layer's weights; nothing to do when they are read in place.
    pub(crate) fn pack(
        &self,
        layer: &Layer<'_>,
        conv: &Conv<'_>,
        kernels: &Kernels,
        packed: &mut [i8],
    ) -> Option<()> {
        let source = LayerWeights {
            shape: shape(conv, &layer.input, &layer.output),
            weights: conv.weights,
            channels: conv.channels.0,
            skip: conv.skip.map(|skip| (skip.tensor.zero_point, skip.shift)),
        };
        match self.method {
            Method::Winograd(_) => (kernels.winograd.as_ref()?.pack_weights)(&source, packed),
            Method::Direct(_) => match kernels.direct.packing {
                Some(packing) => (packing.pack_weights)(&source, packed),
                None => Some(()),
            },
        }
    }

    /// Rows that are computed together: work can be cut at multiples of it.
    const fn row_step(&self) -> usize {
        match self.method {
            Method::Direct(_) => 1,
            Method::Winograd(_) => crate::kernels::winograd::TILE,
        }
    }
}

/// The convolution as a matrix product.
fn shape(conv: &Conv<'_>, input: &Tensor, output: &Tensor) -> Shape {
    let [kernel_rows, kernel_columns] = conv.window.kernel;
    let run_len = kernel_columns * input.c;
    Shape { channels: output.c, runs: kernel_rows, run_len, pixels: input.index == 0 }
}

/// One convolution and what it reads. Any of its output rows can be computed at any time, by any thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvRun<'a> {
    pub(crate) layer: &'a Layer<'a>,
    pub(crate) conv: &'a Conv<'a>,
    pub(crate) plan: &'a ConvPlan,
    pub(crate) kernels: &'a Kernels,
    pub(crate) input: &'a [i8],
    /// Shortcut values; `None` when the output holds them.
    pub(crate) skip: Option<&'a [i8]>,
    /// Packed weights, or the model's own.
    pub(crate) weights: &'a [i8],
}

impl ConvRun<'_> {
    /// Computes all rows.
    pub(crate) fn run(&self, out: &mut [i8], scratch: &mut [i8]) -> Option<()> {
        self.rows(0..self.layer.output.h, out, scratch)
    }

    /// Computes the output rows `rows`, which start at a multiple of the plan's row step, into `out`.
    fn rows(&self, rows: Range<usize>, out: &mut [i8], scratch: &mut [i8]) -> Option<()> {
        debug_assert!(rows.start.is_multiple_of(self.plan.row_step()), "rows are cut where tiles are");
        match &self.plan.method {
            Method::Direct(plan) => direct::run(self, plan, rows, out, scratch),
            Method::Winograd(plan) => winograd::run(self, plan, rows, out, scratch),
        }
    }

    const fn epilogue(&self) -> Epilogue {
        Epilogue { zero_point: self.layer.output.zero_point, clamp: self.conv.clamp }
    }

    /// The shortcut of the block of output pixels that starts at `row` and `column`, with rows of `width` pixels; any
    /// width when the pixels follow each other through the whole map.
    fn skip(&self, row: usize, column: usize, width: Option<usize>) -> Option<SkipValues<'_>> {
        let skip = self.conv.skip?;
        let Tensor { w, c, .. } = skip.tensor;
        let start = (row * w + column) * skip.stride * c;
        let rows =
            Grid { start, width: self.layer.output.w, row: skip.stride * w * c, column: skip.stride * c };
        let grid = match width {
            Some(width) => Grid { width, ..rows },
            None if skip.stride == 1 => Grid::line(start, c),
            None => rows,
        };
        Some(SkipValues {
            values: self.skip,
            grid,
            channel_count: c,
            channel: skip.channel,
            zero_point: skip.tensor.zero_point,
            shift: skip.shift,
        })
    }
}
