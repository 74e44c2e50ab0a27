//! The folded network against the original, tensor by tensor.

use super::{FloatError, FloatModel};

/// How far one tensor of the folded network is from the original's.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The tensor's name.
    pub name: String,
    /// Largest absolute difference over all samples and values.
    pub largest_difference: f32,
    /// Largest absolute value in the original, to judge the difference by.
    pub largest_magnitude: f32,
}

impl Difference {
    /// The largest difference as a share of the largest magnitude; 0 when there is no difference.
    #[must_use]
    pub fn relative(&self) -> f32 {
        if self.largest_difference == 0.0 { 0.0 } else { self.largest_difference / self.largest_magnitude }
    }

    fn observe(&mut self, original: &[f32], folded: &[f32]) -> Result<(), FloatError> {
        if original.len() != folded.len() {
            return Err(FloatError::DifferentOutputs);
        }
        for (a, b) in original.iter().zip(folded) {
            if !(a.is_finite() && b.is_finite()) {
                return Err(FloatError::NotFinite(self.name.clone()));
            }
            self.largest_difference = self.largest_difference.max((a - b).abs());
            self.largest_magnitude = self.largest_magnitude.max(a.abs());
        }
        Ok(())
    }
}

/// Outcome of [`check_folding`].
#[derive(Debug, Clone, PartialEq)]
pub struct FoldCheck {
    /// One per exposed tensor, in [`FloatModel::output_names`]'s order.
    pub tensors: Vec<Difference>,
    /// The network's output.
    pub logits: Difference,
    /// Samples compared.
    pub samples: usize,
}

impl FoldCheck {
    /// The tensor with the largest [relative](Difference::relative) difference, the logits included.
    #[must_use]
    pub fn worst(&self) -> &Difference {
        let worse = |a: &&Difference, b: &&Difference| a.relative().total_cmp(&b.relative());
        self.tensors.iter().chain([&self.logits]).max_by(worse).unwrap_or(&self.logits)
    }
}

/// Runs both networks on every sample and compares every exposed tensor.
///
/// Both come from [`FloatModel::for_folded`] with the same folded network; each sample is one input, C x H x W.
///
/// # Errors
///
/// Networks that expose different tensors, a value that is not finite, no sample, or a failure while running.
pub fn check_folding<'s>(
    original: &FloatModel,
    folded: &FloatModel,
    samples: impl IntoIterator<Item = &'s [f32]>,
) -> Result<FoldCheck, FloatError> {
    if original.output_names() != folded.output_names() {
        return Err(FloatError::DifferentOutputs);
    }
    let zero =
        |name: &str| Difference { name: name.to_owned(), largest_difference: 0.0, largest_magnitude: 0.0 };
    let mut logits = zero("logits");
    let mut tensors: Vec<Difference> = original.output_names().iter().map(|name| zero(name)).collect();
    let mut count = 0;
    for sample in samples {
        let (expected, got) = (original.run(sample)?, folded.run(sample)?);
        let pairs = expected.iter().zip(&got);
        for (difference, (a, b)) in tensors.iter_mut().chain([&mut logits]).zip(pairs) {
            difference.observe(a, b)?;
        }
        count += 1;
    }
    if count == 0 { Err(FloatError::NoSamples) } else { Ok(FoldCheck { tensors, logits, samples: count }) }
}
