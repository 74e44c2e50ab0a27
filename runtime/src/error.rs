//! Everything that can go wrong, as values: no formatting is done until somebody prints them.

use thiserror::Error;

use crate::format::problem::Problem;
use crate::format::sections::SectionKind;

/// Why a file is not a model that can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The first bytes are not those of a model.
    #[error("not a resi8 model: it does not begin with the eight bytes of one")]
    Magic,
    /// Written for another version of the format.
    #[error(
        "format version {found}, this build reads version {supported}: convert the network again with the converter of this version"
    )]
    Version {
        /// Version in the file.
        found: u16,
        /// Version that this crate reads.
        supported: u16,
    },
    /// Shorter or longer than it says.
    #[error("the file has {found} bytes and should have {expected}: was the copy cut short?")]
    Length {
        /// Bytes that the header asks for.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// Bytes have changed since it was written.
    #[error("checksum {computed:#010x}, the header says {stored:#010x}: the file is damaged, copy it again")]
    Checksum {
        /// In the header.
        stored: u32,
        /// Over the bytes that are there.
        computed: u32,
    },
    /// The section table has another number of entries.
    #[error("the section table has {found} entries and should have {expected}")]
    SectionCount {
        /// Entries of this version of the format.
        expected: u16,
        /// Entries in the file.
        found: u16,
    },
    /// A section is missing, out of bounds or of the wrong length.
    #[error("section {0} ({name}): {problem}", *.kind as u32, name = kind.name())]
    Section {
        /// Which one.
        kind: SectionKind,
        /// What is wrong.
        problem: Problem,
    },
    /// A tensor record is wrong.
    #[error("tensor {index}: {problem}")]
    Tensor {
        /// Which one; 0 is the input.
        index: usize,
        /// What is wrong.
        problem: Problem,
    },
    /// A layer record, its weights or its channel records are wrong.
    #[error("layer {index}: {problem}")]
    Layer {
        /// Which one, from 0.
        index: usize,
        /// What is wrong.
        problem: Problem,
    },
}

/// Why a model cannot be planned for an instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// This CPU or this build lacks the instruction set.
    #[error("instruction set {0} is not available on this CPU or in this build")]
    IsaUnavailable(crate::Isa),
    /// The weights are transformed for other kernels.
    #[error(
        "the weights of layer {layer} are transformed for kernels that instruction set {isa} does not have: convert without --target"
    )]
    OtherTarget {
        /// The first layer with such weights.
        layer: usize,
        /// The instruction set that was asked for.
        isa: crate::Isa,
    },
    /// The buffers would not fit the address space.
    #[error("the model needs more memory than this machine can address")]
    TooLarge,
}

/// Why a session cannot start or run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The arena is too small.
    #[error("the arena has {found} bytes, {needed} are needed")]
    ArenaTooSmall {
        /// `Plan::arena_len`.
        needed: usize,
        /// Bytes given.
        found: usize,
    },
    /// The buffer for packed weights is too small.
    #[error("the buffer for packed weights has {found} bytes, {needed} are needed")]
    PackedTooSmall {
        /// `Plan::packed_len`.
        needed: usize,
        /// Bytes given.
        found: usize,
    },
    /// A buffer does not start where it must.
    #[error("a buffer must start at a multiple of {needed} bytes")]
    Misaligned {
        /// Alignment in bytes.
        needed: usize,
    },
    /// The model is that of a `ModelFile` that has left weights out: `Session::new` does not read them, `Session::load` only for kernels
    /// that pack them.
    #[cfg(feature = "std")]
    #[error(
        "weights are missing: read the model file for this instruction set, and load the session from it"
    )]
    WeightsLeftOut,
    /// The system has not that much memory.
    #[error("no memory for a buffer of {needed} bytes")]
    OutOfMemory {
        /// Bytes asked for.
        needed: usize,
    },
    /// The system does not give that many threads.
    #[error("cannot start {needed} threads")]
    NoThreads {
        /// Threads asked for.
        needed: usize,
    },
    /// The input has the wrong number of values.
    #[error("the input has {found} values, {needed} are needed")]
    InputLength {
        /// Height times width times channels.
        needed: usize,
        /// Values given.
        found: usize,
    },
    /// A layer's output differs from the one stored at conversion: bad memory, a miscompiled kernel or a wrong CPU.
    #[error("self-test: layer {layer} gives {found:#010x}, the model file says {expected:#010x}")]
    SelfTest {
        /// First layer that differs.
        layer: usize,
        /// Hash in the file.
        expected: u32,
        /// Hash of what was computed.
        found: u32,
    },
    /// The plan and the buffers disagree, which validation rules out: memory was changed from outside.
    #[error("internal: layer {layer} does not fit its buffers; was the model changed while in use?")]
    Internal {
        /// The layer that was about to run.
        layer: usize,
    },
}
