//! x86-64.

pub(super) mod avx2;
pub(super) mod avx512vnni;
pub(super) mod avx_vnni;
mod vnni;

/// Whether this CPU (with `std`) or every CPU that the build is for (without) has all of these features.
macro_rules! has {
    ($($feature:tt),+) => {{
        #[cfg(feature = "std")]
        let here = $(std::arch::is_x86_feature_detected!($feature))&&+;
        #[cfg(not(feature = "std"))]
        let here = $(cfg!(target_feature = $feature))&&+;
        here
    }};
}
use has;
