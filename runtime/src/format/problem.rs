//! The rules that a file can break. An error carries the rule, not its text: firmware that prints no text does not link any.

use thiserror::Error;

/// A check that fails names its problem; the caller adds the place.
pub(super) type Check<T = ()> = Result<T, Problem>;

pub(super) fn ensure(condition: bool, problem: Problem) -> Check {
    if condition { Ok(()) } else { Err(problem) }
}

/// A rule of the format, by what is wrong with the section, tensor or layer that the error names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "what each says is its documentation")]
pub enum Problem {
    #[error("the section table is cut short")]
    TableCutShort,
    #[error("is missing or not in its place in the section table")]
    NotInPlace,
    #[error("does not start where the section before it ends")]
    NotBehindTheLast,
    #[error("ends past the file")]
    PastFile,
    #[error("the bytes before it are not 0")]
    GapNotZero,
    #[error("does not end with the file")]
    NotTheFilesEnd,
    #[error("is not a whole number of records")]
    BrokenRecord,
    #[error("does not hold exactly one record")]
    NotOneRecord,
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("a model has 1 to 4096 layers")]
    LayerCount,
    #[error("there must be one tensor more than layers")]
    TensorCount,
    #[error("there must be a seed and one hash a layer")]
    HashCount,
    #[error("the seed must not be 0")]
    ZeroSeed,
    #[error("its size of the activations is not where the furthest tensor ends")]
    ActivationBytes,
    #[error("is longer than 1 MiB")]
    TextTooLong,
    #[error("holds a control character")]
    ControlCharacter,
    #[error("does not hold one name a layer")]
    NameCount,
    #[error("does not hold one label a class")]
    LabelCount,
    #[error("its channel order is unknown")]
    ChannelOrder,
    #[error("its resize is unknown")]
    Resize,
    #[error("its pixel scale is not a positive number")]
    PixelScale,
    #[error("a mean is not a number")]
    Mean,
    #[error("a standard deviation is not a positive number")]
    StandardDeviation,
    #[error("its unused bytes are not 0")]
    UnusedBytes,
    #[error("has no values")]
    NoValues,
    #[error("does not start at a multiple of 64")]
    TensorAlignment,
    #[error("ends past the activations")]
    PastActivations,
    #[error("its scale is not a positive number")]
    Scale,
    #[error("the last tensor must hold int32 logits")]
    LogitsElement,
    #[error("logits have one row and one column")]
    LogitsSize,
    #[error("logits have no zero point")]
    LogitsZeroPoint,
    #[error("the logits must outlive the run")]
    LogitsLastUse,
    #[error("only the last tensor may hold int32 values")]
    ActivationElement,
    #[error("its last use is not a layer that could read it")]
    LastUse,
    #[error("only a tensor between two layers can be streamed")]
    StreamedEnd,
    #[error("a streamed tensor has one reader, in the same group of layers")]
    StreamedReaders,
    #[error("a group of more than 4 layers runs by rows")]
    GroupSize,
    #[error(
        "only a convolution without a pooling and without transformed weights, whose shortcut is not its input, can run by rows"
    )]
    GroupOperation,
    #[error("the last row of its streamed output is not read")]
    StreamedRowUnread,
    #[error("of its streamed output too few rows are kept, or more than 16")]
    KeptRows,
    #[error("shares memory with a tensor that is still in use")]
    Shared,
    #[error("has other channels than the preprocessing")]
    InputChannels,
    #[error("the input must be raw pixels: scale 1, zero point -128")]
    InputSteps,
    #[error("its weights are not in the file or not in order")]
    Weights,
    #[error("its channel records are not in the file or not in order")]
    ChannelRecords,
    #[error("the last layer and no other must be dense")]
    LastLayer,
    #[error("only a convolution can have a shortcut")]
    ShortcutWithoutConvolution,
    #[error("only a convolution can have a pooling")]
    PoolingWithoutConvolution,
    #[error("its smallest output is above its largest")]
    Clamp,
    #[error("its operation is unknown to this build")]
    Operation,
    #[error("names a tensor that is not there")]
    NoTensor,
    #[error("reads a tensor that is written later")]
    ReadBeforeWritten,
    #[error("reads a tensor after its last use")]
    ReadAfterLastUse,
    #[error("a convolution with a pooling has no shortcut")]
    ShortcutWithPooling,
    #[error("its output has the wrong size")]
    OutputSize,
    #[error("a convolution does not shift its accumulator")]
    ConvolutionShift,
    #[error("what its pooling reads has more than 65535 rows or columns")]
    MapSize,
    #[error("its kernel must have 1 to 16 rows and columns")]
    Kernel,
    #[error("its stride must be 1 to 16")]
    Stride,
    #[error("its padding must be smaller than its kernel")]
    Padding,
    #[error("its kernel is larger than its padded input")]
    KernelTooLarge,
    #[error("its pooling window must have 1 to 16 rows and columns")]
    PoolingKernel,
    #[error("the stride of its pooling must be 1 to 16")]
    PoolingStride,
    #[error("the padding of its pooling must be smaller than the window")]
    PoolingPadding,
    #[error("its pooling window is larger than the padded map")]
    PoolingTooLarge,
    #[error("has shortcut fields but no shortcut")]
    ShortcutFields,
    #[error("its shortcut's stride must be 1 to 16")]
    ShortcutStride,
    #[error("its shortcut has more than 8 fraction bits")]
    ShortcutShift,
    #[error("its shortcut has the wrong size")]
    ShortcutSize,
    #[error("its shortcut has too many channels")]
    ShortcutChannels,
    #[error("has more weights than a file can hold")]
    WeightCount,
    #[error("a weight is -128")]
    WeightOutOfRange,
    #[error(
        "its weights are transformed, which this build does not read: convert without --target, or build the runtime with the feature `transformed-weights`"
    )]
    TransformedWeights,
    #[error(
        "only a 3x3 convolution of stride 1 with whole tiles of 2x2 outputs, a multiple of 16 input channels and no pooling has transformed weights"
    )]
    TransformedGeometry,
    #[error("its transformed weights do not start at a multiple of 4 bytes in memory")]
    TransformedAlignment,
    #[error("its transformed weights are not those of int8 weights from -127 to 127")]
    NotTransformed,
    #[error("its weight sum is not that of its weights")]
    WeightSum,
    #[error("the unused bytes of a channel record are not 0")]
    ChannelUnusedBytes,
    #[error("a channel without a shortcut has a shortcut multiplier")]
    MultiplierWithoutShortcut,
    #[error("a shortcut multiplier can wrap")]
    ShortcutWraps,
    #[error("a multiplier's mantissa is not in [2^30, 2^31)")]
    Mantissa,
    #[error("a multiplier's shift is not in [2, 30]")]
    Shift,
    #[error("an accumulator can wrap")]
    AccumulatorWraps,
    #[error("a pooling has no weights to sum")]
    PoolingWeights,
    #[error("a pooling keeps the number of channels")]
    PoolingChannels,
    #[error("a max pooling keeps scale and zero point")]
    PoolingSteps,
    #[error("a global average has one row and one column")]
    AverageSize,
    #[error("a pooling has no shortcut")]
    PoolingShortcut,
}
