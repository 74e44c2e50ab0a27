//! Convolution with weights that were transformed at conversion, for the DSP instructions of Cortex-M4, M7 and M33: the method is in
//! [`crate::kernels::transformed`], its transform of the input in [`input`], the rest in [`channels`].
#![allow(unsafe_code, reason = "assembly")]

mod channels;
mod input;

use core::ops::Range;

use self::channels::{Job, channels_of_tiles};
pub(super) use self::input::transform_input;
use super::tiles::joined;
use crate::arith::skip_rounding;
use crate::kernels::transformed::{CHANNELS, SUMS, TILES, Tiles, WEIGHTS_ALIGN, panel_len, weights_len};
use crate::kernels::{Grid, SkipValues, Target};

/// See [`Transformed::conv`](crate::kernels::transformed::Transformed::conv).
pub(super) fn conv(tiles: &Tiles<'_>, panel: &mut [u32], out: &mut [i8]) -> Option<()> {
    let Tiles { channels, tiles: count, target, .. } = tiles;
    if !has_tiles(*channels, *count) || panel.len() < panel_len(*channels)? {
        return None;
    }
    let all = 0..target.channels.len();
    let joined = joined(target, &all);
    run(tiles, all.start..joined.start, None, panel, out)?;
    run(tiles, joined.clone(), target.skip.as_ref(), panel, out)?;
    run(tiles, joined.end..all.end, None, panel, out)?;
    clamp(tiles, out)
}

/// The assembly clamps to what a byte holds, which is all that most layers ask for.
#[inline(never)]
fn clamp(tiles: &Tiles<'_>, out: &mut [i8]) -> Option<()> {
    let Target { grid, epilogue, channels, .. } = &tiles.target;
    let [low, high] = epilogue.clamp;
    if epilogue.clamp != [i8::MIN, i8::MAX] {
        for place in grid.places().take(4 * tiles.tiles) {
            out.get_mut(place..)?.get_mut(..channels.len())?.iter_mut().for_each(|value| {
                *value = (*value).max(low).min(high);
            });
        }
    }
    Some(())
}

/// Computes some channels, which a shortcut joins or not. The panel has as many words as [`panel_len`] says.
#[inline(never)]
fn run(
    tiles: &Tiles<'_>,
    channels: Range<usize>,
    skip: Option<&SkipValues<'_>>,
    panel: &mut [u32],
    out: &mut [i8],
) -> Option<()> {
    if channels.is_empty() {
        return Some(());
    }
    let target = &tiles.target;
    let depth = weights_len(tiles.channels);
    let (start, end) = (channels.start.checked_mul(depth)?, channels.end.checked_mul(depth)?);
    let weights = tiles.weights.get(start..end)?.as_ptr();
    let records = target.channels.get(channels.clone())?.as_ptr_range();
    if weights.align_offset(WEIGHTS_ALIGN) != 0 {
        return None;
    }
    let place = place(tiles, out, &target.grid, channels.start, channels.len())?;
    let out = out.as_mut_ptr().wrapping_add(place);
    let joining = Joining::of(tiles, &channels, skip, out)?;
    let panel = panel.as_mut_ptr();
    let sums = panel.wrapping_add(panel_len(tiles.channels)? - SUMS);
    let point_len = TILES * size_of::<i16>() * tiles.channels;
    let job = Job {
        panel,
        sums,
        row: sums,
        point_end: panel.wrapping_byte_add(point_len),
        point_len,
        weights,
        record: records.start,
        records_end: records.end,
        out,
        column: target.grid.column,
        row_len: target.grid.row,
        skip: joining.values,
        skip_column: joining.grid.column,
        skip_row_len: joining.grid.row,
        skip_offset: -i32::from(joining.zero_point),
        skip_rounding: skip_rounding(joining.shift),
        skip_shift: joining.shift.into(),
        zero_point: target.epilogue.zero_point.into(),
        entries: [TILES - tiles.tiles, 0],
        skip_entries: [0; 2],
    };
    // SAFETY: this build is for a CPU with the DSP instructions. The caller has looked at the panel's length, `weights` has as many for every
    // record as the points have channels and starts at a multiple of 4, and `place` has seen that in `out` and in the shortcut's values
    // these channels of all pixels exist; a shortcut in `out` is read by the pointer that `out` is written by.
    unsafe { channels_of_tiles(job) };
    Some(())
}

/// A shortcut, as the assembly wants it.
struct Joining {
    /// Of the last tile's first pixel.
    values: *const i8,
    /// Its distance of columns is 0 when none joins.
    grid: Grid,
    zero_point: i8,
    shift: u8,
}

impl Joining {
    /// What joins some channels, whose last tile's first pixel is at `out`.
    #[inline(always)]
    fn of(
        tiles: &Tiles<'_>,
        channels: &Range<usize>,
        skip: Option<&SkipValues<'_>>,
        out: *const i8,
    ) -> Option<Self> {
        let Some(skip) = skip else {
            return Some(Self { values: out, grid: Grid::line(0, 0), zero_point: 0, shift: 0 });
        };
        let (values, grid) = match skip.values {
            None => (out, tiles.target.grid),
            Some(values) => {
                let own = channels.start - skip.channel;
                let place = place(tiles, values, &skip.grid, own, channels.len())?;
                (values.as_ptr().wrapping_add(place), skip.grid)
            }
        };
        Some(Self { values, grid, zero_point: skip.zero_point, shift: skip.shift })
    }
}

/// Where a channel of the last tile's first pixel is; `None` when it, any pixel of a tile or one of the `count` channels is not in `values`.
fn place(tiles: &Tiles<'_>, values: &[i8], grid: &Grid, channel: usize, count: usize) -> Option<usize> {
    let column = 2 * tiles.tiles - 1;
    let end = grid.checked_place_of_row(1, column)?.checked_add(channel)?.checked_add(count)?;
    let first = grid.checked_place_of_row(0, column - 1)?.checked_add(channel)?;
    (end <= values.len()).then_some(first)
}

/// Whether the assembly has loops for so many channels and tiles.
fn has_tiles(channels: usize, tiles: usize) -> bool {
    channels > 0 && channels.is_multiple_of(CHANNELS) && (1..=TILES).contains(&tiles)
}
