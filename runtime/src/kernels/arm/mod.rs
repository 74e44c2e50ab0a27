//! ARM.

#[cfg(target_arch = "aarch64")]
mod lines;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
#[cfg(target_arch = "arm")]
pub(super) mod neon_armv7;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon_dotprod;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon_i8mm;
#[cfg(target_arch = "aarch64")]
mod neon_winograd;
#[cfg(target_arch = "aarch64")]
mod neon_winograd_output;
mod patches;
#[cfg(target_arch = "aarch64")]
mod tiles;
