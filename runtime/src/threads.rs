//! Fork and join: one layer's work on several threads. With one thread, or without the feature `threads`, everything
//! runs on the caller's.

#[cfg(feature = "threads")]
use core::sync::atomic::{AtomicBool, Ordering};

use crate::error::RunError;

/// The threads of a session: the one that runs it and those that help it.
#[derive(Debug)]
pub(crate) struct Threads {
    #[cfg(feature = "threads")]
    helpers: Option<rayon_core::ThreadPool>,
}

#[cfg(feature = "threads")]
impl Threads {
    /// Starts `count - 1` helpers.
    pub(crate) fn new(count: usize) -> Result<Self, RunError> {
        if count <= 1 {
            return Ok(Self { helpers: None });
        }
        let name = |index| std::format!("resi8-{index}");
        let builder = rayon_core::ThreadPoolBuilder::new().num_threads(count - 1).thread_name(name);
        let helpers = builder.build().map_err(|_| RunError::NoThreads { needed: count })?;
        Ok(Self { helpers: Some(helpers) })
    }

    /// How many threads work, the caller's included.
    pub(crate) fn count(&self) -> usize {
        self.helpers.as_ref().map_or(1, |helpers| helpers.current_num_threads() + 1)
    }

    /// Runs all jobs, the first one on the caller's thread; `None` when one of them returned it.
    pub(crate) fn run_all<J>(&self, mut jobs: impl Iterator<Item = J>) -> Option<()>
    where
        J: FnOnce() -> Option<()> + Send,
    {
        let Some(helpers) = &self.helpers else { return jobs.try_for_each(|job| job()) };
        let failed = AtomicBool::new(false);
        let run = |job: J| {
            if job().is_none() {
                failed.store(true, Ordering::Relaxed);
            }
        };
        helpers.in_place_scope(|scope| {
            let own = jobs.next();
            jobs.for_each(|job| scope.spawn(|_| run(job)));
            own.map(run)
        });
        (!failed.into_inner()).then_some(())
    }
}

#[cfg(not(feature = "threads"))]
impl Threads {
    /// There is the caller's thread and no other.
    #[expect(clippy::unnecessary_wraps, reason = "with threads it can fail")]
    pub(crate) const fn new(_: usize) -> Result<Self, RunError> {
        Ok(Self {})
    }

    /// How many threads work, the caller's included.
    #[expect(clippy::unused_self, reason = "with threads it is needed")]
    pub(crate) const fn count(&self) -> usize {
        1
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
