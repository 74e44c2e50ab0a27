//! The fixed-size records of the model file. Each has its reader and its writer side by side; all numbers are
//! little-endian and are read byte by byte, so no record needs an alignment.
//!
//! Reading a record never fails: what the fields may hold is checked in `validate`.

#[cfg(feature = "write")]
use crate::preprocess::Preprocess;
use crate::preprocess::{ChannelOrder, MAX_INPUT_CHANNELS, Resize};

/// Takes fields off the front of a record.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// The next `N` bytes; zeros past the end, which the fixed record lengths rule out.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, tail) = self.0.split_first_chunk::<N>().map_or(([0; N], &[][..]), |(h, t)| (*h, t));
        self.0 = tail;
        head
    }

    fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.take())
    }

    fn i8(&mut self) -> i8 {
        i8::from_le_bytes(self.take())
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn i32(&mut self) -> i32 {
        i32::from_le_bytes(self.take())
    }

    fn f32(&mut self) -> f32 {
        f32::from_le_bytes(self.take())
    }
}

/// Puts fields into a record of `N` bytes, in order; the rest stays 0.
#[cfg(feature = "write")]
struct Writer<const N: usize> {
    bytes: [u8; N],
    used: usize,
}

#[cfg(feature = "write")]
impl<const N: usize> Writer<N> {
    const fn new() -> Self {
        Self { bytes: [0; N], used: 0 }
    }

    fn put<const M: usize>(mut self, field: [u8; M]) -> Self {
        if let Some(place) = self.bytes.get_mut(self.used..self.used + M) {
            place.copy_from_slice(&field);
        }
        self.used += M;
        self
    }

    fn put_window(self, window: &WindowRecord) -> Self {
        self.put(window.kernel).put(window.stride).put(window.pads)
    }
}

/// The graph section: 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphRecord {
    /// Bytes of the arena that hold activations: the end of the furthest tensor.
    pub activation_bytes: u32,
    /// What a padded tap of the input reads, per channel: the pixel that stands for a real 0, less 128.
    pub input_pad: [i8; MAX_INPUT_CHANNELS],
}

impl GraphRecord {
    /// Bytes in the file.
    pub const LEN: usize = 8;

    /// Reads the record.
    #[must_use]
    pub fn read(bytes: &[u8; Self::LEN]) -> Self {
        let mut f = Fields(bytes);
        Self { activation_bytes: f.u32(), input_pad: [f.i8(), f.i8(), f.i8(), f.i8()] }
    }

    /// Writes the record.
    #[cfg(feature = "write")]
    #[must_use]
    pub fn write(&self) -> [u8; Self::LEN] {
        let w = Writer::new().put(self.activation_bytes.to_le_bytes());
        self.input_pad.iter().fold(w, |w, pad| w.put(pad.to_le_bytes())).bytes
    }
}

/// One tensor: 20 bytes. Tensor 0 is the input, tensor `i + 1` the output of layer `i`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TensorRecord {
    /// Where it starts in the arena, in bytes; a multiple of [`super::TENSOR_ALIGN`].
    pub offset: u32,
    /// Rows.
    pub h: u16,
    /// Columns.
    pub w: u16,
    /// Channels; the innermost dimension.
    pub c: u16,
    /// [`Self::I8`] or [`Self::I32`].
    pub element: u8,
    /// The stored value that stands for a real 0.
    pub zero_point: i8,
    /// Real value of one step.
    pub scale: f32,
    /// Index of the last layer that reads it; the number of layers for the logits, which outlive the run.
    pub last_use: u16,
    /// Rows of it that the arena holds at a time; 0 when that is the whole tensor.
    pub kept_rows: u8,
}

impl TensorRecord {
    /// Bytes in the file.
    pub const LEN: usize = 20;
    /// `element` of an activation.
    pub const I8: u8 = 0;
    /// `element` of the logits.
    pub const I32: u8 = 1;

    /// Reads the record.
    #[must_use]
    pub fn read(bytes: &[u8; Self::LEN]) -> Self {
        let mut f = Fields(bytes);
        Self {
            offset: f.u32(),
            h: f.u16(),
            w: f.u16(),
            c: f.u16(),
            element: f.u8(),
            zero_point: f.i8(),
            scale: f.f32(),
            last_use: f.u16(),
            kept_rows: f.u8(),
        }
    }

    /// Writes the record.
    #[cfg(feature = "write")]
    #[must_use]
    pub fn write(&self) -> [u8; Self::LEN] {
        Writer::new()
            .put(self.offset.to_le_bytes())
            .put(self.h.to_le_bytes())
            .put(self.w.to_le_bytes())
            .put(self.c.to_le_bytes())
            .put([self.element])
            .put(self.zero_point.to_le_bytes())
            .put(self.scale.to_le_bytes())
            .put(self.last_use.to_le_bytes())
            .put([self.kept_rows])
            .bytes
    }
}

/// A kernel or pooling window: 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowRecord {
    /// Rows and columns.
    pub kernel: [u8; 2],
    /// Vertical and horizontal stride.
    pub stride: [u8; 2],
    /// Padding: top, left, bottom, right.
    pub pads: [u8; 4],
}

impl WindowRecord {
    /// Stands for no window.
    pub const NONE: Self = Self { kernel: [0; 2], stride: [0; 2], pads: [0; 4] };

    fn take(f: &mut Fields<'_>) -> Self {
        Self { kernel: f.take(), stride: f.take(), pads: f.take() }
    }
}

/// One layer: 40 bytes. Its output is tensor `index + 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LayerRecord {
    /// [`Self::CONV`], [`Self::MAX_POOL`], [`Self::AVERAGE_POOL`], [`Self::DENSE`] or [`Self::TRANSFORMED_CONV`].
    pub op: u8,
    /// Kernel of a convolution or window of a max pooling.
    pub window: WindowRecord,
    /// Smallest output value.
    pub low: i8,
    /// Largest output value.
    pub high: i8,
    /// The accumulator is shifted left by this before it is requantized.
    pub acc_shift: u8,
    /// Tensor that is read.
    pub input: u16,
    /// Tensor that joins as the shortcut, [`Self::NO_SKIP`] for none.
    pub skip: u16,
    /// Every how many rows and columns of the shortcut are read.
    pub skip_stride: u8,
    /// Fraction bits of the shortcut multipliers.
    pub skip_shift: u8,
    /// Output channel that the shortcut's channel 0 joins.
    pub skip_channel: u16,
    /// Index of the first of its channel records.
    pub channels: u32,
    /// Where its weights start in the weights section.
    pub weights: u32,
    /// Max pooling of what a convolution has computed; [`WindowRecord::NONE`] for none.
    pub pool: WindowRecord,
    /// The sum of its weights' magnitudes of the output channel where that is largest; 0 without weights.
    pub weight_sum: u32,
}

impl LayerRecord {
    /// Bytes in the file.
    pub const LEN: usize = 40;
    /// `op` of a convolution.
    pub const CONV: u8 = 1;
    /// `op` of a max pooling.
    pub const MAX_POOL: u8 = 2;
    /// `op` of a global average pooling.
    pub const AVERAGE_POOL: u8 = 3;
    /// `op` of the classifier.
    pub const DENSE: u8 = 4;
    /// `op` of a convolution whose weights are transformed, see [`crate::kernels::transformed`].
    pub const TRANSFORMED_CONV: u8 = 5;
    /// `skip` of a layer without a shortcut.
    pub const NO_SKIP: u16 = 0xffff;

    /// Whether it is a convolution, of whatever weights.
    #[must_use]
    pub const fn is_conv(&self) -> bool {
        matches!(self.op, Self::CONV | Self::TRANSFORMED_CONV)
    }

    /// Reads the record.
    #[must_use]
    pub fn read(bytes: &[u8; Self::LEN]) -> Self {
        let mut f = Fields(bytes);
        Self {
            op: f.u8(),
            window: WindowRecord::take(&mut f),
            low: f.i8(),
            high: f.i8(),
            acc_shift: f.u8(),
            input: f.u16(),
            skip: f.u16(),
            skip_stride: f.u8(),
            skip_shift: f.u8(),
            skip_channel: f.u16(),
            channels: f.u32(),
            weights: f.u32(),
            pool: WindowRecord::take(&mut f),
            weight_sum: f.u32(),
        }
    }

    /// Writes the record.
    #[cfg(feature = "write")]
    #[must_use]
    pub fn write(&self) -> [u8; Self::LEN] {
        Writer::new()
            .put([self.op])
            .put_window(&self.window)
            .put(self.low.to_le_bytes())
            .put(self.high.to_le_bytes())
            .put([self.acc_shift])
            .put(self.input.to_le_bytes())
            .put(self.skip.to_le_bytes())
            .put([self.skip_stride])
            .put([self.skip_shift])
            .put(self.skip_channel.to_le_bytes())
            .put(self.channels.to_le_bytes())
            .put(self.weights.to_le_bytes())
            .put_window(&self.pool)
            .put(self.weight_sum.to_le_bytes())
            .bytes
    }
}

/// The parameters of one output channel: 16 bytes. An average pooling has one for all its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelRecord {
    /// `b'`: where the accumulator starts, the input's zero point already folded in.
    pub bias: i32,
    /// Mantissa of the requantization, in `[2^30, 2^31)`.
    pub mantissa: i32,
    /// `K`: factor of the shortcut; 0 where no shortcut joins.
    pub skip_multiplier: i32,
    /// Shift of the requantization beyond 31.
    pub shift: u8,
}

impl ChannelRecord {
    /// Bytes in the file.
    pub const LEN: usize = 16;
    /// Where its fields are, for kernels that read it where it is.
    pub const BIAS: usize = 0;
    /// See [`Self::BIAS`].
    pub const MANTISSA: usize = 4;
    /// See [`Self::BIAS`].
    pub const SKIP_MULTIPLIER: usize = 8;
    /// See [`Self::BIAS`].
    pub const SHIFT: usize = 12;

    /// Reads the record.
    #[inline]
    #[must_use]
    pub fn read(bytes: &[u8; Self::LEN]) -> Self {
        let mut f = Fields(bytes);
        Self { bias: f.i32(), mantissa: f.i32(), skip_multiplier: f.i32(), shift: f.u8() }
    }

    /// Writes the record; its last three bytes are 0.
    #[cfg(feature = "write")]
    #[must_use]
    pub fn write(&self) -> [u8; Self::LEN] {
        Writer::new()
            .put(self.bias.to_le_bytes())
            .put(self.mantissa.to_le_bytes())
            .put(self.skip_multiplier.to_le_bytes())
            .put([self.shift])
            .bytes
    }
}

/// The preprocessing section: 40 bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PreprocessRecord {
    /// 0 gray, 1 RGB, 2 BGR.
    pub order: u8,
    /// 0 none, 1 shorter side to `resize_to`, 2 stretched to the input size.
    pub resize: u8,
    /// Pixels of the shorter side; 0 unless `resize` is 1.
    pub resize_to: u16,
    /// Factor on the 8-bit pixel.
    pub pixel_scale: f32,
    /// Subtracted per channel.
    pub mean: [f32; MAX_INPUT_CHANNELS],
    /// Divided by, per channel.
    pub std: [f32; MAX_INPUT_CHANNELS],
}

impl PreprocessRecord {
    /// Bytes in the file.
    pub const LEN: usize = 40;

    /// What `order` stands for, by its value.
    const ORDERS: [ChannelOrder; 3] = [ChannelOrder::Gray, ChannelOrder::Rgb, ChannelOrder::Bgr];

    /// What `order` stands for; `None` for an unknown value.
    #[must_use]
    pub fn channel_order(&self) -> Option<ChannelOrder> {
        Self::ORDERS.get(usize::from(self.order)).copied()
    }

    /// What `resize` and `resize_to` stand for; `None` for unknown values.
    #[must_use]
    pub const fn resize_rule(&self) -> Option<Resize> {
        match (self.resize, self.resize_to) {
            (0, 0) => Some(Resize::None),
            (1, pixels @ 1..) => Some(Resize::ShorterSide(pixels)),
            (2, 0) => Some(Resize::Stretch),
            _ => None,
        }
    }

    /// The record of a preprocessing.
    #[cfg(feature = "write")]
    #[must_use]
    pub fn new(preprocess: &Preprocess) -> Self {
        let order = Self::ORDERS.iter().zip(0..).find(|(order, _)| **order == preprocess.order);
        let (resize, resize_to) = match preprocess.resize {
            Resize::None => (0, 0),
            Resize::ShorterSide(pixels) => (1, pixels),
            Resize::Stretch => (2, 0),
        };
        let Preprocess { pixel_scale, mean, std, .. } = *preprocess;
        Self { order: order.map_or(u8::MAX, |(_, code)| code), resize, resize_to, pixel_scale, mean, std }
    }

    /// Reads the record.
    #[must_use]
    pub fn read(bytes: &[u8; Self::LEN]) -> Self {
        let mut f = Fields(bytes);
        Self {
            order: f.u8(),
            resize: f.u8(),
            resize_to: f.u16(),
            pixel_scale: f.f32(),
            mean: [f.f32(), f.f32(), f.f32(), f.f32()],
            std: [f.f32(), f.f32(), f.f32(), f.f32()],
        }
    }

    /// Writes the record.
    #[cfg(feature = "write")]
    #[must_use]
    pub fn write(&self) -> [u8; Self::LEN] {
        let w = Writer::new()
            .put([self.order])
            .put([self.resize])
            .put(self.resize_to.to_le_bytes())
            .put(self.pixel_scale.to_le_bytes());
        self.mean.iter().chain(&self.std).fold(w, |w, value| w.put(value.to_le_bytes())).bytes
    }
}
