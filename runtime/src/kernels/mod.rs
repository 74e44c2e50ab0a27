//! The kernel interface: one table of microkernels per instruction set, one file or folder per table.
//!
//! A driver (see `ops`) walks the geometry of a layer and hands small tiles to the microkernels of a [`Kernels`]
//! table. It asks the table for its tile size and layouts and decides nothing else by instruction set. Every table must
//! equal [`portable`] bit for bit; `tests/kernel_check.rs` compares them.
//!
//! # Direct convolution
//!
//! A tile is up to `mr` output pixels by up to `nr` output channels. Because activations are NHWC, all the values
//! that one kernel row needs for one output pixel stand side by side: `kernel columns * channels` of them, a *run*.
//! What a pixel reads, its *patch*, is `kernel rows` runs, the same for 1x1, 3x3 and 7x7. A table may read patches where
//! they are, or have those of a block copied into a layout of its own first, *panels* of a tile's patches or the rows that they lie in;
//! likewise for weights.
//!
//! # Winograd
//!
//! A table may also have the steps of [`winograd`]: 3x3 convolutions, and 7x7 of stride 2, in a quarter to a half of the
//! multiplications, with the same result to the bit. [`transformed`] is such a method for weights that the converter has transformed
//! already, for microcontrollers.

use crate::Isa;
use crate::format::records::ChannelRecord;

#[cfg(any(target_arch = "aarch64", all(target_arch = "arm", target_os = "linux")))]
mod arm;
mod block;
mod cortexm;
mod grid;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", all(target_arch = "arm", target_os = "linux")))]
mod panels;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", all(target_arch = "arm", target_os = "linux")))]
mod parameters;
#[cfg(feature = "peak")]
pub mod peak;
pub mod portable;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod simd;
pub mod transformed;
pub mod winograd;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use block::{ConvBlock, Epilogue, Patches, SkipValues, Target};
pub use grid::{Grid, Places};

/// The microkernels of one instruction set.
#[derive(Debug, Clone)]
pub struct Kernels {
    /// The instruction set that the functions need.
    pub isa: Isa,
    /// Convolution of any geometry.
    pub direct: Direct,
    /// 3x3 and 7x7 convolution by Winograd's method.
    pub winograd: Option<winograd::Winograd>,
    /// 3x3 convolution of weights that were transformed at conversion.
    pub transformed: Option<transformed::Transformed>,
    /// One output of a dense layer, without rounding: `sum(weights * input)`.
    pub dot: fn(input: &[i8], weights: &[i8]) -> i32,
    /// `out[c] = max(out[c], input[c])`.
    pub max_into: fn(out: &mut [i8], input: &[i8]),
    /// `sums[c] += input[c]`.
    pub sum_into: fn(sums: &mut [i32], input: &[i8]),
    /// `out[i] = input[i]`, of as many values as both have: rows of activations.
    pub copy_into: CopyRow,
}

/// Copies part of a row, as many values as both slices have.
pub type CopyRow = fn(out: &mut [i8], row: &[i8]);

/// The microkernel of direct convolution and the layouts that it reads.
#[derive(Debug, Clone, Copy)]
pub struct Direct {
    /// Most output pixels of a tile.
    pub mr: usize,
    /// Output channels of a tile.
    pub nr: usize,
    /// Bytes of patches that are best worked on together, so that they stay in the cache while all weights pass by; 0
    /// for one output row.
    pub block_bytes: usize,
    /// Most output columns that are worked on together, `usize::MAX` for all: what is copied and packed for them takes scratch,
    /// which is scarce on a microcontroller. A table with a limit gets blocks of one row only: its pixels are equally far apart in
    /// output and shortcut.
    pub block_columns: usize,
    /// How weights and patches are laid out; `None` reads both where they are.
    pub packing: Option<Packing>,
    /// Computes a block. `None` when a slice is shorter than it says.
    pub conv: fn(block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()>,
}

/// Layouts of a table's own.
#[derive(Debug, Clone, Copy)]
pub struct Packing {
    /// Bytes of a layer's packed weights and channel parameters, a multiple of 64; `None` when there are more than the
    /// address space holds.
    pub weights_len: fn(shape: &Shape) -> Option<usize>,
    /// Packs a layer's weights and channel parameters. `None` when a slice is too short.
    pub pack_weights: fn(source: &LayerWeights<'_>, packed: &mut [i8]) -> Option<()>,
    /// Bytes of the packed patches of a block, a multiple of 64: of so many pixels, which read from so many values of the source.
    pub patches_len: fn(shape: &Shape, pixels: usize, values: usize) -> Option<usize>,
    /// Packs the patches of a block; `weights` are the layer's packed weights. `None` when a slice is too short.
    pub pack_patches:
        fn(shape: &Shape, weights: &[i8], patches: &Patches<'_>, panels: &mut [i8]) -> Option<()>,
    /// Packs part of a row, of as many values as both have, for a table whose packed patches are the rows that they lie in. Rows that have to be
    /// copied for their padding are packed with it on the way, and the block's patches have no source then.
    pub pack_row: Option<CopyRow>,
}

impl Packing {
    /// The field `pack_row`. Without an operating system no table has one, so that the linker leaves what uses it out.
    pub(crate) const fn row_packing(&self) -> Option<CopyRow> {
        if cfg!(target_os = "none") { None } else { self.pack_row }
    }
}

/// A convolution as a matrix product: every output channel is a sum over `runs` runs of `run_len` values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Output channels.
    pub channels: usize,
    /// Kernel rows.
    pub runs: usize,
    /// Kernel columns times input channels.
    pub run_len: usize,
    /// Whether the activations are raw pixels, which use all of their range alike. Those of inner layers are mostly
    /// small, and a table may use a layout that is faster then.
    pub pixels: bool,
}

impl Shape {
    /// Weights of one output channel.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.runs * self.run_len
    }
}

/// The weights and parameters of a layer as the model file has them.
#[derive(Debug, Clone, Copy)]
pub struct LayerWeights<'a> {
    /// Their number.
    pub shape: Shape,
    /// `[channel][run][value]`, none of them -128.
    pub weights: &'a [i8],
    /// One record per output channel.
    pub channels: &'a [[u8; ChannelRecord::LEN]],
    /// Zero point and fraction bits of the shortcut, if one joins.
    pub skip: Option<(i8, u8)>,
}

impl Kernels {
    /// The steps of Winograd's method. Without an operating system there are none, so that the linker leaves all of it out.
    pub(crate) const fn winograd(&self) -> Option<&winograd::Winograd> {
        if cfg!(target_os = "none") { None } else { self.winograd.as_ref() }
    }

    /// The table with other costs of Winograd's method, of stride 1.
    #[must_use]
    pub const fn with_costs(self, costs: winograd::Costs) -> Self {
        let winograd = match self.winograd {
            Some(winograd) => Some(winograd::Winograd { costs, ..winograd }),
            None => None,
        };
        Self { winograd, ..self }
    }

    /// The steps for transformed weights. Without the feature there are none, so that the linker leaves all of it out.
    pub(crate) const fn transformed(&self) -> Option<&transformed::Transformed> {
        if cfg!(feature = "transformed-weights") { self.transformed.as_ref() } else { None }
    }

    /// The table of an instruction set; `None` when this CPU or this build lacks it.
    #[must_use]
    pub fn for_isa(isa: Isa) -> Option<&'static Self> {
        match isa {
            Isa::Portable => Some(&portable::KERNELS),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => x86::avx2::kernels(),
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => x86::avx_vnni::kernels(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => x86::avx512vnni::kernels(),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => arm::neon::kernels(),
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDotprod => arm::neon_dotprod::kernels(),
            #[cfg(target_arch = "aarch64")]
            Isa::NeonI8mm => arm::neon_i8mm::kernels(),
            #[cfg(all(target_arch = "arm", target_os = "linux"))]
            Isa::Neon => arm::neon_armv7::kernels(),
            #[cfg(all(feature = "cortexm-v7", target_arch = "arm", target_os = "none"))]
            Isa::CortexmV7 => Some(&cortexm::v7::KERNELS),
            #[cfg(all(feature = "cortexm-dsp", target_arch = "arm", target_os = "none"))]
            Isa::CortexmDsp => Some(&cortexm::dsp::KERNELS),
            #[cfg(all(feature = "cortexm-mve", target_arch = "arm", target_os = "none"))]
            Isa::CortexmMve => Some(&cortexm::mve::KERNELS),
            #[allow(unreachable_patterns, reason = "the instruction sets of other processors")]
            _ => None,
        }
    }

    /// A table that tells the sizes of buffers: where the kernels of Cortex-M are not at hand, one that cannot run.
    pub(crate) fn for_sizes(isa: Isa) -> Option<&'static Self> {
        Self::for_isa(isa).or_else(|| cortexm::layout::sizes(isa))
    }
}
