//! Tables, JSON and units, the same in every command; how all of them write to standard output and end.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use serde::Serialize;

/// Prints a line to standard output, as `println!`, but gives a `Result`: see [`print_line`].
#[macro_export]
macro_rules! say {
    ($($format:tt)*) => {
        $crate::output::print_line(::core::format_args!($($format)*))
    };
}

/// Writes a line to standard output. A reader that has gone, as `head` once it has seen enough, is no failure: the
/// line is dropped, and the command does the rest of its work.
///
/// # Errors
/// The output cannot be written for another reason, such as a full disk.
pub fn print_line(line: Arguments<'_>) -> Result<()> {
    print_line_if_read(line).map(|_| ())
}

/// Writes a line to standard output; false when its reader has gone. For commands whose only work is output: they stop
/// then, and it is no failure.
///
/// # Errors
/// The output cannot be written for another reason, such as a full disk.
pub fn print_line_if_read(line: Arguments<'_>) -> Result<bool> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

/// Writes a line to standard error, for people. Where that is closed there is nobody to tell.
pub fn tell(line: Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// How a command ends: the exit code, after an error has been told on standard error.
#[must_use]
pub fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A table that fits the terminal: the given headings, numbers to the right except in the first `text` columns.
#[must_use]
pub fn table(headings: &[&str], text: usize, rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings.to_vec()).add_rows(rows);
    for column in table.column_iter_mut().skip(text) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A progress bar on standard error, or a counter where the number of steps is not known; nothing when that is not a
/// terminal.
#[must_use]
pub fn progress(steps: Option<usize>) -> ProgressBar {
    let template = match steps {
        Some(_) => "{bar:40} {pos}/{len} {eta}",
        None => "{spinner} {pos} frames, {per_sec}",
    };
    let bar = steps.map_or_else(ProgressBar::new_spinner, |steps| ProgressBar::new(steps as u64));
    let bar = bar.with_finish(ProgressFinish::AndClear);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Prints a value as JSON, one document, for scripts.
///
/// # Errors
/// The value cannot be written as JSON.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    say!("{}", serde_json::to_string_pretty(value)?)
}

/// Prints a value as one line of JSON, for results that come one by one; false when its reader has gone.
///
/// # Errors
/// The value cannot be written as JSON, or the output cannot be written.
pub fn print_json_line(value: &impl Serialize) -> Result<bool> {
    print_line_if_read(format_args!("{}", serde_json::to_string(value)?))
}

/// Bytes for people: `1,234 B`, `32.0 KiB`, `11.2 MiB`.
#[must_use]
pub fn bytes(count: usize) -> String {
    match count {
        0..10_240 => format!("{} B", grouped(count as u64)),
        10_240..10_485_760 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

/// A large count for people: `12.5 M`, `1.81 G`.
#[must_use]
pub fn count(value: u64) -> String {
    match value {
        0..100_000 => grouped(value),
        100_000..1_000_000_000 => format!("{:.1} M", value as f64 / 1e6),
        _ => format!("{:.2} G", value as f64 / 1e9),
    }
}

/// Digits in groups of three.
#[must_use]
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1234), "1,234 B");
        assert_eq!(bytes(32_768), "32.0 KiB");
        assert_eq!(bytes(11_744_051), "11.2 MiB");
        assert_eq!(count(640), "640");
        assert_eq!(count(12_501_632), "12.5 M");
        assert_eq!(count(1_814_073_344), "1.81 G");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
