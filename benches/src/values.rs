//! Values for single kernels.

use crate::SEED;
use crate::common::{Random, Values};

/// Bell-shaped weights with a standard deviation of 32.
pub fn weights() -> impl Iterator<Item = i8> {
    let mut random = Random::new(SEED);
    std::iter::repeat_with(move || Values::Bell.get(&mut random, 0, -127))
}

/// Raw pixels: all values alike.
pub fn pixels() -> impl Iterator<Item = i8> {
    let mut random = Random::new(SEED);
    std::iter::repeat_with(move || random.i8())
}

/// Activations behind a ReLU with zero point -128: half of them there, 0.3 % above 0.
pub fn activations() -> impl Iterator<Item = i8> {
    let mut random = Random::new(SEED + 1);
    std::iter::repeat_with(move || {
        let sum = random.bell() * 466 / 320;
        i8::try_from(sum.clamp(0, 255) - 128).unwrap_or(i8::MAX)
    })
}
