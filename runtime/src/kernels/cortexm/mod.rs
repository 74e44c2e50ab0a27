//! Cortex-M. What the processor has is settled when the program is built, by features of the crate: the registers that
//! would tell cannot be read by unprivileged code.

#[cfg(all(feature = "cortexm-dsp", target_arch = "arm", target_os = "none"))]
pub(super) mod dsp;
pub(super) mod layout;
#[cfg(all(feature = "cortexm-mve", target_arch = "arm", target_os = "none"))]
pub(super) mod mve;
#[cfg(all(any(feature = "cortexm-v7", feature = "cortexm-dsp"), target_arch = "arm", target_os = "none"))]
mod tiles;
#[cfg(all(feature = "cortexm-dsp", target_arch = "arm", target_os = "none"))]
mod transformed;
#[cfg(all(feature = "cortexm-v7", target_arch = "arm", target_os = "none"))]
pub(super) mod v7;
