//! Work on many samples at once with a result that does not depend on the number of threads.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

/// Results per thread that may wait to be merged before the thread waits too.
const WAITING_PER_THREAD: usize = 4;

/// Hands out indices to the workers and collects their results.
#[derive(Debug)]
pub struct Queue<'a, T, E> {
    next: &'a AtomicUsize,
    count: usize,
    results: SyncSender<Result<(usize, T), E>>,
}

impl<T, E> Queue<'_, T, E> {
    /// Computes `work` for one index after the other until there is none left.
    ///
    /// # Errors
    /// What `work` returned first.
    pub fn for_each(&self, mut work: impl FnMut(usize) -> Result<T, E>) -> Result<(), E> {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.count || self.results.send(Ok((index, work(index)?))).is_err() {
                return Ok(());
            }
        }
    }
}

/// Runs `worker` on every thread and calls `merge` with the results, in the order of the indices below `count`.
///
/// A worker sets up what it needs and then calls [`Queue::for_each`]. Results wait for those of earlier
/// indices, so memory does not grow with `count` as long as no single one takes as long as all others together.
///
/// # Errors
/// The first error of any worker; the rest of the work is dropped.
pub fn in_order<T: Send, E: Send>(
    count: usize,
    threads: NonZeroUsize,
    worker: impl Fn(&Queue<'_, T, E>) -> Result<(), E> + Sync,
    mut merge: impl FnMut(usize, T),
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let threads = threads.get().min(count.max(1));
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(threads * WAITING_PER_THREAD);
        for _ in 0..threads {
            let queue = Queue { next: &next, count, results: sender.clone() };
            let worker = &worker;
            scope.spawn(move || {
                if let Err(error) = worker(&queue) {
                    drop(queue.results.send(Err(error)));
                }
            });
        }
        drop(sender);
        let (mut waiting, mut merged) = (BTreeMap::new(), 0);
        for result in receiver {
            let (index, value) = result?;
            waiting.insert(index, value);
            while let Some(value) = waiting.remove(&merged) {
                merge(merged, value);
                merged += 1;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_for_every_thread_count() {
        for threads in 1..5 {
            let mut seen = Vec::new();
            let threads = NonZeroUsize::new(threads).unwrap();
            let worker = |queue: &Queue<'_, usize, ()>| {
                queue.for_each(|index| {
                    if index.is_multiple_of(7) {
                        std::thread::yield_now();
                    }
                    Ok(index * 2)
                })
            };
            in_order(100, threads, worker, |index, value| seen.push((index, value))).unwrap();
            assert!(seen.iter().copied().eq((0..100).map(|index| (index, index * 2))));
        }
    }

    #[test]
    fn an_error_ends_the_work() {
        let threads = NonZeroUsize::new(3).unwrap();
        let worker = |queue: &Queue<'_, (), &'static str>| {
            queue.for_each(|index| if index == 5 { Err("five") } else { Ok(()) })
        };
        assert_eq!(in_order(1_000_000, threads, worker, |_, ()| ()), Err("five"));
    }
}
