//! A model file that has been checked: from here on nothing about it can fail.

use core::num::NonZero;
use core::ops::Range;

use crate::Isa;
use crate::arith::Multiplier;
use crate::error::LoadError;
use crate::format::records::{ChannelRecord, LayerRecord, PreprocessRecord, TensorRecord, WindowRecord};
use crate::format::sections::Sections;
use crate::format::{lines, validate};
use crate::group::Piece;
use crate::kernels::transformed;
use crate::preprocess::{ChannelOrder, MAX_INPUT_CHANNELS, Preprocess, Resize};

/// A validated, borrowed view of a model file. Weights and parameters are used where they are.
#[derive(Debug, Clone, Copy)]
pub struct Model<'m> {
    pub(crate) sections: Sections<'m>,
    order: ChannelOrder,
    resize: Resize,
}

/// A feature map, row by row, channels innermost (NHWC, batch 1).
///
/// Its fields are as narrow as the file's, because tensors are held on stacks of a few hundred bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tensor {
    offset: u32,
    scale: f32,
    index: u16,
    h: u16,
    w: u16,
    c: u16,
    last_use: u16,
    zero_point: i8,
    /// As in the file, but [`Self::LOGITS`] for int32 values.
    kept_rows: u8,
}

impl Tensor {
    /// One that occupies nothing.
    const NONE: Self =
        Self { offset: 0, scale: 1.0, index: 0, h: 0, w: 0, c: 0, last_use: 0, zero_point: 0, kept_rows: 0 };

    /// Stands for an int32 tensor; more rows than any file has kept.
    const LOGITS: u8 = u8::MAX;

    #[expect(clippy::cast_possible_truncation, reason = "a file numbers its tensors with 16 bits")]
    fn new(index: usize, record: &TensorRecord) -> Self {
        let TensorRecord { offset, h, w, c, element, zero_point, scale, last_use, kept_rows } = *record;
        let kept_rows = if element == TensorRecord::I32 { Self::LOGITS } else { kept_rows };
        Self { offset, scale, index: index as u16, h, w, c, last_use, zero_point, kept_rows }
    }

    /// Its number: 0 is the input, `i + 1` the output of layer `i`.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index as usize
    }

    /// Where it starts in the arena, in bytes.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset as usize
    }

    /// Rows.
    #[must_use]
    pub const fn h(&self) -> usize {
        self.h as usize
    }

    /// Columns.
    #[must_use]
    pub const fn w(&self) -> usize {
        self.w as usize
    }

    /// Channels.
    #[must_use]
    pub const fn c(&self) -> usize {
        self.c as usize
    }

    /// Rows, columns, channels.
    #[must_use]
    pub const fn size(&self) -> [usize; 3] {
        [self.h(), self.w(), self.c()]
    }

    /// Bytes of one value: 1 for activations, 4 for the logits.
    #[must_use]
    pub const fn element_size(&self) -> usize {
        if self.kept_rows == Self::LOGITS { 4 } else { 1 }
    }

    /// Real value of one step.
    #[must_use]
    pub const fn scale(&self) -> f32 {
        self.scale
    }

    /// The stored value that stands for a real 0.
    #[must_use]
    pub const fn zero_point(&self) -> i8 {
        self.zero_point
    }

    /// Index of the last layer that reads it; the number of layers for the logits.
    #[must_use]
    pub const fn last_use(&self) -> usize {
        self.last_use as usize
    }

    /// Number of values.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a validated tensor is never empty")]
    pub const fn len(&self) -> usize {
        self.h() * self.w() * self.c()
    }

    /// Whether the arena holds some of its rows at a time only, because the layers that write and read it run together by rows.
    #[must_use]
    pub const fn is_streamed(&self) -> bool {
        self.kept_rows > 0 && self.kept_rows != Self::LOGITS
    }

    /// Rows of it that the arena holds at a time.
    #[must_use]
    pub fn kept_rows(&self) -> usize {
        if self.is_streamed() { self.h().min(self.kept_rows.into()) } else { self.h() }
    }

    /// The bytes of the arena that it occupies.
    #[must_use]
    #[inline(never)]
    pub fn range(&self) -> Range<usize> {
        self.offset()..self.offset() + self.kept_rows() * self.row_len() * self.element_size()
    }

    /// The bytes of the rows that the arena holds of a streamed tensor, of which this may be a part.
    pub(crate) fn kept_range(&self) -> Range<usize> {
        self.offset()..self.offset() + usize::from(self.kept_rows) * self.row_len()
    }

    /// Values of a row.
    pub(crate) const fn row_len(&self) -> usize {
        self.w() * self.c()
    }

    /// Becomes a tensor of some of its rows: those from row `first` on, or if it is streamed, those that lie `place` rows behind its
    /// start.
    #[inline(never)]
    #[expect(clippy::cast_possible_truncation, reason = "rows of the tensor, in the arena as all of it was")]
    const fn restrict(&mut self, first: usize, place: usize, rows: usize) {
        let first = if self.is_streamed() { place } else { first };
        self.offset += (first * self.row_len()) as u32;
        self.h = rows as u16;
    }
}

/// Kernel or pooling window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    kernel: [NonZero<u8>; 2],
    stride: [u8; 2],
    pads: [u8; 4],
}

impl Window {
    /// `None` for [`WindowRecord::NONE`].
    const fn new(record: &WindowRecord) -> Option<Self> {
        let WindowRecord { kernel: [rows, columns], stride, pads } = *record;
        match (NonZero::new(rows), NonZero::new(columns)) {
            (Some(rows), Some(columns)) => Some(Self { kernel: [rows, columns], stride, pads }),
            _ => None,
        }
    }

    /// Rows and columns.
    #[must_use]
    pub fn kernel(&self) -> [usize; 2] {
        self.kernel.map(|size| size.get().into())
    }

    /// Vertical and horizontal stride.
    #[must_use]
    pub const fn stride(&self) -> [usize; 2] {
        let [vertical, horizontal] = self.stride;
        [vertical as usize, horizontal as usize]
    }

    /// Padding: top, left, bottom, right.
    #[must_use]
    pub const fn pads(&self) -> [usize; 4] {
        let [top, left, bottom, right] = self.pads;
        [top as usize, left as usize, bottom as usize, right as usize]
    }

    /// The rows of a map of `rows` rows that output row `index` is computed from.
    pub(crate) fn rows_seen(&self, index: usize, rows: usize) -> Range<usize> {
        clip(index * self.stride()[0], self.pads()[0], self.kernel()[0], rows)
    }

    /// How many of the rows that output row 0 sees are behind those that row 1 sees.
    pub(crate) fn rows_passed(&self) -> usize {
        self.stride()[0].saturating_sub(self.pads()[0])
    }

    /// The same of columns.
    pub(crate) fn columns_seen(&self, index: usize, columns: usize) -> Range<usize> {
        clip(index * self.stride()[1], self.pads()[1], self.kernel()[1], columns)
    }

    /// Becomes the window of output row `index` alone, which sees `rows` rows of the map.
    #[expect(clippy::cast_possible_truncation, reason = "parts of the kernel, of which a byte holds all")]
    fn restrict(&mut self, index: usize, rows: usize) {
        let ([kernel, _], [stride, _], [top, ..]) = (self.kernel(), self.stride(), self.pads());
        let top = top.saturating_sub(index * stride);
        let [own_top, _, own_bottom, _] = &mut self.pads;
        (*own_top, *own_bottom) = (top as u8, kernel.saturating_sub(top + rows) as u8);
    }

    /// Rows and columns that it leaves of a map of `size` rows and columns; 0 for windows that validation refuses.
    fn output_size(&self, size: [usize; 2]) -> [usize; 2] {
        let ([kernel_h, kernel_w], [stride_h, stride_w]) = (self.kernel(), self.stride());
        let ([h, w], [top, left, bottom, right]) = (size, self.pads());
        let positions = |padded: usize, kernel: usize, stride: usize| {
            padded.checked_sub(kernel).and_then(|rest| rest.checked_div(stride)).map_or(0, |steps| steps + 1)
        };
        [positions(top + h + bottom, kernel_h, stride_h), positions(left + w + right, kernel_w, stride_w)]
    }
}

/// The part in the map of a window that starts at `start`, counted from the padding of `before`.
fn clip(start: usize, before: usize, kernel: usize, size: usize) -> Range<usize> {
    start.saturating_sub(before)..(start + kernel).saturating_sub(before).min(size)
}

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
    channel: u16,
    stride: NonZero<u8>,
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
    /// `[out][kernel row][kernel column][in]`, or as [`crate::kernels::transformed`] has them.
    pub weights: &'m [i8],
    transformed: bool,
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
            Op::Conv(Conv { window: Window { pads: [0, ..], .. }, .. }) => self.output.h.saturating_sub(1),
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
    pub const fn weight_count(&self) -> usize {
        match &self.op {
            Op::Conv(conv) if conv.is_transformed() => conv.weights.len() / transformed::weights_len(1) * 9,
            Op::Conv(conv) => conv.weights.len(),
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

impl<'m> Model<'m> {
    /// Checks a whole file and borrows it. One with transformed weights (see [`Self::target`]) must lie at a multiple of 4 in memory, any other one
    /// may lie anywhere.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place. Time is in proportion to the file's length and to the square of
    /// its number of layers.
    pub fn parse(file: &'m [u8]) -> Result<Self, LoadError> {
        let sections = Sections::parse(file)?;
        let Preprocess { order, resize, .. } = validate::validate(&sections)?;
        Ok(Self { sections, order, resize })
    }

    /// Number of layers.
    #[must_use]
    pub fn layer_count(&self) -> usize {
        self.sections.layers().len()
    }

    /// Layer `index`; `None` past the last one.
    #[must_use]
    pub fn layer(&self, index: usize) -> Option<Layer<'m>> {
        let record = LayerRecord::read(self.sections.layers().get(index)?);
        let (input, output) = (self.tensor(record.input.into())?, self.tensor(index + 1)?);
        let op = match record.op {
            LayerRecord::CONV | LayerRecord::TRANSFORMED_CONV => Op::Conv(self.conv(&record, input, output)?),
            LayerRecord::MAX_POOL => Op::MaxPool(Window::new(&record.window)?),
            LayerRecord::AVERAGE_POOL => Op::AveragePool {
                channel: self.channels(&record, 1)?.iter().next()?,
                acc_shift: record.acc_shift,
                clamp: [record.low, record.high],
            },
            LayerRecord::DENSE => Op::Dense {
                weights: self.weights(&record, input.len().checked_mul(output.c())?)?,
                channels: self.channels(&record, output.c())?,
                acc_shift: record.acc_shift,
            },
            _ => return None,
        };
        Some(Layer { index, input, output, op })
    }

    fn conv(&self, record: &LayerRecord, input: Tensor, output: Tensor) -> Option<Conv<'m>> {
        let window = Window::new(&record.window)?;
        let [kh, kw] = window.kernel();
        let transformed = cfg!(feature = "transformed-weights") && record.op == LayerRecord::TRANSFORMED_CONV;
        let len = if transformed { transformed::weights_len(input.c()) } else { kh * kw * input.c() };
        let count = len.checked_mul(output.c())?;
        let skip = match record.skip {
            LayerRecord::NO_SKIP => None,
            index => Some(Skip {
                tensor: self.tensor(index.into())?,
                stride: NonZero::new(record.skip_stride)?,
                channel: record.skip_channel,
                shift: record.skip_shift,
            }),
        };
        let pad = match input.index() {
            0 => Pad::PerChannel(self.sections.graph().input_pad),
            _ => Pad::Uniform(input.zero_point),
        };
        Some(Conv {
            window,
            weights: self.weights(record, count)?,
            transformed,
            weight_sum: record.weight_sum,
            channels: self.channels(record, output.c())?,
            pad,
            clamp: [record.low, record.high],
            skip,
            pool: Window::new(&record.pool),
        })
    }

    fn weights(&self, record: &LayerRecord, count: usize) -> Option<&'m [i8]> {
        self.sections.weights().get(record.weights as usize..)?.get(..count)
    }

    fn channels(&self, record: &LayerRecord, count: usize) -> Option<Channels<'m>> {
        self.sections.channels().get(record.channels as usize..)?.get(..count).map(Channels)
    }

    /// All layers in execution order.
    pub fn layers(&self) -> impl Iterator<Item = Layer<'m>> + use<'m> {
        let model = *self;
        (0..self.layer_count()).map_while(move |index| model.layer(index))
    }

    /// The instruction set that the converter has transformed weights for, if it has; only the portable kernels run such a model too.
    #[must_use]
    pub fn target(&self) -> Option<Isa> {
        let transformed = |layer: Layer<'_>| matches!(&layer.op, Op::Conv(conv) if conv.is_transformed());
        self.layers().any(transformed).then_some(Isa::CortexmDsp)
    }

    /// Tensor `index`: 0 is the input, `i + 1` the output of layer `i`; `None` past the last one.
    #[must_use]
    #[inline(never)]
    pub fn tensor(&self, index: usize) -> Option<Tensor> {
        self.sections.tensors().get(index).map(|record| Tensor::new(index, &TensorRecord::read(record)))
    }

    /// All tensors.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor> + use<'m> {
        let read = |(index, record)| Tensor::new(index, &TensorRecord::read(record));
        self.sections.tensors().iter().enumerate().map(read)
    }

    /// The network's input.
    #[must_use]
    pub fn input(&self) -> Tensor {
        self.tensor_at_validated_index(0)
    }

    /// The network's output: 1 x 1 x classes, int32.
    #[must_use]
    pub fn output(&self) -> Tensor {
        self.tensor_at_validated_index(self.layer_count())
    }

    /// Validation has seen one tensor more than layers, so both ends exist.
    fn tensor_at_validated_index(&self, index: usize) -> Tensor {
        self.tensor(index).unwrap_or(Tensor::NONE)
    }

    /// Bytes of the arena that hold activations.
    #[must_use]
    pub fn activation_bytes(&self) -> usize {
        self.sections.graph().activation_bytes as usize
    }

    /// Bytes of the file.
    #[must_use]
    pub const fn file_len(&self) -> usize {
        self.sections.file().len()
    }

    /// Multiply-accumulates of one run.
    #[must_use]
    pub fn macs(&self) -> u64 {
        self.layers().fold(0, |sum, layer| sum.saturating_add(layer.macs()))
    }

    /// Sum of [`Layer::operations`], and a look at every tensor for each row of layers that run by rows: what to look at before a model of
    /// unknown origin is run.
    #[must_use]
    pub fn operations(&self) -> u64 {
        let sum = self.layers().fold(0u64, |sum, layer| sum.saturating_add(layer.operations()));
        let by_rows = self.sections.groups().filter(|group| group.len() > 1).flatten();
        let rows = by_rows.filter_map(|index| self.tensor(index + 1)).map(|output| output.h() as u64);
        sum.saturating_add(rows.sum::<u64>().saturating_mul(self.layer_count() as u64 + 1))
    }

    /// Weights and biases.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        let of_layer = |layer: Layer<'_>| match layer.op {
            Op::Conv(Conv { channels, .. }) | Op::Dense { channels, .. } => {
                layer.weight_count() + channels.len()
            }
            Op::MaxPool(_) | Op::AveragePool { .. } => 0,
        };
        self.layers().map(|layer| of_layer(layer) as u64).sum()
    }

    /// How a picture becomes the input.
    #[must_use]
    pub fn preprocess(&self) -> Preprocess {
        let PreprocessRecord { pixel_scale, mean, std, .. } = self.sections.preprocess();
        Preprocess { order: self.order, resize: self.resize, pixel_scale, mean, std }
    }

    /// What a padded tap of the input reads, per channel.
    #[must_use]
    pub fn input_pad(&self) -> [i8; MAX_INPUT_CHANNELS] {
        self.sections.graph().input_pad
    }

    /// Name of layer `index`; empty when the file has no names.
    #[must_use]
    pub fn layer_name(&self, index: usize) -> &'m str {
        self.layer_names().nth(index).unwrap_or_default()
    }

    /// Names of the layers; none when the file has no names.
    pub fn layer_names(&self) -> impl Iterator<Item = &'m str> + Clone + use<'m> {
        lines(self.sections.names())
    }

    /// Label of class `index`; `None` when the file has no labels.
    #[must_use]
    pub fn label(&self, index: usize) -> Option<&'m str> {
        lines(self.sections.labels()).nth(index)
    }

    /// The label section as it is: one label a line, or empty.
    #[must_use]
    pub fn labels(&self) -> &'m str {
        self.sections.labels()
    }

    /// `key: value` lines about where the model comes from.
    #[must_use]
    pub fn info(&self) -> &'m str {
        self.sections.info()
    }

    /// Seed of the self-test's input.
    #[must_use]
    pub fn self_test_seed(&self) -> u32 {
        self.sections.self_test().first().map_or(1, |bytes| u32::from_le_bytes(*bytes))
    }

    /// Expected CRC-32 of the output of layer `index` on the self-test's input.
    #[must_use]
    pub fn self_test_hash(&self, index: usize) -> Option<u32> {
        self.self_test_hashes().get(index).map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// Those of all layers, little-endian.
    pub(crate) fn self_test_hashes(&self) -> &'m [[u8; 4]] {
        self.sections.self_test().split_first().map_or(&[], |(_seed, hashes)| hashes)
    }
}
