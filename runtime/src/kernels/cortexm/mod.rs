//! Cortex-M. What the processor has is settled when the program is built, by features of the crate: the registers that
//! would tell cannot be read by unprivileged code.

#[cfg(feature = "cortexm-dsp")]
pub(super) mod dsp;
#[cfg(feature = "cortexm-mve")]
pub(super) mod mve;
#[cfg(any(feature = "cortexm-v7", feature = "cortexm-dsp"))]
mod tiles;
#[cfg(feature = "cortexm-v7")]
pub(super) mod v7;
