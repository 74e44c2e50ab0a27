//! Calibration: the real-valued range of every tensor, learnt from samples that are streamed through the float network.
//!
//! Every tensor has an [`Observer`] of fixed size, so memory does not grow with the number of samples; observers count
//! in integers only, so the outcome does not depend on the order of the samples or on the number of threads.

mod histogram;
mod observer;
mod params;
mod range;

use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::float::{FloatError, FloatModel};
use crate::folded::{Folded, TensorId};

pub use observer::{NotFinite, Observer};
pub use params::{MIN_SPAN, QuantParams, quant_params};
pub use range::{RangeMethod, UnknownRangeMethod};

/// Why calibration stopped.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// A sample could not be read. Samples count from 0.
    #[error("calibration sample {index} cannot be read")]
    Sample {
        /// Position in the stream.
        index: u64,
        /// What the reader says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The float network failed on a sample.
    #[error("the float network failed on calibration sample {index}")]
    Float {
        /// Position in the stream.
        index: u64,
        /// The failure.
        source: FloatError,
    },
    /// A tensor took a value that is NaN or infinite.
    #[error("calibration sample {index} cannot be used")]
    Values {
        /// Position in the stream.
        index: u64,
        /// Which tensor.
        source: NotFinite,
    },
    /// A tensor has another size in the float network than in the folded one.
    #[error("tensor `{tensor}` has {given} values in the float network, but {expected} in the folded one")]
    TensorLength {
        /// Its name.
        tensor: String,
        /// Values by the folded network's shape.
        expected: usize,
        /// Values the float network gave.
        given: usize,
    },
    /// The float network does not expose the folded network's tensors in order.
    #[error(
        "the float network does not expose the folded network's tensors; build it with FloatModel::for_folded"
    )]
    DifferentTensors,
    /// The stream of samples was empty.
    #[error("there is no calibration sample; give at least one, better some hundred")]
    NoSamples,
}

/// What calibration learnt: one observer per tensor of the folded network, in the order of their ids, and one for every
/// map before a pooling that is part of a convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    observers: Vec<Observer>,
    before_pools: Vec<(TensorId, Observer)>,
    samples: u64,
}

impl Calibration {
    /// The range `(lo, hi)` of every tensor, indexed by tensor id: `lo <= 0 <= hi`, `hi - lo >= ` [`MIN_SPAN`].
    #[must_use]
    pub fn ranges(&self, method: RangeMethod) -> Vec<(f32, f32)> {
        (0..self.observers.len()).map(|index| self.rounded(TensorId(index)).range(method)).collect()
    }

    /// The observer of the values that are rounded to the steps of a tensor: its own, or, where a convolution ends in a
    /// pooling, those of the map before it. Requantization comes first and the pooling keeps its steps.
    #[must_use]
    pub fn rounded(&self, tensor: TensorId) -> &Observer {
        let map = self.before_pools.iter().find(|(pooled, _)| *pooled == tensor).map(|(_, map)| map);
        map.unwrap_or(&self.observers[tensor.0])
    }

    /// The observers, indexed by tensor id.
    #[must_use]
    pub fn observers(&self) -> &[Observer] {
        &self.observers
    }

    /// Samples seen.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }
}

/// Streams `samples` (each one input of the network, C x H x W) through `float` on `threads` threads and observes
/// every feature map of `folded`.
///
/// `float` comes from [`FloatModel::for_folded`] with the same folded network. A thread takes the next sample when
/// it is done with the last one, so there is one sample in memory per thread. `progress` is called with the number
/// of samples taken so far. The result does not depend on `threads`.
///
/// # Errors
///
/// The first sample that cannot be read or makes a value that is not finite, a stream without any sample, or a
/// float network that does not fit the folded one.
pub fn calibrate<E: Into<Box<dyn Error + Send + Sync>>>(
    folded: &Folded,
    float: &FloatModel,
    samples: impl Iterator<Item = Result<Vec<f32>, E>> + Send,
    threads: NonZeroUsize,
    progress: impl FnMut(u64) + Send,
) -> Result<Calibration, CalibrateError> {
    if !float.output_names().iter().eq(folded.feature_maps().map(|tensor| &tensor.name)) {
        return Err(CalibrateError::DifferentTensors);
    }
    let source = Source::new(samples, progress);
    let results: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads.get()).map(|_| scope.spawn(|| observe_all(folded, float, &source))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut observers = fresh_observers(folded);
    for result in results {
        for (total, part) in observers.iter_mut().zip(&result?) {
            total.merge(part);
        }
    }
    let maps = observers.split_off(folded.tensors.len());
    let before_pools = folded.maps_before_pools().map(|(pooled, _)| pooled).zip(maps).collect();
    match source.taken() {
        0 => Err(CalibrateError::NoSamples),
        samples => Ok(Calibration { observers, before_pools, samples }),
    }
}

fn fresh_observers(folded: &Folded) -> Vec<Observer> {
    folded.feature_maps().map(|tensor| Observer::new(&tensor.name, tensor.shape.c)).collect()
}

/// One thread's share of the samples.
fn observe_all<I, P, E>(
    folded: &Folded,
    float: &FloatModel,
    source: &Source<I, P>,
) -> Result<Vec<Observer>, CalibrateError>
where
    I: Iterator<Item = Result<Vec<f32>, E>>,
    P: FnMut(u64),
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let mut observers = fresh_observers(folded);
    while let Some((index, sample)) = source.next() {
        let observed = sample
            .map_err(|error| CalibrateError::Sample { index, source: error.into() })
            .and_then(|sample| observe_sample(folded, float, index, &sample, &mut observers));
        if observed.is_err() {
            source.stop();
        }
        observed?;
    }
    Ok(observers)
}

fn observe_sample(
    folded: &Folded,
    float: &FloatModel,
    index: u64,
    sample: &[f32],
    observers: &mut [Observer],
) -> Result<(), CalibrateError> {
    let values = float.run(sample).map_err(|source| CalibrateError::Float { index, source })?;
    for ((tensor, values), observer) in folded.feature_maps().zip(&values).zip(observers) {
        let (expected, given) = (tensor.shape.len(), values.len());
        if expected != given {
            return Err(CalibrateError::TensorLength { tensor: tensor.name.clone(), expected, given });
        }
        observer.observe(values).map_err(|source| CalibrateError::Values { index, source })?;
    }
    Ok(())
}

/// The stream of samples, shared by the threads.
struct Source<I, P>(Mutex<SourceState<I, P>>);

struct SourceState<I, P> {
    samples: I,
    progress: P,
    taken: u64,
    stopped: bool,
}

impl<I: Iterator, P: FnMut(u64)> Source<I, P> {
    fn new(samples: I, progress: P) -> Self {
        Self(Mutex::new(SourceState { samples, progress, taken: 0, stopped: false }))
    }

    /// The next sample and its position, until the stream ends or a thread has stopped it.
    fn next(&self) -> Option<(u64, I::Item)> {
        let mut state = self.lock();
        if state.stopped {
            return None;
        }
        let Some(sample) = state.samples.next() else {
            state.stopped = true;
            return None;
        };
        let index = state.taken;
        state.taken += 1;
        (state.progress)(index + 1);
        Some((index, sample))
    }

    fn stop(&self) {
        self.lock().stopped = true;
    }

    fn taken(&self) -> u64 {
        self.lock().taken
    }

    /// A panic of another thread is carried on when that thread is joined, not here.
    fn lock(&self) -> MutexGuard<'_, SourceState<I, P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
