//! The classifier: one dot product per class, int32 out.

use crate::arith::rescale;
use crate::kernels::Kernels;
use crate::model::Channels;
use crate::threads::Threads;

/// A dense layer and what it reads: `logits[n] = rescale((bias[n] + weights[n] . input) << acc_shift, multiplier[n])`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DenseRun<'a> {
    pub(crate) kernels: &'a Kernels,
    pub(crate) input: &'a [i8],
    pub(crate) weights: &'a [i8],
    pub(crate) channels: Channels<'a>,
    pub(crate) acc_shift: u8,
}

impl DenseRun<'_> {
    /// Computes all logits, in as many parts.
    #[inline(never)]
    pub(crate) fn run(&self, threads: &Threads, parts: usize, logits: &mut [i32]) -> Option<()> {
        if parts == 1 {
            return self.part(0, logits);
        }
        let len = logits.len().div_ceil(parts).max(1);
        let parts = logits.chunks_mut(len).enumerate();
        threads.run_all(parts.map(|(index, logits)| move || self.part(index * len, logits)))
    }

    /// Computes the logits from `first` on.
    fn part(&self, first: usize, logits: &mut [i32]) -> Option<()> {
        let rows = self.weights.chunks_exact(self.input.len().max(1)).zip(self.channels.iter()).skip(first);
        for (logit, (weights, channel)) in logits.iter_mut().zip(rows) {
            let acc = channel.bias + (self.kernels.dot)(self.input, weights);
            *logit = rescale(acc << self.acc_shift, channel.multiplier);
        }
        Some(())
    }
}
