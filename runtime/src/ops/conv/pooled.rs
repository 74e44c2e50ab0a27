//! A convolution with a max pooling behind it: some rows of the map between the two, and never the whole of it.

use core::ops::Range;

use super::{ConvRun, Map, Needs, keep_rows};
use crate::model::{Tensor, Window};
use crate::ops::pool;

/// The rows of the map that exist at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PooledRows {
    /// Output rows that are pooled together.
    group: usize,
    /// Values of one row of the map.
    row_len: usize,
    /// Bytes of the rows that a group sees, a multiple of 64.
    map_len: usize,
}

impl PooledRows {
    /// The rows, and what convolution and pooling need together; `block_rows` rows of the map are best convolved with one call.
    pub(super) fn new(
        pool: &Window,
        map: &Map,
        output: &Tensor,
        convolution: &Needs,
        block_rows: usize,
    ) -> Option<(Self, Needs)> {
        let ([kernel, _], [stride, _]) = (pool.kernel(), pool.stride());
        let group = block_rows.checked_div(stride)?.min(output.h()).max(1);
        let row_len = map.w.checked_mul(output.c())?;
        let map_rows = (group - 1) * stride + kernel;
        let map_len = map_rows.checked_mul(row_len)?.checked_next_multiple_of(64)?;
        let needs = Needs {
            scratch_len: convolution.scratch_len.checked_next_multiple_of(64)?.checked_add(map_len)?,
            rows: output.h(),
            row_len: output.w() * output.c(),
            row_step: 1,
            ..*convolution
        };
        Some((Self { group, row_len, map_len }, needs))
    }
}

/// Whether the rows of a window become one before its columns are looked at: a third of the comparisons, and 90 bytes of code, which are too
/// many for microcontrollers.
const ROWS_FIRST: bool = !cfg!(target_os = "none");

/// The first one of some rows becomes the maxima of all: a window further down that sees it too sees all of them.
fn merge_rows(run: &ConvRun<'_>, plan: &PooledRows, rows: &mut [i8]) -> Option<()> {
    let (maxima, others) = rows.split_at_mut_checked(plan.row_len)?;
    for row in others.chunks_exact(plan.row_len.max(1)) {
        (run.kernels.max_into)(maxima, row);
    }
    Some(())
}

/// Computes output rows into `out`, group by group. Rows of the map that the next group sees again are kept; rows
/// between groups that no window sees are not computed.
#[inline(never)]
pub(super) fn run(
    run: &ConvRun<'_>,
    plan: &PooledRows,
    rows: Range<usize>,
    out: &mut [i8],
    scratch: &mut [i8],
) -> Option<()> {
    let pool = run.conv.pool.as_ref()?;
    let output = &run.layer.output;
    let (map, scratch) = scratch.split_at_mut_checked(plan.map_len)?;
    let [map_rows, _] = run.conv.map(&run.layer.input);
    let seen_by = |row| pool.rows_seen(row, map_rows);
    let mut there = 0..0;
    for (index, out) in out.chunks_mut((plan.group * output.w() * output.c()).max(1)).enumerate() {
        let first = rows.start + index * plan.group;
        let last = rows.end.min(first + plan.group) - 1;
        let seen = seen_by(first).start..seen_by(last).end;
        let kept = seen.start.min(there.end).max(there.start)..there.end;
        let kept_len = kept.len() * plan.row_len;
        let moved = kept.start - there.start;
        keep_rows(run.kernels, map.get_mut(..(moved + kept.len()) * plan.row_len)?, plan.row_len, moved)?;
        let missing = seen.start.max(kept.end)..seen.end;
        let new = map.get_mut(kept_len..)?.get_mut(..missing.len() * plan.row_len)?;
        run.rows(missing, new, scratch)?;
        there = seen;
        for (row, out) in (first..).zip(out.chunks_exact_mut((output.w() * output.c()).max(1))) {
            let Range { start, end } = seen_by(row);
            let (at, mut len) = ((start - there.start) * plan.row_len, (end - start) * plan.row_len);
            if ROWS_FIRST {
                merge_rows(run, plan, map.get_mut(at..)?.get_mut(..len)?)?;
                len = plan.row_len;
            }
            let rows = map.get(at..)?.get(..len)?;
            pool::max_row(run.kernels, pool, output.c(), rows, plan.row_len, out)?;
        }
    }
    Some(())
}
