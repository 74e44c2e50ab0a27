//! Armv7-M without the DSP instructions: Cortex-M3, in assembly, because compilers do not keep enough values in its registers.
//!
//! A tile is one channel of 4 pixels. Patches are packed as int32, `[depth][4 pixels]`: one `ldm` loads the four values for a weight, so
//! that 4 products take 6 instructions.
#![allow(unsafe_code, reason = "assembly")]

use super::layout::{self, Layout, V7};
use super::tiles::{self, Job, Microkernel, SAVED, Tiles, channels_of_tile};
use crate::Isa;
use crate::format::records::ChannelRecord;
use crate::kernels::{Kernels, Patches, Shape};

/// Most pixels of a tile.
const MR: usize = V7::MR;

/// The table of [`Isa::CortexmV7`].
pub(in crate::kernels) static KERNELS: Kernels =
    layout::table(Isa::CortexmV7, layout::tiled::<V7>(tiles::pack_patches::<V7>, tiles::conv::<V7>));

impl Tiles for V7 {
    fn lanes(_: usize) -> usize {
        MR
    }

    fn pack_tile(shape: &Shape, patches: &Patches<'_>, first: usize, panel: &mut [i32]) -> Option<()> {
        let places = patches.grid.places_from(first);
        for (pixel, place) in places.take((patches.pixels - first).min(MR)).enumerate() {
            let patch = patches.source.get(place..)?;
            for run in 0..shape.runs {
                let values = patch.get(run * patches.run_stride..)?.get(..shape.run_len)?;
                let out = panel.get_mut(run * shape.run_len * MR + pixel..)?;
                for (out, value) in out.iter_mut().step_by(MR).zip(values) {
                    *out = i32::from(*value);
                }
            }
        }
        Some(())
    }

    fn microkernel(_: usize) -> Microkernel {
        multiply_4
    }
}

/// The instructions of [`channels_of_tile`]: r0 panel, r1 weights; r2, r3, r8 to r12 and lr are free while products are made.
macro_rules! v7 {
    (@sixteen $($sum:literal),+) => {
        concat!(v7!(@four $($sum),+), v7!(@four $($sum),+), v7!(@four $($sum),+), v7!(@four $($sum),+))
    };
    (@four $($sum:literal),+) => {
        concat!(v7!(@one $($sum),+), v7!(@one $($sum),+), v7!(@one $($sum),+), v7!(@one $($sum),+))
    };
    (@one $first:literal, $second:literal, $third:literal, $fourth:literal) => {
        concat!(
            "ldrsb r2, [r1], #1\n",
            "ldm r0!, {{r8, r9, r10, r11}}\n",
            "mla ", $first, ", r8, r2, ", $first, "\n",
            "mla ", $second, ", r9, r2, ", $second, "\n",
            "mla ", $third, ", r10, r2, ", $third, "\n",
            "mla ", $fourth, ", r11, r2, ", $fourth, "\n",
        )
    };
    // r2 mantissa; r8 gets the low half of the product.
    (@high_half $sum:literal) => {
        concat!("smull r8, ", $sum, ", ", $sum, ", r2\n")
    };
}

channels_of_tile!(multiply_4, v7, ["r4", "r5", "r6", "r7"], ["r7", "r6", "r5", "r4"]);
