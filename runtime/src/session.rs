//! A session: a plan, the caller's buffers, and runs.

use core::ops::Range;
#[cfg(feature = "std")]
use std::io::{Read, Seek};

use crate::arith::pixel_to_activation;
use crate::error::RunError;
#[cfg(feature = "std")]
use crate::file::{FileError, WeightReader};
use crate::format::SelfTestPixels;
use crate::group::{Piece, RowsDone};
use crate::model::{Conv, Layer, Op, Tensor};
use crate::observe::{Observer, Output, SelfTest};
use crate::ops::conv::{self, ConvRun, Inputs, keep_rows};
use crate::ops::dense::DenseRun;
use crate::ops::pool;
use crate::packing::{InModel, PACKS, Weights, pack_weights, packed_before};
use crate::plan::Plan;
use crate::threads::Threads;

/// Alignment that the arena needs, in bytes: logits are int32.
pub const ARENA_ALIGN: usize = 4;

/// Alignment that packed weights need, in bytes: they begin with int32 parameters.
pub const PACKED_ALIGN: usize = 4;

/// The buffers that a session works in. It writes to nothing else.
#[derive(Debug)]
pub struct Buffers<'b> {
    /// At least [`Plan::arena_len`] bytes, aligned to [`ARENA_ALIGN`] (64 is best for speed on hosts).
    pub arena: &'b mut [u8],
    /// At least [`Plan::packed_len`] bytes, aligned to [`PACKED_ALIGN`]; may be empty when that is 0.
    pub packed: &'b mut [u8],
}

/// A model that is ready to run.
#[derive(Debug)]
pub struct Session<'m, 'b> {
    plan: Plan<'m>,
    arena: &'b mut [u8],
    packed: &'b [i8],
    threads: Threads,
    progress: Progress,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Layers that have run: where the next group begins.
    layers: usize,
    /// Packed weights that they have used.
    packed: usize,
    /// Of the layers of that group.
    rows: RowsDone,
    /// What runs now.
    piece: Piece,
}

impl<'m, 'b> Session<'m, 'b> {
    /// Takes the buffers and packs the weights if the kernels want them packed.
    ///
    /// # Errors
    /// A buffer is too short, with the length needed, or not aligned, the system gives no threads, or the model is that of a
    /// `ModelFile` without all of its weights, which `Session::load` reads.
    pub fn new(plan: Plan<'m>, buffers: Buffers<'b>) -> Result<Self, RunError> {
        #[cfg(feature = "std")]
        if plan.model().sections.left_out() > 0 {
            return Err(RunError::WeightsLeftOut);
        }
        Self::with_weights(plan, buffers, &mut InModel)
    }

    /// As [`Self::new`], with a model of [`ModelFile::read`](crate::ModelFile::read): what was left out is read from the file, one
    /// layer's weights at a time, checked and packed.
    ///
    /// # Errors
    /// As [`Self::new`], and the file cannot be read, is damaged or is another one. [`RunError::WeightsLeftOut`] when the kernels of the
    /// plan do not pack what was left out.
    #[cfg(feature = "std")]
    pub fn load(
        plan: Plan<'m>,
        buffers: Buffers<'b>,
        source: &mut (impl Read + Seek),
    ) -> Result<Self, FileError> {
        let Some(mut weights) = WeightReader::new(&plan, source)? else {
            return Ok(Self::new(plan, buffers)?);
        };
        let session = Self::with_weights(plan, buffers, &mut weights);
        // Weights against a rule are damaged ones first of all.
        if let Ok(_) | Err(FileError::Load(_)) = session {
            weights.check_rest()?;
        }
        session
    }

    fn with_weights<W: Weights>(
        plan: Plan<'m>,
        buffers: Buffers<'b>,
        weights: &mut W,
    ) -> Result<Self, W::Error> {
        let Buffers { arena, packed } = buffers;
        if arena.len() < plan.arena_len() {
            return Err(RunError::ArenaTooSmall { needed: plan.arena_len(), found: arena.len() }.into());
        }
        if arena.as_ptr().align_offset(ARENA_ALIGN) != 0 {
            return Err(RunError::Misaligned { needed: ARENA_ALIGN }.into());
        }
        if packed.len() < plan.packed_len() {
            return Err(RunError::PackedTooSmall { needed: plan.packed_len(), found: packed.len() }.into());
        }
        if plan.packed_len() > 0 && packed.as_ptr().align_offset(PACKED_ALIGN) != 0 {
            return Err(RunError::Misaligned { needed: PACKED_ALIGN }.into());
        }
        let packed: &mut [i8] = bytemuck::cast_slice_mut(packed);
        if PACKS && plan.packed_len() > 0 {
            pack_weights(&plan, weights, packed)?;
        }
        let threads = Threads::new(plan.useful_threads())?;
        Ok(Self { plan, arena, packed, threads, progress: Progress::default() })
    }

    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan<'m> {
        &self.plan
    }

    /// The input tensor: `pixel - 128`, row by row, channels innermost. A run overwrites it, and a run that
    /// [`Self::run_layers`] has begun is given up: the next one starts at the first layer.
    #[must_use]
    pub fn input_mut(&mut self) -> &mut [i8] {
        self.progress = Progress::default();
        let range = self.plan.model().input().range();
        bytemuck::cast_slice_mut(self.arena.get_mut(range).unwrap_or_default())
    }

    /// Sets the input from raw 8-bit pixels, height x width x channels.
    ///
    /// # Errors
    /// The number of values is not that of the input.
    pub fn set_pixels(&mut self, pixels: &[u8]) -> Result<(), RunError> {
        let needed = self.plan.model().input().len();
        if pixels.len() != needed {
            return Err(RunError::InputLength { needed, found: pixels.len() });
        }
        self.set_input(pixels.iter().copied());
        Ok(())
    }

    fn set_input(&mut self, pixels: impl Iterator<Item = u8>) {
        for (value, pixel) in self.input_mut().iter_mut().zip(pixels) {
            *value = pixel_to_activation(pixel);
        }
    }

    /// Runs the network on raw pixels and returns its logits.
    ///
    /// # Errors
    /// The number of values is not that of the input.
    pub fn classify(&mut self, pixels: &[u8]) -> Result<&[i32], RunError> {
        self.set_pixels(pixels)?;
        self.run()
    }

    /// Runs the network on what the input holds and returns its logits. When [`Self::run_layers`] has run some layers
    /// already, those that are left.
    ///
    /// # Errors
    /// [`RunError::Internal`], when memory was changed from outside.
    pub fn run(&mut self) -> Result<&[i32], RunError> {
        self.run_observed(&mut ())
    }

    /// Runs the network as [`Self::run`] does and shows every layer to an observer.
    ///
    /// # Errors
    /// As [`Self::run`], and the observer's own.
    pub fn run_observed(&mut self, observer: &mut (impl Observer + Send)) -> Result<&[i32], RunError> {
        self.run_layers(usize::MAX, observer)?;
        Ok(self.logits())
    }

    /// Runs the next `count` layers at most, or more if the last of them are part of a group that runs by rows: all of that. `true` when
    /// the last layer has run, and [`Self::logits`] are those of the input. The call after that starts at the first layer
    /// again. Between two calls the caller may do anything else, such as
    /// yield to other tasks, but not change the arena.
    ///
    /// ```
    /// # use resi8::{RunError, Session};
    /// fn classify(session: &mut Session<'_, '_>, pixels: &[u8]) -> Result<(), RunError> {
    ///     session.set_pixels(pixels)?;
    ///     while !session.run_layers(1, &mut ())? {
    ///         std::thread::yield_now(); // of an operating system or an RTOS
    ///     }
    ///     Ok(()) // the result is in `session.logits()`
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Self::run_observed`]. After one, the next call starts at the first layer and needs a new input.
    pub fn run_layers(
        &mut self,
        count: usize,
        observer: &mut (impl Observer + Send),
    ) -> Result<bool, RunError> {
        self.run_next(count, observer)?;
        Ok(self.progress.layers == self.plan.model().layer_count())
    }

    /// As [`Self::run_layers`].
    #[inline(never)]
    fn run_next(&mut self, count: usize, observer: &mut (dyn Observer + Send)) -> Result<(), RunError> {
        let all = self.plan.model().layer_count();
        if self.progress.layers == all {
            self.progress = Progress::default();
        }
        let end = all.min(self.progress.layers.saturating_add(count));
        let threads = self.threads.clone();
        threads.run(|| {
            while self.progress.layers < end {
                let result = self.run_piece(observer);
                if result.is_err() {
                    self.progress = Progress::default();
                    return result;
                }
            }
            Ok(())
        })
    }

    /// Runs the next layer, or the next row of a layer that runs by rows.
    #[inline(never)]
    fn run_piece(&mut self, observer: &mut (dyn Observer + Send)) -> Result<(), RunError> {
        let broken = RunError::Internal { layer: self.progress.layers };
        self.choose_piece();
        // A reference to the layer where it was made: a value would be copied, and it is large.
        let layer = &mut self.plan.model().layer(self.progress.piece.layer.into());
        let layer = layer.as_mut().ok_or(broken)?;
        layer.restrict(&self.progress.piece);
        observer.before(layer);
        let packed = match &layer.op {
            Op::Conv(conv) => self.run_conv(layer, conv).ok_or(broken)?,
            _ => self.run_small(layer).map(|()| self.progress.packed).ok_or(broken)?,
        };
        self.show(layer, observer)?;
        self.advance(layer, packed).ok_or(broken)
    }

    /// Chooses what runs next.
    fn choose_piece(&mut self) {
        let (model, progress) = (self.plan.model(), &mut self.progress);
        progress.piece = progress.rows.next(model, &model.sections.group(progress.layers));
    }

    /// Shows an observer what a layer has computed.
    #[inline(never)]
    fn show(&self, layer: &Layer<'_>, observer: &mut (dyn Observer + Send)) -> Result<(), RunError> {
        let output = self.output_of(layer).ok_or(RunError::Internal { layer: layer.index })?;
        observer.after(layer, output)
    }

    /// Counts what has run. Of a streamed tensor that a row was computed from, the rows behind those that are not needed again move to
    /// where these were.
    #[inline(never)]
    fn advance(&mut self, layer: &Layer<'_>, packed: usize) -> Option<()> {
        let group = &self.plan.model().sections.group(self.progress.layers);
        let piece = self.progress.piece;
        if let (1.., Op::Conv(conv)) = (piece.rows, &layer.op) {
            self.pass_rows(&layer.input, conv.window.rows_passed())?;
            if let Some(skip) = &conv.skip {
                self.pass_rows(&skip.tensor, skip.stride())?;
            }
            if layer.index + 1 < group.end || piece.row + 1 < piece.rows {
                self.progress.rows.count(group, layer.index);
                return Some(());
            }
        }
        self.progress = Progress { layers: group.end, packed, ..Progress::default() };
        Some(())
    }

    /// Gives up the first rows that are there of a tensor, if it is streamed.
    #[inline(never)]
    fn pass_rows(&mut self, tensor: &Tensor, passed: usize) -> Option<()> {
        if tensor.is_streamed() {
            let rows = bytemuck::cast_slice_mut(self.arena.get_mut(tensor.kept_range())?);
            keep_rows(self.plan.kernels(), rows, tensor.row_len(), passed)?;
        }
        Some(())
    }

    /// The logits of the last run, one per class, at the scale [`Self::logits_scale`]; meaningless before its end.
    #[must_use]
    pub fn logits(&self) -> &[i32] {
        let bytes = self.arena.get(self.plan.model().output().range()).unwrap_or_default();
        bytemuck::try_cast_slice(bytes).unwrap_or_default()
    }

    /// Real value of one step of the logits.
    #[must_use]
    pub fn logits_scale(&self) -> f32 {
        self.plan.model().output().scale()
    }

    /// Runs the network on the self-test's input, which replaces the input, and compares every layer with the hashes in the
    /// model file.
    ///
    /// # Errors
    /// The first layer that differs.
    #[inline(never)]
    pub fn self_test(&mut self) -> Result<(), RunError> {
        let hashes = self.plan.model().self_test_hashes();
        self.set_self_test_input();
        self.run_next(usize::MAX, &mut SelfTest::new(hashes))
    }

    /// Fills the input with the self-test's pixels without running, for tools that want to see the hashes.
    #[inline(never)]
    pub fn set_self_test_input(&mut self) {
        self.set_input(SelfTestPixels::new(self.plan.model().self_test_seed()));
    }

    fn output_of(&self, layer: &Layer<'_>) -> Option<Output<'_>> {
        let bytes = self.arena.get(layer.output.range())?;
        if matches!(layer.op, Op::Dense { .. }) {
            return bytemuck::try_cast_slice(bytes).ok().map(Output::Logits);
        }
        let values = bytemuck::cast_slice(bytes);
        Some(match self.progress.piece {
            Piece { rows: 0, .. } => Output::Activations(values),
            Piece { row, rows, .. } => Output::Row { row: row.into(), rows: rows.into(), values },
        })
    }

    /// Runs a layer that is no convolution.
    #[inline(never)]
    fn run_small(&mut self, layer: &Layer<'_>) -> Option<()> {
        let kernels = self.plan.kernels();
        let [input, output] =
            self.arena.get_disjoint_mut([layer.input.range(), layer.output.range()]).ok()?;
        let values = bytemuck::cast_slice(input);
        match &layer.op {
            Op::Conv(_) => None,
            Op::MaxPool(window) => pool::max(
                kernels,
                window,
                &layer.input,
                &layer.output,
                values,
                bytemuck::cast_slice_mut(output),
            ),
            Op::AveragePool { channel, acc_shift, clamp } => {
                let means = bytemuck::cast_slice_mut(output);
                pool::average(kernels, channel, *acc_shift, *clamp, &layer.output, values, means)
            }
            Op::Dense { weights, channels, acc_shift } => {
                let logits = bytemuck::try_cast_slice_mut(output).ok()?;
                let run =
                    DenseRun { kernels, input: values, weights, channels: *channels, acc_shift: *acc_shift };
                run.run(&self.threads, conv::useful_threads(layer, self.plan.threads()), logits)
            }
        }
    }

    /// Runs a convolution; returns where its packed weights end.
    fn run_conv(&mut self, layer: &Layer<'_>, conv: &Conv<'_>) -> Option<usize> {
        // References to what is large where it was made, as with the layer.
        let plan = &self.plan.conv(layer);
        let plan = plan.as_ref()?;
        let kernels = self.plan.kernels();
        let parts =
            conv::useful_threads(layer, if self.progress.piece.rows == 0 { self.plan.threads() } else { 1 });
        let scratch = plan.scratch_len(layer, conv, kernels, parts)?;
        let scratch = self.plan.scratch(self.progress.layers, scratch)?;
        let buffers = &mut conv_buffers(self.arena, layer, conv, scratch);
        let ConvBuffers { inputs, output, scratch } = buffers.as_mut()?;
        let start = self.progress.packed + packed_before(&self.plan, self.progress.layers, layer.index)?;
        let end = start + plan.packed_len();
        let packed = self.packed.get(start..end)?;
        let weights = if packed.is_empty() { conv.weights } else { packed };
        let run = ConvRun::new(layer, conv, plan, kernels, inputs, weights);
        run.run(&self.threads, parts, output, scratch)?;
        Some(end)
    }
}

/// The parts of the arena that a convolution works on.
struct ConvBuffers<'a> {
    inputs: Inputs<'a>,
    output: &'a mut [i8],
    scratch: &'a mut [i8],
}

/// Cuts them out.
///
/// A shortcut lies in memory of its own, or is the convolution's input itself, or is overwritten in place: then the output holds
/// it, and borrowing the same bytes twice is neither possible nor needed.
#[inline(never)]
fn conv_buffers<'a>(
    arena: &'a mut [u8],
    layer: &Layer<'_>,
    conv: &Conv<'_>,
    scratch: Range<usize>,
) -> Option<ConvBuffers<'a>> {
    let (input, output) = (layer.input.range(), layer.output.range());
    let skip = conv.skip.map(|skip| skip.tensor.range());
    let of_its_own = skip.clone().filter(|skip| *skip != output && *skip != input);
    let is_input = skip.is_some_and(|skip| skip == input);
    let has_own = of_its_own.is_some();
    let ranges = [input, output, scratch, of_its_own.unwrap_or_default()];
    let [input, output, scratch, own] = arena.get_disjoint_mut(ranges).ok()?;
    let values = bytemuck::cast_slice(input);
    let skip = if is_input { Some(values) } else { has_own.then_some(bytemuck::cast_slice(own)) };
    let (output, scratch) = (bytemuck::cast_slice_mut(output), bytemuck::cast_slice_mut(scratch));
    Some(ConvBuffers { inputs: Inputs { values, skip }, output, scratch })
}
