//! The command line `resi8`: one module per command.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use resi8_converter::convert::Progress;

pub(crate) mod compare;
pub(crate) mod convert;
pub(crate) mod demo;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod inspect;
pub(crate) mod memory_map;
pub(crate) mod preprocess;

/// A progress bar on standard error; nothing when that is not a terminal.
pub(crate) struct Bar(std::sync::Mutex<ProgressBar>);

impl Bar {
    pub(crate) fn new() -> Self {
        Self(std::sync::Mutex::new(ProgressBar::hidden()))
    }

    fn with(&self, action: impl FnOnce(&mut ProgressBar)) {
        action(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

impl Progress for Bar {
    fn start(&self, what: &str, total: usize) {
        let style = ProgressStyle::with_template("{msg:<12} {bar:40} {pos}/{len} {eta}");
        let bar = ProgressBar::new(total as u64).with_message(what.to_owned());
        self.with(|current| *current = style.map_or(bar.clone(), |style| bar.with_style(style)));
    }

    fn step(&self) {
        self.with(|bar| bar.inc(1));
    }

    fn finish(&self) {
        self.with(|bar| bar.finish_and_clear());
    }
}

pub(crate) use resi8_run::file::{default_threads, parse_threads};

/// A file that appears under its name only when it is complete.
pub(crate) struct NewFile<'p> {
    path: &'p Path,
    temporary: tempfile::NamedTempFile,
}

impl<'p> NewFile<'p> {
    /// Opens a temporary file beside `path`, so that a folder that cannot be written to is noticed before long work. Errors
    /// name the option that the path comes from.
    pub(crate) fn create(path: &'p Path, option: &str) -> Result<Self> {
        // Renaming onto a device, a pipe or a link would put the file in its place.
        if let Ok(existing) = path.symlink_metadata() {
            anyhow::ensure!(
                !existing.is_dir(),
                "{} is a folder: give the name of a file with {option}",
                path.display()
            );
            anyhow::ensure!(
                existing.is_file(),
                "{} is a link or a device: give the name of a regular file with {option}",
                path.display()
            );
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        anyhow::ensure!(
            folder.is_dir(),
            "there is no folder {}: create it or choose another place with {option}",
            folder.display()
        );
        let temporary =
            tempfile::Builder::new().prefix(".resi8-").tempfile_in(folder).with_context(|| {
                format!("cannot write to the folder {}: choose another place with {option}", folder.display())
            })?;
        Ok(Self { path, temporary })
    }

    /// Writes the content and gives the file its name.
    pub(crate) fn finish(mut self, content: &[u8]) -> Result<()> {
        let failed = || format!("cannot write {}", self.path.display());
        self.temporary.write_all(content).with_context(failed)?;
        self.temporary.as_file().sync_all().with_context(failed)?;
        set_usual_permissions(self.temporary.as_file()).with_context(failed)?;
        self.temporary.persist(self.path).map_err(|error| error.error).with_context(failed)?;
        Ok(())
    }
}

/// A temporary file is private to its owner; a model is a file like any other.
#[cfg(unix)]
fn set_usual_permissions(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_usual_permissions(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}
