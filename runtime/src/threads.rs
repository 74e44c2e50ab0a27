//! Fork and join: one layer's work on several threads. With one thread, or without the feature `threads`, everything
//! runs on the caller's.

#[cfg(feature = "threads")]
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::RunError;

/// The threads of a session. All layers of a run are computed inside [`Self::run`], so that threads that wait for the next
/// layer are awake: waking one up takes as long as a small layer.
#[derive(Debug, Clone)]
pub(crate) struct Threads {
    #[cfg(feature = "threads")]
    pool: Option<std::sync::Arc<rayon_core::ThreadPool>>,
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

    /// How many threads work.
    pub(crate) fn count(&self) -> usize {
        self.pool.as_ref().map_or(1, |pool| pool.current_num_threads())
    }

    /// Runs what calls [`Self::run_all`]. Meanwhile the other threads look for parts of it without a pause.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let Some(pool) = &self.pool else { return work() };
        let ended = &AtomicBool::new(false);
        pool.scope(|scope| {
            let end = SetAtEnd(ended);
            let caller = rayon_core::current_thread_index();
            scope.spawn_broadcast(move |_, context| {
                if Some(context.index()) != caller {
                    help(|| !ended.load(Ordering::Relaxed));
                }
            });
            let result = work();
            drop(end);
            result
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
        let failed = AtomicBool::new(false);
        let left = AtomicUsize::new(0);
        let run = |job: J| {
            if job().is_none() {
                failed.store(true, Ordering::Relaxed);
            }
            left.fetch_sub(1, Ordering::Release);
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
            help(|| left.load(Ordering::Acquire) > 0);
        });
        (!failed.into_inner()).then_some(())
    }
}

/// Sets a flag when it is dropped, after a panic too.
#[cfg(feature = "threads")]
struct SetAtEnd<'a>(&'a AtomicBool);

#[cfg(feature = "threads")]
impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Carries out what is there to do as long as something is wanted.
#[cfg(feature = "threads")]
fn help(wanted: impl Fn() -> bool) {
    let mut idle = 0u32;
    while wanted() {
        if rayon_core::yield_now() == Some(rayon_core::Yield::Executed) {
            idle = 0;
        } else {
            idle += 1;
            if idle.is_multiple_of(1024) {
                std::thread::yield_now();
            }
            core::hint::spin_loop();
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

    /// How many threads work.
    #[expect(clippy::unused_self, reason = "with threads it is needed")]
    pub(crate) const fn count(&self) -> usize {
        1
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
