//! ARM.

#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
#[cfg(target_arch = "arm")]
pub(super) mod neon_armv7;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon_dotprod;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon_i8mm;
mod patches;
#[cfg(target_arch = "aarch64")]
mod tiles;

/// Whether this CPU (with `std`) or every CPU that the build is for (without) has all of these features.
#[cfg(target_arch = "aarch64")]
macro_rules! has {
    ($($feature:tt),+) => {{
        #[cfg(feature = "std")]
        let here = $(std::arch::is_aarch64_feature_detected!($feature))&&+;
        #[cfg(not(feature = "std"))]
        let here = $(cfg!(target_feature = $feature))&&+;
        here
    }};
}
#[cfg(target_arch = "aarch64")]
use has;
