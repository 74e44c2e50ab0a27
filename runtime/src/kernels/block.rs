//! What a microkernel of direct convolution is given: a block of output pixels, what they read and where they go.

use super::{Grid, Shape};
use crate::format::records::ChannelRecord;
use crate::model::Channel;

/// Where the pixels of a block read: pixel `p`, kernel row `r` reads `source[grid.place(p) + r * run_stride ..][..run_len]`.
#[derive(Debug, Clone, Copy)]
pub struct Patches<'a> {
    /// Activations, with their padding.
    pub source: &'a [i8],
    /// The start of every pixel's first run.
    pub grid: Grid,
    /// Distance between runs.
    pub run_stride: usize,
    /// Values of one run.
    pub run_len: usize,
    /// Their number.
    pub pixels: usize,
}

impl<'a> Patches<'a> {
    /// Run `run` of pixel `pixel`.
    #[inline]
    #[must_use]
    pub fn run(&self, pixel: usize, run: usize) -> Option<&'a [i8]> {
        self.source.get(self.grid.place(pixel) + run * self.run_stride..)?.get(..self.run_len)
    }
}

/// What a direct convolution microkernel computes: all pixels of a block for `nr` output channels, tile by tile.
#[derive(Debug, Clone, Copy)]
pub struct ConvBlock<'a> {
    /// The layer's product.
    pub shape: Shape,
    /// Where the patches are.
    pub patches: Patches<'a>,
    /// What [`Packing::pack_patches`](super::Packing::pack_patches) has made of the patches, or rows that were packed one by one
    /// ([`Packing::pack_row`](field@super::Packing::pack_row)); empty when the table reads patches where they are.
    pub panels: &'a [i8],
    /// The layer's weights: packed, or `[channel][run][value]` in place.
    pub weights: &'a [i8],
    /// Where results go.
    pub target: Target<'a>,
}

/// Where results go and what joins them on the way.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Parameters of all channels of the layer.
    pub channels: &'a [[u8; ChannelRecord::LEN]],
    /// First output channel; it and the next ones that the layer has, up to the number that a kernel computes at a time.
    pub first_channel: usize,
    /// Where each pixel's channels start in the output.
    pub grid: Grid,
    /// From accumulator to output.
    pub epilogue: Epilogue,
    /// The shortcut, if one joins.
    pub skip: Option<SkipValues<'a>>,
}

/// The part of the epilogue that is the same for all channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epilogue {
    /// Zero point of the output.
    pub zero_point: i8,
    /// Smallest and largest output value.
    pub clamp: [i8; 2],
}

/// A shortcut: output channel `c` of a pixel gets shortcut channel `c - channel` if there is one.
#[derive(Debug, Clone, Copy)]
pub struct SkipValues<'a> {
    /// Its values; `None` when the output is overwritten in place, that is, the output holds the shortcut until it is
    /// written.
    pub values: Option<&'a [i8]>,
    /// Where each pixel's channels start in them.
    pub grid: Grid,
    /// Channels of the shortcut.
    pub channel_count: usize,
    /// Output channel that its channel 0 joins.
    pub channel: usize,
    /// Zero point of the shortcut.
    pub zero_point: i8,
    /// Fraction bits of the shortcut multipliers.
    pub shift: u8,
}

impl SkipValues<'_> {
    /// What the shortcut adds to the accumulator of output channel `channel` of a pixel.
    ///
    /// `current` is the value that the output holds there now. `None` when there are too few values.
    #[inline]
    #[must_use]
    pub fn term(&self, pixel: usize, channel: usize, parameters: &Channel, current: i8) -> Option<i32> {
        let own_channel = channel.wrapping_sub(self.channel);
        if own_channel >= self.channel_count {
            return Some(0);
        }
        let value = match self.values {
            Some(values) => *values.get(self.grid.place(pixel) + own_channel)?,
            None => current,
        };
        Some(crate::arith::skip_term(value, self.zero_point, parameters.skip_multiplier, self.shift))
    }
}
