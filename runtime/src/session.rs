//! A session: a plan, the caller's buffers, and runs.

use crate::arith::pixel_to_activation;
use crate::error::RunError;
use crate::format::{SelfTestPixels, crc32, crc32_of_pieces};
use crate::model::{Conv, Layer, Op};
use crate::ops::conv::{self, ConvRun, Inputs};
use crate::ops::dense::DenseRun;
use crate::ops::pool;
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
    /// Layers that have run.
    layers: usize,
    /// Packed weights that they have used.
    packed: usize,
}

/// What a layer has computed.
#[derive(Debug, Clone, Copy)]
pub enum Output<'a> {
    /// An activation, NHWC.
    Activations(&'a [i8]),
    /// The network's output.
    Logits(&'a [i32]),
}

impl Output<'_> {
    /// CRC-32 of the values, int32 as little-endian bytes: the same on every CPU.
    #[must_use]
    pub fn hash(&self) -> u32 {
        match self {
            Self::Activations(values) => crc32(bytemuck::cast_slice(values)),
            Self::Logits(values) => crc32_of_pieces(values.iter().map(|value| value.to_le_bytes())),
        }
    }
}

/// Looks at a run, layer by layer: profiling, dumps, hashes.
pub trait Observer {
    /// Called before a layer runs.
    fn before(&mut self, layer: &Layer<'_>) {
        let _ = layer;
    }

    /// Called with what it has computed. An error ends the run.
    ///
    /// # Errors
    /// The observer's own.
    fn after(&mut self, layer: &Layer<'_>, output: Output<'_>) -> Result<(), RunError>;
}

/// Looks at nothing.
impl Observer for () {
    fn after(&mut self, _: &Layer<'_>, _: Output<'_>) -> Result<(), RunError> {
        Ok(())
    }
}

impl<'m, 'b> Session<'m, 'b> {
    /// Takes the buffers and packs the weights if the kernels want them packed.
    ///
    /// # Errors
    /// A buffer is too short, with the length needed, or not aligned, or the system gives no threads.
    pub fn new(plan: Plan<'m>, buffers: Buffers<'b>) -> Result<Self, RunError> {
        let Buffers { arena, packed } = buffers;
        if arena.len() < plan.arena_len() {
            return Err(RunError::ArenaTooSmall { needed: plan.arena_len(), found: arena.len() });
        }
        if arena.as_ptr().align_offset(ARENA_ALIGN) != 0 {
            return Err(RunError::Misaligned { needed: ARENA_ALIGN });
        }
        if packed.len() < plan.packed_len() {
            return Err(RunError::PackedTooSmall { needed: plan.packed_len(), found: packed.len() });
        }
        if plan.packed_len() > 0 && packed.as_ptr().align_offset(PACKED_ALIGN) != 0 {
            return Err(RunError::Misaligned { needed: PACKED_ALIGN });
        }
        let packed: &mut [i8] = bytemuck::cast_slice_mut(packed);
        // No table of a microcontroller packs weights, so that nothing of it is linked there.
        let packs = !cfg!(all(target_os = "none", any(target_arch = "arm", target_arch = "riscv32")));
        if packs && plan.packed_len() > 0 {
            pack_weights(&plan, packed)?;
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

    /// Runs the next `count` layers at most; `true` when the last one has run, and [`Self::logits`] are those of the input.
    /// The call after that starts at the first layer again. Between two calls the caller may do anything else, such as
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
        let threads = self.threads.clone();
        threads.run(|| self.run_on_this_thread(count, observer))
    }

    /// As [`Self::run_layers`].
    #[inline(never)]
    fn run_on_this_thread(
        &mut self,
        count: usize,
        observer: &mut (dyn Observer + Send),
    ) -> Result<bool, RunError> {
        let all = self.plan.model().layer_count();
        let end = all.min(self.progress.layers.saturating_add(count));
        while self.progress.layers < end {
            if let Err(error) = self.run_layer(observer) {
                self.progress = Progress::default();
                return Err(error);
            }
        }
        if end == all {
            self.progress = Progress::default();
        }
        Ok(end == all)
    }

    /// Runs the next layer.
    #[inline(never)]
    fn run_layer(&mut self, observer: &mut (dyn Observer + Send)) -> Result<(), RunError> {
        let Progress { layers: index, packed } = self.progress;
        let broken = RunError::Internal { layer: index };
        // A reference to the layer where it was made: a value would be copied, and it is large.
        let layer = &self.plan.model().layer(index);
        let layer = layer.as_ref().ok_or(broken)?;
        observer.before(layer);
        let packed = match &layer.op {
            Op::Conv(conv) => self.run_conv(layer, conv, packed).ok_or(broken)?,
            _ => self.run_small(layer).map(|()| packed).ok_or(broken)?,
        };
        self.progress = Progress { layers: index + 1, packed };
        self.show(layer, observer)
    }

    /// Shows an observer what a layer has computed.
    #[inline(never)]
    fn show(&self, layer: &Layer<'_>, observer: &mut (dyn Observer + Send)) -> Result<(), RunError> {
        let output = self.output_of(layer).ok_or(RunError::Internal { layer: layer.index })?;
        observer.after(layer, output)
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
    pub fn self_test(&mut self) -> Result<(), RunError> {
        let hashes = self.plan.model().self_test_hashes();
        self.set_self_test_input();
        self.run_observed(&mut SelfTest { hashes }).map(|_| ())
    }

    /// Fills the input with the self-test's pixels without running, for tools that want to see the hashes.
    pub fn set_self_test_input(&mut self) {
        self.set_input(SelfTestPixels::new(self.plan.model().self_test_seed()));
    }

    fn output_of(&self, layer: &Layer<'_>) -> Option<Output<'_>> {
        let bytes = self.arena.get(layer.output.range())?;
        match layer.op {
            Op::Dense { .. } => bytemuck::try_cast_slice(bytes).ok().map(Output::Logits),
            _ => Some(Output::Activations(bytemuck::cast_slice(bytes))),
        }
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
                run.run(&self.threads, conv::useful_threads(layer, self.threads.count()), logits)
            }
        }
    }

    /// Runs a convolution, whose packed weights begin at `start`; returns where they end.
    fn run_conv(&mut self, layer: &Layer<'_>, conv: &Conv<'_>, start: usize) -> Option<usize> {
        // References to what is large where it was made, as with the layer.
        let plan = &self.plan.conv(layer);
        let plan = plan.as_ref()?;
        let scratch = self.plan.scratch(layer.index, plan.scratch_len(self.plan.threads())?)?;
        let buffers = &mut conv_buffers(self.arena, layer, conv, scratch);
        let ConvBuffers { inputs, output, scratch } = buffers.as_mut()?;
        let end = start + plan.packed_len();
        let packed = self.packed.get(start..end)?;
        let weights = if packed.is_empty() { conv.weights } else { packed };
        let run = ConvRun { layer, conv, plan, kernels: self.plan.kernels(), inputs, weights };
        run.run(&self.threads, output, scratch)?;
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
    scratch: core::ops::Range<usize>,
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

/// Compares every layer with the hash in the file.
struct SelfTest<'a> {
    hashes: &'a [[u8; 4]],
}

impl Observer for SelfTest<'_> {
    fn after(&mut self, layer: &Layer<'_>, output: Output<'_>) -> Result<(), RunError> {
        let expected = self.hashes.get(layer.index).map_or(0, |hash| u32::from_le_bytes(*hash));
        match output.hash() {
            found if found == expected => Ok(()),
            found => Err(RunError::SelfTest { layer: layer.index, expected, found }),
        }
    }
}

/// Packs the weights of every convolution, one layer after the other.
#[inline(never)]
fn pack_weights(plan: &Plan<'_>, packed: &mut [i8]) -> Result<(), RunError> {
    let mut rest = packed;
    for layer in plan.model().layers() {
        let broken = RunError::Internal { layer: layer.index };
        let Op::Conv(conv) = &layer.op else { continue };
        let conv_plan = plan.conv(&layer).ok_or(broken)?;
        let (own, behind) = rest.split_at_mut_checked(conv_plan.packed_len()).ok_or(broken)?;
        conv_plan.pack(&layer, conv, plan.kernels(), own).ok_or(broken)?;
        rest = behind;
    }
    Ok(())
}
