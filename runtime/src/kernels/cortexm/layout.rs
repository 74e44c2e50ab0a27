//! How the tables of Cortex-M cut a convolution and lay out patches: all that the sizes of buffers depend on. It is part of every build, so
//! that a converter on a host can say how much memory firmware needs.

use crate::Isa;
use crate::kernels::transformed::Transformed;
use crate::kernels::{ConvBlock, Direct, Kernels, Packing, Patches, Shape, portable};

/// The tiles of a table that packs patches.
pub(super) trait Layout {
    /// Most pixels of a tile.
    const MR: usize;
    /// A packed value.
    type Value: bytemuck::Pod;
}

/// See [`super::v7`].
pub(super) struct V7;

impl Layout for V7 {
    const MR: usize = 4;
    type Value = i32;
}

/// See [`super::dsp`].
pub(super) struct Dsp;

impl Layout for Dsp {
    const MR: usize = 6;
    type Value = i16;
}

/// Output channels of a call of a table that packs patches: all that a layer has, as a rule.
pub(super) const NR: usize = 1 << 12;

/// Most pixels of a tile of [`super::mve`].
pub(super) const MVE_MR: usize = 7;
/// Most channels of a tile of [`super::mve`].
pub(super) const MVE_NR: usize = 16;

/// See [`Direct::conv`].
type Conv = fn(&ConvBlock<'_>, &mut [i8]) -> Option<()>;

/// See [`Packing::pack_patches`].
type PackPatches = fn(&Shape, &[i8], &Patches<'_>, &mut [i8]) -> Option<()>;

/// Bytes of the panel of a tile.
pub(super) fn panel_len<T: Layout>(shape: &Shape) -> Option<usize> {
    (shape.depth().checked_mul(T::MR * size_of::<T::Value>())?).checked_next_multiple_of(64)
}

/// Weights are read where they are, patches are packed.
pub(super) const fn tiled<T: Layout>(pack_patches: PackPatches, conv: Conv) -> Direct {
    let packing = Packing {
        weights_len: |_| Some(0),
        pack_weights: |_, _| Some(()),
        patches_len: |shape, pixels, _| pixels.div_ceil(T::MR).checked_mul(panel_len::<T>(shape)?),
        pack_patches,
        pack_row: None,
    };
    Direct { mr: T::MR, nr: NR, block_bytes: 0, block_columns: T::MR, packing: Some(packing), conv }
}

/// Weights and patches are read where they are.
pub(super) const fn in_place(conv: Conv) -> Direct {
    Direct { mr: MVE_MR, nr: MVE_NR, block_bytes: 9 << 10, block_columns: usize::MAX, packing: None, conv }
}

/// A table whose other functions are those of [`portable`].
pub(super) const fn table(isa: Isa, direct: Direct) -> Kernels {
    Kernels {
        isa,
        direct,
        winograd: None,
        transformed: None,
        dot: portable::dot,
        max_into: portable::max_into,
        sum_into: portable::sum_into,
        copy_into: portable::copy_into,
    }
}

/// A table with the steps for transformed weights.
pub(super) const fn with_transformed(table: Kernels, transformed: Transformed) -> Kernels {
    Kernels { transformed: transformed.if_enabled(), ..table }
}

/// Tables for the sizes of buffers: their functions refuse to run.
static SIZES: [Kernels; 3] = [
    table(Isa::CortexmV7, tiled::<V7>(|_, _, _, _| None, |_, _| None)),
    with_transformed(
        table(Isa::CortexmDsp, tiled::<Dsp>(|_, _, _, _| None, |_, _| None)),
        Transformed { transform_input: |_, _| None, conv: |_, _, _| None },
    ),
    table(Isa::CortexmMve, in_place(|_, _| None)),
];

/// The table of an instruction set of Cortex-M that tells the sizes of buffers and nothing else.
pub(in crate::kernels) fn sizes(isa: Isa) -> Option<&'static Kernels> {
    SIZES.iter().find(|table| table.isa == isa)
}
