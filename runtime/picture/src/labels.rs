//! Class names.

use std::fs;
use std::path::{Path, PathBuf};

/// What can be wrong with a file of class names. Every message is one line that says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum LabelsError {
    /// The file cannot be opened or read.
    #[error("{}: cannot be read: {error}; check the path and the permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        error: std::io::Error,
    },
    /// A line is not UTF-8.
    #[error("{}: line {line} is not UTF-8; save the file as UTF-8 text", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// A line other than the last holds no name.
    #[error("{}: line {line} is empty; write one class name a line, in the order of the classes", path.display())]
    EmptyLine {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// No line at all.
    #[error("{}: the file is empty; write one class name a line, in the order of the classes", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Reads class names, line `n` (from 0) for class `n`.
///
/// Spaces around a name are dropped, so is an empty line at the end. Where every line begins with a WordNet id and a
/// space (`n01440764 tench, Tinca tinca`), the ids are dropped.
///
/// # Errors
/// The file cannot be read, is empty, is not UTF-8 or has an empty line before its end.
pub fn read(path: &Path) -> Result<Vec<String>, LabelsError> {
    let bytes = fs::read(path).map_err(|error| LabelsError::Read { path: path.to_owned(), error })?;
    let text = str::from_utf8(&bytes).map_err(|e| {
        let line = bytes.iter().take(e.valid_up_to()).filter(|&&b| b == b'\n').count() + 1;
        LabelsError::NotUtf8 { path: path.to_owned(), line }
    })?;
    // Windows editors begin UTF-8 files with a byte order mark.
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text).trim_end();
    if text.is_empty() {
        return Err(LabelsError::Empty { path: path.to_owned() });
    }
    let names: Vec<&str> = text.lines().map(str::trim).collect();
    if let Some(index) = names.iter().position(|name| name.is_empty()) {
        return Err(LabelsError::EmptyLine { path: path.to_owned(), line: index + 1 });
    }
    let bare: Option<Vec<&str>> = names.iter().map(|name| without_wordnet_id(name)).collect();
    Ok(bare.unwrap_or(names).into_iter().map(str::to_owned).collect())
}

/// The name after `n`, eight digits and a space; `None` where the line does not begin so.
fn without_wordnet_id(line: &str) -> Option<&str> {
    let (id, name) = line.split_once(' ')?;
    let digits = id.strip_prefix('n')?;
    let is_id = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit());
    is_id.then(|| name.trim_start())
}
