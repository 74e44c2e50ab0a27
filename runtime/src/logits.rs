//! From logits to an answer.

/// The classes with the largest logits, best first; equal logits in the order of their classes.
///
/// Fills `best` and returns the part of it that was filled: all of it, or one entry per class.
pub fn top_k<'b>(logits: &[i32], best: &'b mut [(usize, i32)]) -> &'b [(usize, i32)] {
    let mut filled = 0;
    for (class, &logit) in logits.iter().enumerate() {
        let place = best.iter().take(filled).position(|&(_, other)| other < logit).unwrap_or(filled);
        filled = (filled + 1).min(best.len());
        if let Some(tail) = best.get_mut(place..filled) {
            tail.rotate_right(1);
            if let Some(entry) = tail.first_mut() {
                *entry = (class, logit);
            }
        }
    }
    best.get(..filled).unwrap_or_default()
}

/// The probabilities that the logits stand for, as floats: a convenience outside the integer path.
///
/// `scale` is [`crate::Session::logits_scale`].
#[cfg(feature = "std")]
#[must_use]
pub fn softmax(logits: &[i32], scale: f32) -> std::vec::Vec<f32> {
    let largest = logits.iter().copied().max().unwrap_or_default();
    let exponentials = logits.iter().map(|&logit| (f64::from(logit - largest) * f64::from(scale)).exp());
    let exponentials: std::vec::Vec<f64> = exponentials.collect();
    let sum: f64 = exponentials.iter().sum();
    #[expect(clippy::cast_possible_truncation, reason = "a probability loses digits, nothing else")]
    exponentials.iter().map(|value| (value / sum) as f32).collect()
}
