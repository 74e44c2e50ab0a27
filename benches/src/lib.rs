//! What the benchmarks run on: networks of published geometry, and each of their convolutions alone.
//!
//! Speed depends on values where a table has a fast path for those that are usual (AVX2 has one). So weights are
//! bell-shaped with a standard deviation of 32, and parameters are chosen so that activations are as in trained networks:
//! half of them at the zero point, the others the upper half of a bell, 0.3 to 1 % above the middle of the int8 range.
//! Pixels use their whole range. Projections end with a ReLU here like everything else, which changes nothing in the
//! time that they or their readers take.
//!
//! The models are built with the model builder of the runtime's tests.

#[path = "../../runtime/tests/common/mod.rs"]
mod common;

mod file;
mod layers;
mod networks;
mod values;

pub use layers::LayerShape;
pub use networks::Network;
pub use values::{activations, pixels, weights};

/// Of all random values.
const SEED: u64 = 1;
