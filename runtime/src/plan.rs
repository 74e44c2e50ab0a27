//! The plan: which kernels run a model, and exactly how much memory that takes.

use core::ops::Range;

use crate::Isa;
use crate::error::PlanError;
use crate::format::TENSOR_ALIGN;
use crate::group::Piece;
use crate::kernels::Kernels;
use crate::model::{Layer, Model, Op};
use crate::ops::conv::{self, ConvPlan};

/// A model, the kernels that run it, and the exact sizes of its buffers.
///
/// Nothing is stored per layer: what a layer needs is computed from its validated record when it is needed, so it
/// cannot get out of step with the sizes here.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'m> {
    model: Model<'m>,
    kernels: &'static Kernels,
    arena_len: usize,
    packed_len: usize,
    threads: usize,
    /// The most threads that any layer makes use of.
    useful_threads: usize,
}

/// Exact sizes of a session's buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferLens {
    /// As [`Plan::arena_len`].
    pub arena_len: usize,
    /// As [`Plan::packed_len`].
    pub packed_len: usize,
}

impl<'m> Plan<'m> {
    /// Plans for an instruction set, for example [`Isa::best`].
    ///
    /// # Errors
    /// The CPU or the build lacks it, or the sizes exceed the address space.
    pub fn new(model: Model<'m>, isa: Isa) -> Result<Self, PlanError> {
        Self::with_kernels(model, Kernels::for_isa(isa).ok_or(PlanError::IsaUnavailable(isa))?)
    }

    /// Plans for a given table of kernels.
    ///
    /// # Errors
    /// The sizes exceed the address space.
    pub fn with_kernels(model: Model<'m>, kernels: &'static Kernels) -> Result<Self, PlanError> {
        Self::of(model, kernels, 1)
    }

    /// Runs every layer that is worth it on several threads; each needs scratch of its own in the arena. The results are the
    /// same for any number.
    ///
    /// While a network runs, threads that have nothing to do look for work without a pause, for a layer for one thread they take naps; between runs they
    /// sleep. A thread more than there are processors costs time.
    ///
    /// # Errors
    /// The sizes exceed the address space.
    #[cfg(feature = "threads")]
    pub fn with_threads(self, threads: core::num::NonZeroUsize) -> Result<Self, PlanError> {
        Self::of(self.model, self.kernels, threads.get())
    }

    #[inline(never)]
    fn of(model: Model<'m>, kernels: &'static Kernels, threads: usize) -> Result<Self, PlanError> {
        let (mut arena_len, mut packed, mut useful_threads) = (model.activation_bytes(), 0usize, 1);
        for group in model.sections.groups() {
            for index in group.clone() {
                let layer = LayerNeeds::new(&model, &group, index, kernels, threads);
                let layer = layer.ok_or(PlanError::TooLarge)?;
                if layer.is_transformed && kernels.transformed().is_none() {
                    return Err(PlanError::OtherTarget { layer: index, isa: kernels.isa });
                }
                let room = scratch_room(&model, &group, layer.scratch_len).ok_or(PlanError::TooLarge)?;
                arena_len = arena_len.max(room.end);
                useful_threads = useful_threads.max(layer.useful_threads);
                packed = packed.checked_add(layer.packed_len).ok_or(PlanError::TooLarge)?;
            }
        }
        Ok(Self { model, kernels, arena_len, packed_len: packed, threads, useful_threads })
    }

    /// The buffers that a model needs with an instruction set that need not be this CPU's: any that this build has, and those of
    /// Cortex-M. One thread.
    ///
    /// # Errors
    /// The instruction set is another one, or the sizes exceed the address space.
    pub fn buffer_lens(model: &Model<'_>, isa: Isa) -> Result<BufferLens, PlanError> {
        let kernels = Kernels::for_sizes(isa).ok_or(PlanError::IsaUnavailable(isa))?;
        let Plan { arena_len, packed_len, .. } = Plan::of(*model, kernels, 1)?;
        Ok(BufferLens { arena_len, packed_len })
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &Model<'m> {
        &self.model
    }

    /// The kernels.
    #[must_use]
    pub const fn kernels(&self) -> &'static Kernels {
        self.kernels
    }

    /// How many threads run a layer at most.
    #[must_use]
    pub const fn threads(&self) -> usize {
        self.threads
    }

    /// The most threads that any layer makes use of: no more are started.
    pub(crate) const fn useful_threads(&self) -> usize {
        self.useful_threads
    }

    /// Bytes of the arena: activations, and scratch where none of them is in use. Exact: one byte less is refused.
    #[must_use]
    pub const fn arena_len(&self) -> usize {
        self.arena_len
    }

    /// Bytes of the buffer for packed weights; 0 when the kernels read them from the model in place.
    #[must_use]
    pub const fn packed_len(&self) -> usize {
        self.packed_len
    }

    /// How a convolution of this model, or a row of one, runs.
    pub(crate) fn conv(&self, layer: &Layer<'_>) -> Option<ConvPlan> {
        match &layer.op {
            Op::Conv(conv) => ConvPlan::new(conv, &layer.input, &layer.output, self.kernels),
            _ => None,
        }
    }

    /// The bytes of the arena that scratch of this length occupies in layers of the group that begins with layer `first`.
    pub(crate) fn scratch(&self, first: usize, len: usize) -> Option<Range<usize>> {
        scratch_room(&self.model, &self.model.sections.group(first), len)
    }
}

/// The first aligned bytes of the arena that no tensor occupies while a group of layers runs; `None` past the address space. Late
/// layers, whose tensors are small, find them where early tensors were.
#[inline(never)]
fn scratch_room(model: &Model<'_>, group: &Range<usize>, len: usize) -> Option<Range<usize>> {
    let mut start = 0usize;
    loop {
        let tried = start;
        for tensor in model.tensors().take(group.end + 1) {
            if tensor.last_use() >= group.start {
                let tensor = tensor.range();
                if tensor.start < start.checked_add(len)? && start < tensor.end {
                    start = tensor.end.checked_next_multiple_of(TENSOR_ALIGN)?;
                }
            }
        }
        if start == tried {
            return Some(start..start.checked_add(len)?);
        }
    }
}

/// What a layer needs.
struct LayerNeeds {
    /// Bytes of scratch of all threads.
    scratch_len: usize,
    /// Bytes of packed weights.
    packed_len: usize,
    /// Threads that it makes use of.
    useful_threads: usize,
    /// Whether its weights are transformed.
    is_transformed: bool,
}

impl LayerNeeds {
    /// Of a layer that runs by rows, what a row at an edge with padding needs, and no other row more. `None` when the sizes exceed the
    /// address space.
    #[inline(never)]
    fn new(
        model: &Model<'_>,
        group: &Range<usize>,
        index: usize,
        kernels: &Kernels,
        threads: usize,
    ) -> Option<Self> {
        // A reference to the layer where it was made, as in a run: a value would be copied.
        let layer = &mut model.layer(index);
        let layer = layer.as_mut()?;
        layer.restrict(&Piece::new(model, group, index, layer.padded_row()));
        // A layer that runs by rows is left to one thread.
        let useful_threads = conv::useful_threads(layer, if group.len() > 1 { 1 } else { threads });
        let (mut scratch_len, mut packed_len, mut is_transformed) = (0, 0, false);
        if let Op::Conv(conv) = &layer.op {
            is_transformed = conv.is_transformed();
            let plan = ConvPlan::new(conv, &layer.input, &layer.output, kernels)?;
            (scratch_len, packed_len) =
                (plan.scratch_len(layer, conv, kernels, useful_threads)?, plan.packed_len());
        }
        Some(Self { scratch_len, packed_len, useful_threads, is_transformed })
    }
}
