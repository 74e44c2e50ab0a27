//! From logits to an answer.

use core::cmp::Reverse;

/// The classes with their logits, best first; equal logits in the order of their classes. Needs no memory: each step looks
/// at all logits.
pub fn ranked(logits: &[i32]) -> impl Iterator<Item = (usize, i32)> {
    let rank = |&(class, logit): &(usize, i32)| (logit, Reverse(class));
    let entries = logits.iter().copied().enumerate();
    let best = entries.clone().max_by_key(rank);
    core::iter::successors(best, move |previous| {
        entries.clone().filter(|entry| rank(entry) < rank(previous)).max_by_key(rank)
    })
}

/// The first of [`ranked`].
///
/// Fills `best` and returns the part of it that was filled: all of it, or one entry per class.
pub fn top_k<'b>(logits: &[i32], best: &'b mut [(usize, i32)]) -> &'b [(usize, i32)] {
    let filled = best.iter_mut().zip(ranked(logits)).map(|(entry, ranked)| *entry = ranked).count();
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
