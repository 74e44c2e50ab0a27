//! What a layer computes, and with which parameters.

use core::num::NonZero;

use super::{Tensor, Window};
use crate::arith::Multiplier;
use crate::format::records::ChannelRecord;
use crate::group::Piece;
use crate::preprocess::MAX_INPUT_CHANNELS;

/// The parameters of a layer's output channels.
#[derive(Debug, Clone, Copy)]
pub struct Channels<'m>(pub(crate) &'m [[u8; ChannelRecord::LEN]]);

impl<'m> Channels<'m> {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Channel> + use<'m> {
        self.0.iter().map(Channel::read)
    }

    /// Number of channels.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a validated layer has channels")]
    pub const fn len(&self) -> usize {
        self.0.len()
    }
}

/// The parameters of one output channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// Where the accumulator starts; the input's zero point is folded in.
    pub bias: i32,
    /// From accumulator to output.
    pub multiplier: Multiplier,
    /// Factor of the shortcut.
    pub skip_multiplier: i32,
}

impl Channel {
    /// Reads one record.
    #[inline]
    #[must_use]
    pub fn read(record: &[u8; ChannelRecord::LEN]) -> Self {
        let r = ChannelRecord::read(record);
        let multiplier = Multiplier { mantissa: r.mantissa, shift: r.shift };
        Self { bias: r.bias, multiplier, skip_multiplier: r.skip_multiplier }
    }
}

/// A shortcut that joins in the epilogue of a convolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Skip {
    /// The tensor that joins.
    pub tensor: Tensor,
    /// Fraction bits of the shortcut multipliers.
    pub shift: u8,
    pub(super) channel: u16,
    pub(super) stride: NonZero<u8>,
}

impl Skip {
    /// Output channel that its channel 0 joins.
    #[must_use]
    pub const fn channel(&self) -> usize {
        self.channel as usize
    }

    /// Every how many rows and columns of it are read.
    #[must_use]
    pub const fn stride(&self) -> usize {
        self.stride.get() as usize
    }
}

/// A convolution with everything that is fused into it.
#[derive(Debug, Clone, Copy)]
pub struct Conv<'m> {
    /// Kernel, stride, padding.
    pub window: Window,
    /// `[out][kernel row][kernel column][in]`, or as [`crate::kernels::transformed`] has them; empty where a `ModelFile` has left them out.
    pub weights: &'m [i8],
    pub(super) transformed: bool,
    /// The sum of their magnitudes of the output channel where that is largest.
    pub weight_sum: u32,
    /// One per output channel.
    pub channels: Channels<'m>,
    /// What a padded tap reads, per channel when it is the network's input; one value for all channels otherwise.
    pub pad: Pad,
    /// Smallest and largest output value.
    pub clamp: [i8; 2],
    /// The shortcut, if one joins; never together with a pooling.
    pub skip: Option<Skip>,
    /// The max pooling that follows, if one does. Scale and zero point of the output are those of the map before it.
    pub pool: Option<Window>,
}

impl Conv<'_> {
    /// Whether its weights are transformed.
    #[must_use]
    pub const fn is_transformed(&self) -> bool {
        cfg!(feature = "transformed-weights") && self.transformed
    }

    /// Rows and columns of what is convolved: the layer's output, or the map before its pooling, which is no tensor: a few of its
    /// rows exist at a time. `input` is the layer's.
    #[must_use]
    pub fn map(&self, input: &Tensor) -> [usize; 2] {
        self.window.output_size([input.h(), input.w()])
    }
}

/// What a padded tap reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pad {
    /// The same for all channels.
    Uniform(i8),
    /// Entry `c` for channel `c`.
    PerChannel([i8; MAX_INPUT_CHANNELS]),
}

/// What a layer computes.
#[derive(Debug, Clone, Copy)]
#[allow(
    clippy::large_enum_variant,
    reason = "one exists at a time, on the stack; there is no heap to put it on"
)]
pub enum Op<'m> {
    /// Convolution, shortcut, requantization, clamp, max pooling.
    Conv(Conv<'m>),
    /// Maximum over a window.
    MaxPool(Window),
    /// Mean over the map.
    AveragePool {
        /// Requantization of the sum, the same for all channels.
        channel: Channel,
        /// Left shift of the sum before it.
        acc_shift: u8,
        /// Smallest and largest output value.
        clamp: [i8; 2],
    },
    /// The classifier: int32 logits.
    Dense {
        /// `[out][in]`, `in` in the order of the input tensor (row, column, channel).
        weights: &'m [i8],
        /// One per class.
        channels: Channels<'m>,
        /// Left shift of the accumulator before the requantization.
        acc_shift: u8,
    },
}

/// One step of the network.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'m> {
    /// Its number, from 0.
    pub index: usize,
    /// What it reads.
    pub input: Tensor,
    /// What it writes.
    pub output: Tensor,
    /// What it computes.
    pub op: Op<'m>,
}

impl Layer<'_> {
    /// Multiply-accumulates of one run.
    #[must_use]
    pub fn macs(&self) -> u64 {
        match &self.op {
            Op::Conv(conv) => {
                let [kh, kw] = conv.window.kernel();
                self.convolved(conv).saturating_mul((kh * kw * self.input.c()) as u64)
            }
            Op::Dense { weights, .. } => weights.len() as u64,
            Op::MaxPool(_) | Op::AveragePool { .. } => 0,
        }
    }

    /// Values that a convolution computes: its output, or the map before its pooling, which no buffer bounds.
    fn convolved(&self, conv: &Conv<'_>) -> u64 {
        let [rows, columns] = conv.map(&self.input);
        (rows as u64).saturating_mul(columns as u64).saturating_mul(self.output.c() as u64)
    }

    /// Values that are read or compared in one run: an upper bound, up to a small factor, of the time that any layer
    /// of any model takes, pools and copies of padded rows included.
    #[must_use]
    pub fn operations(&self) -> u64 {
        let of_pool = |window: &Window| {
            let [rows, columns] = window.kernel();
            (self.output.len() as u64).saturating_mul((rows * columns) as u64)
        };
        let values = match &self.op {
            Op::MaxPool(window) => of_pool(window),
            Op::Conv(Conv { pool: Some(pool), .. }) => of_pool(pool),
            Op::Conv(_) | Op::AveragePool { .. } | Op::Dense { .. } => self.output.len() as u64,
        };
        self.macs().saturating_add(self.input.len() as u64).saturating_add(values)
    }

    /// An output row that sees padding above the input, or below if there is none above, if any row does.
    pub(crate) fn padded_row(&self) -> u16 {
        match &self.op {
            Op::Conv(conv) if conv.window.pads()[0] == 0 => self.output.last_row(),
            _ => 0,
        }
    }

    /// Becomes a piece of the layer: if that is a row, a convolution of the rows that this one sees. Of a streamed input or shortcut
    /// they are the first ones that the arena holds.
    #[inline(never)]
    pub(crate) fn restrict(&mut self, piece: &Piece) {
        let (Op::Conv(conv), Piece { row, rows: 1.., place, .. }) = (&mut self.op, *piece) else { return };
        let row = usize::from(row);
        let seen = conv.window.rows_seen(row, self.input.h());
        conv.window.restrict(row, seen.len());
        self.input.restrict(seen.start, 0, seen.len());
        self.output.restrict(row, place, 1);
        if let Some(skip) = &mut conv.skip {
            skip.tensor.restrict(row * skip.stride.get() as usize, 0, 1);
        }
    }

    /// Weights that it reads.
    #[must_use]
    pub fn weight_count(&self) -> usize {
        match &self.op {
            Op::Conv(conv) => {
                let [rows, columns] = conv.window.kernel();
                rows * columns * self.input.c() * self.output.c()
            }
            Op::Dense { weights, .. } => weights.len(),
            Op::MaxPool(_) | Op::AveragePool { .. } => 0,
        }
    }

    /// What the layer is called in tables.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match &self.op {
            Op::Conv(Conv { skip: Some(_), .. }) => "conv+add",
            Op::Conv(Conv { pool: Some(_), .. }) => "conv+pool",
            Op::Conv(_) => "conv",
            Op::MaxPool(_) => "max pool",
            Op::AveragePool { .. } => "average pool",
            Op::Dense { .. } => "dense",
        }
    }
}
