//! Fork and join: one layer's work on several threads. With one thread, or without the feature `threads`, everything
//! runs on the caller's.

#[cfg(feature = "threads")]
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(feature = "threads")]
use core::time::Duration;
#[cfg(feature = "threads")]
use std::sync::Arc;

use crate::error::RunError;

/// The threads of a session. All layers of a run are computed inside [`Self::run`], so that threads that wait for the next
/// layer are awake: waking one up takes as long as a small layer.
#[derive(Debug, Clone)]
pub(crate) struct Threads {
    #[cfg(feature = "threads")]
    pool: Option<Arc<rayon_core::ThreadPool>>,
}

#[cfg(feature = "threads")]
impl Threads {
    /// Starts `count` threads; none, and everything runs on the caller's, when that is 1.
    pub(crate) fn new(count: usize) -> Result<Self, RunError> {
        if count <= 1 {
            return Ok(Self { pool: None });
        }
        let name = |index| std::format!("resi8-{index}");
        let pool = rayon_core::ThreadPoolBuilder::new().num_threads(count).thread_name(name).build();
        Ok(Self { pool: Some(pool.map_err(|_| RunError::NoThreads { needed: count })?.into()) })
    }

    /// Runs what calls [`Self::run_all`]. Meanwhile the other threads look for parts of it; what they have not begun by the end they leave alone.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let Some(pool) = &self.pool else { return work() };
        pool.install(|| {
            let ended = Arc::new(AtomicBool::new(false));
            let _end = AtEnd(|| ended.store(true, Ordering::Relaxed));
            let caller = rayon_core::current_thread_index();
            let others = Arc::clone(&ended);
            rayon_core::spawn_broadcast(move |context| {
                if Some(context.index()) != caller {
                    help(Some(NAP), || !others.load(Ordering::Relaxed));
                }
            });
            work()
        })
    }

    /// Runs all jobs, the first one on the thread that calls it; `None` when one of them returned it.
    pub(crate) fn run_all<J>(&self, mut jobs: impl Iterator<Item = J>) -> Option<()>
    where
        J: FnOnce() -> Option<()> + Send,
    {
        if self.pool.is_none() {
            return jobs.try_for_each(|job| job());
        }
        let (failed, left) = (AtomicBool::new(false), AtomicUsize::new(0));
        let run = |job: J| {
            let _end = AtEnd(|| {
                left.fetch_sub(1, Ordering::Release);
            });
            if job().is_none() {
                failed.store(true, Ordering::Relaxed);
            }
        };
        rayon_core::in_place_scope(|scope| {
            let own = jobs.next();
            for job in jobs {
                left.fetch_add(1, Ordering::Relaxed);
                scope.spawn(|_| run(job));
            }
            if let Some(own) = own {
                left.fetch_add(1, Ordering::Relaxed);
                run(own);
            }
            help(None, || left.load(Ordering::Acquire) > 0);
        });
        (!failed.into_inner()).then_some(())
    }
}

/// Does something when it is dropped, after a panic too.
#[cfg(feature = "threads")]
struct AtEnd<F: Fn()>(F);

#[cfg(feature = "threads")]
impl<F: Fn()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        self.0();
    }
}

/// Looks between which a thread lets others that wait for its processor have it: 80 us of them on Emerald Rapids. More often, and another
/// program gets most of the time that a run waits for the last part of a layer.
#[cfg(feature = "threads")]
const LOOKS: u32 = 1024;

/// How long a thread sleeps that has found nothing for long, as in a layer for one thread: as long as it takes to wake one up.
#[cfg(feature = "threads")]
const NAP: Duration = Duration::from_micros(50);

/// Looks without a nap: 0.3 ms of them.
#[cfg(feature = "threads")]
const LOOKS_BEFORE_NAP: u32 = 4096;

/// Carries out what is there to do as long as something is wanted.
#[cfg(feature = "threads")]
fn help(nap: Option<Duration>, wanted: impl Fn() -> bool) {
    let mut idle = 0u32;
    while wanted() {
        if rayon_core::yield_now() == Some(rayon_core::Yield::Executed) {
            idle = 0;
            continue;
        }
        idle = idle.saturating_add(1);
        match nap {
            Some(nap) if idle > LOOKS_BEFORE_NAP => std::thread::sleep(nap),
            _ if idle.is_multiple_of(LOOKS) => std::thread::yield_now(),
            _ => core::hint::spin_loop(),
        }
    }
}

#[cfg(not(feature = "threads"))]
impl Threads {
    /// There is the caller's thread and no other.
    #[expect(clippy::unnecessary_wraps, reason = "with threads it can fail")]
    pub(crate) const fn new(_: usize) -> Result<Self, RunError> {
        Ok(Self {})
    }

    /// Runs what calls [`Self::run_all`].
    #[expect(clippy::unused_self, reason = "with threads it is needed")]
    pub(crate) fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        work()
    }

    /// Runs all jobs; `None` when one of them returned it.
    #[expect(clippy::unused_self, reason = "with threads it is needed")]
    pub(crate) fn run_all<J>(&self, mut jobs: impl Iterator<Item = J>) -> Option<()>
    where
        J: FnOnce() -> Option<()>,
    {
        jobs.try_for_each(|job| job())
    }
}

#[cfg(all(test, feature = "threads"))]
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc;

    use super::*;

    /// Runs eight jobs that take a while; the one with this number ends with `outcome`.
    fn run(threads: usize, special: usize, outcome: fn() -> Option<()>) -> std::thread::Result<Option<()>> {
        let threads = Threads::new(threads).unwrap();
        let job = |index| {
            move || {
                std::thread::sleep(Duration::from_millis(1));
                if index == special { outcome() } else { Some(()) }
            }
        };
        catch_unwind(AssertUnwindSafe(|| threads.run(|| threads.run_all((0..8).map(job)))))
    }

    #[test]
    fn a_job_that_fails_or_panics_ends_the_run() {
        for (threads, special) in [(1, 0), (2, 0), (2, 1), (3, 7)] {
            assert_eq!(run(threads, special, || Some(())).unwrap(), Some(()));
            assert_eq!(run(threads, special, || None).unwrap(), None);
            assert!(run(threads, special, || panic!("on purpose")).is_err());
        }
    }

    /// One of two threads is busy with something else all the time.
    #[test]
    fn a_run_does_not_wait_for_a_thread_that_has_begun_nothing() {
        let threads = Threads::new(2).unwrap();
        let (begun, is_begun) = mpsc::channel();
        let (release, is_released) = mpsc::channel::<()>();
        let (report, in_time) = mpsc::channel();
        threads.pool.as_ref().unwrap().spawn(move || {
            begun.send(()).unwrap();
            report.send(is_released.recv_timeout(Duration::from_secs(10)).is_ok()).unwrap();
        });
        is_begun.recv().unwrap();
        assert_eq!(threads.run(|| threads.run_all((0..8).map(|_| || Some(())))), Some(()));
        let _ = release.send(());
        assert!(in_time.recv().unwrap(), "the run ended after the other thread had given up");
    }
}
