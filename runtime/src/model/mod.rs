//! A model file that has been checked: from here on nothing about it can fail.

mod layer;
mod tensor;
mod window;

use core::num::NonZero;

use crate::Isa;
use crate::error::LoadError;
use crate::format::records::{LayerRecord, PreprocessRecord, TensorRecord};
use crate::format::sections::Sections;
use crate::format::{lines, validate};
use crate::kernels::transformed;
use crate::preprocess::{ChannelOrder, MAX_INPUT_CHANNELS, Preprocess, Resize};

pub use layer::{Channel, Channels, Conv, Layer, Op, Pad, Skip};
pub use tensor::Tensor;
pub use window::Window;

/// A validated, borrowed view of a model file. Weights and parameters are used where they are; that of a `ModelFile` may lack weights.
#[derive(Debug, Clone, Copy)]
pub struct Model<'m> {
    pub(crate) sections: Sections<'m>,
    order: ChannelOrder,
    resize: Resize,
}

impl<'m> Model<'m> {
    /// Checks a whole file and borrows it. One with transformed weights (see [`Self::target`]) must lie at a multiple of 4 in memory, any other one
    /// may lie anywhere.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place. Time is in proportion to the file's length and to the square of
    /// its number of layers.
    pub fn parse(file: &'m [u8]) -> Result<Self, LoadError> {
        Self::of(Sections::parse(file)?)
    }

    /// Checks what the sections hold.
    pub(crate) fn of(sections: Sections<'m>) -> Result<Self, LoadError> {
        let Preprocess { order, resize, .. } = validate::validate(&sections)?;
        Ok(Self { sections, order, resize })
    }

    /// That of sections which [`Self::of`] has checked, with the preprocessing that it has found.
    #[cfg(feature = "std")]
    pub(crate) const fn of_checked(sections: Sections<'m>, found: Preprocess) -> Self {
        Self { sections, order: found.order, resize: found.resize }
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
            _ => Pad::Uniform(input.zero_point()),
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
        self.sections.weights(record.weights as usize, count)
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
        self.sections.file_len()
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
