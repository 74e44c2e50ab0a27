//! From logits to an answer.

/// The classes with the largest logits, best first; equal logits in the order of their classes.
///
/// Fills `best` and returns the part of it that was filled: all of it, or one entry per class.
pub fn top_k<'b>(logits: &[i32], best: &'b mut [(usize, i32)]) -> &'b [(usize, i32)] {
    let mut filled = 0;
    for (class, &logit) in logits.iter().enumerate() {
        let place = best.iter().take(filled).position(|&(_, other)| other < logit).unwrap_or(filled);
        filled = (filled + 1).min(best.len());
        let mut moving = (class, logit);
        for entry in best.iter_mut().take(filled).skip(place) {
            core::mem::swap(entry, &mut moving);
        }
    }
    best.get(..filled).unwrap_or_default()
}

/// The probabilities that real-valued logits stand for: a convenience outside the integer path.
///
/// Integer logits become real ones by [`crate::Session::logits_scale`].
#[cfg(feature = "std")]
#[must_use]
pub fn softmax(logits: impl IntoIterator<Item = f32>) -> std::vec::Vec<f32> {
    let mut values: std::vec::Vec<f32> = logits.into_iter().collect();
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    values.iter_mut().for_each(|value| *value = (*value - largest).exp());
    let sum: f32 = values.iter().sum();
    values.iter_mut().for_each(|value| *value /= sum);
    values
}
