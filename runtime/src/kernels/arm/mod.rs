//! ARM.

pub(super) mod neon;
pub(super) mod neon_dotprod;
pub(super) mod neon_i8mm;
mod patches;
mod tiles;

/// Whether this CPU (with `std`) or every CPU that the build is for (without) has all of these features.
macro_rules! has {
    ($($feature:tt),+) => {{
        #[cfg(feature = "std")]
        let here = $(std::arch::is_aarch64_feature_detected!($feature))&&+;
        #[cfg(not(feature = "std"))]
        let here = $(cfg!(target_feature = $feature))&&+;
        here
    }};
}
use has;
