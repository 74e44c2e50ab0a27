//! The kernel interface: one table of microkernels per instruction set, one file per table.
//!
//! A driver (see `ops`) walks the geometry of a layer, lays out padded rows, and hands small tiles to the
//! microkernels of a [`Kernels`] table. It asks the table for its tile size and weight layout and decides nothing else
//! by instruction set. Every table must equal [`portable`] bit for bit; `tests/kernel_check.rs` compares them.
//!
//! # The tile
//!
//! A tile is up to `mr` output pixels by up to `nr` output channels. Because activations are NHWC, all the values
//! that one kernel row needs for one output pixel stand side by side: `kernel columns * channels` of them, a *run*.
//! A convolution tile is therefore a product over `kernel rows` runs, the same shape for 1x1, 3x3 and 7x7, with no
//! im2col copy: pixel `p`, kernel row `r` reads `input[runs[r] + p * pixel_stride ..][..run_len]`.

use crate::Isa;
use crate::format::records::ChannelRecord;
use crate::model::Channel;

pub mod portable;

/// The microkernels of one instruction set.
///
/// A table that reads weights in place (`packing: None`) gets `[out][kernel row][kernel column][in]` straight from the
/// model file; one with a [`Packing`] gets its own panels.
#[derive(Debug)]
pub struct Kernels {
    /// The instruction set that the functions need.
    pub isa: Isa,
    /// Most output pixels of a convolution tile.
    pub mr: usize,
    /// Output channels of a convolution tile; a weight panel holds this many.
    pub nr: usize,
    /// How weights are repacked before the first run; `None` reads them in place.
    pub packing: Option<Packing>,
    /// Computes one convolution tile. `out` starts at the tile's first pixel and has the tile's `out_stride` between
    /// pixels; only channels `first_channel..` of each of the tile's pixels are written. `None` when a slice is shorter
    /// than the tile says.
    pub conv: fn(tile: &ConvTile<'_>, out: &mut [i8]) -> Option<()>,
    /// One output of a dense layer, without rounding: `sum(weights * input)`.
    pub dot: fn(input: &[i8], weights: &[i8]) -> i32,
    /// `out[c] = max(out[c], input[c])`.
    pub max_into: fn(out: &mut [i8], input: &[i8]),
    /// `sums[c] += input[c]`.
    pub sum_into: fn(sums: &mut [i32], input: &[i8]),
}

/// A weight layout of a table's own.
#[derive(Debug, Clone, Copy)]
pub struct Packing {
    /// Bytes of one panel of `nr` output channels over `runs` runs of `run_len` values.
    pub panel_len: fn(runs: usize, run_len: usize) -> usize,
    /// Packs up to `nr` channels' weights (`[channel][run][value]`) into a panel; missing channels become zeros. `None`
    /// when a slice is too short.
    pub pack: fn(weights: &[i8], runs: usize, run_len: usize, panel: &mut [i8]) -> Option<()>,
}

/// Everything that a convolution microkernel reads.
#[derive(Debug, Clone, Copy)]
pub struct ConvTile<'a> {
    /// Activations.
    pub input: &'a [i8],
    /// Where each kernel row's run starts in `input` for the tile's first pixel.
    pub runs: &'a [usize],
    /// Values of one run.
    pub run_len: usize,
    /// Distance in `input` between two pixels of the tile.
    pub pixel_stride: usize,
    /// Output pixels, 1 to `mr`.
    pub pixels: usize,
    /// The panel of the tile's channels: packed, or `[channel][run][value]` in place.
    pub weights: &'a [i8],
    /// Parameters of the tile's channels, 1 to `nr` of them.
    pub channels: &'a [[u8; ChannelRecord::LEN]],
    /// Output channel that `channels` begins with.
    pub first_channel: usize,
    /// Distance in the output between two pixels: the output's channels.
    pub out_stride: usize,
    /// From accumulator to output.
    pub epilogue: Epilogue,
    /// The shortcut, if one joins.
    pub skip: Option<SkipTile<'a>>,
}

/// The part of the epilogue that is the same for all channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epilogue {
    /// Zero point of the output.
    pub zero_point: i8,
    /// Smallest and largest output value.
    pub clamp: [i8; 2],
}

/// A tile's shortcut: output channel `c` of pixel `p` gets shortcut channel `c - channel` if there is one.
#[derive(Debug, Clone, Copy)]
pub struct SkipTile<'a> {
    /// Its values from the tile's first pixel on; `None` when the output is overwritten in place, that is, the output
    /// holds the shortcut until it is written.
    pub values: Option<&'a [i8]>,
    /// Distance between two pixels of the shortcut.
    pub pixel_stride: usize,
    /// Channels of the shortcut.
    pub channel_count: usize,
    /// Output channel that its channel 0 joins.
    pub channel: usize,
    /// Zero point of the shortcut.
    pub zero_point: i8,
    /// Fraction bits of the shortcut multipliers.
    pub shift: u8,
}

impl SkipTile<'_> {
    /// What the shortcut adds to the accumulator of output channel `channel` of pixel `pixel`.
    ///
    /// `current` is the value that the output holds there now. `None` when the tile is too short.
    #[inline]
    pub fn term(&self, pixel: usize, channel: usize, parameters: &Channel, current: i8) -> Option<i32> {
        let own_channel = channel.wrapping_sub(self.channel);
        if own_channel >= self.channel_count {
            return Some(0);
        }
        let value = match self.values {
            Some(values) => *values.get(pixel * self.pixel_stride + own_channel)?,
            None => current,
        };
        Some(crate::arith::skip_term(value, self.zero_point, parameters.skip_multiplier, self.shift))
    }
}

impl Kernels {
    /// The table of an instruction set; `None` when this CPU or this build lacks it.
    #[must_use]
    pub fn for_isa(isa: Isa) -> Option<&'static Self> {
        match isa {
            Isa::Portable => Some(&portable::KERNELS),
        }
    }

    /// Bytes of the packed weights of a layer with `channels` output channels; 0 when they are read in place, `None`
    /// when there are more than the address space holds.
    #[must_use]
    pub fn packed_len(&self, channels: usize, runs: usize, run_len: usize) -> Option<usize> {
        let panels = channels.div_ceil(self.nr);
        self.packing.map_or(Some(0), |packing| (packing.panel_len)(runs, run_len).checked_mul(panels))
    }
}
