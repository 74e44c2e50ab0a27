//! `--cpu-list`: which CPUs the threads may run on.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use anyhow::Result;

use crate::file::MAX_THREADS;

/// Largest CPU number that can be named, as in Linux's fixed-size sets.
const LAST_CPU: usize = 1023;

/// A set of CPUs, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuList(BTreeSet<usize>);

impl CpuList {
    /// Reads numbers and ranges, separated by commas: `0,2-3`.
    ///
    /// # Errors
    /// It is no such list; the message says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut cpus = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (parse_cpu(first)?, parse_cpu(last)?);
            if first > last {
                return Err(format!("{part} runs backwards; write {last}-{first}"));
            }
            cpus.extend(first..=last);
        }
        Ok(Self(cpus))
    }

    /// One thread per CPU, as many as can be asked for.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.0.len().min(MAX_THREADS)).unwrap_or(NonZeroUsize::MIN)
    }

    /// Confines the calling thread, and the threads that it starts from now on, to these CPUs.
    ///
    /// # Errors
    /// One of them does not exist or is not allowed to this process, or this system has no such call.
    #[cfg(target_os = "linux")]
    pub fn confine(&self) -> Result<()> {
        use anyhow::Context;
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

        let set =
            sched_getaffinity(None).context("cannot ask which CPUs are allowed; leave --cpu-list out")?;
        let allowed = Self((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect());
        let missing = Self(self.0.difference(&allowed.0).copied().collect());
        anyhow::ensure!(
            missing.0.is_empty(),
            "--cpu-list: CPU {missing} is not there or not allowed to this process; allowed here: {allowed}"
        );
        let mut set = CpuSet::new();
        self.0.iter().for_each(|&cpu| set.set(cpu));
        sched_setaffinity(None, &set).with_context(|| format!("--cpu-list: cannot run on CPU {self}"))
    }

    /// Confines the calling thread, and the threads that it starts from now on, to these CPUs.
    ///
    /// # Errors
    /// One of them does not exist or is not allowed to this process, or this system has no such call.
    #[cfg(not(target_os = "linux"))]
    pub fn confine(&self) -> Result<()> {
        anyhow::bail!("--cpu-list is not supported on this system, only on Linux; leave it out")
    }
}

fn parse_cpu(text: &str) -> Result<usize, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let cpu = text.parse().ok().filter(|&cpu| digits && cpu <= LAST_CPU);
    cpu.ok_or_else(|| format!("give CPU numbers from 0 to {LAST_CPU} and ranges, such as 0,2-3"))
}

/// As [`CpuList::parse`] reads it, ranges joined.
impl std::fmt::Display for CpuList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut cpus = self.0.iter().copied().peekable();
        let mut comma = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if_eq(&(last + 1)) {
                last = next;
            }
            write!(f, "{comma}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let shown = |text| CpuList::parse(text).map(|list| (list.to_string(), list.threads().get()));
        assert_eq!(shown("0"), Ok(("0".into(), 1)));
        assert_eq!(shown("3,0,2-3,4"), Ok(("0,2-4".into(), 4)));
        assert_eq!(shown("0-1023"), Ok(("0-1023".into(), MAX_THREADS)));
        for wrong in
            ["", ",", "0,", "-1", "1-", "3-2", "+1", "1 ", "a", "1024", "0-99999999999999999999", "1-2-3"]
        {
            assert!(CpuList::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
